"""Adaptive, fractional and norm pooling beside the windows of their formulas, one by one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from tests.nn.slopes import check_slopes, computed
from tests.run.graphs import check

from isoconv import nn
from isoconv.arithmetic.philox import Purpose, uniform32
from isoconv.errors import ArgumentError, IsoconvError, ShapeError
from isoconv.graph.operation import Array
from isoconv.nn import Trace, functional

Slices = Sequence[Sequence[slice]]


def pooled(x: Array, axes: Slices, finish: Callable[[Array], Any]) -> Array:
    """A number for each window of images ``(N, spatial..., C)``."""
    result = np.empty((len(x), *map(len, axes), x.shape[-1]), x.dtype)
    for place in itertools.product(*(range(len(windows)) for windows in axes)):
        windows: Any = [axis[i] for axis, i in zip(axes, place, strict=True)]
        index: Any = (slice(None), *windows)
        part = x[index]
        flat = part.reshape(len(x), -1, x.shape[-1])
        spot: Any = (slice(None), *place)
        result[spot] = finish(flat)
    return result


def adaptive(side: int, size: int) -> list[slice]:
    """The windows of the formula."""
    return [slice(floor(i * side / size), ceil((i + 1) * side / size)) for i in range(size)]


def normal(*shape: int) -> Array:
    """Numbers around 0, in float64."""
    return np.random.default_rng(len(shape)).standard_normal(shape)


ADAPTIVE: tuple[tuple[tuple[int, ...], Any], ...] = (
    ((11, 3), 4), ((7, 9, 2), (3, 5)), ((8, 6, 2), (4, 3)), ((5, 4, 2), (None, 6)), ((5, 4, 2), 1),
    ((4, 5, 3, 2), (2, 3, 3)),
)  # fmt: skip


@pytest.mark.parametrize(("shape", "size"), ADAPTIVE, ids=str)
def test_adaptive(shape: tuple[int, ...], size: Any) -> None:
    """Windows that differ by one, that lie side by side, more of them than places."""
    x, rank = normal(2, *shape), len(shape) - 1
    sizes = size if isinstance(size, tuple) else (size,) * rank
    axes = [
        adaptive(side, side if count is None else count)
        for side, count in zip(shape[:-1], sizes, strict=True)
    ]
    average = getattr(functional, f"adaptive_avg_pool{rank}d")
    largest = getattr(functional, f"adaptive_max_pool{rank}d")
    found = computed(lambda t: average(t, size), x)[0]
    np.testing.assert_allclose(found, pooled(x, axes, lambda w: w.mean(1)), rtol=1e-12)
    found = computed(lambda t: largest(t, size), x)[0]
    np.testing.assert_array_equal(found, pooled(x, axes, lambda w: w.max(1)))


def test_fractional() -> None:
    """Windows of the formula for several offsets; the last one ends with the side."""
    x = normal(2, 11, 9, 2)
    for size, offset in (((5, 4), (0.0, 0.7)), ((10, 8), (0.3, 0.99)), ((1, 2), (0.5, 0.5))):
        axes = []
        for side, count, u in zip((11, 9), size, offset, strict=True):
            step = (side - 2) / max(count - 1, 1)
            begins = [floor((i + u) * step) - floor(u * step) for i in range(count - 1)]
            axes.append([slice(begin, begin + 2) for begin in (*begins, side - 2)])
        pool = functional.fractional_max_pool2d
        found = computed(lambda t, s=size, u=offset: pool(t, 2, s, offset=u), x)[0]  # noqa: B023
        np.testing.assert_array_equal(found, pooled(x, axes, lambda w: w.max(1)))


# -- windows that are drawn -------------------------------------------------------------------

NAMES = {"samples": np.array([11, 12, 40], np.int64), "key": np.array([-3, 2], np.int64)}


def drawn(
    layer: nn.Module, x: Array, changed: Mapping[str, Array] | None = None, *, training: bool = True
) -> Array:
    """A layer on images in training, by kernels and references."""
    traced = nn.trace_model(layer, x.shape[1:], training=training)
    graph = traced.builder.graph([("y", traced.output)])
    named: dict[str, Array] = {"images": x.astype(np.float32), **NAMES, **(changed or {})}
    used = {str(node.attrs.name): named[node.attrs.name] for _, node in graph.inputs()}
    return check(graph, used, len(x))["y"]


LAYERS = (
    (nn.FractionalMaxPool2d(2, (5, 4)), (11, 9, 3)),
    (nn.FractionalMaxPool2d((1, 3), output_ratio=0.5), (9, 12, 4)),
    (nn.FractionalMaxPool3d(2, 3), (5, 7, 6, 2)),
)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=repr)
def test_each_image_and_channel_has_windows_of_its_own(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    """By the generator's numbers: seed, epoch, sample, and the place in (axis, channel)."""
    x, rank = normal(3, *shape), len(shape) - 1
    x = x.astype(np.float32)
    found = drawn(layer, x)
    for n, sample in enumerate(NAMES["samples"]):
        u = uniform32(
            2**64 - 3, Purpose.FRACTIONAL_POOLING, 0, 2, sample, np.arange(rank * shape[-1])
        )
        u = u.reshape(rank, -1)
        for c in range(shape[-1]):
            axes = []
            for axis, side in enumerate(shape[:-1]):
                k, count = kernel_along(layer, axis), found.shape[1 + axis]
                step = np.float32(side - k) / np.float32(max(count - 1, 1))
                one = u[axis, c]
                begins = [int((np.float32(i) + one) * step) - int(one * step) for i in range(count)]
                begins[-1] = side - k
                axes.append([slice(begin, begin + k) for begin in begins])
            part = x[n : n + 1, ..., c : c + 1]
            wanted = pooled(part, axes, lambda w: w.max(1))
            np.testing.assert_array_equal(found[n : n + 1, ..., c : c + 1], wanted)


