"""Kernels compiled by helper processes: the same code, and no helper's fault does harm."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.processes import gone

from isoconv.compile.native import interpreter, worker
from isoconv.compile.native.build import emit_object
from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.runtime import HyperSpec, RunSpec
from isoconv.compile.native.specification import Specification
from isoconv.compile.target import Target, host_target
from isoconv.errors import CompileError

COUNT = 40


@dataclass(frozen=True)
class BrokenSpec(Specification):
    """A kernel that LLVM rejects."""

    buffers: int = 1


@emits(BrokenSpec)
def emit_broken(k: Kernel, _: BrokenSpec) -> None:
    """Write what is no instruction."""
    k.builder.write(k.buffers[0].type, "nonsense")


@pytest.fixture
def jobs() -> list[tuple[str, HyperSpec]]:
    """Many small kernels."""
    return [(f"kernel_{i}", HyperSpec(i)) for i in range(COUNT)]


def compiled(jobs: list[tuple[str, Any]], helpers: int | None) -> dict[int, bytes]:
    """What `compile_all` delivers, and the threads in which it did."""
    found, threads = {}, set()

    def done(number: int, code: bytes) -> None:
        assert number not in found
        found[number] = code
        threads.add(threading.current_thread())

    worker.compile_all(jobs, host_target(), done, helpers)
    assert threads == {threading.current_thread()}
    return found


def whole(jobs: list[tuple[str, Any]]) -> dict[int, bytes]:
    """The same, compiled one after the other in this process."""
    return {i: emit_object(spec, host_target(), name) for i, (name, spec) in enumerate(jobs)}


@pytest.fixture
def helpers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is slow to begin, so that the helpers do what they can."""
    real: Callable[..., bytes] = vars(worker)["emit_object"]

    def slow(spec: HyperSpec | BrokenSpec, target: Target, name: str) -> bytes:
        time.sleep(0.4)
        return real(spec, target, name)

    monkeypatch.setattr(worker, "emit_object", slow)


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[Any]]]:
    """The helper processes that a test starts; other tests have none."""
    monkeypatch.setattr(worker, "_MOST", 7)
    started = []
    real = subprocess.Popen

    def start(*arguments: Any, **settings: Any) -> Any:
        process = real(*arguments, **settings)
        started.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    yield started
    for process in started:
        assert process.poll() is not None, "a helper outlived the call"


@pytest.mark.parametrize("number", [0, 1, 3])
def test_same_code(
    jobs: list[tuple[str, HyperSpec]], number: int, helpers: list[subprocess.Popen[Any]]
) -> None:
    """Any number of helpers gives the code that one process gives."""
    assert compiled(jobs, number) == whole(jobs)
    assert len(helpers) == number


@pytest.mark.slow
def test_helpers_help(
    jobs: list[tuple[str, HyperSpec]], helpers: list[subprocess.Popen[Any]], helpers_alone: None
) -> None:
    """While this process is busy with one kernel, a helper compiles the others."""
    begin = time.monotonic()
    assert compiled(jobs, 1) == whole(jobs)
    assert time.monotonic() - begin < 0.4 * COUNT * 3 / 4


def test_few_kernels_start_no_helper(helpers: list[subprocess.Popen[Any]]) -> None:
    """A helper is not worth its start for a few kernels."""
    jobs = [(f"kernel_{i}", HyperSpec(i)) for i in range(3)]
    assert compiled(jobs, None) == whole(jobs)
    assert helpers == []


