"""The sliding window as text-books draw it: input, kernel and result, number by number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from isoconv.explain.notation import number_text
from isoconv.explain.scene import Box, Scene, Shape, Words, text_width
from isoconv.explain.steps import Array, Met, Step
from isoconv.explain.symbols_arrays import RESULT, Arrays
from isoconv.explain.symbols_windows import Pooling
from isoconv.graph.terms import Index

if TYPE_CHECKING:
    from isoconv.explain.sheet import Sheet

CELL = 44.0
MARGIN = 20.0
BETWEEN = 44.0
"""Room between the input, the kernel and the result."""
HEADING = 26.0
TEXT = 15.0
LINE_HEIGHT = 24.0

# Blue and orange are told apart by nearly everyone; what they mean is also drawn as frames.
INK, FAINT, RULE = "#1a1a1a", "#6b6b6b", "#b4b4b4"
BLUE, PALE_BLUE = "#1f5a99", "#d9e8f7"
ORANGE, PALE_ORANGE = "#a84800", "#fde6d0"
EMPTY, WHITE = "#f1f1f1", "#ffffff"


@dataclass(frozen=True, slots=True)
class _Cell:
    """How one number is drawn.

    Attributes:
        text: the number; "" for none.
        fill: of the cell.
        color: of the text.
        small: a second number, in the corner.
        dashed: whether it lies in the padding.
        frame: colour of a frame of its own; "" for none.
    """

    text: str
    fill: str = WHITE
    color: str = INK
    small: str = ""
    dashed: bool = False
    frame: str = ""


@dataclass(frozen=True, slots=True)
class _Plane:
    """A matrix of cells below a heading.

    Attributes:
        heading: its name.
        rows: of cells.
        framed: rows and columns of a frame around several cells: (top, left, bottom, right), the
            last two behind the frame; None for none.
        color: of the frame.
    """

    heading: str
    rows: tuple[tuple[_Cell, ...], ...]
    framed: tuple[int, int, int, int] | None = None
    color: str = BLUE

    @property
    def width(self) -> float:
        return max(CELL * len(self.rows[0]), text_width(self.heading, TEXT))

    @property
    def height(self) -> float:
        return HEADING + CELL * len(self.rows)

    def shapes(self, left: float, top: float) -> list[Shape]:
        found: list[Shape] = [Words(left, top + HEADING / 2 - 3, self.heading, TEXT, INK)]
        top += HEADING
        frames: list[Shape] = []
        for (r, row), c in product(enumerate(self.rows), range(len(self.rows[0]))):
            cell, x, y = row[c], left + CELL * c, top + CELL * r
            found.append(Box(x, y, CELL, CELL, cell.fill, RULE, 1, cell.dashed))
            lift = 5 if cell.small else 0
            size = min(18.0, (CELL - 6) / max(0.56 * len(cell.text), 0.1))
            found.append(Words(x + CELL / 2, y + CELL / 2 - lift, cell.text, size, cell.color,
                               "middle"))  # fmt: skip
            if cell.small:
                size = min(13.0, (CELL - 8) / (0.56 * len(cell.small)))
                found.append(Words(x + CELL - 4, y + CELL - 9, cell.small, size, ORANGE, "end"))
            if cell.frame:
                frames.append(Box(x + 2, y + 2, CELL - 4, CELL - 4, "", cell.frame, 3))
        if self.framed is not None:
            upper, first, lower, last = self.framed
            x, y = left + CELL * first, top + CELL * upper
            wide, high = CELL * (last - first), CELL * (lower - upper)
            frames.append(Box(x, y, wide, high, "", self.color, 3))
        return [*found, *frames]


def scenes_of(
    sheet: Sheet, x: Array, w: Array | None, steps: Sequence[Step], numbers: Sequence[int]
) -> list[Scene]:
    """Steps of a sliding window, all of one size.

    Args:
        sheet: what is drawn.
        x: the input, ``(spatial..., C)``.
        w: the kernel; None for a pooling.
        steps: all of them; what comes before a step is in the result already.
        numbers: of the steps that are drawn.
    """
    drawn: Arrays | Pooling = sheet.drawn
    around = _around(drawn, steps)
    laid = [
        _laid_out(_rows(drawn, x, w, steps[at], around), _results(drawn, steps, at))
        for at in numbers
    ]
    least = max(420.0, text_width(sheet.title, TEXT) + 2 * MARGIN)
    width = max(least, *(right + MARGIN for _, right, _ in laid))
    lines = [
        _wrapped(step, sheet.names[RESULT].text(step.place), width - 2 * MARGIN) for step in steps
    ]
    # As many lines for every step, so that all pictures have one size.
    most = max(map(len, lines))
    scenes = []
    for at, (shapes, _, lower) in zip(numbers, laid, strict=True):
        below = lower + LINE_HEIGHT
        told = [
            Words(MARGIN, below + LINE_HEIGHT * number, line, TEXT, INK)
            for number, line in enumerate(lines[at])
        ]
        height = below + LINE_HEIGHT * (most - 1) + MARGIN
        ground = Box(0, 0, width, height, WHITE)
        title = Words(MARGIN, MARGIN, sheet.title, TEXT, FAINT)
        says = f"{sheet.title}: {' '.join(lines[at])}"
        scenes.append(Scene(width, height, (ground, title, *shapes, *told), says))
    return scenes


def _laid_out(
    rows: Sequence[tuple[_Plane, _Plane | None]], results: Sequence[_Plane]
) -> tuple[list[Shape], float, float]:
    """Input, kernel and result beside one another, and their right and lower edges."""
    shapes: list[Shape] = []
    top, left = MARGIN + HEADING, MARGIN
    # A kernel's plane stands beside the channel that it meets.
    heights = [max(source.height, kernel.height if kernel else 0.0) for source, kernel in rows]
    tall = max(_stacked(heights), _stacked([plane.height for plane in results]))
    source_width = max(source.width for source, _ in rows)
    kernel_width = max((kernel.width + BETWEEN for _, kernel in rows if kernel), default=0.0)
    y = top + (tall - _stacked(heights)) / 2
    for (source, kernel), height in zip(rows, heights, strict=True):
        shapes += source.shapes(left, y)
        if kernel is not None:
            lower = max((source.height - kernel.height) / 2, 0.0)
            shapes += kernel.shapes(left + source_width + BETWEEN, y + lower)
        y += height + TEXT
    left += source_width + BETWEEN + kernel_width
    y = top + (tall - _stacked([plane.height for plane in results])) / 2
    for plane in results:
        shapes += plane.shapes(left, y)
        y += plane.height + TEXT
    return shapes, left + max(plane.width for plane in results), top + tall


def _short(value: np.float32) -> str:
    """A number for a cell; the line below the picture has all of its digits."""
    text = number_text(value)
    return text if len(text) <= 6 else f"{value:.4g}" if abs(value) < 10_000 else f"{value:.1e}"


def _stacked(heights: Sequence[float]) -> float:
    total = -TEXT
    for height in heights:
        total += height + TEXT
    return total


def _wrapped(step: Step, name: str, width: float) -> list[str]:
    """A step's equation in lines of at most this width."""
    lines = [f"{name} = {step.ends[0]}"]
    for number, term in enumerate(step.terms):
        joint = step.joint if number else ""
        if joint == " + " and term.startswith("-"):
            joint, term = " - ", term[1:]
        if number and text_width(lines[-1] + joint + term, TEXT) > width:
            lines[-1] += joint.rstrip()
            lines.append(f"    {term}")
        else:
            lines[-1] += joint + term
    end = f"{step.ends[1]} = {number_text(step.value)}"
    if len(lines[-1]) > 4 and text_width(lines[-1] + end, TEXT) > width:
        lines[-1] += step.ends[1]
        lines.append(f"    = {number_text(step.value)}")
    else:
        lines[-1] += end
    return lines


