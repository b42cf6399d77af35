"""Places in plain values, for tests of files whose every field is altered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Path_ = tuple[Any, ...]
"""Keys and places that lead to a value of a JSON file."""


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The paths to a value and to all values inside it."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from places(value[number], (*path, number))


def at(value: Any, path: Path_) -> Any:
    """The value that a path leads to."""
    for key in path:
        value = value[key]
    return value
