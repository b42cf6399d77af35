"""Kernel calls: a specification, its buffers, and how a call's arguments are collected.

What a call computes, moves and is called: 1 FMA = 2 FLOP, and every operand crosses the memory bus
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isoconv.compile.layout import Buffer, Placement
from isoconv.compile.native.specification import Schedule, Scheduled, Specification
from isoconv.compile.pointwise.expression import Operand
from isoconv.graph.ir import TensorSpec


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call: its specification and its buffers with byte offsets.

    Attributes:
        spec: the kernel.
        buffers: what its pointers point at.
        writes: which of them (by position) it writes.
        layer: the layer it works for.
        schedule: how the kernel goes about its work; None where there is one way.
        gradient: whether it is a gradient by the input, which the same kernel could be forward.
    """

    spec: Specification
    buffers: tuple[Buffer, ...]
    writes: tuple[int, ...]
    layer: str = ""
    schedule: Schedule | None = None
    gradient: bool = False

    @property
    def kernel(self) -> Specification:
        """What a library knows its kernel by: the specification, with a schedule if it has one."""
        return self.spec if self.schedule is None else Scheduled(self.spec, self.schedule)

    @property
    def title(self) -> str:
        """What it does, in words."""
        return self.spec.gradient_title if self.gradient else self.spec.title

    def flops(self, images: int) -> int:
        """Multiplications and additions on so many images."""
        return self.spec.flops(images)

    def bytes(self, images: int, rows: Mapping[str, int]) -> int:
        """Bytes of its operands, each once; what it keeps in scratch memory is none.

        0 for a kernel that goes through a part of its operands alone.

        Args:
            images: that it works on.
            rows: bytes of one row of each data set.
        """
        moved = 0
        for buffer in self.buffers if self.spec.whole else ():
            if buffer.region in ("dataset", "output"):
                moved += images * rows.get(buffer.name, 0)
            elif buffer.region != "scratch":
                moved += buffer.bytes * (images if buffer.batched else 1)
        return moved


@dataclass(slots=True)
class Lowered:
    """The calls of one shard, and those that come before all shards of a step."""

    prepare: list[Call] = field(default_factory=list)
    shard: list[Call] = field(default_factory=list)


class Arguments:
    """Collects a call's buffers and gives them numbers."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.writes: list[int] = []

    def add(self, buffer: Buffer, *, write: bool = False) -> int:
        """Number of a buffer among the call's pointers."""
        if buffer not in self.buffers or buffer.region == "dataset":
            self.buffers.append(buffer)
            if buffer.region == "dataset":
                self.buffers.append(Buffer("order", buffer.name, 0))
                return len(self.buffers) - 2
        number = self.buffers.index(buffer)
        if write and number not in self.writes:
            self.writes.append(number)
        return number

    def operand(
        self, place: Placement, spec: TensorSpec, domain: TensorSpec, *, write: bool = False
    ) -> Operand:
        """A value as a kernel over `domain` sees it; missing axes repeat it."""
        number = self.add(place.buffer, write=write)
        missing = len(domain.shape) - len(spec.shape)
        strides = (0,) * missing + tuple(
            stride if size == side else 0
            for stride, size, side in zip(
                place.strides, spec.shape, domain.shape[missing:], strict=True
            )
        )
        image = place.image if spec.batched and domain.batched else 0
        rows: Any = place.rows
        return Operand(number, place.dtype, strides, image, place.offset, rows)
