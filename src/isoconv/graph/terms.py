"""What one element of a result is made of: its terms, in the order of the arithmetic.

An operation's terms are a small tree. Its leaves are elements of the operation's operands; its
branches say how they are combined: a chain of fused multiply-adds, a running sum, eight partial
sums, a tree, a choice, a formula. `evaluate` works the tree off one by one and gives the bits of
the operation's reference; that is tested for every operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isoconv.arithmetic.fma import fma
from isoconv.arithmetic.sums import partial_sum, tree_sum
from isoconv.graph.ir import TensorSpec

if TYPE_CHECKING:
    from isoconv.graph.operation import Operation

__all__ = [
    "Asked",
    "Chain",
    "Element",
    "Formula",
    "Index",
    "Is",
    "Largest",
    "Number",
    "Padding",
    "Partials",
    "Running",
    "Select",
    "Term",
    "TermsRule",
    "Tree",
    "When",
    "Wins",
    "elements",
    "evaluate",
    "pointwise_terms",
    "running",
]

Array = NDArray[Any]
Index: TypeAlias = tuple[int, ...]


class _Combined:
    """Terms that are added, subtracted, multiplied and divided become formulas."""

    __slots__ = ()

    def __add__(self, other: Term | float) -> Formula:
        return _formula("{0} + {1}", np.add, self, other)

    def __sub__(self, other: Term | float) -> Formula:
        return _formula("{0} - {1}", np.subtract, self, other)

    def __mul__(self, other: Term | float) -> Formula:
        return _formula("{0} * {1}", np.multiply, self, other)

    def __truediv__(self, other: Term | float) -> Formula:
        return _formula("{0} / {1}", np.divide, self, other)

    def __neg__(self) -> Formula:
        return _formula("-{0}", np.negative, self)


def _formula(text: str, compute: Callable[..., Any], *arguments: Any) -> Formula:
    terms = (Number(each) if isinstance(each, float) else each for each in arguments)
    return Formula(text, tuple(terms), compute)


# -- leaves ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Element(_Combined):
    """One element of an operand.

    Attributes:
        operand: which of the operation's operands, from 0.
        index: where in it; the image comes first where the operand has an image axis.
    """

    operand: int
    index: Index


@dataclass(frozen=True, slots=True)
class Padding(_Combined):
    """A place beyond the edge of an operand, where +0.0 is read.

    Attributes:
        operand: which of the operation's operands, from 0.
        index: where it would lie; below 0 or beyond the operand's sides.
    """

    operand: int
    index: Index


@dataclass(frozen=True, slots=True)
class Number(_Combined):
    """A number that belongs to the operation itself.

    Attributes:
        value: rounded to the result's dtype.
    """

    value: float


# -- branches --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chain(_Combined):
    """``s = +0.0``, then ``s = fma(a, b, s)`` for each pair: one rounding a link.

    Attributes:
        pairs: the factors (a, b) of each link.
    """

    pairs: tuple[tuple[Term, Term], ...]


@dataclass(frozen=True, slots=True)
class Running(_Combined):
    """``s = +0.0``, then ``s = s + t`` for each term; what a `When` leaves out adds nothing.

    Attributes:
        terms: what is added.
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Partials(_Combined):
    """Eight interleaved partial sums from +0.0 and the tree over them, see `partial_sum`.

    Attributes:
        terms: what is added; term i belongs to partial sum ``i mod 8``.
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Tree(_Combined):
    """The binary tree over positions by which shards are combined, see `tree_sum`.

    Attributes:
        terms: what is added, one for each shard.
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Largest(_Combined):
    """A chain of comparisons: the greatest, the first of equals, the first NaN before all.

    Attributes:
        terms: what is compared, in order; at least one.
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Wins:
    """Whether one candidate is the one that is chosen.

    Attributes:
        choice: among which.
        number: of the candidate, from 0.
    """

    choice: Largest
    number: int


@dataclass(frozen=True, slots=True)
class Is:
    """Whether an element holds this number.

    Attributes:
        by: the element.
        number: what it is compared with.
    """

    by: Element
    number: int


@dataclass(frozen=True, slots=True)
class When(_Combined):
    """A term under a condition.

    Attributes:
        condition: when it counts.
        then: the term.
        otherwise: what stands for it elsewhere; None in a `Running` sum: nothing is added.
    """

    condition: Wins | Is
    then: Term
    otherwise: Term | None = None


@dataclass(frozen=True, slots=True)
class Select(_Combined):
    """One of several, by number.

    Attributes:
        by: an element that holds the number.
        options: what is chosen from.
    """

    by: Element
    options: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Formula(_Combined):
    """One formula of a few terms, rounded as it says.

    Attributes:
        text: the formula, the arguments as ``{0}``, ``{1}``, …, or in the words of the operation's
            summary, which then names them.
        arguments: what it takes.
        compute: the formula on arrays of shape (1,), in the dtypes of the arguments.
    """

    text: str
    arguments: tuple[Term, ...]
    compute: Callable[..., Any]


Term: TypeAlias = (
    Element
    | Padding
    | Number
    | Chain
    | Running
    | Partials
    | Tree
    | Largest
    | When
    | Select
    | Formula
)


# -- what an operation is asked --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """One element of an operation's result.

    Attributes:
        attrs: the operation's settings.
        operands: what the operands are.
        result: what the result is.
        index: of the element; the image comes first where the result has an image axis.
        images: how many images the shard holds.
        read: an operand's element, for operations whose terms depend on values.
    """

    attrs: Any
    operands: tuple[TensorSpec, ...]
    result: TensorSpec
    index: Index
    images: int
    read: Callable[[Element], Any]

    @property
    def image(self) -> Index:
        """The image as the beginning of an index; empty where the result has no image axis."""
        return self.index[: self.result.batched]

    @property
    def place(self) -> Index:
        """The element without its image."""
        return self.index[self.result.batched :]


TermsRule = Callable[[Asked], Term]
"""``terms(asked) -> the tree of one element``."""


def pointwise_terms(entry: Operation, asked: Asked) -> Term:
    """The terms of any pointwise operation: its own formula of the elements at the same place."""
    arguments = tuple(
        Element(number, _same_place(spec, asked)) for number, spec in enumerate(asked.operands)
    )

    def compute(*values: Array) -> Array:
        lead = [value.reshape((1,) * max(spec.batched + len(spec.shape), 1))
                for value, spec in zip(values, asked.operands, strict=True)]  # fmt: skip
        return entry.reference(asked.attrs, *lead, images=asked.images)

    return Formula(entry.summary, arguments, compute)


def _same_place(spec: TensorSpec, asked: Asked) -> Index:
    """Where a broadcast operand is read: trailing axes align, an axis of one stays at 0."""
    image = asked.image if spec.batched else ()
    place = asked.place[len(asked.place) - len(spec.shape) :]
    sides = zip(place, spec.shape, strict=True)
    return (*image, *(0 if side == 1 else at for at, side in sides))


# -- values ----------------------------------------------------------------------------------


def evaluate(term: Term, operands: Sequence[Array], dtype: Any = np.float32) -> Any:
    """The value of a term, worked off one by one.

    Args:
        term: what to compute.
        operands: the operation's operands; batched ones lead with the images.
        dtype: of the operation's result.

    Returns:
        A NumPy scalar, bit for bit what the operation's reference gives.

    Example:
        >>> a, b = np.float32([1, 2, 3]), np.float32([10, 20, 30])
        >>> chain = Chain(tuple((Element(0, (i,)), Element(1, (i,))) for i in range(3)))
        >>> float(evaluate(chain, (a, b)))
        140.0
    """
    return _Evaluation(operands, dtype).value(term)


def running(term: Chain | Running, operands: Sequence[Array], dtype: Any = np.float32) -> Array:
    """The sum before its first term and after each.

    Args:
        term: a chain or a running sum of n terms.
        operands: the operation's operands; batched ones lead with the images.
        dtype: of the operation's result.

    Returns:
        ``(n + 1,)`` of this dtype; the first is +0.0, the last the value.
    """
    return _Evaluation(operands, dtype).running(term)


class _Evaluation:
    """Values of terms over the same operands; a term that stands in several places has one."""

    def __init__(self, operands: Sequence[Array], dtype: Any) -> None:
        self.operands = operands
        self.dtype = np.dtype(dtype)
        self.kind = self.dtype.type
        # By identity, as terms that are large are slow to compare; they outlive this object.
        self._known: dict[int, Any] = {}

    def value(self, term: Term) -> Any:
        match term:
            case Element(operand, index):
                return self.operands[operand][index]
            case Padding():
                return self.kind(0)
            case Number(number):
                return self.kind(number)
        known = self._known.get(id(term))
        if known is None:
            known = self._known[id(term)] = self._combined(term)
        return known

    def _combined(self, term: Term) -> Any:
        match term:
            case Chain() | Running():
                return self.running(term)[-1]
            case Partials(terms):
                return partial_sum(np.array([self.value(each) for each in terms], self.dtype))[()]
            case Tree(terms):
                return tree_sum([np.asarray(self.value(each)) for each in terms])[()]
            case Largest(terms):
                return self.value(terms[self._winner(term)])
            case When(condition, then, otherwise):
                if self._holds(condition):
                    return self.value(then)
                return self.kind(0) if otherwise is None else self.value(otherwise)
            case Select(by, options):
                return self.value(options[int(self.value(by))])
            case Formula(_, arguments, compute):
                arrays = [np.asarray(self.value(each)).reshape(1) for each in arguments]
                with np.errstate(all="ignore"):
                    return np.asarray(compute(*arrays)).reshape(-1)[0]
        raise TypeError(f"a term is one of isoconv.graph.terms; got {type(term).__name__}")

    def running(self, term: Chain | Running) -> Array:
        if isinstance(term, Running):
            return self._running_sum(term)
        left = np.array([self.value(a) for a, _ in term.pairs], self.dtype)
        right = np.array([self.value(b) for _, b in term.pairs], self.dtype)
        total = np.zeros(len(term.pairs) + 1, self.dtype)
        if self.dtype != np.float32:
            for i in range(len(term.pairs)):
                total[i + 1] = fma(left[i], right[i], total[i])
            return total
        s = 0.0
        for i, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True), start=1):
            total[i] = _odd_sum(a * b, s)
            s = total.item(i)
        return total

    def _running_sum(self, term: Running) -> Array:
        sums = [self.kind(0)]
        with np.errstate(all="ignore"):
            for each in term.terms:
                if (
                    isinstance(each, When)
                    and each.otherwise is None
                    and not self._holds(each.condition)
                ):
                    sums.append(sums[-1])
                else:
                    sums.append(sums[-1] + self.value(each))
        return np.array(sums, self.dtype)

    def _holds(self, condition: Wins | Is) -> bool:
        if isinstance(condition, Is):
            return int(self.value(condition.by)) == condition.number
        return self._winner(condition.choice) == condition.number

    def _winner(self, choice: Largest) -> int:
        values = [self.value(term) for term in choice.terms]
        best = 0
        for number, value in enumerate(values[1:], start=1):
            if value > values[best] or (np.isnan(value) and not np.isnan(values[best])):
                best = number
        return best


def _odd_sum(product: float, s: float) -> float:
    """The sum of two float64, to odd when it is inexact; see `isoconv.arithmetic.fma.fma32`.

    The product of two float32 is exact in float64, so rounding this sum to float32 is the one
    rounding of a fused multiply-add.
    """
    total = product + s
    kept = total - product
    error = (product - (total - kept)) + (s - kept)
    if error == 0 or not math.isfinite(error) or math.frexp(total)[0] * 2**53 % 2:
        return total
    return math.nextafter(total, math.inf if error > 0 else -math.inf)


def elements(term: Term) -> Iterator[Element]:
    """The elements that take part, in the order of the arithmetic; one that is read twice, twice.

    Example:
        >>> [e.index for e in elements(Running((Element(0, (1,)), Number(2.0), Element(0, (3,)))))]
        [(1,), (3,)]
    """
    match term:
        case Element():
            yield term
        case Chain(pairs):
            for a, b in pairs:
                yield from elements(a)
                yield from elements(b)
        case Running(terms) | Partials(terms) | Tree(terms) | Largest(terms):
            for inner in terms:
                yield from elements(inner)
        case When(condition, then, otherwise):
            yield from elements(condition.by if isinstance(condition, Is) else condition.choice)
            yield from elements(then)
            if otherwise is not None:
                yield from elements(otherwise)
        case Select(by, options):
            yield by
            for inner in options:
                yield from elements(inner)
        case Formula(_, arguments, _):
            for inner in arguments:
                yield from elements(inner)
        case _:
            return
