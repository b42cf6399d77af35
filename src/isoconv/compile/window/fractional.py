"""Fractional max pooling, where each channel has windows of its own, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.ops.fractional_pool import FractionalWindow


@dataclass(frozen=True, slots=True)
class FractionalPoolSpec(Specification):
    """A kernel for maxima of windows at steps between whole numbers.

    Attributes:
        kind: "max" or "place" (of the maximum, as a row-major number).
        dtype: float32 or float64.
        window: the windows.
        sides: sizes of the input per spatial axis.
        channels: number of channels.
        source: the input; strides per spatial axis, then the channel's.
        offsets: of windows; strides per axis of the input, then the channel's.
        domain: of the epilogue: sizes of the output per spatial axis, then channels.
        epilogue: pointwise work on the pooled value (its root), and where it is stored.
        buffers: number of pointers.
    """

    kind: str
    dtype: str
    window: FractionalWindow
    sides: tuple[int, ...]
    channels: int
    source: Operand
    offsets: Operand
    domain: Domain
    epilogue: Expression
    buffers: int

    @property
    def title(self) -> str:
        """What it does, in words."""
        return f"fractional max pooling{', places' if self.kind == 'place' else ''}"


@dataclass(frozen=True, slots=True)
class FractionalPoolGradSpec(Specification):
    """A kernel for the gradient of such maxima by the input.

    Attributes:
        dtype: float32 or float64.
        window: the windows.
        sides: sizes of the input per spatial axis.
        channels: number of channels.
        source: the pool's input; strides per spatial axis, then the channel's.
        offsets: of windows; strides per axis of the input, then the channel's.
        gradient: of the output; strides as the source's.
        result: the gradient of the input, likewise.
        buffers: number of pointers.
    """

    dtype: str
    window: FractionalWindow
    sides: tuple[int, ...]
    channels: int
    source: Operand
    offsets: Operand
    gradient: Operand
    result: Operand
    buffers: int

    title = "fractional max pooling, gradient"
