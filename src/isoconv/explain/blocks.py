"""A tree of terms as blocks that a person reads: tables of terms, formulas with numbers in them.

Every sum, choice and formula of the tree becomes one block, in the order in which it is computed,
so that the last one holds the value. All numbers are those of the arithmetic, not computed anew in
another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoconv.graph.operation import Array
from isoconv.graph.terms import (
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
)
from isoconv.graph.values import Evaluation

LONGEST = 40
"""Characters of a formula that stands in a row of a sum."""

_MOST_LINES = 4
"""Formulas within a formula whose values are told one by one."""

_TREE = "((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))"


@dataclass(frozen=True, slots=True)
class Row:
    """One term of a sum or a choice.

    Attributes:
        names: what is read, ``("x[2, 4, 0]", "w[0, 0, 0, 7]")``.
        values: the numbers that stand there, of the arithmetic's own dtype.
        product: of two factors, rounded for show: a fused multiply-add does not round it.
        total: the running sum after this term; None where there is none.
        mark: "padding", "winner", "nothing is added", ...; "" for nothing to say.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    product: Any = None
    total: Any = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One sum, choice or formula.

    Attributes:
        kind: "chain", "sum", "partials", "tree", "largest", "select" or "formula".
        name: what later blocks call its value: ``"sum"``, ``"max"``; "" for the last one.
        text: what is done, in a line.
        rows: the terms in the order of the arithmetic.
        value: what comes out.
        lines: what else there is to say, a line each.
    """

    kind: str
    name: str
    text: str
    rows: tuple[Row, ...]
    value: Any
    lines: tuple[str, ...] = ()


def number(value: Any) -> str:
    """The shortest text that reads back as the same number of its dtype.

    Example:
        >>> number(np.float32(0.1)), number(np.float32(2)), number(np.float32(-0.0))
        ('0.1', '2', '-0')
    """
    text = str(value) if isinstance(value, (np.generic, int)) else repr(value)
    return text.removesuffix(".0")


def blocks_of(
    term: Term,
    operands: Sequence[Array],
    names: Sequence[Callable[[Index], str]],
    dtype: Any,
) -> list[Block]:
    """The blocks of a term, those that others need first.

    Args:
        term: the tree.
        operands: the operation's operands.
        names: for each operand what calls its element at an index: ``"x[2, 4, 0]"``.
        dtype: of the result.
    """
    writer = _Writer(operands, names, dtype)
    writer.write(term, last=True)
    return writer.blocks


class _Writer:
    """Blocks being written, and the names that the values of earlier ones have."""

    def __init__(
        self, operands: Sequence[Array], names: Sequence[Callable[[Index], str]], dtype: Any
    ) -> None:
        self.blocks: list[Block] = []
        self._names = names
        self._at = Evaluation(operands, dtype)
        self._called: dict[int, str] = {}
        self._counts: dict[str, int] = {}

    # Text

    def text(self, term: Term, *, numbers: bool = False) -> str:
        """A term as an expression: of names, or of numbers."""
        match term:
            case Element(operand, index):
                if numbers:
                    return number(self._at.value(term))
                return self._names[operand](index)
            case Padding():
                return "0"
            case Number():
                return number(self._at.value(term))
            case Formula(text, arguments, _) if "{0}" in text and id(term) not in self._called:
                inner = [
                    self._bracketed(each, self.text(each, numbers=numbers), text)
                    for each in arguments
                ]
                return text.format(*inner)
            case When(condition, then, otherwise) if isinstance(condition, Is):
                return self.text(then if self._at.holds(condition) else (otherwise or Number(0.0)))
        if numbers:
            return number(self._at.value(term))
        return self._called.get(id(term), "…")

    @staticmethod
    def _bracketed(term: Term, inner: str, outer: str) -> str:
        """An argument in brackets where the order would not be seen otherwise."""
        alone = re.fullmatch(r"\W*\{0\}\W*|\w+\(.*\)", outer) and not outer.startswith("-")
        if inner.startswith("-") and not alone:
            return f"({inner})"
        simple = not isinstance(term, Formula) or "(" in outer or " " not in inner
        if simple or re.fullmatch(r"\w+\(.*\)", inner):
            return inner
        return f"({inner})"

    # Blocks

    def write(self, term: Term, *, last: bool = False) -> None:
        """Write what a term needs, then the term itself if it is more than a formula."""
        if id(term) in self._called:
            return
        match term:
            case Formula(_, arguments, _):
                for each in arguments:
                    self.write(each)
                if last:
                    self._formula(term)
            case Chain():
                self._chain(term, last)
            case Running() | Partials() | Tree():
                for each in term.terms:
                    self.write(each)
                self._sum(term, last)
            case Largest():
                self._largest(term, last)
            case Select(_, options):
                chosen = options[int(self._at.value(term.by))]
                self.write(chosen, last=last)
            case When(condition, then, otherwise):
                if isinstance(condition, Is):
                    return
                self.write(condition.choice)
                self.write(then)
                if otherwise is not None:
                    self.write(otherwise)
            case _ if last:
                self._formula(term)

    def _add(self, term: Term, kind: str, base: str, last: bool, text: str, rows: Sequence[Row],
             lines: Sequence[str] = ()) -> None:  # fmt: skip
        name = ""
        if not last:
            count = self._counts[base] = self._counts.get(base, 0) + 1
            name = base if count == 1 else f"{base}{count}"
        self._called[id(term)] = name or base
        value = self._at.value(term)
        self.blocks.append(Block(kind, name, text, tuple(rows), value, tuple(lines)))

    def _chain(self, term: Chain, last: bool) -> None:
        totals = self._at.running(term)
        rows = []
        for (a, b), total in zip(term.pairs, totals[1:], strict=True):
            values = self._at.value(a), self._at.value(b)
            with np.errstate(all="ignore"):
                product = values[0] * values[1]
            padded = isinstance(a, Padding) or isinstance(b, Padding)
            names = self._read(a), self._read(b)
            rows.append(Row(names, values, product, total, "padding" if padded else ""))
        text = f"a chain of {_count(len(rows), 'fused multiply-add')} from +0.0, in this order"
        self._add(term, "chain", "sum", last, text, rows)

    def _read(self, term: Term) -> str:
        return (
            self._names[term.operand](term.index) if isinstance(term, Padding) else self.text(term)
        )

    def _sum(self, term: Running | Partials | Tree, last: bool) -> None:
        for each in term.terms:
            self._name(each)
        rows: list[Row] = []
        totals = self._at.running(term)[1:] if isinstance(term, Running) else None
        for place, each in enumerate(term.terms):
            total = None if totals is None else totals[place]
            rows.append(self._addend(each, total))
        if isinstance(term, Running):
            text = f"{_count(len(rows), 'term')}, added one by one from +0.0"
            self._add(term, "sum", "sum", last, text, rows)
        elif isinstance(term, Tree):
            text = f"{_count(len(rows), 'shard')}, added by the binary tree over their positions"
            self._add(term, "tree", "sum", last, text, rows)
        else:
            text = (
                f"{_count(len(rows), 'term')} in eight partial sums from +0.0: term i goes to "
                "partial sum i mod 8"
            )
            parts = [self._at.running(Running(term.terms[j::8]))[-1] for j in range(8)]
            shown = [f"p{j} = {number(part)}" for j, part in enumerate(parts)]
            lines = (", ".join(shown[:4]), ", ".join(shown[4:]), f"then {_TREE}")
            self._add(term, "partials", "sum", last, text, rows, lines)

    def _name(self, term: Term) -> None:
        """A long formula among the terms of a sum becomes a block of its own, with a name."""
        if not isinstance(term, Formula) or "{0}" not in term.text or id(term) in self._called:
            return
        names = self.text(term)
        if len(names) > LONGEST:
            text = " = ".join((names, self.text(term, numbers=True), number(self._at.value(term))))
            self._add(term, "formula", "term", False, text, ())

    def _addend(self, term: Term, total: Any) -> Row:
        if isinstance(term, When) and not isinstance(term.condition, Is):
            won = self._at.holds(term.condition)
            name = self.text(term.then)
            mark = "" if won else "not the winner: nothing is added"
            return Row((name,), (self._at.value(term.then),), None, total, mark)
        name = self._read(term) if isinstance(term, Padding) else self.text(term)
        return Row((name,), (self._at.value(term),), None, total)

    def _largest(self, term: Largest, last: bool) -> None:
        winner = self._at.winner(term)
        rows = [
            Row((self.text(each),), (self._at.value(each),), mark="winner" if i == winner else "")
            for i, each in enumerate(term.terms)
        ]
        text = f"the greatest of {len(rows)}, the first of equals"
        self._add(term, "largest", "max", last, text, rows)

    def _formula(self, term: Term) -> None:
        if isinstance(term, Formula) and "{0}" not in term.text:
            rows = [Row((self.text(each),), (self._at.value(each),)) for each in term.arguments]
            self._add(term, "formula", "value", True, term.text, rows)
            return
        names, numbers = self.text(term), self.text(term, numbers=True)
        value = number(self._at.value(term))
        chain = [names, *([numbers] if numbers not in (names, value) else []), value]
        text = " = ".join(dict.fromkeys(chain))
        self._add(term, "formula", "value", True, text, (), self._within(term))

    def _within(self, term: Term) -> list[str]:
        """The values of the formulas inside a formula, a line each; of many none is told."""
        lines: dict[str, str] = {}

        def visit(inner: Term) -> None:
            if isinstance(inner, Formula) and id(inner) not in self._called:
                for each in inner.arguments:
                    visit(each)
                if inner is not term:
                    lines[self.text(inner)] = number(self._at.value(inner))

        visit(term)
        if len(lines) > _MOST_LINES:
            return []
        return [f"{text} = {value}" for text, value in lines.items()]


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
