"""Reductions: sums over any axes, over images too or not, fused behind pointwise work."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand


@dataclass(frozen=True, slots=True)
class ReduceSpec(Specification):
    """A reduction kernel.

    Attributes:
        domain: what it runs over.
        expression: pointwise work before the sums; it has no root and may store values.
        results: (value of the expression, where its sum goes). A place has a stride for each kept
            axis, and with `batched` an image stride.
        kept: the axes of the domain that are not summed over.
        batched: one result for each image; otherwise one over all images.
        dtype: of the sums.
        buffers: number of pointers.
    """

    domain: Domain
    expression: Expression
    results: tuple[tuple[int, Operand], ...]
    kept: tuple[int, ...]
    batched: bool
    dtype: str
    buffers: int

    title = "sums"

    def flops(self, images: int) -> int:
        """One for each step and each sum at each place of the domain."""
        return self.domain.elements(images) * (len(self.expression.steps) + len(self.results))
