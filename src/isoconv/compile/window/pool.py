"""Pooling: the maximum, its place or the average of a window, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.ops.geometry import WindowGeometry


@dataclass(frozen=True, slots=True)
class PoolSpec(Specification):
    """A pooling kernel.

    Attributes:
        kind: "max", "place" (of the maximum, as a row-major number) or "avg".
        dtype: float32 or float64.
        window: how the window moves.
        sides: sizes of the input per spatial axis.
        channels: number of channels.
        source: the input; strides per spatial axis, then the channel's (1).
        count_include_pad: an average also counts the padding that a window covers.
        domain: of the epilogue: sizes of the output per spatial axis, then channels.
        epilogue: pointwise work on the pooled value (its root), and where it is stored.
        buffers: number of pointers.
    """

    kind: str
    dtype: str
    window: WindowGeometry
    sides: tuple[int, ...]
    channels: int
    source: Operand
    count_include_pad: bool
    domain: Domain
    epilogue: Expression
    buffers: int

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "max pooling, places" if self.kind == "place" else f"{self.kind} pooling"
