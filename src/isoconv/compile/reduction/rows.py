"""Operations on the last axis as a row of classes: softmax, cross-entropy, hits, ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Operand


@dataclass(frozen=True, slots=True)
class RowsSpec(Specification):
    """A kernel on rows of classes.

    Attributes:
        op: the operation.
        attrs: the operation's attributes.
        dtype: float32 or float64.
        domain: outer axes, then the K classes, of the operands or of the result.
        operands: as the operation's inputs. Labels and a gradient per row have strides for no
            axis, for the outer axes, or for all axes with 0 for the classes.
        result: likewise.
        buffers: number of pointers.
    """

    op: str
    attrs: Any
    dtype: str
    domain: Domain
    operands: tuple[Operand, ...]
    result: Operand
    buffers: int

    @property
    def title(self) -> str:
        """What it does, in words."""
        return self.op.replace("_", " ").replace(" grad", ", gradient")
