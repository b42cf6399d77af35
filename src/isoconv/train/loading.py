"""A model from wherever it is: a run folder, a saved model, a checkpoint, a file of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isoconv.checks import as_word, check_count, check_flag, check_kind, check_path
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.files import open_file
from isoconv.nn import Module
from isoconv.nn.images import warn_outside
from isoconv.nn.saved import facts_of, read_model
from isoconv.printable import printable
from isoconv.train.callbacks import watched_metric
from isoconv.train.checkpoint import RunFolder
from isoconv.train.files import read_rows
from isoconv.train.layout import ROW
from isoconv.train.losses import Loss, note_loss
from isoconv.train.plain_settings import from_plain
from isoconv.train.sources import KINDS, kind_of, known_names
from isoconv.train.words import doubt_of_best, gives_places
from isoconv.wording import offered, setting, spelled_near

__public__ = {"isoconv": ["load"], "isoconv.train": ["load"]}

_LENGTH = 8
"""Bytes of a file of weights before its header, which is JSON of an object."""


def load(
    path: str | Path,
    *,
    model: Module | None = None,
    best: bool = False,
    epoch: int | None = None,
    normalise: str | None = None,
) -> Module:
    """A model that predicts, with all that belongs to it.

    Weights, architecture, input shape, class names, and how images are read and normalised come
    from the file. Nothing of it is executed.

    Args:
        path: a run folder, a file that ``model.save`` wrote, a checkpoint, or anything else of
            which a model can be made (`isoconv.train.sources`).
        model: a model of a person's own class, whose architecture no file holds.
        best: of a run folder, the weights of the best epoch in place of the final ones. Where the
            last epoch recognised clearly more validation images, a `DataWarning` says so; so does
            one of a run that is gone on with and has the weights of its earlier end alone.
        epoch: of a run folder that keeps checkpoints, the weights after this epoch; 0 for the
            first weights.
        normalise: of a file that does not say how pictures are prepared, as an ONNX file: by which
            rule, ``"imagenet"``, ``"half"``, ``"unit"`` or ``"none"`` (docs/onnx.md).

    Raises:
        ArgumentError: both ``best`` and ``epoch``, one of them for a file, or ``normalise`` for
            what says it itself.
        CheckpointError: there is no model, it cannot be read, was altered, or needs ``model``.

    Example:
        >>> import tempfile
        >>> import isoconv as ic
        >>> from isoconv import nn
        >>> saved = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 1))
        >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> saved.save(file)
        >>> ic.load(file).digest() == saved.digest()
        True
    """
    if model is not None:
        check_kind("model", model, Module, "a Module")
    best = check_flag("best", best)
    if epoch is not None:
        epoch = check_count("epoch", epoch, least=0)
    if best and epoch is not None:
        text = f"give best or epoch; got both, epoch={epoch}"
        raise ArgumentError(text, argument="best", value=best)
    place = check_path("path", path)
    kind = kind_of(path)
    if normalise is not None and (kind is None or kind.says):
        text = f"normalise is for files that do not say it themselves; {printable(place)} does"
        raise ArgumentError(text, argument="normalise", value=normalise, path=place)
    if kind is not None:
        given = {"model": model, "best": best, "epoch": epoch}
        for name, value in given.items():
            if value is not None and value is not False:
                text = f"{name} is for runs and saved models; {printable(place)} is {kind.title}"
                raise ArgumentError(text, argument=name, value=value, path=place)
        return kind.read(path, normalise)
    if not place.exists():
        # A bare word may have been meant for a name.
        bare = len(place.parts) == 1 and not place.suffix
        known = f"; {spelled_near(place.name, known_names(), 'models that are known by name are')}"
        raise CheckpointError(
            f"there is no run and no saved model at {printable(place)}{known if bare else ''}",
            path=place,
        )
    if not place.is_dir():
        if best or epoch is not None:
            raise ArgumentError(
                f"best and epoch choose within a run folder; {printable(place)} is none",
                argument="best" if best else "epoch",
                value=best or epoch,
                path=place,
            )
        _check_content(place)
        return read_model(place, model)
    folder = RunFolder(place)
    file = _file_of(folder, best, epoch)
    found = read_model(file, model)
    description = _check_of_run(folder, file, found)
    loss = from_plain(description["settings"]["loss"])
    note_loss(found, loss if isinstance(loss, Loss) else None)
    earlier = description.get("earlier", {})
    # At its new end a run has other weights before it says so.
    if file == folder.weights_file and earlier.get("weights_sha256") == found.digest():
        warn_outside(
            f"{folder.path} is to have {description['settings']['epochs']} epochs and has not come "
            f"to their end: these are the weights of epoch {earlier['epoch']}, those of its "
            f"earlier end; go on with: isoconv resume {as_word(folder.path)}"
        )
    if best and (line := _doubt(folder)):
        warn_outside(line)
    return found


def _check_content(place: Path) -> None:
    """See that a file of another name begins as a file of weights does.

    Raises:
        CheckpointError: it does not; says what a model is read from.
    """
    if place.suffix.lower() == ".safetensors":
        return
    try:
        with open_file(place) as file:
            first = file.read(_LENGTH + 1)
    except OSError:
        return  # Whoever reads it says what is wrong.
    if first[_LENGTH:] != b"{":
        kinds = [f"{kind.title} ({', '.join(kind.endings)})" for kind in KINDS if kind.endings]
        raise CheckpointError(
            f"{printable(place)} cannot be read as saved weights, for it is no .safetensors file; "
            f"a model is that, a run folder, {', '.join(kinds)} or a name that isoconv models list "
            "shows",
            path=place,
        )


def _doubt(folder: RunFolder) -> str:
    """What speaks against the best epoch of a run; "" for nothing."""
    description = folder.description()
    validation = description["data"].get("validation")
    if validation is None or not folder.metrics_file.exists():
        return ""
    rows, _ = read_rows(folder.metrics_file, ROW)
    watched = watched_metric(from_plain(description["settings"]["early_stopping"]), True)
    images, places = int(validation["samples"]), gives_places(description)
    return doubt_of_best(rows, watched, images, places)


def _check_of_run(folder: RunFolder, file: Path, model: Module) -> dict[str, Any]:
    """See that a file of a run folder holds the model that run.json describes; gives that back.

    Raises:
        CheckpointError: it holds another one, or run.json cannot be read.
    """
    description = folder.description()
    wanted = description["record"]
    found = facts_of(model).plain()
    if wanted["architecture"] is None:
        # A class of a person's own, of which no file tells.
        found["architecture"] = None
    if found != wanted:
        raise CheckpointError(
            f"{file} does not hold the model of the run that {folder.run_file} describes; what "
            f"was changed: isoconv verify {as_word(folder.path)}",
            path=file,
        )
    return description


def _file_of(folder: RunFolder, best: bool, epoch: int | None) -> Path:
    """The file of a run folder that holds the wanted weights.

    Raises:
        CheckpointError: it is not there; the message says what is.
    """
    if not folder.run_file.exists():
        raise CheckpointError(
            f"a run is a folder with run.json; {folder.path} {folder.has_no_run}",
            path=folder.path,
        )
    if epoch is not None:
        kept = folder.kept_epochs()
        if epoch not in kept:
            listed = ", ".join(map(str, kept)) or "none"
            raise CheckpointError(
                f"{folder.path} has no checkpoint of the state after epoch {epoch}; kept are: "
                f"{listed}",
                path=folder.path,
                epoch=epoch,
            )
        return folder.kept_file(epoch)
    file = folder.best_file if best else folder.weights_file
    if not file.exists():
        way_on = f"isoconv resume {as_word(folder.path)}"
        other = f", or take its best epoch so far ({setting('best', 'True', '')})"
        hint = other if not best and offered("best") and folder.best_file.exists() else ""
        raise CheckpointError(
            f"{folder.path} has no {file.name}: its training did not end; go on with: "
            f"{way_on}{hint}",
            path=folder.path,
        )
    return file
