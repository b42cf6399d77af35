"""Faults that the fuzzer finds and that are not mended yet: each is named here until it is."""

from __future__ import annotations

__all__ = ["KNOWN"]

KNOWN: frozenset[tuple[str, str]] = frozenset()
"""Kind and fault, as the summary of ``python -m tests.fuzz`` has them."""
