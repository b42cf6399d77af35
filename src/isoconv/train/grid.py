"""Settings compared by cross-validation: every combination of some values, on the same folds.

::

    OUT/
      grid.json                 what was asked for; at the end mean and spread of each combination
      combination-1/ …          a cross-validation for each
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoconv.checks import check_count, check_kind, check_mapping, check_path, refusal, shown
from isoconv.data import Dataset, Folds, Splits
from isoconv.errors import about
from isoconv.nn import Module
from isoconv.printable import cut
from isoconv.run.pieces import Machines
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import RunFolder
from isoconv.train.cross_validation import (
    CrossValidation,
    check_division,
    held,
    held_folds,
    plan_of,
)
from isoconv.train.folds import TrainFolds, folder_of_fold, measured, titled, train_all
from isoconv.train.layout import exact_metrics
from isoconv.train.metrics import Data, as_dataset
from isoconv.train.plain_settings import check_facts, to_plain
from isoconv.train.recipe import in_short
from isoconv.train.settings import STORED
from isoconv.train.trainer import Trainer

__public__ = {"isoconv": ["grid_search"], "isoconv.train": ["*"]}

_FORMAT = 1
_VARIED = ("model", "epochs", *STORED)
"""What there may be several values of."""
_LONGEST = 60
"""Characters of a value in a table."""


@dataclass(frozen=True, slots=True)
class Combination:
    """What came of some settings.

    Attributes:
        number: of the combination, from 1.
        settings: the values of those that were varied.
        found: what came of each fold with them.
    """

    number: int
    settings: Mapping[str, Any]
    found: CrossValidation


@dataclass(frozen=True, slots=True)
class Grid:
    """What came of all combinations of some settings.

    Attributes:
        folder: of their cross-validations, or None.
        combinations: in order; the last setting varies fastest.
    """

    folder: Path | None
    combinations: tuple[Combination, ...]

    @property
    def metric(self) -> str:
        """What the best combination is told by: mean IoU, accuracy, or of none of them the loss."""
        mean = self.combinations[0].found.mean
        return next(name for name in ("iou", "top1", "loss") if name in mean)

    @property
    def best(self) -> Combination:
        """The one with the best mean over the folds, the first of equals.

        Its mean is what it was chosen by, and so better than what new images will show.
        """
        sign = 1.0 if self.metric == "loss" else -1.0
        return min(self.combinations, key=lambda each: sign * each.found.mean[self.metric])

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Titles of columns, and a row for each combination: its settings, mean and spread."""
        varied, metrics = (
            tuple(self.combinations[0].settings), tuple(self.combinations[0].found.mean)
        )  # fmt: skip
        titles = (
            "",
            *varied,
            *(f"{title}{more}" for title in titled(metrics).values() for more in ("", " std")),
        )
        rows = []
        for each in self.combinations:
            mean, std = each.found.mean, each.found.std
            values = [measured(name, numbers[name]) for name in metrics for numbers in (mean, std)]
            settings = [_word(each.settings[name]) for name in varied]
            rows.append((str(each.number), *settings, *values))
        return titles, rows

    def plain(self) -> dict[str, Any]:
        """The same for JSON, numbers exact."""
        return {
            "results": [
                {
                    "combination": each.number,
                    "settings": {name: _plain(value) for name, value in each.settings.items()},
                    "mean": exact_metrics(each.found.mean),
                    "std": exact_metrics(each.found.std),
                }
                for each in self.combinations
            ],
            "best": self.best.number,
        }

    def __str__(self) -> str:
        titles, rows = self.table()
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        count = 1 + len(self.combinations[0].settings)
        lines = [
            "  ".join(
                cell.ljust(width) if place < count else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (titles, *rows)
        ]
        return "\n".join([*lines, self.told])

    @property
    def told(self) -> str:
        """The best combination and what it was measured on, in words."""
        folds = len(self.best.found.folds)
        title = titled(self.combinations[0].found.mean)[self.metric]
        return (
            f"best by the mean {title} over {folds} folds, which it was chosen by: "
            f"{self.best.number}"
        )


def grid_search(
    trainer: Trainer,
    data: Data | Splits,
    over: Mapping[str, Sequence[Any]],
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
) -> Grid:
    """Cross-validate every combination of some values of settings, on the same folds.

    As `cross_validate` for each: the folds of all combinations are one list of work for all
    `workers`, or for those of a `cluster`. With the folder of a search that did not come to its
    end, the same call goes on.

    Args:
        trainer: what is the same in all.
        data: as of `cross_validate`.
        over: values by the name of a setting of the trainer that decides bits, of ``"model"`` or of
            ``"epochs"``.
        folds: as of `cross_validate`; so are the rest.
        seed: likewise.
        validation: likewise.
        epochs: likewise.
        early_stopping: likewise.
        out: a folder for a cross-validation of each combination; None keeps none.
        workers: likewise.
        cluster: likewise.
        facts: likewise.

    Returns:
        What came of each combination.

    Raises:
        ArgumentError: a setting that cannot be varied, or a value outside its range; and as
            `cross_validate`.
        CrossValidationInterrupted: as `cross_validate`.
        IsoconvError: as `cross_validate`; the message names combination and fold.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> data = np.arange(192, dtype=np.uint8).reshape(12, 4, 4, 1), [0, 1] * 6
        >>> trainer = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(2)), progress=False)
        >>> over = {"batch_size": [2, 4], "shard_size": [2]}
        >>> found = grid_search(trainer, data, over, 2, epochs=1)
        >>> [dict(each.settings) for each in found.combinations]
        [{'batch_size': 2, 'shard_size': 2}, {'batch_size': 4, 'shard_size': 2}]
    """
    check_kind("trainer", trainer, Trainer, "a Trainer")
    if early_stopping is not None:
        check_kind("early_stopping", early_stopping, EarlyStopping, "an EarlyStopping or None")
    workers = check_count("workers", workers)
    check_division(trainer, workers, cluster)
    if epochs is not None:
        epochs = check_count("epochs", epochs, below=2**32)
    seed = check_count("seed", seed, least=0, below=2**64)
    chosen = _combinations(over)
    parts: Dataset | Splits = data if isinstance(data, Splits) else as_dataset(data, "data", "data")
    dealt = Folds(parts, folds, seed=seed, validation=validation)
    folder = None if out is None else check_path("out", out)
    facts = check_facts(facts)
    works: dict[str, TrainFolds] = {}
    for number, settings in enumerate(chosen, 1):
        own = {name: value for name, value in settings.items() if name != "epochs"}
        with about("over", over):
            varied = replace(trainer, **own)
            count = settings.get("epochs", epochs)
            if count is not None:
                count = check_count("epochs", count, below=2**32)
        works[f"combination {number}, "] = TrainFolds(
            varied, dealt, None if folder is None else folder / f"combination-{number}", count,
            early_stopping, facts, trainer.progress is not False,
        )  # fmt: skip
    if folder is None:
        return _grid(None, chosen, train_all(works, workers, None, cluster))
    plan = {
        "format": _FORMAT,
        "over": {name: [_plain(value) for value in values] for name, values in over.items()},
        "folds": len(dealt),
    }
    runs = [
        folder_of_fold(work.folder, fold)
        for work in works.values()
        if work.folder is not None
        for fold in range(1, len(dealt) + 1)
    ]
    with held(RunFolder(folder).grid_file, plan, facts, runs) as keep, ExitStack() as stack:
        kept = [
            stack.enter_context(
                held_folds(work.folder, work, plan_of(work, parts, seed, validation))
            )
            for work in works.values()
            if work.folder is not None
        ]
        found = _grid(folder, chosen, train_all(works, workers, folder, cluster))
        for keep_one, each in zip(kept, found.combinations, strict=True):
            keep_one(each.found.plain())
        keep(found.plain())
    return found


def _combinations(over: object) -> list[dict[str, Any]]:
    """The settings of each combination.

    Raises:
        ArgumentError: of what is no setting, or without a value.
    """
    given = check_mapping("over", over)
    rule = f"name settings to vary, of {', '.join(_VARIED)}"
    unknown = [name for name in given if name not in _VARIED]
    if unknown or not given:
        raise refusal("over", rule, over, got=", ".join(map(repr, unknown)) or "none")
    for name, values in given.items():
        if not isinstance(values, (list, tuple)) or not values:
            rule = f"have a list of values for {name}"
            raise refusal("over", rule, over, got=shown(values))
    return [dict(zip(given, values, strict=True)) for values in itertools.product(*given.values())]


def _grid(
    folder: Path | None, chosen: Sequence[Mapping[str, Any]], found: Mapping[str, Any]
) -> Grid:
    combinations = tuple(
        Combination(
            number,
            settings,
            CrossValidation(None if folder is None else folder / f"combination-{number}", results),
        )
        for number, (settings, results) in enumerate(zip(chosen, found.values(), strict=True), 1)
    )
    return Grid(folder, combinations)


def _plain(value: Any) -> Any:
    """A value as it is kept; a model by its class, for each run says what it is."""
    return type(value).__qualname__ if isinstance(value, Module) else to_plain(value)


def _word(value: Any) -> str:
    """A value in a table."""
    if isinstance(value, str):
        return value
    if isinstance(value, Module):
        return type(value).__name__
    return cut(in_short(value), _LONGEST)
