"""Profiles: what is measured is the work itself, call by call, and all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.run.steps import BATCH, SAMPLES, SEED, SHARD, everything, make_data, make_step

from isoconv import nn
from isoconv.errors import TrainingError
from isoconv.nn.inference import inference_graph, weights_for
from isoconv.run.profile import Profile, ProfiledPredictor, ProfiledTraining

SHAPE = (12, 10, 2)


def total(profile: Profile) -> tuple[int, int]:
    """Operations and bytes of all kernels."""
    return sum(row.flops for row in profile.rows), sum(row.bytes for row in profile.rows)


def predictor(**settings: Any) -> tuple[ProfiledPredictor, dict[str, Any]]:
    """A small network's."""
    model = nn.Sequential(
        nn.Conv2d(8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5)
    ).build(SHAPE, seed=1)
    graph = inference_graph(model, SHAPE, "float32", "softmax")
    return ProfiledPredictor(graph, **settings), dict(weights_for(model))


def engine(threads: int = 2) -> ProfiledTraining:
    """Of a step with all that a step can hold."""
    step, model = make_step()
    found = ProfiledTraining(
        step, make_data(), batch_size=BATCH, shard_size=SHARD, seed=SEED, threads=threads
    )
    found.load(model.parameters(), model.states())
    return found


@pytest.mark.parametrize("images", [0, 1, 7, 24])
def test_work_of_a_prediction(images: int) -> None:
    """Whichever thread takes which images: together they compute and move as much."""
    data = {"images": np.ones((images, *SHAPE), np.float32)}
    found = []
    for threads, shard_size in ((1, 24), (1, 2), (2, 2), (3, 5)):
        with predictor(threads=threads, shard_size=shard_size)[0] as profiled:
            weights = predictor()[1]
            found.append(profiled.profile(weights, data, turns=2))
    assert len({total(profile)[0] for profile in found}) == 1
    # 12 * 10 positions * 9 taps * 2 channels * 8 filters, 2 FLOP each.
    forward = sum(row.flops for row in found[0].rows if row.kernel == "forward")
    assert forward >= 2 * images * (120 * 9 * 2 * 8 + 8 * 30 * 5)
    names = [{(row.layer, row.kernel) for row in profile.rows} for profile in found]
    assert all(name - {("", "waiting")} == names[0] for name in names)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_work_of_a_step(threads: int) -> None:
    """All of a step has its row, the same work for any number of threads."""
    with engine(1) as alone, engine(threads) as together:
        expected, found = alone.profile(turns=1), together.profile(turns=2)
    assert total(found) == total(expected)
    kernels = {row.kernel for row in found.rows}
    assert kernels >= {"packing of weights", "forward", "gradient by weight", "sums of shards",
                       "clipping", "metrics", "scalars of the update", "update"}  # fmt: skip
    assert "waiting" in kernels
    assert found.images == BATCH
    assert all(row.seconds >= 0 for row in found.rows)


def test_parameters_stay() -> None:
    """A profile teaches nothing, and the engine's scripts are without a clock again."""
    _, model = make_step()
    with engine() as profiled:
        profiled.profile(turns=1)
        after = profiled.parameters()
        assert all(after[name].tobytes() == p.tobytes() for name, p in model.parameters().items())
        profiled.begin_epoch(0, np.arange(SAMPLES))
        profiled.load(model.parameters(), model.states())
        rows = profiled.steps(0, np.full((2, 1), 0.1, np.float32))
        result = everything(profiled)
    with engine() as plain:
        plain.begin_epoch(0, np.arange(SAMPLES))
        assert plain.steps(0, np.full((2, 1), 0.1, np.float32)).tobytes() == rows.tobytes()
        assert everything(plain) == result


def test_a_loss_that_is_not_finite() -> None:
    """Such a step ends early, so that its times would be those of something else."""
    _, model = make_step()
    with engine() as profiled:
        weights = {name: np.full_like(p, np.inf) for name, p in model.parameters().items()}
        profiled.load(weights, model.states())
        with pytest.raises(TrainingError, match="must have a finite loss; got nan"):
            profiled.profile(turns=1)


def test_other_work_than_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, the clock writes nowhere but into its tables, and no script keeps one."""
    profiled, weights = predictor(threads=1, shard_size=2)
    images = np.ones((8, *SHAPE), np.float32)
    run, sizes = profiled._run, iter([8, 8, 2, 8])

    def other(weights: Any, datasets: Any, version: Any) -> Any:
        return run(weights, {"images": datasets["images"][: next(sizes)]}, version)

    monkeypatch.setattr(profiled, "_run", other)
    with profiled, pytest.raises(TrainingError, match="must be the same work each time"):
        profiled.profile(weights, {"images": images}, turns=1)
    assert profiled._data_parallel is profiled._cooperative is None
