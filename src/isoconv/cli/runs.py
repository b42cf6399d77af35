"""Run folders as the commands use them: named, filled, read back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.checks import LARGEST
from isoconv.cli.errors import note
from isoconv.cli.table import reading_progress
from isoconv.cli.typed import command_line
from isoconv.errors import ArgumentError, CheckpointError, DataError
from isoconv.signals import Uninterrupted

if TYPE_CHECKING:
    from isoconv.data import Dataset, Splits
    from isoconv.nn.schema import Schema
    from isoconv.train import RunFolder

DEMO = "demo"
"""Name of the demo's network; it is not one of the ready models."""
DEMO_DATA = "fashion-sample"
DEMO_SPLIT = {"made_by": "isoconv demo"}
"""What a run of the demo keeps of how its parts were made; see `demo_parts`."""


def is_known(name: str) -> bool:
    """Whether a data set is known by this name, so that it is no path."""
    from isoconv.data.names import KNOWN

    return name in KNOWN


def place_of(data: str) -> str:
    """What a run keeps of where its data are: a name, or a whole path."""
    return data if is_known(data) else str(Path(data).expanduser().resolve())


def run_facts(data: str) -> dict[str, str]:
    """What a run keeps of how it was started, for people and for later commands.

    Args:
        data: as a person names it.
    """
    return {"data": place_of(data), **start_facts()}