def kernel_along(layer: Any, axis: int) -> int:
    """A layer's kernel size along an axis."""
    size = layer.kernel_size
    return int(size[axis] if isinstance(size, tuple) else size)


def test_what_a_draw_depends_on() -> None:
    """Sample, epoch and seed, and which layer it is; not the images beside it."""
    x = np.repeat(normal(1, 24, 24, 3), 3, axis=0)
    layer = nn.FractionalMaxPool2d(2, 9)
    found = drawn(layer, x)
    assert (found[0] != found[1]).any()
    for changed in ({"samples": np.array([9, 8, 7])}, {"key": np.array([-3, 3])},
                    {"key": np.array([5, 2])}):  # fmt: skip
        assert (drawn(layer, x, changed) != found).any(axis=(1, 2, 3)).all()
    alone = drawn(layer, x[:1], {"samples": NAMES["samples"][2:]})
    np.testing.assert_array_equal(alone[0], found[2])
    again = drawn(nn.Branches(layer, nn.FractionalMaxPool2d(2, 9)), x)
    np.testing.assert_array_equal(again[..., :3], found)
    assert (again[..., 3:] != found).any(axis=(1, 2, 3)).all()


def test_dropout_draws_what_it_drew_without() -> None:
    """Layers of one kind are counted among themselves."""
    model = nn.Sequential(nn.FractionalMaxPool2d(2, 3), nn.Dropout(0.5))
    graph = (traced := nn.trace_model(model, (6, 6, 2), training=True)).builder.graph(
        [("y", traced.output)]
    )
    streams = {node.op: node.attrs.stream for node in graph.nodes
               if node.op in ("dropout", "uniform_like")}  # fmt: skip
    assert streams == {"uniform_like": 0, "dropout": 0}


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=repr)
def test_a_prediction_draws_nothing(layer: Any, shape: tuple[int, ...]) -> None:
    """It is that of the offset 0.5, in the same bits; so it is in a frozen layer."""
    x = normal(2, *shape)
    fixed = dataclasses.replace(layer, offset=0.5)
    wanted = drawn(fixed, x)
    np.testing.assert_array_equal(drawn(layer, x, training=False), wanted)
    np.testing.assert_array_equal(drawn(fixed, x, training=False), wanted)
    assert (drawn(layer, np.repeat(x, 2, axis=0)[:3]) != drawn(fixed, x[[0, 0, 1]])).any()
    trace = nn.Trace(layer, training=True, frozen=[""])
    assert "uniform_like" not in {
        trace.builder[i].op for i in range(layer(trace.images(shape)).index + 1)
    }


@pytest.mark.parametrize("offset", ["random", 0.5, (0.1, 0.8)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_with_indices(offset: Any, dtype: str) -> None:
    """Places are those of the maxima, of one draw; unpooling puts the values back there."""
    x = normal(2, 11, 9, 3).astype(dtype)
    size = (5, 4)

    def both(t: nn.Tensor) -> nn.Tensor:
        values, places = functional.fractional_max_pool2d_with_indices(t, 2, size, offset=offset)
        back = functional.max_unpool2d(values, places, 2, output_size=(11, 9))
        return functional.concatenate(*map(functional.flatten, (back, values, places)))

    (found,) = computed(both, x)
    back, values, places = np.split(found, [297, 357], axis=1)
    flat, numbers = x.reshape(2, 99, 3), places.reshape(2, 20, 3).astype(int)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, numbers, axis=1), values.reshape(2, 20, 3)
    )
    (alone,) = computed(lambda t: functional.fractional_max_pool2d(t, 2, size, offset=offset), x)
    np.testing.assert_array_equal(values.reshape(alone.shape), alone)
    back = back.reshape(flat.shape)
    np.testing.assert_array_equal(back[back != 0], flat[back != 0])


