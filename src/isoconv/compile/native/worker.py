"""Kernels compiled by several processes: this one and helpers that it starts.

llvmlite lets one thread of a process compile at a time, so more cores need more processes. A
helper is a fresh interpreter that imports the compiler and nothing else: it neither sees nor runs
the user's program. It reads specifications from a pipe that this process alone writes to, and
answers with object code. When the pipe closes, it ends.

A helper that does not start, answers nonsense, dies or stands still costs time and nothing else:
what it did not deliver is compiled here. A process forked from this one has none: it neither reads
from the helpers of its parent nor ends them.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from isoconv.compile.native.build import emit_object, toolchain
from isoconv.compile.native.fork import renew_in_child
from isoconv.compile.native.interpreter import Interpreter
from isoconv.compile.native.specification import Specification, meaning
from isoconv.compile.target import Target, initialize
from isoconv.cores import cores

Job = tuple[str, Specification]
"""Name of the kernel's function, and its specification."""

_HEAD = struct.Struct("<qq")  # number of the job, bytes that follow; -1: it failed
_GREETING = -1
_AHEAD = 2  # jobs a helper has at hand, so that it need not wait for the next
_WORTH = 16  # kernels for each helper: starting one takes as long as compiling ten
_MOST = 7
_PATIENCE = 2.0  # seconds without any answer after which the rest is compiled here

# The helper ---------------------------------------------------------------------------------------


def serve() -> None:
    """Compile what comes in on standard input until it ends; a helper's whole life."""
    source = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        target: Target = pickle.load(source)  # noqa: S301  # only our parent holds the pipe
        initialize()
        _answer(answers, _GREETING, _greeting(target))
        with contextlib.suppress(EOFError, BrokenPipeError):
            while True:
                number, (name, spec) = pickle.load(source)  # noqa: S301
                try:
                    code: bytes | None = emit_object(spec, target, name)
                except Exception:  # noqa: BLE001
                    # The other process meets the same error and raises it where it can be seen.
                    code = None
                _answer(answers, number, code)


def _greeting(target: Target) -> bytes:
    return f"{toolchain()} {target!r}".encode()


def _answer(answers: IO[bytes], number: int, content: bytes | None) -> None:
    answers.write(_HEAD.pack(number, -1 if content is None else len(content)))
    answers.write(content or b"")
    answers.flush()


# The process with the work ------------------------------------------------------------------------


def compile_all(
    jobs: Sequence[Job],
    target: Target,
    done: Callable[[int, bytes], None],
    helpers: int | None = None,
    pool: WorkerPool | None = None,
) -> None:
    """Compile kernels, on more than one core if there are many.

    Args:
        jobs: what to compile.
        target: the machine it is for.
        done: called with a job's number and its object code, in this thread, in any order.
        helpers: how many processes to start; None: as many as there are cores and work for.
        pool: helpers that were started before; they end with this call.

    Raises:
        CompileError: LLVM rejects a kernel.
    """
    if helpers is None:
        helpers = helpers_for(len(jobs))
    # The largest first, so that all finish together.
    order = sorted(range(len(jobs)), key=lambda number: not meaning(jobs[number][1]).heavy)
    waiting = deque(order)
    answers: queue.SimpleQueue[tuple[int, bytes | None]] = queue.SimpleQueue()
    left = set(order)
    with pool or WorkerPool(target) as workers:
        workers.grow(helpers)
        workers.work(_JobQueue(jobs, waiting, answers))

        def take(number: int, code: bytes | None) -> None:
            if number in left:
                if code is None:
                    code = emit_object(jobs[number][1], target, jobs[number][0])
                left.remove(number)
                done(number, code)

        while left:
            with contextlib.suppress(queue.Empty):
                while True:
                    take(*answers.get_nowait())
            try:
                take(waiting.popleft(), None)
            except IndexError:
                if left:
                    try:
                        take(*answers.get(timeout=_PATIENCE if len(workers) else 0))
                    except queue.Empty:
                        waiting.extend(number for number in order if number in left)


def helpers_for(kernels: int) -> int:
    """How many helpers are worth their start for this many kernels."""
    return min(cores() - 1, kernels // _WORTH, _MOST)


@dataclass(frozen=True, slots=True)
class _JobQueue:
    """What is to be compiled, and where the results go.

    Attributes:
        jobs: all jobs.
        waiting: numbers of those that nobody has taken.
        answers: (number, code); code is None for a job that is given back.
    """

    jobs: Sequence[Job]
    waiting: deque[int]
    answers: queue.SimpleQueue[tuple[int, bytes | None]]


class WorkerPool:
    """Helpers, which may be started before it is known what they are to compile.

    Args:
        target: the machine they compile for.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._helpers: list[_Helper] = []

    def grow(self, helpers: int) -> None:
        """Start helpers until there are so many."""
        while len(self._helpers) < helpers:
            self._helpers.append(_Helper(self._target))

    def work(self, jobs: _JobQueue) -> None:
        """Put all to work; they end when nothing waits any more."""
        for helper in self._helpers:
            helper.work(jobs)

    def __len__(self) -> int:
        return len([helper for helper in self._helpers if helper.is_ours])

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        while self._helpers:
            self._helpers.pop().close()


class _Helper:
    """One helper process, and the thread that feeds it.

    Args:
        target: the machine it compiles for.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._python = Interpreter(__name__, quiet=True)
        self._thread: threading.Thread | None = None
        if self._python.runs:
            renew_in_child(self, _Helper._renew)
            with contextlib.suppress(OSError):
                # So little fits into any pipe.
                self._python.write(pickle.dumps(target))

    def _renew(self) -> None:
        """In a forked process: the thread is the parent's."""
        self._thread = None

    @property
    def is_ours(self) -> bool:
        """Whether it was not started by a process that this one was forked from."""
        return self._python.is_ours

    def work(self, jobs: _JobQueue) -> None:
        """Start the thread; see `WorkerPool.work`."""
        self._queue = jobs
        if self._python.runs:
            self._thread = threading.Thread(target=self._work, daemon=True, name="isoconv-compile")
            self._thread.start()

    def _work(self) -> None:
        taken: deque[int] = deque()
        # Whatever happens to the helper, its work is given back.
        with contextlib.suppress(Exception):
            self._feed(self._python, taken)
        for number in taken:
            self._queue.answers.put((number, None))

    def _feed(self, python: Interpreter, taken: deque[int]) -> None:
        number, greeting = _read_answer(python)
        if number != _GREETING or greeting != _greeting(self._target):
            return
        while True:
            while len(taken) < _AHEAD and self._queue.waiting:
                try:
                    taken.append(self._queue.waiting.popleft())
                except IndexError:
                    break  # another thread was quicker
                python.write(pickle.dumps((taken[-1], self._queue.jobs[taken[-1]])))
            if not taken:
                return
            number, code = _read_answer(python)
            if number != taken.popleft():
                raise ValueError(number)
            self._queue.answers.put((number, code))

    def close(self) -> None:
        """End the process."""
        self._python.kill()
        if self._thread is not None:
            self._thread.join()
        self._python.close_pipes()


def _read_answer(python: Interpreter) -> tuple[int, bytes | None]:
    number, size = _HEAD.unpack(python.read(_HEAD.size))
    return number, None if size < 0 else python.read(size)
