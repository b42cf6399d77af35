"""Kernel calls: a specification, its buffers, and how a call's arguments are collected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from isoconv.compile.layout import Buffer, Placement
from isoconv.compile.native.kernels import KernelSpec
from isoconv.compile.pointwise.expression import Operand
from isoconv.graph.ir import TensorSpec

__all__ = ["Arguments", "Call", "Lowered"]


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel call: its specification and its buffers with byte offsets.

    Attributes:
        spec: the kernel.
        buffers: what its pointers point at.
        writes: which of them (by position) it writes.
        layer: the layer it works for.
    """

    spec: KernelSpec
    buffers: tuple[Buffer, ...]
    writes: tuple[int, ...]
    layer: str = ""


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
                self.buffers.append(Buffer("order", "order", 0))
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
