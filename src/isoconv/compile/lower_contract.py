"""How convolutions and their gradients become kernel calls: index maps, tiles, packed weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from isoconv.compile.calls import Arguments
from isoconv.compile.contract import Axis, ContractSpec
from isoconv.compile.contract_weight import SPELLED, ContractWeightSpec
from isoconv.compile.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.expression import Domain, Expression, Operand
from isoconv.compile.index_maps import Phase, border, forward_axes, gradient_phases
from isoconv.compile.layout import Border
from isoconv.compile.pack import PackSpec
from isoconv.compile.schedule import choose_tile
from isoconv.compile.target import Target
from isoconv.graph.fuse import Group
from isoconv.graph.ir import Graph, Node, TensorSpec

if TYPE_CHECKING:
    from isoconv.compile.lower import Lowering

__all__ = ["borders_of", "lower_conv", "lower_conv_grad_input", "lower_conv_grad_weight",
           "weight_contraction"]  # fmt: skip

_BLOCK_POSITIONS = 256  # positions per block of the weight gradient, so that parking stays cheap
_BLOCK_BYTES = 256 * 1024  # of source and gradient in such a block: a part of the second cache
_IMAGES_BYTES = 512 * 1024  # the same where a block is several whole images


class _Nest(NamedTuple):
    """A contraction's loops over positions: axes, shape of the result, epilogue, source."""

    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    epilogue: Expression
    source: Operand


def borders_of(graph: Graph, node: Node) -> Iterator[tuple[int, Border]]:
    """(input position, border) that this node wants around its inputs."""
    if node.op in ("conv", "conv_grad_weight"):
        sides = graph[node.inputs[0]].spec.shape[:-1]
        outputs = node.attrs.output_sides(sides)
        yield 0, border(forward_axes(node.attrs, outputs).axes, sides)
    elif node.op == "conv_grad_input":
        sides = graph[node.inputs[0]].spec.shape[:-1]
        found: Border = ((0, 0),) * len(sides)
        for phase in gradient_phases(node.attrs.geometry, node.attrs.sides):
            wanted = border(phase.axes, sides)
            found = tuple(
                (max(a, c), max(b, d)) for (a, b), (c, d) in zip(found, wanted, strict=True)
            )
        yield 0, found


def lower_conv(lowering: Lowering, group: Group) -> None:
    """The forward pass, one contraction."""
    node = lowering.graph[group.root]
    phase = forward_axes(node.attrs, node.spec.shape[:-1])
    _contract(lowering, group, node.attrs, (phase,), transposed=False)


def lower_conv_grad_input(lowering: Lowering, group: Group) -> None:
    """The gradient by the input, a contraction for each phase of the stride."""
    node = lowering.graph[group.root]
    phases = gradient_phases(node.attrs.geometry, node.attrs.sides)
    _contract(lowering, group, node.attrs.geometry, phases, transposed=True)


def _contract(
    lowering: Lowering, group: Group, geometry: Any, phases: tuple[Phase, ...], *, transposed: bool
) -> None:
    graph = lowering.graph
    node = graph[group.root]
    x, w = node.inputs
    *_, channels, outputs = lowering.spec(w).shape
    filters = outputs // geometry.groups
    if geometry.rank and channels == filters == 1 < geometry.groups:
        _depthwise(lowering, group, geometry, phases)
        return
    arguments = Arguments()
    domain = node.spec
    source = arguments.operand(lowering.places[x], lowering.spec(x), lowering.spec(x))
    expression, _ = lowering.expression(group, domain, arguments)
    if geometry.groups == 1:
        # The filters of a group may begin anywhere in a vector.
        expression = lowering.streamed(expression, arguments)
    chain, width = (filters, channels) if transposed else (channels, filters)
    tiled = []
    for phase in phases:
        flat = _flat(phase, geometry, source, lowering.spec(x), domain, expression)
        nest = _Nest(phase.axes, domain.shape, expression, source)
        if flat:
            nest = _flattened(phase, source, domain, expression)
            height, width_of = 1, min(flat * lowering.capacity, 4096)
        else:
            sizes = (1, 1, *(axis.positions for axis in nest.axes))
            height, width_of = sizes[-2], sizes[-1]
        tile = choose_tile(
            lowering.target, height, width_of, width, domain.dtype,
            steps=_steps(nest.axes, nest.source),
            chain=chain * prod(axis.taps for axis in nest.axes),
            flat=bool(flat),
        )  # fmt: skip
        tiled.append((phase, nest, flat, tile))
    for phase, nest, flat, tile in tiled:
        # Phases with equal blocks of filters are packed by one kernel; one without taps reads none.
        together = tuple(
            p.taps for p, _, _, t in tiled if t.vectors == tile.vectors and _taken(p)
        )  # fmt: skip
        here = _copy_arguments(arguments)
        weights = offset = 0
        if _taken(phase):
            pack = PackSpec(
                domain.dtype, channels, filters, transposed, tile.vectors, tile.lanes,
                geometry.kernel, together, geometry.groups,
            )  # fmt: skip
            weights = here.add(lowering.packed(w, pack))
            offset = pack.begin(together.index(phase.taps))
        spec = ContractSpec(
            dtype=domain.dtype,
            axes=nest.axes,
            groups=geometry.groups,
            channels=chain,
            filters=width,
            flat=flat,
            source=nest.source,
            weights=weights,
            offset=offset,
            domain=Domain(nest.shape),
            epilogue=nest.epilogue,
            buffers=len(here.buffers),
            tile=tile,
        )
        lowering.emit(spec, here, node.name)


