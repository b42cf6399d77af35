"""The two phases of a step, on their own, against whole steps in one native call."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.run.steps import (
    BATCH,
    SAMPLES,
    SHARD,
    digest,
    engine_for,
    everything,
    make_step,
    rates,
    train,
)

from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.operation import Array
from isoconv.run import training
from isoconv.run.step import StepGraph
from isoconv.run.training import TrainingEngine
from isoconv.run.tree import TreeNode, add_nodes

Baseline = tuple[StepGraph, nn.Sequential, str]
SHARDS = -(-BATCH // SHARD)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """A step, its model and the digest of a short training in whole steps."""
    step, model = make_step()
    return step, model, train(step, model, threads=1)


@pytest.fixture
def engine(baseline: Baseline) -> Iterator[TrainingEngine]:
    """An engine in its first epoch."""
    step, model, _ = baseline
    with engine_for(step, model) as made:
        made.begin_epoch(0, np.arange(SAMPLES))
        yield made


def runs(shards: int, cuts: tuple[int, ...]) -> list[range]:
    """Neighbouring shards between cuts."""
    edges = [0, *(cut for cut in cuts if cut < shards), shards]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def shards_of(step: int) -> int:
    """The last batch is a short one."""
    return -(-min(BATCH, SAMPLES - step * BATCH) // SHARD)


def train_in_phases(
    step: StepGraph, model: nn.Sequential, cuts: tuple[int, ...], threads: int
) -> str:
    """Digest of the short training by two engines, which run shards in turn and update alike."""
    with (
        engine_for(step, model, threads=threads) as one,
        engine_for(step, model, threads=1) as other,
    ):
        rows: list[Array] = []
        for epoch, number in itertools.product(range(2), range(3)):
            if number == 0:
                for engine in (one, other):
                    engine.begin_epoch(epoch, np.random.default_rng(epoch).permutation(SAMPLES))
            dealt = zip(itertools.cycle([one, other]), runs(shards_of(number), cuts), strict=False)
            # The last ones come first.
            parts = [engine.sums(number, run) for engine, run in dealt][::-1]
            total = add_nodes(parts, shards_of(number))
            rows.append(one.update(number, total, rates(3)[number]))
            assert other.update(number, total, rates(3)[number]).tobytes() == rows[-1].tobytes()
        assert everything(one) == everything(other)
        return digest(one, np.stack(rows))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("cuts", [(), (1,), (2,), (3, 4), (1, 2, 3, 4)])
def test_phases_are_whole_steps(baseline: Baseline, cuts: tuple[int, ...], threads: int) -> None:
    """However a step's shards are cut, on however many threads, all that is left is the same."""
    step, model, expected = baseline
    assert train_in_phases(step, model, cuts, threads) == expected


def test_without_clipping_and_statistics() -> None:
    """A step that lacks the kernels of both."""
    step, model = make_step(clip_norm=None, model=nn.Sequential(nn.Flatten(), nn.Linear(4)))
    assert train_in_phases(step, model, (2,), 2) == train(step, model)


def test_phases_and_whole_steps_in_turn(baseline: Baseline, engine: TrainingEngine) -> None:
    """One engine does both, and neither disturbs the other."""
    step, model, _ = baseline
    with engine_for(step, model) as whole:
        whole.begin_epoch(0, np.arange(SAMPLES))
        expected = whole.steps(0, rates(3))
        found = [engine.steps(0, rates(1))]
        total = add_nodes([engine.sums(1, range(SHARDS))], SHARDS)
        found.append(engine.update(1, total, rates(2)[1])[None])
        found.append(engine.steps(2, rates(3)[2:]))
        assert np.concatenate(found).tobytes() == expected.tobytes()
        assert everything(engine) == everything(whole)


