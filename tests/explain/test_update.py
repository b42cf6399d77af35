"""One step of training, told term by term, is the step that the trainer takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.explain.networks import inverted_residuals

import isoconv as ic
from isoconv import nn
from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.graph.operation import Array
from isoconv.nn.models import create
from isoconv.train import Callback, Run
from isoconv.train.losses import LossName

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
    "inverted residuals": (lambda: inverted_residuals(3), (8, 8, 3), 4),
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

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """End it there."""
        if row["epoch"] == self.epoch:
            run.stop("enough")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "optimizer"), [*((name, "momentum") for name in sorted(MODELS)), ("tinyvgg", "adamw")]
)
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "tuned"),
    [*((name, {}) for name in sorted(OPTIMIZERS)),
     ("adamw", {"freeze": ["1"], "backbone_lr": 0.03, "threads": 1})],
)  # fmt: skip
def test_next_step_of_a_run_is_that_of_its_folder(
    optimizer: str, tuned: dict[str, Any], tmp_path: Path
) -> None:
    """With the optimizer's vectors out of the checkpoint, and the rate of the schedule."""
    rule, clip = OPTIMIZERS[optimizer]
    shape, count = (6, 6, 2), 5
    images, labels = photos(shape, count)
    layers = (
        nn.Conv2d(4, 3), nn.BatchNorm(), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(3)
    )  # fmt: skip

    def fitted(folder: str, *callbacks: Callback) -> Any:
        model = nn.Sequential(*copy.deepcopy(layers))
        subject: dict[str, Any] = {"start" if tuned else "model": model}
        if tuned:
            # Only what has learned is frozen.
            before = ic.Trainer(model, batch_size=count, seed=SEED + 1, progress=False)
            before.fit((images, labels), epochs=1)
        trainer = ic.Trainer(
            optimizer=rule, schedule=ic.schedule.Cosine(), batch_size=count, shard_size=2,
            augmentation=None, clip_norm=clip, seed=SEED, progress=False, callbacks=callbacks,
            label_smoothing=0.1, **subject, **tuned,
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
    if tuned:
        told = ic.explain(
            half, images[order], at=("1", 0), gradient="weight", label=labels[order],
            training=True, samples=order,
        )  # fmt: skip
        assert "step 2 of" not in repr(told)
        assert "'1' was frozen: the run leaves weight as it is" in told.notes


ENDS: dict[str, tuple[nn.Module, LossName]] = {
    "softmax, mse": (nn.Softmax(), "mse"),
    "sigmoid, mse": (nn.Sigmoid(), "mse"),
    "sigmoid, cross_entropy": (nn.Sigmoid(), "cross_entropy"),
    "softmax, bce": (nn.Softmax(), "bce"),
}


@pytest.mark.parametrize("name", sorted(ENDS))
def test_a_loss_is_of_the_models_own_result(name: str) -> None:
    """Behind a softmax or a sigmoid too, bit for bit as the trainer's step has it."""
    end, loss = ENDS[name]
    images, classes = photos((4, 4, 1), 5)
    labels = classes if loss == "cross_entropy" else np.eye(3, dtype=np.float32)[classes]
    model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3), end)
    model.build((4, 4, 1), 3)
    before = copy.deepcopy(model)
    rule = ic.optim.SGD(0.5, momentum=0.9)
    trainer = ic.Trainer(
        model, loss=loss, optimizer=rule, schedule=ic.schedule.Constant(), batch_size=5,
        shard_size=2, augmentation=None, seed=SEED, progress=False,
    )  # fmt: skip
    run = trainer.fit((images, labels), epochs=1)
    before.normalisation = run.model.normalisation
    order = permutation(5, SEED, Purpose.DATA_ORDER, 0)
    settings: dict[str, Any] = {"loss": loss, "training": True, "shard_size": 2}
    for layer, place in (("0", (1, 2, 0, 1)), ("3", (4, 2))):
        told = ic.explain(
            before, images[order], at=(layer, *place), gradient="weight",
            label=labels[order], optimizer=rule, **settings,
        )  # fmt: skip
        assert told.after.tobytes() == run.model.weights[f"{layer}.weight"][place].tobytes()
        assert told.after != before.weights[f"{layer}.weight"][place]
        assert not [note for note in told.notes if "contains" in note]
    seen = ic.inspect(before, images[order], labels[order], **settings)
    one = seen["3"].weight_gradients["weight"][4, 2]
    assert one.tobytes() == np.asarray(told.value).tobytes()
    if loss == "mse":
        results = before.predict(images[order])
        assert seen.losses is not None
        np.testing.assert_allclose(seen.losses, ((results - labels[order]) ** 2).mean(1), 1e-6)


