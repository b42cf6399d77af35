"""``isoconv train``: a new run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli import complete
from isoconv.cli.options import (
    AsJson,
    DataSource,
    Depth,
    Report,
    SaveEvery,
    SkipBad,
    TargetName,
    Threads,
    UseCache,
    augmentation_of,
    size_of,
)
from isoconv.cli.table import print_json, progress, say
from isoconv.errors import ArgumentError
from isoconv.printable import printable
from isoconv.wording import called

if TYPE_CHECKING:
    from isoconv.data import Splits
    from isoconv.train.learning_rate import Schedule
    from isoconv.train.optim import Optimizer

__all__ = ["train"]


class OptimizerName(StrEnum):
    """Optimizers by name."""

    sgd = "sgd"
    adam = "adam"
    adamw = "adamw"


class ScheduleName(StrEnum):
    """Schedules by name."""

    constant = "constant"
    step = "step"
    cosine = "cosine"
    onecycle = "one-cycle"


LEARNING_RATES = {OptimizerName.sgd: 0.05, OptimizerName.adam: 0.002, OptimizerName.adamw: 0.002}


def train(
    data: DataSource,
    model: Annotated[
        str | None,
        typer.Option(
            help="A ready model (isoconv models).  [default: small_resnet]",
            autocompletion=complete.model_names,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How often to go through the images.  [default: 10 to 100, by their number]",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images of a step.  [default: 8 to 128, by their number]"),
    ] = None,
    shard_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images that a thread takes at a time.  "
            "[default: a quarter of the batch, 8 to 32]",
        ),
    ] = None,
    threads: Threads = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of first weights, order, augmentation and dropout."),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="The new run folder.  [default: runs/<data>-<n>]"),
    ] = None,
    optimizer: Annotated[
        OptimizerName | None,
        typer.Option(help="How parameters follow their gradients.  [default: adamw]"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            "--lr",
            help="Before the schedule's factor.  [default: 0.05 for sgd, otherwise 0.002]",
        ),
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="For sgd.  [default: 0.9]")] = None,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="For sgd.")] = False,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            help="How strongly weights are drawn to 0.  [default: 0.01 for adamw, otherwise 0]"
        ),
    ] = None,
    schedule: Annotated[
        ScheduleName | None, typer.Option(help="Of the learning rate.  [default: one-cycle]")
    ] = None,
    step_every: Annotated[
        int | None, typer.Option(min=1, help="For step: epochs between changes.  [default: 10]")
    ] = None,
    step_factor: Annotated[
        float | None, typer.Option(help="For step: factor of each change.  [default: 0.1]")
    ] = None,
    warmup: Annotated[float, typer.Option(help="Epochs in which the learning rate grows.")] = 0.0,
    label_smoothing: Annotated[float, typer.Option(help="From 0 to below 1.")] = 0.0,
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="CHANGES",
            help="Random changes: crop=4,flip,shift=2,rotate=10,cutout=8, any of them, in pixels "
            "and degrees; or none.  [default: those that suit the images]",
        ),
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Greatest global norm of the gradient.")
    ] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            metavar="EPOCHS",
            help="End after so many epochs without improvement and keep the best weights.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="SIDE|HxW", help="Scale the images of a folder to this size."),
    ] = None,
    depth: Depth = None,
    skip_bad: SkipBad = False,
    cache: UseCache = True,
    validation: Annotated[
        float,
        typer.Option(help="Fraction to hold out of training, if there is no validation part."),
    ] = 0.1,
    test: Annotated[
        float, typer.Option(help="Fraction to hold out of training, if there is no test part.")
    ] = 0.1,
    split_seed: Annotated[
        int, typer.Option(min=0, help="Which samples are held out; --seed has no say in it.")
    ] = 0,
    keep_checkpoints: Annotated[
        bool,
        typer.Option(
            "--keep-checkpoints",
            help="Keep one of every epoch, so that each stretch can be verified by itself.",
        ),
    ] = False,
    save_every: SaveEvery = None,
    target: TargetName = None,
    report: Report = True,
    as_json: AsJson = False,
) -> None:
    """Train a model on images and keep the run in a folder.

    Of data with the parts train, validation (or val) and test, all are used; a part that is missing
    is held out of the training part, so much of each class. Validation decides on early stopping
    and the best epoch; the test part is measured once, at the end.

    Ctrl-C and SIGTERM save a checkpoint, as does each minute; `isoconv resume` goes on with it. The
    folder is this training's alone until it ends. The weights that come out depend
    on data and settings alone, not on threads, target or machine.

    What is not said follows from the training images: their number, their size, their colours. It
    is printed when the training begins.

    Examples:
      isoconv train pets
      isoconv train fashion-sample
      isoconv train cifar10 --model resnet20 --epochs 30 --augment crop,flip --out runs/cifar
      isoconv train pets --size 128 --model resnet18 --optimizer sgd --lr 0.1 --warmup 1
    """
    from isoconv.cli.bad import tell_skipped
    from isoconv.cli.ending import finish
    from isoconv.cli.runs import load_parts, new_run, run_facts
    from isoconv.nn import models
    from isoconv.train import EarlyStopping, Trainer

    if model is not None and model not in models.MODELS:
        models.create(model)
    changes, sides = augmentation_of(augment), size_of(size)
    settings = {
        "optimizer": _optimizer(optimizer, learning_rate, momentum, nesterov, weight_decay),
        "schedule": _schedule(schedule, step_every, step_factor, warmup),
        **({} if save_every is None else {"save_every": save_every}),
    }
    with new_run(out, data, model) as folder:
        with called(seed="--split-seed"):
            splits = load_parts(
                data, validation=validation, test=test, seed=split_seed, size=sides, depth=depth,
                skip_bad=skip_bad, cache=cache,
            )  # fmt: skip
        tell_skipped(splits.skipped, folder.skipped_file)
        metric = "loss" if splits.validation is None else "val_loss"
        with called(patience="--early-stopping"):
            stopping = None if early_stopping is None else EarlyStopping(early_stopping, metric)
        trainer = Trainer(
            model,
            label_smoothing=label_smoothing,
            batch_size=batch_size,
            shard_size=shard_size,
            augmentation="auto" if augment is None else changes,
            clip_norm=clip_norm,
            seed=seed,
            keep_checkpoints=keep_checkpoints,
            threads=threads,
            target=target,
            progress=progress(),
            **settings,  # type: ignore[arg-type]
        )
        say(f"{_in_words(splits)}; run {printable(folder.path)}")
        run = trainer.fit(
            splits,
            epochs=epochs,
            out=folder,
            early_stopping=stopping,
            facts=run_facts(data),
        )
        values = finish(run, splits, report, threads, target)
        if as_json:
            print_json(values)


def _in_words(splits: Splits) -> str:
    """What is trained on, chosen by and tested with."""
    train = splits.train
    height, width, channels = train.image_shape
    others = [
        f"{len(part):,} {what}"
        for part, what in (
            (splits.validation, "to choose by"),
            (splits.test, "to test with"),
        )
        if part is not None
    ]
    return (
        f"{train.name}: {len(train):,} images of {height}x{width}x{channels} in {train.classes} "
        f"classes{', ' if others else ''}{', '.join(others)}"
    )


def _optimizer(
    name: OptimizerName | None,
    learning_rate: float | None,
    momentum: float | None,
    nesterov: bool,
    weight_decay: float | None,
) -> Optimizer | None:
    """The optimizer of this name; None if nothing was said of it.

    Raises:
        ArgumentError: a setting outside its range, or one that the optimizer does not have.
    """
    from isoconv.train import optim

    if {name, learning_rate, momentum, weight_decay} == {None} and not nesterov:
        return None
    name = OptimizerName.adamw if name is None else name
    rate = LEARNING_RATES[name] if learning_rate is None else learning_rate
    if name is OptimizerName.sgd:
        strength = 0.9 if momentum is None else momentum
        return optim.SGD(rate, strength, nesterov, weight_decay or 0.0)
    if momentum is not None or nesterov:
        option = "--nesterov" if momentum is None else "--momentum"
        raise ArgumentError(f"{option} is a setting of sgd; got --optimizer {name.value}")
    if name is OptimizerName.adam:
        return optim.Adam(rate, weight_decay=weight_decay or 0.0)
    return optim.AdamW(rate, weight_decay=0.01 if weight_decay is None else weight_decay)


def _schedule(
    name: ScheduleName | None, every: int | None, factor: float | None, warmup: float
) -> Schedule | None:
    """The schedule of this name, behind a warm-up if there is one; None if nothing was said of it.

    Raises:
        ArgumentError: a setting outside its range, or one that the schedule does not have.
    """
    from isoconv import schedule

    if name is not ScheduleName.step and not every is factor is None:
        raise ArgumentError(
            f"--step-every and --step-factor are settings of --schedule step; got "
            f"{'no --schedule' if name is None else f'--schedule {name.value}'}"
        )
    if name is None and warmup == 0:
        return None
    found: Schedule
    if name is ScheduleName.step:
        with called(factor="--step-factor"):
            found = schedule.Step(every or 10, 0.1 if factor is None else factor)
    elif name is ScheduleName.cosine:
        found = schedule.Cosine()
    elif name is ScheduleName.constant:
        found = schedule.Constant()
    else:
        found = schedule.OneCycle()
    with called(epochs="--warmup"):
        return found if warmup == 0 else schedule.WarmUp(warmup, found)
