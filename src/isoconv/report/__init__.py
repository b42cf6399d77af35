"""The report of a run: a page with pictures. Needs matplotlib, the extra ``isoconv[report]``."""

from __future__ import annotations

from isoconv.report.write import write_report

__all__ = ["write_report"]