def _taken(phase: Phase) -> int:
    """How many kernel positions take part in a phase."""
    return prod(count for count, _, _ in phase.taps)


def _steps(axes: tuple[Axis, ...], source: Operand) -> tuple[int, int]:
    """Bytes in the source from a row of positions to the next and from a column to the next."""
    size = 8 if source.dtype == "float64" else 4
    if not axes:
        return 0, size * source.image
    pairs = zip(axes, source.strides[:-1], strict=True)
    row, column = (0, *(size * axis.in_step * stride for axis, stride in pairs))[-2:]
    return row, column


def _depthwise(lowering: Lowering, group: Group, geometry: Any, phases: tuple[Phase, ...]) -> None:
    """One filter per channel: lanes run along channels, and weights need no packing."""
    node = lowering.graph[group.root]
    x, w = node.inputs
    arguments = Arguments()
    source = arguments.operand(lowering.places[x], lowering.spec(x), lowering.spec(x))
    weights = arguments.add(lowering.dense(w).buffer)
    expression, _ = lowering.expression(group, node.spec, arguments)
    expression = lowering.streamed(expression, arguments)
    for phase in phases:
        spec = DepthwiseSpec(
            dtype=node.spec.dtype,
            axes=phase.axes,
            taps=phase.taps,
            kernel=geometry.kernel,
            channels=geometry.groups,
            source=source,
            weights=weights,
            domain=Domain(node.spec.shape),
            epilogue=expression,
            buffers=len(arguments.buffers),
        )
        lowering.emit(spec, arguments, node.name)


def _copy_arguments(arguments: Arguments) -> Arguments:
    copy = Arguments()
    copy.buffers = list(arguments.buffers)
    copy.writes = list(arguments.writes)
    return copy


def _flat(
    phase: Phase,
    geometry: Any,
    source: Operand,
    x: TensorSpec,
    domain: TensorSpec,
    expression: Expression,
) -> int:
    """Positions per image when images and positions form one axis in all operands; else 0."""
    positions = prod(axis.positions for axis in phase.axes)
    if not phase.axes:
        return 1
    plain = all(
        axis.taps == 1 and axis.in_first == 0 and axis.in_step == 1 and axis.out_step == 1
        for axis in phase.axes
    )
    if not plain or geometry.groups != 1 or x.shape[:-1] != domain.shape[:-1]:
        return 0
    if any(step.op == "dropout" for step in expression.steps):
        return 0
    places = [source, *expression.operands, *(place for _, place in expression.stores)]
    for place in places:
        if len(place.strides) != len(domain.shape):
            return 0
        if place.rows or not _is_row(place, domain.shape[:-1]):
            return 0
    return positions


def _is_row(place: Operand, sides: tuple[int, ...]) -> bool:
    """Whether the positions of all images lie at equal distances."""
    step = place.strides[len(sides) - 1]
    size = 1
    for side, stride in zip(reversed(sides), reversed(place.strides[:-1]), strict=True):
        if side != 1 and stride != step * size:
            return False
        size *= side
    return place.image == step * size


