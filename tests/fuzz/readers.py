"""The doors through which files of strangers come in, each called with a mutant's path."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.fuzz import seed_runs

import isoconv
from isoconv import exchange, nn
from isoconv.batch.picture_rows import picture_rows
from isoconv.cli import app
from isoconv.cli.runs import parts_of_run
from isoconv.data import Reading, check, load, load_splits, read_image, read_pictures
from isoconv.data.sources import batches_of
from isoconv.nn import storage
from isoconv.report.write import history_of
from isoconv.train import Receipt, RunFolder, Trainer, cross_validation, diff
from isoconv.train.began import Began
from isoconv.train.files import read_arrays
from isoconv.train.stored import check_files

__all__ = ["READERS", "Reader", "readers_of", "said_by"]

Reader = Callable[[Path], Any]
"""Reads a path; gives what was read, or raises."""


def _command(*words: str) -> None:
    """Run a command; what it says must be text for a terminal, its exit code one of the known."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = app(list(words), standalone_mode=False)
    if code not in (None, 0, 1, 2):
        raise AssertionError(f"exit code {code}: {said.getvalue()}")
    for line in said.getvalue().splitlines():
        if not line.isprintable():
            raise AssertionError(f"a command wrote what is not printable: {line!r}")


# Data


def _one(path: Path) -> Any:
    return read_image(path)


def _one_scaled(path: Path) -> Any:
    return read_image(path, size=(5, 9), channels=3, depth=16)


def _as_trained(path: Path) -> Any:
    return read_pictures([path], Reading((4, 4), 1, 8))


def _floats(path: Path) -> Any:
    return read_pictures([path], Reading(), scale=1 / 255)


def _all(path: Path) -> Any:
    return load(path, "all", cache=False)


def _scaled(path: Path) -> Any:
    return load(path, size=(4, 3), cache=False)


def _parts(path: Path) -> Any:
    return load_splits(path, validation=0.5, test=0, cache=False)


def _in_batches(path: Path) -> Any:
    """As it is packed."""
    batches = batches_of(path, progress=False)
    found = [batches.make(batch, lambda: None) for batch in batches.each()]
    return len(found)


# Runs and models


def _description(path: Path) -> Any:
    return RunFolder(path).description()


def _stand(path: Path) -> Any:
    return RunFolder(path).load_last()


def _kept(path: Path) -> Any:
    return RunFolder(path).load_kept(1), RunFolder(path).best_weights()


def _resumed(path: Path) -> Any:
    """The checkpoint as `Trainer.resume` reads it."""
    model = seed_runs.model().build((4, 4, 1))
    states = {name: array.shape for name, array in model.weights.items() if "running" in name}
    rest = {name: array.shape for name, array in model.weights.items() if name not in states}
    return RunFolder(path).load(rest, states, ("velocity",))


def _receipt(path: Path) -> Any:
    receipt = Receipt.read(path)
    receipt.check_arithmetic()
    return (
        receipt.settings, receipt.stopping, receipt.history, receipt.best_epoch,
        receipt.kept_epoch, receipt.finished, receipt.planned,
    )  # fmt: skip


def _files(path: Path) -> Any:
    found = check_files(Receipt.read(path))
    # All of it is told on a terminal.
    lines = [] if found.difference is None else found.difference.lines("receipt", "found")
    return [*lines, *found.missing, str(found.free)]


def _trainer(path: Path) -> Any:
    return Trainer.from_run(nn.Sequential(nn.Flatten(), nn.Linear(2)), path, progress=False)


def _from_receipt(path: Path) -> Any:
    settings = Receipt.read(path).settings
    model = nn.Sequential(nn.Flatten(), nn.Linear(2))
    return Trainer.from_settings(model, settings, str(path), progress=False)


def _began(path: Path) -> Any:
    return Began.read(RunFolder(path))


def _samples(path: Path) -> Any:
    folder = RunFolder(path)
    return folder.samples(), folder.skipped(), folder.changes(seed_runs.splits().parts)


def _history(path: Path) -> Any:
    return history_of(path / "metrics.jsonl")


def _of_run(path: Path) -> Any:
    return parts_of_run(path, "nowhere", RunFolder(path).description())


def _opened(path: Path) -> Any:
    return RunFolder(path).check()


def _several(path: Path) -> Any:
    """The record of several runs, as whoever goes on with them reads it."""
    plan = json.loads((path / "plan.json").read_text())
    for record in map(path.joinpath, seed_runs.SEVERAL.values()):
        cross_validation._compare(record, plan)


