"""Values moved: where each lands, beside NumPy's indexing, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.run.graphs import numbers

from isoconv import nn
from isoconv.errors import ArgumentError, IsoconvError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.run.evaluate import evaluate

X = numbers((2, 5, 6, 3))

Function = Callable[..., Any]


def computed(function: Function, x: Array = X) -> Array:
    """What the kernels make of images."""
    trace = nn.Trace()
    y = function(trace.images(x.shape[1:]))
    return evaluate(trace.builder.graph([("y", y.index)]), {"images": x}, len(x))["y"]


def padded(pairs: tuple[tuple[int, int], ...], mode: str, **settings: Any) -> Function:
    """NumPy's padding, images left alone."""
    return lambda x: np.pad(x, ((0, 0), *pairs), mode, **settings)  # type: ignore[call-overload]


PAIRS = ((2, 1), (0, 3), (0, 0))
CASES: dict[str, tuple[Function, Function]] = {
    "transpose": (lambda x: x.transpose(2, 0, -2), lambda x: x.transpose(0, 3, 1, 2)),
    "a side of one": (
        lambda x: functional.transpose(functional.unsqueeze(x, 1), (0, 2, 3, 1)),
        lambda x: x[..., None],
    ),
    "take": (
        lambda x: functional.take(x, (4, 0, -1, 0), 0),
        lambda x: x[:, [4, 0, 0, 0]] * np.array([1, 1, 0, 1], "f4")[:, None, None],
    ),
    "flip": (lambda x: functional.flip(x, (0, -1)), lambda x: x[:, ::-1, :, ::-1]),
    "slice": (
        lambda x: functional.slice_axes(x, (1, -2), (2**63 - 1, 99), (1, -1)),
        lambda x: x[:, :, 1:, -2:],
    ),
    "steps": (
        lambda x: functional.slice_axes(x, (None, 4, 0), (None, -9, 1), steps=(2, -2, 1)),
        lambda x: x[:, ::2, 4::-2, :1],
    ),
    "split": (lambda x: functional.split(x, 4, 1)[1], lambda x: x[:, :, 4:]),
    "split in three": (lambda x: functional.split(x, (1, 1, 1))[1], lambda x: x[..., 1:2]),
    "concatenate": (
        lambda x: functional.concatenate(x, functional.flip(x, 0), axis=-2),
        lambda x: np.concatenate((x, x[:, ::-1]), 2),
    ),
    "squeeze": (
        lambda x: functional.squeeze(functional.unsqueeze(x, (0, 2, -1)), (2, 0)),
        lambda x: x[..., None],
    ),
    "squeeze all": (lambda x: functional.squeeze(functional.unsqueeze(x, (0, 2, -1))), lambda x: x),
    "zeros": (lambda x: functional.pad(x, PAIRS), padded(PAIRS, "constant")),
    "a number": (
        lambda x: functional.pad(x, (1, 0, (1, 2)), value=-2.5),
        padded(((1, 1), (0, 0), (1, 2)), "constant", constant_values=-2.5),
    ),
    "infinity": (
        lambda x: functional.pad(x, (1, 0), value=-np.inf),
        padded(((1, 1), (0, 0), (0, 0)), "constant", constant_values=-np.inf),
    ),
    "fewer": (
        lambda x: functional.pad(x, ((-2, 1), (3, -1), 1)),
        lambda x: np.pad(x[:, 2:, :-1], ((0, 0), (0, 1), (3, 0), (1, 1))),
    ),
    "reflect": (lambda x: functional.pad(x, PAIRS, "reflect"), padded(PAIRS, "reflect")),
    "reflect far": (
        lambda x: functional.pad(x, ((11, 9), 0, 5), "reflect"),
        padded(((11, 9), (0, 0), (5, 5)), "reflect"),
    ),
    "replicate": (lambda x: functional.pad(x, PAIRS, "replicate"), padded(PAIRS, "edge")),
    "circular": (lambda x: functional.pad(x, PAIRS, "circular"), padded(PAIRS, "wrap")),
    "circular, fewer": (
        lambda x: functional.pad(x, ((-1, 2), 0), "circular"),
        lambda x: x[:, [1, 2, 3, 4, 0, 1]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_beside_numpy(name: str) -> None:
    """Each element is the one that NumPy's indexing says, on the kernels."""
    ours, theirs = CASES[name]
    np.testing.assert_array_equal(computed(ours), theirs(X), strict=True)


@pytest.mark.parametrize("name", CASES)
def test_gradients_go_back_where_values_came_from(name: str) -> None:
    """The sum of products is the same on both sides: <dy, F(x)> = <F'(dy), x>."""
    ours, theirs = CASES[name]
    x = np.random.default_rng(5).standard_normal(X.shape)
    trace = nn.Trace(dtype="float64")
    given = trace.input("dataset", "x", X.shape[1:], "float64")
    y = ours(given)
    dy = np.random.default_rng(6).standard_normal((2, *y.shape))
    seed = trace.input("dataset", "dy", y.shape, "float64")
    flows = differentiate(trace.builder, {y.index: seed.index}, [given.index])
    graph = trace.builder.graph([("dx", flows[given.index])])
    dx = evaluate(graph, {"dy": dy}, 2)["dx"]
    fixed = theirs(np.zeros_like(X))
    finite = np.isfinite(fixed)
    change = theirs(x)[finite] - fixed[finite]
    assert np.sum(dx * x) == pytest.approx(np.sum(dy[finite] * change), rel=1e-9)


PIXELS: tuple[tuple[str, tuple[int, ...]], ...] = (
    # Of an image (H, W, C): which axis of (H, a, W, b, C) each part of its channels is.
    ("CRD", (0, 2, 4, 1, 3)),
    ("DCR", (0, 2, 1, 3, 4)),
)


@pytest.mark.parametrize(("order", "axes"), PIXELS)
def test_shuffles(order: Any, axes: tuple[int, ...]) -> None:
    """Blocks of 2x3 positions become channels and come back, in both orders; groups in turn."""
    x = numbers((2, 4, 6, 5))
    blocks = x.reshape(2, 2, 2, 2, 3, 5).transpose(0, *(1 + axis for axis in axes))
    deep = computed(lambda t: functional.pixel_unshuffle(t, (2, 3), order), x)
    np.testing.assert_array_equal(deep, blocks.reshape(2, 2, 2, 30))
    back = computed(lambda t: functional.pixel_shuffle(t, (2, 3), order), deep)
    np.testing.assert_array_equal(back, x)
    turned = computed(lambda t: functional.channel_shuffle(t, 3), deep)
    np.testing.assert_array_equal(turned[0, 0, 0, :4], deep[0, 0, 0, [0, 10, 20, 1]])


def test_nothing_is_moved_for_nothing() -> None:
    """What stays where it is adds no kernel: slices of steps of one, sides of one, all places."""
    trace = nn.Trace()
    x = trace.images((5, 6, 3))
    assert functional.transpose(x, (0, 1, 2)) is x
    assert functional.take(x, range(5), 0).index == x.index
    y = functional.slice_axes(
        functional.transpose(functional.unsqueeze(x, 2), (2, 0, 1, 3)), (0, 1), (1, 4)
    )
    used = {node.op for node in trace.builder.graph([("y", y.index)]).nodes}
    assert used == {"input", "reshape", "crop"}


REFUSED: dict[str, tuple[Function, type[IsoconvError], str]] = {
    "axes twice": (
        lambda x: x.transpose(0, 0, 1),
        ArgumentError,
        "axes must be different axes",
    ),
    "few axes": (lambda x: x.transpose(0, 1), ArgumentError, "axes must name each of the 3 axes"),
    "no place": (
        lambda x: functional.take(x, (0, 3)),
        ShapeError,
        "indices must lie within the 3 places",
    ),
    "below -1": (lambda x: functional.take(x, (0, -2)), ArgumentError, "whole numbers from -1"),
    "no axis": (
        lambda x: functional.flip(x, 3),
        ArgumentError,
        "axes must be different axes of the input",
    ),
    "nothing": (
        lambda x: functional.slice_axes(x, (2,), (2,)),
        ShapeError,
        "must leave something of axis 0",
    ),
    "step 0": (
        lambda x: functional.slice_axes(x, (0,), (2,), steps=(0,)),
        ArgumentError,
        "other than 0",
    ),
    "four starts": (
        lambda x: functional.slice_axes(x, (0,) * 4, (1,) * 4),
        ArgumentError,
        "at most 3",
    ),
    "sizes": (
        lambda x: functional.split(x, (1, 1)),
        ShapeError,
        "sizes must make the 3 places of the axis",
    ),
    "wide": (
        lambda x: functional.squeeze(x, 0),
        ShapeError,
        r"one place each, of shape \(5, 6, 3\)",
    ),
    "mode": (
        lambda x: functional.pad(x, 1, "zeros"),  # type: ignore[arg-type]
        ArgumentError,
        "mode must be one of constant, refl",
    ),
    "value": (
        lambda x: functional.pad(x, 1, "reflect", 2.0),
        ArgumentError,
        'be 0 where the mode is "ref',
    ),
    "all gone": (
        lambda x: functional.pad(x, ((-3, -2), 0)),
        ShapeError,
        "leave something of axis 0, of 5",
    ),
    "two pairs": (
        lambda x: functional.pad(x, ((1, 2),)),
        ArgumentError,
        "of 2 without the channels",
    ),
    "blocks": (
        lambda x: functional.pixel_shuffle(x, 2),
        ShapeError,
        "factor must make blocks out of 3 channels, a multiple of 4; got 2",
    ),
    "no blocks": (
        lambda x: functional.pixel_unshuffle(x, 2),
        ShapeError,
        r"factor must divide the sides \(5, 6\); got 2",
    ),
    "groups": (
        lambda x: functional.channel_shuffle(x, 2),
        ShapeError,
        r"groups must divide the channels of shape \(5, 6, 3\); got 2",
    ),
    "other sides": (
        lambda x: functional.concatenate(x, functional.take(x, (0,)), axis=0),
        ShapeError,
        r"parts\[1\] must have the sides of the first, \(5, 6, 3\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """The argument and its rule are named."""
    function, kind, text = REFUSED[name]
    with pytest.raises(kind, match=text):
        function(nn.Trace().images((5, 6, 3)))


def test_layers_in_a_network() -> None:
    """They are stored with a model, read back, and train with it."""
    model = nn.Sequential(
        nn.Pad(1, "reflect"), nn.Conv2d(4, 3), nn.Transpose((2, 0, 1)), nn.Slice((1,), (None,)),
        nn.Unsqueeze(0), nn.Squeeze(0), nn.Flip((0, 2)), nn.Reshape((-1,)), nn.Linear(2),
    ).build((6, 5, 2), seed=1)  # fmt: skip
    images = numbers((3, 6, 5, 2))
    x = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    first = {name: model.weights[f"1.{name}"] for name in ("weight", "bias")}
    bare = nn.Conv2d(4, 3).place((8, 7, 2), first)
    y = bare.predict(x, finish="none").transpose(0, 3, 1, 2)[:, 1:][:, ::-1, :, ::-1]
    weight, bias = model.weights["8.weight"], model.weights["8.bias"]
    expected = y.reshape(3, -1).astype(np.float64) @ weight + bias
    np.testing.assert_allclose(model.predict(images, finish="none"), expected, rtol=1e-3, atol=1e-3)
