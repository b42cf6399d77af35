"""Products of matrices that are both computed: neither is packed.

    for n, leading axes..., row m, column p:
        acc = +0.0
        for k:                                               # the chain, in this order
            acc = fma(a[n, ..., m, k], b[n, ..., k, p], acc)
        result[n, ..., m, p] = epilogue(acc)

Their schedule is a register tile (``tiles.Tile``) whose columns are rows of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand


@dataclass(frozen=True, slots=True)
class MatrixSpec(Specification):
    """A kernel that multiplies matrices.

    Attributes:
        dtype: float32 or float64.
        terms: length of a chain.
        a: strides per leading axis of the result, then of a row and of a step of the chain.
        b: strides per leading axis of the result, then of a step of the chain and of a column (1).
        domain: of the result: leading axes, rows, columns.
        epilogue: pointwise work on the result, and where it is stored.
        buffers: number of pointers.
    """

    dtype: str
    terms: int
    a: Operand
    b: Operand
    domain: Domain
    epilogue: Expression
    buffers: int

    heavy: ClassVar[bool] = True

    def flops(self, images: int) -> int:
        """Two for each product, and one for each step behind it."""
        return self.domain.elements(images) * (2 * self.terms + len(self.epilogue.steps))

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "product of matrices"
