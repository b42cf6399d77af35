"""Trainings whose pooling draws its windows: the same bits however the work is shared."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.run.process_executor import ProcessExecutor
from tests.train.power_cut import PowerCut
from tests.train.small import make, noise, without_times

import isoconv as ic
from isoconv import nn
from isoconv.train import Run, verify

EPOCHS = 3


def network(offset: Any = "random") -> nn.Sequential:
    """Drawn windows before and behind what learns, and dropout."""
    return nn.Sequential(
        nn.FractionalMaxPool2d(2, 4, offset=offset), nn.Conv2d(6, 1), nn.ReLU(),
        nn.FractionalMaxPool2d((2, 1), 3, offset=offset), nn.Dropout(0.1), nn.Flatten(),
        nn.Linear(2),
    )  # fmt: skip


def fit(out: Path | None = None, *, offset: Any = "random", **settings: Any) -> Run:
    """Seven shards for a step, the last one short; two for the last step."""
    settings = {"batch_size": 20, "shard_size": 3, "threads": 1, "seed": 4, **settings}
    return make(network(offset), **settings).fit(noise(44), noise(20, 1), epochs=EPOCHS, out=out)


@pytest.fixture(scope="module")
def alone() -> Run:
    """A training with one thread."""
    return fit()


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(alone: Run, threads: int) -> None:
    """Weights, losses and scores are those of one thread."""
    other = fit(threads=threads)
    assert other.digest == alone.digest
    assert without_times(other.history) == without_times(alone.history)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_processes_change_no_bit(alone: Run, workers: int) -> None:
    """Whoever runs a shard draws for its images what one engine draws."""
    executor = partial(ProcessExecutor, workers=workers)
    assert fit(executor=executor, threads=2).digest == alone.digest


def test_a_run_is_verified_and_gone_on_with(alone: Run, tmp_path: Path) -> None:
    """Epochs draw by their number: one after a power cut draws as it would have before."""
    data = noise(44), noise(20, 1)
    out = tmp_path / "run"
    settings: dict[str, Any] = {"batch_size": 20, "shard_size": 3, "threads": 2, "seed": 4}
    with pytest.raises(RuntimeError, match="power cut"):
        make(network(), **settings, callbacks=[PowerCut()]).fit(*data, epochs=EPOCHS, out=out)
    run = make(network(), **settings).resume(out, *data)
    assert run.digest == alone.digest
    assert verify(out, None, *data, progress=False).identical


def test_each_epoch_and_seed_draws_anew(alone: Run) -> None:
    """With fixed windows, and with another seed, a training ends elsewhere."""
    assert fit(offset=0.5).digest != alone.digest
    model = network().build((6, 6, 1))
    images = np.random.default_rng(0).random((2, 6, 6, 1)).astype(np.float32)
    seen = {
        ic.explain(model, images[0], ("0", 1, 1, 0), training=True, key=(4, epoch)).value.item()
        for epoch in range(1, 9)
    }
    assert len(seen) > 1


def test_an_answer_does_not_change(alone: Run) -> None:
    """Predictions and evaluations draw nothing: a trained model gives the same bits each time."""
    data = noise(20, 1)
    images = np.asarray(data.images[:])
    first = alone.model.predict(images)
    assert alone.model.predict(images[::-1])[::-1].tobytes() == first.tobytes()
    assert alone.model.predict(images[3:4]).tobytes() == first[3:4].tobytes()


@pytest.mark.slow
def test_a_shard_of_another_size_draws_the_same() -> None:
    """The first loss of a training, before any weight has changed, is that of other shards."""
    losses = []
    for shard in (2, 5, 44):
        run = make(network(), batch_size=44, shard_size=shard, seed=4).fit(noise(44), epochs=1)
        losses.append(float(run.history[0]["loss"]))
    assert losses == pytest.approx(losses[:1] * 3, rel=1e-6)
    other = make(network(), batch_size=44, seed=5).fit(noise(44), epochs=1).history[0]["loss"]
    assert other != pytest.approx(losses[0], rel=1e-6)
