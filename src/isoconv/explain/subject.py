"""What is explained: a model, a run or a run folder, and what a step of that run starts from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from isoconv.checks import check_count, check_kind
from isoconv.errors import CheckpointError
from isoconv.explain.update import Start
from isoconv.nn import Module, Trace, storage, trace_model
from isoconv.train.checkpoint import RunFolder
from isoconv.train.context import rate_of
from isoconv.train.freezing import Learning
from isoconv.train.loading import load
from isoconv.train.losses import Loss, known_loss
from isoconv.train.optim import Optimizer
from isoconv.train.plain_settings import from_plain
from isoconv.train.run import Run
from isoconv.train.settings import check_shard
from isoconv.train.state import Checkpoint, check_model, flat
from isoconv.train.stretches import Stretches


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A model, and the run that it is from if it is from one.

    Attributes:
        model: the model.
        settings: of the run, as plain values; None for a model alone.
        images: of an epoch of the run.
        epochs: of the run that are behind these weights.
        folder: of the run, or None.
    """

    model: Module
    settings: Mapping[str, Any] | None = None
    images: int = 0
    epochs: int = 0
    folder: RunFolder | None = None

    @classmethod
    def of(cls, given: Module | Run | str | Path) -> Subject:
        """The subject that a person means.

        Raises:
            ArgumentError: it is none.
            CheckpointError: there is no model at a path, or it cannot be read.
        """
        if isinstance(given, Run):
            folder = None if given.folder is None else RunFolder(given.folder)
            begun = "settings" in given.description
            return cls._of_run(
                given.model, given.description, given.kept_epoch if begun else 0, folder
            )
        if not isinstance(given, (str, Path)):
            return cls(check_kind("model", given, Module, "a Module, a Run or the path of one"))
        model = load(given)
        if not Path(given).is_dir():
            return cls(model)
        folder = RunFolder(given)
        description = folder.description()
        epochs = description.get("result", {}).get("epoch", 0)
        return cls._of_run(model, description, epochs, folder)

    @classmethod
    def after(cls, folder: RunFolder, model: Module, epoch: int) -> Subject:
        """A run as it was after an epoch.

        Args:
            folder: of the run.
            model: with the weights of that epoch.
            epoch: how many epochs are behind them.
        """
        return cls._of_run(model, folder.description(), epoch, folder)

    @classmethod
    def _of_run(
        cls, model: Module, description: Mapping[str, Any], epochs: int, folder: RunFolder | None
    ) -> Subject:
        if "settings" not in description or "data" not in description:
            # A run that was never begun knows no more than its model.
            return cls(model)
        images = int(description["data"]["train"]["samples"])
        return cls(model, description["settings"], images, epochs, folder)

    # What a run says

    @property
    def loss(self) -> Loss | None:
        """What the run minimised, or the model knows to have been trained with."""
        if self.settings is None:
            return known_loss(self.model)
        found = from_plain(self.settings["loss"])
        return found if isinstance(found, Loss) else None

    @property
    def shard_size(self) -> int | None:
        """Images that one thread took at a time."""
        return None if self.settings is None else int(self.settings["shard_size"])

    def shard_of(self, images: int, given: object, *, training: bool) -> int | None:
        """Images that are taken at a time; None for what suits.

        Args:
            images: how many there are.
            given: what a person says of it; None for nothing.
            training: whether layers use the images' own statistics.

        Raises:
            ArgumentError: fewer than there are, where a layer's statistics are over the batch.
        """
        size = self.shard_size if given is None else check_count("shard_size", given)
        if not (training and self.model.over_batch):
            return size
        if given is not None:
            check_shard(min(size or images, images), images, whole=True)
        return images

    @property
    def key(self) -> tuple[int, int]:
        """Seed and epoch, of which dropout and drawn windows are functions."""
        return (0, 0) if self.settings is None else (int(self.settings["seed"]), self.epochs)

    def start(self) -> tuple[Start | None, list[str]]:
        """What the next step of the run starts from, and what is to be said of it."""
        if self.settings is None:
            return None, []
        try:
            optimizer = from_plain(self.settings["optimizer"])
            schedule = from_plain(self.settings["schedule"])
        except CheckpointError as error:
            return None, [f"no step of the optimizer is shown ({error})"]
        notes = []
        state = self._state(optimizer)
        per_epoch = -(-self.images // int(self.settings["batch_size"]))
        step = self.epochs * per_epoch
        slots: Mapping[str, Any] = {}
        if state is not None:
            step, slots = state.epoch * per_epoch + state.step, state.slots
        elif optimizer.slots:
            notes.append(
                f"no checkpoint holds the optimizer's {' and '.join(optimizer.slots)} beside these "
                "weights: here they are 0"
            )
        stretches = Stretches.of(self.settings)
        last = stretches.epochs * per_epoch - 1
        learning, own = self._learning(), self.settings.get("backbone_lr")
        rates = [optimizer.learning_rate] if own is None else [own, optimizer.learning_rate]
        now = [rate_of(rate, schedule, stretches, per_epoch, min(step, last)) for rate in rates]
        if step > last:
            notes.append("the run has had all its steps: this is one more, at its last rate")
        if self.settings["augmentation"] is not None:
            notes.append("the run changed its images at random; here they are as they are given")
        learned = {
            name: rate for rate, group in zip(now, learning.groups, strict=True) for name in group
        }
        limit = self.settings["clip_norm"]
        return Start(optimizer, step, now[-1], slots, limit, learned), notes

    @property
    def frozen(self) -> frozenset[str]:
        """The modules that the run left as they were."""
        return frozenset() if self.settings is None else self._learning().frozen

    def _learning(self) -> Learning:
        """What of the model learned in the run."""
        settings = self.settings or {}
        freeze, own = settings.get("freeze"), settings.get("backbone_lr")
        freeze = tuple(freeze) if isinstance(freeze, list) else freeze
        return Learning.of(self.model, self._trace(), freeze, own)

    def _trace(self) -> Trace:
        return trace_model(self.model, self.model.input_shape or (), training=True).trace

    def _state(self, optimizer: Optimizer) -> Checkpoint | None:
        """The checkpoint that holds just these weights, with the optimizer's vectors."""
        if self.folder is None or self.model.input_shape is None:
            return None
        trace, learned = self._trace(), {*chain(*self._learning().groups)}
        parameters = {name: trace.shapes[name] for name in trace.parameters if name in learned}
        states = {name: shape for name, shape in trace.shapes.items() if name not in learned}
        wanted = self.model.digest()
        with contextlib.suppress(CheckpointError):
            last = self.folder.load(parameters, states, optimizer.slots)
            if storage.digest(last.weights) == wanted:
                return last
        with contextlib.suppress(CheckpointError):
            kept = self.folder.load_kept(self.epochs)
            path = self.folder.kept_file(self.epochs)
            check_model(path, flat(kept), parameters, states, optimizer.slots)
            if storage.digest(kept.weights) == wanted:
                return kept
        return None
