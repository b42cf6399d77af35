"""Threads that run scripts: one at a time, and never left behind."""

import os
import signal
import threading

import numpy as np
import pytest

from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.run.memory import ScriptBuilder
from isoconv.run.team import Team, library_for
from isoconv.run.wake import WakePlaces


def test_threads_must_be_at_least_one():
    """No thread, no work."""
    with pytest.raises(ArgumentError, match="threads must be at least 1; got 0"):
        Team(0, library_for())


def test_interrupt_waits_for_the_threads():
    """Ctrl-C while the threads work is raised after they have met, and the team goes on working."""
    with Team(2, library_for()) as team:
        scripts = [ScriptBuilder().finish() for _ in range(2)]
        work = team._call

        def call(i):
            signal.raise_signal(signal.SIGINT)
            work(i)

        team._call = call
        with pytest.raises(KeyboardInterrupt):
            team.run(scripts, 1)
        team._call = work
        team.run(scripts, 1)
        assert team._meeting[:3].tolist() == [0, 2, 2]


def test_prediction_from_another_thread():
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

    def __init__(self, monkeypatch):
        self.here = 0
        self.allowed = {0, 1}
        self.limits = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(self.allowed), raising=False)
        monkeypatch.setattr(os, "sched_setaffinity", self.limit, raising=False)

    def placement(self):
        """A placement on this system."""
        placement = WakePlaces()
        placement._core = lambda: self.here
        return placement

    def limit(self, thread, cores):
        """In place of the system's call."""
        self.limits.append((thread, cores))


def test_threads_wake_up_elsewhere(monkeypatch):
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


def test_threads_on_one_core(monkeypatch):
    """Where there is but one core, threads share it."""
    cores = Cores(monkeypatch)
    cores.allowed = {0}
    placement = cores.placement()
    placement.calls([7])
    placement.asleep()
    assert cores.limits == []


def test_threads_that_may_not_be_moved(monkeypatch):
    """Where the system refuses, threads wake up wherever it likes."""

    def refuse(*_):
        raise PermissionError

    cores = Cores(monkeypatch)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    placement = cores.placement()
    placement.calls([7])
    assert placement._core is None
    placement.awake()
