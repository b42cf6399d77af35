"""Nodes of a Ray cluster for all tests of the room: to start them takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cluster.machines import STORE, Machines

from isoconv.cluster.signs import Signs


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """Nodes that come and go."""
    found = Machines(STORE)
    yield found
    found.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of silence counts for ten; for its first word a worker has as long as ever."""
    silence = Signs.silence
    monkeypatch.setattr(Signs, "silence", lambda signs: 10 * silence(signs))
