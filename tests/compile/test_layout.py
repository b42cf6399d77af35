"""Strides, halos and flat vectors against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoconv.compile.layout import (
    ALIGNMENT,
    Buffer,
    FlatLayout,
    Placement,
    dense_strides,
    with_halo,
)
from isoconv.graph.ir import DType, TensorSpec

SHAPES = st.lists(st.integers(1, 5), max_size=4).map(tuple)
BUFFER = Buffer("arena", "b", 0)


@given(SHAPES)
@settings(deadline=None, derandomize=True)
def test_dense_strides(shape: tuple[int, ...]) -> None:
    """Strides of a contiguous array, in elements."""
    array = np.zeros(shape, np.float32)
    kept = [d for d, n in enumerate(shape) if n != 1]
    found = dense_strides(shape)
    assert len(found) == len(shape)
    assert [found[d] for d in kept] == [array.strides[d] // 4 for d in kept]


@given(SHAPES, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=3))
@settings(deadline=None, derandomize=True)
def test_with_halo(sides: tuple[int, ...], drawn: list[tuple[int, int]]) -> None:
    """The inner elements of a with_halo value are those of a padded array's middle."""
    halo = tuple(drawn[: len(sides)])
    spec = TensorSpec((*sides, 3))
    shape, strides, offset = with_halo(spec, halo)
    whole = np.arange(np.prod(shape)).reshape(shape)
    middle = whole[tuple(slice(b, n + b) for (b, _), n in zip(halo, sides, strict=False))]
    inner = np.lib.stride_tricks.as_strided(
        whole.ravel()[offset:], spec.shape, [8 * s for s in strides]
    )
    np.testing.assert_array_equal(inner, middle)
    assert shape[-1] == 3


@pytest.mark.parametrize(
    ("shape", "strides", "image", "dense"),
    [
        ((4, 5, 3), (15, 3, 1), 60, True),
        ((4, 5, 3), (18, 3, 1), 72, False),
        ((4, 5, 3), (15, 3, 1), 61, False),
        ((1, 5, 3), (99, 3, 1), 15, True),
        ((), (), 1, True),
        ((3,), (2,), 6, False),
    ],
)
def test_is_dense(
    shape: tuple[int, ...], strides: tuple[int, ...], image: int, dense: bool
) -> None:
    """Dense is without gaps, images included; the strides of axes of size 1 do not matter."""
    place = Placement(BUFFER, "float32", strides, image, 0)
    assert place.is_dense(TensorSpec(shape)) == dense


def test_unbatched_is_dense_without_an_image_axis() -> None:
    """The distance between images does not matter where there are none."""
    place = Placement(BUFFER, "float32", (3, 1), 0, 0)
    assert place.is_dense(TensorSpec((2, 3), batched=False))


@given(st.lists(SHAPES, max_size=6), st.sampled_from(["float32", "float64"]))
@settings(deadline=None, derandomize=True)
def test_flat_layout(shapes: list[tuple[int, ...]], dtype: DType) -> None:
    """Arrays lie in order, apart, and each on a cache line."""
    layout = FlatLayout({f"p{i}": shape for i, shape in enumerate(shapes)}, dtype)
    itemsize = np.dtype(dtype).itemsize
    end = 0
    for i, shape in enumerate(shapes):
        where = layout.slice(f"p{i}")
        assert where.start >= end
        assert where.start * itemsize % ALIGNMENT == 0
        assert where.stop - where.start == np.prod(shape, dtype=int)
        end = where.stop
    assert layout.size >= end
    assert layout.size - end < ALIGNMENT // itemsize
    assert layout.size * itemsize % ALIGNMENT == 0
