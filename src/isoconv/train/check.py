"""Checks that settings share, handed on from `isoconv.checks`."""

from __future__ import annotations

from isoconv.checks import check_count, check_number

__all__ = ["check_count", "check_number"]
