"""Copies of a block's source and gradient, in the order in which a gradient by weight reads them.

Each step of a chain reads the channels of one tile at one position, and a few vectors of filters at
another. Where positions lie a kilobyte or more apart, a page of memory holds four of them or fewer:
a processor that fetches ahead what lies behind what was read stops at a page's end, and positions
that are a power of two apart meet in few sets of the first cache. In panels, what the chain of a
tile reads lies one behind the other:

    panel of a tile's channels      (images, places..., T)
    panel of a block of filters     (images, rows, positions..., V · lanes)

Places are those of the source that any kernel position meets, the zeros around it with them. Each
panel is copied when the first tile wants it. Numbers are moved, none is computed.

Whether that pays is weighed by constants that were found on a Zen 4, whose 256-bit code begins two
FMAs a cycle and its 512-bit code one. Of a CPU with two of 512 bits it is a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from isoconv.compile.contraction.index_maps import Axis
from isoconv.compile.contraction.padding import inside_share
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec, WeightSchedule
from isoconv.compile.layout import ALIGNMENT
from isoconv.compile.target import Target
from isoconv.graph.ir import DTYPES

_FLAG = 8  # bytes
_FAR_APART = 1024  # bytes from a position to the next
_AWAITED = (
    7.0  # cycles of FMAs that hide the way of a line so far from the last one: 6 do not, 9 do
)
_COPIED = 5.0  # cycles that a vector takes which is copied, measured on a Zen 4
_DEAR = 1 / 10  # of the time of a block's products that copying may take
_MOST = 4  # times a core's own cache that panels may take


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a source that some positions along an axis reach, as a panel holds them.

    Attributes:
        count: how many.
        first: coordinate of the first one, from that of the first position on.
        step: coordinates from one to the next.
        per_position: places from a position to the next one.
        per_tap: places from a kernel position to the next one.
        corner: place of the first position's first kernel position.
    """

    count: int
    first: int
    step: int
    per_position: int
    per_tap: int
    corner: int


def places(axis: Axis, positions: int) -> Places:
    """Those that so many positions of an axis reach."""
    step = gcd(axis.in_step, axis.in_tap)
    swing = (axis.taps - 1) * axis.in_tap
    return Places(
        count=((positions - 1) * axis.in_step + abs(swing)) // step + 1,
        first=axis.in_first + min(0, swing),
        step=step,
        per_position=axis.in_step // step,
        per_tap=axis.in_tap // step,
        corner=max(0, -swing) // step,
    )


@dataclass(frozen=True, slots=True)
class PanelMap:
    """Where the panels of a block lie in scratch memory; counts are in elements.

    First those of the gradient, one behind the other, then those of the source with room behind
    each for a vector that is stored whole, then a flag for each panel that is there.

    Attributes:
        places: of the source, per axis.
        positions: of a block.
        width: channels of a panel of the source.
        source_panel: from one panel of the source to the next.
        source: where the first of them begins.
        flags: bytes to the first flag, of the gradient's panels and then of the source's.
        gradient_panels: how many of the gradient.
        source_panels: how many of the source.
    """

    places: tuple[Places, ...]
    positions: int
    width: int
    source_panel: int
    source: int
    flags: int
    gradient_panels: int
    source_panels: int

    @property
    def bytes(self) -> int:
        """Of scratch memory."""
        return self.flags + _FLAG * (self.gradient_panels + self.source_panels)


def panel_map(spec: ContractWeightSpec, schedule: WeightSchedule) -> PanelMap:
    """Where the panels of a block lie; the tile's columns are channels."""
    axes, tile, size = spec.axes, schedule.tile, DTYPES[spec.dtype]
    reached = tuple(places(a, a.positions if d else schedule.rows) for d, a in enumerate(axes))
    positions = schedule.images * schedule.rows * prod(axis.positions for axis in axes[1:])
    vectors = -(-spec.filters // tile.lanes)
    source = vectors * tile.lanes * positions
    source_panels = -(-spec.channels // tile.columns)
    width = -(-spec.channels // source_panels)
    source_panel = schedule.images * prod(p.count for p in reached) * width + tile.lanes
    end = (source + source_panels * source_panel) * size
    return PanelMap(
        places=reached,
        positions=positions,
        width=width,
        source_panel=source_panel,
        source=source,
        flags=-(-end // ALIGNMENT) * ALIGNMENT,
        gradient_panels=-(-vectors // tile.vectors),
        source_panels=source_panels,
    )


def panels_pay(target: Target, spec: ContractWeightSpec, schedule: WeightSchedule) -> bool:
    """Whether a gradient by weight is faster with panels.

    Args:
        target: the machine.
        spec: the sum.
        schedule: with the tile, the images and the rows of a block that it would have with them.
    """
    size, tile = DTYPES[spec.dtype], schedule.tile
    lines = 0
    if spec.axes[-1].in_step * spec.source.strides[-2] * size >= _FAR_APART:
        lines += 1
    if spec.gradient.strides[-2] * size >= _FAR_APART:
        lines += -(-tile.vectors * tile.lanes * size // ALIGNMENT)
    step = tile.columns * tile.vectors / target.core.fmas
    if lines * _AWAITED <= step:
        return False
    found = panel_map(spec, schedule)
    if found.bytes > _MOST * target.core.own_cache:
        return False
    # Vectors that are copied for a block, and its vectors of FMAs.
    vectors = -(-spec.filters // tile.lanes)
    places = schedule.images * prod(place.count for place in found.places)
    copied = places * found.source_panels * -(-found.width // tile.lanes)
    copied += found.positions * vectors
    share = inside_share(spec.axes, spec.sides)
    products = found.positions * prod(a.taps for a in spec.axes) * share * spec.channels * vectors
    return copied * _COPIED <= _DEAR * products / target.core.fmas
