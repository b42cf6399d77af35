"""The table of layers against figures worked out by hand."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from rich.console import Console

from isoconv import nn
from isoconv.errors import ArgumentError


def model() -> nn.Sequential:
    """One layer of each kind that has parameters."""
    return nn.Sequential(
        nn.Conv2d(8, 3, padding=1),
        nn.BatchNorm2d(),
        nn.DepthwiseConv2d(3, stride=2, padding=1, bias=False),
        nn.Conv2d(16, 1, groups=4),
        nn.GlobalAvgPool2d(),
        nn.Linear(10),
    )


def test_figures_by_hand() -> None:
    """Parameters and multiply-adds of each layer of a small model."""
    summary = model().summary((6, 6, 3))
    assert [astuple(row) for row in summary.rows] == [
        ("0", "Conv2d", (6, 6, 8), 3 * 3 * 3 * 8 + 8, 36 * 27 * 8),
        ("1", "BatchNorm", (6, 6, 8), 16, 0),
        ("2", "DepthwiseConv2d", (3, 3, 8), 72, 9 * 9 * 8),
        ("3", "Conv2d", (3, 3, 16), 2 * 16 + 16, 9 * 2 * 16),
        ("4", "GlobalAvgPool2d", (16,), 0, 0),
        ("5", "Linear", (10,), 170, 160),
    ]
    assert summary.parameters == 224 + 16 + 72 + 48 + 170
    assert summary.multiply_adds == 7776 + 648 + 288 + 160


def test_a_shared_layer_counts_its_parameters_once() -> None:
    """Two uses are two rows of work and one row of parameters."""
    layer = nn.Conv2d(3, 3, padding=1)
    rows = nn.Sequential(layer, nn.ReLU(), layer).summary((4, 4, 3)).rows
    assert [(row.name, row.parameters) for row in rows] == [("0", 84), ("1", 0), ("0", 0)]
    assert rows[0].multiply_adds == rows[2].multiply_adds == 16 * 27 * 3


def test_functions_in_a_forward_are_counted() -> None:
    """Work and parameters of a module that also holds others have a row of their own."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.ReLU()

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            weight = x.trace.parameter(self, "weight", (1, 1, x.shape[-1], 2))
            return nn.functional.conv2d(self.inner(x), weight)

    rows = Mixed().summary((4, 4, 3)).rows
    assert [(row.kind, row.parameters, row.multiply_adds) for row in rows] == [
        ("ReLU", 0, 0),
        ("Mixed", 6, 96),
    ]


def test_a_built_model_knows_its_input_shape() -> None:
    """Without one the shape must be given."""
    with pytest.raises(ArgumentError, match="input shape"):
        model().summary()
    assert model().build((6, 6, 3)).summary().input_shape == (6, 6, 3)


def test_summary_changes_no_weights() -> None:
    """Looking at another input size leaves the built arrays alone."""
    built = model().build((6, 6, 3))
    before = built.digest()
    built.summary((8, 8, 3))
    assert built.digest() == before


def test_text_has_one_line_for_each_layer() -> None:
    """Headings first, totals last."""
    lines = str(model().summary((6, 6, 3))).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "multiply-adds"]
    assert lines[-1].split() == ["total", "530", "8,872"]
    assert len(lines) == 8


def test_rich_prints_a_table() -> None:
    """The same cells in a table."""
    console = Console(width=100, record=True, quiet=True)
    console.print(model().summary((6, 6, 3)))
    assert model().summary((6, 6, 3)).__rich__().row_count == 6
