"""Threads that run scripts. The calling thread is one of them; the others wait for work.

They wait in native code for some milliseconds, as work often follows work, and then asleep.
In a forked process they are not there: its first run starts others.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.checks import check_count, check_kind
from isoconv.compile.native.build import is_shared
from isoconv.compile.native.cache import KernelCache, default_folder
from isoconv.compile.native.fork import renew_in_child
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.records import ARGUMENTS, BARRIER, CONTROL, WAKE_FLAG
from isoconv.compile.native.runtime import ASLEEP, GoSpec, RunSpec, ServeSpec
from isoconv.compile.native.waiting import spins_for
from isoconv.compile.target import Target, host_target, target_named
from isoconv.cores import cores, quota
from isoconv.errors import ArgumentError, TrainingError
from isoconv.run.affinity import WakeAffinity
from isoconv.run.script import Script

_ENDED = "the threads of this team have ended; make a new one"
_MOST = 65536
"""Threads that nobody has cores for."""
PER_CORE = 4
"""Threads that are started for each core at most."""

_LIBRARIES: dict[tuple[str, bool], KernelLibrary] = {}


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
    key = (repr(target), cache)
    library = _LIBRARIES.get(key)
    if library is None:
        folder = default_folder() if cache and is_shared() else None
        disk = None if folder is None else KernelCache(folder)
        # Of threads that come at once, all get the first one's.
        library = _LIBRARIES.setdefault(key, KernelLibrary(target, disk))
    return library


def default_threads() -> int:
    """Number of cores this process may use, by its affinity and its quota."""
    return cores()


def team_size(threads: int | None) -> int:
    """How many threads are started where so many were asked for; None asks for one per core.

    Never more than `PER_CORE` for each core: they would do nothing but wait for one another, and no
    bit depends on their number.

    Raises:
        ArgumentError: no whole number of at least 1.
    """
    if threads is None:
        return default_threads()
    return min(check_count("threads", threads, most=_MOST), PER_CORE * default_threads())


class _Interrupts:
    """Ctrl-C that waits until the threads have met: none may be left behind, working on our arrays.

    Only the main thread is interrupted, so there is one of these.
    """

    def __init__(self) -> None:
        self._handler: Callable[[int, FrameType | None], object] | None = None
        renew_in_child(self, _Interrupts._renew)

    @contextmanager
    def later(self) -> Iterator[None]:
        """No interrupt inside; one that came is handled after."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.getsignal(signal.SIGINT)
        if not callable(previous):
            yield
            return
        came: list[FrameType | None] = []
        outer = self._handler
        self._handler = outer or previous
        signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)
            self._handler = outer
        if came:
            previous(signal.SIGINT, came[0])

    def _renew(self) -> None:
        # The child's main thread is the one that forked; it may be another one that waits here.
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None


_INTERRUPTS = _Interrupts()


_Native = Callable[[int, None], None]


def _natives(library: KernelLibrary) -> list[_Native]:
    """The loops of the caller and of the other threads, and the start of a run."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    found = library.addresses([RunSpec(), ServeSpec(), GoSpec()])
    natives: list[Any] = [kind(address) for address in found.values()]
    for native in natives:
        # Whoever can call it keeps it in memory.
        native.kernels = found
    return natives


class _WakeFlags:
    """What the threads beside the caller watch while they wait for work, see `GoSpec`.

    Args:
        threads: how many, the caller included.
        orders: what a thread finds to do when its flag is raised, ``ARGUMENTS`` for each.
        go: the native function.
    """

    def __init__(self, threads: int, orders: NDArray[np.void], go: _Native) -> None:
        self._flags = WAKE_FLAG.zeros(threads)
        self.all_asleep()
        self._go = go
        self._orders = orders
        self.counts = np.zeros(2, np.int64)
        rows = np.arange(threads)
        self._arguments = np.empty((threads, 2), np.int64)
        self._arguments[:, 0] = orders.ctypes.data + orders.strides[0] * rows
        self._arguments[:, 1] = self._flags.ctypes.data + self._flags.strides[0] * rows
        first = self._flags.ctypes.data + self._flags.strides[0]
        self._going = np.array([orders.ctypes.data, first, self.counts.ctypes.data], np.int64)
        self._address = int(self._going.ctypes.data)

    def arguments(self, thread: int) -> int:
        """Address of what a thread's ``serve`` takes."""
        return int(self._arguments[thread : thread + 1].ctypes.data)

    def go(self) -> None:
        """Raise the first flags and run, unless one of the threads that watch them sleeps.

        As many flags as ``counts[0]`` says.
        """
        self._go(self._address, None)

    def sleepers(self) -> list[int]:
        """The threads that the last ``go`` found asleep: it has not run, they have to be woken."""
        if not self.counts[1]:
            return []
        return [i for i in range(1, int(self.counts[0]) + 1) if self._flags["before"][i] == ASLEEP]

    def woken(self) -> None:
        """Nobody sleeps whose flag is raised."""
        self.counts[1] = 0

    def allow(self, spins: int) -> None:
        """How many turns a thread spins before it sleeps, from its next run on."""
        self._flags["allowed"] = spins

    def all_asleep(self) -> None:
        """Nobody is awake."""
        self._flags["flag"] = ASLEEP


