"""Batch normalisation with statistics that stay, or that are those of whole batches."""

from __future__ import annotations

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.nn.architecture import architecture_of, model_of


def test_training_leaves_them() -> None:
    """Frozen statistics are used and stay, the others follow; factors are learned beside both."""
    images = np.random.default_rng(1).random((8, 6, 6, 1)).astype(np.float32)
    digests = set()
    for threads in (1, 2):
        model = nn.Sequential(
            nn.Conv2d(3, 3), nn.BatchNorm(frozen=True), nn.ReLU(), nn.BatchNorm(), nn.Flatten(),
            nn.Linear(2),
        ).build((6, 6, 1), seed=3)  # fmt: skip
        kept = {"1.running_mean": (0.5, -0.25, 0.125), "1.running_var": (2, 0.5, 3)}
        before = {**model.weights, **{n: np.array(v, np.float32) for n, v in kept.items()}}
        model.load_weights(before)
        trainer = ic.Trainer(model, batch_size=4, shard_size=2, threads=threads, progress=False)
        trainer.fit((images, [0, 1] * 4), epochs=2)
        same = [n for n in before if before[n].tobytes() == model.weights[n].tobytes()]
        assert sorted(same) == sorted(kept)
        digests.add(model.digest())
    assert len(digests) == 1


def test_it_computes_what_it_does_in_predictions() -> None:
    """The graph of a training is that of a prediction, and no state follows anything."""
    layer = nn.BatchNorm2d(eps=0.5, frozen=True)
    one, other = (nn.trace_model(layer, (4, 4, 2), training=flag) for flag in (True, False))
    assert one.state_updates == {}
    assert one.builder.graph([("y", one.output)]) == other.builder.graph([("y", other.output)])


def test_records_tell_it_where_it_is_set() -> None:
    """What models from before have in files, receipts and digests stays; a setting is told."""
    plain = {"type": "BatchNorm", "eps": 1e-5, "momentum": 0.1}
    assert architecture_of(nn.BatchNorm()) == plain
    assert nn.BatchNorm().line() == "BatchNorm(eps=1e-05, momentum=0.1)"
    assert model_of(plain, "a file").frozen is False  # type: ignore[attr-defined]
    assert architecture_of(nn.BatchNorm(frozen=True)) == {**plain, "frozen": True}
    assert nn.BatchNorm(frozen=True).line() == "BatchNorm(eps=1e-05, momentum=0.1, frozen=True)"


def test_statistics_of_the_batch() -> None:
    """Then a shard is the batch, on any number of threads, and a smaller one is refused."""
    model = nn.Sequential(nn.Conv2d(3, 3), nn.BatchNorm(over="batch"), nn.Flatten(), nn.Linear(2))
    images = np.random.default_rng(3).random((12, 5, 5, 1)).astype(np.float32)
    labels, digests = [0, 1] * 6, set()
    for threads in (1, 3):
        model.build((5, 5, 1), seed=1, fresh=True)
        trainer = ic.Trainer(model, batch_size=12, threads=threads, progress=False)
        run = trainer.fit((images, labels), epochs=1)
        digests.add(model.digest())
    assert len(digests) == 1
    assert run.description["settings"]["shard_size"] == 12
    small = ic.Trainer(model, batch_size=12, shard_size=4, progress=False)
    said = "shard_size must be 12, the batch, over which a layer takes its statistics; got 4"
    with pytest.raises(ArgumentError, match=said):
        small.fit((images, labels), epochs=1)
    at = ("1", 0, 1, 1, 1)
    with pytest.raises(ArgumentError, match=said):
        ic.explain(model, images, at, training=True, shard_size=4)
    explained = [ic.explain(one, images, at, training=True).value for one in (model, run)]
    assert explained[0] == explained[1]
    assert not nn.Sequential(nn.BatchNorm(over="batch", frozen=True)).over_batch
