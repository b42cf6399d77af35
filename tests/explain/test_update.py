"""One step of training, told term by term, is the step that the trainer takes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.nn.models import create
from isoconv.train import Callback

Array = np.ndarray[Any, Any]

SEED = 7


def photos(shape: tuple[int, ...], count: int) -> tuple[Array, Array]:
    """Images of bytes, and classes."""
    rng = np.random.default_rng(11)
    return rng.integers(0, 256, (count, *shape)).astype(np.uint8), rng.integers(0, 3, count)


class Branching(nn.Module):
    """Two ways that meet, by a sum and side by side, with one layer that is used twice."""

    def __init__(self) -> None:
        self.first = nn.Conv2d(4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm()
        self.twice = nn.Conv2d(4, 3, padding=1)
        self.act = nn.GELU()
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(3)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """Logits."""
        x = self.norm(self.first(x))
        y = self.twice(self.act(self.twice(x)))
        z = nn.functional.concatenate(x + y, nn.functional.max_pool2d(x, 3, stride=1, padding=1))
        return self.head(self.drop(nn.functional.global_avg_pool(z)))


MODELS: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "tinyvgg": (lambda: create("tinyvgg", 3, (8, 8, 3)), (8, 8, 3), 5),
    "small_resnet": (lambda: create("small_resnet", 3, (8, 8, 3)), (8, 8, 3), 4),
    "mobilenetv2": (lambda: create("mobilenetv2", 3, (8, 8, 3)), (8, 8, 3), 4),
    "branching": (Branching, (6, 6, 2), 5),
}

OPTIMIZERS: dict[str, tuple[Any, float | None]] = {
    "sgd": (ic.optim.SGD(0.1), None),
    "momentum": (ic.optim.SGD(0.05, momentum=0.9, weight_decay=1e-3), 0.5),
    "nesterov": (ic.optim.SGD(0.05, momentum=0.9, nesterov=True), None),
    "adam": (ic.optim.Adam(1e-3, weight_decay=1e-2), 1e6),
    "adamw": (ic.optim.AdamW(1e-3), 0.1),
}


def some_weights(model: nn.Module, rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Layers and their own parameters, some of them."""
    names = [name for name in model.weights if "running" not in name]
    names = [name for name in names if not name.endswith((".mean", ".variance", ".var"))]
    chosen = rng.choice(len(names), min(count, len(names)), replace=False)
    return [(names[i].rpartition(".")[0], names[i].rpartition(".")[2]) for i in sorted(chosen)]


class StopAfter(Callback):
    """Ends a run after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Any, row: Any) -> None:
        """End it there."""
        if row["epoch"] == self.epoch:
            run.stop("enough")


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_first_step_is_that_of_the_trainer(name: str, optimizer: str) -> None:
    """The new weights of one step, shards and clipping included, bit for bit."""
    make, shape, count = MODELS[name]
    rule, clip = OPTIMIZERS[optimizer]
    images, labels = photos(shape, count)
    model = make().build(shape, 3)
    before = copy.deepcopy(model)
    trainer = ic.Trainer(
        model, optimizer=rule, schedule=ic.schedule.Constant(), batch_size=count, shard_size=2,
        augmentation=None, clip_norm=clip, seed=SEED, progress=False,
    )  # fmt: skip
    run = trainer.fit((images, labels), epochs=1)
    before.normalisation = run.model.normalisation
    order = permutation(count, SEED, Purpose.DATA_ORDER, 0)
    rng = np.random.default_rng(1)
    moved = 0
    for layer, parameter in some_weights(model, rng, 4):
        full = f"{layer}.{parameter}"
        array = run.model.weights[full]
        place = tuple(int(rng.integers(side)) for side in array.shape)
        told = ic.explain(
            before, images[order], at=(layer, *place), gradient=parameter, label=labels[order],
            training=True, optimizer=rule, clip_norm=clip, shard_size=2, samples=order,
            key=(SEED, 0),
        )  # fmt: skip
        assert told.after.tobytes() == array[place].tobytes(), (full, place)
        assert told.what == f"gradient by {parameter}"
        moved += told.after != before.weights[full][place]
    assert moved


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_next_step_of_a_run_is_that_of_its_folder(optimizer: str, tmp_path: Path) -> None:
    """With the optimizer's vectors out of the checkpoint, and the rate of the schedule."""
    rule, clip = OPTIMIZERS[optimizer]
    shape, count = (6, 6, 2), 5
    images, labels = photos(shape, count)

    def fitted(folder: str, *callbacks: Callback) -> Any:
        model = nn.Sequential(
            nn.Conv2d(4, 3), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(3)
        )
        trainer = ic.Trainer(
            model, optimizer=rule, schedule=ic.schedule.Cosine(), batch_size=count, shard_size=2,
            augmentation=None, clip_norm=clip, seed=SEED, progress=False, callbacks=callbacks,
            label_smoothing=0.1,
        )  # fmt: skip
        return trainer.fit((images, labels), epochs=3, out=tmp_path / folder)

    half, whole = fitted("half", StopAfter(1)), fitted("whole", StopAfter(2))
    order = permutation(count, SEED, Purpose.DATA_ORDER, 1)
    places = (("0", 1, 2, 0, 3), ("5", 7, 1))
    for subject in (half, half.folder, str(half.folder)):
        for at in places:
            told = ic.explain(
                subject, images[order], at=at, gradient="weight", label=labels[order],
                training=True, samples=order,
            )  # fmt: skip
            new = whole.model.weights[f"{at[0]}.weight"][at[1:]]
            assert told.after.tobytes() == new.tobytes()
    assert "step 2 of" in repr(told)
