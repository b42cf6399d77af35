"""The machine at hand, for a person to read; nothing in it decides a bit."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from isoconv.compile.target import host_target, target_named
from isoconv.run.team import team_size
from isoconv.train.plain_settings import versions


def machine_facts(threads: int | None, target: str | None) -> dict[str, Any]:
    """Processor, system, target, threads and versions.

    Args:
        threads: as for the trainer.
        target: likewise.

    Example:
        >>> machine_facts(threads=2, target=None)["threads"]
        2
    """
    chosen = host_target() if target is None else target_named(target)
    software = versions()
    return {
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "target": chosen.name,
        "threads": team_size(threads),
        **{name: software[name] for name in ("python", "numpy", "llvmlite")},
    }


def _cpu() -> str:
    """The processor's own name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            title, _, name = line.partition(":")
            if title.strip() == "model name":
                return name.strip()
    except (OSError, ValueError):
        pass
    return platform.processor() or platform.machine()
