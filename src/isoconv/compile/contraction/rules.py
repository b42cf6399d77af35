"""How convolutions and gradients by input become kernel calls: index maps, tiles, packing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, NamedTuple

from isoconv.compile.calls import Arguments
from isoconv.compile.contraction import (
    matrix_rules,  # noqa: F401 - enters its rule with these
    weight_rules,  # noqa: F401 - enters its own as well
)
from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.depthwise import DepthwiseSpec
from isoconv.compile.contraction.index_maps import (
    Axis,
    Phase,
    forward_axes,
    forward_halo,
    gradient_phases,
    halo,
    tap_count,
)
from isoconv.compile.contraction.inside import InsideContractSpec
from isoconv.compile.contraction.inside_tiles import choose_inside_tile
from isoconv.compile.contraction.pack import PackSpec
from isoconv.compile.contraction.padding import inside_share
from isoconv.compile.contraction.tiles import Tile, choose_tile
from isoconv.compile.layout import Halo
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.graph.groups import Group
from isoconv.graph.ir import DTYPES, Graph, Node

_INSIDE_SHARE = 0.92  # of products that meet no padding, at most, for the others to be left out
_INSIDE_TIME = 0.96  # of the time of all products that the others may take
_INSIDE_CHAIN = 16  # and channels at least, each kernel position being a loop of its own


class _Nest(NamedTuple):
    """A contraction's loops over positions.

    Attributes:
        flat: positions of one image when images and positions form one axis; 0 otherwise.
        axes: the spatial axes; none when flat.
        shape: of the result, with those axes.
        epilogue, source: as they are seen from these axes.
    """

    flat: int
    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    epilogue: Expression
    source: Operand

    def plane(self, images: int) -> tuple[int, int]:
        """Height and width of what the tiles of so many images cover."""
        if self.flat:
            return 1, min(self.flat * images, 4096)
        *_, height, width = 1, 1, *(axis.positions for axis in self.axes)
        return height, width


def _gradient_halo(graph: Graph, node: Node) -> Iterator[tuple[int, Halo]]:
    """What those of the gradient by the input read beyond the gradient of the result."""
    sides = graph[node.inputs[0]].spec.shape[:-1]
    found: Halo = ((0, 0),) * len(sides)
    for phase in gradient_phases(node.attrs.geometry, node.attrs.sides):
        wanted = halo(phase.axes, sides)
        found = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(found, wanted, strict=True))
    yield 0, found


@lowers("conv", halos=forward_halo)
def lower_conv(lowering: Lowering, group: Group) -> None:
    """The forward pass, one contraction."""
    node = lowering.graph[group.anchor]
    phase = forward_axes(node.attrs, node.spec.shape[:-1])
    _contract(lowering, group, node.attrs, (phase,), transposed=False)


@lowers("conv_grad_input", halos=_gradient_halo)
def lower_conv_grad_input(lowering: Lowering, group: Group) -> None:
    """The gradient by the input or a transposed convolution: a contraction for each phase."""
    node = lowering.graph[group.anchor]
    phases = gradient_phases(node.attrs.geometry, node.attrs.sides)
    _contract(lowering, group, node.attrs.geometry, phases, transposed=True)


def _is_gradient(lowering: Lowering, index: int) -> bool:
    """Whether a convolution or a transposed one is the other's gradient by the input.

    Then the other comes before it, with the same weights.
    """
    node = lowering.graph[index]
    other = {"conv": "conv_grad_input", "conv_grad_input": "conv"}[node.op]
    readers = lowering.users[node.inputs[1]]
    return any(reader < index and lowering.graph[reader].op == other for reader in readers)


def _contract(
    lowering: Lowering, group: Group, geometry: Any, phases: tuple[Phase, ...], *, transposed: bool
) -> None:
    graph = lowering.graph
    node = graph[group.anchor]
    x, w = node.inputs
    *_, channels, outputs = lowering.spec(w).shape
    filters = outputs // geometry.groups
    if geometry.rank and channels == filters == 1 < geometry.groups:
        _depthwise(lowering, group, geometry, phases)
        return
    arguments = Arguments()
    domain = node.spec
    gradient = _is_gradient(lowering, group.anchor)
    source = arguments.operand(lowering.places[x], lowering.spec(x), lowering.spec(x))
    expression, _ = lowering.expression(group, domain, arguments)
    if geometry.groups == 1:
        # The filters of a group may begin anywhere in a vector.
        expression = lowering.nontemporal(expression, arguments)
    chain, width = (filters, channels) if transposed else (channels, filters)
    sides = lowering.spec(x).shape[:-1]
    nests = []
    for phase in phases:
        nest = _Nest(0, phase.axes, domain.shape, expression, source)
        if flat := _flat(nest, geometry, sides):
            nest = _flattened(nest, flat)
        tile = _inside_tile(lowering, nest, sides, chain, width)
        inside = tile is not None
        if tile is None:
            height, width_of = nest.plane(lowering.capacity)
            tile = choose_tile(
                lowering.target, height, width_of, width, domain.dtype,
                steps=_steps(nest.axes, nest.source), chain=chain * tap_count(phase.taps),
                flat=bool(nest.flat),
            )  # fmt: skip
        nests.append((phase.taps, nest, tile, inside))
    for taps, nest, tile, inside in nests:
        here = _copy_arguments(arguments)
        weights = offset = zeros = 0
        if tap_count(taps):
            # What is packed alike is packed together.
            alike = tuple(
                other_taps
                for other_taps, _, other, other_inside in nests
                if tap_count(other_taps) and (other.vectors, other_inside) == (tile.vectors, inside)
            )
            pack = PackSpec(
                domain.dtype, channels, filters, transposed, tile.vectors, tile.lanes,
                geometry.kernel, alike, geometry.groups, inside,
            )  # fmt: skip
            weights = here.add(lowering.packed(w, pack, pack.size))
            number = alike.index(taps)
            offset, zeros = pack.begin(number), pack.begin_zeros(number)
        kind: Callable[..., ContractSpec] = ContractSpec
        if inside:
            kind = partial(InsideContractSpec, sides=sides, zeros=zeros)
        spec = kind(
            dtype=domain.dtype,
            axes=nest.axes,
            groups=geometry.groups,
            channels=chain,
            filters=width,
            flat=nest.flat,
            source=nest.source,
            weights=weights,
            offset=offset,
            domain=Domain(nest.shape),
            epilogue=nest.epilogue,
            buffers=len(here.buffers),
        )
        lowering.emit(spec, here, node.name, schedule=tile, gradient=gradient)


def _inside_tile(
    lowering: Lowering, nest: _Nest, sides: tuple[int, ...], chain: int, width: int
) -> Tile | None:
    """The tile where products with padding are left out; None if that gains little."""
    taps = prod(axis.taps for axis in nest.axes)
    if not taps or nest.flat or len(nest.axes) < 2 or chain < _INSIDE_CHAIN:
        return None
    if inside_share(nest.axes, sides) > _INSIDE_SHARE:
        return None
    size = DTYPES[nest.source.dtype]
    found = choose_inside_tile(
        lowering.target, lowering.capacity, nest.axes, sides, chain, width, nest.source.dtype,
        (size * nest.source.image, *_steps(nest.axes, nest.source)),
    )  # fmt: skip
    return None if found is None or found.share > _INSIDE_TIME else found.tile


def _steps(axes: tuple[Axis, ...], source: Operand) -> tuple[int, int]:
    """Bytes in the source from a row of positions to the next and from a column to the next."""
    size = DTYPES[source.dtype]
    if not axes:
        return 0, size * source.image
    pairs = zip(axes, source.strides[:-1], strict=True)
    row, column = (0, *(size * axis.in_step * stride for axis, stride in pairs))[-2:]
    return row, column


def _depthwise(lowering: Lowering, group: Group, geometry: Any, phases: tuple[Phase, ...]) -> None:
    """One filter per channel: lanes run along channels, and weights need no packing."""
    node = lowering.graph[group.anchor]
    gradient = _is_gradient(lowering, group.anchor)
    x, w = node.inputs
    arguments = Arguments()
    source = arguments.operand(lowering.places[x], lowering.spec(x), lowering.spec(x))
    weights = arguments.add(lowering.dense(w).buffer)
    expression, _ = lowering.expression(group, node.spec, arguments)
    expression = lowering.nontemporal(expression, arguments)
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
        lowering.emit(spec, arguments, node.name, gradient=gradient)


def _copy_arguments(arguments: Arguments) -> Arguments:
    copy = Arguments()
    copy.buffers = list(arguments.buffers)
    copy.writes = list(arguments.writes)
    return copy


def _flat(nest: _Nest, geometry: Any, sides: tuple[int, ...]) -> int:
    """Positions per image when images and positions form one axis in all operands; else 0."""
    positions = prod(axis.positions for axis in nest.axes)
    if not nest.axes:
        return 1
    plain = all(
        axis.taps == 1 and axis.in_first == 0 and axis.in_step == 1 and axis.out_step == 1
        for axis in nest.axes
    )
    if not plain or geometry.groups != 1 or sides != nest.shape[:-1]:
        return 0
    expression = nest.epilogue
    if expression.positional:
        return 0
    places = [nest.source, *expression.operands, *(place for _, place in expression.stores)]
    for place in places:
        if len(place.strides) != len(nest.shape):
            return 0
        if place.rows or not _is_row(place, sides):
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


def _flattened(nest: _Nest, flat: int) -> _Nest:
    """The contraction with its positions along the image axis."""
    if not nest.axes:
        return nest._replace(flat=flat)

    def row(place: Operand) -> Operand:
        return replace(place, strides=place.strides[-1:], image=place.image // flat)

    merged = replace(
        nest.epilogue,
        operands=tuple(row(place) for place in nest.epilogue.operands),
        stores=tuple((value, row(place)) for value, place in nest.epilogue.stores),
    )
    return _Nest(flat, (), nest.shape[-1:], merged, row(nest.source))
