"""Layer normalisation along the last axis, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand


@dataclass(frozen=True, slots=True)
class LayerNormSpec(Specification):
    """A kernel on rows, forward or backward.

    Attributes:
        dtype: float32 or float64.
        eps: added to the variance.
        domain: outer axes, then the row.
        source: the values.
        gradient: the gradient by the result; None forward.
        epilogue: pointwise work on the result, and where it is stored.
        buffers: number of pointers.
    """

    dtype: str
    eps: float
    domain: Domain
    source: Operand
    gradient: Operand | None
    epilogue: Expression
    buffers: int

    def flops(self, images: int) -> int:
        """Additions and multiplications of an element: 5 forward, 12 backward."""
        each = (5 if self.gradient is None else 12) + len(self.epilogue.steps)
        return images * prod(self.domain.axes) * each

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "layer norm" if self.gradient is None else "layer norm, gradient"
