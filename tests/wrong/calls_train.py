"""Valid calls of training: settings, the trainer, what it leaves behind and reads again."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tests.wrong.calls import Call, Table
from tests.wrong.calls_data import dataset

import isoconv as ic
from isoconv import nn, optim, schedule, train
from isoconv.data import Skipped
from isoconv.train import Checkpoint, Evaluator, Loss, Preparation, RunFolder, Trainer

__all__ = ["CALLS", "Place"]

SHAPE = (4, 4, 1)


def network() -> nn.Sequential:
    """A network with parameters and states."""
    return nn.Sequential(nn.Conv2d(2, 3), nn.BatchNorm2d(), nn.Flatten(), nn.Linear(2))


def trainer(**settings: Any) -> Trainer:
    """A trainer that says nothing."""
    settings = {"batch_size": 3, "progress": False, "threads": 1} | settings
    return Trainer(network(), **settings)


class Place:
    """What calls are made with: a folder for the call at hand, and what is made once.

    Attributes:
        path: a folder for the call's files.
        layer: a layer without weights.
    """

    def __init__(self, kept: Path) -> None:
        self.path = kept
        self.layer = nn.ReLU()
        self._kept = kept
        self._model: nn.Module | None = None
        self.numbers = itertools.count()

    def model(self) -> nn.Module:
        """A built model for images of 8 by 8."""
        if self._model is None:
            self._model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((8, 8, 1))
        return self._model

    def run(self) -> Path:
        """A run folder of its own."""
        whole = self._kept / "run"
        if not whole.exists():
            trainer(keep_checkpoints=True).fit(dataset(), epochs=1, out=whole)
        copy = self.path / f"run-{next(self.numbers)}"
        shutil.copytree(whole, copy)
        return copy

    def checkpoint(self) -> Checkpoint:
        """The state at the end of that run."""
        return RunFolder(self.run()).load_last()


def fresh(place: Place) -> Path:
    """Where no run is yet."""
    return place.path / f"new-{next(place.numbers)}"


def run_folder(name: str, /, **given: Any) -> Any:
    """A method of a run folder; ``...`` stands for a checkpoint."""

    def make(place: Place) -> Call:
        found: dict[str, Any] = {
            key: place.checkpoint() if value is ... else value for key, value in given.items()
        }
        return Call(getattr(RunFolder(place.run()), name), **found)

    return make


def at(made: Any) -> Any:
    """A schedule's factor."""
    return lambda _: Call(made.at, step=1, total=4, per_epoch=2)


def optimizer(kind: Any) -> Table:
    """An optimizer and its methods."""
    name = f"optim.{kind.__name__}"
    made = kind(0.1)
    return {
        name: lambda _: Call(kind, learning_rate=0.1, _then=lambda o: o.hyper_row(1, 0.1)),
        f"{name}.hyper_row": lambda _: Call(made.hyper_row, step=1, learning_rate=0.1),
        f"{name}.update_graph": lambda _: Call(made.update_graph, size=16, clip=True),
    }


def evaluator(place: Place) -> Evaluator:
    """What measures the place's model on images of 8 by 8."""
    return Evaluator(place.model(), Preparation((8, 8, 1), "uint8"), Loss(), threads=1)


def mapping() -> nn.Module:
    """A built model with feature maps, for the same images as the place's."""
    layers = nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)
    return nn.Sequential(*layers).build((8, 8, 1))


def images_of_eight(count: int = 2) -> ic.data.Dataset:
    """Images for the place's model."""
    pixels = np.zeros((count, 8, 8, 1), np.uint8)
    return ic.data.Dataset.from_arrays(pixels, np.arange(count) % 2)


def load_of_run_folder(place: Place) -> Call:
    """A checkpoint for a model that is there."""
    model = network().build(SHAPE)
    shapes = [
        {name: array.shape for name, array in arrays.items()}
        for arrays in (model.parameters(), model.states())
    ]
    folder = RunFolder(place.run())
    return Call(folder.load, parameters=shapes[0], states=shapes[1], slots=["mean", "square"])


def weights_of_run_folder(place: Place) -> Call:
    """Weights in a file of a run folder."""
    folder = RunFolder(place.run())
    weights = network().build(SHAPE).weights
    return Call(folder.save_weights, path=folder.path / "w", weights=weights)


