"""An explanation: one number of a network taken apart, and how it shows itself."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from isoconv.explain.blocks import Block, Row, number
from isoconv.explain.field import Field
from isoconv.graph.terms import Index

WIDTH = 100
"""Columns of the text."""

TEX_WIDTH = 72
"""Letters in a row of LaTeX; those of a typewriter's width fill a page of A4 so."""
MOST_ROWS = 24
"""Terms of one sum that are shown unasked; of more, the first and the last ones."""


@dataclass(frozen=True, slots=True)
class Part:
    """One operation on the way to the number.

    Attributes:
        title: which operation of which layer.
        formula: the operation's own sentence.
        reads: what its operands are, a line each.
        blocks: its sums, choices and formulas, those that others need first.
        value: what comes out.
        note: what is to be said of it; "" for nothing.
        brief: whether it is one of many of its kind, of which a few terms are enough.
    """

    title: str
    formula: str
    reads: tuple[str, ...]
    blocks: tuple[Block, ...]
    value: Any
    note: str = ""
    brief: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """One number of a network taken apart; ``print`` shows it, a notebook too.

    Attributes:
        title: which number it is.
        layer: name of the layer.
        kind: the layer's class and settings.
        what: "value", "gradient by the input", ….
        index: where, without the image.
        value: the number, of the engine's own bits.
        field: the part of the picture that the value depends on; of a gradient, which may depend
            on all of it, that of the value by which it is taken. None for what depends on none.
        parts: the operations whose result it is, in the order in which they are computed.
        follows: what is made of it element by element before another layer reads it.
        notes: what a reader should know, a line each.
    """

    title: str
    layer: str
    kind: str
    what: str
    index: Index
    value: Any
    field: Field | None
    parts: tuple[Part, ...]
    follows: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def terms(self) -> tuple[Row, ...]:
        """The terms of its longest sum or choice, in the order of the arithmetic."""
        rows = [block.rows for part in self.parts for block in part.blocks]
        return max(rows, key=len, default=())

    @property
    def after(self) -> Any:
        """What follows makes of it: what the next layer gets, or the weight after one step."""
        return self.follows[-1].value if self.follows else self.value

    @property
    def heading(self) -> str:
        """What stands above that which follows."""
        return "what follows, at the same place" if self.what == "value" else "what becomes of it"

    @property
    def where(self) -> str:
        """Which part of the picture it is about, in words; "" for none."""
        if self.field is None:
            return ""
        if self.what == "value":
            return f"in the picture: {self.field}"
        whole = "the whole picture"
        field = str(self.field)
        return f"belongs to {whole if field == whole else f'{field} of the picture'}"

    # As text

    def __repr__(self) -> str:
        return self.to_text()

    __str__ = __repr__

    def to_text(self, *, every: bool = False) -> str:
        """Lines of text.

        Args:
            every: all terms, however many there are.
        """
        lines = [f"{self.title} = {number(self.value)}", f"  {self.kind}"]
        lines += [f"  {self.where}"] if self.where else []
        lines += [f"  {note}" for note in self.notes]
        before: Part | None = None
        for part in self.parts:
            lines += ["", *_part_lines(part, every, before)]
            before = part
        if self.follows:
            lines += ["", f"{self.heading}:"]
            for part in self.follows:
                lines += [f"  {line}" for line in _part_lines(part, every)]
        return "\n".join(part for line in lines for part in _wrapped(line))

    # As Markdown and LaTeX

    def to_markdown(self, *, every: bool = False) -> str:
        """Markdown with tables; a `|` in a name is escaped."""
        lines = [f"### {_md(self.title)} = `{number(self.value)}`", "", _md(self.kind)]
        if self.where:
            lines += ["", f"{self.where[0].upper()}{self.where[1:]}."]
        for note in self.notes:
            lines += ["", _md(note)]
        for heading, parts in (("", self.parts), (self.heading.capitalize(), self.follows)):
            if heading and parts:
                lines += ["", f"#### {heading}"]
            for part in parts:
                lines += ["", f"**{_md(part.title)}**: {_md(part.formula)}"]
                lines += ["", *(f"- {_md(each)}" for each in part.reads)] if part.reads else []
                for block in part.blocks:
                    lines += ["", *_block_markdown(block, _most(part, every))]
        return "\n".join(lines) + "\n"

    def to_latex(self, *, every: bool = False) -> str:
        r"""LaTeX: a display of each part, one term of a sum a line, with what stands for it.

        ``\begin{aligned}`` is that of the package amsmath.
        """
        lines = [f"% {self.title}"]
        for part in (*self.parts, *self.follows):
            lines += [r"\[", r"\begin{aligned}", *_lines_latex("text", part.title)]
            for block in part.blocks:
                lines += _block_latex(block, _most(part, every))
            lines += [r"\end{aligned}", r"\]"]
        return "\n".join(lines) + "\n"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    # As data

    def to_dict(self) -> dict[str, Any]:
        """Plain data; each number as its shortest text and, in ``hex``, exactly.

        The part of the picture is called ``field`` where the number depends on no more than that,
        and ``belongs`` of a gradient.
        """
        part = self.field
        box = None if part is None else {"first": list(part.first), "last": list(part.last)}
        depends = self.what == "value"
        return {
            "title": self.title,
            "layer": self.layer,
            "kind": self.kind,
            "what": self.what,
            "index": list(self.index),
            "value": _plain(self.value),
            "field": box if depends else None,
            "belongs": None if depends else box,
            "parts": [part_as_dict(part) for part in self.parts],
            "follows": [part_as_dict(part) for part in self.follows],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    # In a notebook

    def _repr_html_(self) -> str:
        head = [
            '<div style="line-height:1.45;overflow-x:auto;font-variant-numeric:tabular-nums">',
            f'<div style="font-weight:bold">{escape(self.title)} = {number(self.value)}</div>',
            f"<div>{escape(self.kind)}</div>",
        ]
        if self.where:
            head.append(f"<div>{escape(self.where)}</div>")
        head += [f"<div>{escape(note)}</div>" for note in self.notes]
        body = [_part_html(part) for part in self.parts]
        if self.follows:
            body.append(f'<div style="margin-top:.6em">{self.heading}:</div>')
            body += [_part_html(part) for part in self.follows]
        return "".join([*head, *body, "</div>"])


def _kept(rows: Sequence[Row], most: int | None) -> tuple[Sequence[tuple[int, Row]], int]:
    """The rows to show with their numbers, and how many are left out before the last ones."""
    numbered = list(enumerate(rows, start=1))
    # A line that says that a few are left out is no shorter than they are.
    if most is None or len(rows) <= most + most // 4:
        return numbered, 0
    first, last = most // 3 * 2, most // 3
    return [*numbered[:first], *numbered[-last:]], len(rows) - first - last


def _most(part: Part, every: bool) -> int | None:
    """How many rows of a part's sums are shown; None for all."""
    return None if every else MOST_ROWS // 4 if part.brief else MOST_ROWS


def _cells(block: Block, most: int | None) -> tuple[list[str], list[list[str]]]:
    """A block's table: headings and rows of text; a row of one cell tells what is left out."""
    wide = max((len(row.names) for row in block.rows), default=0)
    products = any(row.product is not None for row in block.rows)
    totals = any(row.total is not None for row in block.rows)
    marks = any(row.mark for row in block.rows)
    heads = ["", *([""] * wide if wide > 1 else [""])]
    heads += ["value"] * wide
    heads += ["product"] * products + ["running sum"] * totals + [""] * marks
    kept, left = _kept(block.rows, most)
    table: list[list[str]] = []
    before = 0
    for at, row in kept:
        if at > before + 1:
            table.append([f"… {left:,} more terms …"])
        before = at
        cells = [str(at), *row.names, *(number(value) for value in row.values)]
        cells += [number(row.product)] if row.product is not None else [""] * products
        cells += [number(row.total)] if row.total is not None else [""] * totals
        table.append([*cells, *([row.mark] if marks else [])])
    return heads, table


def _part_lines(part: Part, every: bool, before: Part | None = None) -> list[str]:
    """A part in lines; what it shares with the one before is not said again."""
    lines = [part.title]
    if before is None or (part.formula, part.reads) != (before.formula, before.reads):
        lines += [f"  {part.formula}", *(f"  {each}" for each in part.reads)]
    if part.note:
        lines.append(f"  {part.note}")
    for block in part.blocks:
        name = f"{block.name}: " if block.name else ""
        lines.append(f"  {name}{block.text}")
        if block.rows:
            lines += [f"    {line}" for line in _aligned(*_cells(block, _most(part, every)))]
        lines += [f"    {line}" for line in block.lines]
        if block.rows:
            lines.append(f"    {block.name or 'value'} = {number(block.value)}")
    return lines


def _wrapped(line: str) -> list[str]:
    """A line in so many that none is longer than the page is wide."""
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=f"{indent}    ", break_on_hyphens=False
    )  # fmt: skip


