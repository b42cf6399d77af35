"""Operations on the last axis as a row of classes: softmax, cross-entropy, hits, ranks.

    for every row x of K classes:
        m = max over i of x[i]
        s = sum over i of exp(x[i] - m), in eight partial sums
        softmax:         result[i] = exp(x[i] - m) / s
        log_softmax:     result[i] = (x[i] - m) - log(s)
        cross_entropy:   result    = sum over i of t[i] * (log(s) - (x[i] - m))
        its gradient:    result[i] = (exp(x[i] - m) / s - t[i]) * dy
        softmax_grad:    result[i] = y[i] * (dy[i] - sum of y * dy)
        log_softmax_grad: result[i] = dy[i] - exp(y[i]) * sum of dy
        hits:            result    = 1 if fewer than k classes beat the label, else 0
        one_hot:         result[i] = 1 if i is the label, else 0
        top_k:           result[j] = what comes first of all that comes after result[j - 1]

Schedule: eight classes at a time, because the lanes of eight are the partial sums; the rest of a
row is a shorter vector. Where a power is needed twice it is spilled in the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import llvmlite.ir as ir
import numpy as np

from isoconv.arithmetic.sums import PARTIALS
from isoconv.compile.native import elementary
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import F64, I32, Kernel, Value
from isoconv.compile.native.nest import replaces
from isoconv.compile.pointwise.cpu.expression import Index, address, load_operand, store_operand
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.reduction.cpu.partials import shuffle
from isoconv.compile.reduction.cpu.row_nest import Chunk, over_row, row_sum, share_rows, spread
from isoconv.compile.reduction.rows import RowsSpec
from isoconv.errors import CompileError


@emits(RowsSpec)
def rows(k: Kernel, spec: RowsSpec) -> None:
    """Share out rows.

    Raises:
        CompileError: no such operation.
    """
    if spec.op not in _EMITTERS:
        raise CompileError(f"no emitter for the row operation {spec.op!r}")
    emitter = _EMITTERS[spec.op]
    share_rows(k, spec.domain, lambda image, place: emitter(_Row(k, spec, image, place)))


class _Row:
    """One row: its image and its place on the outer axes."""

    def __init__(
        self, k: Kernel, spec: RowsSpec, image: Value, place: tuple[Value | int, ...]
    ) -> None:
        self.k, self.spec, self.image, self.place = k, spec, image, place
        self.classes = spec.domain.axes[-1]

    # Memory -------------------------------------------------------------------------------------

    def load(self, number: int, i: Value | int, lanes: int) -> Value:
        """Neighbouring classes of an operand."""
        index = Index(self.image, (*self.place, i), lanes)
        return load_operand(self.k, self.spec.operands[number], index)

    def spilled(self, i: Value | int, lanes: int) -> Value:
        """What was stored in the result."""
        return load_operand(self.k, self.spec.result, Index(self.image, (*self.place, i), lanes))

    def store(self, value: Value, i: Value | int) -> None:
        """Store neighbouring classes of the result."""
        index = Index(self.image, (*self.place, i), value.type.count)
        store_operand(self.k, value, self.spec.result, index)

    def single(self, number: int) -> Value:
        """The row's one element of an operand, as a scalar."""
        operand = self.spec.operands[number]
        return self.k.load_scalar(self._address(operand), operand.dtype)

    def store_single(self, value: Value) -> None:
        """Store the row's one result, a vector of one lane."""
        self.k.store(value, self._address(self.spec.result))

    def _address(self, operand: Operand) -> Value:
        place = (*self.place, 0)[: len(operand.strides)]
        return address(self.k, operand, Index(self.image, place, 1))

    def label(self) -> Value:
        """The row's class, as a 64-bit integer."""
        return self.k.builder.sext(self.single(1), ir.IntType(64))

    def own(self, label: Value, of: Callable[[Value], Value]) -> tuple[Value, Value]:
        """``of(label)``, one lane, and whether there is such a class; if not, it is 0."""
        b, nought = self.k.builder, self.k.const(0)
        known = b.icmp_unsigned("<", label, self.k.const(self.classes))
        found = of(b.select(known, label, nought))
        return b.select(known, found, ir.Constant(found.type, None)), known

    # Passes over the row ------------------------------------------------------------------------

    def each(self, chunk: Chunk) -> None:
        """Call ``chunk(first, lanes)`` along the row."""
        over_row(self.k, self.classes, chunk)

    def greatest(self, number: int) -> Value:
        """The maximum, one lane; NaN propagates. Which of two zeros wins shows in no result."""
        k = self.k
        lanes = min(self.classes, PARTIALS)
        start = self.load(number, 0, lanes)
        best = k.variable(shuffle(k, start, start, [j % lanes for j in range(PARTIALS)]))

        def chunk(i: Value | int, width: int) -> None:
            x = self.load(number, i, width)
            x = shuffle(k, x, x, [j % width for j in range(PARTIALS)])
            best.set(k.builder.select(replaces(k, x, best.get()), x, best.get()))

        self.each(chunk)
        found = best.get()
        half = PARTIALS // 2
        while half:
            x, y = (shuffle(k, found, found, range(s, s + half)) for s in (0, half))
            found = k.builder.select(replaces(k, y, x), y, x)
            half //= 2
        return found

    def sum(self, term: Callable[[Value | int, int], Value]) -> Value:
        """Sum of ``term(first, lanes)`` along the row, one lane."""
        return row_sum(self.k, self.spec.dtype, self.classes, term)

    # Arithmetic ---------------------------------------------------------------------------------

    def spread(self, x: Value, lanes: int) -> Value:
        """A vector of one lane, in every lane."""
        return spread(self.k, x, lanes)

    def one(self, x: Value) -> Value:
        """A scalar as a vector of one lane."""
        return self.k.splat(x, 1)

    def exp(self, x: Value) -> Value:
        """The exponential of each lane."""
        return elementary.emit("exp", self.k.builder, x)

    def log(self, x: Value) -> Value:
        """The logarithm of each lane."""
        return elementary.emit("log", self.k.builder, x)

    def shifted(self, greatest: Value, i: Value | int, lanes: int) -> Value:
        """Logits minus their maximum."""
        return self.k.builder.fsub(self.load(0, i, lanes), self.spread(greatest, lanes))

    def powers(self, greatest: Value, *, spill: bool) -> Value:
        """Sum of exp(x - m); the powers are spilled in the result if wanted."""

        def term(i: Value | int, lanes: int) -> Value:
            power = self.exp(self.shifted(greatest, i, lanes))
            if spill:
                self.store(power, i)
            return power

        return self.sum(term)

    def targets(self, label: Value, i: Value | int, lanes: int) -> Value:
        """The target distribution at neighbouring classes."""
        k, smoothing = self.k, self.spec.attrs.smoothing
        low = smoothing / self.classes
        high = 1.0 - smoothing + low
        on, off = (
            k.splat_const(_rounded(x, self.spec.dtype), self.spec.dtype, lanes) for x in (high, low)
        )
        here = k.builder.icmp_signed("==", self.numbers(i, lanes), k.splat(label, lanes))
        return k.builder.select(here, on, off)

    def numbers(self, i: Value | int, lanes: int) -> Value:
        """The numbers of neighbouring classes, as 64-bit integers."""
        k = self.k
        steps = ir.Constant(ir.VectorType(ir.IntType(64), lanes), list(range(lanes)))
        return k.builder.add(k.splat(k.const(i) if isinstance(i, int) else i, lanes), steps)


