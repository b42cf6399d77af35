"""Cross-validation: a run for each fold of the data, in one folder.

::

    OUT/
      cross-validation.json   what was asked for; at the end what came of each fold, mean and spread
      fold-1/ …               a run folder for each fold

Each run is one like any other: it is verified, resumed and loaded as such.
"""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT
from typing import IO, Any, cast

from isoconv.checks import as_word, check_count, check_kind, check_path, refusal
from isoconv.data import Dataset, Folds, Splits
from isoconv.data.tally import counted
from isoconv.errors import ArgumentError, IsoconvError
from isoconv.nn import Module
from isoconv.run.pieces import Machines, Mapper, Tell, mapper_for, threads_for
from isoconv.signals import Uninterrupted, number_of
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.differing import difference_table, differing
from isoconv.train.files import canonical_json, read_json, write_bytes
from isoconv.train.hold import Hold
from isoconv.train.layout import exact_metrics
from isoconv.train.metrics import Data, as_dataset
from isoconv.train.plain_settings import check_facts, to_plain, versions
from isoconv.train.progress import reporter_for
from isoconv.train.run import Run
from isoconv.train.trainer import Trainer
from isoconv.wording import either

__all__ = ["CrossValidation", "CrossValidationInterrupted", "FoldResult", "cross_validate"]
__public__ = {"isoconv": ["cross_validate"], "isoconv.train": ["*"]}

_FORMAT = 1
_TITLES = {"loss": "loss", "top1": "accuracy", "top5": "among five", "iou": "mean IoU"}


class CrossValidationInterrupted(KeyboardInterrupt):
    """A cross-validation was interrupted, or asked to end; the message says how to go on.

    Attributes:
        signal: number of the signal: that of Ctrl-C, SIGTERM or SIGHUP.
    """

    def __init__(self, message: str, signal: int = SIGINT) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What came of one fold.

    Attributes:
        fold: its number, from 1.
        folder: the run folder, or None.
        samples: how many there are in each part; those of ``test`` are the fold.
        epochs: that were trained.
        kept_epoch: whose weights were measured.
        metrics: on the fold: ``loss``, ``top1``, ``top5``, ``iou``, those that there are.
        weights_sha256: of the weights that were measured.
        receipt_sha256: the receipt's digest.
        stopped: why it ended before its last epoch; "" if it did not.
        notes: what a person should know before trusting the figures, a line each.
    """

    fold: int
    folder: Path | None
    samples: Mapping[str, int]
    epochs: int
    kept_epoch: int
    metrics: Mapping[str, float]
    weights_sha256: str
    receipt_sha256: str
    stopped: str = ""
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The same for JSON, numbers exact."""
        return {
            "fold": self.fold,
            "folder": None if self.folder is None else self.folder.name,
            "samples": dict(self.samples),
            "epochs": self.epochs,
            "kept_epoch": self.kept_epoch,
            "test": exact_metrics(self.metrics),
            "stopped": self.stopped or None,
            "weights_sha256": self.weights_sha256,
            "receipt_sha256": self.receipt_sha256,
        }


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What came of a cross-validation.

    Attributes:
        folder: of its runs, or None.
        folds: what came of each fold.
    """

    folder: Path | None
    folds: tuple[FoldResult, ...]

    @property
    def mean(self) -> dict[str, float]:
        """The mean of each metric over the folds, each fold counting once."""
        return {name: _mean(self._values(name)) for name in self.folds[0].metrics}

    @property
    def std(self) -> dict[str, float]:
        """The standard deviation of each metric over the folds: ``√(Σ (x - mean)² / (k - 1))``."""
        return {name: _deviation(self._values(name)) for name in self.folds[0].metrics}

    def _values(self, name: str) -> list[float]:
        return [fold.metrics[name] for fold in self.folds]

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Titles of columns, and a row for each fold, their mean and their standard deviation."""
        names = tuple(self.folds[0].metrics)
        titles = (
            "fold",
            "learned",
            "tested",
            "epochs",
            *(_TITLES.get(each, each) for each in names),
        )
        rows = [
            (
                str(fold.fold),
                f"{fold.samples['train']:,}",
                f"{fold.samples['test']:,}",
                str(fold.epochs),
                *(_shown(name, fold.metrics[name]) for name in names),
            )
            for fold in self.folds
        ]
        for title, values in (("mean", self.mean), ("std", self.std)):
            rows.append((title, "", "", "", *(_shown(name, values[name]) for name in names)))
        return titles, rows

    def plain(self) -> dict[str, Any]:
        """The same for JSON, numbers exact."""
        return {
            "results": [fold.plain() for fold in self.folds],
            "mean": exact_metrics(self.mean),
            "std": exact_metrics(self.std),
        }

    def __str__(self) -> str:
        titles, rows = self.table()
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if not place else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (titles, *rows)
        ]
        return "\n".join(lines)