class _Others:
    """The threads beside the caller. They begin with the first call, and sleep between calls.

    Args:
        flags: which they watch before they sleep.
        threads: how many, the caller included.
        serve: the native function.

    Attributes:
        elsewhere: whether they are to wake up on other cores than the caller's.
    """

    def __init__(self, flags: _WakeFlags, threads: int, serve: _Native) -> None:
        self._flags = flags
        self._serve = serve
        self.elsewhere = True
        self._start = [threading.Semaphore(0) for _ in range(threads)]
        self._places = WakeAffinity()
        self._threads: list[threading.Thread] = []
        self._over = False

    def wake(self, numbers: Sequence[int]) -> None:
        """Let the threads of these numbers, from 1 on, look at their flags.

        Raises:
            ArgumentError: the threads have ended, or the system starts no more threads; none of
                these has begun.
        """
        if self._over:
            raise ArgumentError(_ENDED)
        if not self._threads:
            self._begin()
        if self.elsewhere:
            self._places.calls(self._threads[i - 1].native_id for i in numbers)
        for i in numbers:
            self._start[i].release()

    def _begin(self) -> None:
        """All at once: some without the others would wait for them."""
        count = len(self._start)
        threads = [
            threading.Thread(target=self._work, args=(i,), daemon=True, name=f"isoconv-{i}")
            for i in range(1, count)
        ]
        begun: list[threading.Thread] = []
        try:
            for thread in threads:
                thread.start()
                begun.append(thread)
        except RuntimeError as error:
            self._threads = begun
            self.end()
            raise ArgumentError(
                f"threads must be as many as the system starts; of {count} it started "
                f"{len(begun) + 1}: {error}",
                argument="threads",
                value=count,
            ) from error
        self._threads = threads

    def _work(self, i: int) -> None:
        while True:
            self._start[i].acquire()
            if self._over:
                return
            self._places.awake()
            self._serve(self._flags.arguments(i), None)
            self._places.asleep()

    def end(self) -> None:
        """End the threads and wait for them."""
        self._over = True
        for start in self._start:
            start.release()
        for thread in self._threads:
            # Garbage collection may close a forgotten team on one of its own threads.
            if thread is not threading.current_thread():
                thread.join()
        self._threads = []

    def abandon(self) -> None:
        """In a forked process, where they are not: nobody is to begin in their place."""
        self._over = True


