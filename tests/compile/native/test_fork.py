"""Forks beside threads that compile: what the child finds, and what the parent keeps."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
import pytest
from tests.forks import SECONDS, Busy, Child, exit_code, in_child, in_thread, needs_fork

from isoconv.compile.native import fork, worker
from isoconv.compile.native.build import emit_object
from isoconv.compile.native.collector import collector_paused
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.runtime import HyperSpec
from isoconv.compile.target import Target, host_target

pytestmark = needs_fork

TARGET = host_target()


class Noted:
    """Notes that it was renewed, and where."""

    def __init__(self, notes: list[Any], name: str) -> None:
        self.notes, self.name = notes, name

    def renew(self) -> None:
        """In a child."""
        self.notes.append((self.name, os.getpid()))


def test_things_are_renewed_in_the_child_alone() -> None:
    """In the order in which they asked for it, each time anew in a child's child; never here."""
    notes: list[Any] = []
    things = [Noted(notes, name) for name in "abc"]
    for thing in things:
        fork.renew_in_child(thing, Noted.renew)

    def work() -> tuple[int, list[tuple[str, int]], tuple[int, list[tuple[str, int]]]]:
        below = in_child(lambda: (os.getpid(), notes[3:]))
        return os.getpid(), list(notes), below

    child, found, (grandchild, further) = in_child(work)
    assert found == [(name, child) for name in "abc"]
    assert further == [(name, grandchild) for name in "abc"]
    assert notes == []


def test_what_is_gone_is_not_renewed() -> None:
    """To ask for renewal keeps nothing alive, and leaves nothing behind."""
    notes: list[Any] = []
    # What other tests left behind must not go in between.
    gc.collect()
    before = len(fork._RENEWALS)
    thing = Noted(notes, "gone")
    fork.renew_in_child(thing, Noted.renew)
    assert len(fork._RENEWALS) == before + 1
    del thing
    gc.collect()
    assert len(fork._RENEWALS) == before
    assert in_child(lambda: list(notes)) == []


def is_free() -> bool:
    """Whether another thread of this process may do what must not be cut."""

    def take() -> bool:
        taken = fork.undivided.acquire(timeout=SECONDS)
        fork.undivided.release()
        return taken

    return in_thread(take)


def test_a_fork_waits_for_what_must_not_be_cut() -> None:
    """What another thread does undivided is done when the child begins; the lock is free there."""
    done, begun = [], threading.Event()

    def work() -> None:
        with fork.undivided:
            begun.set()
            time.sleep(0.2)
            done.append("whole")

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()

    assert in_child(lambda: (list(done), is_free())) == (["whole"], True)
    thread.join()
    assert is_free()


def test_a_fork_inside() -> None:
    """The thread that forks may be the one that must not be cut: it goes on in both processes."""
    with fork.undivided:
        child = Child(lambda: 7)
    assert child.answer() == 7
    assert is_free()


def code(number: int) -> bytes:
    """A kernel compiled."""
    return emit_object(HyperSpec(number), TARGET, "kernel")


@pytest.mark.slow
def test_compiling_in_children_of_a_process_that_compiles() -> None:
    """LLVM is found between two pieces of work, whatever threads of the parent did with it."""
    expected = code(5)
    module = 'target triple = "x86_64"\ndefine void @f() { ret void }'
    with Busy(lambda: code(3)) as compiling, Busy(lambda: llvm.parse_assembly(module).close()):
        for _ in range(20):
            before = compiling.turns
            assert in_child(lambda: code(5)) == expected
            deadline = time.monotonic() + SECONDS
            while compiling.turns == before:
                assert time.monotonic() < deadline
                time.sleep(0.001)


def test_the_lock_of_llvm_is_known() -> None:
    """The lock of llvmlite is where it is looked for: a fork waits for a thread that holds it."""
    held, released = threading.Event(), []

    def work() -> None:
        with llvm.ffi.lib._lock:
            held.set()
            time.sleep(0.2)
            released.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    held.wait()
    assert in_child(lambda: (list(released), len(code(4)) > 0)) == ([True], True)
    thread.join()


def test_kernels_while_another_thread_waits_for_kernels() -> None:
    """A library that was busy at the fork gives the child its kernels, old ones and new ones."""
    library = KernelLibrary(TARGET, None)
    library.addresses([HyperSpec(1)])
    reached, go_on = threading.Event(), threading.Event()

    def progress(ready: int, total: int) -> None:
        reached.set()
        go_on.wait()

    thread = threading.Thread(target=library.addresses, args=([HyperSpec(3)], progress))
    thread.start()
    reached.wait()
    specs = [HyperSpec(number) for number in range(1, 5)]
    try:
        assert len(in_child(lambda: set(library.addresses(specs).values()))) == 4
    finally:
        go_on.set()
        thread.join()
    assert len(set(library.addresses(specs).values())) == 4