def _rounded(value: float, dtype: str) -> float:
    return float(np.float32(value)) if dtype == "float32" else value


# One emitter for each operation -----------------------------------------------------------------


def _softmax(row: _Row) -> None:
    total = row.powers(row.greatest(0), spill=True)

    def chunk(i: Value | int, lanes: int) -> None:
        row.store(row.k.builder.fdiv(row.spilled(i, lanes), row.spread(total, lanes)), i)

    row.each(chunk)


def _log_softmax(row: _Row) -> None:
    greatest = row.greatest(0)
    logarithm = row.log(row.powers(greatest, spill=False))

    def chunk(i: Value | int, lanes: int) -> None:
        shifted = row.shifted(greatest, i, lanes)
        row.store(row.k.builder.fsub(shifted, row.spread(logarithm, lanes)), i)

    row.each(chunk)


def _softmax_grad(row: _Row) -> None:
    b = row.k.builder
    total = row.sum(lambda i, lanes: b.fmul(row.load(0, i, lanes), row.load(1, i, lanes)))

    def chunk(i: Value | int, lanes: int) -> None:
        difference = b.fsub(row.load(1, i, lanes), row.spread(total, lanes))
        row.store(b.fmul(row.load(0, i, lanes), difference), i)

    row.each(chunk)


def _log_softmax_grad(row: _Row) -> None:
    b = row.k.builder
    total = row.sum(lambda i, lanes: row.load(1, i, lanes))

    def chunk(i: Value | int, lanes: int) -> None:
        share = b.fmul(row.exp(row.load(0, i, lanes)), row.spread(total, lanes))
        row.store(b.fsub(row.load(1, i, lanes), share), i)

    row.each(chunk)


def _cross_entropy(row: _Row) -> None:
    b = row.k.builder
    greatest, label = row.greatest(0), row.label()
    logarithm = row.log(row.powers(greatest, spill=False))
    if row.spec.attrs.smoothing == 0:
        found, _ = row.own(label, lambda i: b.fsub(logarithm, row.shifted(greatest, i, 1)))
        row.store_single(found)
        return

    def term(i: Value | int, lanes: int) -> Value:
        surprise = b.fsub(row.spread(logarithm, lanes), row.shifted(greatest, i, lanes))
        return b.fmul(row.targets(label, i, lanes), surprise)

    row.store_single(row.sum(term))


