"""Values continued beyond their ends: by a number, mirrored, repeated, round and round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from isoconv.checks import check_choice, check_number, refusal, whole
from isoconv.errors import ShapeError
from isoconv.nn.module import Module
from isoconv.nn.moving import MOST_PLACES, taken_places
from isoconv.nn.parts import sliced
from isoconv.nn.shaping import concatenate
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import Constant, Embed, Padding

__public__ = {"isoconv.nn": ["Pad"], "isoconv.nn.functional": ["pad"]}

PadMode = Literal["constant", "reflect", "replicate", "circular"]
Pads = int | tuple[int | tuple[int, int], ...]
"""One number for all spatial axes; or one number or one pair (before, after) per axis."""


def pad(x: Tensor, padding: Pads, mode: PadMode = "constant", value: float = 0.0) -> Tensor:
    """A value continued beyond its ends.

    With S places on an axis, place ``i`` beyond them is for

    - ``constant`` the number that is given;
    - ``replicate`` the last place there is, ``min(max(i, 0), S - 1)``;
    - ``circular`` ``i mod S``, the axis round and round;
    - ``reflect`` ``|i|`` and ``2(S - 1) - i``, mirrored at the last place, which is not repeated,
      and mirrored again at the other end where that does not reach.

    Args:
        x: ``(spatial..., C)``.
        padding: how many places: one number for all spatial axes; or one number or one pair
            (before, after) for each axis, that of the channels may be left out. Negative numbers
            take places away.
        mode: what is there.
        value: the number of ``constant``.

    Returns:
        ``(before + side + after...)``.

    Raises:
        ArgumentError: padding of another kind, an unknown mode, or a value for another one.
        ShapeError: nothing is left of an axis.

    Example:
        >>> from isoconv.nn import Trace
        >>> pad(Trace().images((28, 28, 3)), ((0, 1), (2, 2)), "reflect").shape
        (29, 32, 3)
    """
    check_tensors("pad", x=x)
    pairs = _pads(padding, x.shape)
    check_choice("mode", mode, ("constant", "reflect", "replicate", "circular"))
    number = _pad_value(value)
    if mode != "constant":
        if number != 0:
            raise refusal("value", f'be 0 where the mode is "{mode}"', value)
        for axis, (before, after) in enumerate(pairs):
            places = range(-before, x.shape[axis] + after)
            x = taken_places(x, axis, tuple(map(_inside(mode, x.shape[axis]), places)))
        return x
    x = sliced(
        x,
        [
            range(max(-before, 0), side + min(after, 0))
            for (before, after), side in zip(pairs, x.shape, strict=True)
        ],
    )
    grown = tuple((max(before, 0), max(after, 0)) for before, after in pairs)
    return _with_zeros(x, grown) if number == 0 else _with_constants(x, grown, number)


def _pad_value(value: object) -> float:
    """A number; infinite ones are numbers here."""
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return value
    return float(check_number("value", value))


def _pads(padding: object, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Places before and after on each axis."""
    rank = len(shape)
    if isinstance(padding, (tuple, list)):
        given = (*padding, 0) if len(padding) == rank - 1 else tuple(padding)
    else:
        given = (padding,) * (rank - 1) + (0,) * min(rank, 1)
    pairs = [
        tuple(
            number
            for side in (entry if isinstance(entry, (tuple, list)) else (entry, entry))
            if (number := whole(side)) is not None and abs(number) <= MOST_PLACES
        )
        for entry in given
    ]
    if len(given) != rank or any(
        len(pair) != 2 or (isinstance(entry, (tuple, list)) and len(entry) != 2)
        for pair, entry in zip(pairs, given, strict=True)
    ):
        rule = (
            f"be a whole number of at most {MOST_PLACES}, or one or a pair (before, after) for "
            f"each of {rank} axes, or of {rank - 1} without the channels"
        )
        raise refusal("padding", rule, padding)
    found = tuple((pair[0], pair[1]) for pair in pairs)
    for axis, (side, pair) in enumerate(zip(shape, found, strict=True)):
        if side + min(*pair, 0) < 1 or side + pair[0] + pair[1] < 1:
            rule = f"leave something of axis {axis}, of {side} places"
            raise refusal("padding", rule, padding, ShapeError)
    return found


def _inside(mode: str, side: int) -> Callable[[int], int]:
    """Which place stands for one that may lie beyond the ends."""
    if mode == "replicate":
        return lambda i: min(max(i, 0), side - 1)
    if mode == "circular":
        return lambda i: i % side
    period = max(2 * (side - 1), 1)
    return lambda i: min(i % period, period - i % period) if side > 1 else 0


def _with_zeros(x: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    if any(map(any, pairs[:-1])):
        x = apply("pad", x=x, attrs=Padding(pairs[:-1]))
    if pairs and any(pairs[-1]):
        total = x.shape[-1] + pairs[-1][0] + pairs[-1][1]
        x = apply("embed_channels", x=x, attrs=Embed(pairs[-1][0], total))
    return x


def _with_constants(x: Tensor, pairs: tuple[tuple[int, int], ...], value: float) -> Tensor:
    """Blocks of a number on both sides, axis after axis."""
    for axis, pair in enumerate(pairs):
        blocks = [
            apply("offset", x=taken_places(x, axis, (-1,) * count), attrs=Constant(value))
            for count in pair
            if count
        ]
        before, after = blocks[: bool(pair[0])], blocks[bool(pair[0]) :]
        x = concatenate(*before, x, *after, axis=axis)
    return x


@dataclass(eq=False, repr=False)
class Pad(Module):
    """`pad` as a layer: a value continued beyond its ends.

    Args:
        padding: how many places: one number for all spatial axes; or one number or one pair
            (before, after) for each axis, that of the channels may be left out. Negative numbers
            take places away.
        mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        value: the number of ``constant``.

    Input shape:
        ``(spatial..., C)``, float32.

    Output shape:
        ``(sides...)``, ``before + side + after`` each.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ArgumentError: when traced: padding of another kind, an unknown mode, or a value for one
            that takes none.
        ShapeError: when traced: nothing is left of an axis.

    Example:
        >>> from isoconv import nn
        >>> nn.Pad(2, mode="reflect").summary((28, 28, 3)).rows[0].output
        (32, 32, 3)
    """

    padding: Pads
    mode: PadMode = "constant"
    value: float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``before + side + after`` on each axis."""
        return pad(x, self.padding, self.mode, self.value)
