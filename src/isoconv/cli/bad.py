"""Picture files that cannot be read, as the commands meet them: left out, told, or an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.cli.errors import note
from isoconv.cli.table import reading_progress
from isoconv.errors import DataFileError
from isoconv.printable import listed, printable

if TYPE_CHECKING:
    from isoconv.data import Dataset, Reading, Samples, Skipped

TOLD = 20
"""Files that are told one by one; the rest is counted."""


def tell_skipped(skipped: Sequence[Skipped], where: str | Path) -> None:
    """Say which files are left out, and why.

    Args:
        skipped: any number of them.
        where: all of them are listed.
    """
    from isoconv.data.tally import counted

    for each in skipped[:TOLD]:
        note(f"skipped {each}")
    more = len(skipped) - TOLD
    if more > 0:
        place = printable(where)
        note(f"skipped {counted(more, 'more file')}; all of them, with the reasons: {place}")


def load_of_run(
    data: str, reading: Reading | None, samples: Samples, run: Path, cache: bool
) -> Dataset:
    """All samples of the source of a run, without the files that cannot be read.

    Those are none of the run's, or it could not be gone on with. Nor are folders of classes that
    the run does not know, which are not looked into.

    Args:
        data: where the data are.
        reading: how the run read pictures.
        samples: of the run.
        run: its folder, for messages.
        cache: pictures may come out of the cache.

    Raises:
        DataError: as `isoconv.data.load`, or a file of the run cannot be read any more.
    """
    from isoconv.data.files import Request
    from isoconv.data.reading import Reading
    from isoconv.data.sources import later_classes, load_known

    known = frozenset(row.class_name for row in samples.rows)
    if later := later_classes(data, known):
        folders, are = ("folder", "is") if len(later) == 1 else ("folders", "are")
        note(
            f"{len(later)} {folders} of {printable(data)} {are} no class of the run and {are} left "
            f"alone: {listed([*map(repr, later)])}"
        )
    request = Request(reading or Reading(None, None, None), True, cache, reading_progress())
    whole = load_known(data, known, request)
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
    from isoconv.data.tally import counted

    again = tuple(each for each in whole.skipped if each.path in left_out)
    new = [each.path for each in whole.skipped if each.path not in left_out]
    if left_out:
        note(
            f"{_files(left_out)} left out as when {printable(run)} began; they are listed in its "
            "skipped.csv"
        )
    if new:
        are = "is" if len(new) == 1 else "are"
        note(
            f"{counted(len(new), 'file')} that cannot be read {are} none of the run's and {are} "
            f"left alone: {listed(new)}"
        )
    return again


def load_to_measure(
    data: str,
    reading: Reading,
    skip_bad: bool,
    left_out: Collection[str],
    samples: Samples | None,
    cache: bool,
) -> Dataset:
    """All samples of a source to measure a model on, without the files that its run left out.

    Args:
        data: as a person names it.
        reading: how the model reads pictures.
        skip_bad: leave out all files that cannot be read.
        left_out: paths that the run of the model left out.
        samples: of that run, if they are known.
        cache: pictures may come out of the cache.

    Raises:
        DataError: as `isoconv.data.load`.
    """
    from isoconv.data import load

    settings: dict[str, Any] = {"reading": reading, "cache": cache, "progress": reading_progress()}
    if not (skip_bad or left_out):
        return load(data, "all", **settings)
    whole = load(data, "all", skip_bad=True, **settings)
    if not skip_bad and any(each.path not in left_out for each in whole.skipped):
        # It raises the error that names them.
        return load(data, "all", **settings)
    tell_skipped(whole.skipped, "--json")
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
    from isoconv.data.skipped import lines_by_reason

    files = [(printable(each.path), printable(each.reason)) for each in lost]
    left = len(lost) - NAMED
    rest = [f"  and {left} more (2> FILE takes all into a file)"] if left > 0 else []
    first = f"{len(lost)} of {total} files cannot be read{'; ' if more else ''}{more}:"
    if len(lost) == total == 1:
        error = DataFileError(str(lost[0]))
    else:
        error = DataFileError("\n".join([first, *lines_by_reason(files, NAMED), *rest]))
    error.files = tuple(lost)
    error.whole = "\n".join([first, *lines_by_reason(files, len(files))]) if rest else ""
    return error
