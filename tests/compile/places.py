"""Arrays with gaps between their rows, for tests of kernels: `placed(array, gaps, buffer)`."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import numpy as np
from tests.compile.harness import aligned

from isoconv.compile.pointwise.expression import Expression, Operand
from isoconv.compile.target import Target, target_named
from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array

FILLER = 77.0


def placed(
    array: Array, buffer: int, gaps: Sequence[int] = (), *, image: bool = True
) -> tuple[Array, Operand, Array]:
    """A larger array with `array` in its corner (1, 1, ...) per gapped axis, and its operand.

    Args:
        array: first axis images if `image`, last axis channels.
        buffer: number of the buffer.
        gaps: how much larger each spatial axis is; all zeros if shorter than the axes.
        image: whether the first axis is images.
    """
    lead = 1 if image else 0
    axes = array.ndim - lead
    gaps = (*gaps, *(0,) * (axes - len(gaps)))
    sizes = [n + g for n, g in zip(array.shape[lead:], gaps, strict=True)]
    whole = np.full((*array.shape[:lead], *sizes), FILLER, array.dtype)
    starts = [min(g, 1) for g in gaps]
    corner = tuple(slice(s, s + n) for s, n in zip(starts, array.shape[lead:], strict=True))
    where: tuple[slice | EllipsisType, ...] = (*(slice(None),) * lead, *corner, ...)
    whole[where] = array
    whole = aligned(whole)
    strides = [int(np.prod(sizes[d + 1 :])) for d in range(axes)]
    offset = sum(first * s for first, s in zip(starts, strides, strict=True))
    operand = Operand(
        buffer, str(array.dtype), tuple(strides), int(np.prod(sizes)) if image else 0, offset
    )
    return whole, operand, whole[where]


def plain_store(dtype: str, *where: Operand) -> Expression:
    """An epilogue that stores its root in these places."""
    return Expression((), dtype, (), tuple((0, place) for place in where))


def targets() -> list[Target]:
    """Every target that this machine runs."""
    found = []
    for name in ("avx512", "avx2", "sse", "generic", "neon"):
        try:
            found.append(target_named(name))
        except ArgumentError:
            continue
    return found


def same_bits(a: Array, b: Array) -> None:
    """Equality of every bit; all NaN count as one."""
    assert a.shape == b.shape, (a.shape, b.shape)
    assert a.dtype == b.dtype
    word = {4: np.uint32, 8: np.uint64}[a.dtype.itemsize]
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    equal = (a.view(word) == b.view(word)) | (np.isnan(a) & np.isnan(b))
    assert equal.all(), (np.argwhere(~equal)[:5], a[~equal][:5], b[~equal][:5])
