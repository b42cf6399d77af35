r"""Products of matrices, of which each image has its own, or some of which all images share.

.. math:: y(\ldots, m, p) = \sum_k a(\ldots, m, k) \, b(\ldots, k, p)

Each element is one chain of fused multiply-adds over k that starts at +0.0. The axes before the
last two broadcast, as in NumPy.
"""

from __future__ import annotations

import numpy as np

from isoconv.arithmetic.fma import fma
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Chain, Element
from isoconv.ops.check import require_float, shape_error
from isoconv.ops.move import Permutation
from isoconv.ops.reach import multiplied
from isoconv.ops.reduce import joined, reduce_like

__public__ = {"isoconv.ops": ["matmul"]}  # the whole file: it has no record of its own


def _infer(_: None, a: TensorSpec, b: TensorSpec) -> TensorSpec:
    op = "matmul"
    require_float(op, a=a, b=b)
    if min(len(a.shape), len(b.shape)) < 2:
        raise shape_error(op, "a and b must have at least two axes", a=a, b=b)
    if a.shape[-1] != b.shape[-2]:
        rule = f"a must have as many columns as b has rows: {a.shape[-1]} != {b.shape[-2]}"
        raise shape_error(op, rule, a=a, b=b)
    lead = joined(a.shape[:-2], b.shape[:-2])
    if lead is None:
        rule = "the sides of each axis before the last two must be equal or 1"
        raise shape_error(op, rule, a=a, b=b)
    if any(spec.batched and len(spec.shape) != len(lead) + 2 for spec in (a, b)):
        rule = "an operand with an image axis must have all axes of the result; reshape it first"
        raise shape_error(op, rule, a=a, b=b)
    return TensorSpec((*lead, a.shape[-2], b.shape[-1]), a.dtype, a.batched or b.batched)


def _gradient(builder: GraphBuilder, node: int, dy: int) -> Flows:
    a, b = builder[node].inputs
    da = builder.add("matmul", dy, _turned(builder, b))
    db = builder.add("matmul", _turned(builder, a), dy)
    return (
        reduce_like(builder, da, builder.spec(a)),
        reduce_like(builder, db, builder.spec(b)),
    )


def _turned(builder: GraphBuilder, value: int) -> int:
    """The matrices of a value with their two axes exchanged."""
    *lead, rows, columns = range(len(builder.spec(value).shape))
    return builder.add("transpose", value, attrs=Permutation((*lead, columns, rows)))


def _matmul(_: None, a: Array, b: Array, *, images: int) -> Array:  # noqa: ARG001
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = np.zeros((*lead, a.shape[-2], b.shape[-1]), a.dtype)
    for k in range(a.shape[-1]):
        y = fma(a[..., :, k, None], b[..., k, None, :], y)
    return y


def _terms(asked: Asked) -> Chain:
    *lead, row, column = asked.place
    a, _ = asked.operands

    def at(operand: int, last: tuple[int, int]) -> Element:
        spec = asked.operands[operand]
        outer = spec.shape[:-2]
        sides = zip(lead[len(lead) - len(outer) :], outer, strict=True)
        place = (0 if side == 1 else i for i, side in sides)
        return Element(operand, (*(asked.image if spec.batched else ()), *place, *last))

    return Chain(tuple((at(0, (row, k)), at(1, (k, column))) for k in range(a.shape[-1])))


register(
    name="matmul",
    summary="y[..., m, p] = sum over k of a[..., m, k] b[..., k, p].",
    infer=_infer,
    gradient=_gradient,
    reference=_matmul,
    epilogue=True,
    terms=_terms,
    kernels="contraction",
    heavy=True,
    multiply_adds=lambda y, a, _: y.size * a.shape[-1],
    reads=multiplied,
)
