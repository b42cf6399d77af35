"""``isoconv train``: a new run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from isoconv.cli.on_cluster import cluster_at
from isoconv.cli.options import (
    AsJson,
    DataSource,
    Depth,
    Normalise,
    Report,
    Size,
    SkipBad,
    UseCache,
    augmentation_of,
    size_of,
    takes_settings,
)
from isoconv.cli.table import json_alone, print_json, progress, say
from isoconv.errors import ArgumentError
from isoconv.printable import printable
from isoconv.train.settings import ALL, BESIDE, SETTINGS
from isoconv.wording import called

if TYPE_CHECKING:
    from isoconv.cluster.settings import Cluster
    from isoconv.data import Augmentation, Splits
    from isoconv.train import EarlyStopping
    from isoconv.train.learning_rate import Schedule
    from isoconv.train.optim import Optimizer

__all__ = ["settings_of", "train"]


@takes_settings(*(name for name, setting in ALL.items() if setting.options_of(name)))
def train(
    data: DataSource,
    out: Annotated[
        Path | None,
        typer.Option(help="The new run folder.  [default: runs/<data>-<n>]"),
    ] = None,
    size: Size = None,
    depth: Depth = None,
    normalise: Normalise = None,
    skip_bad: SkipBad = False,
    cache: UseCache = True,
    validation: Annotated[
        float,
        typer.Option(help="Fraction to hold out of training, if there is no validation part."),
    ] = 0.1,
    test: Annotated[
        float | None,
        typer.Option(
            help="Fraction to hold out of training, if there is no test part.  [default: 0.1]"
        ),
    ] = None,
    split_seed: Annotated[
        int, typer.Option(min=0, help="Which samples are held out; --seed has no say in it.")
    ] = 0,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Cross-validation: a run for each of so many parts of the data, which learns from "
            "the others and is tested with it.",
            show_default=False,
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION=VALUE,…",
            help="Cross-validate every combination of values of options that decide bits: --grid "
            "lr=0.1,0.01 --grid model=lenet5,resnet20. A value with commas of its own (augment, "
            "freeze) stands alone, behind a --grid for each. Without --folds five.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train so many folds at the same time, each in a process of its own; changes no "
            "bit.  [default: 1]",
            show_default=False,
        ),
    ] = None,
    report: Report = True,
    as_json: AsJson = False,
    **settings: Any,
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

    Of pictures with masks (folders images and masks) each pixel has a class; --early-stopping goes
    by the mean IoU then, the overlap of each class.

    With --from a model goes on that was trained before. Pictures are read as it takes them (--size
    says another size), its head is made new for these classes unless they are its own, and the rest
    stays as it is unless --freeze or --backbone-lr say otherwise.

    With --folds the training part is dealt out, of each class as evenly as can be, and --out holds
    a run for each fold. A test part is left alone then. What was interrupted goes on with the same
    command and --out. With --cluster each fold is trained by one worker then.

    With --grid every combination of some values of options is cross-validated, on the same folds:
    --out holds a folder of such runs for each. The best one is named with what it was chosen by.

    Examples:
      isoconv train pets
      isoconv train fashion-sample
      isoconv train cifar10 --model resnet20 --epochs 30 --augment crop,flip --out runs/cifar
      isoconv train roads --loss dice --early-stopping 8
      isoconv train pets --from efficientnet-lite0
      isoconv train pets --from published.onnx --normalise imagenet
      isoconv train pets --from animals.safetensors --backbone-lr 0.0002 --lr 0.002
      isoconv train pets --size 128 --model resnet18 --optimizer sgd --lr 0.1 --warmup 1
      isoconv train pets --cluster auto --audit 0.01
      isoconv train pets --folds 5 --workers 2
      isoconv train pets --folds 5 --cluster auto
      isoconv train pets --grid lr=0.01,0.001 --grid batch-size=32,64 --workers 2
    """
    from isoconv.cli.bad import tell_skipped
    from isoconv.cli.ending import finish
    from isoconv.cli.folds import check_folds, train_folds
    from isoconv.cli.grid import FOLDS, over_of, search
    from isoconv.cli.runs import folds_folder, load_parts, new_run, run_facts
    from isoconv.nn import models
    from isoconv.train import Callback, Run, Trainer
    from isoconv.train.start import Start

    over = over_of(grid or (), settings, settings_of)
    model, epochs, patience = (settings.pop(name) for name in BESIDE)
    for each in (model, *over.get("model", ())):
        if each is not None and each not in models.ALL_MODELS:
            models.create(each)
    sides, given = size_of(size), settings_of(settings)
    if given["start"] is not None:
        given["start"] = Start.of(given["start"], normalise)
    elif normalise is not None:
        raise ArgumentError(f"--normalise is for a model that --from names; got {normalise}")

    how: dict[str, Any] = {"size": sides, "depth": depth}
    if given["start"] is not None:
        how = {"reading": given["start"].reading(sides, depth)}
    how |= {"seed": split_seed, "skip_bad": skip_bad, "cache": cache}
    if over and folds is None:
        folds = FOLDS
    check_folds(folds, workers, test, given["executor"])
    if folds is not None:
        cluster = given.pop("executor")
        trainer = Trainer(model, progress=progress(), **given)
        of = "grid" if over else "folds"
        with folds_folder(out, data, model, of) as place, called(seed="--split-seed"):
            splits = load_parts(data, validation=0, test=0, **how)
            first = place / "combination-1" if over else place
            tell_skipped(splits.skipped, first / "fold-1" / "skipped.csv")
            held_out = validation if splits.validation is None else 0.0
            chosen = held_out > 0 or splits.validation is not None
            options: dict[str, Any] = {
                "seed": split_seed,
                "validation": held_out,
                "epochs": epochs,
                "early_stopping": _stopping(patience, splits, chosen, given["loss"]),
                "out": place,
                "workers": workers or 1,
                "cluster": cluster,
                "facts": run_facts(data),
            }
            if over:
                search(trainer, splits, over, folds, options, as_json=as_json)
            else:
                train_folds(trainer, splits, folds, options, as_json=as_json)
        return

    class Announcement(Callback):
        """Says which run it is once nothing is refused any more."""

        def on_train_begin(self, run: Run) -> None:
            say(f"{_in_words(splits)}; run {printable(run.folder or '')}")

    trainer = Trainer(model, progress=progress(), callbacks=(Announcement(),), **given)
    with new_run(out, data, model) as folder:
        with called(seed="--split-seed"):
            splits = load_parts(
                data, validation=validation, test=0.1 if test is None else test, **how
            )
        tell_skipped(splits.skipped, folder.skipped_file)
        stopping = _stopping(patience, splits, splits.validation is not None, given["loss"])
        with json_alone():
            run = trainer.fit(
                splits,
                epochs=epochs,
                out=folder,
                early_stopping=stopping,
                facts=run_facts(data),
            )
        values = finish(run, splits, report, given["threads"], given["target"])
        if as_json:
            print_json(values)


