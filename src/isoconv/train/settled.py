"""The settings of one training with nothing left open: those given, and the rules for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from isoconv.checks import check_kind, entries, plain, refusal
from isoconv.data import Augmentation, Dataset
from isoconv.data.labels import classes_hint
from isoconv.errors import ArgumentError, about
from isoconv.nn import Module, models
from isoconv.run.executor import ExecutorFactory
from isoconv.train.callbacks import Callback
from isoconv.train.graphs import Loss
from isoconv.train.learning_rate import Schedule
from isoconv.train.optim import Optimizer
from isoconv.train.plain_settings import from_plain, to_plain
from isoconv.train.recipe import Recipe, in_words
from isoconv.wording import named

if TYPE_CHECKING:
    from rich.console import Console

    from isoconv.train.trainer import Trainer

__all__ = ["SETTINGS", "Settled", "check_shard", "checked_model", "checked_normalise", "settle"]

SETTINGS = (
    "augmentation", "batch_size", "clip_norm", "loss", "normalise", "optimizer", "schedule", "seed",
    "shard_size",
)  # fmt: skip
"""Those that decide the bits, besides the model and the epochs."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The settings of one training; their meaning is told at `isoconv.train.Trainer`.

    Attributes:
        name: of the model, if it is a ready one that was made for these images.
        chosen: names of those that nobody gave; "model" and "epochs" may be among them.
        why: what was taken for them, in words.
    """

    model: Module
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    batch_size: int
    shard_size: int
    augmentation: Augmentation | None
    normalise: bool | Literal["keep", "anew"]
    clip_norm: float | None
    seed: int
    threads: int | None
    target: str | None
    executor: ExecutorFactory
    callbacks: tuple[Callback, ...]
    progress: bool | Console
    keep_checkpoints: bool
    save_every: float
    epochs: int
    name: str | None = None
    chosen: tuple[str, ...] = ()
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """All that decides the bits besides the model and the epochs, as plain values."""
        return {name: to_plain(getattr(self, name)) for name in SETTINGS}

    def facts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What run.json keeps beside the settings: a ready model's name, what was chosen, and why.

        Args:
            given: what a person wants kept; it goes before.
        """
        own: dict[str, Any] = {} if self.name is None else {"model": self.name}
        if self.chosen:
            own["chosen"] = {"settings": list(self.chosen), "why": self.why}
        return {**own, **given}


def settle(
    trainer: Trainer,
    train: Dataset,
    epochs: int | None,
    before: Mapping[str, Any] | None = None,
) -> Settled:
    """The settings with which these images are trained on.

    Args:
        trainer: what was given.
        train: what is to be learned from.
        epochs: how often to go through the images; None: by their number.
        before: the settings of the run that is gone on with, as plain values: what was not given is
            as then, whatever the rules are by now. None for a new run.

    Raises:
        ArgumentError: of a new run a shard larger than the batch; an unknown model, or a ready
            model for float targets.
        ShapeError: images that the model does not take.
    """
    recipe = Recipe.of(train, trainer.batch_size)
    given = {
        "model": trainer.given_model,
        "batch_size": trainer.batch_size,
        "shard_size": trainer.shard_size,
        "epochs": epochs,
        "optimizer": trainer.optimizer,
        "schedule": trainer.schedule,
        "augmentation": None if trainer.augmentation == "auto" else (trainer.augmentation,),
    }
    chosen = tuple(name for name, value in given.items() if value is None)

    def taken(name: str) -> Any:
        if given[name] is not None:
            return given[name]
        if before is not None and name in before:
            return from_plain(before[name])
        return getattr(recipe, name)

    batch_size, shard_size = taken("batch_size"), taken("shard_size")
    if before is None:
        # Beside a run's own a person's settings are compared with those that it has.
        check_shard(shard_size, batch_size)
    model, augmentation = taken("model"), trainer.augmentation
    if isinstance(augmentation, str):
        augmentation = taken("augmentation")
    return Settled(
        model=_model(model, train),
        optimizer=taken("optimizer"),
        schedule=taken("schedule"),
        loss=trainer.loss,
        batch_size=batch_size,
        shard_size=shard_size,
        augmentation=augmentation,
        normalise=trainer.normalise,
        clip_norm=trainer.clip_norm,
        seed=trainer.seed,
        threads=trainer.threads,
        target=trainer.target,
        executor=trainer.executor,
        callbacks=trainer.callbacks,
        progress=trainer.progress,
        keep_checkpoints=trainer.keep_checkpoints,
        save_every=trainer.save_every,
        epochs=taken("epochs"),
        name=None if isinstance(model, Module) else model,
        chosen=() if before is not None else chosen,
        why="" if before is not None else in_words(recipe, chosen),
    )


def check_shard(shard_size: int, batch_size: int) -> None:
    """See that a shard is no larger than a batch.

    Raises:
        ArgumentError: it is.
    """
    if shard_size > batch_size:
        raise ArgumentError(
            f"{named('shard_size')} must be at most {named('batch_size')}; got {shard_size} > "
            f"{batch_size}"
        )


def _model(given: Module | str, train: Dataset) -> Module:
    if isinstance(given, Module):
        return given
    if not train.class_names:
        raise ArgumentError(
            f"a ready model tells classes apart; {train.name} has float targets"
            f"{classes_hint(train.labels)}: give a Module with as many outputs in place of "
            f"{given!r}"
        )
    return models.create(given, train.classes, train.image_shape)


def checked_model(value: object) -> Module | str | None:
    """A model, or the name of a ready one, or None.

    Raises:
        ArgumentError: it is none of those.
    """
    if value is None or isinstance(value, Module):
        return value
    if not isinstance(value, str):
        raise refusal("model", "be a Module, the name of a ready model or None", value)
    if value not in models.MODELS:
        # Says which there are.
        with about("model", value):
            models.create(value)
    return value


def checked_normalise(value: object) -> bool | Literal["keep", "anew"]:
    """How images are to be normalised.

    Raises:
        ArgumentError: there is no such way.
    """
    if isinstance(value, str) and value in ("keep", "anew"):
        return "keep" if value == "keep" else "anew"
    found = plain(value)
    if not isinstance(found, bool):
        raise refusal("normalise", "be True, False, 'keep' or 'anew'", value)
    return found


def checked_augmentation(value: object) -> Augmentation | Literal["auto"] | None:
    """Random changes, none, or "auto" for those that suit the images.

    Raises:
        ArgumentError: it is none of those.
    """
    if value is None or isinstance(value, Augmentation):
        return value
    if isinstance(value, str) and value == "auto":
        return "auto"
    raise refusal("augmentation", "be an Augmentation, None or 'auto'", value)


def checked_executor(value: object) -> ExecutorFactory:
    """What makes the executor of a training.

    Raises:
        ArgumentError: it cannot be called.
    """
    if not callable(value):
        rule = "make what runs the steps when it is called, as TrainingEngine does"
        raise refusal("executor", rule, value)
    return cast(ExecutorFactory, value)


def checked_callbacks(callbacks: object) -> tuple[Callback, ...]:
    """Callbacks as a tuple.

    Raises:
        ArgumentError: there is something else among them.
    """
    odd = (Callback, str, bytes, np.ndarray)
    if isinstance(callbacks, odd) or not isinstance(callbacks, Iterable):
        raise refusal("callbacks", "be a list of them", callbacks)
    given = entries("callbacks", callbacks).items()
    return tuple(check_kind(name, each, Callback, "a Callback") for name, each in given)
