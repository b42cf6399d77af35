"""Trainings on a cluster end in the bits of one machine, whoever takes part."""

from __future__ import annotations

import re
import signal
import time
from contextlib import suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.cluster.machines import SCARCE, SHARDS, Machines, fit, full_store, large
from tests.cluster.workers import dying
from tests.processes import lives
from tests.train.small import make, noise, without_times

from isoconv import Cluster
from isoconv.cluster.executor import ClusterExecutor
from isoconv.graph.operation import Array
from isoconv.train import Interrupted, Run, verify

# Ray's own, of its processes and files.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def alone() -> Run:
    """The training with one engine."""
    return fit(model=large())


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.exhaustive), 3])
def test_any_number_of_workers(machines: Machines, alone: Run, count: int) -> None:
    """Digest, history and all metrics are those of one machine."""
    machines.have(count)
    other = fit(model=large(), executor=Cluster(machines.address))
    assert other.digest == alone.digest
    assert without_times(other.history) == without_times(alone.history)


def facts_of(run: Run) -> dict[str, Any]:
    """What the run's record keeps of the cluster."""
    (facts,) = run.description["executors"]
    return dict(facts)


@pytest.mark.parametrize(
    ("count", "call", "at", "again"),
    [(3, "sums", 2, True), (3, "update", 4, False), (1, "update", 5, True)],
    ids=["in its shards", "behind an update", "the only one"],
)
def test_a_worker_that_is_killed(
    machines: Machines, alone: Run, count: int, call: str, at: int, again: bool
) -> None:
    """The step goes on where it was, to the same bits; the node gets a new worker."""
    machines.have(count)
    said = StringIO()
    executor = dying(machines.address, 1, call, at)
    other = fit(model=large(), executor=executor, progress=Console(file=said, width=400))
    assert other.digest == alone.digest
    assert without_times(other.history) == without_times(alone.history)
    facts = facts_of(other)
    (died,) = [each for each in facts["workers"] if "ended" in each]
    assert died["worker"] == 1
    assert f"note: worker 1 on {died['node']} died in step" in said.getvalue()
    assert (facts["shards_run_again"] > 0) == again


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_worker_that_hangs(machines: Machines, alone: Run) -> None:
    """It is waited for, not for ever; the step goes on without it."""
    machines.have(2)
    said = StringIO()
    executor = dying(machines.address, 2, "update", 3, signal.SIGSTOP, patience=120)
    other = fit(model=large(), executor=executor, progress=Console(file=said, width=400))
    assert other.digest == alone.digest
    assert re.search(r"worker 2 on .* gives no sign of life", said.getvalue())


def stopped() -> list[str]:
    """Workers that were stopped and still are."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text("utf-8").rpartition(")")
            if "ray::" in name and rest.split()[0] == "T":
                found.append(name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("who", "call", "at"),
    [
        # Each is waited for as long: one that joins, and one whose weights are asked for.
        (2, "prepare", 1),
        (1, "state", 1),
        *(
            pytest.param(*each, marks=pytest.mark.exhaustive)
            for each in ((2, "prove", 1), (1, "load", 1), (2, "begin_epoch", 3), (2, "digest", 2))
        ),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_worker_that_hangs_outside_of_a_step(
    machines: Machines, alone: Run, who: int, call: str, at: int
) -> None:
    """While it joins, gives or gets weights or begins an epoch: another takes its place."""
    machines.have(2)
    said = StringIO()
    executor = dying(machines.address, who, call, at, signal.SIGSTOP, patience=120)
    other = fit(model=large(), executor=executor, progress=Console(file=said, width=400))
    assert other.digest == alone.digest
    told = r"worker {} on .* (gives no sign of life for 120 s|is not there yet)"
    assert re.search(told.format(who), said.getvalue())
    # It is ended as well, stopped as it is.
    end = time.monotonic() + 60
    while (left := stopped()) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


@pytest.mark.slow
def test_a_node_that_is_lost_and_one_that_joins(machines: Machines, alone: Run) -> None:
    """A machine goes in the first epoch, another one comes in the second and takes part."""
    machines.have(2)
    epochs: list[int] = []

    class Disturbed(ClusterExecutor):
        """Nodes go and come before steps."""

        def steps(self, first: int, hyper: Array) -> Array:
            if first == 0:
                epochs.append(len(epochs))
                if len(epochs) == 2:
                    machines.have(1)
                    machines.have(2)
                    # A node has its worker after some seconds, and steps take none.
                    while [member.number for member in self._roster.ready][-1] != 3:
                        self._roster.look()
                        self._roster.advance(0.1)
            return super().steps(first, hyper)

    other = fit(model=large(), executor=partial(Disturbed, address=machines.address))
    assert other.digest == alone.digest
    facts = facts_of(other)
    assert sorted("ended" in each for each in facts["workers"]) == [False, False, True]
    assert facts["workers"][2]["steps"] > 0


@pytest.mark.slow
def test_a_node_without_memory(machines: Machines, alone: Run) -> None:
    """Whose workers Ray kills for it: it is put aside, and the others go on."""
    machines.have(1)
    machines.have(2, env_vars=SCARCE)
    said = StringIO()
    executor = Cluster(machines.address)
    other = fit(model=large(), executor=executor, progress=Console(file=said, width=400))
    machines.have(1)
    assert other.digest == alone.digest
    (aside,) = facts_of(other)["aside"]
    assert aside.endswith("ran out of memory")
    assert "its node ran out of memory" in said.getvalue()


@pytest.mark.slow
def test_a_node_whose_store_is_full(machines: Machines, alone: Run) -> None:
    """And the disk behind it: it is put aside with the reason, and the others go on."""
    said = StringIO()
    with full_store(machines):
        executor = Cluster(machines.address, patience=300)
        other = fit(model=large(), executor=executor, progress=Console(file=said, width=400))
    assert other.digest == alone.digest
    (aside,) = facts_of(other)["aside"]
    assert re.search("object store of its node must have room for .*; both are full", aside)
    assert re.search(r"worker . on .* was refused: the object store", said.getvalue())


@pytest.mark.slow
def test_nothing_stays(machines: Machines, tmp_path: Path, alone: Run) -> None:
    """Ctrl-C ends all workers; the run goes on elsewhere from its folder, to the same bits."""
    machines.have(2)
    pids: list[int] = []

    class Pressed(ClusterExecutor):
        """Ctrl-C comes with the second epoch."""

        def begin_epoch(self, epoch: int, order: Array, tables: Any = None) -> None:
            super().begin_epoch(epoch, order, tables)
            if epoch == 1:
                found = [member.actor.about.remote() for member in self._roster.ready]
                pids.extend(self._connection.get(each)["pid"] for each in found)
                signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run"
    with pytest.raises(Interrupted, match="in epoch 2 of 3"):
        fit(out, model=large(), executor=partial(Pressed, address=machines.address))
    assert len(pids) == 2
    end = time.monotonic() + 20
    while any(map(lives, pids)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [pid for pid in pids if lives(pid)]
    data = noise(44), noise(20, 1)
    resumed = make(large(), **SHARDS, executor=Cluster(machines.address)).resume(out, *data)
    assert resumed.digest == alone.digest
    assert len(resumed.description["executors"]) == 2
    assert verify(out, None, *data, progress=False).identical
