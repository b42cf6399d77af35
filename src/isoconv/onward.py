"""What an object hands on to a room above its own: found by name when it is called.

Imports go one way, so a run knows neither explanations nor pages. Its methods that lead there are
written out beside the others, and their work is done above.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["onward"]


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