@dataclass(slots=True)
class _TrainFolds:
    """Trains the run of a fold, in whatever process; see `isoconv.run.pieces.Work`."""

    trainer: Trainer
    folds: Folds
    folder: Path | None
    epochs: int | None
    early_stopping: EarlyStopping | None
    facts: Mapping[str, Any]
    shown: bool

    def __call__(self, fold: int, tell: Tell) -> FoldResult:
        """Train it, or go on with what there is of it; tells of each line that is to be seen."""
        from rich.console import Console

        splits, model = self.folds[fold - 1], self.trainer.model
        lines = Console(file=cast("IO[str]", _Lines(tell)), force_terminal=False, color_system=None)
        trainer = replace(
            self.trainer,
            model=copy.deepcopy(model) if isinstance(model, Module) else model,
            progress=lines if self.shown else False,
        )
        try:
            return _result(fold, self._run(trainer, splits, fold))
        except IsoconvError as error:
            raise error.within(f"fold {fold}") from error

    def _run(self, trainer: Trainer, splits: Splits, fold: int) -> Run:
        out = None if self.folder is None else folder_of_fold(self.folder, fold)
        if out is not None and RunFolder(out).run_file.exists():
            return trainer.resume(out, splits)
        return trainer.fit(
            splits,
            epochs=self.epochs,
            out=out,
            early_stopping=self.early_stopping,
            facts=self.facts,
        )


def _result(fold: int, run: Run) -> FoldResult:
    """What came of a run whose test part is the fold."""
    data = run.description["data"]
    return FoldResult(
        fold, run.folder, {part: data[part]["samples"] for part in data}, len(run.history),
        run.kept_epoch, dict(run.test.metrics), run.digest, run.receipt.get("digest", ""),
        run.stopped, tuple(run.notes),
    )  # fmt: skip


class _Lines(io.TextIOBase):
    """A file that tells each line that is written to it."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._rest = ""

    def write(self, text: str) -> int:
        """As a file."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)


def folder_of_fold(folder: Path, fold: int) -> Path:
    """The run folder of a fold, from 1."""
    return folder / f"fold-{fold}"


