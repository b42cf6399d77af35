"""How much memory there is, as Linux tells it, and what is refused for want of it."""

from __future__ import annotations

import gc
import mmap
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isoconv import memory
from isoconv.errors import ArgumentError, NotEnoughMemoryError
from isoconv.memory import available_memory, check_memory

GIB = 2**30
MEMINFO = """MemTotal:       67108864 kB
MemFree:         1048576 kB
MemAvailable:    8388608 kB
Cached:          2097152 kB
SwapTotal:       4194304 kB
SwapFree:        2097152 kB
"""
KEPT_BACK = 1024 * (67108864 // 64)
MACHINE = 10 * GIB + KEPT_BACK
SWAP = 2 * GIB


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 GiB, of which 8 and 2 of swap are free, without control groups."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(MEMINFO)
    (proc / "self/statm").write_text("1000 500 100 1 0 200 0\n")
    (proc / "self/cgroup").write_text("0::/\n")
    (proc / "self/mountinfo").write_text("22 1 0:20 / /proc rw - proc proc rw\n")
    return tmp_path


def mount(system: Path, version: int, path: str, root: str = "/") -> Path:
    """Mount control groups of a version, this process in one of this path; returns the folder."""
    top = system / "groups"
    kind = "cgroup2 cgroup2 rw" if version == 2 else "cgroup cgroup rw,memory"
    (system / "proc/self/mountinfo").write_text(
        f"22 1 0:20 / /proc rw - proc proc rw\n35 1 0:30 {root} {top} rw shared:9 - {kind}\n"
    )
    line = f"0::{path}" if version == 2 else f"5:memory:{path}\n0::/elsewhere"
    (system / "proc/self/cgroup").write_text(f"3:cpuset:/other\n{line}\n")
    return top


def limit(folder: Path, version: int, most: int | str, used: int, **more: Any) -> None:
    """Give a group a limit, what it uses, and what else it says."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes"
    )  # fmt: skip
    files = {**dict(zip(names, (most, used), strict=True)), **more}
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_the_machine(system: Path) -> None:
    """What is available, the swap, and what the kernel keeps back until the last."""
    assert available_memory(system / "proc") == MACHINE


def test_an_old_kernel(system: Path) -> None:
    """Without its own word for it, what is free and what holds files."""
    lines = [line for line in MEMINFO.splitlines() if "Available" not in line]
    (system / "proc/meminfo").write_text("\n".join(lines))
    assert available_memory(system / "proc") == 3 * GIB + SWAP + KEPT_BACK


@pytest.mark.parametrize("version", [1, 2])
def test_control_groups(system: Path, version: int) -> None:
    """The tightest of the groups around the process counts; files give their memory back."""
    top = mount(system, version, "/job/step")
    prefix = "total_" if version == 1 else ""
    stat = f"anon 7\n{prefix}inactive_file {GIB // 2}\n{prefix}active_file {GIB // 4}\n"
    limit(top / "job", version, 3 * GIB, 2 * GIB, memory__stat=stat)
    limit(top / "job/step", version, 6 * GIB, 2 * GIB)
    assert available_memory(system / "proc") == GIB + 3 * GIB // 4 + SWAP
    limit(top / "job/step", version, 2 * GIB + 5, 2 * GIB)
    assert available_memory(system / "proc") == 5 + SWAP
    limit(top / "job/step", version, GIB, 4 * GIB)
    assert available_memory(system / "proc") == 0


@pytest.mark.parametrize(("version", "none"), [(1, 2**63 - 4096), (2, "max")])
def test_groups_without_limits(system: Path, version: int, none: int | str) -> None:
    """A group without a limit has as much as the machine."""
    top = mount(system, version, "/job")
    limit(top / "job", version, none, 2 * GIB)
    limit(top, version, none, 2 * GIB)
    assert available_memory(system / "proc") == MACHINE


def test_swap_of_groups(system: Path) -> None:
    """A group's limit of swap counts, and the old kind's limit of both together."""
    top = mount(system, 2, "/job")
    swap = {"memory__swap__max": GIB, "memory__swap__current": GIB - 7}
    limit(top / "job", 2, 3 * GIB, 2 * GIB, **swap)
    assert available_memory(system / "proc") == GIB + 7
    top = mount(system, 1, "/job")
    both = {
        "memory__memsw__limit_in_bytes": 4 * GIB,
        "memory__memsw__usage_in_bytes": 3 * GIB,
    }
    limit(top / "job", 1, 3 * GIB, 2 * GIB, **both)
    assert available_memory(system / "proc") == GIB


@pytest.mark.parametrize(
    ("root", "path", "inside"),
    [
        ("/docker/1f", "/docker/1f", "."),
        ("/docker/1f", "/docker/1f/job", "job"),
        ("/", "/../../outer", "."),
        ("/docker/1f", "/", "."),
    ],
)
def test_groups_seen_from_a_container(system: Path, root: str, path: str, inside: str) -> None:
    """A container sees its own group where the groups are mounted."""
    top = mount(system, 2, path, root)
    limit(top / inside, 2, 3 * GIB, GIB)
    assert available_memory(system / "proc") == 2 * GIB + SWAP


def test_limit_of_addresses(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ulimit -v`` leaves what the process does not use of it."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (GIB, GIB))
    wanted = GIB - 1000 * resource.getpagesize()
    assert available_memory(system / "proc") == wanted


def test_systems_that_tell_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere all memory counts; where nothing is told, nothing is refused."""
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert available_memory(tmp_path) == 4096000
    monkeypatch.delattr(os, "sysconf")
    assert available_memory(tmp_path) is None
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    check_memory("anything", {"much": 2**80}, "less")


def test_this_machine() -> None:
    """Here some is left, and no more than there are addresses for."""
    found = available_memory()
    assert found is not None
    assert 2**20 < found < 2**60


def test_refusals() -> None:
    """What is needed, what there is, what it is for, the largest first, and what needs less."""
    needs = {"parameters": 2**20, "arenas": 3 * 2**29, "nothing": 0}
    check_memory("training", needs, "less", limit=3 * 2**29 + 2**20)
    with pytest.raises(NotEnoughMemoryError) as caught:
        check_memory("training", needs, "fewer threads", limit=2**30)
    assert str(caught.value) == (
        "training needs at least 1.5 GiB of memory, and there are 1.0 GiB: arenas 1.5 GiB, "
        "parameters 1.0 MiB; less is needed with fewer threads"
    )
    assert isinstance(caught.value, (ArgumentError, MemoryError))
    with pytest.raises(NotEnoughMemoryError, match=r"needs at least 2\^80 bytes of memory"):
        check_memory("anything", {"much": 2**80}, "less")


def test_modest_needs_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every machine has is not worth a look at this one."""
    monkeypatch.setattr(memory, "available_memory", lambda: 0)
    check_memory("a little", {"numbers": 2**20}, "less")
    with pytest.raises(NotEnoughMemoryError):
        check_memory("more", {"numbers": 2**26}, "less")


def test_garbage_is_given_back_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a refusal, what nobody holds any more is collected."""
    room = [0]
    monkeypatch.setattr(memory, "available_memory", lambda: room[0])
    monkeypatch.setattr(gc, "collect", lambda: room.__setitem__(0, GIB))
    check_memory("again", {"numbers": GIB // 2}, "less")


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Afterwards the limit is what it was."""
    before = memory.set_limit(None)
    yield
    memory.set_limit(before)


@pytest.mark.usefixtures("unlimited")
def test_a_limit_of_ones_own(system: Path) -> None:
    """What the process holds already counts; the machine, if it has less, counts too."""
    held = 500 * resource.getpagesize()
    assert memory.set_limit(GIB) is None
    assert available_memory(system / "proc") == GIB - held
    assert memory.set_limit(1000 * GIB) == GIB
    assert available_memory(system / "proc") == MACHINE
    memory.set_limit(1)
    assert available_memory(system / "proc") == 0
    (system / "proc/self/statm").unlink()
    assert available_memory(system / "proc") == 1
    with pytest.raises(ArgumentError, match="limit of memory must be a whole number of at least 1"):
        memory.set_limit(0)


@pytest.mark.usefixtures("unlimited")
def test_a_limit_refuses_what_the_machine_would_give() -> None:
    """Requests are held to the limit, smaller ones too than are worth a look without it."""
    check_memory("a little", {"numbers": 2**22}, "less")
    memory.set_limit(2**22)
    with pytest.raises(
        NotEnoughMemoryError, match=r"needs at least 4\.0 MiB of memory, and there are 0 bytes of "
        r"the 4\.0 MiB that are allowed, for this process holds .* [MG]iB already: numbers 4\.0 MiB"
    ):  # fmt: skip
        check_memory("a little", {"numbers": 2**22}, "less")
    memory.set_limit(2**60)
    check_memory("a little", {"numbers": 2**22}, "less")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("12KiB", 12 * 2**10),
        ("3mb", 3 * 2**20),
        (" 2 G ", 2 * GIB),
        ("0.5T", 2**39),
        ("1.001KiB", 1025),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    """Units are powers of 1024, however they are written."""
    assert memory.size_of(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1e9", "2 PiB", "1,5G", "²G", "1" * 40])
def test_sizes_that_are_none(text: str) -> None:
    """Anything else is refused with what was given."""
    with pytest.raises(ArgumentError, match="such as 2GiB or 512MiB; got '"):
        memory.size_of(text)


class MappedFile:
    """A file in memory, which is needed no longer once it was read."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(64 * 2**20))
        with path.open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.map.read()
        self.asked = 0

    def give_back(self) -> None:
        """Its pages."""
        self.asked += 1
        self.map.madvise(mmap.MADV_DONTNEED)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="pages cannot be given back here")
def test_what_can_be_given_back_is_asked_for_first(tmp_path: Path) -> None:
    """Pages of a mapped file make room for what would be refused; nobody is asked without need."""
    file = MappedFile(tmp_path / "file")
    memory.can_give(file)
    check_memory("a little", {"numbers": 2**22}, "less")
    assert file.asked == 0
    held = memory._held(Path("/proc"))
    assert held is not None
    before = memory.set_limit(held + 2**20)
    try:
        check_memory("a little", {"numbers": 32 * 2**20}, "less")
        assert file.asked == 1
        with pytest.raises(NotEnoughMemoryError):
            check_memory("too much", {"numbers": 2**30}, "less")
    finally:
        memory.set_limit(before)
