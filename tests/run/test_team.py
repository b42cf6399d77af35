"""Threads that run scripts: one at a time, and never left behind."""

import os
import signal
import threading

import numpy as np
import pytest

from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.run.memory import ScriptBuilder
from isoconv.run.placement import Placement
from isoconv.run.team import Team, library_for


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


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be placed here")
def test_threads_leave_a_taken_core(monkeypatch):
    """A thread on the core of another one moves away, and may run anywhere afterwards."""
    allowed = os.sched_getaffinity(0)
    asked = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: asked.append(set(cores)))
    placement = Placement(2)
    placement._core = lambda: min(allowed)
    placement.settle(0)
    assert asked == []
    placement.settle(1)
    assert asked == ([allowed - {min(allowed)}, allowed] if len(allowed) > 1 else [])


def test_threads_that_may_not_move(monkeypatch):
    """Where the system refuses to move a thread, it stays."""

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    placement = Placement(2)
    placement._core = lambda: 0
    placement.settle(0)
    placement.settle(1)
    assert placement._core is None
    placement.settle(1)
