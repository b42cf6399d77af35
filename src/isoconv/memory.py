"""How much memory there is, and a refusal before more is asked for.

A process that takes more than there is may be killed without a word, or bring the whole machine to
a halt. So what a computation needs is added up first. The sum is what is needed at least, and what
there is is taken as what the system might give at most: nothing is refused that would have run.
Who wants less to be taken than there is says so with `set_limit`.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from isoconv.checks import check_count
from isoconv.errors import ArgumentError, NotEnoughMemoryError

_MODEST = 32 * 2**20
"""Bytes for which nobody asks how much there is: asking takes longer than many a computation."""
_SMALL = 2**20
"""Likewise where somebody has set a limit, which may be one of a few such computations."""
_KEPT_BACK = 64
"""The part of all memory that the kernel may say is not available and gives out all the same."""
_ENDLESS = 2**60
"""From here on a limit is none: version 2 says "max", version 1 the greatest number of pages."""

_PROC = Path("/proc")
_SIZE = re.compile(r"(\d{1,18})(?:\.(\d{1,3}))? *(?:([KMGT])i?)?B?", re.ASCII | re.IGNORECASE)


class Giver(Protocol):
    """Who holds memory that is not needed."""

    def give_back(self) -> None:
        """Hold it no longer."""


_GIVERS: WeakSet[Giver] = WeakSet()
"""Those that are asked before anybody is refused; see `can_give`."""

_limit: int | None = None
"""Bytes that the process may have in all, if somebody has said so; see `set_limit`."""


def set_limit(size: int | None) -> int | None:
    """Bound the memory of this process.

    From now on everything that asks for memory before it takes any (data, pictures, archives,
    files, networks, training, predictions) is refused where the process would come to hold more
    than this. What the process holds already counts, Python and its libraries too, which are
    about 100 MiB. It is a promise of isoconv's own; other libraries do not know of it.

    Args:
        size: bytes in all; None for what the machine has, as in the beginning.

    Returns:
        The limit before.

    Raises:
        ArgumentError: a size that is no whole number of at least 1.

    Example:
        >>> set_limit(2 * 2**30)
        >>> set_limit(None)
        2147483648
    """
    global _limit
    before, _limit = _limit, None if size is None else check_count("the limit of memory", size)
    return before


def limit_now() -> int | None:
    """The limit of this process, as `set_limit` was told; None for what the machine has."""
    return _limit


def size_of(text: str) -> int:
    """A number of bytes, as a person writes it; units are powers of 1024.

    Raises:
        ArgumentError: it is written in another way.

    Example:
        >>> size_of("2GiB"), size_of("1.5 G"), size_of("4096")
        (2147483648, 1610612736, 4096)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        rule = "a size of memory must be written such as 2GiB or 512MiB"
        raise ArgumentError(f"{rule}; got {text!r}", argument="text", value=text)
    whole, part, unit = found.groups()
    # In whole numbers: a float would lose bytes.
    thousandths = 1000 * int(whole) + int((part or "").ljust(3, "0"))
    return (thousandths << " kmgt".index(unit.lower() if unit else " ") * 10) // 1000


def check_memory(
    what: str, needs: Mapping[str, int], smaller: str, limit: int | None = None
) -> None:
    """See that there is enough memory for something before it is taken.

    Args:
        what: needs it, for the message: "training".
        needs: bytes by what they are for.
        smaller: what would need less: "a smaller shard_size".
        limit: bytes that there are; None for what this machine has now.

    Raises:
        NotEnoughMemoryError: there is not.

    Example:
        >>> check_memory("training", {"parameters": 2**30}, "a smaller model", limit=2**29)
        Traceback (most recent call last):
        isoconv.errors.NotEnoughMemoryError: training needs at least 1.0 GiB of memory, and there \
are 512.0 MiB: parameters 1.0 GiB; less is needed with a smaller model
    """
    total = sum(needs.values())
    allowed = ""
    if limit is None:
        if total <= (_MODEST if _limit is None else _SMALL):
            return
        limit = available_memory()
        if limit is not None and total > limit:
            # What nobody holds any more may still be waiting to be given back, and pages of files
            # come back out of the system's memory.
            gc.collect()
            for give in list(_GIVERS):
                give.give_back()
            limit = available_memory()
        if _limit is not None:
            allowed = f" of the {readable(_limit)} that are allowed"
            held = _held(_PROC)
            if held is not None and held >= _limit:
                allowed += f", for this process holds {readable(held)} already"
    if limit is None or total <= limit:
        return
    largest = sorted(needs.items(), key=lambda need: -need[1])
    listed = ", ".join(f"{name} {readable(size)}" for name, size in largest if size)
    raise NotEnoughMemoryError(
        f"{what} needs at least {readable(total)} of memory, and there are {readable(limit)}"
        f"{allowed}: {listed}; less is needed with {smaller}"
    )


def can_give(giver: Giver) -> None:
    """Have somebody asked to give memory back before anything is refused for want of it.

    Args:
        giver: who, for as long as it lives.
    """
    _GIVERS.add(giver)


@contextmanager
def memory_told(what: str) -> Iterator[None]:
    """What runs out of memory within the block, though nobody foresaw it, says what it was for.

    Args:
        what: is done within the block, for the message.

    Raises:
        NotEnoughMemoryError: in place of Python's own error.
    """
    try:
        yield
    except NotEnoughMemoryError:
        raise
    except MemoryError as error:
        raise NotEnoughMemoryError(f"{what} needs more memory than there is") from error


