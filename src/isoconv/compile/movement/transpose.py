"""Transposed values: where the last axis of the result is not the last one in memory."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Operand


@dataclass(frozen=True, slots=True)
class TransposeSpec(Specification):
    """A copy in which vectors are stored along another axis than they are loaded along.

    Attributes:
        domain: the axes of the result.
        source: what is copied; it lies without gaps along an axis other than the last.
        result: where to; without gaps along the last axis.
        buffers: number of pointers.
    """

    domain: Domain
    source: Operand
    result: Operand
    buffers: int