def _flattened(phase: Phase, source: Operand, domain: TensorSpec, expression: Expression) -> _Nest:
    """The same contraction with its positions along the image axis."""
    if not phase.axes:
        return _Nest((), domain.shape, expression, source)
    sides = domain.shape[:-1]

    def row(place: Operand) -> Operand:
        step = place.image // prod(sides)
        return replace(place, strides=place.strides[-1:], image=step)

    merged = replace(
        expression,
        operands=tuple(row(place) for place in expression.operands),
        stores=tuple((value, row(place)) for value, place in expression.stores),
    )
    return _Nest((), domain.shape[-1:], merged, row(source))


def lower_conv_grad_weight(lowering: Lowering, group: Group) -> None:
    """The gradient by the kernel."""
    node = lowering.graph[group.root]
    x, dy = node.inputs
    geometry = node.attrs
    outputs = lowering.spec(dy).shape[:-1]
    *_, channels, total = node.spec.shape
    filters = total // geometry.groups
    axes = forward_axes(geometry, outputs).axes
    arguments = Arguments()
    source = arguments.operand(lowering.places[x], lowering.spec(x), lowering.spec(x))
    gradient = arguments.operand(lowering.places[dy], lowering.spec(dy), lowering.spec(dy))
    place = lowering.allocate(group.root)
    result = arguments.add(place.buffer, write=True)
    if axes and channels == filters == 1 < geometry.groups:
        depthwise = DepthwiseWeightSpec(
            dtype=node.spec.dtype,
            axes=axes,
            channels=total,
            source=source,
            gradient=gradient,
            result=result,
            offset=place.offset,
            buffers=len(arguments.buffers),
        )
        lowering.emit(depthwise, arguments, node.name)
        return
    spec = weight_contraction(
        lowering.target, geometry, lowering.spec(x), lowering.spec(dy), source, gradient, result,
        place.offset, len(arguments.buffers), lowering.capacity,
    )  # fmt: skip
    lowering.emit(spec, arguments, node.name)


def weight_contraction(
    target: Target,
    geometry: Any,
    x: TensorSpec,
    dy: TensorSpec,
    source: Operand,
    gradient: Operand,
    result: int,
    offset: int,
    buffers: int,
    capacity: int,
) -> ContractWeightSpec:
    """The kernel for the gradient by weights of x's convolution, given where everything lies."""
    sides, outputs = x.shape[:-1], dy.shape[:-1]
    channels, total = x.shape[-1] // geometry.groups, dy.shape[-1]
    filters = total // geometry.groups
    axes = forward_axes(geometry, outputs).axes
    elements = prod(geometry.kernel) * channels
    run = elements
    if elements > SPELLED:
        run = channels
        if axes and geometry.groups == 1 and axes[-1].in_tap * source.strides[-2] == channels:
            run *= axes[-1].taps
    tile = choose_tile(target, 1, run, filters, dy.dtype)
    positions = prod(outputs)
    size = 8 if dy.dtype == "float64" else 4
    image_bytes = size * (prod(sides) * channels * geometry.groups + positions * total)
    images = min(-(-_BLOCK_POSITIONS // positions), _IMAGES_BYTES // image_bytes)
    images = max(1, min(images, capacity))
    rows = outputs[0] if outputs else 1
    if image_bytes > _BLOCK_BYTES and positions > _BLOCK_POSITIONS:
        share = max(_BLOCK_BYTES / image_bytes, _BLOCK_POSITIONS / positions)
        rows = max(1, min(rows, round(rows * share)))
    ahead = 0
    if prod(geometry.kernel) == 1:
        # Each step goes to another line of the source, and few tiles go through the same lines:
        # the first one to come would wait for memory at every step.
        if axes and rows < outputs[0]:
            ahead = rows * axes[0].in_step * source.strides[0]
        elif images < capacity:
            ahead = images * source.image
    return ContractWeightSpec(
        dtype=dy.dtype,
        axes=axes,
        groups=geometry.groups,
        channels=channels,
        filters=filters,
        source=source,
        gradient=gradient,
        result=result,
        offset=offset,
        buffers=buffers,
        tile=tile,
        images=images,
        rows=rows,
        ahead=ahead,
    )
