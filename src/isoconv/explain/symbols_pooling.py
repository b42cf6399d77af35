"""Poolings in symbols: windows, winners and shares, and where the gradient goes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.cards import sides
from isoconv.checks import check_array, check_choice, check_flag, refusal
from isoconv.errors import ArgumentError, DTypeError, ShapeError, as_given
from isoconv.explain.notation import Names, mapped, number_text
from isoconv.explain.sheet import Sheet
from isoconv.explain.sheet_blocks import Block, Equation, Equations, Matrices, Matrix, Remark, Win
from isoconv.explain.symbols import check_amount, chosen, input_sides, total
from isoconv.explain.symbols_arrays import GRAD, RESULT, SOURCE, planes, result_names
from isoconv.explain.symbols_sizes import pool_formula, settings_line, size_lines
from isoconv.explain.symbols_windows import Pooling
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import operation
from isoconv.graph.terms import (
    Element,
    Formula,
    Index,
    Largest,
    Number,
    Running,
    Term,
)
from isoconv.graph.values import evaluate
from isoconv.nn.settings import PaddingSetting, PerAxis, padding_pairs, per_axis
from isoconv.ops import WindowGeometry
from isoconv.wording import either, named

__public__ = {"isoconv.symbols": ["avg_pool", "global_avg_pool", "max_pool"]}

EXAMPLE = ((1.0, 5.0, 4.0), (9.0, 2.0, 1.0), (6.0, 3.0, 2.0))
"""The input of which the worked examples of pooling speak."""

Array = NDArray[np.float32]


def max_pool(
    values: Any = None,
    kernel_size: PerAxis = 2,
    *,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    ceil_mode: bool = False,
    input_size: PerAxis | None = None,
    of: str | Collection[str] = ("y", "x"),
    order: str = "notes",
    ascii: bool = False,  # noqa: A002 - what it is called everywhere
) -> Sheet:
    """Max pooling of given values: each window, its maximum, and where the gradient goes.

    Args:
        values: one channel, ``(H, W)`` or ``(L,)``; the example of docs/pooling.md if neither
            they nor an input size are given.
        kernel_size: of the window, one number or one per axis.
        stride: likewise; the kernel size if not given, with the example 1.
        padding: a number, one per axis, or a pair (before, after) per axis; never the maximum.
        dilation: distance between the window's elements.
        ceil_mode: keep a last window that hangs over the end.
        input_size: in place of values: sums stand in symbols, and no maximum is known.
        of: which parts: "y" (windows and maxima), "x" (the gradient by the input).
        order: of a gradient's terms: "notes" follows the letters of grad_output, "engine" the
            additions.
        ascii: keep the text to ASCII.

    Returns:
        A `Sheet`.

    Raises:
        ArgumentError: a setting outside its allowed values; values and an input size, which both
            say how large the input is; more windows than are written.
        ShapeError: values of another number of axes, or a window that does not fit.
        DTypeError: values that are no numbers.

    Example:
        >>> max_pool().matrices()["∂L/∂X"]
        [['0', 'b', '0'], ['a + c', '0', '0'], ['0', 'd', '0']]
    """
    pooling = _pooling("max", values, input_size, kernel_size, stride, padding, dilation,
                       check_flag("ceil_mode", ceil_mode), padded=False)  # fmt: skip
    return _sheet(pooling, of, order, ascii)


def avg_pool(
    values: Any = None,
    kernel_size: PerAxis = 2,
    *,
    stride: PerAxis | None = None,
    padding: PaddingSetting = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    input_size: PerAxis | None = None,
    of: str | Collection[str] = ("y", "x"),
    order: str = "notes",
    ascii: bool = False,  # noqa: A002 - what it is called everywhere
) -> Sheet:
    """Average pooling: the mean of each window, and the shares in which its gradient goes back.

    Args:
        values: as for `max_pool`.
        kernel_size: of the window, one number or one per axis.
        stride: likewise; the kernel size if not given, with the example 1.
        padding: a number, one per axis, or a pair (before, after) per axis.
        ceil_mode: keep a last window that hangs over the end.
        count_include_pad: divide by the window's positions in the padded input, not only by those
            in the input.
        input_size: in place of values: sums stand in symbols.
        of: which parts: "y" (the means), "x" (the gradient by the input).
        order: of a gradient's terms, as for `max_pool`.
        ascii: keep the text to ASCII.

    Returns:
        A `Sheet`.

    Raises:
        ArgumentError, ShapeError, DTypeError: as for `max_pool`.

    Example:
        >>> avg_pool(input_size=(2, 3), kernel_size=2, stride=1).matrices()["∂L/∂X"]
        [['a/4', 'a/4 + b/4', 'b/4'], ['a/4', 'a/4 + b/4', 'b/4']]
    """
    pooling = _pooling(
        "average", values, input_size, kernel_size, stride, padding, 1,
        check_flag("ceil_mode", ceil_mode),
        padded=check_flag("count_include_pad", count_include_pad),
    )  # fmt: skip
    return _sheet(pooling, of, order, ascii)


def global_avg_pool(
    values: Any = None,
    *,
    input_size: PerAxis | None = None,
    of: str | Collection[str] = ("y", "x"),
    ascii: bool = False,  # noqa: A002 - what it is called everywhere
) -> Sheet:
    """Global average pooling: one number for each channel, and its gradient's even shares.

    Args:
        values: of one channel, as for `max_pool`.
        input_size: in place of values: the sum stands in symbols.
        of: which parts: "y" (the mean), "x" (the gradient by the input).
        ascii: keep the text to ASCII.

    Returns:
        A `Sheet`.

    Raises:
        ArgumentError, ShapeError, DTypeError: as for `max_pool`.

    Example:
        >>> global_avg_pool([[1, 2], [3, 5]]).equations()["output"]
        '(1 + 2 + 3 + 5)/4 = 2.75'
    """
    array, inputs = _input(values, input_size)
    pooling = _pooling("global", array, inputs if array is None else None, inputs, 1, 0, 1,
                       ceil_mode=False, padded=False)  # fmt: skip
    return _sheet(pooling, of, "notes", ascii)


# -- settings --------------------------------------------------------------------------------


def _input(values: Any, input_size: PerAxis | None) -> tuple[Array | None, tuple[int, ...]]:
    """The values, if any, and the sides."""
    if values is None:
        if input_size is not None:
            return None, input_sides(input_size)
        values = EXAMPLE
    elif input_size is not None:
        raise ArgumentError(
            f"{named('values')} say how large the input is; give them or "
            f"{named('input_size')}, not both",
            argument="input_size",
            value=input_size,
        )
    array = check_array("values", values)
    if array.dtype.kind == "b":
        raise refusal("values", "be numbers", values, DTypeError)
    if not 1 <= array.ndim <= 2 or not array.size:
        rule, got = "be one channel, (H, W) or (L,)", f"shape {array.shape}"
        raise refusal("values", rule, values, ShapeError, got)
    with np.errstate(over="ignore"):
        found = array.astype(np.float32)
    if not all(isfinite(value) for value in found.ravel().tolist()):
        raise refusal("values", "be finite in float32", values)
    return found, found.shape


def _pooling(
    kind: str,
    values: Any,
    input_size: PerAxis | None,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingSetting,
    dilation: PerAxis,
    ceil_mode: bool,
    *,
    padded: bool,
) -> Pooling:
    array, inputs = _input(values, input_size)
    rank = len(inputs)
    kernel = per_axis("kernel_size", kernel_size, rank)
    if stride is None:
        stride = 1 if values is None and input_size is None else kernel
    steps = per_axis("stride", stride, rank)
    holes = per_axis("dilation", dilation, rank)
    pairs = padding_pairs(padding, inputs, kernel, steps, holes)
    with as_given(padding=padding):
        window = WindowGeometry(kernel, steps, pairs, holes, ceil_mode)
    x = TensorSpec((*inputs, 1))
    y = TensorSpec((1,)) if kind == "global" else operation("max_pool").infer(window, x)
    return Pooling(kind, window, padded, x, y, None if array is None else array[..., None])


# -- the sheet -------------------------------------------------------------------------------

_TITLES = {
    "max": "Max pooling",
    "average": "Average pooling",
    "global": "Global average pooling",
}


def _sheet(pooling: Pooling, of: str | Collection[str], order: str, in_ascii: bool) -> Sheet:
    wanted = chosen(of, ("y", "x"))
    order = check_choice("order", order, ("notes", "engine"))
    x, y, window = pooling.x, pooling.y, pooling.window
    windows = y.size * prod(window.kernel)
    counts = {"y": y.size, "x": x.size}
    check_amount(
        total(counts[each] for each in wanted),
        windows * len(wanted),
        max(x.size, y.size),
        x.shape[:-1],
    )
    result, grad = result_names(y.shape)
    if pooling.kind == "global":
        result = Names("output", y.shape, (0,))
    names = (Names("x", x.shape, (len(x.shape) - 1,)), Names("w", (1,)), result, grad)
    matrices = [_filled(each, pooling.values) for each in planes(SOURCE, x.shape, "X")]
    # Of a large input that is only drawn, nothing is written out.
    forward = {place: pooling.forward(place) for place in result.places()} if wanted else {}
    if pooling.kind != "global":
        for each in planes(RESULT, y.shape, "Y"):
            known = _results(pooling, forward) if forward and pooling.values is not None else None
            matrices.append(_filled(each, known))
        matrices += planes(GRAD, y.shape, r"grad\_output")
    blocks: list[Block] = [Matrices(tuple(matrices))]
    if pooling.kind != "global":
        blocks += size_lines(window, x.shape[:-1], y.shape[:-1])
    blocks.append(pool_formula(pooling.kind, window))
    if "y" in wanted:
        blocks += _forward(pooling, forward, names)
    if "x" in wanted:
        blocks += _backward(pooling, names, order)
    said = settings_line(window)
    inner = "" if pooling.kind == "global" else f", window {sides(window.kernel)}"
    settings = f", {said}" if said and pooling.kind != "global" else ""
    title = f"{_TITLES[pooling.kind]}: input {sides(x.shape[:-1])}{inner}{settings}"
    return Sheet(title, names, tuple(blocks), pooling, check_flag("ascii", in_ascii))


def _filled(matrix: Matrix, values: Array | None) -> Matrix:
    """A matrix with numbers in place of its elements, if they are known."""
    if values is None:
        return matrix
    rows = tuple(
        tuple(
            Number(float(values[e.index])) if isinstance(e, Element) else e for e in row
        )
        for row in matrix.rows
    )  # fmt: skip
    return Matrix(matrix.text, matrix.latex, rows)


def _value(pooling: Pooling, term: Term) -> np.float32:
    """A term of the input by its values, in the engine's bits."""
    with np.errstate(all="ignore"):
        return np.float32(evaluate(term, () if pooling.values is None else (pooling.values,)))


