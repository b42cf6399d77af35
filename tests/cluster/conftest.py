"""Nodes of a Ray cluster for all tests of the room: to start them takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cluster.machines import Machines


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """Nodes that come and go."""
    found = Machines()
    yield found
    found.close()
