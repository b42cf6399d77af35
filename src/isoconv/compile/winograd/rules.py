"""How Winograd's convolution becomes kernel calls: components, contractions, mapped weights.

Where it pays (see ``winograd_layout.py``) one kernel takes a convolution chunk by chunk, and nobody
ever sees its components. So components that only contractions read are not made where their node
stands, but when one of those turns out to want them whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from isoconv.compile.calls import Arguments
from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.tiles import Tile, choose_tile
from isoconv.compile.contraction.weight_rules import weight_contraction
from isoconv.compile.layout import Halo, Placement
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.pointwise.expression import Domain, Expression
from isoconv.compile.winograd.chunks import Chunks, WinogradConvSpec, WinogradConvWeightSpec
from isoconv.compile.winograd.components import ComponentsSpec, ComponentsWeightSpec
from isoconv.compile.winograd.maps import WinogradComponentsSpec, WinogradMapSpec
from isoconv.compile.winograd.placement import (
    chunk_components,
    chunk_rows,
    is_regular,
    row_of,
    whole_components,
)
from isoconv.compile.winograd.weights import WinogradPackSpec, WinogradWeightSpec
from isoconv.graph.groups import Group
from isoconv.graph.ir import Graph, Node, TensorSpec
from isoconv.ops.geometry import ConvGeometry
from isoconv.ops.winograd import WinogradPatches
from isoconv.ops.winograd_direct import MAP_BEHIND, PRODUCTS
from isoconv.ops.winograd_product import PLACES

_LONG = 4096  # positions from which on more make no difference to the choice of a tile


def _patches_halo(_: Graph, node: Node) -> Iterator[tuple[int, Halo]]:
    """Whole patches reach beyond the input."""
    axes = zip(node.attrs.sides, node.attrs.padding, node.attrs.tiles, strict=True)
    yield 0, tuple((p, max(0, 2 * tiles + 2 - p - side)) for side, (p, _), tiles in axes)


def _tiles_halo(_: Graph, node: Node) -> Iterator[tuple[int, Halo]]:
    """Whole tiles reach beyond the gradient of the result."""
    pairs = zip(node.attrs.sides, node.attrs.tiles, strict=True)
    yield 0, tuple((0, 2 * tiles - side) for side, tiles in pairs)


def _settle(lowering: Lowering, index: int, place: Placement) -> None:
    """Components that were just written lie here, or within a halo where a reader wants one."""
    if any(map(any, lowering.halos.get(index, ()))):
        spec = lowering.spec(index)
        lowering.copy(place, spec, lowering.allocate(index), spec)
    else:
        lowering.places[index] = place


# Maps -------------------------------------------------------------------------------------------


@lowers("winograd_output_grad", halos=_tiles_halo)
@lowers("winograd_input", halos=_patches_halo)
def lower_to_components(lowering: Lowering, group: Group) -> None:
    """``winograd_input`` and ``winograd_output_grad``."""
    if lowering.fusion and PRODUCTS.issuperset(_readers(lowering, group.anchor)):
        lowering.deferred.add(group.anchor)
    else:
        _make_components(lowering, group.anchor)


def _readers(lowering: Lowering, index: int) -> list[str]:
    """The operations that read a value; an output is read by one called "output"."""
    found = [lowering.graph[reader].op for reader in lowering.users[index]]
    return found + ["output" for _, number in lowering.graph.outputs if number == index]


def _make_components(lowering: Lowering, index: int) -> None:
    """Components of all images."""
    node = lowering.graph[index]
    arguments = Arguments()
    place = whole_components(f"p{index}", node.spec, lowering.capacity)
    spec = _to_components(lowering, node, place, arguments)
    lowering.emit(replace(spec, buffers=len(arguments.buffers)), arguments, node.name)
    _settle(lowering, index, place)


def _to_components(
    lowering: Lowering, node: Node, place: Placement, arguments: Arguments
) -> WinogradComponentsSpec:
    (x,) = node.inputs
    patches = isinstance(node.attrs, WinogradPatches)
    source = lowering.read(x, arguments)
    top, left = (before for before, _ in node.attrs.padding) if patches else (0, 0)
    return WinogradComponentsSpec(
        kind="input" if patches else "output_grad",
        dtype=node.spec.dtype,
        tiles=node.attrs.tiles,
        channels=node.spec.shape[-1],
        corner=(-top, -left),
        source=source,
        components=arguments.operand(place, node.spec, node.spec, write=True),
        buffers=0,
    )


@lowers("winograd_output", "winograd_input_grad")
def lower_from_components(lowering: Lowering, group: Group) -> None:
    """``winograd_output`` and ``winograd_input_grad``, with pointwise work behind them."""
    node = lowering.graph[group.anchor]
    (source,) = node.inputs
    if source in lowering.deferred:
        _convolve(lowering, group)
        return
    arguments = Arguments()
    place = _components(lowering, source)
    spec = _from_components(lowering, group, place, arguments)
    lowering.emit(replace(spec, buffers=len(arguments.buffers)), arguments, node.name)


def _from_components(
    lowering: Lowering, group: Group, place: Placement, arguments: Arguments
) -> WinogradMapSpec:
    node = lowering.graph[group.anchor]
    seen = lowering.spec(node.inputs[0])
    patches = isinstance(node.attrs, WinogradPatches)
    components = arguments.operand(place, seen, seen)
    expression, _ = lowering.expression(group, node.spec, arguments)
    return WinogradMapSpec(
        kind="input_grad" if patches else "output",
        dtype=node.spec.dtype,
        sides=node.attrs.sides,
        tiles=node.attrs.tiles,
        channels=node.spec.shape[-1],
        padding=tuple(before for before, _ in node.attrs.padding) if patches else (0, 0),
        components=components,
        domain=Domain(node.spec.shape),
        epilogue=expression,
        buffers=0,
    )


def _convolve(lowering: Lowering, group: Group) -> None:
    """A whole convolution or its gradient by the input, chunk by chunk."""
    graph, node = lowering.graph, lowering.graph[group.anchor]
    product = graph[node.inputs[0]]
    components = graph[product.inputs[0]]
    rows = _chunk(lowering, product)
    # Overlapping patches: a row of blocks takes from the row of tiles before it as well.
    back = isinstance(node.attrs, WinogradPatches)
    held = rows + back
    arguments = Arguments()
    source = chunk_components(components.spec, held, 0)
    made = chunk_components(product.spec, held, source.buffer.bytes)
    most = held * components.spec.shape[2]
    maps = _to_components(lowering, components, source, arguments)
    contractions, tile = _contractions(lowering, product, source, made, most, arguments)
    result = _from_components(lowering, group, made, arguments)
    spec = WinogradConvSpec(maps, contractions, result, len(arguments.buffers))
    lowering.emit(spec, arguments, node.name, schedule=Chunks(rows, tile), gradient=back)


@lowers("winograd_weight")
def lower_weight(lowering: Lowering, group: Group) -> None:
    """``winograd_weight``, unless it is transformed where contractions' weights are packed."""
    index, graph = group.anchor, lowering.graph
    wanted = any(number == index for _, number in graph.outputs) or any(
        index in node.inputs and (node.op not in MAP_BEHIND or node.inputs[1] != index)
        for node in graph.nodes
    )
    if wanted:
        _weight(lowering, index, "weight")