def cross_validate(
    trainer: Trainer,
    data: Data | Splits,
    folds: int = 5,
    *,
    seed: int = 0,
    validation: float = 0.0,
    epochs: int | None = None,
    early_stopping: EarlyStopping | None = None,
    out: str | Path | None = None,
    workers: int = 1,
    cluster: Machines | None = None,
    facts: Mapping[str, Any] | None = None,
) -> CrossValidation:
    """Train a model for each fold of the data, on the others, and measure it with that fold.

    The folds are those of `isoconv.data.Folds`. Each run begins as a `Trainer.fit` does, with the
    same settings and the same seed, from the same weights if the model has any. The trainer's own
    model stays as it is. No bit depends on `workers`.

    With the folder of a cross-validation that did not come to its end, the same call goes on: runs
    that have ended are read back, the others come to their end.

    Args:
        trainer: how to train; its callbacks look on at every run.
        data: images and labels, a data set, or `Splits`: the training part is dealt out, a
            validation part is that of every fold, and a test part is left alone.
        folds: how many, at least 2.
        seed: by which samples are dealt out; the trainer's seed has no say in it.
        validation: fraction of each fold's training part to hold out for early stopping and the
            best epoch.
        epochs: of each run; None: by the number of its images.
        early_stopping: when a run is to end before.
        out: a folder for the runs; None keeps none.
        workers: number of processes that train at the same time; threads are those of each, and
            without a number cores are divided among them.
        cluster: `isoconv.Cluster` whose workers do that in their place, a fold each; they have to
            see the folder `out`.
        facts: plain values that are kept with each run beside the settings.

    Returns:
        What came of each fold, with mean and standard deviation.

    Raises:
        ArgumentError: a number out of range; a folder that holds something else, or a
            cross-validation with other settings; or a model whose class no other process can
            import, for several workers.
        CrossValidationInterrupted: Ctrl-C was pressed; where there is a folder, all is kept.
        IsoconvError: as `Trainer.fit` and `Trainer.resume`; the message names the fold.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> data = np.arange(192, dtype=np.uint8).reshape(12, 4, 4, 1), [0, 1] * 6
        >>> trainer = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(2)), progress=False)
        >>> found = cross_validate(trainer, data, 3, epochs=1)
        >>> [fold.samples["test"] for fold in found.folds], sorted(found.mean)
        ([4, 4, 4], ['loss', 'top1'])
    """
    check_kind("trainer", trainer, Trainer, "a Trainer")
    if early_stopping is not None:
        check_kind("early_stopping", early_stopping, EarlyStopping, "an EarlyStopping or None")
    workers = min(check_count("workers", workers), check_count("folds", folds, least=2))
    if cluster is not None and workers != 1:
        raise refusal("workers", "be 1 with a cluster, which has its own", workers)
    if cluster is not None and trainer.executor is not None:
        rule = "be None where the trainer has an executor: each fold is shared by its workers"
        raise refusal("cluster", rule, cluster)
    if epochs is not None:
        epochs = check_count("epochs", epochs, below=2**32)
    parts: Dataset | Splits = data if isinstance(data, Splits) else as_dataset(data, "data", "data")
    seed = check_count("seed", seed, least=0, below=2**64)
    dealt = Folds(parts, folds, seed=seed, validation=validation)
    folder = None if out is None else check_path("out", out)
    work = _TrainFolds(
        trainer,
        dealt,
        folder,
        epochs,
        early_stopping,
        check_facts(facts),
        trainer.progress is not False,
    )
    if folder is None:
        return CrossValidation(None, _trained(work, workers, cluster))
    plan = _plan(work, parts, seed, validation)
    return _kept(folder, work, workers, cluster, plan)


def _plan(
    work: _TrainFolds, data: Dataset | Splits, seed: int, validation: float
) -> dict[str, Any]:
    """What must be so again for a cross-validation to be gone on with."""
    whole = data.train if isinstance(data, Splits) else data
    model = work.trainer.model
    return {
        "format": _FORMAT,
        "folds": len(work.folds),
        "split_seed": seed,
        "validation": float(validation),
        "data": {"samples": len(whole), "sha256": whole.digest()},
        "model": None if isinstance(model, Module) else model,
        "settings": work.trainer.plain(),
        "epochs": work.epochs,
        "early_stopping": to_plain(work.early_stopping),
    }


