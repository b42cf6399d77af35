"""How Winograd's convolution becomes kernel calls: planes, 16 contractions, transformed weights.

Planes lie one behind the other, each holding all images of the shard: to each contraction the
tiles of all images are one long axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from isoconv.compile.calls import Arguments
from isoconv.compile.contract import ContractSpec
from isoconv.compile.contract_weight import ContractWeightSpec
from isoconv.compile.expression import Domain, Expression, Operand
from isoconv.compile.layout import ALIGNMENT, Border, Buffer, Placement
from isoconv.compile.lower_contract import weight_contraction
from isoconv.compile.planes import PlanesSpec
from isoconv.compile.schedule import choose_tile
from isoconv.compile.winograd import WinogradMapSpec, WinogradPlanesSpec
from isoconv.compile.winograd_weight import WinogradPackSpec, WinogradWeightSpec
from isoconv.graph.fuse import Group
from isoconv.graph.ir import Node, TensorSpec
from isoconv.ops.geometry import ConvGeometry
from isoconv.ops.winograd_product import PLACES

if TYPE_CHECKING:
    from isoconv.compile.lower import Lowering

__all__ = ["borders_of", "lower_from_planes", "lower_product", "lower_product_grad_weight",
           "lower_to_planes", "lower_weight", "lower_weight_grad"]  # fmt: skip

_LONG = 4096  # positions from which on more make no difference to the choice of a tile
_LINE = ALIGNMENT  # bytes
_SETS = 64 * _LINE  # addresses this far apart meet in the same place of a first cache
_APART = 5 * _LINE  # planes are so far from that, so that a patch's places do not meet


def borders_of(node: Node) -> Iterator[tuple[int, Border]]:
    """(input position, border) that this node wants around its inputs."""
    if node.op == "winograd_input":
        axes = zip(node.attrs.sides, node.attrs.padding, node.attrs.tiles, strict=True)
        yield 0, tuple((p, max(0, 2 * tiles + 2 - p - side)) for side, (p, _), tiles in axes)
    elif node.op == "winograd_output_grad":
        pairs = zip(node.attrs.sides, node.attrs.tiles, strict=True)
        yield 0, tuple((0, 2 * tiles - side) for side, tiles in pairs)


def _new_planes(lowering: Lowering, name: str, spec: TensorSpec) -> Placement:
    """Memory for planes."""
    _, rows, columns, channels = spec.shape
    image = rows * columns * channels
    images = max(1, lowering.capacity)
    size = images * image * spec.itemsize
    plane = max(0, -(-(size - _APART) // _SETS)) * _SETS + _APART
    per_image = -(-PLACES * plane // images)
    buffer = Buffer("arena", name, per_image, batched=True)
    strides = (plane // spec.itemsize, columns * channels, channels, 1)
    return Placement(buffer, spec.dtype, strides, image, 0)


def _settle(lowering: Lowering, index: int, place: Placement) -> None:
    """Planes that were just written lie here, or within a border where a reader wants one."""
    if any(map(any, lowering.borders.get(index, ()))):
        spec = lowering.spec(index)
        lowering.copy(place, spec, lowering.allocate(index), spec)
    else:
        lowering.places[index] = place


# Maps -------------------------------------------------------------------------------------------


def lower_to_planes(lowering: Lowering, group: Group) -> None:
    """``winograd_input`` and ``winograd_output_grad``."""
    node = lowering.graph[group.root]
    (x,) = node.inputs
    patches = node.op == "winograd_input"
    arguments = Arguments()
    source = arguments.operand(lowering.places[x], lowering.spec(x), lowering.spec(x))
    place = _new_planes(lowering, f"p{group.root}", node.spec)
    planes = arguments.operand(place, node.spec, node.spec, write=True)
    top, left = (before for before, _ in node.attrs.padding) if patches else (0, 0)
    spec = WinogradPlanesSpec(
        kind="input" if patches else "output_grad",
        dtype=node.spec.dtype,
        tiles=node.attrs.tiles,
        channels=node.spec.shape[-1],
        corner=(-top, -left),
        source=source,
        planes=planes,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)
    _settle(lowering, group.root, place)


def lower_from_planes(lowering: Lowering, group: Group) -> None:
    """``winograd_output`` and ``winograd_input_grad``, with pointwise work behind them."""
    node = lowering.graph[group.root]
    (source,) = node.inputs
    patches = node.op == "winograd_input_grad"
    arguments = Arguments()
    planes = arguments.operand(
        lowering.places[source], lowering.spec(source), lowering.spec(source)
    )
    expression, _ = lowering.expression(group, node.spec, arguments)
    top, left = (before for before, _ in node.attrs.padding) if patches else (0, 0)
    spec = WinogradMapSpec(
        kind="input_grad" if patches else "output",
        dtype=node.spec.dtype,
        sides=node.attrs.sides,
        tiles=node.attrs.tiles,
        channels=node.spec.shape[-1],
        padding=(top, left),
        planes=planes,
        domain=Domain(node.spec.shape),
        epilogue=expression,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)


def lower_weight(lowering: Lowering, group: Group) -> None:
    """``winograd_weight``, unless it is transformed where contractions' weights are packed."""
    index, graph = group.root, lowering.graph
    wanted = any(number == index for _, number in graph.outputs) or any(
        index in node.inputs and (node.op not in _PRODUCTS or node.inputs[1] != index)
        for node in graph.nodes
    )
    if wanted:
        _weight(lowering, index, "weight")


