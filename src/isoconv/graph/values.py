"""Values of terms, worked off one by one: the bits of the operation's reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from ctypes import c_float
from typing import Any

import numpy as np

from isoconv.arithmetic.fma import fma
from isoconv.arithmetic.sums import partial_sum, tree_sum
from isoconv.graph.terms import (
    Array,
    Chain,
    Element,
    Formula,
    Index,
    Is,
    Largest,
    Number,
    Padding,
    Partials,
    Running,
    Select,
    Term,
    Tree,
    When,
    Wins,
)


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
    return Evaluation(operands, dtype).value(term)


def running(term: Chain | Running, operands: Sequence[Array], dtype: Any = np.float32) -> Array:
    """The sum before its first term and after each.

    Args:
        term: a chain or a running sum of n terms.
        operands: the operation's operands; batched ones lead with the images.
        dtype: of the operation's result.

    Returns:
        ``(n + 1,)`` of this dtype; the first is +0.0, the last the value.

    Example:
        >>> terms = tuple((Element(0, (i,)), Number(0.5)) for i in range(3))
        >>> running(Chain(terms), [np.float32([2, 4, 6])])
        array([0., 1., 3., 6.], dtype=float32)
    """
    return Evaluation(operands, dtype).running(term)


class Evaluation:
    """Values of terms over the same operands; a term that stands in several places has one.

    Args:
        operands: the operation's operands; batched ones lead with the images.
        dtype: of the operation's result.
    """

    def __init__(self, operands: Sequence[Array], dtype: Any) -> None:
        self.operands = operands
        self.dtype = np.dtype(dtype)
        self.kind = self.dtype.type
        # By identity, as terms that are large are slow to compare; they outlive this object.
        self._known: dict[int, Any] = {}

    def value(self, term: Term) -> Any:
        """The value of a term."""
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
                return partial_sum(self._values(terms))[()]
            case Tree(terms):
                return tree_sum([np.asarray(self.value(each)) for each in terms])[()]
            case Largest(terms):
                return self.value(terms[self.winner(term)])
            case When(condition, then, otherwise):
                if self.holds(condition):
                    return self.value(then)
                return self.kind(0) if otherwise is None else self.value(otherwise)
            case Select(by, options):
                number = int(self.value(by))
                return self.value(options[number]) if 0 <= number < len(options) else self.kind(0)
            case Formula(_, arguments, compute):
                arrays = [np.asarray(self.value(each)).reshape(1) for each in arguments]
                with np.errstate(all="ignore"):
                    return np.asarray(compute(*arrays)).reshape(-1)[0]
        raise TypeError(f"a term is one of isoconv.graph.terms; got {type(term).__name__}")

    def running(self, term: Chain | Running) -> Array:
        """The sum before its first term and after each; see `running`."""
        if isinstance(term, Running):
            return self._running_sum(term)
        left = self._values([a for a, _ in term.pairs])
        right = self._values([b for _, b in term.pairs])
        if self.dtype != np.float32:
            total = np.zeros(len(left) + 1, self.dtype)
            for i in range(len(left)):
                total[i + 1] = fma(left[i], right[i], total[i])
            return total
        # Python's float64 is faster than NumPy's for numbers one by one, and the same bits.
        with np.errstate(all="ignore"):
            products = np.multiply(left, right, dtype=np.float64).tolist()
        totals, rounded = [0.0], c_float()
        for product in products:
            rounded.value = _odd_sum(product, totals[-1])
            totals.append(rounded.value)
        return np.array(totals, self.dtype)

    def _values(self, terms: Sequence[Term]) -> Array:
        """The values of many terms; the elements of an operand are read at once."""
        found = np.zeros(len(terms), self.dtype)
        read: dict[int, tuple[list[int], list[Index]]] = {}
        for place, term in enumerate(terms):
            if isinstance(term, Element):
                places, indices = read.setdefault(term.operand, ([], []))
                places.append(place)
                indices.append(term.index)
            elif not isinstance(term, Padding):
                found[place] = self.value(term)
        for operand, (places, indices) in read.items():
            found[places] = self.operands[operand][tuple(np.array(indices, np.intp).T)]
        return found

    def _running_sum(self, term: Running) -> Array:
        sums = [self.kind(0)]
        with np.errstate(all="ignore"):
            for each in term.terms:
                if (
                    isinstance(each, When)
                    and each.otherwise is None
                    and not self.holds(each.condition)
                ):
                    sums.append(sums[-1])
                else:
                    sums.append(sums[-1] + self.value(each))
        return np.array(sums, self.dtype)

    def holds(self, condition: Wins | Is) -> bool:
        """Whether a condition is true."""
        if isinstance(condition, Is):
            return int(self.value(condition.by)) == condition.number
        return self.winner(condition.choice) == condition.number

    def winner(self, choice: Largest) -> int:
        """The number of the term that is chosen."""
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
