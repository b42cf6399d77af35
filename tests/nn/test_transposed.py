"""Transposed convolution: plain loops, the convolution that it transposes, and its settings."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from tests.run.graphs import check, random_arrays

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.fuse import fuse
from isoconv.graph.operation import Array

FUNCTIONS = {1: ic.conv_transpose1d, 2: ic.conv_transpose2d, 3: ic.conv_transpose3d}
CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], tuple[int, ...]]] = [
    # sides, kernel, settings, sides of the result
    ((4,), (3,), {}, (6,)),
    ((3, 4), (3, 2), {"stride": (2, 3), "padding": ((1, 0), (0, 1))}, (6, 10)),
    ((3, 4), (3, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (6, 8)),
    ((3, 3), (2, 3), {"dilation": (3, 2), "output_padding": (2, 1), "flip": True}, (8, 8)),
    ((2, 3), (2, 2), {"stride": (1, 4), "output_padding": (3, 0), "groups": 2}, (6, 10)),
    ((3, 3), (3, 4), {"stride": 2, "padding": "same"}, (6, 6)),
    ((3, 3), (3, 4), {"stride": 2, "padding": "same_lower"}, (6, 6)),
    ((3, 3), (1, 2), {"stride": (3, 2), "padding": "same"}, (9, 6)),
    ((2, 2), (3, 2), {"stride": 2, "padding": "valid"}, (5, 4)),
    ((2, 1, 3), (2, 3, 1), {"stride": (2, 1, 2), "padding": (0, 1, 0)}, (4, 1, 5)),
]


def spread(
    x: Array, w: Array, sides: tuple[int, ...], cut: list[int], settings: dict[str, Any]
) -> Array:
    """The definition: every number times the whole kernel, added where it falls."""
    rank, groups = len(sides), settings.get("groups", 1)
    y = np.zeros((len(x), *sides, w.shape[-2] * groups))
    stride, dilation = (
        np.broadcast_to(settings.get(key, 1), rank).tolist() for key in ("stride", "dilation")
    )
    for place, m in product(np.ndindex(x.shape[1:-1]), np.ndindex(w.shape[:rank])):
        kernel = (np.flip(w, tuple(range(rank))) if settings.get("flip") else w)[m]
        at = tuple(
            p * s - before + i * d
            for p, s, before, i, d in zip(place, stride, cut, m, dilation, strict=True)
        )
        if not all(0 <= i < side for i, side in zip(at, sides, strict=True)):
            continue
        numbers = x[(slice(None), *place)].reshape(len(x), groups, -1)
        each = kernel.reshape(kernel.shape[0], groups, -1)
        y[(slice(None), *at)] += np.einsum("ngc,ogc->ngo", numbers, each).reshape(len(x), -1)
    return y


def whole(*shape: int) -> Array:
    """Small whole numbers, with which every order of a sum gives the same."""
    return np.random.default_rng(sum(shape)).integers(-9, 10, shape).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plain_loops(
    case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], tuple[int, ...]],
) -> None:
    """Strides, uneven padding, output padding, dilation, groups, flip and sizes by name."""
    sides, kernel, settings, outer = case
    groups = settings.get("groups", 1)
    x, w = whole(2, *sides, 4), whole(*kernel, 6 // groups, 4)
    found = FUNCTIONS[len(sides)](x, w, **settings)
    assert found.shape == (2, *outer, 6)
    padding = settings.get("padding", 0)
    if isinstance(padding, str):
        steps = np.broadcast_to(settings["stride"], len(sides)).tolist()
        lacking = [max(0, k - s) for k, s in zip(kernel, steps, strict=True)]
        cut = [n - n // 2 if padding == "same_lower" else n // 2 for n in lacking]
        cut = [0] * len(sides) if padding == "valid" else cut
    else:
        given = padding if isinstance(padding, tuple) else (padding,) * len(sides)
        cut = [entry[0] if isinstance(entry, tuple) else entry for entry in given]
    np.testing.assert_array_equal(found, spread(x, w, outer, cut, settings))


def test_it_is_the_transpose_of_the_convolution() -> None:
    """The bits of the convolution's gradient by its input; its own gradient is the convolution."""
    settings: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": (1, 2), "groups": 2}
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 3, 3, 4)).astype(np.float32)
    dy = rng.standard_normal((2, 4, 5, 4)).astype(np.float32)
    x = rng.standard_normal((2, 7, 11, 6)).astype(np.float32)
    dx, dw = ic.gradients(ic.conv2d, dy, x, w, **settings)
    np.testing.assert_array_equal(ic.conv_transpose2d(dy, w, **settings), dx)
    back = ic.gradients(ic.conv_transpose2d, x, dy, w, **settings)
    np.testing.assert_array_equal(back[0], ic.conv2d(x, w, **settings))
    np.testing.assert_array_equal(back[1], dw)


MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", MODES)
def test_padding_modes_continue_the_input(mode: Any) -> None:
    """The result is a part of that of an input that goes on, far beyond what reaches it."""
    cases: list[tuple[dict[str, Any], tuple[int, int]]] = [
        ({"padding": ((1, 0), (0, 2))}, (1, 0)),
        ({"stride": (2, 3), "padding": (2, 0), "output_padding": (1, 5)}, (2, 0)),
        ({"stride": 4, "dilation": (1, 3), "groups": 2}, (0, 0)),
    ]
    for settings, first in cases:
        groups = settings.get("groups", 1)
        x, w = whole(2, 4, 5, 4), whole(3, 2, 6 // groups, 4)
        found = ic.conv_transpose2d(x, w, padding_mode=mode, **settings)
        assert found.shape == ic.conv_transpose2d(x, w, **settings).shape
        wide = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), MODES[mode])  # type: ignore[call-overload]
        stride = np.broadcast_to(settings.get("stride", 1), 2).tolist()
        far = spread(wide, w, (99, 99), [0, 0], settings)
        rows, columns = (
            slice(3 * s + start, 3 * s + start + size)
            for s, start, size in zip(stride, first, found.shape[1:3], strict=True)
        )
        np.testing.assert_array_equal(found, far[:, rows, columns])


@pytest.mark.slow
def test_circular_padding_transposes_circular_padding() -> None:
    """Round and round, where the stride divides the sides: the convolution's gradient by input."""
    w, dy = whole(3, 5, 3, 4), whole(2, 4, 3, 4)
    (dx, _) = ic.gradients(
        ic.conv2d, dy, whole(2, 8, 6, 3), w, stride=2, padding=(1, 2), padding_mode="circular"
    )
    found = ic.conv_transpose2d(dy, w, None, 2, ((1, 0), (2, 1)), padding_mode="circular")
    np.testing.assert_array_equal(found, dx)


def test_values_of_pytorch() -> None:
    """``torch.nn.functional.conv_transpose2d(x, w, b, 2, 1, 1)`` of PyTorch 2.13, axes moved."""
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2).transpose(0, 2, 3, 1)
    w = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3).transpose(2, 3, 1, 0) - 18
    found = ic.conv_transpose2d(x, w, np.array([0.5, -1], np.float32), 2, 1, 1)
    wanted = [
        [[16.5, 20.5, 6.5, 12.5], [0.5, -23.5, -19.5, -3.5],
         [-3.5, -19.5, -13.5, -3.5], [20.5, 34.5, 16.5, 26.5]],
        [[51, 109, 59, 65], [107, 227, 123, 139], [67, 141, 75, 85], [91, 195, 105, 115]],
    ]  # fmt: skip
    np.testing.assert_array_equal(found[0].transpose(2, 0, 1), wanted)


def test_bias_and_activation_are_done_in_its_kernels() -> None:
    """Behind a stride; where the result goes on beyond what is reached, after that."""
    for more in (1, 4):
        up = nn.ConvTranspose2d(5, (3, 1), 2, (1, 0), output_padding=(1, more))
        traced = nn.trace_model(nn.Sequential(up, nn.ReLU()), (3, 4, 9), training=False)
        graph = traced.builder.graph([("y", traced.output)])
        assert (len(fuse(graph)) == 1) == (more == 1)
        check(graph, random_arrays(graph, 3), 3)


def test_first_values_go_by_the_products_of_a_result() -> None:
    """±sqrt(6 / fan_in), so that results are as large as their inputs."""
    layer = nn.ConvTranspose2d(64, 4, 2, 1, groups=2).build((8, 8, 32))
    fan_in = 16 * (4 / 2) ** 2
    assert 0.99 < abs(layer.weights["weight"]).max() / (6 / fan_in) ** 0.5 <= 1
    x = np.random.default_rng(0).standard_normal((4, 8, 8, 32)).astype(np.float32)
    y = ic.conv_transpose2d(x, layer.weights["weight"], None, 2, 1, groups=2)
    assert 1.8 < y[:, 1:-1, 1:-1].var() < 2.2


@pytest.mark.parametrize(
    ("settings", "text", "argument"),
    [
        ({"padding": 4}, "padding must leave a place of the result on every axis", "padding"),
        ({"padding": "same", "output_padding": 1}, "output_padding must be 0", "output_padding"),
        ({"stride": 65}, "stride must have a product of at most 4,096", "stride"),
        ({"output_padding": -1}, "output_padding must be at least 0", "output_padding"),
        ({"padding": 1, "groups": 3}, "groups must divide the 4 channels of x", "groups"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], text: str, argument: str) -> None:
    """Settings that leave nothing, contradict each other or do not divide are named."""
    x, w = whole(1, 3, 3, 4), whole(3, 3, 2, 4)
    with pytest.raises((ArgumentError, ShapeError), match=text) as caught:
        ic.conv_transpose2d(x, w, **settings)
    assert caught.value.argument == argument


def test_a_weight_that_is_not_transposed() -> None:
    """A weight with the channels of x in the place of the result's is refused by name."""
    with pytest.raises(ShapeError, match=r"\(kernel..., O / groups, C\)") as caught:
        ic.conv_transpose2d(whole(1, 3, 3, 4), whole(3, 3, 4, 2))
    assert caught.value.argument == "weight"
