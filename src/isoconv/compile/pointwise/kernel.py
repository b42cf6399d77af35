"""Pointwise kernels: any fused chain of elementwise work in one pass over memory."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression


@dataclass(frozen=True, slots=True)
class PointwiseSpec(Specification):
    """A pointwise kernel.

    Attributes:
        domain: what it runs over.
        expression: what it does there; it has no root.
        buffers: number of pointers.
    """

    domain: Domain
    expression: Expression
    buffers: int

    def flops(self, images: int) -> int:
        """One for each step at each place of the domain."""
        return self.domain.elements(images) * len(self.expression.steps)
