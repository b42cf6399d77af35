"""What stands on a sheet of formulas: matrices, equations, windows, lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import TextWrapper
from typing import TypeAlias

from isoconv.explain.notation import Form, Names, written
from isoconv.graph.terms import Chain, Element, Index, Term

WIDTH = 100
"""Columns of the text; matrices that find no room beside one another stand below."""
_IN_A_ROW = 9
"""Products that stand in one row of LaTeX: those of a kernel of 3 by 3."""


@dataclass(frozen=True, slots=True)
class Matrix:
    r"""A matrix, a row a line.

    Attributes:
        text: its name in text; "" for none.
        latex: its name in LaTeX.
        rows: of terms.
    """

    text: str
    latex: str
    rows: tuple[tuple[Term, ...], ...]

    def cells(self, names: Sequence[Names], form: Form) -> list[list[str]]:
        """Its entries as they are written."""
        return [[written(term, names, form) for term in row] for row in self.rows]

    def lines(self, names: Sequence[Names]) -> list[str]:
        """It in text, its name before its first row."""
        cells = self.cells(names, "text")
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        before = f"{self.text} = " if self.text else ""
        rows = []
        for number, row in enumerate(cells):
            texts = (text.rjust(wide) for text, wide in zip(row, widths, strict=True))
            rows.append(f"{' ' * len(before) if number else before}[{'  '.join(texts)}]")
        return rows

    def to_latex(self, names: Sequence[Names]) -> str:
        """It in LaTeX."""
        rows = " \\\\\n".join(" & ".join(row) for row in self.cells(names, "latex"))
        before = f"{self.latex} = " if self.latex else ""
        return f"{before}\\begin{{bmatrix}}\n{rows}\n\\end{{bmatrix}}"


@dataclass(frozen=True, slots=True)
class Matrices:
    """Matrices beside one another."""

    all: tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A formula that holds for all elements, in both ways of writing."""

    text: str
    latex: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Win:
    """A window of a maximum: what it sees, which value is the largest, and who takes its gradient.

    Attributes:
        window: what it sees.
        largest: its maximum.
        gradient: the element of grad_output that goes to the maximum's place.
        place: of the maximum in the input.
    """

    window: Matrix
    largest: str
    gradient: Element
    place: Index

    def words(self, names: Sequence[Names], form: Form) -> str:
        """What is said of it."""
        taker = written(self.gradient, names, form)
        if form == "latex":
            return (
                rf"\Rightarrow \text{{max}} = {self.largest} \Rightarrow \text{{assign }} {taker} "
                rf"\text{{ to position of {self.largest}}}"
            )
        return f"⇒ max = {self.largest} ⇒ assign {taker} to position of {self.largest}"


@dataclass(frozen=True, slots=True)
class Equation:
    """One element and what it is made of.

    Attributes:
        array: which array the element belongs to; "y", "w" or "x".
        place: of the element.
        name: of the array's elements.
        derivative: whether it is the loss's derivative by the element.
        term: what it is made of.
        value: what that gives, where numbers are known.
        numbers: the same term with numbers for what is known of it; None where nothing is.
    """

    array: str
    place: Index
    name: Names
    derivative: bool
    term: Term
    value: str = ""
    numbers: Term | None = None

    def _sides(self) -> list[Term]:
        return [self.term] if self.numbers is None else [self.term, self.numbers]

    def right(self, names: Sequence[Names], form: Form) -> str:
        """What it is made of, in numbers too where they are known, and its value."""
        sides = [written(each, names, form) for each in self._sides()]
        return " = ".join([*sides, self.value] if self.value else sides)

    def left(self, form: Form) -> str:
        """The side of the equation that is named."""
        name = self.name.name(self.place, form)
        if not self.derivative:
            return name
        if form == "latex":
            return rf"\frac{{\partial L}}{{\partial {name}}}"
        return f"∂L/∂{name}"

    def lines(self, names: Sequence[Names], wide: int) -> list[str]:
        """It in text; a long sum goes on below its first term.

        Args:
            names: of the operands.
            wide: columns of the left side.
        """
        first = f"{self.left('text').ljust(wide)} = "
        wrap = TextWrapper(WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
                           break_long_words=False, break_on_hyphens=False)  # fmt: skip
        # A term goes on the next line with the sign before it.
        right = self.right(names, "text").replace(" + ", " +\N{NO-BREAK SPACE}")
        return [line.replace("\N{NO-BREAK SPACE}", " ") for line in wrap.wrap(right)]

    def to_latex(self, names: Sequence[Names]) -> str:
        """It as a row of ``aligned``; a long sum of products has several."""
        left = self.left("latex")
        if self.numbers is None and not _is_long(self.term):
            return f"{left} &= {self.right(names, 'latex')}"
        sides = [_rows(each, names) for each in self._sides()]
        end = f" = {self.value}" if self.value else ""
        return f"{left} &= " + " \\\\\n&= ".join(sides) + end


def _is_long(term: Term) -> bool:
    return isinstance(term, Chain) and len(term.pairs) > _IN_A_ROW


def _rows(term: Term, names: Sequence[Names]) -> str:
    """A term in LaTeX, so many products in a row."""
    if not isinstance(term, Chain) or not _is_long(term):
        return written(term, names, "latex")
    rows = [
        written(Chain(term.pairs[at : at + _IN_A_ROW]), names, "latex")
        for at in range(0, len(term.pairs), _IN_A_ROW)
    ]
    joined = rows[0]
    for row in rows[1:]:
        sign, rest = ("-", row[1:]) if row.startswith("-") else ("+", row)
        joined += f" \\\\\n&\\quad {sign} {rest}"
    return joined


@dataclass(frozen=True, slots=True)
class Equations:
    """A list of equations of one array."""

    all: tuple[Equation, ...]

    def lines(self, names: Sequence[Names]) -> list[str]:
        """It in text, the signs of equality below one another."""
        wide = max((len(each.left("text")) for each in self.all), default=0)
        return [line for each in self.all for line in each.lines(names, wide)]

    def to_latex(self, names: Sequence[Names]) -> str:
        """It in LaTeX."""
        rows = " \\\\\n".join(each.to_latex(names) for each in self.all)
        return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"


Block: TypeAlias = Matrices | Line | Remark | Win | Equations
