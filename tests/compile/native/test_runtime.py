"""The native loop, barriers, and the small kernels of a training step."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from tests.compile.environment import (
    DEFAULT,
    FLUSH,
    LIBRARY,
    UPWARD,
    address,
    control,
    needs_x86,
    pointer,
)
from tests.compile.harness import run_kernel

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.records import BARRIER, CONTROL
from isoconv.compile.native.runtime import AdvanceSpec, BarrierSpec, HyperSpec, MetricsSpec
from isoconv.compile.native.specification import Specification
from isoconv.compile.native.waiting import SPINS
from isoconv.compile.target import host_target
from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array
from isoconv.run.script import Context, ScriptBuilder
from isoconv.run.team import Team, default_threads, library_for


@dataclass(frozen=True, slots=True)
class AppendSpec(Specification):
    """Appends its context's first image to a list that starts with its length."""

    buffers: int = 1


@emits(AppendSpec)
def emit_append(k: Kernel, _: AppendSpec) -> None:
    """Append."""
    (items,) = k.buffers
    count = k.add(k.load_scalar(items, "int64"), 1)
    k.store(count, items)
    k.store(k.field("first"), k.at(items, count, "int64"))


@dataclass(frozen=True, slots=True)
class ProductSpec(Specification):
    """Multiplies two numbers: args are (x, y, result)."""

    buffers: int = 3


@emits(ProductSpec)
def emit_product(k: Kernel, _: ProductSpec) -> None:
    """Multiply."""
    x, y = (k.load_scalar(b, "float32") for b in k.buffers[:2])
    k.store(k.builder.fmul(x, y), k.buffers[2])


# Scripts ----------------------------------------------------------------------------------------


def test_a_script_runs_in_order_and_in_turns() -> None:
    """Instructions one after the other, all again each turn; contexts move on."""
    items = np.zeros(20, np.int64)
    first, second = Context(first=1, stride=10), Context(first=2)
    script = ScriptBuilder()
    for context in (first, second, first):
        script.add(address(AppendSpec()), [pointer(items)], context)
    script.add(address(AdvanceSpec()), [], first)
    finished = script.build()
    assert len(finished) == 4
    with Team(1, LIBRARY) as team:
        team.run([finished], 3)
    assert list(items[1 : items[0] + 1]) == [1, 2, 1, 11, 2, 11, 21, 2, 21]


@pytest.mark.parametrize("turns", [0, 1])
def test_an_empty_script(turns: int) -> None:
    """No instruction, or no turn, is no work."""
    items = np.zeros(3, np.int64)
    script = ScriptBuilder()
    if not turns:
        script.add(address(AppendSpec()), [pointer(items)], Context())
    with Team(1, LIBRARY) as team:
        team.run([script.build()], turns)
    assert not items.any()


def test_a_check_ends_the_run() -> None:
    """With the flag raised, the script ends at the next instruction that looks at it."""
    items = np.zeros(20, np.int64)
    control = CONTROL.zeros(1)
    control["turns"], control["stop"] = 5, 1
    script = ScriptBuilder()
    context = Context(first=4)
    script.add(address(AppendSpec()), [pointer(items)], context)
    script.add(address(AppendSpec()), [pointer(items)], context, check=True)
    script.add(address(AppendSpec()), [pointer(items)], context)
    with Team(1, LIBRARY) as team:
        team.run([script.build()], 0, control=pointer(control))
        assert items[0] == 2
        control["stop"] = 0
        team.run([script.build()], 0, control=pointer(control))
    assert items[0] == 2 + 5 * 3


@pytest.mark.parametrize("spins", [0, 3, SPINS])
@pytest.mark.parametrize("threads", [2, 3, 5, 16])
def test_barriers(threads: int, spins: int) -> None:
    """No thread begins a turn before all have ended the one before, awake or asleep."""
    turns = 200
    state = BARRIER.zeros(1)
    state["threads"], state["allowed"] = threads, spins
    lists = np.zeros((threads, turns + 2), np.int64)
    seen = np.zeros((threads, threads, turns + 2), np.int64)
    scripts = []
    contexts = [Context(stride=1) for _ in range(threads)]
    for t in range(threads):
        script = ScriptBuilder()
        script.add(address(AppendSpec()), [pointer(lists[t])], contexts[t])
        script.add(address(AdvanceSpec()), [], contexts[t])
        script.add(address(BarrierSpec()), [pointer(state)])
        for other in range(threads):
            script.add(address(CopyLengthSpec()), [pointer(lists[other]), pointer(seen[t, other])])
        script.add(address(BarrierSpec()), [pointer(state)])
        scripts.append(script.build())
    with Team(threads, LIBRARY) as team:
        team.run(scripts, turns)
    expected = np.arange(1, turns + 1)
    for t in range(threads):
        for other in range(threads):
            np.testing.assert_array_equal(seen[t, other, 1 : turns + 1], expected)


