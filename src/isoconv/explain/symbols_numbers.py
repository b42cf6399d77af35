"""The sums of a convolution with numbers beside their symbols, where its values are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from isoconv.explain.notation import mapped, number_text
from isoconv.explain.sheet import Sheet
from isoconv.explain.sheet_blocks import Equation, Equations
from isoconv.explain.steps import Array, array_for
from isoconv.explain.symbols_arrays import KERNEL, SOURCE, Arrays
from isoconv.graph.terms import Element, Number, Padding, Term
from isoconv.graph.values import evaluate


def with_numbers(sheet: Sheet, values: Any = None, weights: Any = None) -> Sheet:
    """A sheet whose sums go on with numbers, and end with the engine's own where all are known.

    Args:
        sheet: of a convolution or a transposed one.
        values: the input's, as for `Sheet.picture`; None where they are not known.
        weights: the kernel's, likewise.

    Raises:
        ShapeError, DTypeError, ArgumentError: values or weights that do not fit.

    Example:
        >>> import isoconv as ic
        >>> sheet = ic.symbols.conv((3,), (2,), of="y")
        >>> with_numbers(sheet, [1, 2, 3], [10, -1]).equations()["y1"]
        'x1·w0 + x2·w1 = 2·10 + 3·(-1) = 17'
        >>> with_numbers(sheet, [1, 2, 3]).equations()["y1"]
        'x1·w0 + x2·w1 = 2·w0 + 3·w1'
    """
    drawn: Arrays = sheet.drawn
    known: dict[int, Array] = {}
    if values is not None:
        known[SOURCE] = array_for("values", values, drawn.x.shape, 0, 0)
    if weights is not None:
        known[KERNEL] = array_for("weights", weights, drawn.w.shape, 1, -1)
    if not known:
        return sheet
    blocks = tuple(
        Equations(tuple(_filled(each, drawn, known) for each in block.all))
        if isinstance(block, Equations)
        else block
        for block in sheet.blocks
    )
    return replace(sheet, blocks=blocks)


def _filled(equation: Equation, drawn: Arrays, known: dict[int, Array]) -> Equation:
    """An equation with numbers for the elements that are known."""

    def leaf(found: Element | Padding) -> Term:
        array = known.get(found.operand)
        if array is None or isinstance(found, Padding):
            return found
        return Number(float(array[found.index]))

    mixed = mapped(equation.term, leaf)
    numbers = None if mixed == equation.term else mixed
    if equation.array != "y" or len(known) < 2:
        return replace(equation, numbers=numbers)
    # In the engine's order, whatever the order in which the terms are written.
    chain = drawn.sliding("y").chain(equation.place)
    with np.errstate(all="ignore"):
        value = np.float32(evaluate(chain, (known[SOURCE], known[KERNEL])))
    return replace(equation, numbers=numbers, value=number_text(value))
