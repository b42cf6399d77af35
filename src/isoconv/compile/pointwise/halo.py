"""Halos of zeros around feature maps in memory that held something else before."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isoconv.compile.layout import Halo, dense_strides
from isoconv.compile.native.loops import Kernel, Value

__all__ = ["HaloSpec"]


@dataclass(frozen=True, slots=True)
class HaloSpec:
    """Zeros around each image of a batched value; what is inside stays as it is.

    Attributes:
        dtype: float32 or float64.
        sides: spatial sizes of the value, without its halo; at least one.
        channels: elements at a position.
        halo: positions before and after, per axis.
    """

    dtype: str
    sides: tuple[int, ...]
    channels: int
    halo: Halo

    buffers = 1

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body; threads share images × rows (the first of several axes)."""
        b = k.builder
        padded = [size + sum(pair) for size, pair in zip(self.sides, self.halo, strict=True)]
        shape = (*padded, self.channels)
        strides = dense_strides(shape)
        rows = padded[0] if len(padded) > 1 else 1
        begin, end = k.share(b.mul(k.slot("images"), k.const(rows)))
        with k.loop(begin, end) as unit:
            base = k.at(k.buffers[0], k.mul(unit, prod(shape) // rows), self.dtype)
            if len(padded) == 1:
                self._inside(k, base, strides, 0)
            else:
                self._row(k, base, strides, b.srem(unit, k.const(rows)))

    def _row(self, k: Kernel, base: Value, strides: tuple[int, ...], row: Value) -> None:
        """A row of the first axis: all of it, or what lies around its inside."""
        b, first = k.builder, self.halo[0][0]
        inside = b.and_(
            b.icmp_signed(">=", row, k.const(first)),
            b.icmp_signed("<", row, k.const(first + self.sides[0])),
        )
        with b.if_else(inside) as (within, beyond):
            with within:
                self._inside(k, base, strides, 1)
            with beyond:
                self._zeros(k, base, strides[0])

    def _inside(self, k: Kernel, base: Value, strides: tuple[int, ...], axis: int) -> None:
        """The halo along this axis and those behind it."""
        (before, after), size, stride = self.halo[axis], self.sides[axis], strides[axis]
        self._zeros(k, base, before * stride)
        if axis + 1 < len(self.sides):
            with k.loop(before, before + size) as i:
                self._inside(k, k.at(base, k.mul(i, stride), self.dtype), strides, axis + 1)
        self._zeros(k, k.at(base, (before + size) * stride, self.dtype), after * stride)

    def _zeros(self, k: Kernel, base: Value, count: int) -> None:
        lanes = k.target.lanes(self.dtype)
        full = count // lanes * lanes
        if full:
            with k.loop(0, full, lanes) as i:
                k.store(k.splat_const(0.0, self.dtype, lanes), k.at(base, i, self.dtype))
        while full < count:
            lanes //= 2
            if full + lanes <= count:
                k.store(k.splat_const(0.0, self.dtype, lanes), k.at(base, full, self.dtype))
                full += lanes
