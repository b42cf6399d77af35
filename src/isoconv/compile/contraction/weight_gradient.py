"""Contractions over images and positions: the gradient by the kernel.

    for kernel position m, channel c, filter o:
        acc = +0.0
        for n, position:                                     # the chain, in this order
            acc = fma(source[n, where(position, m), c], gradient[n, position, o], acc)
        result[m, c, o] = acc

Products with padding may be left out, see ``padding``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.padding import inside_terms
from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.native.specification import Schedule, Specification
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.target import Target

UNROLLED_ELEMENTS = 64  # kernel elements per filter up to which every tile's offsets are unrolled


@dataclass(frozen=True, slots=True)
class ContractWeightSpec(Specification):
    """A kernel for the gradient by weights.

    Attributes:
        dtype: float32 or float64.
        axes: spatial axes; ``positions`` are those of the gradient, taps those of the kernel.
        groups: independent groups.
        channels: input channels per group.
        filters: output channels per group.
        source: the input; strides per spatial axis, then the channel's.
        gradient: the gradient of the output, likewise.
        result: buffer of the result, shape (kernel..., channels, groups * filters).
        offset: element of that buffer where the result begins.
        buffers: number of pointers.
        sides: per spatial axis the source's size without its padding, if products with padding
            along this axis are to be left out; else 0.
    """

    dtype: str
    axes: tuple[Axis, ...]
    groups: int
    channels: int
    filters: int
    source: Operand
    gradient: Operand
    result: int
    offset: int
    buffers: int
    sides: tuple[int, ...]

    heavy: ClassVar[bool] = True

    def flops(self, images: int) -> int:
        """Two for each product that is not left out."""
        terms = inside_terms(self.axes, self.sides)
        return 2 * images * terms * self.groups * self.filters * self.channels

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "gradient by weight"


@dataclass(frozen=True, slots=True)
class WeightSchedule(Schedule):
    """How a gradient by weights goes through images and kernel elements.

    Attributes:
        tile: ``columns`` kernel elements × ``vectors`` × ``lanes``.
        images: images of a block.
        rows: rows (along the first axis) of a block; all of them where it has several images, or
            chains would come in another order.
        ahead: elements of the source from a block to the next one, which is asked for while this
            one is worked on; 0 for not to ask.
        panels: number of the pointer to scratch memory, where blocks are copied to panels; None
            where they are read in place.
    """

    tile: Tile
    images: int
    rows: int
    ahead: int
    panels: int | None

    def limits(self, spec: Specification, target: Target) -> Mapping[str, float]:
        """Those of its tile."""
        return self.tile.limits(spec, target)


def run_length(axes: Sequence[Axis], groups: int, channels: int, strides: Sequence[int]) -> int:
    """Kernel elements that lie behind each other in the source.

    They are the channels of one kernel position, or of all positions along the last kernel axis.
    """
    joined = bool(axes) and groups == 1 and axes[-1].in_tap * strides[-1] == channels
    return channels * (axes[-1].taps if joined else 1)