# -- planes ----------------------------------------------------------------------------------


def _grid(sides: Sequence[int], around: Sequence[tuple[int, int]], cell: Callable[[Index], _Cell]
          ) -> tuple[tuple[_Cell, ...], ...]:  # fmt: skip
    """Cells for an array of one or two axes with what lies around it."""
    axes = [range(-b, side + a) for side, (b, a) in zip(sides, around, strict=True)]
    return tuple(tuple(cell((*row, column)) for column in axes[-1]) for row in product(*axes[:-1]))


def _frame(
    places: Sequence[Index], around: Sequence[tuple[int, int]]
) -> tuple[int, int, int, int] | None:
    """The rectangle around some places of a plane."""
    if not places:
        return None
    found = [tuple(at + b for at, (b, _) in zip(p, around, strict=True)) for p in places]
    rows = [place[0] for place in found] if len(around) == 2 else [0]
    columns = [place[-1] for place in found]
    return min(rows), min(columns), max(rows) + 1, max(columns) + 1


def _around(drawn: Arrays | Pooling, steps: Sequence[Step]) -> list[tuple[int, int]]:
    """How much lies around the input, (before, after) per axis: the same for every step."""
    if isinstance(drawn, Arrays):
        return [(0, 0) if drawn.transposed else pair for pair in drawn.geometry.padding]
    sides = drawn.x.shape[:-1]
    # A window that hangs over the end covers places that no padding stands for.
    return [
        (before, max([after, *(p[axis] - side + 1 for step in steps for p in step.covers)]))
        for axis, (side, (before, after)) in enumerate(
            zip(sides, drawn.window.padding, strict=True)
        )
    ]


