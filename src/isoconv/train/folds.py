"""The runs of folds: what each is, who trains them, and what they have to say."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGINT
from typing import IO, Any, cast

from isoconv.checks import as_word
from isoconv.data import Folds, Splits
from isoconv.data.tally import counted
from isoconv.errors import IsoconvError
from isoconv.nn import Module
from isoconv.run.pieces import Machines, Mapper, Tell, division, mapper_for, threads_for
from isoconv.signals import number_of
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.hold import wait_until_free
from isoconv.train.layout import exact_metrics
from isoconv.train.progress import reporter_for
from isoconv.train.run import Run
from isoconv.train.trainer import Trainer
from isoconv.train.words import accuracy
from isoconv.wording import either

__public__ = {"isoconv.train": ["CrossValidationInterrupted", "FoldResult"]}


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


@dataclass(slots=True)
class TrainFolds:
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
        return _result(fold, self._run(trainer, splits, fold))

    def _run(self, trainer: Trainer, splits: Splits, fold: int) -> Run:
        out = None if self.folder is None else folder_of_fold(self.folder, fold)
        if out is not None:
            # Who trained it before may be about to end: nobody else has a fold of this folder.
            wait_until_free(out)
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


def train_all(
    works: Mapping[str, TrainFolds],
    workers: int,
    folder: Path | None,
    cluster: Machines | None = None,
) -> dict[str, tuple[FoldResult, ...]]:
    """The runs of all folds, by several processes; what they have to say is said here.

    Args:
        works: what is done with the folds, by what is said before their numbers: ``"2, "``. All
            have as many folds, and trainers that show their progress alike.
        workers: how many processes.
        folder: in which all is kept, or None.
        cluster: whose workers do it in their place, or None.

    Returns:
        What came of the folds of each.
    """
    one = next(iter(works.values()))
    reporter = reporter_for(one.trainer.progress)
    count = len(one.folds)
    pieces = [_Piece(name, fold) for name in works for fold in range(1, count + 1)]
    workers = min(workers, len(pieces))
    if workers > 1:
        threads = threads_for(workers, one.trainer.threads)
        reporter.say(f"folds are trained by {division(workers, threads)}")
        works = _told_of(works, threads)
    found: dict[_Piece, FoldResult] = {}
    said: set[str] = set()

    def told(piece: _Piece, line: str) -> None:
        # What is so of all data is said once.
        if line not in said:
            said.add(line)
            reporter.say(f"{piece}: {line}")

    try:
        with ExitStack() as opened:
            mapper: Mapper = mapper_for(workers)
            if cluster is not None:
                reads = [file for each in works.values() for file in each.folds.files]
                sees = cluster.mapper(reporter.note, folder, list(dict.fromkeys(reads)))
                mapper = sized = opened.enter_context(sees)
                many = counted(min(sized.size, len(pieces)), "worker")
                reporter.say(f"folds are trained by {many} of a cluster")
                works = _told_of(works, one.trainer.threads)
            results = opened.enter_context(closing(mapper.map(_Works(works), pieces, told)))
            for piece, result in results:
                found[piece] = result
                shown = ", ".join(
                    f"{title} {measured(name, result.metrics[name])}"
                    for name, title in titled(result.metrics).items()
                )
                reporter.say(f"{piece} of {count}: tested with it, {shown}")
    except KeyboardInterrupt as error:
        raise CrossValidationInterrupted(
            f"interrupted with {len(found)} of {len(pieces)} folds done; {_way_on(folder)}",
            number_of(error),
        ) from None
    return {name: tuple(found[each] for each in pieces if each.name == name) for name in works}


def _told_of(works: Mapping[str, TrainFolds], threads: int | None) -> dict[str, TrainFolds]:
    """Work for others, with so many threads each, whose lines are said here."""
    return {
        name: replace(work, trainer=replace(work.trainer, threads=threads, progress=False))
        for name, work in works.items()
    }


@dataclass(frozen=True, slots=True)
class _Piece:
    """A fold, and what is done with it."""

    name: str
    fold: int

    def __str__(self) -> str:
        return f"{self.name}fold {self.fold}"


@dataclass(frozen=True, slots=True)
class _Works:
    """Does with a piece what it names; see `isoconv.run.pieces.Work`."""

    works: Mapping[str, TrainFolds]

    def __call__(self, piece: _Piece, tell: Tell) -> FoldResult:
        try:
            return self.works[piece.name](piece.fold, tell)
        except IsoconvError as error:
            raise error.within(str(piece)) from error


def _way_on(folder: Path | None) -> str:
    if folder is None:
        return "nothing was saved (give cross_validate an out folder to be able to go on)"
    word = as_word(folder)
    return "go on with " + either(
        f"the same call and out={str(folder)!r}", f"the same command and --out {word}"
    )


def titled(metrics: Iterable[str]) -> dict[str, str]:
    """What the metrics of an evaluation are called in a table, by their names.

    Example:
        >>> titled(["loss", "top1", "iou"])
        {'loss': 'loss', 'top1': 'pixel accuracy', 'iou': 'mean IoU'}
    """
    names = [*metrics]
    # Of places alone there is a mean IoU.
    titles = {"top1": accuracy("iou" in names), "top5": "among five", "iou": "mean IoU"}
    return {name: titles.get(name, name) for name in names}


def measured(name: str, value: float) -> str:
    """A metric's value, for a person."""
    return f"{value:.4f}" if name == "loss" else f"{value:.2%}"
