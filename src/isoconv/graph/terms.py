"""What one element of a result is made of: its terms, in the order of the arithmetic.

An operation's terms are a small tree. Its leaves are elements of the operation's operands; its
branches say how they are combined: a chain of fused multiply-adds, a running sum, eight partial
sums, a tree, a choice, a formula. `isoconv.graph.values` works the tree off one by one and gives
the bits of the operation's reference; that is tested for every operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isoconv.graph.ir import TensorSpec

if TYPE_CHECKING:
    from isoconv.graph.operation import Operation

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

    Example:
        >>> from isoconv.graph.values import running
        >>> chain = Chain(((Element(0, (0,)), Element(1, (2,))), (Padding(0, (-1,)), Number(7.0))))
        >>> running(chain, (np.float32([3]), np.float32([0, 0, 5])))
        array([ 0., 15., 15.], dtype=float32)
    """

    pairs: tuple[tuple[Term, Term], ...]


@dataclass(frozen=True, slots=True)
class Running(_Combined):
    """``s = +0.0``, then ``s = s + t`` for each term; what a `When` leaves out adds nothing.

    Attributes:
        terms: what is added.

    Example:
        >>> from isoconv.graph.values import running
        >>> running(Running(tuple(Element(0, (i,)) for i in range(3))), [np.float32([1, 2, 4])])
        array([0., 1., 3., 7.], dtype=float32)
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Partials(_Combined):
    """Eight interleaved partial sums from +0.0 and the tree over them, see `partial_sum`.

    Attributes:
        terms: what is added; term i belongs to partial sum ``i mod 8``.

    Example:
        >>> from isoconv.graph.values import evaluate
        >>> numbers = np.float32([2**24, 1, 1, -(2**24)])
        >>> float(evaluate(Partials(tuple(Element(0, (i,)) for i in range(4))), [numbers]))
        1.0
        >>> float(evaluate(Partials(tuple(Element(0, (i,)) for i in (0, 3, 1, 2))), [numbers]))
        2.0
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Tree(_Combined):
    """The binary tree over positions by which shards are combined, see `tree_sum`.

    Attributes:
        terms: what is added, one for each shard.

    Example:
        >>> from isoconv.graph.values import evaluate
        >>> shards = tuple(Element(0, (i,)) for i in range(3))
        >>> float(evaluate(Tree(shards), [np.float32([1, 2, 4])]))
        7.0
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Largest(_Combined):
    """A chain of comparisons: the greatest, the first of equals, the first NaN before all.

    Attributes:
        terms: what is compared, in order; at least one.

    Example:
        >>> from isoconv.graph.values import evaluate
        >>> row = tuple(Element(0, (i,)) for i in range(3))
        >>> float(evaluate(Largest(row), [np.float32([1, 5, 5])]))
        5.0
    """

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Wins:
    """Whether one candidate is the one that is chosen.

    Attributes:
        choice: among which.
        number: of the candidate, from 0.

    Example:
        >>> from isoconv.graph.values import Evaluation
        >>> at = Evaluation([np.float32([1, 5, 5])], np.float32)
        >>> choice = Largest(tuple(Element(0, (i,)) for i in range(3)))
        >>> [at.holds(Wins(choice, i)) for i in range(3)]
        [False, True, False]
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

    Example:
        >>> from isoconv.graph.values import evaluate
        >>> share = When(Is(Element(0, (0,)), 2), Number(0.9), Number(0.1))
        >>> [float(evaluate(share, [np.int32([label])], np.float64)) for label in (1, 2)]
        [0.1, 0.9]
    """

    condition: Wins | Is
    then: Term
    otherwise: Term | None = None


@dataclass(frozen=True, slots=True)
class Select(_Combined):
    """One of several, by number; 0 where the number is that of none.

    Attributes:
        by: an element that holds the number.
        options: what is chosen from.

    Example:
        >>> from isoconv.graph.values import evaluate
        >>> logits = tuple(Element(0, (0, i)) for i in range(3))
        >>> chosen = Select(Element(1, (0,)), logits)
        >>> float(evaluate(chosen, (np.float32([[4, 5, 6]]), np.int32([1]))))
        5.0
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

    Example:
        >>> from isoconv.graph.values import evaluate
        >>> x, mean = Element(0, (0, 2)), Element(1, (2,))
        >>> centred = x - mean
        >>> centred.text, float(evaluate(centred, (np.float32([[1, 2, 9]]), np.float32([0, 0, 4]))))
        ('{0} - {1}', 5.0)
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

    Example:
        >>> import isoconv.ops
        >>> from isoconv.graph.operation import operation
        >>> settings = isoconv.ops.Sum(0, True)
        >>> asked = Asked(settings, (TensorSpec((3,)),), TensorSpec(()), (1,), 2, lambda _: None)
        >>> operation("sum").terms_of(asked).terms[2]
        Element(operand=0, index=(1, 2))
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
    """The terms of any pointwise operation: its own formula of the elements at the same place.

    Args:
        entry: the operation.
        asked: for which element; a broadcast operand is read where it stands for that place.
    """
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
