"""Models as commands are given them: a run folder, the name of a model, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.cli.runs import DEMO
from isoconv.errors import ArgumentError
from isoconv.wording import spelled_near

if TYPE_CHECKING:
    from isoconv.nn import Module


def make_model(name: str, classes: int, shape: tuple[int, int, int]) -> Module:
    """A model by its name, not built yet.

    Raises:
        ArgumentError: an unknown name.
    """
    if name == DEMO:
        from isoconv.cli.network import demo_network

        return demo_network(classes)
    from isoconv.nn import models

    return models.create(name, classes, shape)


def classifier_at(
    path: Path, best: bool, normalise: str | None = None, class_names: Path | None = None
) -> Module:
    """The model of a run folder or of a file, which must tell classes of images or of pixels.

    Args:
        path: of it.
        best: of a run folder, the best epoch.
        normalise: of a file that does not say it, how pictures are normalised.
        class_names: a file with the names of the classes, likewise.

    Raises:
        ArgumentError: its results are no probabilities of one class among several, of an image or
            of each of its pixels, or another number of names is given.
        CheckpointError: as `isoconv.load`.
    """
    from isoconv.train import load

    model = load(path, best=best, normalise=normalise)
    gives = {"sigmoid": "a probability for each output", "none": "numbers"}.get(model.finish, "")
    if not gives and model.input_shape is not None:
        shape = results_of(model)
        if len(shape) > 1 and shape[:-1] != model.input_shape[:2]:
            gives = f"classes of places that are not the pixels, {shape}"
    if gives:
        raise ArgumentError(
            "the command line measures and shows classes of images or of pixels; "
            f"{path} gives {gives}: a program can use it (docs/training.md)"
        )
    if class_names is not None:
        model.class_names = _names_in(class_names, model)
    return model


def of_places(model: Module) -> bool:
    """Whether a model gives each place of an image a result of its own."""
    return len(results_of(model)) > 1


def results_of(model: Module) -> tuple[int, ...]:
    """The shape of what a built model gives for an image."""
    from isoconv.nn import Trace

    trace = Trace(model)
    return tuple(model(trace.images(model.input_shape or ())).shape)


def _names_in(path: Path, model: Module) -> tuple[str, ...]:
    """The names of a model's classes out of a file, one a line.

    Raises:
        ArgumentError: the file cannot be read, or has another number of them.
    """
    from isoconv.files import read_file
    from isoconv.nn import trace_model

    try:
        text = read_file(path, most=2**20).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        hint = "; it takes a file with a name a line" if not path.is_file() else ""
        raise ArgumentError(f"--class-names {path} cannot be read: {error}{hint}") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    shape = trace_model(model, model.input_shape or (), training=False).output_tensor.shape
    if shape[-1:] != (len(names),):
        raise ArgumentError(
            f"--class-names must have a line for each of {shape[-1]} classes; {path} has "
            f"{len(names)}"
        )
    return names


def model_named(name: str, shape: str | None, usual: str, classes: int | None = None) -> Module:
    """A ready model by its name, built with fresh weights, or a trained one by its path.

    Args:
        name: of the model, or the path of a run folder, a saved model or a checkpoint.
        shape: of one image as ``HxWxC``; None for `usual`, or that of the trained model.
        usual: shape for a ready model when none is given.
        classes: of a ready model; None for 10, or those of the trained model.

    Raises:
        ArgumentError: neither a model nor a path, or a shape or classes that are not those of the
            trained model.
        CheckpointError: as `isoconv.load`.
    """
    from isoconv.cli.options import shape_of
    from isoconv.nn.models import ALL_MODELS
    from isoconv.train import load
    from isoconv.train.sources import kind_of, known_names

    if name == DEMO or name in ALL_MODELS:
        sides = shape_of(shape or usual)
        return make_model(name, 10 if classes is None else classes, sides).build(sides)
    if not (Path(name).exists() or "/" in name or Path(name).suffix or kind_of(name)):
        known = (*ALL_MODELS, *known_names())
        raise ArgumentError(
            f"no model is called {name!r}, and no run folder and no saved model is there; "
            + spelled_near(name, known)
        )
    model = load(name)
    if shape is not None and shape_of(shape) != model.input_shape:
        raise ArgumentError(
            f"--input must be left out or that of the model, "
            f"{'x'.join(map(str, model.input_shape or ()))}; got {shape}"
        )
    if classes is not None:
        raise ArgumentError(
            f"--classes is for ready models; got {classes} for the trained model {name}"
        )
    return model


def class_names_of(model: Module, results: int) -> tuple[str, ...]:
    """Names for the results of a model: those of its classes, otherwise numbers."""
    names = model.class_names
    return (*names, *(str(number) for number in range(len(names), results)))
