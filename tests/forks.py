"""Forked processes for tests: what they answer, and that they end in time."""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

import pytest

T = TypeVar("T")

SECONDS = 60
"""After which a process that has not answered hangs: all that is asked for takes less than one."""

needs_fork = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # What Python says of every fork beside other threads, from 3.12 on, is what is tested here.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
"""For a module's ``pytestmark``."""


class Child(Generic[T]):
    """A forked process that does some work and sends back what it gave.

    Args:
        work: called in the child, which ends without leaving this frame.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._answers, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                try:
                    content = pickle.dumps((True, work()))
                except BaseException:  # noqa: BLE001  # the parent tells of it
                    content = pickle.dumps((False, traceback.format_exc()))
                with os.fdopen(answer, "wb") as file:
                    file.write(content)
            finally:
                os._exit(0)
        os.close(answer)

    def answer(self, seconds: float = SECONDS) -> T:
        """What the work gave; a test whose child hangs, dies or raises an error fails."""
        deadline = time.monotonic() + seconds
        content = b""
        try:
            while True:
                ready, _, _ = select.select([self._answers], [], [], deadline - time.monotonic())
                if not ready:
                    pytest.fail(f"the child has not answered for {seconds} seconds")
                part = os.read(self._answers, 1 << 20)
                if not part:
                    break
                content += part
        finally:
            os.close(self._answers)
            if not content:
                os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
        assert content, f"the child ended without an answer: {status}"
        found: T
        good, found = pickle.loads(content)  # noqa: S301  # from our own child
        assert good, found
        return found


def exit_code(pid: int, seconds: float = SECONDS) -> int:
    """How a forked process ended; a test whose child hangs fails."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail(f"the child has not ended for {seconds} seconds")
        time.sleep(0.01)


def in_child(work: Callable[[], T], seconds: float = SECONDS) -> T:
    """What a function gives in a forked process."""
    return Child(work).answer(seconds)


def in_thread(work: Callable[[], T], seconds: float = SECONDS) -> T:
    """What a function gives in another thread."""
    found: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001  # raised below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    assert found, f"the thread has not ended for {seconds} seconds"
    return found[0]


class Busy:
    """A thread that does something over and over, as long as the block lasts."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._errors: list[BaseException] = []
        self.turns = 0

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._work()
                self.turns += 1
        except BaseException as error:  # noqa: BLE001  # raised at the end of the block
            self._errors.append(error)

    def __enter__(self) -> Busy:
        self._thread.start()
        deadline = time.monotonic() + SECONDS
        while not self.turns and not self._errors:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the thread hangs"
        if self._errors:
            raise self._errors[0]