CALLS: Table = {
    "isoconv.EarlyStopping": lambda _: Call(
        ic.EarlyStopping, _then=lambda made: made.stops([{"val_loss": 1.0, "x": 1.0}])
    ),
    "isoconv.EarlyStopping.stops": lambda _: Call(
        ic.EarlyStopping().stops, history=[{"val_loss": 1.0}]
    ),
    "isoconv.Cluster": lambda _: Call(
        ic.Cluster, address="auto", cpus=2, audit=0.5, patience=1.5
    ),
    "isoconv.Trainer": lambda _: Call(
        Trainer, model=network(), freeze=["0"], backbone_lr=0.1,
        _then=lambda made: made.settings(),
    ),
    "isoconv.Trainer.fit": lambda place: Call(
        trainer().fit, train=dataset(), validation=dataset(), epochs=1, out=fresh(place)
    ),
    "isoconv.Trainer.from_run": lambda place: Call(
        Trainer.from_run, model=network(), folder=place.run()
    ),
    "isoconv.Trainer.from_settings": lambda _: Call(
        Trainer.from_settings, model=network(), plain=trainer().settings(), title="here"
    ),
    "isoconv.Trainer.resume": lambda place: Call(
        trainer().resume, out=place.run(), train=dataset(), facts={}
    ),
    "isoconv.Trainer.plain": lambda _: Call(trainer().plain),
    "isoconv.Trainer.settings": lambda _: Call(trainer().settings),
    "isoconv.Trainer.values": lambda _: Call(trainer().values),
    "isoconv.load": lambda place: Call(ic.load, path=place.run(), best=False, epoch=1),
    "isoconv.explain": lambda place: Call(
        ic.explain, model=place.model(), image=images_of_eight().images, at=("1", 3, 1),
        gradient="weight", label=[0, 1], of="loss", training=True, loss="cross_entropy",
        label_smoothing=0.1, optimizer=optim.SGD(0.1), clip_norm=1.0, shard_size=1,
        samples=[3, 4], key=(0, 0), scale=1.0,
    ),
    "isoconv.explore": lambda place: Call(
        ic.explore, model=place.model(), image=images_of_eight().images[0], label=0
    ),
    "isoconv.grad_cam": lambda _: Call(
        ic.grad_cam, model=mapping(), image=images_of_eight().images[0], target=0
    ),
    "isoconv.input_gradient": lambda place: Call(
        ic.input_gradient, model=place.model(), image=images_of_eight().images[0], target=0
    ),
    "isoconv.inspect": lambda place: Call(
        ic.inspect, model=place.model(), images=images_of_eight().images, labels=[0, 1],
        _then=lambda made: made.flags,
    ),
    "isoconv.occlusion": lambda place: Call(
        ic.occlusion, model=place.model(), image=images_of_eight().images[0], target=0, patch=4
    ),
    "isoconv.evaluate": lambda place: Call(
        ic.evaluate, model=place.model(), data=images_of_eight(), threads=1
    ),
    **optimizer(optim.SGD),
    **optimizer(optim.Adam),
    **optimizer(optim.AdamW),
    "schedule.Constant": lambda _: Call(schedule.Constant),
    "schedule.Constant.at": at(schedule.Constant()),
    "schedule.Cosine": lambda _: Call(schedule.Cosine, _then=lambda made: made.at(1, 4)),
    "schedule.Cosine.at": at(schedule.Cosine()),
    "schedule.OneCycle": lambda _: Call(schedule.OneCycle, _then=lambda made: made.at(1, 4)),
    "schedule.OneCycle.at": at(schedule.OneCycle()),
    "schedule.Step": lambda _: Call(schedule.Step, every=2, _then=lambda made: made.at(3, 4)),
    "schedule.Step.at": at(schedule.Step(2)),
    "schedule.WarmUp": lambda _: Call(
        schedule.WarmUp, epochs=1, _then=lambda made: made.at(3, 4)
    ),
    "schedule.WarmUp.at": at(schedule.WarmUp(1)),
    "train.Answer": lambda _: Call(
        train.Answer, sample=0, path="a.png", true=0, predicted=1, probability=0.5
    ),
    "train.Baseline": lambda _: Call(
        train.Baseline, number=0, hits=1, accuracy=0.5, learned=False
    ),
    "train.Callback": lambda _: Call(train.Callback),
    "train.Callback.on_epoch_end": lambda _: Call(train.Callback().on_epoch_end, run=..., row={}),
    "train.Callback.on_train_begin": lambda _: Call(train.Callback().on_train_begin, run=...),
    "train.Callback.on_train_end": lambda _: Call(train.Callback().on_train_end, run=...),
    "train.Checkpoint": lambda _: Call(Checkpoint, epoch=0, step=0, parameters={}, states={}),
    "train.ClassScores": lambda _: Call(
        train.ClassScores, images=1, predicted=1, hits=1, precision=1.0, recall=1.0, f1=1.0,
        iou=1.0, recall_interval=(0.2, 1.0),
    ),
    "train.Difference": lambda _: Call(train.Difference, where="run", epoch=1),
    "train.Difference.lines": lambda _: Call(
        train.Difference("run", 1).lines, first="a", second="b"
    ),
    "train.Evaluation": lambda _: Call(
        train.Evaluation, loss=1.0, top1=None, top5=None, confusion=np.zeros((0, 0), np.int64),
        class_accuracy=np.zeros(0), predictions=np.zeros(0), probabilities=None,
    ),
    "train.Evaluator": lambda place: Call(
        Evaluator, model=place.model(), preparation=Preparation((8, 8, 1), "uint8"), loss=Loss(),
        threads=1,
        _then=lambda made: made.run(place.model().weights, images_of_eight()),
    ),
    "train.Evaluator.close": lambda place: Call(evaluator(place).close),
    "train.Evaluator.run": lambda place: Call(
        evaluator(place).run, weights=place.model().weights, data=images_of_eight()
    ),
    "train.Loss": lambda _: Call(Loss),
    "train.Normalisation": lambda _: Call(
        train.Normalisation, scale=np.ones(1, np.float32), offset=np.zeros(1, np.float32),
        _then=lambda made: measured_with(made),  # noqa: PLW0108 - it stands further below
    ),
    "train.Outcome": lambda _: Call(
        train.Outcome, epochs=1, planned=1, best_epoch=1, images=6, seconds=None, weights="00",
        measured={},
    ),
    "train.Outcome.of": lambda place: Call(
        train.Outcome.of, receipt=train.Receipt.read(place.run())
    ),
    "train.Preparation": lambda _: Call(
        Preparation, shape=SHAPE, dtype="uint8",
        _then=lambda made: made.apply(nn.Trace(), training=False),
    ),
    "train.Preparation.apply": lambda _: Call(
        Preparation(SHAPE, "uint8").apply, trace=nn.Trace(), training=True
    ),
    "train.Preparation.labels": lambda _: Call(
        Preparation(SHAPE, "uint8").labels, trace=nn.Trace(), shape=(), training=True
    ),
    "train.Receipt": lambda place: Call(
        train.Receipt, path=place.path / "receipt.json", content={}, details={}
    ),
    "train.Receipt.check_arithmetic": lambda place: Call(
        train.Receipt.read(place.run()).check_arithmetic
    ),
    "train.Receipt.kept_after": lambda place: Call(
        train.Receipt.read(place.run()).kept_after, epochs=1
    ),
    "train.Receipt.read": lambda place: Call(train.Receipt.read, folder=place.run()),
    "train.Run": lambda _: Call(train.Run, model=network(), description={"epochs": 1}),
    "train.Run.explain": lambda place: Call(
        train.Run(place.model(), {}).explain, image=images_of_eight().images[0], at="1,2"
    ),
    "train.Run.explore": lambda place: Call(
        train.Run(place.model(), {}).explore, image=images_of_eight().images[0], label=0
    ),
    "train.Run.follow": lambda _: Call(train.Run(network(), {}).follow, weights=None),
    "train.Run.stop": lambda _: Call(train.Run(network(), {}).stop, reason="enough"),
    "train.RunDifference": lambda place: Call(
        train.RunDifference, a=place.path, b=place.path, head=(), place=None, epochs=1
    ),
    "train.RunFolder": lambda place: Call(
        RunFolder, path=place.run(), _then=lambda made: made.kept_epochs()
    ),
    "train.RunFolder.best_weights": run_folder("best_weights"),
    "train.RunFolder.changes": run_folder("changes", parts={"train": dataset()}),
    "train.RunFolder.clear": lambda place: Call(RunFolder(fresh(place)).clear),
    "train.RunFolder.describe": run_folder("describe", description={"epochs": 1}),
    "train.RunFolder.describes": run_folder("describes", record={"format": 2}),
    "train.RunFolder.discard": lambda place: Call(RunFolder(fresh(place)).discard),
    "train.Recipe": lambda _: Call(
        train.Recipe, images=1, image_shape=SHAPE, model="lenet5", epochs=1, batch_size=1,
        shard_size=1, optimizer=ic.optim.SGD(0.1), schedule=ic.schedule.Constant(),
        augmentation=None,
    ),
    "train.Recipe.of": lambda _: Call(
        train.Recipe.of, train=dataset(), batch_size=4, tunes="head"
    ),
    "train.RunFolder.find": run_folder("find", epoch=1, weights_sha256="0" * 64),
    "train.RunFolder.begun": lambda place: Call(
        RunFolder(fresh(place)).begun, make_room=lambda: None, _then=lambda held: held.__enter__()
    ),
    "train.RunFolder.check": lambda place: Call(RunFolder(fresh(place)).check),
    "train.RunFolder.gone_on": run_folder("gone_on"),
    "train.RunFolder.tidy": run_folder("tidy", checkpoint=...),
    "train.RunFolder.write": lambda place: Call(
        RunFolder(fresh(place)).write, path=fresh(place) / "notes.txt", content=b"x"
    ),
    "train.RunFolder.samples": run_folder("samples", sha256="0" * 64),
    "train.RunFolder.save_samples": run_folder(
        "save_samples", content=b"x", skipped=[Skipped("a.png", "truncated")]
    ),
    "train.RunFolder.skipped": run_folder("skipped"),
    "train.RunFolder.description": run_folder("description"),
    "train.RunFolder.keep": run_folder("keep", checkpoint=...),
    "train.RunFolder.kept_epochs": run_folder("kept_epochs"),
    "train.RunFolder.kept_file": run_folder("kept_file", epoch=1),
    "train.RunFolder.load": load_of_run_folder,
    "train.RunFolder.load_kept": run_folder("load_kept", epoch=1),
    "train.RunFolder.load_last": run_folder("load_last"),
    "train.RunFolder.save": run_folder("save", checkpoint=...),
    "train.RunFolder.save_metrics": run_folder("save_metrics", history=[{"loss": 1.0}]),
    "train.RunFolder.save_weights": weights_of_run_folder,
    "train.Scores": lambda _: Call(
        train.Scores, images=1, hits=1, accuracy=1.0, accuracy_interval=(0.2, 1.0), classes=(),
        precision=1.0, recall=1.0, f1=1.0, iou=1.0, baseline=train.Baseline(0, 1, 1.0, False),
    ),
    "train.Verification": lambda place: Call(
        train.Verification, folder=place.path, first=1, last=1, epochs=1, weights="00"
    ),
    "train.CrossValidation": lambda place: Call(
        train.CrossValidation, folder=place.path, folds=folds_done().folds
    ),
    "train.CrossValidation.plain": lambda _: Call(folds_done().plain),
    "train.CrossValidation.table": lambda _: Call(folds_done().table),
    "train.FoldResult": lambda place: Call(
        train.FoldResult, fold=1, folder=place.path, samples={"test": 3}, epochs=1, kept_epoch=1,
        metrics={"loss": 0.5}, weights_sha256="00", receipt_sha256="00",
    ),
    "train.FoldResult.plain": lambda _: Call(folds_done().folds[0].plain),
    "train.Combination": lambda _: Call(
        train.Combination, number=1, settings={"epochs": 1}, found=folds_done()
    ),
    "train.Grid": lambda place: Call(
        train.Grid, folder=place.path, combinations=grid_done().combinations
    ),
    "train.Grid.plain": lambda _: Call(grid_done().plain),
    "train.Grid.table": lambda _: Call(grid_done().table),
    "isoconv.grid_search": lambda place: Call(
        ic.grid_search, trainer=trainer(batch_size=2, shard_size=1), data=dataset(),
        over={"epochs": [1]}, folds=2, out=fresh(place),
        early_stopping=ic.EarlyStopping(1, "loss"),
    ),
    "isoconv.cross_validate": lambda place: Call(
        ic.cross_validate, trainer=trainer(batch_size=2, shard_size=1), data=dataset(), folds=2,
        epochs=1, out=fresh(place), early_stopping=ic.EarlyStopping(1, "loss"),
    ),
    "train.answers": lambda place: Call(
        train.answers, data=images_of_eight(),
        evaluation=ic.evaluate(place.model(), images_of_eight(), threads=1),
    ),
    "train.diff": lambda place: Call(train.diff, a=place.run(), b=place.run()),
    "train.score": lambda _: Call(train.score, confusion=[[8, 2], [1, 4]], majority=1),
    "train.verify": lambda place: Call(
        train.verify, folder=place.run(), model=network(), train=dataset(), threads=1
    ),
    "train.wilson_interval": lambda _: Call(train.wilson_interval, hits=3, images=4),
}  # fmt: skip


def folds_done() -> train.CrossValidation:
    """What may have come of two folds."""
    return train.CrossValidation(
        None,
        tuple(
            train.FoldResult(fold, None, {"train": 3, "test": 3}, 1, 1, {"loss": fold / 4}, "", "")
            for fold in (1, 2)
        ),
    )


def grid_done() -> train.Grid:
    """What may have come of one combination."""
    return train.Grid(None, (train.Combination(1, {"epochs": 1}, folds_done()),))


def measured_with(normalisation: train.Normalisation) -> Any:
    """Constants as they are used: in measuring a model."""
    model = network().build(SHAPE)
    return ic.evaluate(model, dataset(), normalisation=normalisation, threads=1)
