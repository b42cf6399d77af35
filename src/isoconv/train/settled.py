"""The settings of one training with nothing left open: those given, and the rules for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from isoconv.checks import refusal
from isoconv.data import Augmentation, Dataset
from isoconv.data.labels import classes_hint, label_counts
from isoconv.errors import ArgumentError, about
from isoconv.nn import Module, models
from isoconv.run.executor import ExecutorFactory
from isoconv.run.training import TrainingEngine
from isoconv.train.callbacks import Callback
from isoconv.train.freezing import Freeze
from isoconv.train.learning_rate import Schedule
from isoconv.train.losses import LOSSES, Loss
from isoconv.train.optim import Optimizer
from isoconv.train.plain_settings import from_plain
from isoconv.train.recipe import RULES, Recipe, Tunes, in_words
from isoconv.train.settings import ALL, TrainSettings, check_shard
from isoconv.train.start import Start, Taken


@dataclass(frozen=True, kw_only=True, eq=False)
class Settled(TrainSettings):
    """The settings of one training, each with its value, and what is trained.

    Attributes:
        model: what is trained.
        epochs: how often it goes through the images.
        name: of the model, if it is a ready one that was made for these images.
        chosen: names of those that nobody gave; "model" and "epochs" may be among them.
        taken: what the model has of another one, if it was made of one.
        why: what was taken for them, in words.
    """

    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    batch_size: int
    shard_size: int
    augmentation: Augmentation | None
    executor: ExecutorFactory
    callbacks: tuple[Callback, ...]
    freeze: Freeze = None
    model: Module
    epochs: int
    name: str | None = None
    chosen: tuple[str, ...] = ()
    taken: Taken | None = None
    why: str = ""

    def __post_init__(self) -> None:
        """All of it was checked before: what is wrong of a run's own is told by comparing."""

    def facts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What run.json keeps beside the settings: names of models, what was chosen, and why.

        Args:
            given: what a person wants kept; it goes before.
        """
        own: dict[str, Any] = {} if self.name is None else {"model": self.name}
        if self.taken is not None:
            own["from"] = {"model": self.taken.name, "why": self.taken.words}
        if self.chosen:
            own["chosen"] = {"settings": list(self.chosen), "why": self.why}
        return {**own, **given}


def settle(
    given: TrainSettings,
    model: Module | str | None,
    train: Dataset,
    epochs: int | None,
    before: Mapping[str, Any] | None = None,
    start: Start | None = None,
) -> Settled:
    """The settings with which these images are trained on.

    Args:
        given: what was given.
        model: what is to be trained; None for the usual one.
        train: what is to be learned from.
        epochs: how often to go through the images; None: by their number.
        before: the settings of the run that is gone on with, as plain values: what was not given is
            as then, whatever the rules are by now. None for a new run.
        start: what is begun from, in the place of a model.

    Raises:
        ArgumentError: of a new run a shard larger than the batch, or smaller where a layer's
            statistics are over the batch; an unknown model, or a ready
            model for float targets.
        ShapeError: images that the model does not take.
    """
    known = {} if before is None else before
    if start is None and before is None:
        _check_learned(given, model)
    values = {"model": model, "epochs": epochs, **given.values()}
    if start is not None:
        # A rate of its own is for layers that are not frozen.
        freeze = given.freeze or ("all" if given.backbone_lr is None else "none")
        tunes: Mapping[Any, Tunes] = {"all": "head", "none": "all"}
        recipe = Recipe.of(train, given.batch_size, tunes=tunes.get(freeze, "part"))
        loss: Any = given.loss
        values["model"], values["taken"] = start.adapted(
            train, LOSSES[loss.name].contains, given.seed
        )
        own = values["model"]
        if given.normalise is True and (own.trained_on is not None or own.normalisation):
            values["normalise"] = "keep"
    else:
        recipe = Recipe.of(train, given.batch_size)
    made = values["model"]
    whole = isinstance(made, Module) and made.over_batch
    if whole:
        recipe = replace(recipe, shard_size=recipe.batch_size)
    chosen = tuple(
        name
        for name in RULES
        if values[name] == ALL[name].default
        and (not ALL[name].sparse or start is not None or name in known)
    )
    for name in chosen:
        values[name] = from_plain(known[name]) if name in known else getattr(recipe, name)
    if before is None:
        # Beside a run's own a person's settings are compared with those that it has.
        check_shard(values["shard_size"], values["batch_size"], whole=whole)
        values |= {"chosen": chosen, "why": in_words(recipe, chosen)}
    if not isinstance(values["model"], Module):
        values |= {"name": values["model"], "model": _ready(values["model"], train)}
    return Settled(**{**values, "executor": given.executor or TrainingEngine})


def _ready(name: str, train: Dataset) -> Module:
    text = ""
    if not train.class_names and not train.of_places:
        text = (
            f"a ready model tells classes apart; {train.name} has float targets"
            f"{classes_hint(train.labels)}: give a Module with as many outputs in place of "
            f"{name!r}"
        )
    elif train.of_places and name not in models.MAP_MODELS:
        text = (
            f"{name!r} gives one class for each image, and {train.name} has labels of places: "
            f"take {' or '.join(models.MAP_MODELS)}"
        )
    elif not train.of_places and name in models.MAP_MODELS:
        text = (
            f"{name!r} gives a class for each place of an image, and {train.name} has one label "
            f"for each image: take {', '.join(models.MODELS)}"
        )
    if text:
        raise ArgumentError(text, argument="model", value=name)
    # Of places without names of classes: as many as there are numbers.
    classes = train.classes or len(label_counts(train.labels)) - 1
    return models.create(name, classes, train.image_shape)


def checked_model(value: object) -> Module | str | None:
    """A model, or the name of a ready one, or None.

    Raises:
        ArgumentError: it is none of those.
    """
    if value is None or isinstance(value, Module):
        return value
    if not isinstance(value, str):
        raise refusal("model", "be a Module, the name of a ready model or None", value)
    if value not in models.ALL_MODELS:
        # Says which there are.
        with about("model", value):
            models.create(value)
    return value


def _check_learned(given: TrainSettings, model: Module | str | None) -> None:
    """Refuse to hold layers back that never learned: a model that is made for these images."""
    if isinstance(model, Module) and model.input_shape is not None:
        return  # Built: its weights may have been loaded.
    for name, idle in (("freeze", (None, "none")), ("backbone_lr", (None,))):
        value = getattr(given, name)
        if value not in idle:
            rule = (
                "be left out without a model to begin from (start=, --from): "
                "the weights of the layers before the head are new and have learned nothing"
            )
            raise refusal(name, rule, value)