def readable(size: int) -> str:
    """A number of bytes for a person.

    Example:
        >>> readable(3 * 2**29), readable(2**10), readable(2**90), readable(7)
        ('1.5 GiB', '1.0 KiB', '2^90 bytes', '7 bytes')
    """
    if size >= 2**60:
        return f"2^{size.bit_length() - 1} bytes"
    for power, name in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 2**power:
            return f"{size / 2**power:.1f} {name}"
    return f"{size} bytes"


def available_memory(proc: Path = _PROC) -> int | None:
    """Bytes that this process might still get, at most; None where the system does not tell.

    The least of what the machine has (swap included), of the room in each control group that the
    process is in (where containers and batch systems set their limits), of the process's own
    limit of addresses, and of what `set_limit` leaves.

    Args:
        proc: where Linux tells; elsewhere all of the machine's memory counts.
    """
    machine, swap = _machine(proc)
    rooms = (machine, _addresses(proc), _allowed(proc))
    found = [room for room in rooms if room is not None]
    found.extend(_groups(proc, swap))
    return max(0, min(found)) if found else None


def _machine(proc: Path) -> tuple[int | None, int]:
    """What the machine has, and how much of it is swap."""
    facts = _numbers(proc / "meminfo")
    if "MemTotal" not in facts:
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), 0
        except (AttributeError, OSError, ValueError):
            return None, 0
    swap = facts.get("SwapFree", 0)
    free = facts["MemFree"] + facts.get("Buffers", 0) + facts.get("Cached", 0)
    available = facts.get("MemAvailable", free) + facts["MemTotal"] // _KEPT_BACK
    return 1024 * (available + swap), 1024 * swap


def _addresses(proc: Path) -> int | None:
    """What is left of the process's own limit, ``ulimit -v``."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        return limit - int((proc / "self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None


def _allowed(proc: Path) -> int | None:
    """What `set_limit` leaves beside what this process holds."""
    if _limit is None:
        return None
    held = _held(proc)
    # Where the system does not tell what the process holds, a request has the limit alone.
    return _limit if held is None else _limit - held


def _held(proc: Path) -> int | None:
    """Bytes that this process holds, its libraries too; None where the system does not tell."""
    try:
        import resource

        return int((proc / "self/statm").read_text().split()[1]) * resource.getpagesize()
    except (ImportError, OSError, ValueError, IndexError):
        return None


# Control groups ---------------------------------------------------------------------------------


def _groups(proc: Path, swap: int) -> Iterator[int]:
    """The room in each control group around this process, of both versions."""
    try:
        own = [line.split(":", 2) for line in (proc / "self/cgroup").read_text().splitlines()]
        mounts = (proc / "self/mountinfo").read_text().splitlines()
    except OSError:
        return
    for mount in mounts:
        place, _, kind = mount.partition(" - ")
        fields, kinds = place.split(), kind.split()
        if len(fields) < 5 or not kinds or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        new = kinds[0] == "cgroup2"
        for _, controllers, path in (line for line in own if len(line) == 3):
            if "memory" in controllers.split(",") if not new else not controllers:
                room = _room_new if new else _room_old
                for folder in _folders(Path(fields[4]), fields[3], path):
                    found = room(folder, swap)
                    if found is not None:
                        yield found


def _folders(mount: Path, root: str, path: str) -> Iterator[Path]:
    """A group's folder and those of the groups around it, up to where they are mounted."""
    inside = os.path.relpath(path, root)
    if inside.startswith(".."):
        # Another namespace's name for it: here its own folder is the mounted one.
        inside = "."
    folder = mount / inside
    yield folder
    while folder != mount and mount in folder.parents:
        folder = folder.parent
        yield folder


def _room_new(folder: Path, swap: int) -> int | None:
    limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
    if limit is None or used is None:
        return None
    swap_limit, swap_used = (_number(folder / f"memory.swap.{name}") for name in ("max", "current"))
    if swap_limit is not None and swap_used is not None:
        swap = min(swap, max(0, swap_limit - swap_used))
    return limit - used + swap + _given_back(folder, "")


def _room_old(folder: Path, swap: int) -> int | None:
    found: list[int] = []
    for name, more in (("memory", swap), ("memory.memsw", 0)):
        limit = _number(folder / f"{name}.limit_in_bytes")
        used = _number(folder / f"{name}.usage_in_bytes")
        if limit is not None and used is not None:
            found.append(limit - used + more)
    return min(found) + _given_back(folder, "total_") if found else None


def _given_back(folder: Path, prefix: str) -> int:
    """Bytes of a group that hold files, which the kernel takes back when it needs them."""
    facts = _numbers(folder / "memory.stat")
    names = ("inactive_file", "active_file", "slab_reclaimable")
    return sum(facts.get(prefix + name, 0) for name in names)


def _number(path: Path) -> int | None:
    """The number in a file; None when it is not there or stands for no limit."""
    try:
        found = int(path.read_text())
    except (OSError, ValueError):
        return None
    return found if found < _ENDLESS else None


def _numbers(path: Path) -> dict[str, int]:
    """The first number of each line by the line's first word."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    found = {}
    for words in lines:
        if len(words) > 1 and words[1].isdecimal():
            found[words[0].rstrip(":")] = int(words[1])
    return found
