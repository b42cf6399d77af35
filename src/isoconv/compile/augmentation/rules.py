"""How augmentation becomes a kernel call."""

from __future__ import annotations

from dataclasses import replace

from isoconv.compile.augmentation.kernel import AugmentSpec
from isoconv.compile.calls import Arguments
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.pointwise.expression import Domain
from isoconv.graph.groups import Group


@lowers("augment")
def lower_augment(lowering: Lowering, group: Group) -> None:
    """One kernel: shifted, mirrored, turned and partly covered copies."""
    node = lowering.graph[group.anchor]
    arguments = Arguments()
    images, table = (lowering.read(i, arguments) for i in node.inputs)
    place = lowering.allocate(group.anchor)
    result = arguments.operand(place, node.spec, node.spec, write=True)
    shape = node.spec.shape
    if len(shape) == 2:
        # Labels: a channel that is not written.
        shape = (*shape, 1)
        images, result = (replace(each, strides=(*each.strides, 1)) for each in (images, result))
    spec = AugmentSpec(
        attrs=node.attrs,
        domain=Domain(shape),
        images=images,
        table=table,
        result=result,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)
