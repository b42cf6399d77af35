"""Halos of zeros around feature maps in memory that held something else before."""

from __future__ import annotations

from math import prod

from isoconv.compile.layout import dense_strides
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.pointwise.halo import HaloSpec


@emits(HaloSpec)
def halo(k: Kernel, spec: HaloSpec) -> None:
    """Emit the kernel's body; threads share images × rows (the first of several axes)."""
    b = k.builder
    padded = [size + sum(pair) for size, pair in zip(spec.sides, spec.halo, strict=True)]
    shape = (*padded, spec.channels)
    strides = dense_strides(shape)
    rows = padded[0] if len(padded) > 1 else 1
    begin, end = k.share(b.mul(k.field("images"), k.const(rows)))
    with k.loop(begin, end) as unit:
        base = k.at(k.buffers[0], k.mul(unit, prod(shape) // rows), spec.dtype)
        if len(padded) == 1:
            _inside(k, spec, base, strides, 0)
        else:
            _row(k, spec, base, strides, b.srem(unit, k.const(rows)))


def _row(k: Kernel, spec: HaloSpec, base: Value, strides: tuple[int, ...], row: Value) -> None:
    """A row of the first axis: all of it, or what lies around its inside."""
    b, first = k.builder, spec.halo[0][0]
    inside = b.and_(
        b.icmp_signed(">=", row, k.const(first)),
        b.icmp_signed("<", row, k.const(first + spec.sides[0])),
    )
    with b.if_else(inside) as (within, beyond):
        with within:
            _inside(k, spec, base, strides, 1)
        with beyond:
            _zeros(k, spec, base, strides[0])


def _inside(k: Kernel, spec: HaloSpec, base: Value, strides: tuple[int, ...], axis: int) -> None:
    """The halo along this axis and those behind it."""
    (before, after), size, stride = spec.halo[axis], spec.sides[axis], strides[axis]
    _zeros(k, spec, base, before * stride)
    if axis + 1 < len(spec.sides):
        with k.loop(before, before + size) as i:
            _inside(k, spec, k.at(base, k.mul(i, stride), spec.dtype), strides, axis + 1)
    _zeros(k, spec, k.at(base, (before + size) * stride, spec.dtype), after * stride)


def _zeros(k: Kernel, spec: HaloSpec, base: Value, count: int) -> None:
    lanes = k.target.lanes(spec.dtype)
    full = count // lanes * lanes
    if full:
        with k.loop(0, full, lanes) as i:
            k.store(k.splat_const(0.0, spec.dtype, lanes), k.at(base, i, spec.dtype))
    while full < count:
        lanes //= 2
        if full + lanes <= count:
            k.store(k.splat_const(0.0, spec.dtype, lanes), k.at(base, full, spec.dtype))
            full += lanes
