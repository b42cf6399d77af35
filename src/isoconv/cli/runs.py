"""Run folders as the commands use them: named, filled, read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from isoconv.cli.errors import note
from isoconv.errors import CheckpointError, DataError, IsoconvError

if TYPE_CHECKING:
    from isoconv.data import Dataset, Splits
    from isoconv.nn import Module
    from isoconv.train import Evaluation, Run

__all__ = [
    "DEMO",
    "Trained",
    "facts_of",
    "finish",
    "free_folder",
    "is_known",
    "load_splits",
    "make_model",
    "measure",
    "read_run",
    "result_lines",
]

DEMO = "demo"
"""Name of the demo's network; it is not one of the ready models."""


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


def is_known(name: str) -> bool:
    """Whether a data set is known by this name, so that it is no path."""
    from isoconv.data.names import CLASS_NAMES

    return name in CLASS_NAMES


def free_folder(data: str, model: str) -> Path:
    """``runs/<data>-<model>-<n>`` with the least n that is free.

    Example:
        >>> free_folder("path/of/My pets", "lenet5").as_posix()
        'runs/my-pets-lenet5-1'
    """
    stem = Path(data).name.lower().removesuffix(".npz").removesuffix(".tar.gz")
    title = re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "data"
    number = 1
    while (path := Path("runs") / f"{title}-{model}-{number}").exists():
        number += 1
    return path


def load_splits(data: str, seed: int, size: tuple[int, int] | None) -> Splits:
    """What to train on and what to test with, with classes.

    Raises:
        DataError: as `isoconv.data.load_pair`, or the labels are no classes.
    """
    from isoconv.data import load_pair

    pair = load_pair(data, seed=seed, size=size)
    if not pair.train.class_names:
        raise DataError(
            f"{data}: the command line trains classifiers, which need whole-number labels; got "
            "float targets (the library trains on them with loss='mse')"
        )
    return pair


def facts_of(model: str, data: str, size: tuple[int, int] | None, train: Dataset) -> dict[str, Any]:
    """What `read_run` and ``isoconv resume`` need to know of a run."""
    return {
        "model": model,
        "data": data if is_known(data) else str(Path(data).expanduser().resolve()),
        "size": None if size is None else list(size),
        "classes": train.classes,
        "image_dtype": train.images.dtype.name,
    }


# A run that was trained


@dataclass(frozen=True, slots=True)
class Trained:
    """A run as read from its folder.

    Attributes:
        model: with weights and normalisation.
        description: as in run.json.
        facts: what the command line wrote there.
        class_names: of the training data.
        image_dtype: of the training images.
    """

    model: Module
    description: Mapping[str, Any]
    facts: Mapping[str, Any]
    class_names: tuple[str, ...]
    image_dtype: str

    @property
    def label_smoothing(self) -> float:
        """Of the loss in training."""
        return float(self.description["settings"]["loss"]["label_smoothing"])


def read_facts(description: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """What the command line wrote into a run.

    Raises:
        CheckpointError: another program made the run.
    """
    facts = description.get("facts")
    if not isinstance(facts, Mapping) or not {"model", "data", "classes"} <= set(facts):
        raise CheckpointError(
            f"{path} was not made by `isoconv train` or `isoconv demo`, so that its model is not "
            "known by name: load its weights in Python with model.load"
        )
    return facts


def read_run(path: Path, best: bool = False) -> Trained:
    """Read a trained model from its run folder.

    Args:
        path: of the folder.
        best: the weights of the best epoch; otherwise those of the last one.

    Raises:
        CheckpointError: the folder or its weights cannot be read or belong to another model, the
            run is not finished, or it was not made by the command line.
    """
    import numpy as np

    from isoconv.train import RunFolder

    folder = RunFolder(path)
    description = folder.description()
    facts = read_facts(description, path)
    weights = folder.best_file if best else folder.weights_file
    if not weights.exists():
        hint = "" if best or not folder.best_file.exists() else ", or take --best"
        raise CheckpointError(
            f"{path} has no {weights.name}: its training did not end; go on with: "
            f"isoconv resume {path}{hint}"
        )
    try:
        shape = tuple(int(side) for side in description["model"]["input_shape"])
        model = make_model(str(facts["model"]), int(facts["classes"]), shape)  # type: ignore[arg-type]
        model.build(shape)
        constants = description["normalisation"]
        names = tuple(str(name) for name in description["data"]["train"]["class_names"])
        loss = str(description["settings"]["loss"]["name"])
        if constants is not None:
            scale, offset = (
                np.array([float.fromhex(value) for value in constants[key]], np.float32)
                for key in ("scale", "offset")
            )
    except (KeyError, TypeError, ValueError) as error:
        # Errors of the model say more than that a value is wrong.
        if isinstance(error, IsoconvError):
            raise
        raise CheckpointError(f"{folder.run_file} cannot be read: {error!r}") from error
    model.load(weights)
    model.normalisation = None if constants is None else (scale, offset)
    model.finish = {"cross_entropy": "softmax", "bce": "sigmoid"}.get(loss, "none")
    return Trained(model, description, facts, names, str(facts.get("image_dtype", "uint8")))


# After a training


def measure(trained: Trained, data: Dataset, threads: int | None, target: str | None) -> Evaluation:
    """Measure a model as it was measured in training.

    Raises:
        DataError: images or classes that do not fit.
    """
    from isoconv.train import evaluate

    if data.classes > len(trained.class_names):
        raise DataError(
            f"{data.name} has {data.classes} classes; the run learned {len(trained.class_names)}"
        )
    return evaluate(
        trained.model,
        data,
        label_smoothing=trained.label_smoothing,
        threads=threads,
        target=target,
    )


def result_lines(title: str, evaluation: Evaluation, images: int) -> list[str]:
    """Accuracy and loss in words."""
    hits = int(evaluation.confusion.diagonal().sum())
    accuracy = f"{title} accuracy {evaluation.top1 or 0.0:.2%} ({hits:,} of {images:,} images)"
    if evaluation.top5 is not None:
        accuracy += f", among the first five {evaluation.top5:.2%}"
    return [accuracy, f"{title} loss {evaluation.loss:.4f}"]


def finish(run: Run, test: Dataset, report: bool, threads: int | None, target: str | None) -> None:
    """Measure what was trained, write the report, say where everything is."""
    if run.folder is None:
        raise CheckpointError("a run of the command line needs a folder")
    if run.stopped:
        typer.echo(f"stopped: {run.stopped}")
    trained = read_run(run.folder)
    evaluation = measure(trained, test, threads, target)
    accuracy, _ = result_lines("test", evaluation, len(test))
    page = _report(run.folder, trained.model, test, evaluation) if report else None
    typer.echo(accuracy)
    typer.echo(f"run {run.folder}")
    if page is not None:
        typer.echo(f"report {page}")
    typer.echo(f"weights sha256:{run.digest}")


def _report(folder: Path, model: Module, test: Dataset, evaluation: Evaluation) -> Path | None:
    """The report's page, or None with a note why there is none: the training counts without it."""
    from isoconv.report import write_report

    try:
        return write_report(folder, model, test, evaluation)
    except (IsoconvError, OSError) as error:
        note(f"no report was made: {error}")
        return None