def _stopping(
    patience: int | None, splits: Splits, chosen: bool, loss: str
) -> EarlyStopping | None:
    """When the training is to end before; says by what, where that is not the loss.

    Args:
        patience: as a person said it.
        splits: what is learned from.
        chosen: whether there is a part to choose by.
        loss: what is minimised.
    """
    from isoconv.train import EarlyStopping

    of_places = splits.train.of_places
    metric = ("val_iou" if of_places else "val_loss") if chosen else "loss"
    with called(patience="--early-stopping"):
        stopping = None if patience is None else EarlyStopping(patience, metric)
    if of_places:
        say(_made_small(loss, metric, patience))
    return stopping


def _in_words(splits: Splits) -> str:
    """What is trained on, chosen by and tested with."""
    from isoconv.data.labels import label_counts

    train = splits.train
    height, width, channels = train.image_shape
    classes = train.classes or len(label_counts(train.labels)) - 1
    of = f"with masks of {classes}" if train.of_places else f"in {classes}"
    others = [
        f"{len(part):,} {what}"
        for part, what in (
            (splits.validation, "to choose by"),
            (splits.test, "to test with"),
        )
        if part is not None
    ]
    return (
        f"{train.name}: {len(train):,} images of {height}x{width}x{channels} {of} "
        f"classes{', ' if others else ''}{', '.join(others)}"
    )