def _rows(
    drawn: Arrays | Pooling,
    x: Array,
    w: Array | None,
    step: Step,
    around: Sequence[tuple[int, int]],
) -> list[tuple[_Plane, _Plane | None]]:
    """For each channel of the input its plane and the plane of the kernel that it meets."""
    *sides, channels = x.shape
    rows = []
    for channel in range(channels):
        met = {each.place[:-1]: each for each in step.met if each.place[-1] == channel}
        covers = step.covers or tuple(met)

        def cell(place: Index, channel: int = channel, met: dict[Index, Met] = met) -> _Cell:
            found = met.get(place)
            inside = all(0 <= at < side for at, side in zip(place, sides, strict=True))
            value = _short(x[(*place, channel)]) if inside else "0" * isinstance(drawn, Arrays)
            small = ""
            if found is not None and found.factor is not None:
                small = f"\N{MULTIPLICATION SIGN}{_short(found.factor)}"
            used = bool(met)
            return _Cell(
                value,
                PALE_BLUE if found is not None else WHITE if used else EMPTY,
                INK if inside and used else FAINT,
                small,
                not inside,
                ORANGE if found is not None and found.winner else "",
            )

        heading = "input" if channels == 1 else f"input, channel {channel}"
        plane = _Plane(heading, _grid(sides, around, cell), _frame(covers, around))
        rows.append((plane, _kernel(drawn, w, step, channel)))
    return rows


def _kernel(drawn: Arrays | Pooling, w: Array | None, step: Step, channel: int) -> _Plane | None:
    """The plane of the kernel that a channel meets in a step."""
    if isinstance(drawn, Pooling) or w is None:
        return None
    groups, outputs = drawn.geometry.groups, drawn.y.shape[-1]
    inputs, filter_ = drawn.x.shape[-1], step.place[-1]
    if channel // (inputs // groups) != filter_ // (outputs // groups):
        return None
    tail = (
        (filter_ % (outputs // groups), channel)
        if drawn.transposed
        else (channel % (inputs // groups), filter_)
    )
    met = {each.weight[:-2] for each in step.met if each.weight and each.weight[-2:] == tail}

    def cell(place: Index) -> _Cell:
        used = place in met
        text = _short(w[(*place, *tail)])
        return _Cell(text, PALE_ORANGE if used else EMPTY, INK if used else FAINT)

    sides = drawn.geometry.kernel
    heading = "kernel" if outputs == 1 else f"kernel of filter {filter_}"
    if inputs // groups > 1:
        heading += f", channel {channel}"
    around = [(0, 0)] * len(sides)
    rows = _grid(sides, around, cell)
    frame = (0, 0, len(rows), len(rows[0]))
    return _Plane(heading, rows, None if drawn.transposed else frame, ORANGE)


def _results(drawn: Arrays | Pooling, steps: Sequence[Step], at: int) -> list[_Plane]:
    """The planes of the result, filled in as far as the window has come."""
    *sides, channels = drawn.y.shape
    sides = sides or [1]
    known = {step.place: number for number, step in enumerate(steps)}
    planes = []
    for channel in range(channels):

        def cell(place: Index, channel: int = channel) -> _Cell:
            number = known.get((*place, channel), known.get((channel,), len(steps)))
            if number > at:
                return _Cell("", EMPTY)
            text = _short(steps[number].value)
            return _Cell(text, BLUE, WHITE) if number == at else _Cell(text)

        heading = "result" if channels == 1 else f"result, filter {channel}"
        planes.append(_Plane(heading, _grid(sides, [(0, 0)] * len(sides), cell)))
    return planes
