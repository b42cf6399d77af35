"""Threads that run scripts: one at a time, and never left behind."""

import os
import signal
import sys
import threading

import numpy as np
import pytest

from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.run.memory import ScriptBuilder
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
        assert not team._done.acquire(blocking=False)


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets threads be moved")
def test_threads_wake_on_other_cores(monkeypatch):
    """Not on the caller's core; once awake, on any that the caller may use."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("there is one core")
    moves = []
    move = os.sched_setaffinity

    def note(thread, allowed):
        moves.append((thread or threading.get_native_id(), set(allowed)))
        move(thread, allowed)

    with Team(3, library_for()) as team:
        monkeypatch.setattr(os, "sched_setaffinity", note)
        team.run([ScriptBuilder().finish() for _ in range(2)], 1)
        first, second = (worker.native_id for worker in team._workers)
        assert [thread for thread, _ in moves] == [first, first]
        assert len(cores - moves[0][1]) == 1
        assert moves[1][1] == cores
        assert os.sched_getaffinity(first) == os.sched_getaffinity(second) == cores


def test_threads_that_cannot_be_moved(monkeypatch):
    """A system that forbids it gets the same work done."""

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    with Team(2, library_for()) as team:
        for _ in range(2):
            team.run([ScriptBuilder().finish() for _ in range(2)], 1)