def _made_small(loss: str, metric: str, patience: int | None) -> str:
    """What is made small of masks, and what early stopping goes by."""
    from isoconv.train.losses import LOSSES
    from isoconv.train.words import called_best

    said = f"each pixel has a class: the {LOSSES[loss].title} of an image's pixels is made small"
    return (
        said
        if patience is None
        else f"{said}; early stopping by the {called_best(metric, places=True)}"
    )


def settings_of(told: Mapping[str, Any], names: Iterable[str] = SETTINGS) -> dict[str, Any]:
    """The settings by what was told of their options.

    Args:
        told: values of options.
        names: of the settings.

    Raises:
        ArgumentError: a value outside its range, or options that do not go together.
    """
    given = {}
    for name in names:
        words = [told[option.parameter] for option in SETTINGS[name].options_of(name)]
        if words:
            given[name] = _MADE[name](*words) if name in _MADE else words[0]
    return given


def _augmentation(augment: str | None) -> Augmentation | Literal["auto"] | None:
    return "auto" if augment is None else augmentation_of(augment)


def _loss(name: str | None) -> str:
    return "cross_entropy" if name is None else name.replace("-", "_")


def _optimizer(
    name: str | None,
    learning_rate: float | None,
    momentum: float | None,
    nesterov: bool,
    weight_decay: float | None,
) -> Optimizer | None:
    """The optimizer of this name; None if nothing was said of it."""
    from isoconv import optim
    from isoconv.train.recipe import USUAL

    told = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    told = {setting: value for setting, value in told.items() if value is not None}
    if name is None and not told and not nesterov:
        return None
    name = [*USUAL][-1] if name is None else name
    settings: dict[str, Any] = {**USUAL[name], **told}
    if name == "sgd":
        return optim.SGD(**settings, nesterov=nesterov)
    if momentum is not None or nesterov:
        option = "--nesterov" if momentum is None else "--momentum"
        raise ArgumentError(f"{option} is a setting of sgd; got --optimizer {name}")
    return optim.Adam(**settings) if name == "adam" else optim.AdamW(**settings)


def _schedule(
    name: str | None, every: int | None, factor: float | None, warmup: float
) -> Schedule | None:
    """The schedule of this name, behind a warm-up if there is one; None if nothing was said."""
    from isoconv import schedule

    if name != "step" and not every is factor is None:
        raise ArgumentError(
            f"--step-every and --step-factor are settings of --schedule step; got "
            f"{'no --schedule' if name is None else f'--schedule {name}'}"
        )
    if name is None and warmup == 0:
        return None
    kinds = {"cosine": schedule.Cosine, "constant": schedule.Constant}
    found: Schedule = kinds.get(name or "", schedule.OneCycle)()
    if name == "step":
        with called(factor="--step-factor"):
            found = schedule.Step(every or 10, 0.1 if factor is None else factor)
    with called(epochs="--warmup"):
        return found if warmup == 0 else schedule.WarmUp(warmup, found)


def _freeze(layers: str | None) -> str | int | None:
    """A number alone is one of layers; behind a layer of that name stands a comma."""
    return int(layers) if layers is not None and layers.isdecimal() else layers


def _executor(cluster: str | None, audit: float) -> Cluster | None:
    """The cluster at this address; None if nothing was said of one."""
    if cluster is None and audit:
        raise ArgumentError(f"--audit is for --cluster; got --audit {audit} alone")
    return cluster_at(cluster, audit=audit)


_MADE: Mapping[str, Callable[..., Any]] = {
    "augmentation": _augmentation, "executor": _executor, "freeze": _freeze, "loss": _loss,
    "optimizer": _optimizer, "schedule": _schedule,
}  # fmt: skip
"""Settings that are made of what was told of their options."""
