"""How softmax, losses, hits and ranks become kernel calls."""

from __future__ import annotations

from isoconv.compile.calls import Arguments
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.pointwise.expression import Domain
from isoconv.compile.reduction.rows import RowsSpec
from isoconv.graph.groups import Group


@lowers(
    "softmax", "log_softmax", "softmax_grad", "log_softmax_grad", "cross_entropy",
    "cross_entropy_grad", "hits", "one_hot", "top_k",
)  # fmt: skip
def lower_rows(lowering: Lowering, group: Group) -> None:
    """One kernel, which goes through the classes of each row, that of the wider end."""
    node = lowering.graph[group.anchor]
    arguments = Arguments()
    operands = tuple(lowering.read(i, arguments) for i in node.inputs)
    domain = max(lowering.spec(node.inputs[0]), node.spec, key=lambda spec: len(spec.shape))
    place = lowering.allocate(group.anchor)
    result = arguments.operand(place, node.spec, node.spec, write=True)
    spec = RowsSpec(
        op=node.op,
        attrs=node.attrs,
        dtype=domain.dtype,
        domain=Domain(domain.shape, domain.batched),
        operands=operands,
        result=result,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)
