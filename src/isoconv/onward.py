"""What an object or a package hands on: found by name when it is asked for.

Imports go one way, so a run knows neither explanations nor pages. Its methods that lead there are
written out beside the others, and their work is done above. A package whose names are not all
needed at once loads each when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def onward(place: str) -> Any:
    """What is called so in a room above.

    Args:
        place: file and name, ``"explain.numbers.explain"``.

    Example:
        >>> onward("explain.numbers.explain").__name__
        'explain'
    """
    file, _, name = place.rpartition(".")
    return getattr(importlib.import_module(f"isoconv.{file}"), name)


def late_names(
    package: str, places: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and its ``__dir__``, which gives the names of its ``__all__``.

    The first loads a name that is not there yet, and keeps it there.

    Args:
        package: its name.
        places: file → the names that it defines; a file's own name is the file.

    Example:
        >>> load, names = late_names("isoconv", {"isoconv.ops.geometry": ("output_size",)})
        >>> load("output_size")(5, 3), "conv2d" in names()
        (3, True)
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - what it becomes in the package
        place = next((place for place, names in places.items() if name in names), None)
        if place is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(place), name, None)
        # Loading a file leaves it in its package by its name; `isoconv.explain` is called so, too.
        return vars(sys.modules[package]).setdefault(name, found)

    def __dir__() -> list[str]:  # noqa: N807 - likewise
        return list(vars(sys.modules[package])["__all__"])

    return __getattr__, __dir__
