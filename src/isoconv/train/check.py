"""Checks that settings share."""

from __future__ import annotations

import sys
from typing import TypeGuard

from isoconv.errors import ArgumentError

__all__ = ["check_count", "check_number"]


def check_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> None:
    """See that a setting is a finite number within bounds.

    Args:
        name: of the setting, for the message.
        value: what was given.
        least: the smallest allowed value.
        above: what the value must exceed.
        below: what the value must stay under.
        most: the greatest allowed value.

    Raises:
        ArgumentError: it is not.
    """
    bounds = ((least, "at least"), (above, "above"), (below, "below"), (most, "at most"))
    rule = " and ".join(f"{word} {bound:g}" for bound, word in bounds if bound is not None)
    if not _finite(value) or not (
        (least is None or value >= least)
        and (above is None or value > above)
        and (below is None or value < below)
        and (most is None or value <= most)
    ):
        raise ArgumentError(f"{name} must be a finite number {rule}; got {value!r}")


def _finite(value: object) -> TypeGuard[float]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A comparison, since math.isfinite overflows on huge whole numbers.
    return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def check_count(name: str, value: object, least: int = 1, below: int | None = None) -> None:
    """See that a setting is a whole number of at least some size.

    Raises:
        ArgumentError: it is not.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (below is not None and value >= below):  # type: ignore[operator]
        end = "" if below is None else f" and below {below}"
        raise ArgumentError(
            f"{name} must be a whole number of at least {least}{end}; got {value!r}"
        )