def _cross_entropy_grad(row: _Row) -> None:
    b = row.k.builder
    label, dy = row.label(), row.one(row.single(2))
    total = row.powers(row.greatest(0), spill=True)

    def chunk(i: Value | int, lanes: int) -> None:
        share = b.fdiv(row.spilled(i, lanes), row.spread(total, lanes))
        difference = b.fsub(share, row.targets(label, i, lanes))
        row.store(b.fmul(difference, row.spread(dy, lanes)), i)

    row.each(chunk)


def _hits(row: _Row) -> None:
    k, b, dtype = row.k, row.k.builder, row.spec.dtype
    label = row.label()
    own, known = row.own(label, lambda i: row.load(0, i, 1))
    count = k.variable(ir.Constant(I32, 0))

    def chunk(i: Value | int, lanes: int) -> None:
        x, mine = row.load(0, i, lanes), row.spread(own, lanes)
        earlier = b.icmp_signed("<", row.numbers(i, lanes), k.splat(label, lanes))
        equal = b.and_(b.fcmp_ordered("==", x, mine), earlier)
        beats = b.or_(b.fcmp_ordered(">", x, mine), equal)
        ones = b.zext(beats, ir.VectorType(I32, lanes))
        for lane in range(lanes):
            one = b.extract_element(ones, ir.Constant(I32, lane))
            count.set(b.add(count.get(), one))

    row.each(chunk)
    few = k.splat(b.icmp_signed("<", count.get(), ir.Constant(I32, row.spec.attrs.k)), 1)
    hit = b.and_(b.and_(few, k.splat(known, 1)), b.fcmp_ordered("ord", own, own))
    row.store_single(b.select(hit, k.splat_const(1.0, dtype, 1), k.splat_const(0.0, dtype, 1)))


def _one_hot(row: _Row) -> None:
    k, b, dtype = row.k, row.k.builder, row.spec.dtype
    label = row.single(0)
    if isinstance(label.type, ir.IntType):
        label = b.sitofp(label, F64)
    elif label.type != F64:
        label = b.fpext(label, F64)

    def chunk(i: Value | int, lanes: int) -> None:
        numbers = b.sitofp(row.numbers(i, lanes), ir.VectorType(F64, lanes))
        here = b.fcmp_ordered("==", numbers, k.splat(label, lanes))
        on, off = (k.splat_const(x, dtype, lanes) for x in (1.0, 0.0))
        row.store(b.select(here, on, off), i)

    row.each(chunk)


def _top_k(row: _Row) -> None:
    k, b, dtype, attrs = row.k, row.k.builder, row.spec.dtype, row.spec.attrs
    # Every element comes after a NaN that stands before the row.
    last = k.variable(k.splat_const(math.nan, dtype, 1))
    last_place = k.variable(k.splat(k.const(-1), 1))
    with k.loop(0, attrs.k) as j:
        before = spread(k, last.get(), PARTIALS), spread(k, last_place.get(), PARTIALS)
        first = k.variable(before[0])
        place = k.variable(k.splat(k.const(-1), PARTIALS))

        def chunk(i: Value | int, width: int) -> None:
            lanes = [n % width for n in range(PARTIALS)]
            x, at = row.load(0, i, width), row.numbers(i, width)
            x, at = shuffle(k, x, x, lanes), shuffle(k, at, at, lanes)
            none = b.icmp_signed("<", place.get(), k.splat(k.const(0), PARTIALS))
            taken = b.and_(_precedes(k, *before, x, at), b.or_(none, replaces(k, x, first.get())))
            first.set(b.select(taken, x, first.get()))
            place.set(b.select(taken, at, place.get()))

        row.each(chunk)
        found, at = first.get(), place.get()
        half = PARTIALS // 2
        while half:
            sides = [range(s, s + half) for s in (0, half)]
            (x, y), (p, q) = ([shuffle(k, v, v, side) for side in sides] for v in (found, at))
            none, other = (b.icmp_signed("<", v, k.splat(k.const(0), half)) for v in (p, q))
            wins = b.and_(b.not_(other), b.or_(none, _precedes(k, y, q, x, p)))
            found, at = b.select(wins, y, x), b.select(wins, q, p)
            half //= 2
        last.set(found)
        last_place.set(at)
        number = b.sitofp(at, k.vector_type(dtype, 1))
        row.store(number if attrs.places else found, j)


def _precedes(k: Kernel, x: Value, x_place: Value, y: Value, y_place: Value) -> Value:
    """Where x comes before y: greater, or NaN and y is not, or alike and at a smaller place."""
    b = k.builder
    alike = b.and_(b.fcmp_unordered("uno", x, x), b.fcmp_unordered("uno", y, y))
    alike = b.or_(alike, b.fcmp_ordered("==", x, y))
    return b.or_(replaces(k, x, y), b.and_(alike, b.icmp_signed("<", x_place, y_place)))


_EMITTERS: dict[str, Callable[[_Row], None]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "softmax_grad": _softmax_grad,
    "log_softmax_grad": _log_softmax_grad,
    "cross_entropy": _cross_entropy,
    "cross_entropy_grad": _cross_entropy_grad,
    "hits": _hits,
    "one_hot": _one_hot,
    "top_k": _top_k,
}
