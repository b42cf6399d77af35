"""Where Winograd's components lie: of all images in the arena, or of a chunk in scratch memory.

Components lie one behind the other. In the arena each holds all images of the shard: to each
contraction the tiles of all images are one long axis.

A shard's components have four times the size of its feature maps, and do not stay in a cache from
the kernel that writes them to the one that reads them. A chunk's do. With every chunk all weights
come again, though (for a gradient by weight the sums so far), and where those are more than what
the components save, a shard goes whole.
"""

from __future__ import annotations

from isoconv.compile.layout import ALIGNMENT, Buffer, Placement
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.target import Target
from isoconv.graph.ir import TensorSpec
from isoconv.ops.winograd_product import PLACES

_LINE = ALIGNMENT  # bytes
_SETS = 64 * _LINE  # addresses this far apart meet in the same place of a first cache
_APART = 5 * _LINE  # components are so far from that, so that a patch's places do not meet
_CROSSINGS = (
    3  # a component's bytes between a core and memory: loaded for the stores, written, read
)
_ON_THE_WAY = (
    3  # bytes of weights, in one stream that nobody waits for, that cost one of a component
)


def whole_components(name: str, spec: TensorSpec, capacity: int) -> Placement:
    """Components of so many images."""
    _, rows, columns, channels = spec.shape
    images, pitch = max(1, capacity), channels * spec.itemsize
    component = _component(images * rows * columns, pitch)
    buffer = Buffer("arena", name, -(-PLACES * component // images), batched=True)
    return _placed(buffer, component, pitch, spec)


def chunk_components(spec: TensorSpec, rows: int, start: int, *, apart: bool = False) -> Placement:
    """Components of so many rows of tiles, from a byte of the scratch memory on.

    Args:
        spec: of the components of an image.
        rows: of tiles.
        start: first byte.
        apart: whether positions are kept from lying a power of two apart. A contraction over
            positions reads a few elements of each, which would otherwise meet in the cache.
    """
    pitch = spec.shape[-1] * spec.itemsize
    if apart and pitch % (2 * _LINE) == 0:
        pitch += _LINE
    component = _component(rows * spec.shape[2], pitch)
    buffer = Buffer("scratch", "scratch", PLACES * component, start=start)
    return _placed(buffer, component, pitch, spec)


def _component(positions: int, pitch: int) -> int:
    """Bytes from one component to the next, with room for so many positions of so many bytes."""
    size = positions * pitch
    return max(0, -(-(size - _APART) // _SETS)) * _SETS + _APART


def _placed(buffer: Buffer, component: int, pitch: int, spec: TensorSpec) -> Placement:
    _, rows, columns, _ = spec.shape
    place, step = (size // spec.itemsize for size in (component, pitch))
    strides = (place, columns * step, step, 1)
    return Placement(buffer, spec.dtype, strides, rows * columns * step, 0)


def is_regular(place: Placement, spec: TensorSpec) -> bool:
    """Whether the positions of all images lie one behind the other in each component."""
    _, rows, columns, channels = spec.shape
    wanted = (columns * channels, channels, 1)
    return not place.rows and place.image == rows * wanted[0] and place.strides[1:] == wanted


def row_of(place: Placement, number: int) -> Operand:
    """The first component as a contraction without spatial axes has it: every position an image."""
    return Operand(number, place.dtype, (1,), place.strides[2], place.offset)


def chunk_rows(
    target: Target,
    components: TensorSpec,
    channels: int,
    filters: int,
    capacity: int,
    *,
    sums: bool = False,
) -> int:
    """Rows of tiles in a chunk; 0 if a shard's components go whole.

    Args:
        target: the machine.
        components: of an image.
        channels: of the source's components.
        filters: of the result's.
        capacity: most images of a shard.
        sums: whether the contraction is over positions: it writes weights as well as reading them.
    """
    _, rows, columns, _ = components.shape
    row = PLACES * (channels + filters) * columns * components.itemsize
    chunk = min(max(1, target.core.near // row), rows * max(1, capacity))
    weights = (2 if sums else 1) * PLACES * channels * filters * components.itemsize
    return chunk if weights <= _ON_THE_WAY * _CROSSINGS * chunk * row else 0
