"""What a training begins from: a model that was trained before, made ready for other classes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoconv.checks import refusal
from isoconv.data import Dataset, Reading
from isoconv.data.labels import label_counts
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.operation import Array
from isoconv.nn import Module, Sequential, storage, trace_model
from isoconv.nn.held import own_arrays
from isoconv.nn.inference import reading_of
from isoconv.nn.initial import build_traced
from isoconv.nn.module import modules_in
from isoconv.nn.saved import record_of
from isoconv.nn.traced import Traced
from isoconv.printable import listed
from isoconv.train.freezing import head_of
from isoconv.train.loading import load


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A model that a training begins from; it stays as it is.

    Attributes:
        model: built, with weights.
        name: what a person calls it; "" for a model of a program's own.
    """

    model: Module
    name: str = ""

    @classmethod
    def of(cls, given: Module | str | Path | Start, normalise: str | None = None) -> Start:
        """The model that a person means.

        Args:
            given: a model, or where it is.
            normalise: as of `isoconv.load`.

        Raises:
            ArgumentError: a model that was not built; and as `isoconv.load`.
            CheckpointError: as `isoconv.load`.
        """
        if isinstance(given, Start):
            return given
        if isinstance(given, Module):
            start = cls(given)
        else:
            start = cls(load(given, normalise=normalise), str(given))
        if start.model.input_shape is None:
            raise refusal("start", "have weights; this model was not built", given)
        return start

    def reading(self, size: tuple[int, int] | None = None, depth: int | None = None) -> Reading:
        """How pictures are read: as the model takes them.

        Args:
            size: in place of that of the model's images.
            depth: in place of what the model's own pictures had.
        """
        own, trained = reading_of(self.model), self.model.trained_on
        if trained is None or trained.reading is None:
            # It has seen no files, which are read as any others.
            own = Reading(own.size, own.channels, 8)
        return replace(own, size=size or own.size, depth=depth or own.depth)

    def adapted(self, train: Dataset, contained: str, seed: int) -> tuple[Module, Taken]:
        """A copy for these classes, and what it has of this one.

        The head (`isoconv.train.freezing.head_of`) stays if the classes are the model's own;
        otherwise it is made new. Without names it stays where the number of results is right.

        Args:
            train: what is to be learned from, in the model's order of classes if they are its own.
            contained: the activation that the loss contains, which is left out at the model's end;
                "" for none.
            seed: that a new head is drawn from.

        Raises:
            ShapeError: images that the model does not take.
            ArgumentError: the head does not say how many results there are.
        """
        model = copy.deepcopy(self.model)
        traced = _traced(self, model, train)
        _leave_out_end(model, traced, contained)
        outputs = _results(train)
        had = traced.output_tensor.shape
        own = self.model.class_names
        head = head_of(traced.trace)
        if train.class_names != own or had[-1:] != (outputs,):
            _renew(model, traced, head, outputs)
            traced = _traced(self, model, train)
        else:
            head = []
        if traced.output_tensor.shape[-1:] != (outputs,):
            raise ArgumentError(
                f"the head, layer {head[0]!r}, must say how many results there are: with {outputs} "
                f"for the classes of {train.name} the model gives {traced.output_tensor.shape}",
                argument="start",
                value=self.model,
            )
        kept = _fitting(self, model, traced, train)
        new = tuple(name for name in traced.trace.shapes if name not in kept)
        build_traced(model, traced.trace, train.image_shape, seed if new else None)
        return model, Taken.of(self, model, new, tuple(head), outputs)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a training took over from the model that it begins from.

    Attributes:
        name: what a person calls that model; "" for one of a program's own.
        digest: of its record.
        weights_sha256: of its weights.
        taken_sha256: of the weights that were taken over.
        new: names of those that were not.
        words: all of it in a line.
    """

    name: str
    digest: str
    weights_sha256: str
    taken_sha256: str
    new: tuple[str, ...]
    words: str

    @classmethod
    def of(
        cls, start: Start, model: Module, new: tuple[str, ...], head: tuple[str, ...], outputs: int
    ) -> Taken:
        """What a model has of the one that it was made of."""
        record = record_of(start.model)
        if head:
            layers = f"{'layer' if len(head) == 1 else 'layers'} {listed([*map(repr, head)])}"
            said = f"the head, {layers}, is new, for {outputs} results"
        else:
            said = "the head stays, for the classes are the same"
        taken = len(model.weights) - len(new)
        return cls(
            start.name,
            record["digest"],
            record["weights_sha256"],
            taken_digest(model.weights, new),
            new,
            f"begins from {start.name or 'a trained model'} (weights sha256:"
            f"{record['weights_sha256'][:12]}…), {taken} arrays taken over; {said}",
        )

    def plain(self) -> dict[str, Any]:
        """What a receipt has of it."""
        return {
            "digest": self.digest,
            "weights_sha256": self.weights_sha256,
            "taken_sha256": self.taken_sha256,
            "new": list(self.new),
        }


def taken_digest(weights: Mapping[str, Array], new: tuple[str, ...] | list[str]) -> str:
    """SHA-256 of the first weights of a training without the new ones."""
    return storage.digest({name: array for name, array in weights.items() if name not in new})


def _results(train: Dataset) -> int:
    """How many results a model gives for an image, or for each of its places."""
    if train.classes or train.labels.dtype.kind in "iu":
        return train.classes or len(label_counts(train.labels)) - 1
    return int(train.labels.shape[-1]) if train.labels.ndim > 1 else 1


def _traced(start: Start, model: Module, train: Dataset) -> Traced:
    """The model on these images.

    Raises:
        ShapeError: it does not take them.
    """
    try:
        return trace_model(model, train.image_shape, training=True)
    except ShapeError as error:
        raise error.within(_wanted(start, train), behind=f"; {_images(train)}") from error


def _fitting(start: Start, model: Module, traced: Traced, train: Dataset) -> dict[str, Array]:
    """The weights that the model keeps.

    Raises:
        ShapeError: with these images a layer that is to keep its weights needs others.
    """
    weights = model.weights
    for name, shape in traced.trace.shapes.items():
        if name in weights and weights[name].shape != shape:
            raise ShapeError(
                f"{_wanted(start, train)}: of {_images(train)}, {name!r} would have shape {shape}; "
                f"it has {weights[name].shape}",
                argument="train",
                layer=name.rpartition(".")[0],
            )
    return weights


def _wanted(start: Start, train: Dataset) -> str:
    return (
        f"{start.name or 'the model to begin from'} takes images of shape "
        f"{start.model.input_shape}; {train.name} does not fit"
    )


def _images(train: Dataset) -> str:
    return f"the images have shape {train.image_shape}"


def _renew(model: Module, traced: Traced, head: list[str], outputs: int) -> None:
    """Give the head another number of results, and no weights."""
    modules = dict(model.named_modules())
    if modules[head[0]].width:
        setattr(modules[head[0]], modules[head[0]].width, outputs)
    for name, owner in traced.trace.owners.items():
        if name.rpartition(".")[0] in head:
            for kind in ("parameters", "states"):
                own_arrays(owner, kind).pop(name.rpartition(".")[2], None)


def _leave_out_end(model: Module, traced: Traced, contained: str) -> None:
    """Let nothing stand in the place of a layer that is the activation which the loss contains."""
    if not contained or traced.builder[traced.output].op != contained:
        return
    for call in traced.trace.calls:
        if call.result == traced.output and not call.inner and call.path:
            for _, parent in model.named_modules():
                for name, value in [*vars(parent).items()]:
                    if any(child is call.module for _, child in modules_in(name, value)):
                        setattr(parent, name, _without(value, call.module))
            return


def _without(value: Any, module: Module) -> Any:
    """An attribute with a module that passes on what it gets in the place of another one."""
    if value is module:
        return Sequential()
    if isinstance(value, (list, tuple)):
        return type(value)(_without(item, module) for item in value)
    if isinstance(value, dict):
        return {key: _without(item, module) for key, item in value.items()}
    return value
