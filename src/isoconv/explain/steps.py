"""What each step of a sliding window is: what it meets, what that gives, in the engine's bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.arithmetic.philox import integers
from isoconv.checks import check_array, refusal
from isoconv.errors import DTypeError, ShapeError
from isoconv.explain.notation import number_text
from isoconv.explain.symbols import notes_order
from isoconv.explain.symbols_arrays import KERNEL, SOURCE, Arrays
from isoconv.explain.symbols_windows import Pooling
from isoconv.graph.terms import Chain, Element, Formula, Index, Padding, Term
from isoconv.graph.values import evaluate
from isoconv.ops.window import at, kernel_positions

Array = NDArray[np.float32]

_SMALL = 10
"""Values that stand where none are given lie below it."""


def array_for(name: str, given: Any, shape: tuple[int, ...], stream: int, least: int) -> Array:
    """The values of an array: those given, or small whole numbers that are always the same.

    Args:
        name: of the setting that gives them.
        given: an array of this shape, without axes of one position as well; or None.
        shape: of the array.
        stream: which of the whole numbers.
        least: the smallest of them.

    Raises:
        ShapeError: another shape.
        DTypeError: no numbers.
        ArgumentError: a number that is not finite in float32.
    """
    if given is None:
        size = int(np.prod(shape))
        drawn = integers(_SMALL - 5 * stream, 0, 0, stream, 0, 0, np.arange(size))
        return (drawn.astype(np.float32) + np.float32(least)).reshape(shape)
    array = check_array(name, given)
    if array.dtype.kind == "b":
        raise refusal(name, "be numbers", given, DTypeError)
    plain = tuple(side for side in shape if side != 1)
    if tuple(side for side in array.shape if side != 1) != plain:
        raise refusal(name, f"have shape {shape}", array, ShapeError, got=f"{array.shape}")
    with np.errstate(over="ignore"):
        found = array.astype(np.float32).reshape(shape)
    if not np.isfinite(found).all():
        raise refusal(name, "be finite in float32", given)
    return found


@dataclass(frozen=True, slots=True)
class Met:
    """An element of the input that takes part in a step.

    Attributes:
        place: where it lies, its channel last; in the padding below 0 or beyond the sides.
        value: of it.
        weight: place of the weight that it is multiplied with; None for a pooling.
        factor: that weight.
        winner: whether it is the largest of its window.
    """

    place: Index
    value: np.float32
    weight: Index | None = None
    factor: np.float32 | None = None
    winner: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One element of the result.

    Attributes:
        place: of it, its channel last.
        value: of it.
        met: what takes part.
        terms: the terms as they are written, to be joined.
        joint: what stands between them.
        ends: what stands before and behind them.
        covers: of a pooling all places of its window without the channel, those in the padding too.
    """

    place: Index
    value: np.float32
    met: tuple[Met, ...]
    terms: tuple[str, ...]
    joint: str = " + "
    ends: tuple[str, str] = ("", "")
    covers: tuple[Index, ...] = ()


def steps_of(drawn: Arrays | Pooling, x: Array, w: Array | None, places: list[Index]) -> list[Step]:
    """The steps of a window, one for each element of the result.

    Args:
        drawn: a convolution or a pooling.
        x: its input, ``(spatial..., C)``.
        w: its kernel; None for a pooling.
        places: of the result, in order.
    """
    with np.errstate(all="ignore"):
        if isinstance(drawn, Pooling):
            pooling = replace(drawn, values=x)
            return [_pooled(pooling, x, place) for place in places]
        kernel = np.zeros(drawn.w.shape, np.float32) if w is None else w
        return [_convolved(drawn, x, kernel, place) for place in places]


def _convolved(arrays: Arrays, x: Array, w: Array, place: Index) -> Step:
    engine = arrays.sliding("y").chain(place)
    value = np.float32(evaluate(engine, (x, w)))
    met = []
    for pair in sorted(engine.pairs, key=notes_order(arrays, "y")):
        by_operand = {f.operand: f for f in pair if isinstance(f, (Element, Padding))}
        source, kernel = by_operand[SOURCE], by_operand[KERNEL]
        if isinstance(source, Padding) and arrays.transposed:
            # Beyond the input of a transposed convolution nothing is drawn.
            continue
        found = np.float32(0) if isinstance(source, Padding) else x[source.index]
        met.append(Met(source.index, found, kernel.index, w[kernel.index]))
    terms = tuple(f"{number_text(m.value)}·{_factor(m.factor)}" for m in met)
    return Step(place, value, tuple(met), terms or ("0",))


def _factor(value: np.float32 | None) -> str:
    text = number_text(0.0 if value is None else value)
    return f"({text})" if text.startswith("-") else text


def _pooled(pooling: Pooling, x: Array, place: Index) -> Step:
    term = pooling.forward(place)
    value = np.float32(evaluate(term, (x,)))
    cells = [each for each in _cells(term) if isinstance(each, Element)]
    won = pooling.winner(place)
    met = tuple(Met(c.index, x[c.index], winner=c.index == won) for c in cells)
    terms = tuple(number_text(m.value) for m in met)
    output = place[:-1] or (0,) * len(pooling.window.kernel)
    window = pooling.window
    covers = tuple(at(window, m, output) for m in kernel_positions(window.kernel))
    if won is not None:
        return Step(place, value, met, terms, ", ", ("max(", ")"), covers)
    count = term.arguments[1] if isinstance(term, Formula) else None
    divisor = number_text(getattr(count, "value", 1.0))
    return Step(place, value, met, terms, " + ", ("(", f")/{divisor}"), covers)


def _cells(term: Term) -> tuple[Term, ...]:
    match term:
        case Formula(_, arguments, _):
            return _cells(arguments[0])
        case Chain() | Element():
            return (term,)
    return tuple(getattr(term, "terms", ()))
