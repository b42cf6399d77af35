"""How many cores this process may use: those it is bound to, and those its quota pays for."""

from __future__ import annotations

import os
from pathlib import Path

_SELF = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


class _Part:
    count: int | None = None


def cores(paid: int | None = None) -> int:
    """Number of cores this process may use; at least 1.

    The least of those that it is bound to (``sched_getaffinity``, which ``taskset`` and containers
    set), those that the processor time of its control groups pays for, and its part of them
    (`set_part`).

    Args:
        paid: what `quota` said before, if it need not be asked again; 0 for no quota.
    """
    if paid is None:
        paid = quota()
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    found = min(bound, paid) if paid else bound
    return found if _Part.count is None else min(found, _Part.count)


def set_part(count: int | None) -> None:
    """Say that this process is one of several, which has so many cores of all; None: it is not."""
    _Part.count = count


def quota(groups: Path = _SELF, root: Path = _ROOT) -> int:
    """Cores whose whole time this process's control groups may use, rounded up; 0 without a limit.

    Linux says it for each group and all groups around it, the least of which holds: in
    ``cpu.max`` (version 2 of control groups), or in ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``
    (version 1). Inside a container its own group is often seen as the root.

    Args:
        groups: the file that tells which groups the process is in.
        root: the folder of all groups.
    """
    try:
        lines = groups.read_text().splitlines()
    except (OSError, ValueError):
        return 0
    limits: list[int] = []
    for line in lines:
        _, _, entry = line.partition(":")
        controllers, _, path = entry.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        tops = [root / controllers, root / "cpu"] if controllers else [root, root / "unified"]
        for top in tops:
            inside = top / path.lstrip("/")
            around = (inside, *inside.parents)
            limits += [_limit(folder) for folder in around if folder.is_relative_to(top)]
    return min((limit for limit in limits if limit), default=0)


def _limit(folder: Path) -> int:
    """One group's own limit in cores, rounded up; 0 without one."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = [word for name in names for word in (folder / name).read_text().split()]
            time, period = (int(word) for word in words)
        except (OSError, ValueError):
            # No such file, or "max": no limit.
            continue
        if time > 0 and period > 0:
            return -(-time // period)
    return 0
