"""Workers that die, lie, are slow or are refused: the bits stay, or it is said why not."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.cluster.machines import SHARDS, fit
from tests.cluster.pretended import Pretended
from tests.cluster.workers import Slow, Steady, lying
from tests.train.small import make, network, noise

from isoconv.cluster import roster
from isoconv.cluster.connection import LostError
from isoconv.cluster.executor import ClusterExecutor
from isoconv.cluster.worker import Worker
from isoconv.errors import NotEnoughMemoryError, TrainingError
from isoconv.graph.operation import Array
from isoconv.rows import Rows
from isoconv.run.step import StepGraph
from isoconv.train import Interrupted, Run, session


@pytest.fixture(scope="module")
def alone() -> Run:
    """The training with one engine."""
    return fit()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is asked for its nodes before every step."""
    monkeypatch.setattr(roster, "LOOK_SECONDS", 0.0)


def on(connection: Pretended, settings: Mapping[str, Any] | None = None, **more: Any) -> Run:
    """A training on a cluster that is none."""
    made = partial(ClusterExecutor, connect=lambda _: connection, **{"patience": 0.5, **more})
    return fit(executor=made, **(settings or {}))


def facts_of(run: Run) -> dict[str, Any]:
    """What the run's record keeps of the cluster."""
    (facts,) = run.description["executors"]
    return dict(facts)


def never(moment: int, worker: int, call: str) -> bool:
    """Nobody dies."""
    return False


