"""Gradients of pooling by its input."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.ops.geometry import WindowGeometry


@dataclass(frozen=True, slots=True)
class PoolGradSpec(Specification):
    """A kernel for the gradient of pooling.

    Attributes:
        kind: "max" or "avg".
        dtype: float32 or float64.
        window: how the window moves.
        sides: sizes of the input per spatial axis.
        channels: number of channels.
        source: for "max" the pool's input; strides per spatial axis, then the channel's (1).
        gradient: the gradient of the output, likewise.
        count_include_pad: an average also counts the padding that a window covers.
        domain: of the epilogue: sizes of the input per spatial axis, then channels.
        epilogue: pointwise work on dx (its root), and where it is stored.
        buffers: number of pointers.
    """

    kind: str
    dtype: str
    window: WindowGeometry
    sides: tuple[int, ...]
    channels: int
    source: Operand | None
    gradient: Operand
    count_include_pad: bool
    domain: Domain
    epilogue: Expression
    buffers: int

    @property
    def title(self) -> str:
        """What it does, in words."""
        return f"{self.kind} pooling, gradient"
