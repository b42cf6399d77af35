"""Whole networks, forward and backward, on the kernels against the exact reference: every bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.explain.networks import inverted_residuals
from tests.run.networks import differentiated, random_inputs

from isoconv import nn
from isoconv.graph.ir import DType
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate

pytestmark = pytest.mark.shipped

S = nn.Sequential
NETWORKS: dict[str, tuple[nn.Sequential, tuple[int, ...], DType]] = {
    "plain": (
        S(
            nn.Conv2d(5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(17, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(), nn.ReLU(),
            nn.AvgPool2d(3, 2, padding=1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(10),
        ),
        (13, 13, 2),
        "float32",
    ),
    "normalised, rectified, pooled": (
        S(
            nn.Conv2d(5, 3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
            nn.Residual(S(nn.Conv2d(5, 3, padding=1), nn.BatchNorm2d())), nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1), nn.Flatten(), nn.Linear(3),
        ),
        (9, 8, 2),
        "float32",
    ),
    "groups and windows": (
        S(
            nn.Conv2d(6, 3, padding=1, groups=2, dilation=2), nn.SiLU(),
            nn.MaxPool2d(3, 2, padding=1), nn.DepthwiseConv2d(3, padding=1, stride=2), nn.GELU(),
            nn.GlobalAvgPool2d(), nn.Linear(3), nn.Tanh(),
        ),
        (11, 12, 4),
        "float32",
    ),
    "one axis, true convolution": (
        S(
            nn.Conv1d(6, 3, padding=1, flip=True), nn.Sigmoid(), nn.MaxPool1d(3),
            nn.Conv1d(4, 3, stride=2), nn.Flatten(), nn.Linear(3),
        ),
        (19, 4),
        "float32",
    ),
    "three axes, float64": (
        S(
            nn.Conv3d(6, 3, padding=1, stride=2), nn.LeakyReLU(0.1), nn.AvgPool3d(2, padding=1),
            nn.Conv3d(3, 2), nn.GlobalMaxPool3d(), nn.Linear(2),
        ),
        (7, 6, 5, 2),
        "float64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "one by one"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_reference(name: str, fusion: bool) -> None:
    """Results, all gradients and statistics are the reference's, bit for bit."""
    model, shape, dtype = NETWORKS[name]
    graph = differentiated(model, shape, dtype)
    arrays = random_inputs(graph, images=3)
    expected = interpret(graph, arrays, images=3)
    found = evaluate(graph, arrays, 3, fusion=fusion)
    for output, array in expected.items():
        np.testing.assert_array_equal(found[output], array, err_msg=output)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.models.create("resnet20", 10, (16, 16, 3)),
        lambda: inverted_residuals(10),
        # The same blocks, seventeen times, with other numbers of filters.
        pytest.param(
            lambda: nn.models.create("mobilenetv2", 10, (16, 16, 3)), marks=pytest.mark.exhaustive
        ),
    ],
    ids=["resnet20", "inverted residuals", "mobilenetv2"],
)
def test_ready_model_equals_reference(make: Callable[[], nn.Sequential]) -> None:
    """A deep model with normalisation and branches, on small images."""
    graph = differentiated(make(), (16, 16, 3))
    arrays = random_inputs(graph, images=2)
    expected = interpret(graph, arrays, images=2)
    found = evaluate(graph, arrays, 2)
    for output, array in expected.items():
        np.testing.assert_array_equal(found[output], array, err_msg=output)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["avx2", "sse", "generic"])
def test_other_instruction_sets(target: str) -> None:
    """Another vector width, with and without a fused multiply-add, gives the same bits."""
    from isoconv.compile.target import target_named
    from isoconv.errors import ArgumentError

    try:
        target_named(target)
    except ArgumentError as error:
        pytest.skip(str(error))
    model, shape, dtype = NETWORKS["one axis, true convolution"]
    graph = differentiated(model, shape, dtype)
    arrays = random_inputs(graph, images=3)
    here = evaluate(graph, arrays, 3)
    there = evaluate(graph, arrays, 3, target=target)
    for output, array in here.items():
        np.testing.assert_array_equal(there[output], array, err_msg=output)
