"""Cross-validation: a run for each fold of the data, in one folder.

::

    OUT/
      cross-validation.json   what was asked for; at the end what came of each fold, mean and spread
      fold-1/ …               a run folder for each fold

Each run is one like any other: it is verified, resumed and loaded as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.checks import check_count, check_kind, check_path, refusal
from isoconv.data import Dataset, Folds, Splits
from isoconv.errors import ArgumentError
from isoconv.nn import Module
from isoconv.run.pieces import Machines, check_machines
from isoconv.signals import Uninterrupted
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.differing import difference_table, differing
from isoconv.train.files import canonical_json, read_json, write_bytes
from isoconv.train.folds import (
    FoldResult,
    TrainFolds,
    folder_of_fold,
    measured,
    titled,
    train_all,
)
from isoconv.train.hold import Hold
from isoconv.train.layout import exact_metrics
from isoconv.train.metrics import Data, as_dataset
from isoconv.train.plain_settings import check_facts, to_plain, versions
from isoconv.train.trainer import Trainer

__public__ = {"isoconv": ["cross_validate"], "isoconv.train": ["CrossValidation", "cross_validate"]}

_FORMAT = 1


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
            *titled(names).values(),
        )
        rows = [
            (
                str(fold.fold),
                f"{fold.samples['train']:,}",
                f"{fold.samples['test']:,}",
                str(fold.epochs),
                *(measured(name, fold.metrics[name]) for name in names),
            )
            for fold in self.folds
        ]
        for title, values in (("mean", self.mean), ("std", self.std)):
            rows.append((title, "", "", "", *(measured(name, values[name]) for name in names)))
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
    check_division(trainer, workers, cluster)
    if epochs is not None:
        epochs = check_count("epochs", epochs, below=2**32)
    parts: Dataset | Splits = data if isinstance(data, Splits) else as_dataset(data, "data", "data")
    seed = check_count("seed", seed, least=0, below=2**64)
    dealt = Folds(parts, folds, seed=seed, validation=validation)
    folder = None if out is None else check_path("out", out)
    work = TrainFolds(
        trainer,
        dealt,
        folder,
        epochs,
        early_stopping,
        check_facts(facts),
        trainer.progress is not False,
    )
    if folder is None:
        return CrossValidation(None, train_all({"": work}, workers, None, cluster)[""])
    with held_folds(folder, work, plan_of(work, parts, seed, validation)) as keep:
        found = CrossValidation(folder, train_all({"": work}, workers, folder, cluster)[""])
        keep(found.plain())
    return found


def check_division(trainer: Trainer, workers: int, cluster: Machines | None) -> None:
    """See that folds are divided in one way.

    Raises:
        ArgumentError: workers beside a cluster, or a cluster for a trainer that has its own.
    """
    check_machines(cluster, workers)
    if cluster is not None and trainer.executor is not None:
        rule = "be None where the trainer has an executor: each fold is shared by its workers"
        raise refusal("cluster", rule, cluster)


def plan_of(
    work: TrainFolds, data: Dataset | Splits, seed: int, validation: float
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


def held_folds(
    folder: Path, work: TrainFolds, plan: Mapping[str, Any]
) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
    """The folder of a cross-validation, held; see `held`."""
    runs = [folder_of_fold(folder, fold) for fold in range(1, len(work.folds) + 1)]
    return held(RunFolder(folder).crossed_file, plan, work.facts, runs)


@contextmanager
def held(
    record: Path, plan: Mapping[str, Any], facts: Mapping[str, Any], runs: Sequence[Path]
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Hold the folder of a record of several runs; gives what keeps their results.

    Args:
        record: the file in it; the folder is made if it is not there.
        plan: what must be so again for it to be gone on with.
        facts: what is kept beside it.
        runs: the folders of the runs; if there is none at the end, nothing is left.

    Raises:
        ArgumentError: the folder holds a run, or was begun otherwise.
        CheckpointError: another process holds it, or it cannot be read or written.
    """
    folder = record.parent
    if RunFolder(folder).run_file.exists():
        raise ArgumentError(
            f"{folder} holds a run; a cross-validation needs another folder",
            argument="out",
            value=folder,
            path=folder,
        )
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    hold: Hold | None = None
    fresh = False
    try:
        with Uninterrupted():
            hold = Hold(folder)
            fresh = not record.exists()
        _compare(record, plan)
        head = {**plan, "versions": versions(), "facts": dict(facts)}
        if fresh:
            write_bytes(record, canonical_json({**head, "results": None}))
        yield lambda found: write_bytes(record, canonical_json({**head, **found}))
    finally:
        with Uninterrupted():
            if hold is not None:
                if fresh and not any(RunFolder(run).run_file.exists() for run in runs):
                    # Nothing was begun, and what is left would stand in the way.
                    record.unlink(missing_ok=True)
                hold.release()
            for each in made:
                if each.is_dir() and not any(each.iterdir()):
                    each.rmdir()


def _compare(record: Path, plan: Mapping[str, Any]) -> None:
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
            f"{record.parent} can be gone on with as it began only; what differs:\n{table}",
            argument="out",
            value=record.parent,
            path=record.parent,
        )


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