def moments(nodes: int) -> int:
    """How often a worker might die in a training on so many."""
    connection = Pretended(never, nodes)
    on(connection)
    return connection.moments


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_a_death_at_any_moment(alone: Run, nodes: int) -> None:
    """Before and behind every call of every worker, one after the other; some drawn of many."""
    count = moments(nodes)
    died = 0
    for at in range(1, count, max(1, count // 24)):
        run = on(Pretended(lambda moment, _, __, at=at: moment == at, nodes))  # type: ignore[misc]
        assert run.digest == alone.digest, f"a death at moment {at} of {count}"
        died += any("ended" in each for each in facts_of(run)["workers"])
    assert died > 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "before", "who"), [(1, 0, "all"), (3, 0, "all"), (3, 60, "all"), (3, 60, "older")]
)
def test_all_die_at_once(
    nodes: int, before: int, who: str, tmp_path: Path, alone: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any moment, also while another one joins, which may stay alone.

    The bits are the same, or the error says how to go on, and it is so.
    """
    # The driver has a copy of the weights from the beginning of a call for some steps.
    monkeypatch.setattr(session, "CALL_SECONDS", 0.0)
    count, ended, resumed_of, told = moments(nodes), 0, 0, set[str]()
    moments_of: Sequence[int] = range(before + 1, count, max(1, (count - before) // 24))
    if who == "older":
        # While the one that stays joins, which takes as long as it takes; and when it has.
        moments_of = [*range(before + 17, before + 41, 2), *range(before + 50, count, 30)]
    for at in moments_of:
        out, error = tmp_path / str(at), ""

        def dies(moment: int, _: int, __: str, at: int = at) -> bool | str:
            return who if moment == at else moment == before

        try:
            run = on(Pretended(dies, nodes), {"out": out}, patience=30)
            assert run.digest == alone.digest
            ended += 1
        except TrainingError as caught:
            error, cause = str(caught), caught.__context__
            told.add(error)
            while cause is not None:
                assert isinstance(cause, (TrainingError, LostError)), repr(cause)
                cause = cause.__context__
        if error and out.exists():
            resumed_of += 1
            made = partial(ClusterExecutor, connect=lambda _: Pretended(never), patience=0.5)
            resumed = make(**SHARDS, executor=made).resume(out, noise(44), noise(20, 1))
            assert resumed.digest == alone.digest, f"all die at moment {at} of {count}"
    assert ended > 0
    lost = (
        "all workers have died, and with them the weights; Trainer.resume goes on from the last "
        "checkpoint, if one was saved by then"
    )
    assert told <= {lost}
    assert (told == {lost}) == (nodes > 1) or who == "older"
    assert (resumed_of > 0) == (nodes > 1) or who == "older"


def test_many_deaths(alone: Run) -> None:
    """Whatever dies, and however often: the same bits, or an error that says what became of it."""
    ended = 0
    for seed in range(12):
        drawn = np.random.default_rng(seed)
        connection = Pretended(lambda *_, drawn=drawn: drawn.random() < 0.01)
        told = ""
        try:
            assert on(connection, audit=0.5).digest == alone.digest
            ended += 1
        except TrainingError as error:
            told = str(error)
        assert not told or re.search("all workers have died|3 workers died on here", told)
    assert ended > 3


def test_workers_of_some_processors(alone: Run) -> None:
    """A node has as many as fit; who takes part is said."""
    said = StringIO()
    console = Console(file=said, width=400)
    run = on(Pretended(never, nodes=2, cpus=5), {"progress": console}, cpus=2)
    assert run.digest == alone.digest
    assert [each["cpus"] for each in facts_of(run)["workers"]] == [2, 2, 2, 2]
    assert "4 workers run the steps: worker 1 on here (00000000), worker 2 on" in said.getvalue()


@pytest.mark.parametrize(("nodes", "vectors"), [(1, 0), (2, 2)])
def test_what_a_step_moves(nodes: int, vectors: int) -> None:
    """Half of the shards' sums from one to the other, and the total back."""
    sizes: set[int] = set()

    class Weighed(Steady):
        def sums(self, step: int, shards: range) -> list[Any]:
            found = super().sums(step, shards)
            sizes.update(vector.nbytes for vector in found[1:])
            return found

    facts = facts_of(on(Pretended(never, nodes), kind=Weighed))
    (size,) = sizes
    assert facts["bytes_per_step"] == facts["bytes_per_step_most"] == vectors * size
    assert facts["steps"] == 9


def test_slow_workers_get_fewer_shards(alone: Run) -> None:
    """By the time that they took; the bits are the same."""
    run = on(Pretended(never), kind=Slow)
    assert run.digest == alone.digest
    slow, *others = [each["shards"] for each in facts_of(run)["workers"]]
    assert slow * 3 < min(others)


@pytest.mark.parametrize(("who", "call"), [(1, "sums"), (2, "sums"), (3, "sums"), (1, "add")])
def test_a_liar_is_named(alone: Run, who: int, call: str) -> None:
    """One bit of one sum is wrong: it never comes into the weights."""
    said = StringIO()
    console = Console(file=said, width=400)
    run = on(Pretended(never), {"progress": console}, kind=lying(who, call, 3), audit=1.0)
    assert run.digest == alone.digest
    facts = facts_of(run)
    (ended,) = [each for each in facts["workers"] if "ended" in each]
    assert ended["worker"] == who
    assert f"worker {who} on {ended['node']} has given wrong sums for shards" in said.getvalue()
    assert len(facts["aside"]) == 1
    assert facts["audited"] > 0


def test_without_audits_lies_go_through(alone: Run) -> None:
    """The test before would see them."""
    for call in ("sums", "add"):
        assert on(Pretended(never), kind=lying(1, call, 3)).digest != alone.digest


def test_an_interrupted_step_is_whole_or_undone(alone: Run) -> None:
    """A third Ctrl-C comes within a step; the weights are those of its end or its beginning."""
    found: list[str] = []
    for at in (40, 45, 50, 55, 60, 65):
        model = network()

        def interrupted(moment: int, worker: int, call: str, at: int = at) -> bool:
            if moment == at:
                raise KeyboardInterrupt
            return False

        with pytest.raises(Interrupted):
            on(Pretended(interrupted), {"model": model})
        found.append(model.digest())
    steps: list[str] = []

    class Watched(ClusterExecutor):
        def _note(self) -> None:
            watched = network().build((6, 6, 1))
            watched.load_weights(self.weights())
            steps.append(watched.digest())

        def begin_epoch(self, *given: Any) -> None:
            super().begin_epoch(*given)
            self._note()

        def steps(self, first: int, hyper: Array) -> Array:
            rows = super().steps(first, hyper[:1])
            self._note()
            if len(hyper) > 1:
                rows = np.concatenate([rows, self.steps(first + 1, hyper[1:])])
            return rows

    fit(executor=partial(Watched, connect=lambda _: Pretended(never)))
    assert set(found) <= set(steps)
    assert len(set(found)) > 1


@pytest.mark.parametrize("who", [1, 3])
def test_workers_with_other_weights_are_seen(who: int) -> None:
    """At the next checkpoint, without an audit; which of them is wrong, nobody can tell then."""
    with pytest.raises(
        TrainingError, match=r"all workers must hold the same weights; worker .* on"
    ):
        on(Pretended(never), kind=lying(who, "update", 5))


class Older(Worker):
    """One has other arithmetic."""

    def about(self, *given: Any) -> dict[str, Any]:
        """As ever, but for that."""
        return {**super().about(*given), **({"arithmetic": 999} if self.number == 1 else {})}


class Other(Worker):
    """One gets other data."""

    def prepare(self, step: Any, settings: Any, digest: str, *data: Any) -> None:
        """As ever, but for that."""
        super().prepare(step, settings, digest[::-1] if self.number == 2 else digest, *data)


class Wrong(Worker):
    """One computes something else."""

    def prove(self, *given: Any) -> list[Array]:
        """As ever, but for that."""
        return [vector + (self.number == 3) for vector in super().prove(*given)]


class Full(Worker):
    """One has no memory."""

    def prepare(self, *given: Any) -> None:
        """As ever, but for that."""
        if self.number == 2:
            raise NotEnoughMemoryError("training must have 3 GiB; there is 1 GiB")
        super().prepare(*given)


@pytest.mark.parametrize(
    ("kind", "who", "told"),
    [
        (Older, 1, r"must have isoconv .* and arithmetic .*, as the driver; it has arithmetic 999"),
        (Other, 2, r"worker 2 must have the data of the driver, sha256:"),
        (Wrong, 3, r"must find the driver's own sums for a shard; it finds others"),
        (Full, 2, r"was refused: training must have 3 GiB; there is 1 GiB"),
    ],
)
def test_what_differs_takes_no_part(alone: Run, kind: type[Worker], who: int, told: str) -> None:
    """It is refused by the node's name; where there is no other one, nothing is trained."""
    said = StringIO()
    run = on(Pretended(never), {"progress": Console(file=said, width=400)}, kind=kind)
    assert run.digest == alone.digest
    assert [each["worker"] for each in facts_of(run)["workers"] if "ended" in each] == [who]
    assert re.search(told, said.getvalue())
    kind_of_all = type("All", (kind,), {"number": property(lambda _: who, lambda _, __: None)})
    with pytest.raises(
        (TrainingError, NotEnoughMemoryError), match=told.removeprefix("was refused: ")
    ):
        on(Pretended(never), kind=kind_of_all)


def test_rows_of_a_larger_array(alone: Run) -> None:
    """Images that are rows of others reach the workers as they are counted."""

    def made(step: StepGraph, data: Mapping[str, Any], **given: Any) -> ClusterExecutor:
        images = data["images"]
        order = np.random.default_rng(0).permutation(len(images))
        base = np.empty_like(images)
        base[order] = images
        rows: Any = {**data, "images": Rows(base, order)}
        return ClusterExecutor(step, rows, connect=lambda _: Pretended(never), **given)

    assert fit(executor=made).digest == alone.digest


def test_a_store_must_hold_the_data() -> None:
    """Before a worker is asked for."""
    with pytest.raises(NotEnoughMemoryError, match=r"object store of here \(00000000\) must hold"):
        on(Pretended(never, store=1000))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """That workers are waited for is told at once."""
    monkeypatch.setattr(roster, "SILENT_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_cluster_without_nodes() -> None:
    """That it is waited for is told, and then that none came."""
    said = StringIO()
    with pytest.raises(TrainingError, match="must have a processor to give within"):
        on(Pretended(never, nodes=0), {"progress": Console(file=said, width=400)})
    assert said.getvalue() == (
        "note: no node of the cluster has a processor to give; the first one is waited for\n"
    )


@pytest.mark.usefixtures("impatient")
def test_workers_that_do_not_begin() -> None:
    """Where others have the processors, or processes take long: that is told, and of whom."""

    class Slow(Pretended):
        def ready(self, references: list[Any], seconds: float) -> list[Any]:  # noqa: ARG002
            time.sleep(seconds)
            return []

    told = (
        r"a worker must begin within 1 s; worker 1 on here \(00000000\), worker 2 on here "
        r"\(00000001\) were asked for and have not begun: the processors there are given to other "
    )
    said = StringIO()
    with pytest.raises(TrainingError, match=told):
        on(Slow(never, nodes=2), {"progress": Console(file=said, width=400)}, patience=1)
    assert said.getvalue().count("note: worker 1 on here (00000000), worker 2 on here") == 1