@lowers("winograd_weight_grad")
def lower_weight_grad(lowering: Lowering, group: Group) -> None:
    """``winograd_weight_grad``."""
    _weight(lowering, group.anchor, "weight_grad")


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


def _chunk(lowering: Lowering, product: Node) -> int:
    """Rows of tiles in a chunk of a contraction; 0 to do without chunks."""
    components, second = (lowering.spec(index) for index in product.inputs)
    sums = not product.spec.batched
    last = second if sums else product.spec
    return chunk_rows(
        lowering.target, components, components.shape[-1], last.shape[-1], lowering.capacity,
        sums=sums,
    )  # fmt: skip


def _components(lowering: Lowering, index: int) -> Placement:
    """Components of all images in which positions lie one behind the other; copied if need be."""
    if index in lowering.deferred:
        lowering.deferred.remove(index)
        _make_components(lowering, index)
    place, spec = lowering.places[index], lowering.spec(index)
    if not is_regular(place, spec):
        copy = whole_components(f"c{index}", spec, lowering.capacity)
        lowering.copy(place, spec, copy, spec)
        place = copy
    return place


@lowers("winograd_product", "winograd_product_grad_input")
def lower_product(lowering: Lowering, group: Group) -> None:
    """``winograd_product`` and ``winograd_product_grad_input``."""
    node = lowering.graph[group.anchor]
    (v, _) = node.inputs
    if v in lowering.deferred and _chunk(lowering, node):
        readers = _readers(lowering, group.anchor)
        if len(readers) == 1 and readers[0] == MAP_BEHIND[node.op]:
            lowering.deferred.add(group.anchor)
            return
    arguments = Arguments()
    source = _components(lowering, v)
    result = whole_components(f"p{group.anchor}", node.spec, lowering.capacity)
    _, rows, columns, _ = node.spec.shape
    most = rows * columns * lowering.capacity
    spec, tile = _contractions(lowering, node, source, result, most, arguments)
    back = node.op == "winograd_product_grad_input"
    lowering.emit(spec, arguments, node.name, schedule=tile, gradient=back)
    _settle(lowering, group.anchor, result)


