"""How objects show themselves at a prompt and in a notebook: one card, as text and as HTML.

A card has a title, facts, perhaps a table and a curve. Its HTML takes colours and letters from the
page that it stands on, dark or light, and holds no text that was not escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any, ClassVar

from isoconv.printable import cut, printable

_LINE = "1px solid rgba(128,128,128,.35)"
_CELL = "padding:.12em 1em .12em 0;border:0;text-align:{};vertical-align:top;background:none"
_TABLE = "border-collapse:collapse;margin:.3em 0;border:0;color:inherit;font:inherit"
_LONGEST = 300
"""Characters of the longest text in a card."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below headings.

    Attributes:
        headings: of the columns.
        rows: of as many texts.
        words: so many columns from the left hold words; the others hold numbers.
        more: a line below, such as how many rows were left out.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    more: str = ""

    def html(self) -> str:
        """The table alone."""
        head = "".join(self._cell("th", text, at) for at, text in enumerate(self.headings))
        body = "".join(
            _row("".join(self._cell("td", text, at) for at, text in enumerate(row)))
            for row in self.rows
        )
        more = f'<div style="opacity:.7">{_text(self.more)}</div>' if self.more else ""
        whole = f"<thead>{_row(head)}</thead><tbody>{body}</tbody>"
        return f'<table style="{_TABLE}">{whole}</table>{more}'

    def _cell(self, tag: str, text: str, place: int) -> str:
        style = _CELL.format("left" if place < self.words else "right")
        if tag == "th":
            style += f";font-weight:normal;opacity:.7;border-bottom:{_LINE}"
        return f'<{tag} style="{style}">{_text(text)}</{tag}>'


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over the same steps, drawn small.

    Attributes:
        lines: their names and values; what is not finite is left out.
        steps: what a step is: "epoch".
    """

    lines: tuple[tuple[str, tuple[float, ...]], ...]
    steps: str

    def html(self) -> str:
        """A picture as SVG; nothing where there are no two values to join."""
        every = [value for _, values in self.lines for value in values if isfinite(value)]
        longest = max((len(values) for _, values in self.lines), default=0)
        if longest < 2 or len(every) < 2:
            return ""
        low, high = min(every), max(every)
        width, height, edge = 240, 64, 6
        drawn = []
        for place, (name, values) in enumerate(self.lines):
            points = " ".join(
                f"{edge + at * (width - 2 * edge) / (longest - 1):.1f},"
                f"{edge + (high - value) / ((high - low) or 1) * (height - 2 * edge):.1f}"
                for at, value in enumerate(values)
                if isfinite(value)
            )
            dash = "" if place == 0 else ' stroke-dasharray="4 3"'
            drawn.append(
                f'<polyline points="{points}" fill="none" stroke="currentColor" '
                f'stroke-width="1.5"{dash}><title>{_text(name)}</title></polyline>'
            )
        names = ", ".join(
            f"{name} ({'line' if place == 0 else 'dashes'})"
            for place, (name, _) in enumerate(self.lines)
        )
        caption = f"{names} from {high:.4g} to {low:.4g} over {longest} {self.steps}s"
        return (
            f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
            f'style="display:block;max-width:100%" aria-label="{_text(caption)}">{"".join(drawn)}'
            f'</svg><div style="opacity:.7">{_text(caption)}</div>'
        )


@dataclass(frozen=True, slots=True)
class Card:
    """What an object shows of itself.

    Attributes:
        title: what it is, in a line.
        facts: what there is to say of it, each with a name.
        lines: below them at a prompt alone, as they are.
        table: below the facts in a notebook alone.
        curve: below the table, likewise.

    Example:
        >>> print(Card("Box 'a'", (("size", "3"), ("colour", "red"))).text())
        Box 'a'
          size    3
          colour  red
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    table: Table | None = None
    curve: Curve | None = None

    def text(self) -> str:
        """For a prompt: some lines."""
        told = [(_plain(name), _plain(value)) for name, value in self.facts]
        width = max((len(name) for name, _ in told), default=0)
        facts = [f"  {name.ljust(width)}  {value}" for name, value in told]
        lines = [f"  {cut(printable(line), _LONGEST)}" for line in self.lines]
        return "\n".join([_plain(self.title), *facts, *lines])

    def html(self) -> str:
        """For a notebook."""
        facts = "".join(
            _row(
                f'<td style="{_CELL.format("left")};opacity:.7">{_text(name)}</td>'
                f'<td style="{_CELL.format("left")}">{_text(value)}</td>'
            )
            for name, value in self.facts
        )
        return "".join(
            (
                '<div style="line-height:1.4;overflow-x:auto">',
                f'<div style="font-weight:bold">{_text(self.title)}</div>',
                f'<table style="{_TABLE}"><tbody>{facts}</tbody></table>' if facts else "",
                "" if self.table is None else self.table.html(),
                "" if self.curve is None else self.curve.html(),
                "</div>",
            )
        )


class Carded:
    """Shows itself by a card: ``class Box(Carded, card=box_card)``."""

    __slots__ = ()

    _card_of: ClassVar[Callable[[Any], Card]]

    def __init_subclass__(cls, card: Callable[[Any], Card] | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if card is not None:
            cls._card_of = staticmethod(card)

    def __repr__(self) -> str:
        return type(self)._card_of(self).text()

    def _repr_html_(self) -> str:
        return type(self)._card_of(self).html()


def first_and_last(rows: Sequence[Any], most: int) -> tuple[list[Any], int, list[Any]]:
    """The first rows, how many are left out, and the last: at most so many in all.

    Example:
        >>> first_and_last(range(10), 4)
        ([0, 1, 2], 6, [9])
    """
    if len(rows) <= most:
        return list(rows), 0, []
    last = max(1, most // 4)
    return list(rows[: most - last]), len(rows) - most, list(rows[len(rows) - last :])


def sides(shape: Sequence[int]) -> str:
    """A shape as people write sizes.

    Example:
        >>> sides((28, 28, 1))
        '28×28×1'
    """
    return "\N{MULTIPLICATION SIGN}".join(str(side) for side in shape)


def _row(cells: str) -> str:
    return f'<tr style="background:none">{cells}</tr>'


def _plain(text: str) -> str:
    return cut(printable(text), _LONGEST)


def _text(text: str) -> str:
    return escape(_plain(text))