def test_with_indices_along_three_axes() -> None:
    """Numbers are row-major over all of them; ties go to the first."""
    x = np.zeros((1, 4, 5, 6, 1))
    for offset in ("random", 0.5):
        (places,) = computed(
            lambda t, u=offset: functional.fractional_max_pool3d_with_indices(t, 2, 2, offset=u)[1],
            x,
        )
        assert places[0, 0, 0, 0, 0] == 0
        assert places[0, 1, 1, 1, 0] == (2 * 5 + 3) * 6 + 4


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_norms(p: float) -> None:
    """Sums of powers over windows, padded, dilated, hanging over; no slope where all is zero."""
    x = normal(2, 7, 8, 2)
    x[:, :3, :3] = 0
    padded = np.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)))
    axes = [
        [slice(i, i + 3, 2) for i in range(0, 8, 2)],
        [slice(j, j + 3) for j in range(0, 8, 3)],
    ]

    def pool(t: Any) -> Any:
        return functional.lp_pool2d(
            t, p, (2, 3), (2, 3), padding=((1, 1), (0, 0)), dilation=(2, 1), ceil_mode=True
        )

    found, slope = computed(pool, x, dy=np.ones((2, 4, 3, 2)))
    wanted = pooled(padded, axes, lambda w: (np.abs(w) ** p).sum(1) ** (1 / p))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert np.isfinite(slope).all()
    assert found[0, 0, 0, 0] == slope[0, 0, 0, 0] == 0


SLOPES: tuple[Callable[..., Any], ...] = (
    lambda t: functional.adaptive_avg_pool2d(t, (3, 4)),
    lambda t: functional.adaptive_max_pool2d(t, (3, 4)),
    lambda t: functional.fractional_max_pool2d(t, 2, (4, 3)),
    lambda t: functional.fractional_max_pool2d(t, 2, (4, 3), offset=0.5),
    lambda t: functional.lp_pool2d(t, 2, 2),
    lambda t: functional.lp_pool2d(t, 3.0, 2, stride=1, padding=1),
)


@pytest.mark.parametrize("number", range(len(SLOPES)))
def test_gradients_are_the_slopes(number: int) -> None:
    """In float64, by differences."""
    check_slopes(SLOPES[number], normal(2, 5, 6, 2))


WRONG: Any = "drawn"
REFUSED: tuple[tuple[Callable[..., Any], type[IsoconvError], str], ...] = (
    (lambda x: functional.adaptive_avg_pool1d(x, 2), ShapeError, r"shape \(L, C\)"),
    (lambda x: functional.adaptive_avg_pool2d(x, (2,)), ArgumentError, "output_size must be a who"),
    (lambda x: functional.adaptive_max_pool2d(x, 0), ArgumentError, "output_size must be at least"),
    (lambda x: functional.fractional_max_pool2d(x, 2), ArgumentError, "be given, or else a ratio"),
    (lambda x: functional.fractional_max_pool2d(x, 2, 5), ShapeError, "make 1 to 4 windows of 2"),
    (lambda x: functional.fractional_max_pool2d(x, 2, output_ratio=1.0), ArgumentError, "below 1"),
    (lambda x: functional.fractional_max_pool2d(x, 2, 3, offset=WRONG), ArgumentError,
     'offset must be "random", a number or 2 of them; got \'drawn\''),
    (lambda x: functional.fractional_max_pool2d(x, 2, 3, offset=1), ArgumentError, "below 1"),
    (lambda x: functional.fractional_max_pool2d_with_indices(x, 2, 5), ShapeError, "make 1 to 4"),
    (lambda x: functional.lp_pool2d(x, 0, 2), ArgumentError, "norm_type must be a finite number"),
)  # fmt: skip


@pytest.mark.parametrize(("function", "kind", "text"), REFUSED)
def test_refused(function: Callable[..., Any], kind: type[IsoconvError], text: str) -> None:
    """The argument and its rule are named."""
    with pytest.raises(kind, match=text):
        function(Trace().images((5, 5, 2)))
