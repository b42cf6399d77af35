"""Loops over the axes of two operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.pointwise.cpu.expression import row_of
from isoconv.compile.pointwise.expression import Operand


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its size, and elements from one place to the next in source and result."""

    size: int
    source: int
    result: int


def joined(sizes: Sequence[int], source: Sequence[int], result: Sequence[int]) -> list[Axis]:
    """The axes of more than one place; those that lie behind each other in both operands as one."""
    found: list[Axis] = []
    for axis in (Axis(*each) for each in zip(sizes, source, result, strict=True)):
        if axis.size == 1:
            continue
        before = found[-1] if found else axis
        along = (axis.source * axis.size, axis.result * axis.size)
        if found and (before.source, before.result) == along:
            found[-1] = Axis(before.size * axis.size, axis.source, axis.result)
        else:
            found.append(axis)
    return found


def corner(k: Kernel, operand: Operand, image: Value) -> Value:
    """Address of an image's first element."""
    row = k.mul(row_of(k, operand, image), operand.image) if operand.image else 0
    return k.at(k.buffers[operand.buffer], k.add(operand.offset, row), operand.dtype)


def over(
    k: Kernel, axes: Sequence[Axis], body: Callable[[tuple[Value, ...]], None], *place: Value
) -> None:
    """Call ``body(place)`` for each place of these axes, behind those that are given."""
    if not axes:
        body(place)
        return
    with k.loop(0, axes[0].size) as i:
        over(k, axes[1:], body, *place, i)
