"""How values are moved: another shape or a part of the same memory; copies where that will not do.

What is copied in the order of memory, or set to zero, is pointwise work; kernels of its own are for
what is not.
"""

from __future__ import annotations

from dataclasses import replace

from isoconv.compile.calls import Arguments
from isoconv.compile.layout import Placement, dense_strides
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.movement.along import ResampleSpec, TakeSpec
from isoconv.compile.movement.pieces import Piece, pieces
from isoconv.compile.movement.transpose import TransposeSpec
from isoconv.compile.pointwise.expression import Domain
from isoconv.graph.groups import Group
from isoconv.graph.ir import Node, TensorSpec
from isoconv.ops.shape import Embed, Slice

_PIECES = 4  # copies that a list of places may become; more are one kernel with a table


@lowers("reshape")
def lower_reshape(lowering: Lowering, group: Group) -> None:
    """The same memory where its elements lie one behind the other; else a copy."""
    index = group.anchor
    (source,) = lowering.graph[index].inputs
    seen, spec = lowering.spec(source), lowering.spec(index)
    place = lowering.places[source]
    with_halo = any(map(any, lowering.halos.get(index, ())))
    if place.is_dense(seen) and not with_halo:
        lowering.places[index] = replace(place, strides=dense_strides(spec.shape))
    else:
        lowering.copy(place, seen, lowering.allocate(index), spec)


def _first_inside(node: Node, place: Placement) -> int:
    """Elements from the first one of the larger value to the first one of the smaller."""
    if isinstance(node.attrs, (Slice, Embed)):
        return node.attrs.start * place.strides[-1]
    pairs = zip(node.attrs.pairs, place.strides, strict=False)
    return sum(before * stride for (before, _), stride in pairs)


@lowers("slice_channels", "crop")
def lower_part(lowering: Lowering, group: Group) -> None:
    """A slice of channels or a crop: the same memory from another first element."""
    index = group.anchor
    node = lowering.graph[index]
    (source,) = node.inputs
    place = lowering.places[source]
    shift = _first_inside(node, place)
    view = replace(place, offset=place.offset + shift)
    if any(map(any, lowering.halos.get(index, ()))):
        lowering.copy(view, node.spec, lowering.allocate(index), node.spec)
    else:
        lowering.places[index] = view


@lowers("concat")
def lower_concat(lowering: Lowering, group: Group) -> None:
    """A copy of each input beside the others."""
    node = lowering.graph[group.anchor]
    place = lowering.allocate(group.anchor)
    first = 0
    for source in node.inputs:
        spec = lowering.spec(source)
        part = replace(place, offset=place.offset + first * place.strides[-1])
        lowering.copy(lowering.places[source], spec, part, spec)
        first += spec.shape[-1]


@lowers("pad", "embed_channels")
def lower_into_zeros(lowering: Lowering, group: Group) -> None:
    """Zero padding, or channels among zeros: zeros first, then the value inside."""
    node = lowering.graph[group.anchor]
    (source,) = node.inputs
    place = lowering.allocate(group.anchor)
    lowering.fill_zero(place, node.spec)
    shift = _first_inside(node, place)
    spec = lowering.spec(source)
    lowering.copy(lowering.places[source], spec, replace(place, offset=place.offset + shift), spec)


@lowers("transpose")
def lower_transpose(lowering: Lowering, group: Group) -> None:
    """A kernel of tiles where vectors go along another axis than they come; else a copy."""
    node = lowering.graph[group.anchor]
    (source,) = node.inputs
    known, spec = lowering.places[source], node.spec
    seen = replace(known, strides=tuple(known.strides[axis] for axis in node.attrs.axes))
    place = lowering.allocate(group.anchor)
    sides = [side != 1 for side in spec.shape]
    inner = max((axis for axis, wide in enumerate(sides) if wide), default=-1)
    near = [axis for axis, wide in enumerate(sides) if wide and seen.strides[axis] == 1]
    if near in ([], [inner]) or place.strides[inner] != 1:
        lowering.copy(seen, spec, place, spec)
        return
    arguments = Arguments()
    operands = (
        arguments.operand(seen, spec, spec),
        arguments.operand(place, spec, spec, write=True),
    )
    kernel = TransposeSpec(
        Domain(spec.shape, spec.batched), *operands, buffers=len(arguments.buffers)
    )
    lowering.emit(kernel, arguments, node.name)


@lowers("take")
def lower_take(lowering: Lowering, group: Group) -> None:
    """A copy for each piece of even steps; one kernel where there are many."""
    node = lowering.graph[group.anchor]
    (source,) = node.inputs
    known, place = lowering.places[source], lowering.allocate(group.anchor)
    axis = len(node.spec.shape) + node.attrs.axis
    found = pieces(node.attrs.indices)
    if len(found) <= _PIECES:
        for piece in found:
            _copy_piece(lowering, piece, axis, known, place, node.spec)
        return
    arguments = Arguments()
    kernel = TakeSpec(
        Domain(node.spec.shape, node.spec.batched),
        axis,
        node.attrs.indices,
        arguments.operand(known, lowering.spec(source), lowering.spec(source)),
        arguments.operand(place, node.spec, node.spec, write=True),
        len(arguments.buffers),
    )
    lowering.emit(kernel, arguments, node.name)


def _copy_piece(
    lowering: Lowering, piece: Piece, axis: int, source: Placement, to: Placement, spec: TensorSpec
) -> None:
    """Places at even steps: the axis seen as two."""
    shape = (*spec.shape[:axis], *piece.counts, *spec.shape[axis + 1 :])
    part = replace(spec, shape=shape)

    def seen(place: Placement, first: int, steps: tuple[int, int]) -> Placement:
        stride = place.strides[axis]
        strides = (*place.strides[:axis], *(s * stride for s in steps), *place.strides[axis + 1 :])
        return replace(place, strides=strides, offset=place.offset + first * stride)

    result = seen(to, piece.first, (piece.counts[1], 1))
    if piece.steps is None:
        lowering.fill_zero(result, part)
    else:
        lowering.copy(seen(source, piece.start, piece.steps), part, result, part)


@lowers("resample")
def lower_resample(lowering: Lowering, group: Group) -> None:
    """One kernel."""
    node = lowering.graph[group.anchor]
    (source,) = node.inputs
    place = lowering.allocate(group.anchor)
    arguments = Arguments()
    kernel = ResampleSpec(
        Domain(node.spec.shape, node.spec.batched),
        len(node.spec.shape) + node.attrs.axis,
        node.attrs.taps,
        lowering.read(source, arguments),
        arguments.operand(place, node.spec, node.spec, write=True),
        len(arguments.buffers),
    )
    lowering.emit(kernel, arguments, node.name)