def _results(pooling: Pooling, forward: dict[Index, Term]) -> Array:
    found = np.zeros(pooling.y.shape, np.float32)
    for place, term in forward.items():
        found[place] = _value(pooling, term)
    return found


def _forward(pooling: Pooling, forward: dict[Index, Term], names: Sequence[Names]) -> list[Block]:
    """Each element of the result: its window and winner, or its sum."""
    values = pooling.values
    if pooling.kind == "max" and values is not None:
        return [_win(pooling, place, term) for place, term in forward.items()]
    equations = []
    for place, term in forward.items():
        if values is None:
            equations.append(Equation("y", place, names[RESULT], False, term))
            continue
        filled = mapped(term, lambda leaf: Number(float(values[leaf.index])))
        value = number_text(_value(pooling, term))
        equations.append(Equation("y", place, names[RESULT], False, filled, value))
    blocks: list[Block] = [Equations(tuple(equations))]
    if pooling.kind == "global":
        blocks.insert(0, Remark("The engine adds in eight partial sums, element i to sum i mod 8."))
    return blocks


def _win(pooling: Pooling, place: Index, term: Term) -> Win:
    """A window of a maximum with its winner."""
    if not isinstance(term, Largest) or pooling.values is None:
        raise TypeError(f"a maximum is a choice; got {type(term).__name__}")
    cells = [each for each in term.terms if isinstance(each, Element)]
    rows = tuple(
        tuple(Number(float(pooling.values[each.index])) for each in row)
        for _, row in groupby(cells, key=lambda each: each.index[:-2])
    )
    won = pooling.winner(place)
    if won is None:
        raise TypeError(f"one element of a maximum is the largest; got none at {place}")
    largest = number_text(pooling.values[won])
    return Win(Matrix("", "", rows), largest, Element(GRAD, place), won)