def test_sums_change_nothing_and_belong_to_the_caller(engine: TrainingEngine) -> None:
    """Parameters stay, the same is the same again, and what was given out is never written to."""
    before = everything(engine)
    first = engine.sums(0, range(1, 4))
    kept = {node: sums.tobytes() for node, sums in first.items()}
    assert set(first) == {TreeNode(0, 1), TreeNode(1, 1)}
    engine.sums(1, range(SHARDS))
    again = engine.sums(0, range(1, 4))
    assert {node: sums.tobytes() for node, sums in first.items()} == kept
    assert {node: sums.tobytes() for node, sums in again.items()} == kept
    assert everything(engine) == before


def test_a_loss_that_is_not_finite_updates_nothing(engine: TrainingEngine) -> None:
    """The metrics say so, and all that a step changes is as it was."""
    before = everything(engine)
    total = add_nodes([engine.sums(0, range(SHARDS))], SHARDS)
    place = engine.plan.sums.offsets[f"metric:{engine.step.metrics[0]}"]
    for value in (np.inf, -np.inf, np.nan):
        total[place] = value
        row = engine.update(0, total, rates(1)[0])
        assert not np.isfinite(row[0])
        assert everything(engine) == before


def test_scripts_are_not_kept_without_end(
    baseline: Baseline, engine: TrainingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for ever other shards gets the same sums from scripts that are made anew."""
    wanted = [range(a, b) for a in range(SHARDS) for b in range(a + 1, SHARDS + 1)]
    kept = [engine.sums(0, run) for run in wanted]
    monkeypatch.setattr(training, "_SCRIPTS", 2)
    step, model, _ = baseline
    with engine_for(step, model) as other:
        other.begin_epoch(0, np.arange(SAMPLES))
        for run, sums in zip(wanted, kept, strict=True):
            found = other.sums(0, run)
            assert found.keys() == sums.keys()
            assert all(found[node].tobytes() == sums[node].tobytes() for node in sums)
            assert len(other._scripts) <= 2


@pytest.mark.parametrize(
    "shards", [range(0), range(-1, 2), range(2, SHARDS + 1), range(0, 4, 2), range(3, 1)]
)
def test_shards_that_a_step_lacks(engine: TrainingEngine, shards: range) -> None:
    """None, some beyond the step's, or no neighbours."""
    with pytest.raises(ArgumentError, match=f"neighbours from 0 to {SHARDS - 1}; got range"):
        engine.sums(0, shards)


def test_a_short_batch_has_fewer_shards(engine: TrainingEngine) -> None:
    """Those of the epoch's last step are counted by its images."""
    assert engine.sums(2, range(shards_of(2)))
    with pytest.raises(ArgumentError, match="neighbours from 0 to 2; got range"):
        engine.sums(2, range(shards_of(2) + 1))


@pytest.mark.parametrize("step", [-1, 3, 0.5, True])
def test_steps_that_an_epoch_lacks(engine: TrainingEngine, step: Any) -> None:
    """Either phase refuses them, and what is no number of a step."""
    told = "no steps" if step == 3 else "step must be a whole number of at least 0"
    with pytest.raises(ArgumentError, match=told):
        engine.sums(step, range(1))
    given: Any = [0, 1]
    with pytest.raises(ArgumentError, match="shards must be a range"):
        engine.sums(0, given)
    with pytest.raises(ArgumentError, match=told):
        engine.update(step, np.zeros(engine.plan.sums.size, np.float32), rates(1)[0])


def test_totals_and_scalars_of_another_shape(engine: TrainingEngine) -> None:
    """NumPy would repeat a number, or round one of float64."""
    size = engine.plan.sums.size
    for total in (np.zeros(size), np.zeros(1, np.float32), np.zeros((1, size), np.float32)):
        with pytest.raises(ShapeError, match="total must be float32 of shape"):
            engine.update(0, total, rates(1)[0])
    with pytest.raises(ShapeError, match="a column for each"):
        engine.update(0, np.zeros(size, np.float32), np.zeros(2, np.float32))