@dataclass(frozen=True, slots=True)
class CopyLengthSpec(Specification):
    """Appends the first element of one list to another list: args are (seen, items)."""

    buffers: int = 2


@emits(CopyLengthSpec)
def emit_copylength(k: Kernel, _: CopyLengthSpec) -> None:
    """Append."""
    source, items = k.buffers
    count = k.add(k.load_scalar(items, "int64"), 1)
    k.store(count, items)
    k.store(k.load_scalar(source, "int64"), k.at(items, count, "int64"))


# Small kernels ----------------------------------------------------------------------------------


def test_hyper() -> None:
    """Each call copies the next row of the table."""
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    counter, scalars = np.array([1], np.int64), np.zeros(4, np.float32)
    for row in (1, 2, 3):
        run_kernel(HyperSpec(3), [table, counter, scalars])
        np.testing.assert_array_equal(scalars, [*table[row], 0])
    assert counter[0] == 4


@pytest.mark.parametrize("loss", [1.5, -0.0, 1e-42, np.inf, -np.inf, np.nan])
def test_metrics(loss: float) -> None:
    """Metrics become a row of the table; a loss that is not finite raises the flag."""
    sums = np.array([9, loss, 9, np.nan, 4], np.float32)
    table, counter, flags = np.zeros((3, 2), np.float32), np.ones(1, int), np.zeros(2, int)
    run_kernel(MetricsSpec((1, 4)), [sums, table, counter, flags])
    np.testing.assert_array_equal(table, np.array([[0, 0], [loss, 4], [0, 0]], np.float32))
    assert counter[0] == 2
    assert flags[1] == (not np.isfinite(loss))


def test_advance() -> None:
    """Only the first image moves, by the stride."""
    context = Context(images=3, first=5, stride=7)
    values = np.ctypeslib.as_array((ctypes.c_int64 * 8).from_address(context.address))
    before = values.copy()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address(AdvanceSpec()))
    function(None, context.address)
    np.testing.assert_array_equal(values - before, [0, 0, 0, 7, 0, 0, 0, 0])


# The floating-point environment -----------------------------------------------------------------


@pytest.fixture
def environment() -> Iterator[Callable[[int], int]]:
    """Sets the register for a test and puts it back."""
    yield control
    control(DEFAULT)


# Made before any flushing, which would reach NumPy's conversions.
TINY = np.array([2**-100, 2**-149], np.float32), np.array([2**-40, 2**20], np.float32)
TINY_PRODUCTS = np.array([2**-140, 2**-129], np.float32)


def tiny_product(team: Team, threads: int) -> Array:
    """A product that is subnormal, and one of a subnormal number, computed by each thread."""
    x, y = TINY
    results = np.full((threads, 2), 7, np.float32)
    scripts = []
    for t in range(threads):
        script = ScriptBuilder()
        for i in range(2):
            script.add(
                address(ProductSpec()), [pointer(x[i:]), pointer(y[i:]), pointer(results[t, i:])]
            )
        scripts.append(script.build())
    team.run(scripts, 1)
    return results


@needs_x86
@pytest.mark.parametrize("state", [DEFAULT | FLUSH, DEFAULT | UPWARD, DEFAULT | FLUSH | UPWARD])
def test_the_environment_is_set_and_put_back(environment: Callable[[int], int], state: int) -> None:
    """Flush-to-zero and rounding of the caller neither reach a kernel nor are lost to it."""
    with Team(2, LIBRARY) as before:
        tiny_product(before, 2)
        environment(state)
        with Team(2, LIBRARY) as after:
            for team in (before, after):
                found = tiny_product(team, 2)
                assert found.tobytes() == 2 * TINY_PRODUCTS.tobytes()
        assert control() == state


