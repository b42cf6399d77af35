"""How many random cases a test is tried with: some in every run, and ten times as many when asked.

A test over random cases that finds nothing in the first few seldom does in the next. With
``--hypothesis-profile long``, as `make test-exhaustive` has it, all search for longer.
"""

from __future__ import annotations

from hypothesis import settings

__all__ = ["some"]

_USUAL = 40

settings.register_profile("usual", max_examples=_USUAL)
settings.register_profile("long", max_examples=10 * _USUAL)
settings.load_profile("usual")


def some(count: int) -> settings:
    """So many cases, however long each takes."""
    return settings(max_examples=count * settings().max_examples // _USUAL, deadline=None)
