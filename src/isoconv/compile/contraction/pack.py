"""Packing: a kernel's weights in the order in which a contraction's chains read them.

    for phase, group, block of filters, kernel position, channel of the chain:
        packed[...] = the block's weights, zeros in the lanes beyond the last filter

A forward pass has one phase; a strided gradient by the input has several, whose kernel positions a
table names. Behind the weights of all phases there may be the zeros that stand for products with
padding (see ``padding``), in the same order, as of chains of one step per kernel position.

Once per step; threads share the work.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.contraction.index_maps import Taps, tap_count
from isoconv.compile.contraction.packing import Packing


@dataclass(frozen=True, slots=True)
class PackSpec(Packing):
    """A packing kernel from ``(kernel..., C / groups, O)`` to blocks of filters.

    Attributes:
        kernel: kernel size per axis.
        phases: which kernel positions, in order; each phase has chains of its own.
        groups: number of groups; channels and filters are those of one.
        zeros: whether they are wanted.
    """

    kernel: tuple[int, ...]
    phases: tuple[Taps, ...]
    groups: int
    zeros: bool = False

    buffers = 2

    @property
    def size(self) -> int:
        """Elements of the packed array."""
        phases = len(self.phases)
        return self.begin_zeros(phases) if self.zeros else self.begin(phases)

    def begin(self, phase: int) -> int:
        """Elements that lie before the weights of a phase."""
        return self._link * self.chain * sum(map(tap_count, self.phases[:phase]))

    def begin_zeros(self, phase: int) -> int:
        """Elements that lie before the zeros of a phase."""
        return self.begin(len(self.phases)) + self.begin(phase) // self.chain

    @property
    def _link(self) -> int:
        """Elements of one step of the chains of all filters of all groups."""
        return self.groups * self.columns * self.lanes
