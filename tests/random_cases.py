"""How many random cases a test is tried with: some in every run, and ten times as many when asked.

A test over random cases that finds nothing in the first few seldom does in the next. With
``--hypothesis-profile long``, as `make test-exhaustive` has it, all search for longer.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

__all__ = ["some"]

_USUAL = 40

# That others use the machine is no fault of a test.
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("usual", max_examples=_USUAL, **_PATIENT)
settings.register_profile("long", max_examples=10 * _USUAL, **_PATIENT)
settings.load_profile("usual")


def some(count: int) -> settings:
    """So many cases, and ten times as many in the long profile."""
    return settings(max_examples=count * settings().max_examples // _USUAL)
