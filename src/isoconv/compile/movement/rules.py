"""How values are moved: another shape or a part of the same memory; copies where that will not do.

No kernel of its own: what is copied or set to zero is pointwise work.
"""

from __future__ import annotations

from dataclasses import replace

from isoconv.compile.layout import Placement, dense_strides
from isoconv.compile.lowering import Lowering, lowers
from isoconv.graph.groups import Group
from isoconv.graph.ir import Node
from isoconv.ops.shape import Embed, Slice

__all__ = ["lower_concat", "lower_into_zeros", "lower_part", "lower_reshape"]


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
