"""Tests that a machine has not got the means for: which ones, and why, in the last lines."""

from __future__ import annotations

from typing import Any

__all__ = ["ANALYSER", "BROWSER", "NETWORKS", "left_out"]

BROWSER = "no browser to look with: "
NETWORKS = "no networks to cut: "
ANALYSER = "no machine code is analysed: "
_NEEDED = {BROWSER: "a browser", NETWORKS: "network namespaces", ANALYSER: "llvm-mca"}
"""How the reason begins for which a test is skipped, and what it needs."""


def left_out(reports: list[Any]) -> list[str]:
    """A line for each thing that was missing, from the reports of skipped tests."""
    lines = []
    for missing, needed in _NEEDED.items():
        reasons: set[str] = set()
        files: dict[str, int] = {}
        for report in reports:
            reason = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else ""
            if missing in reason:
                reasons.add(reason.partition(missing)[2])
                file = report.nodeid.partition("::")[0]
                files[file] = files.get(file, 0) + 1
        if files:
            counted = ", ".join(f"{name} ({number})" for name, number in sorted(files.items()))
            tests = sum(files.values())
            why = ", ".join(sorted(reasons))
            lines.append(
                f"left out {tests} {'test that needs' if tests == 1 else 'tests that need'} "
                f"{needed} ({why}): {counted}"
            )
    return lines