@pytest.mark.slow
def test_many_kernels_start_as_many_as_cores(
    jobs: list[tuple[str, HyperSpec]],
    helpers: list[subprocess.Popen[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is a helper for each further core, up to one for sixteen kernels."""
    monkeypatch.setattr(worker, "cores", lambda: 64)
    compiled(jobs, None)
    assert len(helpers) == COUNT // 16
    helpers.clear()
    monkeypatch.setattr(worker, "cores", lambda: 1)
    compiled(jobs, None)
    assert helpers == []


@pytest.mark.slow
def test_helpers_started_before(
    jobs: list[tuple[str, HyperSpec]], helpers: list[subprocess.Popen[Any]], helpers_alone: None
) -> None:
    """Helpers that start before it is known what to compile, or how much."""
    pool = worker.WorkerPool(host_target())
    pool.grow(1)
    assert len(helpers) == 1
    found: dict[int, bytes] = {}
    worker.compile_all(jobs, host_target(), found.__setitem__, 2, pool)
    assert found == whole(jobs)
    assert len(helpers) == 2


def test_helpers_without_work(helpers: list[subprocess.Popen[Any]]) -> None:
    """Helpers for which there is nothing to do end all the same."""
    with worker.WorkerPool(host_target()) as pool:
        pool.grow(2)
        worker.compile_all([], host_target(), lambda *_: None, pool=pool)
    with worker.WorkerPool(host_target()) as pool:
        pool.grow(1)
    assert len(helpers) == 3


def test_helpers_before_planning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helpers: list[subprocess.Popen[Any]]
) -> None:
    """A library starts helpers early if nothing that was compiled before can be of use."""
    monkeypatch.setattr(worker, "cores", lambda: 3)
    cache = KernelCache(tmp_path / "kernels")
    for expected, kernels in ((0, 15), (1, 16), (2, 999)):
        with KernelLibrary(host_target(), cache).worker_pool(kernels) as pool:
            assert len(pool) == expected
    used = KernelLibrary(host_target(), cache)
    used.addresses([RunSpec()])
    for library in (used, KernelLibrary(host_target(), cache)):
        with library.worker_pool(999) as pool:
            assert len(pool) == 0
    with KernelLibrary(host_target(), None).worker_pool(999) as pool:
        assert len(pool) == 2
    assert len(helpers) == 5


@pytest.mark.slow
def test_a_killed_helper(
    jobs: list[tuple[str, HyperSpec]], helpers: list[subprocess.Popen[Any]], helpers_alone: None
) -> None:
    """What a killed helper had at hand is compiled here."""
    told = []

    def done(number: int, code: bytes) -> None:
        told.append(number)
        for process in helpers:
            process.kill()

    worker.compile_all(jobs[:8], host_target(), done, 2)
    assert sorted(told) == list(range(8))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_helper_that_stands_still(
    jobs: list[tuple[str, HyperSpec]],
    helpers: list[subprocess.Popen[Any]],
    helpers_alone: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stopped helper is not waited for."""
    monkeypatch.setattr(worker, "_PATIENCE", 0.2)
    told = []

    def done(number: int, code: bytes) -> None:
        told.append(number)
        for process in helpers:
            process.send_signal(signal.SIGSTOP)

    worker.compile_all(jobs[:8], host_target(), done, 1)
    assert sorted(told) == list(range(8))


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(1)",
        "print('x' * 1000)",
        "import sys, os; os.close(0)",
        "import struct, sys; sys.stdout.buffer.write(struct.pack('<qq', -1, 3) + b'abc')",
        "no python at all",
    ],
)
def test_a_helper_that_answers_nonsense(
    jobs: list[tuple[str, HyperSpec]],
    helpers: list[subprocess.Popen[Any]],
    monkeypatch: pytest.MonkeyPatch,
    program: str,
) -> None:
    """A helper that ends, writes anything else or is of another version is left out."""
    monkeypatch.setattr(interpreter, "_PROGRAM", program)
    assert compiled(jobs[:4], 2) == whole(jobs[:4])


@pytest.mark.parametrize("executable", [None, "", "/nowhere/python3", "/bin/some-application"])
def test_no_interpreter(
    jobs: list[tuple[str, HyperSpec]], monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    """Where there is no Python to start, all is compiled here."""
    monkeypatch.setattr(sys, "executable", executable)
    assert compiled(jobs[:4], 1) == whole(jobs[:4])


def test_a_frozen_program(
    jobs: list[tuple[str, HyperSpec]],
    helpers: list[subprocess.Popen[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program with Python inside is not started a second time."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert compiled(jobs[:4], 1) == whole(jobs[:4])
    assert helpers == []


def test_a_rejected_kernel(
    jobs: list[tuple[str, HyperSpec]], helpers: list[subprocess.Popen[Any]], helpers_alone: None
) -> None:
    """A kernel that LLVM rejects is an error here, whoever met it, and no helper stays."""
    with pytest.raises(CompileError, match="faulty"):
        compiled([*jobs[:6], ("faulty", BrokenSpec())], 1)


def test_an_error_in_between(
    jobs: list[tuple[str, HyperSpec]], helpers: list[subprocess.Popen[Any]]
) -> None:
    """An exception from the caller's side ends the helpers."""

    def interrupted(number: int, code: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.compile_all(jobs, host_target(), interrupted, 2)


def test_a_spec_that_cannot_be_sent(helpers: list[subprocess.Popen[Any]]) -> None:
    """A specification that pickle refuses is compiled here."""

    @dataclass(frozen=True)
    class LocalSpec(Specification):
        buffers: int = 1

    @emits(LocalSpec)
    def emit_local(k: Kernel, _: LocalSpec) -> None:
        k.store(k.const(1), k.buffers[0])

    jobs = [(f"kernel_{i}", LocalSpec()) for i in range(6)]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(jobs)
    assert compiled(jobs, 1) == whole(jobs)


def test_library_with_helpers(
    jobs: list[tuple[str, HyperSpec]],
    monkeypatch: pytest.MonkeyPatch,
    helpers: list[subprocess.Popen[Any]],
) -> None:
    """A library counts and reports kernels from helpers like its own."""
    monkeypatch.setattr(worker, "cores", lambda: 3)
    told = []
    library = KernelLibrary(host_target(), None)
    addresses = library.addresses(
        [spec for _, spec in jobs], lambda ready, total: told.append((ready, total))
    )
    assert library.compiled == len(set(addresses.values())) == COUNT
    assert told == [(i + 1, COUNT) for i in range(COUNT)]
    assert len(helpers) == 2


@pytest.mark.slow
def test_script_without_main_guard(tmp_path: Path) -> None:
    """A user's script needs no ``if __name__ == "__main__"``: helpers do not run it."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        print("once")
        from isoconv.compile.native import worker
        from isoconv.compile.native.runtime import HyperSpec
        from isoconv.compile.target import host_target
        jobs = [(f"kernel_{i}", HyperSpec(i)) for i in range(40)]
        found = []
        worker.compile_all(jobs, host_target(), lambda number, code: found.append(number), 2)
        print(len(found))
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["once", "40"]
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_helpers_end_with_their_parent(tmp_path: Path) -> None:
    """When the process that started them is killed, helpers end too."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import subprocess, time
        from isoconv.compile.native import worker
        from isoconv.compile.native.runtime import HyperSpec
        from isoconv.compile.target import host_target
        started, real = [], subprocess.Popen
        def start(*arguments, **settings):
            started.append(real(*arguments, **settings))
            return started[-1]
        subprocess.Popen = start
        def done(number, code):
            print(started[0].pid, flush=True)
            time.sleep(600)
        jobs = [(f"kernel_{i}", HyperSpec(i)) for i in range(40)]
        worker.compile_all(jobs, host_target(), done, 1)
        """)
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(script)], env=place, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        helper = int(parent.stdout.readline())
        parent.kill()
    assert gone(helper)
