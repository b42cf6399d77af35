"""Runs mutants in processes of their own, forked for some hundreds each, and gathers faults."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.fuzz.case import HANGS, Fault, Limits, serve
from tests.fuzz.mutate import Mutant
from tests.fuzz.readers import Reader

__all__ = ["Found", "fuzz", "scratch_root"]

_PATIENCE = 1.5
"""How many times as long as it may wait a case is waited for before it is killed from outside."""


@dataclass(slots=True)
class Found:
    """What came of many mutants.

    Attributes:
        cases: how many of each kind were read.
        faults: all of them.
        passing: mutants that took too much time or memory behind others, and did not do so when
            they were read alone.
        interrupted: it was ended before all were read.
    """

    cases: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    passing: list[int] = field(default_factory=list)
    interrupted: bool = False

    @property
    def groups(self) -> dict[tuple[str, str], list[Fault]]:
        """Those alike together, by kind and what they are."""
        found: dict[tuple[str, str], list[Fault]] = {}
        for fault in self.faults:
            found.setdefault((fault.kind, fault.what), []).append(fault)
        return dict(sorted(found.items()))


@dataclass(slots=True)
class _Child:
    """A process at work.

    Attributes:
        pid: of the process.
        numbers: the mutants that it has not finished.
        answers: where it tells of them.
        output: what native code writes, and its traceback when it crashes.
        folder: of its own.
        since: when it last told anything.
        current: the mutant that it is at, or None.
        rest: the beginning of a line that is not whole yet.
        alone: it has one mutant, which took too much behind others.
        faults: of the current mutant.
    """

    pid: int
    numbers: list[int]
    answers: int
    output: IO[bytes]
    folder: Path
    since: float
    current: int | None = None
    rest: bytes = b""
    alone: bool = False
    faults: list[Fault] = field(default_factory=list)


def scratch_root() -> Path | None:
    """Where files are written soonest: in memory, if the system has a place for that."""
    memory = Path("/dev/shm")  # noqa: S108  # a folder of a name of its own is made in it
    return memory if os.access(memory, os.W_OK) else None


class _Pool:
    """Several processes that go through mutants."""

    def __init__(
        self,
        made: Callable[[int], Mutant | None],
        readers: Callable[[str, int], Sequence[Reader]],
        kind_of: Callable[[int], str],
        limits: Limits,
    ) -> None:
        self.found = Found()
        self._made, self._readers, self._kind_of = made, readers, kind_of
        self._limits = limits
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, _Child] = {}
        self._again: list[int] = []

    def start_again(self) -> bool:
        """Fork a process for a mutant that took too much; False if there is none."""
        if self._again:
            self.start([self._again.pop()], alone=True)
            return True
        return False

    @property
    def busy(self) -> int:
        """How many processes are at work."""
        return len(self._children)

    def start(self, numbers: list[int], alone: bool = False) -> None:
        """Fork a process for some mutants."""
        folder = Path(tempfile.mkdtemp(prefix="isoconv-fuzz-", dir=scratch_root()))
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when its process ended
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(ours)
                serve(
                    numbers,
                    self._made,
                    self._readers,
                    self._limits,
                    folder,
                    theirs,
                    output.fileno(),
                )
                code = 0
            finally:
                # Nothing of the parent's is to be flushed or tidied here.
                os._exit(code)
        os.close(theirs)
        child = _Child(pid, list(numbers), ours, output, folder, time.monotonic(), alone=alone)
        self._children[ours] = child
        self._selector.register(ours, selectors.EVENT_READ, child)

    def step(self) -> None:
        """Wait for answers, and end what is silent for too long."""
        for key, _ in self._selector.select(timeout=0.5):
            child: _Child = key.data
            content = os.read(child.answers, 1 << 16)
            if not content:
                self._ended(child)
                continue
            child.since = time.monotonic()
            *lines, child.rest = (child.rest + content).split(b"\n")
            for line in lines:
                self._told(child, line)
        latest = time.monotonic() - _PATIENCE * self._limits.wall
        for child in list(self._children.values()):
            if child.since < latest:
                os.kill(child.pid, signal.SIGKILL)
                child.since = time.monotonic()

    def stop(self) -> None:
        """End all processes."""
        for child in list(self._children.values()):
            os.kill(child.pid, signal.SIGKILL)
            self._closed(child)

    def _told(self, child: _Child, line: bytes) -> None:
        what, _, rest = line.partition(b" ")
        if what == b"s":
            child.current = int(rest)
        elif what == b"f":
            child.faults.append(Fault(**json.loads(rest)))
        elif what == b"k" and child.current is not None:
            self._done(child, child.current, rest.decode())

    def _done(self, child: _Child, number: int, kind: str) -> None:
        """A mutant was read, whatever came of it."""
        faults, child.faults, child.current = child.faults, [], None
        child.numbers.remove(number)
        if not child.alone and any(fault.greedy for fault in faults):
            # Those before it may have left little.
            self._again.append(number)
            return
        self.found.cases[kind] += 1
        self.found.faults += faults
        if child.alone and not any(fault.greedy for fault in faults):
            self.found.passing.append(number)

    def _ended(self, child: _Child) -> None:
        """A process has ended, well or not; what it left undone goes to another one."""
        output = os.pread(child.output.fileno(), 4000, 0).decode("utf-8", "replace")
        status = self._closed(child)
        number = child.current
        if number is not None or (status and child.numbers):
            number = child.numbers[0] if number is None else number
            if os.WIFSIGNALED(status):
                code = os.WTERMSIG(status)
                name = signal.Signals(code).name
                what = HANGS if code == signal.SIGKILL else f"a crash: {name}"
            else:
                what = f"the process ended: {os.waitstatus_to_exitcode(status)}"
            child.faults.append(Fault(number, self._kind_of(number), what, "", output))
            self._done(child, number, self._kind_of(number))
        if child.numbers:
            self.start(child.numbers)

    def _closed(self, child: _Child) -> int:
        self._selector.unregister(child.answers)
        del self._children[child.answers]
        os.close(child.answers)
        _, status = os.waitpid(child.pid, 0)
        child.output.close()
        shutil.rmtree(child.folder, ignore_errors=True)
        return status


def fuzz(
    numbers: Iterator[int],
    made: Callable[[int], Mutant | None],
    readers: Callable[[str, int], Sequence[Reader]],
    kind_of: Callable[[int], str],
    *,
    workers: int,
    batch: int,
    limits: Limits,
    tell: Callable[[Found], None] = lambda _: None,
) -> Found:
    """Read mutants in processes of their own.

    This process must have no threads, for it is forked.

    Args:
        numbers: of the mutants.
        made: makes one; None where it cannot be made here.
        readers: of a kind and a number.
        kind_of: a number.
        workers: how many processes at a time.
        batch: how many mutants each reads before another one takes its place.
        limits: for each mutant.
        tell: is shown what was found, now and then.
    """
    pool = _Pool(made, readers, kind_of, limits)
    try:
        while True:
            while pool.busy < workers:
                if pool.start_again():
                    continue
                some = list(itertools.islice(numbers, batch))
                if not some:
                    break
                pool.start(some)
            if not pool.busy:
                return pool.found
            pool.step()
            tell(pool.found)
    except KeyboardInterrupt:
        # Much work may lie behind it: what was found is worth telling, even to the impatient.
        for asked in (signal.SIGINT, signal.SIGTERM):
            signal.signal(asked, signal.SIG_IGN)
        pool.found.interrupted = True
        return pool.found
    finally:
        pool.stop()
