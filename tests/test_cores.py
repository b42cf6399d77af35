"""How many cores a process may use, as its affinity and its control groups say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import isoconv.cores as module
from isoconv.cores import cores, quota, set_part


@pytest.fixture
def system(tmp_path: Path) -> Callable[[str, dict[str, str]], int | None]:
    """Control groups in files: `system(groups, {path: text})` is what `quota` finds there."""

    def found(groups: str, files: dict[str, str]) -> int:
        names = tmp_path / "cgroup"
        names.write_text(groups)
        for path, text in files.items():
            file = tmp_path / "groups" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return quota(names, tmp_path / "groups")

    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", 0), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1),
     ("", 0), ("200000", 0), ("nonsense 1", 0), ("200000 0", 0), ("-1 100000", 0)],
)  # fmt: skip
def test_version_two(
    system: Callable[[str, dict[str, str]], int | None], text: str, expected: int
) -> None:
    """Time by period, rounded up; what cannot be read is no limit."""
    assert system("0::/a/b\n", {"a/b/cpu.max": text}) == expected


def test_groups_around_a_group(system: Callable[[str, dict[str, str]], int | None]) -> None:
    """The least limit of a group and all groups around it holds."""
    files = {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "cpu.max": "800000 100000"}
    assert system("0::/a/b\n", files) == 3
    assert system("0::/\n", files) == 8
    assert system("0::/elsewhere\n", {}) == 8


def test_version_one(system: Callable[[str, dict[str, str]], int | None]) -> None:
    """Two files in the folder of the controller; other controllers say nothing of it."""
    files = {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000", "cpu,cpuacct/x/cpu.cfs_period_us": "50000",
             "memory/x/cpu.max": "1 1"}  # fmt: skip
    assert system("4:memory:/x\n3:cpu,cpuacct:/x\n1:name=systemd:/x\n", files) == 5
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert system("3:cpu:/y\n", files) == 0
    files["cpu/cpu.cfs_quota_us"] = "100000"
    assert system("3:cpu:/y\n", files) == 1


def test_no_groups_at_all(tmp_path: Path) -> None:
    """A system without control groups has no quota."""
    assert quota(tmp_path / "missing", tmp_path) == 0


def test_the_least_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores that the process is bound to, and those that it pays for."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert [cores(paid) for paid in (0, 1, 6, 64)] == [6, 1, 6, 6]
    monkeypatch.setattr(module, "quota", lambda: 4)
    assert cores() == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_a_part() -> None:
    """One of several processes has no more than its part, and no more than there are."""
    before = cores()
    try:
        set_part(1)
        assert cores() == 1
        set_part(before + 1)
        assert cores() == before
    finally:
        set_part(None)