@pytest.mark.parametrize(("end", "loss"), [(nn.Softmax(), "cross_entropy"), (nn.Sigmoid(), "bce")])
def test_a_loss_that_contains_the_end_is_of_the_value_before(end: nn.Module, loss: Any) -> None:
    """The pair that a trainer refuses: the loss is that of the model without its end, and said."""
    x, y = photos((4, 4, 1), 2)[0], [0, 1] if loss == "cross_entropy" else [[0, 1.0], [1.0, 1.0]]
    model = nn.Sequential(nn.Flatten(), nn.Linear(2), end).build((4, 4, 1))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 1))
    plain.load_weights(dict(model.weights))
    for given in (None, loss):
        told = ic.explain(model, x, ("loss", 1), label=y, loss=given)
        assert told.kind == loss
        assert told.value == ic.explain(plain, x, ("loss", 1), label=y, loss=loss).value
        assert any(f"loss '{loss}' contains the" in note for note in told.notes)
        assert any("contains the" in note for note in ic.inspect(model, x, y, loss=given).notes)


@pytest.mark.slow
def test_a_place_has_the_number_of_the_image_among_all_shards() -> None:
    """From the end too; titles and terms say that number, and the shard is said beside it."""
    x, y = photos((4, 4, 1), 5)
    model = nn.Sequential(nn.Conv2d(2, 3), nn.BatchNorm(), nn.Flatten(), nn.Linear(3))
    model.build((4, 4, 1))
    settings: dict[str, Any] = {"training": True, "shard_size": 2, "label": y}
    inside = ic.inspect(model, x, y, training=True, shard_size=2)
    for image, said in ((3, "2 … 3"), (-2, "2 … 3"), (4, "4 … 4"), (-1, "4 … 4"), (-5, "0 … 1")):
        told = ic.explain(model, x, ("3", image, 1), **settings)
        assert told.value.tobytes() == inside["3"].value[image, 1].tobytes()
        assert told.title == f"'3' at image {image % 5}, 1"
        assert f"image {image % 5}, of the shard of images {said}" in told.notes
        assert told.terms[0].names[0] == f"x[{image % 5}, 0]"
        back = ic.explain(model, x, ("3", image, 1), gradient="value", **settings)
        assert back.value.tobytes() == inside["3"].gradient[image, 1].tobytes()
        assert f"at image {image % 5}, 1" in back.title
    for place in ((5, 1), (-6, 1), ()):
        with pytest.raises(ic.errors.ArgumentError, match=r"number of an image, 0 … 4; got \("):
            ic.explain(model, x, ("3", *place), **settings)
    with pytest.raises(ic.errors.ArgumentError, match=r"shape is \(5, 3\); got \(4, 9\)"):
        ic.explain(model, x, ("3", 4, 9), **settings)
    with pytest.raises(ic.errors.ArgumentError, match=r"whole numbers; got 2\.7"):
        ic.explain(model, x, ("3", 2.7, 1), **settings)


def test_settings_of_the_step_stand_in_place_of_the_runs(tmp_path: Path) -> None:
    """Clipping that is given beside a run or its optimizer is used, and looked at always."""
    x, y = photos((4, 4, 1), 6)
    trainer = ic.Trainer(
        nn.Sequential(nn.Flatten(), nn.Linear(3)), batch_size=3, clip_norm=1e3, progress=False,
        augmentation=None,
    )  # fmt: skip
    run = trainer.fit((x, y), epochs=1, out=tmp_path / "run")
    at = ("1", 3, 1)
    settings: dict[str, Any] = {"at": at, "gradient": "weight", "label": y}
    own, tight = run.explain(x, **settings), run.explain(x, **settings, clip_norm=1e-6)
    assert own.follows[0].title == "clipping to the norm 1000"
    assert tight.follows[0].title.startswith("clipping to the norm 1")
    assert float(tight.follows[0].value) < 1e-3
    assert tight.after != own.after
    assert "step 3 of AdamW" in tight.follows[1].title
    other = ic.explain(run, x, **settings, optimizer=ic.optim.SGD(0.1))
    assert [part.title.partition(",")[0] for part in other.follows] == [
        "clipping to the norm 1000", "step 1 of SGD",
    ]  # fmt: skip
    clips: tuple[Any, ...] = ("junk", 0, -1.0, np.nan)
    for more in ({}, {"gradient": "value", "at": ("1", 0, 1)}, {"gradient": None, "at": "1"}):
        for clip in clips:
            with pytest.raises(ic.errors.ArgumentError, match="clip_norm must be a finite number"):
                ic.explain(run, x, **{**settings, **more}, clip_norm=clip)
        with pytest.raises(ic.errors.ArgumentError, match="optimizer must be an optimizer"):
            ic.explain(run, x, **{**settings, **more, "optimizer": "SGD"})


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"of": 0, "optimizer": ic.optim.SGD(0.1)}, "optimizer aside"),
        ({"gradient": "input", "optimizer": ic.optim.SGD(0.1), "clip_norm": 1}, "clip_norm aside"),
        ({"clip_norm": 1}, "clip_norm aside: it needs optimizer"),
    ],
)
def test_a_step_that_is_not_shown_is_said(settings: dict[str, Any], left: str) -> None:
    """Settings of a step that does not follow are not dropped in silence."""
    x, y = photos((4, 4, 1), 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((4, 4, 1))
    told = ic.explain(model, x, **{"at": "1", "gradient": "weight", "label": y, **settings})
    assert not told.follows
    assert left in " ".join(told.notes)
    assert "no step is shown" in told.to_text()