def _backward(pooling: Pooling, names: Sequence[Names], order: str) -> list[Block]:
    """The gradient by the input as a matrix."""
    if pooling.kind == "max" and pooling.values is None:
        how = either("values=", "--values")
        return [Remark(f"Which value is the largest says where the gradient goes: give {how}.")]
    found, same = {}, True
    for place in names[SOURCE].places():
        engine = pooling.backward(place)
        notes = Running(tuple(sorted(engine.terms, key=_letter)))
        same = same and engine == notes
        found[place] = engine if order == "engine" else notes
    *lead, last = pooling.x.shape[:-1]
    rows = tuple(
        tuple(found[(*row, column, 0)] for column in range(last))
        for row in ([(at,) for at in range(lead[0])] if lead else [()])
    )
    gradient = Matrix("∂L/∂X", r"\frac{\partial L}{\partial X}", rows)
    blocks: list[Block] = [Matrices((gradient,))]
    if order == "engine":
        blocks.insert(0, Remark("Terms stand in the order in which the engine adds them."))
    elif not same:
        how = either('order="engine"', "--order engine")
        blocks.insert(
            0, Remark(f"The engine adds the terms of ∂L/∂X in another order ({how} shows it).")
        )
    return blocks


def _letter(term: Term) -> Index:
    """Where the element of grad_output lies in a term."""
    if isinstance(term, Formula):
        return _letter(term.arguments[0])
    return term.index if isinstance(term, Element) else ()
