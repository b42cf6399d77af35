"""A sheet of formulas: as text, LaTeX, Markdown and JSON, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isoconv.explain.notation import Names, in_ascii, written
from isoconv.explain.sheet_blocks import (
    WIDTH,
    Block,
    Equations,
    Line,
    Matrices,
    Remark,
    Win,
)
from isoconv.graph.terms import Chain, Formula, Partials, Running, Term

if TYPE_CHECKING:
    from isoconv.explain.scene import Scene


@dataclass(frozen=True, slots=True, repr=False)
class Sheet:
    """Formulas of a convolution or a pooling; prints itself, in a notebook as mathematics.

    Attributes:
        title: what it shows, in a line.
        names: what the elements are called, by the operands of all terms.
        blocks: what stands on it, in order.
        drawn: what a picture of it needs; see `isoconv.explain.drawn`.
        ascii: whether the text keeps to ASCII.

    Example:
        >>> import isoconv as ic
        >>> sheet = ic.symbols.conv((3,), (2,), of="y")
        >>> sheet.equations()["y1"]
        'x1·w0 + x2·w1'
    """

    title: str
    names: tuple[Names, ...]
    blocks: tuple[Block, ...]
    drawn: Any = field(default=None, compare=False)
    ascii: bool = False

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_latex_(self) -> str:
        return self._mathematics("$$\n{}\n$$", None)

    def to_text(self) -> str:
        """Everything in letters, an equation a line."""
        lines = [self.title]
        before: Block | None = None
        for block in self.blocks:
            # A line follows a line; all else stands apart.
            if not (isinstance(block, (Line, Remark)) and isinstance(before, (Line, Remark))):
                lines.append("")
            lines += self._lines(block)
            before = block
        text = "\n".join(line.rstrip() for line in lines)
        return in_ascii(text) if self.ascii else text

    def to_latex(self) -> str:
        r"""The formulas in LaTeX, each in a display of its own.

        ``\begin{bmatrix}`` and ``\begin{aligned}`` are those of the package amsmath.
        """
        return self._mathematics("\\[\n{}\n\\]", "% {}")

    def to_markdown(self) -> str:
        """Headline, sentences, and the formulas as ``$$``."""
        return "\n\n".join((f"### {self.title}", self._mathematics("$$\n{}\n$$", "{}")))

    def to_dict(self) -> dict[str, Any]:
        """What stands on it, as plain values.

        Returns:
            title; matrices by name, as lists of rows of texts; lines; remarks; windows; and for
            each equation its name, its right side as text, and its terms as lists of factors.
        """
        text = self._in_form
        blocks = self.blocks
        return {
            "title": text(self.title),
            "matrices": self.matrices(),
            "lines": [text(block.text) for block in blocks if isinstance(block, Line)],
            "remarks": [text(block.text) for block in blocks if isinstance(block, Remark)],
            "windows": [self._window_as_dict(b) for b in blocks if isinstance(b, Win)],
            "equations": [
                {
                    "name": text(each.left("text")),
                    "text": text(each.right(self.names, "text")),
                    "terms": [[text(factor) for factor in term]
                              for term in self._factors(each.term)],
                }
                for block in blocks if isinstance(block, Equations) for each in block.all
            ],
        }  # fmt: skip

    def equations(self) -> dict[str, str]:
        """The right side of each equation by its left side, as text."""
        return {
            self._in_form(each.left("text")): self._in_form(each.right(self.names, "text"))
            for block in self.blocks
            if isinstance(block, Equations)
            for each in block.all
        }

    def matrices(self) -> dict[str, list[list[str]]]:
        """The rows of each matrix by its name, as text."""
        return {
            self._in_form(matrix.text): [
                [self._in_form(cell) for cell in row] for row in matrix.cells(self.names, "text")
            ]
            for block in self.blocks
            if isinstance(block, Matrices)
            for matrix in block.all
        }

    def picture(
        self, values: Any = None, weights: Any = None, *, at: Sequence[int] | None = None
    ) -> Scene:
        """One step of the sliding window, drawn with numbers in its cells.

        Args:
            values: the input's, ``(spatial..., C)``, or without the axis of a single channel; for
                a pooling those that it was given; small whole numbers otherwise.
            weights: the kernel's, ``(kernel..., C / groups, O)``, likewise.
            at: which element of the result, (row, column) with a filter behind it if there are
                several; the first one if not given.

        Returns:
            A `Scene`: shows itself in a notebook, and has ``to_svg()`` and ``to_image()``.

        Raises:
            ArgumentError: a place that the result does not have, or too large an input to draw.
            ShapeError, DTypeError: values or weights that do not fit.

        Example:
            >>> import isoconv as ic
            >>> ic.symbols.conv().picture([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, 1]]).says
            'Convolution: input 3×3, kernel 2×2: y00 = 1·1 + 2·0 + 4·0 + 5·1 = 6'
        """
        from isoconv.explain.animation import picture

        return picture(self, values, weights, at)

    def animate(
        self,
        path: Any,
        values: Any = None,
        weights: Any = None,
        *,
        at: Sequence[int] | None = None,
        seconds: float = 1.0,
    ) -> None:
        """Save the sliding window as a file.

        Args:
            path: its end says what it is: ``.gif``, ``.apng`` and ``.webp`` show every step,
                ``.png`` and ``.svg`` one.
            values: as for `picture`.
            weights: likewise.
            at: the one step that is shown; for moving pictures all of them if not given.
            seconds: that each step stays.

        Raises:
            ArgumentError: another end; and as for `picture`.
            CheckpointError: the file cannot be written.

        Example:
            >>> import isoconv as ic, tempfile, pathlib
            >>> file = pathlib.Path(tempfile.mkdtemp(), "window.gif")
            >>> ic.symbols.conv().animate(file)
            >>> file.read_bytes()[:6]
            b'GIF89a'
        """
        from isoconv.explain.animation import save_picture

        save_picture(self, path, values, weights, at, seconds)

    # How each block is written

    def _in_form(self, text: str) -> str:
        return in_ascii(text) if self.ascii else text

    def _window_as_dict(self, win: Win) -> dict[str, Any]:
        return {
            "window": win.window.cells(self.names, "text"),
            "max": win.largest,
            "place": list(win.place),
            "gradient": written(win.gradient, self.names, "text"),
        }

    def _factors(self, term: Term) -> list[list[str]]:
        match term:
            case Chain(pairs):
                return [[written(each, self.names, "text") for each in pair] for pair in pairs]
            case Running(terms) | Partials(terms):
                return [[written(each, self.names, "text")] for each in terms]
            case Formula("{0} / {1}", (Running(terms) | Partials(terms), below), _):
                share = f"1/{written(below, self.names, 'text')}"
                return [[written(each, self.names, "text"), share] for each in terms]
        return [[written(term, self.names, "text")]]

    def _lines(self, block: Block) -> list[str]:
        match block:
            case Matrices(matrices):
                return _beside([matrix.lines(self.names) for matrix in matrices])
            case Equations():
                return block.lines(self.names)
            case Win(window):
                *above, last = window.lines(self.names)
                return [*above, f"{last} {block.words(self.names, 'text')}"]
            case Line(text, _) | Remark(text):
                return [text]

    def _mathematics(self, display: str, remark: str | None) -> str:
        """Everything as LaTeX, in displays and with remarks of these shapes."""

        def displayed(latex: str) -> str:
            # Its own braces are none of the shape's.
            before, _, after = display.partition("{}")
            return f"{before}{latex}{after}"

        parts = []
        for block in self.blocks:
            match block:
                case Matrices(matrices):
                    shown = ", \\quad\n".join(each.to_latex(self.names) for each in matrices)
                    parts.append(displayed(shown))
                case Equations():
                    parts.append(displayed(block.to_latex(self.names)))
                case Win(window):
                    whole = f"{window.to_latex(self.names)}\n{block.words(self.names, 'latex')}"
                    parts.append(displayed(whole))
                case Line(_, latex):
                    parts.append(displayed(latex))
                case Remark(text) if remark is not None:
                    parts.append(remark.format(text))
        return "\n\n".join(parts)


def _beside(blocks: Sequence[list[str]]) -> list[str]:
    """Blocks of lines beside one another, as many as there is room for."""
    rows: list[list[list[str]]] = []
    used = WIDTH + 1
    for block in blocks:
        wide = max(map(len, block), default=0) + 4
        if used + wide > WIDTH:
            rows.append([])
            used = 0
        rows[-1].append(block)
        used += wide
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        tall = max(map(len, row))
        widths = [max(map(len, block), default=0) for block in row]
        for number in range(tall):
            parts = (
                (block[number] if number < len(block) else "").ljust(wide)
                for block, wide in zip(row, widths, strict=True)
            )
            lines.append("    ".join(parts).rstrip())
    return lines
