"""How layer normalisation and its gradient become kernel calls."""

from __future__ import annotations

from isoconv.compile.calls import Arguments
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.normalization.layer_norm import LayerNormSpec
from isoconv.compile.pointwise.expression import Domain
from isoconv.graph.groups import Group


@lowers("layer_norm", "layer_norm_grad")
def lower_layer_norm(lowering: Lowering, group: Group) -> None:
    """One kernel, with the pointwise work behind it."""
    node = lowering.graph[group.anchor]
    arguments = Arguments()
    source, *gradient = (lowering.read(i, arguments) for i in node.inputs)
    expression, _ = lowering.expression(group, node.spec, arguments)
    spec = LayerNormSpec(
        dtype=node.spec.dtype,
        eps=node.attrs.eps,
        domain=Domain(node.spec.shape),
        source=source,
        gradient=gradient[0] if gradient else None,
        epilogue=expression,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)