def _kept(
    folder: Path,
    work: _TrainFolds,
    workers: int,
    cluster: Machines | None,
    plan: dict[str, Any],
) -> CrossValidation:
    """Train in a folder."""
    if RunFolder(folder).run_file.exists():
        raise ArgumentError(
            f"{folder} holds a run; a cross-validation needs another folder",
            argument="out",
            value=folder,
            path=folder,
        )
    record = RunFolder(folder).crossed_file
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    hold: Hold | None = None
    fresh = False
    try:
        with Uninterrupted():
            hold = Hold(folder)
            fresh = not record.exists()
        _compare(record, plan, folder)
        head = {**plan, "versions": versions(), "facts": dict(work.facts)}
        if fresh:
            write_bytes(record, canonical_json({**head, "results": None}))
        found = CrossValidation(folder, _trained(work, workers, cluster))
        write_bytes(record, canonical_json({**head, **found.plain()}))
        return found
    finally:
        with Uninterrupted():
            numbers = range(1, len(work.folds) + 1)
            runs = [RunFolder(folder_of_fold(folder, number)).run_file for number in numbers]
            if hold is not None:
                if fresh and not any(run.exists() for run in runs):
                    # Nothing was begun, and what is left would stand in the way.
                    record.unlink(missing_ok=True)
                hold.release()
            for each in made:
                if each.is_dir() and not any(each.iterdir()):
                    each.rmdir()


def _compare(record: Path, plan: Mapping[str, Any], folder: Path) -> None:
    """See that what is there already was begun as this is.

    Raises:
        ArgumentError: it was not.
        CheckpointError: it cannot be read.
    """
    if not record.exists():
        return
    before = read_json(record, "cross-validation")
    found = list(differing({name: before.get(name) for name in plan}, dict(plan)))
    if found:
        table = difference_table(found, "the folder", "given")
        raise ArgumentError(
            f"{folder} can be gone on with as it began only; what differs:\n{table}",
            argument="out",
            value=folder,
            path=folder,
        )


def _trained(work: _TrainFolds, workers: int, cluster: Machines | None) -> tuple[FoldResult, ...]:
    """The runs of all folds, by several processes or machines; what they say is said here."""
    reporter = reporter_for(work.trainer.progress)
    if workers > 1:
        threads = threads_for(workers, work.trainer.threads)
        reporter.say(f"{workers} processes of {counted(threads, 'thread')} each train the folds")
        work = replace(work, trainer=replace(work.trainer, threads=threads, progress=False))
    numbers = range(1, len(work.folds) + 1)
    found: dict[int, FoldResult] = {}
    said: set[str] = set()

    def told(fold: int, line: str) -> None:
        # What is so of all data is said once.
        if line not in said:
            said.add(line)
            reporter.say(f"fold {fold}: {line}")

    try:
        with ExitStack() as opened:
            mapper: Mapper = mapper_for(workers)
            if cluster is not None:
                mapper = sized = opened.enter_context(cluster.mapper(reporter.note, work.folder))
                count = counted(min(sized.size, len(numbers)), "worker")
                reporter.say(f"the folds are trained by {count} of a cluster")
                work = replace(work, trainer=replace(work.trainer, progress=False))
            results = opened.enter_context(closing(mapper.map(work, numbers, told)))
            for fold, result in results:
                found[fold] = result
                shown = ", ".join(
                    f"{_TITLES.get(name, name)} {_shown(name, value)}"
                    for name, value in result.metrics.items()
                )
                reporter.say(f"fold {fold} of {len(numbers)}: tested with it, {shown}")
    except KeyboardInterrupt as error:
        raise CrossValidationInterrupted(
            f"interrupted with {len(found)} of {len(numbers)} folds done; {_way_on(work.folder)}",
            number_of(error),
        ) from None
    return tuple(found[fold] for fold in numbers)


def _way_on(folder: Path | None) -> str:
    if folder is None:
        return "nothing was saved (give cross_validate an out folder to be able to go on)"
    word = as_word(folder)
    return "go on with " + either(
        f"the same call and out={str(folder)!r}", f"the same command and --out {word}"
    )


def _shown(name: str, value: float) -> str:
    return f"{value:.4f}" if name == "loss" else f"{value:.2%}"


def _mean(values: Iterable[float]) -> float:
    total, count = 0.0, 0
    for value in values:
        total, count = total + value, count + 1
    return total / count


def _deviation(values: list[float]) -> float:
    mean, total = _mean(values), 0.0
    for value in values:
        total += (value - mean) * (value - mean)
    return math.sqrt(total / (len(values) - 1))
