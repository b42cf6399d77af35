"""Layer normalisation along the last axis, and its gradient.

    for every row x of K elements:
        m = (sum of x) / K
        v = (sum of (x[i] - m)²) / K
        r = 1 / sqrt(v + eps)
        forward:   result[i] = epilogue((x[i] - m) * r)
        gradient:  a = (sum of dy) / K;  c = (sum of dy[i] * y[i]) / K,  y[i] = (x[i] - m) * r
                   result[i] = epilogue(r * ((dy[i] - a) - y[i] * c))

Schedule: eight elements at a time, because the lanes of eight are the partial sums; the rest of a
row is a shorter vector. A row is read once for each of its sums, and stays in the first cache.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.normalization.layer_norm import LayerNormSpec
from isoconv.compile.pointwise.cpu.expression import Index, emit_expression, load_operand
from isoconv.compile.pointwise.cpu.operations import square_root
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.reduction.cpu.row_nest import over_row, row_sum, share_rows, spread

At = Callable[[Value | int, int], Value]
"""Some neighbouring elements of a row: the first one, and how many."""


@emits(LayerNormSpec)
def layer_norm(k: Kernel, spec: LayerNormSpec) -> None:
    """Share out rows."""
    share_rows(k, spec.domain, lambda image, place: _row(k, spec, image, place))


def _row(k: Kernel, spec: LayerNormSpec, image: Value, place: tuple[Value | int, ...]) -> None:
    b, count = k.builder, spec.domain.axes[-1]

    def rounded(value: float) -> float:
        return float(np.float32(value)) if spec.dtype == "float32" else value

    def load(operand: Operand) -> At:
        return lambda i, lanes: load_operand(k, operand, Index(image, (*place, i), lanes))

    def mean(term: At) -> Value:
        total = row_sum(k, spec.dtype, count, term)
        return b.fdiv(total, k.splat_const(rounded(float(count)), spec.dtype, 1))

    x = load(spec.source)
    middle = mean(x)

    def centred(i: Value | int, lanes: int) -> Value:
        return b.fsub(x(i, lanes), spread(k, middle, lanes))

    def square(i: Value | int, lanes: int) -> Value:
        found = centred(i, lanes)
        return b.fmul(found, found)

    variance = b.fadd(mean(square), k.splat_const(rounded(spec.eps), spec.dtype, 1))
    inverse = b.fdiv(k.splat_const(1.0, spec.dtype, 1), square_root(k, variance))

    def normal(i: Value | int, lanes: int) -> Value:
        return b.fmul(centred(i, lanes), spread(k, inverse, lanes))

    result = normal
    if spec.gradient is not None:
        dy = load(spec.gradient)
        level = mean(dy)
        share = mean(lambda i, lanes: b.fmul(dy(i, lanes), normal(i, lanes)))

        def result(i: Value | int, lanes: int) -> Value:
            own = b.fmul(normal(i, lanes), spread(k, share, lanes))
            rest = b.fsub(b.fsub(dy(i, lanes), spread(k, level, lanes)), own)
            return b.fmul(spread(k, inverse, lanes), rest)

    def chunk(i: Value | int, lanes: int) -> None:
        index = Index(image, (*place, i), lanes)
        emit_expression(k, spec.domain, spec.epilogue, index, [result(i, lanes)])

    over_row(k, count, chunk)