def lower_weight_grad(lowering: Lowering, group: Group) -> None:
    """``winograd_weight_grad``."""
    _weight(lowering, group.root, "weight_grad")


def _weight(lowering: Lowering, index: int, kind: str) -> None:
    node = lowering.graph[index]
    channels, filters = node.spec.shape[-2:]
    arguments = Arguments()
    arguments.add(lowering.dense(node.inputs[0]).buffer)
    place = lowering.allocate(index)
    arguments.add(place.buffer, write=True)
    spec = WinogradWeightSpec(kind, node.spec.dtype, channels * filters, place.offset)
    lowering.emit(spec, arguments, node.name)


# Products ---------------------------------------------------------------------------------------

_PRODUCTS = ("winograd_product", "winograd_product_grad_input")


def _planes(lowering: Lowering, index: int) -> Placement:
    """Planes in which the positions of all images lie at equal distances; copied if need be."""
    place, spec = lowering.places[index], lowering.spec(index)
    _, rows, columns, channels = spec.shape
    wanted = (columns * channels, channels, 1)
    if place.rows or place.image != rows * wanted[0] or place.strides[1:] != wanted:
        copy = _new_planes(lowering, f"c{index}", spec)
        lowering.copy(place, spec, copy, spec)
        place = copy
    return place


def _row(place: Placement, number: int, channels: int) -> Operand:
    """The first plane as a contraction without spatial axes sees it: every position an image."""
    return Operand(number, place.dtype, (1,), channels, place.offset)


def lower_product(lowering: Lowering, group: Group) -> None:
    """``winograd_product`` and ``winograd_product_grad_input``."""
    graph, node = lowering.graph, lowering.graph[group.root]
    transposed = node.op == "winograd_product_grad_input"
    v, u = node.inputs
    dtype = node.spec.dtype
    _, channels, filters = lowering.spec(u).shape
    chain, width = (filters, channels) if transposed else (channels, filters)
    _, rows, columns, _ = node.spec.shape
    arguments = Arguments()
    source, result = _planes(lowering, v), _new_planes(lowering, f"p{group.root}", node.spec)
    seen, made = arguments.add(source.buffer), arguments.add(result.buffer, write=True)
    longest = min(rows * columns * lowering.capacity, _LONG)
    apart = chain * node.spec.itemsize
    tile = choose_tile(lowering.target, 1, longest, width, dtype, steps=(0, apart), flat=True)
    transformed = graph[u].op != "winograd_weight"
    pack = WinogradPackSpec(
        dtype, channels, filters, transposed, tile.vectors, tile.lanes, transformed
    )
    weights = arguments.add(lowering.packed(u if transformed else graph[u].inputs[0], pack))
    inner = ContractSpec(
        dtype=dtype,
        axes=(),
        groups=1,
        channels=chain,
        filters=width,
        flat=1,
        source=_row(source, seen, chain),
        weights=weights,
        domain=Domain((width,)),
        epilogue=Expression((), dtype, (), ((0, _row(result, made, width)),)),
        buffers=len(arguments.buffers),
        tile=tile,
    )
    steps = {seen: source.strides[0], made: result.strides[0], weights: pack.plane}
    _emit_planes(lowering, inner, rows * columns, steps, arguments, node)
    _settle(lowering, group.root, result)


def lower_product_grad_weight(lowering: Lowering, group: Group) -> None:
    """``winograd_product_grad_weight``."""
    node = lowering.graph[group.root]
    dtype = node.spec.dtype
    _, channels, filters = node.spec.shape
    _, rows, columns, _ = lowering.spec(node.inputs[0]).shape
    arguments = Arguments()
    v, dm = (_planes(lowering, index) for index in node.inputs)
    source, gradient = (arguments.add(place.buffer) for place in (v, dm))
    place = lowering.allocate(group.root)
    result = arguments.add(place.buffer, write=True)
    inner = weight_contraction(
        lowering.target,
        ConvGeometry.linear(),
        TensorSpec((channels,), dtype),
        TensorSpec((filters,), dtype),
        _row(v, source, channels),
        _row(dm, gradient, filters),
        result,
        place.offset,
        len(arguments.buffers),
        rows * columns * lowering.capacity,
    )
    steps = {source: v.strides[0], gradient: dm.strides[0], result: channels * filters}
    _emit_planes(lowering, inner, rows * columns, steps, arguments, node)


def _emit_planes(
    lowering: Lowering,
    inner: ContractSpec | ContractWeightSpec,
    positions: int,
    steps: dict[int, int],
    arguments: Arguments,
    node: Node,
) -> None:
    per_buffer = tuple(steps.get(number, 0) for number in range(inner.buffers))
    spec = PlanesSpec(inner, PLACES, positions, per_buffer)
    lowering.emit(spec, arguments, node.name)
