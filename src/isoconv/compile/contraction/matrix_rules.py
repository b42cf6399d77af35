"""How products of matrices become kernel calls; ``rules`` enters them with convolutions."""

from __future__ import annotations

from dataclasses import replace

from isoconv.compile.calls import Arguments
from isoconv.compile.contraction.matrix import MatrixSpec
from isoconv.compile.contraction.tiles import choose_tile
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.graph.groups import Group


@lowers("matmul")
def lower_matmul(lowering: Lowering, group: Group) -> None:
    """A product of matrices, of which none is packed."""
    node = lowering.graph[group.anchor]
    arguments, rank = Arguments(), len(node.spec.shape)

    def seen(index: int) -> Operand:
        """An operand whose leading axes are the result's."""
        spec = lowering.spec(index)
        found = arguments.operand(lowering.places[index], spec, spec)
        *lead, row, column = found.strides
        repeated = (0 if side == 1 else step for side, step in zip(spec.shape, lead, strict=False))
        missing = (0,) * (rank - len(spec.shape))
        return replace(found, strides=(*missing, *repeated, row, column))

    a, b = map(seen, node.inputs)
    expression, _ = lowering.expression(group, node.spec, arguments)
    *_, rows, columns = node.spec.shape
    terms = lowering.spec(node.inputs[0]).shape[-1]
    tile = choose_tile(lowering.target, 1, rows, columns, node.spec.dtype, chain=terms)
    spec = MatrixSpec(
        dtype=node.spec.dtype,
        terms=terms,
        a=a,
        b=b,
        domain=Domain(node.spec.shape, node.spec.batched),
        epilogue=expression,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name, schedule=tile)
