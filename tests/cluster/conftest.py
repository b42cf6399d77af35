"""Nodes of a Ray cluster for all tests of the room: to start them takes seconds."""

from __future__ import annotations

import faulthandler
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from tests.cluster.machines import STORE, Machines

from isoconv.cluster.signs import Signs

HERE = Path(__file__).parent

_MADE: list[Machines] = []


@pytest.fixture
def machines() -> Machines:
    """Nodes that come and go."""
    if not _MADE:
        _MADE.append(Machines(STORE))
    return _MADE[0]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """They end with the last test of the room: idle, they would take time from all others."""
    if nextitem is None or nextitem.path.parent != HERE:
        pytest_sessionfinish()
    if fault_handler_stderr_fd_key in item.config.stash:
        # Ray takes the signals of a crash for itself, and at its end leaves nobody to tell of one.
        faulthandler.disable()
        faulthandler.enable(item.config.stash[fault_handler_stderr_fd_key])


def pytest_sessionfinish() -> None:
    """They end with an interrupted session, too."""
    while _MADE:
        _MADE.pop().close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of silence counts for ten; for its first word a worker has as long as ever."""
    silence = Signs.silence
    monkeypatch.setattr(Signs, "silence", lambda signs: 10 * silence(signs))