class Team:
    """A fixed number of threads that run scripts together, one run at a time.

    Args:
        threads: how many; the calling thread is the first.
        library: where the native loop comes from.

    Attributes:
        barrier: where all threads wait in the middle of scripts: args of a ``BarrierSpec``.
        spins: how many turns a thread spins before it sleeps, see ``compile/native/waiting.py``.
        turn: the lock of what has to go from one run to the next, or through all of a run, before
            another thread comes.
        torn: whether this process was forked while a thread held `turn`: what that was in the
            middle of is not whole here, and never will be. Who puts it right says so here.
    """

    def __init__(self, threads: int, library: KernelLibrary) -> None:
        self.threads = (
            default_threads() if threads is None else check_count("threads", threads, most=_MOST)
        )
        self.turn = threading.Lock()
        self.torn = False
        run, self._serve, go = _natives(library)
        self._run = run
        control, orders = CONTROL.zeros(threads), ARGUMENTS.zeros(threads)
        self._turns, self._stops = control["turns"], control["stop"]
        self._scripts, self._controls = orders["script"], orders["control"]
        self._own = [int(control[i : i + 1].ctypes.data) for i in range(threads)]
        self._flags = _WakeFlags(threads, orders, go)
        # For the end of a run, and for the middle of scripts.
        self._barriers = BARRIER.zeros(2)
        self._coming = self._barriers["threads"]
        self._coming[1] = self.threads
        self.barrier = int(self._barriers[1:].ctypes.data)
        orders["barrier"] = self._barriers.ctypes.data
        self._paid = quota()
        self.spins = -1
        self._look_at_cores()
        self._address = int(orders.ctypes.data)
        self._closed = False
        self._others = self._new_others()
        renew_in_child(self, Team._renew)

    def _new_others(self) -> _Others:
        self._flags.all_asleep()
        # Whoever had come to a barrier is not here any more.
        self._barriers["arrived"] = 0
        return _Others(self._flags, self.threads, self._serve)

    def _look_at_cores(self) -> None:
        """How long threads may spin: the cores that this process may use can become others."""
        spins = spins_for(self.threads, cores(self._paid))
        if spins != self.spins:
            self.spins = spins
            self._barriers["allowed"] = spins
            self._flags.allow(spins)

    def _renew(self) -> None:
        """In a forked process: threads that are there, and a lock that opens."""
        self.torn = self.torn or self.turn.locked()
        self.turn = threading.Lock()
        self._others.abandon()
        self._others = self._new_others()

    @contextmanager
    def whole_turn(self) -> Iterator[None]:
        """One thread at a time, with nothing that another one left half done.

        Raises:
            TrainingError: this process was forked in the middle of another thread's turn.
        """
        with self.turn:
            if self.torn:
                raise TrainingError(
                    "a training engine must not be used in a process that was forked while another "
                    "thread was in the middle of the engine's work; make a new one there"
                )
            yield

    def run(
        self, scripts: Sequence[Script], turns: int | Sequence[int], control: int | None = None
    ) -> None:
        """Run one script per thread, each for its number of turns, and wait for all.

        Args:
            scripts: a script for each thread; fewer leave the last threads idle.
            turns: how often, for all or for each.
            control: address of a shared ``CONTROL``; without it each thread has its own.

        Raises:
            ArgumentError: the team was closed, the system starts no more threads, or a signal's
                handler forked this process in the middle of the run.
        """
        if self._closed:
            raise ArgumentError(_ENDED)
        each = [turns] * len(scripts) if isinstance(turns, int) else list(turns)
        for i, (script, count) in enumerate(zip(scripts, each, strict=True)):
            self._turns[i], self._stops[i] = count, 0
            self._scripts[i], self._controls[i] = script.address, control or self._own[i]
        self._coming[0] = len(scripts)
        self._flags.counts[0] = len(scripts) - 1
        others = self._others
        try:
            # Nothing comes between the others' start and the caller's, not even Ctrl-C. A
            # prediction takes so little that what Python does here is seen in its time.
            self._flags.go()
        finally:
            asleep = self._flags.sleepers()
            if asleep:
                self._wake(asleep, others)

    def _wake(self, asleep: Sequence[int], others: _Others) -> None:
        """Wake those whose flags were raised, and run."""
        with _INTERRUPTS.later():
            try:
                self._look_at_cores()
                if others is self._others:
                    # Where threads share cores, the system places them best.
                    others.elsewhere = self.spins > 0
                    others.wake(asleep)
                self._flags.woken()
                if others is not self._others:
                    # Some may have begun, and nobody will ever end.
                    raise ArgumentError(
                        "a signal's handler must not fork in the middle of a run and come back to "
                        "it in the child: what the threads were doing is lost there"
                    )
            except ArgumentError:
                self._others = self._new_others()
                self._flags.woken()
                raise
            # It returns when all have met.
            self._run(self._address, None)

    def close(self) -> None:
        """End the threads; not while another thread runs scripts."""
        self._closed = True
        self._others.end()

    def retire(self) -> None:
        """End the threads because nobody can ask for a run any more, or because Python ends.

        Then another thread may still have its turn, which is waited for.
        """
        with self.turn:
            self.close()

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
