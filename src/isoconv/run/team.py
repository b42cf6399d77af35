"""Threads that run scripts. The calling thread is one of them; the others wait for work.

They wait in native code for a millisecond or two, as work often follows work, and then asleep.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import numpy as np
from numpy.typing import NDArray

from isoconv.checks import check_count, check_kind
from isoconv.compile.build import is_shared
from isoconv.compile.cache import KernelCache, default_folder
from isoconv.compile.kernels import KernelLibrary
from isoconv.compile.runtime import ASLEEP, GoSpec, RunSpec, ServeSpec
from isoconv.compile.target import Target, host_target, target_named
from isoconv.compile.worker import cores
from isoconv.errors import ArgumentError
from isoconv.run.memory import Script
from isoconv.run.wake import WakePlaces

__all__ = ["Team", "default_threads", "library_for", "team_size"]

_MOST = 65536
"""Threads that nobody has cores for."""

_LIBRARIES: dict[tuple[str, bool], KernelLibrary] = {}
_LIBRARIES_LOCK = threading.Lock()


def library_for(target: Target | str | None = None, *, cache: bool = True) -> KernelLibrary:
    """This process's kernels for a target, made once.

    Args:
        target: a target, its name, or None for the best one this machine can run.
        cache: keep compiled kernels in the user's cache folder. Where a process cannot tell from
            what sources its kernels are made, they are not kept.
    """
    if target is None:
        target = host_target()
    elif isinstance(target, str):
        target = target_named(target)
    else:
        check_kind("target", target, Target, "a target's name")
    with _LIBRARIES_LOCK:
        key = (repr(target), cache)
        if key not in _LIBRARIES:
            folder = default_folder() if cache and is_shared() else None
            disk = None if folder is None else KernelCache(folder)
            _LIBRARIES[key] = KernelLibrary(target, disk)
        return _LIBRARIES[key]


def default_threads() -> int:
    """Number of cores this process may use."""
    return cores()


def team_size(threads: int | None) -> int:
    """The number of threads that was asked for; None asks for one per core.

    Raises:
        ArgumentError: no whole number of at least 1.
    """
    return default_threads() if threads is None else check_count("threads", threads, most=_MOST)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the threads have met: none may be left behind, working on our arrays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    if not callable(previous):
        yield
        return
    came: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if came:
        previous(signal.SIGINT, came[0])


_Native = Callable[[int, None], None]


def _natives(library: KernelLibrary) -> list[_Native]:
    """The loops of the caller and of the other threads, and the start of a run."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    found = library.addresses([RunSpec(), ServeSpec(), GoSpec()])
    return [kind(found[spec]) for spec in (RunSpec(), ServeSpec(), GoSpec())]


class _Doors:
    """At which the threads beside the caller wait for work, see ``compile/runtime.py``.

    Args:
        threads: how many, the caller included.
        orders: what a thread finds to do when its door is opened, a row for each.
        go: the native function.
    """

    def __init__(self, threads: int, orders: NDArray[np.int64], go: _Native) -> None:
        self._doors = np.full((threads, 16), ASLEEP, np.int32)
        self._go = go
        self._counts = np.zeros(2, np.int64)
        rows = np.arange(threads)
        self._arguments = np.empty((threads, 2), np.int64)
        self._arguments[:, 0] = orders.ctypes.data + orders.strides[0] * rows
        self._arguments[:, 1] = self._doors.ctypes.data + self._doors.strides[0] * rows
        first = self._doors.ctypes.data + self._doors.strides[0]
        self._going = np.array([orders.ctypes.data, first, self._counts.ctypes.data], np.int64)
        self._address = int(self._going.ctypes.data)

    def arguments(self, thread: int) -> int:
        """Address of what a thread's ``serve`` takes."""
        return int(self._arguments[thread : thread + 1].ctypes.data)

    def go(self, count: int) -> None:
        """Open the first doors and run, unless one of the threads behind them sleeps."""
        self._counts[0] = count
        self._go(self._address, None)

    def sleepers(self) -> list[int]:
        """The threads that the last ``go`` found asleep: it has not run, they have to be woken."""
        if not self._counts[1]:
            return []
        return [i for i in range(1, int(self._counts[0]) + 1) if self._doors[i, 1] == ASLEEP]

    def woken(self) -> None:
        """Nobody sleeps behind an open door any more."""
        self._counts[1] = 0


class Team:
    """A fixed number of threads that run scripts together.

    Args:
        threads: how many; the calling thread is the first.
        library: where the native loop comes from.
    """

    def __init__(self, threads: int, library: KernelLibrary) -> None:
        self.threads = team_size(threads)
        run, serve, go = _natives(library)
        self._run, self._serve = run, serve
        self._control = np.zeros((threads, 8), np.int64)
        self._orders = np.zeros((threads, 8), np.int64)
        self._own = [int(row.ctypes.data) for row in self._control]
        self._doors = _Doors(threads, self._orders, go)
        self._start = [threading.Semaphore(0) for _ in range(threads)]
        self._meeting = np.zeros(16, np.int32)
        self._orders[:, 2] = self._meeting.ctypes.data
        self._places = WakePlaces()
        self._closing = False
        self._workers = [
            threading.Thread(target=self._work, args=(i,), daemon=True, name=f"isoconv-{i}")
            for i in range(1, threads)
        ]
        self._start_all()

    def _start_all(self) -> None:
        for started, worker in enumerate(self._workers):
            try:
                worker.start()
            except RuntimeError as error:
                del self._workers[started:]
                self.close()
                raise ArgumentError(
                    f"threads must be no more than this system starts; of {self.threads} it "
                    f"refused number {started + 2}: {error}"
                ) from error

    def run(
        self, scripts: Sequence[Script], turns: int | Sequence[int], control: int | None = None
    ) -> None:
        """Run one script per thread, each for its number of turns, and wait for all.

        Args:
            scripts: a script for each thread; fewer leave the last threads idle.
            turns: how often, for all or for each.
            control: address of a shared (turns, stop) pair; without it each thread has its own.

        Raises:
            ArgumentError: the team was closed.
        """
        if self._closing:
            raise ArgumentError("the threads of this team have ended; make a new one")
        each = [turns] * len(scripts) if isinstance(turns, int) else list(turns)
        for i, (script, count) in enumerate(zip(scripts, each, strict=True)):
            self._control[i, :2] = count, 0
            self._orders[i, :2] = script.address, control or self._own[i]
        self._meeting[2] = len(scripts)
        try:
            # Nothing comes between the others' start and the caller's, not even Ctrl-C. A
            # prediction takes so little that what Python does here is seen in its time.
            self._doors.go(len(scripts) - 1)
        finally:
            asleep = self._doors.sleepers()
            if asleep:
                self._wake(asleep)

    def _wake(self, asleep: Sequence[int]) -> None:
        """Wake those whose doors were opened, and run."""
        with _uninterrupted():
            self._places.calls(self._workers[i - 1].native_id for i in asleep)
            for i in asleep:
                self._start[i].release()
            self._doors.woken()
            # It returns when all have met.
            self._run(self._orders.ctypes.data, None)

    def _work(self, i: int) -> None:
        while True:
            self._start[i].acquire()
            if self._closing:
                return
            self._places.awake()
            self._serve(self._doors.arguments(i), None)
            self._places.asleep()

    def close(self) -> None:
        """End the threads."""
        self._closing = True
        for i in range(1, self.threads):
            self._start[i].release()
        for worker in self._workers:
            # Garbage collection may close a forgotten team on one of its own threads.
            if worker is not threading.current_thread():
                worker.join()
        self._workers = []

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
