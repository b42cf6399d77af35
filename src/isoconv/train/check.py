"""Checks that settings share, by the names under which this room uses them; see `isoconv.checks`."""

from __future__ import annotations

from isoconv.checks import check_count, check_number

__all__ = ["check_count", "check_number"]
