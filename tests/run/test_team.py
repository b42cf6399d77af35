"""Threads that run scripts: one at a time, and never left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from tests.run.counting import Counting, fall_asleep

from isoconv import nn
from isoconv.compile.native.runtime import ASLEEP
from isoconv.errors import ArgumentError
from isoconv.run import team
from isoconv.run.affinity import WakeAffinity
from isoconv.run.script import ScriptBuilder
from isoconv.run.team import Team, library_for, team_size
from isoconv.train import Trainer


def test_threads_must_be_at_least_one() -> None:
    """No thread, no work."""
    with pytest.raises(
        ArgumentError, match=r"threads must be a whole number of at least 1 .*; got 0"
    ):
        Team(0, library_for())


def test_no_more_threads_than_four_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for beyond that is not started, and a training says so."""
    monkeypatch.setattr(team, "cores", lambda *_: 2)
    assert [team_size(threads) for threads in (None, 1, 3, 8, 9, 1000)] == [2, 1, 3, 8, 8, 8]
    images, labels = np.arange(128, dtype=np.uint8).reshape(8, 4, 4, 1), [0, 1] * 4
    notes = [
        Trainer(nn.Sequential(nn.Flatten(), nn.Linear(2)), threads=threads, progress=False)
        .fit((images, labels), epochs=1)
        .notes
        for threads in (3, 9)
    ]
    assert [any("8 threads are started for the 9" in note for note in said) for said in notes] == [
        False,
        True,
    ]


def test_interrupt_waits_for_woken_threads() -> None:
    """Ctrl-C while threads are woken is raised after they have met; the team goes on working."""
    with Team(2, library_for()) as team:
        scripts = [ScriptBuilder().build() for _ in range(2)]
        work = team._run

        def run(orders: int, context: None) -> None:
            signal.raise_signal(signal.SIGINT)
            work(orders, context)

        team._run = run
        with pytest.raises(KeyboardInterrupt):
            team.run(scripts, 1)
        team._run = work
        team.run(scripts, 1)
        assert team._barriers[0].tolist()[:3] == (0, 4, 2)


@pytest.mark.parametrize("asleep", [True, False], ids=["asleep", "awake"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_interrupt_beside_the_start(asleep: bool, before: bool) -> None:
    """Ctrl-C right before the flags are raised, or right after, leaves no thread behind."""
    with Team(3, library_for()) as team:
        counting = Counting(team)
        go = team._flags._go

        def interrupted(going: int, context: None) -> None:
            if before:
                signal.raise_signal(signal.SIGINT)
            go(going, context)
            signal.raise_signal(signal.SIGINT)

        if asleep:
            fall_asleep(team)
        else:
            counting.run(3, 1)
        team._flags._go = interrupted
        started = counting.counters[:, 0].copy()
        with pytest.raises(KeyboardInterrupt):
            counting.run(3, 2)
        done = 0 if before else 2
        assert (counting.counters[:, 0] - started).tolist() == [done] * 3
        team._flags._go = go
        assert counting.run(3, 1) == [1, 1, 1]


def test_every_run_is_done_once() -> None:
    """By all threads asked, whether they still wait for work, fall asleep just then, or sleep."""
    random = np.random.RandomState(0)
    with Team(3, library_for()) as team:
        counting = Counting(team)
        for _ in range(400):
            threads, turns = random.randint(1, 4), random.randint(0, 3)
            assert counting.run(threads, turns) == [turns] * threads + [0] * (3 - threads)
            # Up to the time after which threads go to sleep, and now and then far beyond.
            time.sleep(random.choice([0, 2e-4, 1e-3, 2e-3, 5e-3], p=[0.5, 0.2, 0.15, 0.1, 0.05]))


def test_threads_go_to_sleep() -> None:
    """A while after a run no thread but the caller's takes any time, and the next run finds all."""
    with Team(3, library_for()) as team:
        counting = Counting(team)
        counting.run(3, 1)
        fall_asleep(team)
        before = time.process_time()
        time.sleep(0.2)
        assert time.process_time() - before < 0.1
        assert counting.run(3, 2) == [2, 2, 2]


def test_where_the_core_is_crowded_nobody_waits() -> None:
    """A thread whose core was taken from it sleeps at once after its next runs, and works on."""
    with Team(3, library_for()) as team:
        counting = Counting(team)
        flags = team._flags._flags
        flags["late"][1:] = 5
        for left in range(4, -1, -1):
            assert counting.run(3, 1) == [1, 1, 1]
            deadline = time.monotonic() + 20
            while not (flags["flag"][1:] == ASLEEP).all():
                assert time.monotonic() < deadline
            assert flags["late"][1:].tolist() == [left, left]


def test_prediction_from_another_thread() -> None:
    """A model predicts from any thread, to the same bits."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((2, 2, 1), seed=1)
    images = np.random.RandomState(0).rand(5, 2, 2, 1).astype(np.float32)
    expected = model.predict(images)
    found = []
    other = threading.Thread(target=lambda: found.append(model.predict(images)))
    other.start()
    other.join()
    np.testing.assert_array_equal(found[0], expected)


class Cores:
    """A system of two cores that notes which threads may be where."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here = 0
        self.allowed = {0, 1}
        self.limits: list[Any] = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(self.allowed), raising=False)
        monkeypatch.setattr(os, "sched_setaffinity", self.limit, raising=False)

    def placement(self) -> WakeAffinity:
        """A placement on this system."""
        placement = WakeAffinity()
        placement._core = lambda: self.here
        return placement

    def limit(self, thread: int, cores: set[int]) -> None:
        """In place of the system's call."""
        self.limits.append((thread, cores))


def test_threads_wake_up_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the caller's core, which is told anew only when the caller was moved; free when awake."""
    cores = Cores(monkeypatch)
    placement = cores.placement()
    placement.calls([7, None])
    placement.calls([7])
    assert cores.limits == [(7, {1})]
    placement.awake()
    placement.asleep()
    assert cores.limits[1:] == [(0, {0, 1}), (0, {1})]
    cores.here = 1
    placement.calls([7])
    assert cores.limits[3:] == [(7, {0})]


def test_threads_on_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is but one core, threads share it."""
    cores = Cores(monkeypatch)
    cores.allowed = {0}
    placement = cores.placement()
    placement.calls([7])
    placement.asleep()
    assert cores.limits == []


def test_threads_that_may_not_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses, threads wake up wherever it likes."""

    def refuse(*_: object) -> None:
        raise PermissionError

    cores = Cores(monkeypatch)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    placement = cores.placement()
    placement.calls([7])
    assert placement._core is None
    placement.awake()
