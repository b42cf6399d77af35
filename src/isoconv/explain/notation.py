"""Terms as people write them: names in place of values, as text or as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from isoconv.graph.terms import (
    Chain,
    Element,
    Formula,
    Index,
    Largest,
    Number,
    Padding,
    Partials,
    Running,
    Term,
    Tree,
)

Form: TypeAlias = Literal["text", "latex"]
Leaf: TypeAlias = Element | Padding

LETTERS = "abcdefghijkmnopqrstuv"
"""Letters for gradients: w, x and y mean something else, and l looks like 1."""

_TEN = 10
"""Positions of an axis whose numbers have one digit; with more, commas stand between indices."""

_ASCII = str.maketrans(
    {
        "∂": "d",
        "·": "*",
        "\N{MULTIPLICATION SIGN}": "x",
        "Σ": "sum",
        "⇒": "=>",
        "…": "...",
    }
)


def in_ascii(text: str) -> str:
    """The same in letters that every terminal has.

    Example:
        >>> in_ascii("∂L/∂w00 = a·x00")
        'dL/dw00 = a*x00'
    """
    return text.translate(_ASCII)


@dataclass(frozen=True, slots=True)
class Names:
    """What the elements of an array are called.

    Attributes:
        letter: of the array.
        shape: of one image of it, or of the kernel.
        hidden: axes that are not written, since they have one position.
        own: whether each element has a letter of its own, in the order of `lettered`.

    Example:
        >>> Names("x", (3, 3, 1), hidden=(2,)).text((0, 2, 0))
        'x02'
        >>> Names("x", (3, 12, 2)).text((0, 10, 1)), Names("x", (3, 12, 2)).latex((0, 10, 1))
        ('x0,10,1', 'x_{0,10,1}')
        >>> Names("g", (2, 2, 1), own=True).text((1, 0, 0))
        'c'
    """

    letter: str
    shape: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    own: bool = False

    def subscript(self, place: Sequence[int]) -> str:
        """The index as it is written."""
        between = "," if max(self.shape) > _TEN else ""
        return between.join(str(at) for axis, at in enumerate(place) if axis not in self.hidden)

    def text(self, place: Sequence[int]) -> str:
        """An element's name in text."""
        if self.own:
            return LETTERS[self.number(place)]
        return self.letter + self.subscript(place)

    def latex(self, place: Sequence[int]) -> str:
        """An element's name in LaTeX."""
        if self.own:
            return LETTERS[self.number(place)]
        below = self.subscript(place)
        return f"{self.letter}_{{{below}}}" if below else self.letter

    def name(self, place: Sequence[int], form: Form) -> str:
        """An element's name."""
        return self.text(place) if form == "text" else self.latex(place)

    def number(self, place: Sequence[int]) -> int:
        """An element's number: channel by channel, row-major within each."""
        *where, channel = place
        number = channel
        for at, side in zip(where, self.shape[:-1], strict=True):
            number = number * side + at
        return number

    def lettered(self) -> Names:
        """The same with a letter for each element, if there are enough."""
        return replace(self, own=prod(self.shape) <= len(LETTERS))

    def places(self) -> list[Index]:
        """All places, channel by channel, row-major within each."""
        *sides, channels = self.shape
        where = list(product(*map(range, sides)))
        return [(*place, channel) for channel in range(channels) for place in where]


# -- terms -----------------------------------------------------------------------------------


def mapped(term: Term, leaf: Callable[[Leaf], Term]) -> Term:
    """A term with something else in the place of each element and of each place in the padding."""
    match term:
        case Element() | Padding():
            return leaf(term)
        case Chain(pairs):
            return Chain(tuple((mapped(a, leaf), mapped(b, leaf)) for a, b in pairs))
        case Running(terms) | Partials(terms) | Tree(terms) | Largest(terms):
            return type(term)(tuple(mapped(each, leaf) for each in terms))
        case Formula(text, arguments, compute):
            return Formula(text, tuple(mapped(each, leaf) for each in arguments), compute)
        case Number():
            return term
    raise TypeError(f"{type(term).__name__} is not written in symbols")


def term_count(term: Term) -> int:
    """How many terms a sum or a choice has; 1 for anything else."""
    match term:
        case Chain(pairs):
            return len(pairs)
        case Running(terms) | Partials(terms) | Tree(terms) | Largest(terms):
            return len(terms)
        case Formula(_, arguments, _):
            return max(map(term_count, arguments), default=1)
    return 1


def number_text(value: float | np.float32) -> str:
    """A float32 in as few digits as tell it from all others; whole ones without a point.

    Example:
        >>> number_text(4.25), number_text(3.0), number_text(1 / 3)
        ('4.25', '3', '0.33333334')
    """
    return str(np.float32(value)).removesuffix(".0")


def added(texts: Iterable[str]) -> str:
    """A sum; that of nothing is 0.

    Example:
        >>> added(["a", "b", "-3"]), added([])
        ('a + b - 3', '0')
    """
    return " + ".join(texts).replace("+ -", "- ") or "0"


def written(term: Term, names: Sequence[Names], form: Form) -> str:
    r"""A term in symbols.

    Args:
        term: operand n of its elements is called by the n-th names; their indices have no image.
        names: of the operands.
        form: text or LaTeX.

    Example:
        >>> x, w = Names("x", (3, 1), hidden=(1,)), Names("w", (2, 1, 1), hidden=(1, 2))
        >>> chain = Chain(tuple((Element(0, (i, 0)), Element(1, (i, 0, 0))) for i in range(2)))
        >>> written(chain, (x, w), "text")
        'x0·w0 + x1·w1'
        >>> written(chain / 2.0, (x, w), "latex")
        '\\frac{x_{0} \\cdot w_{0} + x_{1} \\cdot w_{1}}{2}'
    """
    return _Writer(names, form).term(term)


@dataclass(frozen=True, slots=True)
class _Writer:
    names: Sequence[Names]
    form: Form

    def term(self, term: Term) -> str:
        match term:
            case Element(operand, index):
                return self.names[operand].name(index, self.form)
            case Padding():
                return "0"
            case Number(value):
                return number_text(value)
            case Chain(pairs):
                times = "·" if self.form == "text" else r" \cdot "
                return added(f"{self.term(a)}{times}{self.factor(b)}" for a, b in pairs)
            case Running(terms) | Partials(terms) | Tree(terms):
                return added(map(self.term, terms))
            case Largest(terms):
                inner = ", ".join(map(self.term, terms))
                return f"max({inner})" if self.form == "text" else rf"\max({inner})"
            case Formula("{0} / {1}", (above, below), _):
                return self.quotient(above, below)
        raise TypeError(f"{type(term).__name__} is not written in symbols")

    def factor(self, term: Term) -> str:
        text = self.term(term)
        return f"({text})" if text.startswith("-") else text

    def quotient(self, above: Term, below: Term) -> str:
        top, bottom = self.term(above), self.term(below)
        if self.form == "latex":
            return rf"\frac{{{top}}}{{{bottom}}}"
        return f"({top})/{bottom}" if term_count(above) > 1 else f"{top}/{bottom}"