@needs_x86
def test_flushing_would_show(environment: Callable[[int], int]) -> None:
    """Without the loop's care the product is flushed: the test above can fail."""
    results = np.ones(1, np.float32)
    pointers = (ctypes.c_void_p * 3)(*map(pointer, (*TINY, results)))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address(ProductSpec()))
    environment(DEFAULT | FLUSH)
    function(ctypes.addressof(pointers), None)
    environment(DEFAULT)
    assert results[0] == 0


# Teams ------------------------------------------------------------------------------------------


def test_fewer_scripts_than_threads() -> None:
    """The last threads stay idle."""
    items = np.zeros((3, 8), np.int64)
    with Team(3, LIBRARY) as team:
        for count in (1, 2, 3):
            scripts = []
            for t in range(count):
                script = ScriptBuilder()
                script.add(address(AppendSpec()), [pointer(items[t])], Context(first=t))
                scripts.append(script.build())
            team.run(scripts, [2 if t else 1 for t in range(count)])
    assert list(items[:, 0]) == [3, 4, 2]


def test_threads_end() -> None:
    """Threads begin with a team's first run, closing it ends them; closing twice does no harm."""
    before = threading.active_count()
    team = Team(4, LIBRARY)
    assert threading.active_count() == before
    team.run([ScriptBuilder().build()] * 4, 1)
    assert threading.active_count() == before + 3
    team.close()
    assert threading.active_count() == before
    team.close()


@dataclass(frozen=True, slots=True)
class CountSpec(Specification):
    """Counts its calls."""

    buffers: int = 1


@emits(CountSpec)
def emit_count(k: Kernel, _: CountSpec) -> None:
    """Count."""
    k.store(k.add(k.load_scalar(k.buffers[0], "int64"), 1), k.buffers[0])


def test_an_interrupt_waits_for_all_threads() -> None:
    """Ctrl-C comes through when every thread has ended its run, and the next run is sound."""
    counts = np.zeros((2, 8), np.int64)
    scripts = []
    for t in range(2):
        script = ScriptBuilder()
        script.add(address(CountSpec()), [pointer(counts[t])])
        scripts.append(script.build())
    turns = 20_000_000
    with Team(2, LIBRARY) as team:

        def interrupt() -> None:
            while not counts[1, 0]:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        key = threading.Thread(target=interrupt)

        def run() -> None:
            key.start()
            team.run(scripts, [1, turns])
            key.join()

        with pytest.raises(KeyboardInterrupt):
            run()
        assert list(counts[:, 0]) == [1, turns]
        team.run(scripts, [1, turns])
        assert list(counts[:, 0]) == [2, 2 * turns]


@pytest.mark.parametrize("before", [True, False], ids=["unused", "used"])
@pytest.mark.parametrize(("threads", "asked"), [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)])
def test_a_closed_team_refuses(threads: int, asked: int, before: bool) -> None:
    """Without its threads a team would wait for ever; it says so instead, and nothing runs."""
    counts = np.zeros((threads, 8), np.int64)
    scripts = []
    for count in counts:
        script = ScriptBuilder()
        script.add(address(CountSpec()), [pointer(count)])
        scripts.append(script.build())
    team = Team(threads, LIBRARY)
    if before:
        team.run(scripts, 1)
    done = counts.copy()
    team.close()
    errors = []

    def run() -> None:
        for _ in range(2):
            try:
                team.run(scripts[:asked], 1)
            except ArgumentError as error:
                errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert errors == ["the threads of this team have ended; make a new one"] * 2
    assert counts.tolist() == done.tolist()


def test_threads_that_ended_are_not_woken() -> None:
    """Whoever asks a team while another thread closes it gets an error, too."""
    team = Team(2, LIBRARY)
    team.run([ScriptBuilder().build()] * 2, 1)
    team._others.end()
    with pytest.raises(ArgumentError, match="the threads of this team have ended"):
        team._others.wake([1])


def test_a_team_has_a_thread() -> None:
    """No thread cannot run anything."""
    with pytest.raises(ArgumentError, match=r"threads must be .*at least 1 .*; got 0"):
        Team(0, LIBRARY)


def test_one_library_per_target() -> None:
    """A process makes each target's kernels once."""
    assert library_for() is library_for(host_target().name) is library_for(host_target())
    assert library_for(cache=False) is not library_for()
    assert library_for(cache=False).cache is None
    assert default_threads() >= 1