def _contractions(
    lowering: Lowering,
    node: Node,
    source: Placement,
    result: Placement,
    most: int,
    arguments: Arguments,
) -> tuple[ComponentsSpec, Tile]:
    """The 16 contractions on components of so many positions at most, and their schedule."""
    graph = lowering.graph
    transposed = node.op == "winograd_product_grad_input"
    _, u = node.inputs
    dtype = node.spec.dtype
    _, channels, filters = lowering.spec(u).shape
    chain, width = (filters, channels) if transposed else (channels, filters)
    seen, made = arguments.add(source.buffer), arguments.add(result.buffer, write=True)
    apart = chain * node.spec.itemsize
    longest = min(most, _LONG)
    tile = choose_tile(lowering.target, 1, longest, width, dtype, steps=(0, apart), flat=True)
    transformed = graph[u].op != "winograd_weight"
    pack = WinogradPackSpec(
        dtype, channels, filters, transposed, tile.vectors, tile.lanes, transformed
    )
    kernel = u if transformed else graph[u].inputs[0]
    weights = arguments.add(lowering.packed(kernel, pack, pack.size))
    inner = ContractSpec(
        dtype=dtype,
        axes=(),
        groups=1,
        channels=chain,
        filters=width,
        flat=1,
        source=row_of(source, seen),
        weights=weights,
        offset=0,
        domain=Domain((width,)),
        epilogue=Expression((), dtype, (), ((0, row_of(result, made)),)),
        buffers=len(arguments.buffers),
    )
    steps = {seen: source.strides[0], made: result.strides[0], weights: pack.component}
    return ComponentsSpec(inner, PLACES, _positions(node.spec), tuple(steps.items())), tile


@lowers("winograd_product_grad_weight")
def lower_product_grad_weight(lowering: Lowering, group: Group) -> None:
    """``winograd_product_grad_weight``."""
    node = lowering.graph[group.anchor]
    v, dm = node.inputs
    chunk = _chunk(lowering, node) if {v, dm} <= lowering.deferred else 0
    _, rows, columns, _ = lowering.spec(v).shape
    arguments = Arguments()
    if chunk:
        source = chunk_components(lowering.spec(v), chunk, 0, apart=True)
        gradient = chunk_components(lowering.spec(dm), chunk, source.buffer.bytes, apart=True)
        most = chunk * columns
    else:
        source, gradient = (_components(lowering, index) for index in node.inputs)
        most = rows * columns * lowering.capacity
    dtype = node.spec.dtype
    _, channels, filters = node.spec.shape
    seen, dy = (arguments.add(place.buffer) for place in (source, gradient))
    place = lowering.allocate(group.anchor)
    result = arguments.add(place.buffer, write=True)
    inner, schedule = weight_contraction(
        lowering.target,
        ConvGeometry.linear(),
        TensorSpec((channels,), dtype),
        TensorSpec((filters,), dtype),
        row_of(source, seen),
        row_of(gradient, dy),
        result,
        place.offset,
        len(arguments.buffers),
        most,
    )
    steps = {seen: source.strides[0], dy: gradient.strides[0], result: channels * filters}
    sums = ComponentsWeightSpec(inner, PLACES, _positions(lowering.spec(v)), tuple(steps.items()))
    if not chunk:
        lowering.emit(sums, arguments, node.name, schedule=schedule)
        return
    maps = _to_components(lowering, lowering.graph[v], source, arguments)
    gradient_maps = _to_components(lowering, lowering.graph[dm], gradient, arguments)
    spec = WinogradConvWeightSpec(maps, gradient_maps, sums, len(arguments.buffers))
    lowering.emit(spec, arguments, node.name, schedule=Chunks(chunk, schedule))


def _positions(components: TensorSpec) -> int:
    """Positions of a component of one image."""
    return components.shape[1] * components.shape[2]
