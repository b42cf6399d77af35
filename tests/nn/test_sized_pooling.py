"""Adaptive, fractional and norm pooling beside the windows of their formulas, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from tests.nn.slopes import check_slopes, computed

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
    lambda t: functional.lp_pool2d(t, 2, 2),
    lambda t: functional.lp_pool2d(t, 3.0, 2, stride=1, padding=1),
)


@pytest.mark.parametrize("number", range(len(SLOPES)))
def test_gradients_are_the_slopes(number: int) -> None:
    """In float64, by differences."""
    check_slopes(SLOPES[number], normal(2, 5, 6, 2))


REFUSED: tuple[tuple[Callable[..., Any], type[IsoconvError], str], ...] = (
    (lambda x: functional.adaptive_avg_pool1d(x, 2), ShapeError, r"shape \(L, C\)"),
    (lambda x: functional.adaptive_avg_pool2d(x, (2,)), ArgumentError, "output_size must be a who"),
    (lambda x: functional.adaptive_max_pool2d(x, 0), ArgumentError, "output_size must be at least"),
    (lambda x: functional.fractional_max_pool2d(x, 2), ArgumentError, "be given, or else a ratio"),
    (lambda x: functional.fractional_max_pool2d(x, 2, 5), ShapeError, "make 1 to 4 windows of 2"),
    (lambda x: functional.fractional_max_pool2d(x, 2, output_ratio=1.0), ArgumentError, "below 1"),
    (lambda x: functional.lp_pool2d(x, 0, 2), ArgumentError, "norm_type must be a finite number"),
)  # fmt: skip


@pytest.mark.parametrize(("function", "kind", "text"), REFUSED)
def test_refused(function: Callable[..., Any], kind: type[IsoconvError], text: str) -> None:
    """The argument and its rule are named."""
    with pytest.raises(kind, match=text):
        function(Trace().images((5, 5, 2)))
