"""What holds for all tests: passes are checked, Ctrl-C is heard, pictures are cached apart.

Kernels are compiled quickly where no test is about them. Tests of pages find their browser here,
and what was left out for want of one is said at the end.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import llvmlite.binding as llvm
import pytest
import tests.random_cases  # noqa: F401  # profiles, one of which may be asked for
from tests.browser import browser, kept, new_page, page
from tests.left_out import left_out

from isoconv.compile.native import build, jit, kernels, worker
from isoconv.compile.target import Target
from isoconv.cores import cores
from isoconv.data import cache
from isoconv.graph.passes import check_passes

__all__ = ["browser", "kept", "new_page", "page"]

TESTS = Path(__file__).parent
QUICKLY_COMPILED = {
    "", "batch", "cluster", "explain", "graph", "nn", "report", "run", "serve", "train", "wrong",
}  # fmt: skip
"""Rooms whose tests compile many kernels and run each for a moment; `shipped` ones are left out."""


MEMORY = Path("/dev/shm")  # noqa: S108  # pytest makes a folder of its own in it
ROOM = 4 << 30
"""What all tests together may write to it."""


def _nothing(fd: object) -> None:
    pass


def _in_memory() -> bool:
    """Whether there is a place in memory for the files of tests: on a disk each change waits."""
    if not hasattr(os, "statvfs") or not os.access(MEMORY, os.W_OK):
        return False
    place = os.statvfs(MEMORY)
    return place.f_bavail * place.f_frsize > ROOM and not place.f_flag & os.ST_NOEXEC


def pytest_configure() -> None:
    """Before any test is collected, as some graphs are made then."""
    check_passes(True)
    # Loss of power is what no test makes, and each file would wait for the disk.
    os.fsync = _nothing
    if _in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    # All cores have tests to run: processes that help to compile would cost their start alone.
    worker._MOST = 0
    # What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Under nohup, likewise, what closes a terminal; what is caught here is heard where it starts.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN:
        signal.signal(hangup, lambda *_: None)


@functools.cache
def quick_compiler(target: Target) -> tuple[llvm.TargetMachine, llvm.PassBuilder]:
    """What compiles without a look at speed, in a fifth of the time and to the same bits."""
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=0, reloc="pic", codemodel="small"
    )
    return machine, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options())


@pytest.fixture(autouse=True, scope="module")
def quick_kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """Most of a test's time is LLVM's; processes that tests start compile as everybody's do."""
    with pytest.MonkeyPatch.context() as patch:
        room, *_ = (*request.path.relative_to(TESTS).parent.parts, "")
        if room in QUICKLY_COMPILED and request.node.get_closest_marker("shipped") is None:
            patch.setattr(jit, "_compiler", quick_compiler)
            # Under keys of their own, so that no other test comes to use them.
            patch.setattr(kernels, "toolchain", lambda: f"{build.toolchain()}, quick")
        yield


@pytest.fixture(autouse=True, scope="module")
def own_pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of decoded pictures of all tests; processes that they start have the user's own."""
    folder = tmp_path_factory.getbasetemp() / "cache-of-pictures"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "default_folder", lambda: folder)
        yield folder


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: nothing looks for cycles in it, then or meanwhile."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests of clusters and of signals wait most of the time."""
    return cores() + 1


def pytest_make_parametrize_id(val: object) -> str | None:
    """Targets are called by their names; everything else as pytest does."""
    return val.name if isinstance(val, Target) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lines that say which tests had no browser or no networks of their own, and why."""
    for line in left_out(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)
