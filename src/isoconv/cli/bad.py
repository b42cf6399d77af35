"""Picture files that cannot be read, as the commands meet them: left out, told, or an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.cli.errors import note
from isoconv.errors import DataFileError
from isoconv.printable import listed, printable

if TYPE_CHECKING:
    from isoconv.data import Dataset, Reading, Samples, Skipped

__all__ = ["cannot_be_read", "load_of_run", "load_to_measure", "skipped_of_run", "tell_skipped"]

TOLD = 20
"""Files that are told one by one; the rest is counted."""


def tell_skipped(skipped: Sequence[Skipped], file: Path | None = None) -> None:
    """Say which files are left out, and why.

    Args:
        skipped: any number of them.
        file: where all of them will be listed; None for nowhere.
    """
    for each in skipped[:TOLD]:
        note(f"skipped {each}")
    more = len(skipped) - TOLD
    if more > 0:
        where = "" if file is None else f"; all of them, with the reasons: {printable(file)}"
        note(f"skipped {more} more files{where}")


def load_of_run(data: str, reading: Reading | None, samples: Samples, run: Path) -> Dataset:
    """All samples of the source of a run, without the files that cannot be read.

    Those are none of the run's, or it could not be gone on with.

    Args:
        data: where the data are.
        reading: how the run read pictures.
        samples: of the run.
        run: its folder, for messages.

    Raises:
        DataError: as `isoconv.data.load`, or a file of the run cannot be read any more.
    """
    from isoconv.data import load

    whole = load(data, "all", reading=reading, skip_bad=True)
    own = {row.path for row in samples.rows}
    lost = [each for each in whole.skipped if each.path in own]
    if lost:
        raise cannot_be_read(f"{printable(run)} was trained on them", lost, len(own))
    return whole


def skipped_of_run(whole: Dataset, left_out: Collection[str], run: Path) -> tuple[Skipped, ...]:
    """Of the files that cannot be read those that the run left out; says so, and of others too.

    Args:
        whole: from `load_of_run`.
        left_out: paths that the run left out.
        run: its folder, for messages.
    """
    again = tuple(each for each in whole.skipped if each.path in left_out)
    new = [each.path for each in whole.skipped if each.path not in left_out]
    if left_out:
        note(
            f"{_files(left_out)} left out as when {printable(run)} began; they are listed in its "
            "skipped.csv"
        )
    if new:
        note(f"{_files(new)} left out: they cannot be read, and are none of the run's: "
             f"{listed(new)}")  # fmt: skip
    return again


def load_to_measure(
    data: str, reading: Reading, skip_bad: bool, left_out: Collection[str], samples: Samples | None
) -> Dataset:
    """All samples of a source to measure a model on, without the files that its run left out.

    Args:
        data: as a person names it.
        reading: how the model reads pictures.
        skip_bad: leave out all files that cannot be read.
        left_out: paths that the run of the model left out.
        samples: of that run, if they are known.

    Raises:
        DataError: as `isoconv.data.load`.
    """
    from isoconv.data import load

    if not (skip_bad or left_out):
        return load(data, "all", reading=reading)
    whole = load(data, "all", reading=reading, skip_bad=True)
    if not skip_bad and any(each.path not in left_out for each in whole.skipped):
        # It raises the error that names them.
        return load(data, "all", reading=reading)
    tell_skipped(whole.skipped)
    return _as_then(whole, left_out, samples)


def _as_then(whole: Dataset, left_out: Collection[str], samples: Samples | None) -> Dataset:
    """The samples of a run's own data without files that it left out and that can be read now."""
    read_now = [place for place, path in enumerate(whole.paths) if path in left_out]
    if samples is None or not read_now:
        return whole
    gone = set(read_now)
    rest = whole.subset([place for place in range(len(whole)) if place not in gone])
    if not samples.membership(rest).same:
        return whole
    names = [whole.paths[place] for place in read_now]
    note(f"{_files(names)} left out as when the run began, though they can be read here: "
         f"{listed(names)}")  # fmt: skip
    return replace(rest, notes=whole.notes)


def _files(paths: Collection[Any]) -> str:
    return "1 file is" if len(paths) == 1 else f"{len(paths)} files are"


def cannot_be_read(more: str, lost: Sequence[Skipped], total: int) -> DataFileError:
    """The error that names files which cannot be read, each with its reason.

    Args:
        more: what there is to say of them besides.
        lost: the files.
        total: of how many.
    """
    from isoconv.data.files import NAMED

    lines = [f"  {each}" for each in lost]
    left = len(lost) - NAMED
    rest = [f"  and {left} more (2> FILE takes all into a file)"] if left > 0 else []
    first = f"{len(lost)} of {total} files cannot be read{'; ' if more else ''}{more}:"
    if len(lost) == total == 1:
        error = DataFileError(str(lost[0]))
    else:
        error = DataFileError("\n".join([first, *lines[:NAMED], *rest]))
    error.files = tuple(lost)
    error.whole = "\n".join([first, *lines]) if rest else ""
    return error