def _aligned(heads: list[str], table: list[list[str]]) -> list[str]:
    rows = [heads, *(row for row in table if len(row) > 1)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(heads))]
    words = [not any(_numeric(row[at]) for row in rows[1:]) for at in range(len(heads))]
    # A table that is wider than a page has its columns closer together.
    gap = "  " if len("  ".join(" " * width for width in widths)) <= WIDTH - 6 else " "
    lines = []
    for row in ([heads] if any(heads) else []) + table:
        if len(row) == 1:
            lines.append(f"  {row[0]}")
            continue
        cells = [
            text.ljust(width) if word else text.rjust(width)
            for text, width, word in zip(row, widths, words, strict=True)
        ]
        lines.append(gap.join(cells).rstrip())
    return lines


def _numeric(text: str) -> bool:
    return bool(text) and (text[0].isdigit() or text[0] == "-" or text in ("inf", "nan"))


def _block_markdown(block: Block, most: int | None) -> list[str]:
    name = f"{block.name}: " if block.name else ""
    lines = [f"{_md(name + block.text)}"]
    if block.rows:
        heads, table = _cells(block, most)
        heads = [head or " " for head in heads]
        lines += ["", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
        for row in table:
            row = [*row, *[""] * (len(heads) - len(row))]
            lines.append(f"| {' | '.join(_md(cell) for cell in row)} |")
    lines += ["", *(f"`{line}`" for line in block.lines)] if block.lines else []
    return [*lines, "", f"{block.name or 'value'} = `{number(block.value)}`"]


def _block_latex(block: Block, most: int | None) -> list[str]:
    left = rf"\text{{{_tex(block.name or 'value')}}}"
    if not block.rows:
        return _lines_latex("texttt", block.text)
    kept, skipped = _kept(block.rows, most)
    lines = []
    before = 0
    for place, (at, row) in enumerate(kept):
        if skipped and at != before + 1:
            lines.append(rf"&\quad\cdots\quad\text{{({skipped:,} more)}}\\")
        before = at
        first, further = (r"=\max:\;", r"\quad,\;") if block.kind == "largest" else ("=", r"\quad+")
        sign = first if place == 0 else further
        product = r"\cdot".join(_tex_number(value) for value in row.values)
        names = r"\cdot".join(rf"\mathtt{{{_tex(name)}}}" for name in row.names)
        lines.append(rf"{left if place == 0 else ''}&{sign}{names}&&={product}\\")
    lines.append(rf"&=\mathbf{{{_tex_number(block.value)}}}\\")
    return lines


def _lines_latex(command: str, text: str) -> list[str]:
    """Words as rows of ``aligned``, none wider than a page."""
    lines = textwrap.wrap(text, TEX_WIDTH, break_on_hyphens=False)
    return [
        ("&" if number == 0 else r"&\quad") + rf"\{command}{{{_tex(line)}}}\\"
        for number, line in enumerate(lines)
    ]


def _tex_number(value: Any) -> str:
    text = number(value)
    if "e" in text:
        digits, power = text.split("e")
        text = rf"{digits}\cdot 10^{{{int(power)}}}"
    return f"({text})" if text.startswith("-") else text


_TEX = {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
_TEX |= {sign: f"\\{sign}" for sign in "{}_&%#$"}
"""What stands for a sign that means something in LaTeX."""


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)


def _md(text: str) -> str:
    for sign in "\\|*_<":
        text = text.replace(sign, f"\\{sign}")
    return text


def _part_html(part: Part) -> str:
    lines = [
        f'<div style="margin-top:.6em"><b>{escape(part.title)}</b>: {escape(part.formula)}</div>'
    ]
    lines += [f'<div style="opacity:.75">{escape(each)}</div>' for each in part.reads]
    if part.note:
        lines.append(f"<div>{escape(part.note)}</div>")
    for block in part.blocks:
        name = f"{block.name}: " if block.name else ""
        lines.append(f"<div>{escape(name + block.text)}</div>")
        if block.rows:
            lines.append(_table_html(block, _most(part, False)))
        lines += [f"<div>{escape(line)}</div>" for line in block.lines]
        if block.rows:
            lines.append(f"<div>{escape(block.name or 'value')} = {number(block.value)}</div>")
    return "".join(lines)


def _table_html(block: Block, most: int | None) -> str:
    cell = "padding:0 1em 0 0;border:0;background:none;text-align:{}"
    heads, table = _cells(block, most)
    rows = []
    for row in [heads, *table]:
        if len(row) == 1:
            rows.append(
                f'<tr style="background:none"><td colspan="{len(heads)}" '
                f'style="{cell.format("left")}">{escape(row[0])}</td></tr>'
            )
            continue
        texts = "".join(
            f'<td style="{cell.format("right" if _numeric(text) else "left")}">{escape(text)}</td>'
            for text in row
        )
        rows.append(f'<tr style="background:none">{texts}</tr>')
    style = "border-collapse:collapse;border:0;color:inherit;font:inherit;margin:.2em 0 .2em 1em"
    return f'<table style="{style}"><tbody>{"".join(rows)}</tbody></table>'


def _plain(value: Any) -> dict[str, str]:
    return {"text": number(value), "hex": float(value).hex()}


def part_as_dict(part: Part) -> dict[str, Any]:
    """A part as plain data; see `Explanation.to_dict`."""
    return {
        "title": part.title,
        "formula": part.formula,
        "reads": list(part.reads),
        "note": part.note,
        "value": _plain(part.value),
        "blocks": [
            {
                "kind": block.kind,
                "name": block.name,
                "text": block.text,
                "lines": list(block.lines),
                "value": _plain(block.value),
                "rows": [
                    {
                        "names": list(row.names),
                        "values": [_plain(value) for value in row.values],
                        "product": None if row.product is None else _plain(row.product),
                        "total": None if row.total is None else _plain(row.total),
                        "mark": row.mark,
                    }
                    for row in block.rows
                ],
            }
            for block in part.blocks
        ],
    }
