"""Where values lie: buffers, regions of memory, strides and halos of zeros."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from isoconv.graph.ir import DTYPES, TensorSpec

ALIGNMENT = 64  # bytes; a cache line and the widest vector
Halo = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A piece of memory.

    Attributes:
        region: ``arena`` (a shard's own), ``scratch`` (a thread's own, for one call), ``packed``,
            ``parameter``, ``state``, ``sums``, ``scalar``, ``dataset``, ``order`` or ``output``.
        name: tells it apart within its region.
        bytes: size; per image when batched.
        batched: holds one piece per image of the shard.
        halo: identifies arena buffers whose zeros coincide ("" for none): only such buffers may
            follow one another in the same memory.
        start: byte of the region's memory of that name where this piece begins, so that layers of
            equal shapes share their kernels.
    """

    region: str
    name: str
    bytes: int
    batched: bool = False
    halo: str = ""
    start: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """How a value lies in its buffer; counts are in elements.

    Attributes:
        buffer: the memory.
        dtype: element type.
        strides: per axis of the value, without the image axis.
        image: from one image to the next; 0 when unbatched.
        offset: of the value's first element.
        rows: as in ``expression.Operand``.
    """

    buffer: Buffer
    dtype: str
    strides: tuple[int, ...]
    image: int
    offset: int
    rows: str = ""

    def is_dense(self, spec: TensorSpec) -> bool:
        """Whether the value's elements lie behind each other without gaps, images included."""
        kept = [(n, s) for n, s in zip(spec.shape, self.strides, strict=True) if n != 1]
        dense = [n for n in spec.shape if n != 1]
        return tuple(s for _, s in kept) == dense_strides(dense) and (
            not spec.batched or self.image == spec.size
        )


def dense_placement(buffer: Buffer, spec: TensorSpec) -> Placement:
    """A value from its buffer's first byte on, without gaps: an input, or what a caller is given.

    Of a data set a kernel picks the rows by the order, of an output those of its own images.
    """
    rows = {"dataset": "gathered", "output": "shifted"}.get(buffer.region, "")
    image, rows = (spec.size, rows) if spec.batched else (0, "")
    return Placement(buffer, spec.dtype, dense_strides(spec.shape), image, 0, rows)


def dense_strides(shape: Iterable[int]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    shape = tuple(shape)
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def with_halo(spec: TensorSpec, halo: Halo) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shape with its halo, strides in it, and the offset of the first inner element."""
    sides = spec.shape[: len(halo)]
    shape = tuple(size + before + after for size, (before, after) in zip(sides, halo, strict=True))
    shape += spec.shape[len(halo) :]
    strides = dense_strides(shape)
    offset = sum(before * s for (before, _), s in zip(halo, strides, strict=False))
    return shape, strides, offset


class FlatLayout:
    """Named arrays behind each other in one vector, each on a cache line.

    Args:
        shapes: shape by name, in the order in which they lie.
        dtype: element type of the vector.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: str = "float32") -> None:
        self.dtype = dtype
        self.shapes = dict(shapes)
        self.offsets: dict[str, int] = {}
        grain = ALIGNMENT // DTYPES[dtype]
        size = 0
        for name, shape in self.shapes.items():
            self.offsets[name] = size
            size += -(-prod(shape) // grain) * grain
        self.size = size

    def slice(self, name: str) -> slice:
        """Where an array lies."""
        start = self.offsets[name]
        return slice(start, start + prod(self.shapes[name]))
