"""Work along one axis whose places are listed: values taken by their numbers, and mixtures."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.ops.resample import Taps


@dataclass(frozen=True, slots=True)
class TakeSpec(Specification):
    """Places of one axis by their numbers.

    Attributes:
        domain: the axes of the result.
        axis: along which, from 0.
        indices: for each place the one of the source; -1 for zero.
        source: what is read; strides of its own along all axes.
        result: where to.
        buffers: number of pointers.
    """

    domain: Domain
    axis: int
    indices: tuple[int, ...]
    source: Operand
    result: Operand
    buffers: int


@dataclass(frozen=True, slots=True)
class ResampleSpec(Specification):
    """Mixtures of places of one axis.

    Attributes:
        domain: the axes of the result.
        axis: along which, from 0.
        taps: for each place the (place of the source, weight) pairs of its chain.
        source: what is read; strides of its own along all axes.
        result: where to.
        buffers: number of pointers.
    """

    domain: Domain
    axis: int
    taps: Taps
    source: Operand
    result: Operand
    buffers: int

    def flops(self, images: int) -> int:
        """One fused multiply-add for each tap of each element."""
        taps, size = 0, self.domain.axes[self.axis]
        for row in self.taps:
            taps += len(row)
        return 2 * taps * (self.domain.elements(images) // size)
