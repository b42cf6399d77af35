"""Reductions: sums over positions, images or everything, fused behind pointwise work."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand

__all__ = ["ReduceSpec"]


@dataclass(frozen=True, slots=True)
class ReduceSpec(Specification):
    """A reduction kernel.

    Attributes:
        domain: what it runs over; channels last.
        expression: pointwise work before the sums; it has no root and may store values.
        results: (value of the expression, where its sum goes). A place has strides for no axis or
            for the channels alone, and with `batched` an image stride.
        keep: 1 to sum each channel by itself, 0 to sum over channels too.
        batched: one result for each image; otherwise one over all images.
        dtype: of the sums.
        buffers: number of pointers.
    """

    domain: Domain
    expression: Expression
    results: tuple[tuple[int, Operand], ...]
    keep: int
    batched: bool
    dtype: str
    buffers: int

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "sums"

    def flops(self, images: int) -> int:
        """One for each step and each sum at each place of the domain."""
        return self.domain.elements(images) * (len(self.expression.steps) + len(self.results))