def start_facts() -> dict[str, str]:
    """What is kept of a command that trains: its words, and when it was started."""
    from datetime import UTC, datetime

    return {
        "command": command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def new_run(out: Path | None, data: str, model: str | None) -> Iterator[RunFolder]:
    """Hold the folder of a new run from before its data are read; it goes if nothing comes of it.

    Args:
        out: the folder; None for ``runs/<data>-<n>`` with the least n that nobody has, or
            ``runs/<data>-<model>-<n>``.
        data: as a person names it.
        model: the model's name, if a person gave one.

    Raises:
        ArgumentError: the folder holds a run already, or lies in the data.
        CheckpointError: another process holds it, or it cannot be written.
    """
    from isoconv.train import RunFolder

    name = title_of(data) if model is None else f"{title_of(data)}-{model}"
    with _folder_for(out, data, name) as path:
        folder = RunFolder(path)
        with folder.begun():
            yield folder


@contextmanager
def folds_folder(out: Path | None, data: str, model: str | None, of: str) -> Iterator[Path]:
    """The folder of a cross-validation or of a grid; as `new_run`, and it may be there already.

    Args:
        out: the folder; None for ``runs/<data>-folds-<n>``, or ``runs/<data>-<model>-folds-<n>``.
        data: as a person names it.
        model: the model's name, if a person gave one.
        of: what it is of, in that name: "folds" or "grid".

    Raises:
        ArgumentError: the folder lies in the data.
        CheckpointError: it cannot be made.
    """
    name = title_of(data) if model is None else f"{title_of(data)}-{model}"
    with _folder_for(out, data, f"{name}-{of}") as path:
        yield path


@contextmanager
def _folder_for(out: Path | None, data: str, name: str) -> Iterator[Path]:
    """A folder that a person names, or one of this name and a number, which goes if it stays empty.

    Raises:
        ArgumentError: it lies in the data.
        CheckpointError: it cannot be made.
    """
    from isoconv.cli.options import named_folder
    from isoconv.train.hold import make_folder

    if out is not None:
        out = named_folder(out)
        inside = Path(data).expanduser().resolve()
        if inside.is_dir() and inside in (out.resolve(), *out.resolve().parents):
            raise ArgumentError(
                f"--out must not lie in the data, where it would be taken for a class; got {out}"
            )
        yield out
        return
    parent = Path("runs")
    made = [] if parent.exists() else [parent]
    try:
        with Uninterrupted():
            path = make_folder(parent, name)
            made.insert(0, path)
        yield path
    finally:
        for each in made:
            # Not if there is anything in it.
            with suppress(OSError):
                each.rmdir()


def title_of(data: str) -> str:
    """What a run is called after its data.

    Example:
        >>> title_of("path/of/My pets.npz")
        'my-pets'
    """
    from isoconv.data.formats import stem

    return re.sub(r"[^a-z0-9]+", "-", stem(Path(data).name.lower())).strip("-") or "data"


def load_parts(data: str, **settings: Any) -> Splits:
    """What to train on, to choose by and to test with, with classes.

    Args:
        data: as a person names it.
        settings: those of `isoconv.data.load_splits`.

    Raises:
        DataError: as `isoconv.data.load_splits`, or the labels are no classes.
    """
    from isoconv.data import load_splits
    from isoconv.data.folders import only_class
    from isoconv.data.labels import classes_hint
    from isoconv.data.mask_folders import mask_parts

    # Before pictures are read, which may take a while. Where masks are missing that is told.
    mask_parts(Path(data))
    if (only := only_class(Path(data))) is not None:
        error = DataError(
            f"{data} has one class: there must be two classes or more to tell apart; got one, "
            f"{only.name!r}, and each folder in it is a class"
            + (f" ({only.hint})" if only.hint else "")
        )
        # What was left alone may be the other classes.
        for line in only.notes:
            error.add_note(line)
        raise error
    splits = load_splits(data, progress=reading_progress(), **settings)
    if not (splits.train.class_names or splits.train.of_places):
        raise DataError(
            f"{data}: the command line trains classifiers, whose labels are whole numbers or "
            f"names, one for each image or each of its pixels; got {splits.train.labels.dtype} of "
            f"shape {splits.train.labels.shape}"
            f"{classes_hint(splits.train.labels)}; a program can learn them (docs/training.md)"
        )
    return splits


def demo_parts(data: str = DEMO_DATA) -> Splits:
    """The parts of the demo: all of the training part, and the test part in two halves."""
    from isoconv.data import Splits, load

    # One half to look at after each epoch, the other for the end.
    test, validation = load(data, "test").split(0.5, seed=0)
    return Splits(load(data, "train"), validation, test, DEMO_SPLIT)


def data_of_run(run: Path, description: Mapping[str, Any]) -> str:
    """Where the data of a run were.

    Raises:
        ArgumentError: the run does not tell, or they are no longer there.
    """
    if not description:
        raise ArgumentError(
            f"{run} has no run.json, which would say where its data are; say it with --data"
        )
    facts = description.get("facts")
    place = facts.get("data") if isinstance(facts, Mapping) else None
    if not isinstance(place, str):
        raise ArgumentError(f"{run} does not say where its data are; say it with --data")
    if not is_known(place) and not Path(place).exists():
        raise ArgumentError(
            f"the data of {run} are no longer at {place}; say with --data where they are now "
            "(the run itself may be anywhere)"
        )
    return place


def parts_of_run(
    run: Path,
    data: str,
    described: Mapping[str, Any],
    *,
    cache: bool = False,
    as_now: bool = False,
) -> Splits:
    """The parts that a run was given, out of where its data are now.

    By the list of its samples, if that came along, whatever else the source holds by now;
    otherwise they are split as then.

    Args:
        run: the run folder.
        data: where its data are.
        described: what run.json or the receipt says of the run, as it was read.
        cache: pictures may come out of the cache; otherwise they are what the files hold now.
        as_now: the parts tell of all files that cannot be read now; otherwise of those that the
            run left out.

    Raises:
        CheckpointError: it does not say how they were split, or what it says makes no sense.
        DataError: as `isoconv.data.load`.
    """
    from isoconv.cli.bad import load_of_run, skipped_of_run
    from isoconv.data import Folds, Reading, Splits, load_splits
    from isoconv.data.tally import counted
    from isoconv.nn.schema import check
    from isoconv.train import RunFolder

    if described.get("split") == {}:
        raise CheckpointError(
            f"{run} was not made by `isoconv train` or `isoconv demo`: how its data were split is "
            "not known"
        )
    how, reading = described["split"], described["record"]["trained_on"]
    reading = None if reading is None else reading["reading"]
    left_out = described.get("skipped", [])
    known = RunFolder(run).samples(described["samples_sha256"])
    wanted = None if reading is None else Reading.from_plain(reading)
    if known is not None:
        whole = load_of_run(data, wanted, known, run, cache)
        parts = known.select(whole)
        if parts is not None:
            more = len(whole) - len(known)
            if more:
                are = "is" if more == 1 else "are"
                left = f"{are} none of the run's and {are} left alone"
                note(f"{counted(more, 'sample')} of {data} {left}")
            skipped = skipped_of_run(whole, left_out, run)
            skipped = whole.skipped if as_now else skipped
            parts = {part: replace(each, skipped=skipped) for part, each in parts.items()}
            return Splits(parts["train"], parts.get("validation"), parts.get("test"), how)
    if how == DEMO_SPLIT:
        return demo_parts(data)
    folded = "folds" in how
    check(f"how the data of {run} were split", how, _fold() if folded else _split())
    splits = load_splits(
        data,
        validation=0 if folded else how["validation"],
        test=0 if folded else how["test"],
        seed=how["split_seed"],
        reading=wanted,
        skip_bad=bool(left_out),
        cache=cache,
        progress=reading_progress(),
    )
    if folded:
        folds = Folds(splits, how["folds"], seed=how["split_seed"], validation=how["validation"])
        number: int = how["fold"]
        return folds[min(number, len(folds)) - 1]
    return replace(splits, how=how)


def measured_images(run: Path, data: str | None = None) -> tuple[Dataset, str]:
    """The images that a run was measured on, and which part of its data they are.

    Args:
        run: the run folder.
        data: where its data are now; None for where they were.

    Returns:
        The test part, without one the validation part, without both the training part; its name.

    Raises:
        CheckpointError, DataError: as `parts_of_run`.
    """
    from isoconv.train import RunFolder

    described = RunFolder(run).description()
    parts = parts_of_run(run, data or data_of_run(run, described), described, cache=True)
    for part, found in (("test", parts.test), ("validation", parts.validation)):
        if found is not None:
            return found, part
    return parts.train, "training"


def _split() -> Schema:
    """What `isoconv train` keeps of how its parts were made."""
    from isoconv.nn.schema import NUMBER, Fields, Maybe, Rows, Whole

    return Fields(
        {
            "validation": NUMBER,
            "test": NUMBER,
            "split_seed": Whole(0, 2**64 - 1),
            "size": Maybe(Rows(Whole(1, LARGEST), least=2, most=2)),
            "depth": Maybe(Whole(1, 32)),
        }
    )


def _fold() -> Schema:
    """What the run of a fold keeps of how its parts were made."""
    from isoconv.nn.schema import NUMBER, Fields, Whole

    return Fields(
        {
            "folds": Whole(2, LARGEST),
            "fold": Whole(1, LARGEST),
            "split_seed": Whole(0, 2**64 - 1),
            "validation": NUMBER,
        }
    )