def _final(path: Path) -> Any:
    return isoconv.load(path)


def _best(path: Path) -> Any:
    return isoconv.load(path, best=True)


def _of_epoch(path: Path) -> Any:
    return isoconv.load(path, epoch=1)


def _last_arrays(path: Path) -> Any:
    return [isoconv.load(file) for file in sorted((path / "checkpoints").glob("last-*"))]


def _diff(path: Path) -> Any:
    found = diff(path, path)
    return str(found).splitlines()


def _diff_command(path: Path) -> None:
    _command("diff", str(path), str(path))


def _summary_command(path: Path) -> None:
    _command("summary", str(path))


def _saved(path: Path) -> Any:
    return isoconv.load(path)


def _weights(path: Path) -> Any:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3), nn.functional.relu, nn.Linear(2))
    return model.build((3, 4, 1)).load(path)


def _mere_weights(path: Path) -> Any:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3), nn.functional.relu, nn.Linear(2))
    return model.build((3, 4, 1)).load_weights(storage.read(path)[0])


def _arrays(path: Path) -> Any:
    return storage.read(path), read_arrays(path)


# Files of other libraries


def _torch(path: Path) -> Any:
    return exchange.load_torch(path)


def _torch_model(path: Path) -> Any:
    model = nn.Sequential(nn.Conv2d(3, 2), nn.BatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Linear(2))
    return exchange.load_into(model, path, input_shape=(3, 4, 2))


def _onnx(path: Path) -> Any:
    return exchange.from_onnx(path)


def _onnx_anyhow(path: Path) -> Any:
    return exchange.from_onnx(path, input_shape=(6, 5, 4), output="y", fold_batch_norm=True)


def _pictures_of_rows(path: Path) -> Any:
    source, _ = picture_rows(path, "image", None)
    for item in source.items(min(1, source.count)):
        if not (item.content or item.file or item.error):
            raise AssertionError(f"a row is nothing: {item}")


_DATA = (_all, _parts, _scaled)
_PICTURE = (_one, _one_scaled, _as_trained, _floats)
_RUN = (_description, _began, _trainer, _final, _best, _samples, _of_run, _opened, _stand, _resumed,
        _files, _history)  # fmt: skip
_RECEIPT = (_receipt, _files, _from_receipt, _diff, _opened)
_CHECKPOINT = (_stand, _resumed, _kept, _final, _best, _of_epoch, _last_arrays, _files)
_MODEL = (_saved, _weights, _mere_weights, _arrays)


def _packed(path: Path) -> Any:
    """All of it, down to the last block."""
    found = load(path, "all")
    found.digest()
    found.statistics()
    return [*check(path), *found.notes]


READERS: Mapping[str, tuple[Reader, ...]] = {
    **dict.fromkeys(("idx", "cifar", "tar", "npz"), (_all, _parts, _in_batches)),
    "pack": (_all, _parts, _scaled, _packed),
    "folder": (*_DATA, _in_batches),
    **dict.fromkeys(
        ("png", "jpeg", "tiff", "gif", "bmp", "pnm", "webp", "jpeg2000", "avif", "heic"), _PICTURE
    ),
    "run": _RUN,
    "receipt": _RECEIPT,
    "checkpoint": _CHECKPOINT,
    "several": (_several, _opened),
    "model": _MODEL,
    "torch": (_torch, _torch_model),
    "onnx": (_onnx, _onnx_anyhow),
    "parquet": (_pictures_of_rows,),
}
"""By kind, each called in turn: one that raises an error of isoconv does not spare the next."""

_COMMANDS: Mapping[str, tuple[Reader, ...]] = {
    "receipt": (_diff_command,),
    "model": (_summary_command,),
}
_SELDOM = 8
"""A command is run for one of so many hundreds of mutants: it takes ten times as long as a read."""


def readers_of(kind: str, number: int) -> tuple[Reader, ...]:
    """The readers of a mutant."""
    commands = _COMMANDS.get(kind, ()) if number // 100 % _SELDOM == 0 else ()
    return (*READERS[kind], *commands)


def said_by(result: Any) -> Iterator[str]:
    """Lines of a result that a person is to see."""
    yield from getattr(result, "notes", ())
    yield from (getattr(result, "warnings", list)() if hasattr(result, "how") else ())
    if isinstance(result, list):
        yield from (line for line in result if isinstance(line, str))
