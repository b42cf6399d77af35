"""Plain values as JSON: written in one form, and read back from strangers with bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

MOST_LEVELS = 250
"""Levels of lists and objects inside each other."""
MOST_DIGITS = 20
"""Digits of a whole number: those of the greatest seed."""


def canonical(value: Any) -> bytes:
    """Compact JSON with sorted keys in UTF-8; the same value gives the same bytes.

    Raises:
        ValueError: a number is not finite.

    Example:
        >>> canonical({"b": 1, "a": [0.5]})
        b'{"a":[0.5],"b":1}'
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return text.encode("utf-8", "surrogatepass")


def parse(text: bytes | str) -> Any:
    """A value from JSON that may be a stranger's.

    Raises:
        ValueError: it is no JSON, a key stands twice in an object, a number is not finite or out of
            all proportion, or lists and objects are nested too deep.

    Example:
        >>> parse(b'{"a": [0.5]}')
        {'a': [0.5]}
        >>> parse(b'{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ValueError: the key 'a' stands twice in one object
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_each_once,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [item for outer in level for item in _items(outer)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"it is nested deeper than {MOST_LEVELS} levels"


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:80]!r} stands twice in one object")
            seen.add(key)
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"numbers must be finite; got {text[:80]}")
    return value


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"whole numbers have at most {MOST_DIGITS} digits; got {len(text)}")
    return int(text)
