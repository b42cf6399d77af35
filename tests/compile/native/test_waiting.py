"""How threads wait: awake for as long as is written, then asleep until they are woken."""

from __future__ import annotations

import time
from dataclasses import dataclass

import llvmlite.ir as ir
import numpy as np
import pytest
from llvmlite.ir.instructions import ICMPInstr, LoadAtomicInstr
from tests.compile.harness import run_kernel

from isoconv.compile.native.cpu.waiting import Patience, sleep_while, spin_while
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import I32, Kernel
from isoconv.compile.native.runtime import BarrierSpec
from isoconv.compile.native.specification import Specification
from isoconv.compile.native.waiting import CROWDED, OFFERS, SHORT, SPINS, spins_for
from isoconv.compile.target import host_target
from isoconv.run import team as team_module
from isoconv.run.script import ScriptBuilder
from isoconv.run.team import Team, library_for


@dataclass(frozen=True, slots=True)
class LookSpec(Specification):
    """Waits for a word that nobody changes, and counts: args are (word, patience, looks)."""

    buffers: int = 3


@emits(LookSpec)
def emit_look(k: Kernel, _: LookSpec) -> None:
    """Wait."""
    word, patience, looks = k.buffers
    b = k.builder

    def waits(now: LoadAtomicInstr) -> ICMPInstr:
        k.store(b.add(k.load_scalar(looks, "int32"), ir.Constant(I32, 1)), looks)
        return b.icmp_signed("==", now, ir.Constant(I32, 7))

    spin_while(k, word, waits, Patience(patience, k.at(patience, 1, "int32")))


@dataclass(frozen=True, slots=True)
class SleepSpec(Specification):
    """Sleeps while a word is 7, for some time at most: args are (word)."""

    seconds: float
    buffers: int = 1


@emits(SleepSpec)
def emit_sleep(k: Kernel, spec: SleepSpec) -> None:
    """Sleep."""
    sleep_while(k, k.buffers[0], ir.Constant(I32, 7), spec.seconds)


def looks(allowed: int, late: int, word: int = 7) -> tuple[int, ...]:
    """How often a thread looks before its patience ends, and what it notes for the next times."""
    patience, count = np.array([allowed, late], np.int32), np.zeros(1, np.int32)
    run_kernel(LookSpec(), [np.array([word], np.int32), patience, count])
    return int(count[0]), int(patience[1])


def test_the_rule() -> None:
    """Nobody spins where threads share cores."""
    assert [spins_for(threads, 4) for threads in (1, 3, 4, 5, 64)] == [SPINS] * 3 + [0] * 2
    assert spins_for(1, 1) == SPINS
    assert spins_for(2, 1) == 0


@pytest.mark.parametrize("allowed", [0, 1, 10, 100])
def test_how_long_is_spun(allowed: int) -> None:
    """So many spins, twice as many offers; unless an offered core comes back late."""
    found, late = looks(allowed, 0)
    assert late in (0, CROWDED if allowed else 0)
    if late:
        assert allowed + 1 <= found <= 1 + allowed * (1 + OFFERS)
    else:
        assert found == 1 + allowed * (1 + OFFERS)


@pytest.mark.parametrize("allowed", [0, 7, 8, 100, SPINS])
def test_waits_are_short_on_a_crowded_core(allowed: int) -> None:
    """An eighth of the spins and no offers, for so many times."""
    assert looks(allowed, 3) == (1 + allowed // SHORT, 2)
    assert looks(allowed, 1) == (1 + allowed // SHORT, 0)


def test_who_need_not_wait_does_not() -> None:
    """One look is enough."""
    assert looks(SPINS, 0, word=8) == (1, 0)


@pytest.mark.skipif("linux" not in host_target().triple, reason="elsewhere naps are short")
def test_sleeping_ends_in_time() -> None:
    """After the time that was given, or at once if the word is another one already."""
    start = time.monotonic()
    run_kernel(SleepSpec(0.05), [np.array([7], np.int32)])
    slept = time.monotonic() - start
    run_kernel(SleepSpec(3600.0), [np.array([8], np.int32)])
    assert slept >= 0.05


@pytest.mark.parametrize("cores", [1, 2, 3, 4])
def test_the_rule_is_what_native_code_gets(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every barrier and wake flag, whenever threads are woken on other cores than before."""
    monkeypatch.setattr(team_module, "cores", lambda *_: cores)
    scripts = [ScriptBuilder().build() for _ in range(3)]

    def given(team: Team) -> set[int]:
        places = [*team._barriers["allowed"], *team._flags._flags["allowed"]]
        assert len(places) == 5
        return set(map(int, places))

    with Team(3, library_for()) as team:
        assert given(team) == {spins_for(3, cores)}
        monkeypatch.setattr(team_module, "cores", lambda *_: 5 - cores)
        team.run(scripts, 1)
        assert given(team) == {spins_for(3, 5 - cores)}


@dataclass(frozen=True, slots=True)
class NapSpec(Specification):
    """Sleeps for a second."""

    buffers: int = 0


@emits(NapSpec)
def emit_nap(k: Kernel, _: NapSpec) -> None:
    """Sleep."""
    k.call("usleep", I32, ir.Constant(I32, 1_000_000))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(time, "thread_time"), reason="no clock for each thread")
@pytest.mark.parametrize("cores", [1, 8], ids=["sharing", "alone"])
def test_a_waiting_thread_takes_no_time(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a second that the others need, it spends a small part awake."""
    monkeypatch.setattr(team_module, "cores", lambda *_: cores)
    library = library_for()
    found = library.addresses([NapSpec(), BarrierSpec()])
    with Team(2, library) as team:
        scripts = []
        lists: list[list[Specification]] = [[BarrierSpec()], [NapSpec(), BarrierSpec()]]
        for kernels in lists:
            script = ScriptBuilder()
            for spec in kernels:
                script.add(found[spec], [team.barrier])
            scripts.append(script.build())
        before, start = time.thread_time(), time.monotonic()
        team.run(scripts, 1)
        assert time.monotonic() - start >= 1
        assert time.thread_time() - before < 0.3
