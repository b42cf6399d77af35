"""Contractions whose lanes are filters: convolution, its gradient by input, linear layers.

    for n, group, position..., filter o:
        acc = +0.0
        for kernel position m, channel c:                    # the chain, in this order
            acc = fma(source[n, where(position, m), c], weight[m, c, o], acc)
        result[n, position, o] = epilogue(acc)

Their schedule is a register tile (``tiles.Tile``), whose vectors and lanes are those of the packed
weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand


@dataclass(frozen=True, slots=True)
class ContractSpec(Specification):
    """A contraction kernel.

    Attributes:
        dtype: float32 or float64.
        axes: spatial axes; none for a linear layer or a flat source.
        groups: independent groups.
        channels: chain length per kernel position, per group.
        filters: results per position, per group.
        flat: positions of one image when image and position axes are one; 0 otherwise.
        source: strides per spatial axis, then the channel's.
        weights: buffer of the packed weights.
        offset: elements of that buffer before those of this contraction.
        domain: of the epilogue: spatial sizes of the whole result, then all filters.
        epilogue: pointwise work on the result, and where it is stored.
        buffers: number of pointers.
    """

    dtype: str
    axes: tuple[Axis, ...]
    groups: int
    channels: int
    filters: int
    flat: int
    source: Operand
    weights: int
    offset: int
    domain: Domain
    epilogue: Expression
    buffers: int

    heavy: ClassVar[bool] = True

    @property
    def taps(self) -> int:
        """Kernel positions that take part."""
        return prod(axis.taps for axis in self.axes)

    @property
    def chain_length(self) -> int:
        """Products of a result."""
        return self.taps * self.channels

    @property
    def terms(self) -> int:
        """Pairs of a position and a kernel position whose products are added up."""
        return self.taps * self.positions

    @property
    def positions(self) -> int:
        """Positions of an image that it computes."""
        return self.flat or prod(axis.positions for axis in self.axes)

    def flops(self, images: int) -> int:
        """Two for each product, and one for each step behind it."""
        work = 2 * self.terms * self.channels + self.positions * len(self.epilogue.steps)
        return images * self.groups * self.filters * work

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "forward"

    @property
    def gradient_title(self) -> str:
        """What it does with weights that are packed the other way."""
        return "gradient by input"
