"""Trainings on a cluster end in the bits of one machine, whoever takes part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cluster.machines import Machines, fit
from tests.train.small import without_times

from isoconv import Cluster
from isoconv.train import Run

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    # Ray's own, of its processes and files.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """Nodes that come and go, for all tests."""
    found = Machines()
    yield found
    found.close()


@pytest.fixture(scope="module")
def alone() -> Run:
    """The training with one engine."""
    return fit()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_workers(machines: Machines, alone: Run, count: int) -> None:
    """Digest, history and all metrics are those of one machine."""
    machines.have(count)
    other = fit(executor=Cluster(machines.address))
    assert other.digest == alone.digest
    assert without_times(other.history) == without_times(alone.history)