def test_a_fork_while_kernels_are_reported() -> None:
    """A progress function may fork: parent and child both get all kernels."""
    library = KernelLibrary(TARGET, None)
    specs = [HyperSpec(number) for number in range(1, 5)]
    children = []

    def progress(ready: int, total: int) -> None:
        if ready == 2:
            children.append(Child(lambda: len(set(library.addresses(specs).values()))))

    assert len(set(library.addresses(specs, progress).values())) == 4
    assert [child.answer() for child in children] == [4]


def test_the_collector_is_not_held_back_in_a_child() -> None:
    """A thread that paused it does not come to turn it on again; one that forks itself does."""
    reached, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        with collector_paused():
            reached.set()
            go_on.wait()

    thread = threading.Thread(target=pause)
    thread.start()
    reached.wait()
    try:
        assert not gc.isenabled()
        assert in_child(gc.isenabled)
    finally:
        go_on.set()
        thread.join()
    assert gc.isenabled()

    def inside() -> bool:
        return gc.isenabled()

    with collector_paused():
        assert not in_child(inside)
    assert gc.isenabled()


# Helpers ------------------------------------------------------------------------------------------


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[Any]]]:
    """The helper processes that this process starts; none outlives the test."""
    started = []
    real = subprocess.Popen

    def start(*arguments: Any, **settings: Any) -> Any:
        started.append(real(*arguments, **settings))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    yield started
    for process in started:
        assert process.poll() is not None


@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "gives up"])
def test_a_child_leaves_its_parents_helpers_alone(
    helpers: list[subprocess.Popen[Any]], monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    """Whether it ends the compilation that it came from or leaves it; the parent's helpers help."""
    jobs = [(f"kernel_{i}", HyperSpec(i)) for i in range(24)]
    expected = {i: emit_object(spec, TARGET, name) for i, (name, spec) in enumerate(jobs)}
    found: dict[int, bytes] = {}
    forked: list[int] = []
    own: list[str] = []

    def slow(spec: HyperSpec, target: Target, name: str) -> bytes:
        own.append(name)
        if forked != [0]:
            time.sleep(0.3)
        return emit_object(spec, target, name)

    monkeypatch.setattr(worker, "emit_object", slow)

    class LeavingError(Exception):
        pass

    def done(number: int, content: bytes) -> None:
        found[number] = content
        if len(found) == 4 and not forked:
            # The child, where this is 0, goes its way through the frames of this test.
            forked.append(os.fork())
        if forked == [0] and not goes_on:
            raise LeavingError

    try:
        with contextlib.suppress(LeavingError):
            worker.compile_all(jobs, TARGET, done, 2)
        good = found == expected or (forked == [0] and not goes_on)
    except BaseException:  # noqa: BLE001  # told by how the child ends
        good = False
    if forked == [0]:
        os._exit(0 if good else 1)
    assert good
    assert len(own) < len(jobs) - 4, "nothing came from helpers after the fork"
    assert exit_code(forked[0]) == 0


def test_a_child_holds_no_pipe_of_a_helper(helpers: list[subprocess.Popen[Any]]) -> None:
    """A helper ends with its parent, however long a child lives that was forked meanwhile."""
    pool = worker.WorkerPool(TARGET)
    pool.grow(1)
    helper = helpers[0]
    assert helper.stdin is not None
    assert helper.stdout is not None
    pipes = [helper.stdin.fileno(), helper.stdout.fileno()]

    def look() -> tuple[list[int], int]:
        closed = []
        for pipe in pipes:
            try:
                os.fstat(pipe)
            except OSError:
                closed.append(pipe)
        with pool:
            pass
        return closed, len(pool)

    with pool:
        assert in_child(look) == (pipes, 0)
        assert len(pool) == 1
        assert helpers[0].poll() is None


@pytest.mark.slow
def test_children_while_threads_start_helpers(helpers: list[subprocess.Popen[Any]]) -> None:
    """A fork beside the start of a helper neither hangs nor keeps what starts it waiting."""

    def compile_some() -> None:
        jobs = [(f"kernel_{i}", HyperSpec(i)) for i in range(4)]
        worker.compile_all(jobs, TARGET, lambda *_: None, 1)

    with Busy(compile_some) as busy:
        children = [Child(lambda: time.sleep(1.5)) for _ in range(10)]
        before = busy.turns
        deadline = time.monotonic() + SECONDS
        while busy.turns < before + 3:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        for child in children:
            child.answer()
