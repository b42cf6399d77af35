"""The report of a run: a page that stands alone, and its pictures as PNG files."""

from __future__ import annotations

from isoconv.report.write import write_report

__all__ = ["write_report"]
