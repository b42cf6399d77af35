"""``isoconv train --folds``: a run for each fold of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isoconv.cli.errors import note
from isoconv.cli.table import json_alone, print_json, print_table, say
from isoconv.errors import ArgumentError
from isoconv.printable import printable
from isoconv.wording import called

if TYPE_CHECKING:
    from isoconv.cluster.settings import Cluster
    from isoconv.data import Splits
    from isoconv.train import CrossValidation, Trainer

__all__ = ["check_folds", "plain_folds", "tell_of_parts", "train_folds"]


def check_folds(
    folds: int | None, workers: int | None, test: float | None, cluster: Cluster | None
) -> None:
    """See that options of folds come with them, and others without.

    Raises:
        ArgumentError: they do not.
    """
    if folds is None and workers is not None:
        raise ArgumentError(f"--workers is for --folds and --grid; got {workers}")
    if folds is not None and test is not None:
        raise ArgumentError(f"--test must be left out: each fold is tested with; got {test:g}")
    if folds is not None and cluster is not None and cluster.audit:
        raise ArgumentError(
            "--audit must be left out with --folds and --grid, where each worker of a cluster has "
            f"whole folds to itself: isoconv verify trains one of them again; got {cluster.audit:g}"
        )
    if cluster is not None and (workers or 1) > 1:
        # All of them would ask for the same machines at the same time.
        raise ArgumentError(f"--workers must be 1 with --cluster; got {workers}")


def tell_of_parts(splits: Splits, what: str) -> None:
    """Say what is trained on, and what becomes of parts that the data have.

    Args:
        splits: the parts.
        what: is made of the training part.
    """
    train = splits.train
    height, width, channels = train.image_shape
    say(
        f"{train.name}: {len(train):,} images of {height}x{width}x{channels} in {train.classes} "
        f"classes, {what}"
    )
    if splits.validation is not None:
        note(f"the validation part, {len(splits.validation):,} images, is that of every fold")
    if splits.test is not None:
        note(f"the test part, {len(splits.test):,} images, is left alone")


def train_folds(
    trainer: Trainer, splits: Splits, folds: int, how: Mapping[str, Any], *, as_json: bool
) -> None:
    """Train a run for each fold and show what came of them.

    Args:
        trainer: how to train.
        splits: its own parts, of which the training part is dealt out.
        folds: how many.
        how: the rest of what `isoconv.cross_validate` and `isoconv.grid_search` take alike.
        as_json: whether the result is printed as JSON.
    """
    from isoconv.train import cross_validate

    folder = how["out"]
    tell_of_parts(splits, f"{folds} folds; runs {printable(folder / 'fold-1')} …")
    with json_alone(), called(seed="--split-seed"):
        found = cross_validate(trainer, splits, folds, **how)
    titles, rows = found.table()
    print_table(titles, rows, range(1, len(titles)))
    say(f"runs {printable(folder / 'fold-1')} … {printable(folder / f'fold-{folds}')}")
    if as_json:
        print_json({"folder": found.folder, **plain_folds(found)})


def plain_folds(found: CrossValidation) -> dict[str, Any]:
    """What came of the folds, for JSON."""
    return {
        "folds": [
            {**fold.plain(), "folder": fold.folder, "test": fold.metrics, "notes": fold.notes}
            for fold in found.folds
        ],
        "mean": found.mean,
        "std": found.std,
    }
