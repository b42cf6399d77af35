"""A model on any number of pictures, into a table; one that was begun is gone on with."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.batch.inputs import Inputs
from isoconv.batch.item import Item
from isoconv.batch.part import Part, Predicting
from isoconv.batch.parts import Parts, part_size
from isoconv.batch.table import table_for
from isoconv.checks import check_count
from isoconv.data.counting import SILENT, Counting
from isoconv.data.reader import decoders
from isoconv.errors import NotEnoughMemoryError, TrainingError
from isoconv.printable import printable
from isoconv.run.pieces import Machines, Mapper, check_machines, division, mapper_for, threads_for
from isoconv.train.files import cannot_be_written

if TYPE_CHECKING:
    from isoconv.nn.module import Module


@dataclass(frozen=True, slots=True)
class Written:
    """What a table holds.

    Attributes:
        rows: how many pictures.
        lost: how many of them cannot be read.
        noted: of how many there is something to tell.
        escaped: how many have names with escapes, see `isoconv.batch.table.as_text`.
        examples: the first of those that are lost or noted, a line each.
    """

    rows: int
    lost: int
    noted: int
    escaped: int
    examples: tuple[str, ...]


def predict_into(
    out: Path,
    model: Module,
    names: tuple[str, ...],
    inputs: Inputs,
    *,
    scale: float | None = None,
    workers: int = 1,
    threads: int | None = None,
    target: str | None = None,
    mapper: Mapper | None = None,
    cluster: Machines | None = None,
    counting: Counting = SILENT,
    told: Callable[[str], None] = lambda _: None,
) -> Written:
    """Write a row for each picture, in their order, with the bits of ``predict_files`` of it alone.

    Parts of the table lie in a folder beside it until all are there. Where some are there already,
    of the same model and pictures, those are kept. The table is the same, byte for byte, however
    often it was gone on with, and whoever worked on the parts.

    Args:
        out: the table, which ends in ``.parquet``, ``.csv`` or ``.jsonl``.
        model: a built classifier.
        names: of all its classes.
        inputs: the pictures.
        scale: as for `Module.predict_files`.
        workers: processes that work on parts at the same time.
        threads: of each process; None for its part of the cores.
        target: as for `Module.predict`.
        mapper: who works on the parts; None for so many processes of this machine.
        cluster: machines that do that in their place, which see the pictures and the table's
            folder.
        counting: tells how far it has come.
        told: takes what a person should know, a line at a time.

    Raises:
        ArgumentError: another ending; the table is there already.
        ShapeError: a packed data set's images have another shape than the model takes; or they
            have other numbers (`DTypeError`).
        CheckpointError: parts that are there are of something else; what is written cannot be.
        DataFileError: a Parquet file is damaged.
        MissingExtraError: Parquet without pyarrow.
        TrainingError: a process is gone.
    """
    for line in inputs.check(model, scale):
        told(line)
    record = model.describe()
    known = ("digest", "weights_sha256")
    table = table_for(out, {**{name: record[name] for name in known}, "class_names": names})
    workers = check_count("workers", workers)
    known_by = decoders() or "unknown"
    parts = Parts(
        out,
        table,
        {
            "model": record["digest"],
            "class_names": hashlib.sha256(
                "\0".join(names).encode("utf-8", "surrogatepass")
            ).hexdigest(),
            "pictures": inputs.digest(),
            "count": inputs.count,
            "part_size": part_size(inputs.count),
            "scale": repr(scale),
            "decoders": known_by,
        },
    )
    check_machines(cluster, workers)
    if cluster is None:
        threads = threads_for(workers, threads)
        if mapper is None and workers > 1:
            told(division(workers, threads))
    work = Predicting(model, names, scale, threads, target, table, known_by)

    opened = ExitStack()

    @cache
    def who() -> Mapper:
        if cluster is None:
            return mapper or mapper_for(workers)
        return opened.enter_context(cluster.mapper(told, out.parent, _first_files(inputs)))

    def predict(missing: Sequence[int]) -> None:
        left = sum(parts.rows(number) for number in missing)
        with counting.of("predicting", left) as step:

            def told_of(_: Part, more: int) -> None:
                for _one in range(more):
                    step()

            pieces = _pieces(inputs, parts, missing)
            with closing(who().map(work, pieces, told_of)) as results:
                for part, _ in results:
                    if part.scratch:
                        # Not before: two may be at a part, of whom one was given up.
                        shutil.rmtree(part.scratch, ignore_errors=True)

    try:
        with parts.held(), opened:
            done = set(parts.there())
            if rows := _rows(parts, done):
                told(f"{rows} were predicted before: {printable(parts.folder)}")
            try:
                if missing := [number for number in range(parts.total) if number not in done]:
                    predict(missing)
                # That is where parts are read, once, and where it is seen whether they are right.
                figures, damaged = parts.join()
                if damaged:
                    for error in damaged.values():
                        told(f"made again: {error.reason}")
                    predict(sorted(damaged))
                    figures, damaged = parts.join()
            except (KeyboardInterrupt, OSError, TrainingError, NotEnoughMemoryError):
                if rows := _rows(parts, parts.there()):
                    told(f"{rows} are done, and the same command goes on from there")
                raise
            for error in damaged.values():
                raise error
    except OSError as error:
        raise cannot_be_written(out, error) from error
    return Written(
        parts.count, figures.lost, figures.noted, figures.escaped, tuple(figures.examples)
    )


def _first_files(inputs: Inputs) -> list[Path]:
    """One of the files of each source that has some: who sees it, sees the others."""
    firsts = [item for source in inputs.sources for item in islice(source.items(0), 1)]
    return [Path(item.file) for item in firsts if item.file]


def _rows(parts: Parts, numbers: Collection[int]) -> str:
    """How many pictures some parts have, in words; "" for none."""
    rows = sum(parts.rows(number) for number in numbers)
    return f"{rows:,} of {parts.count:,} pictures" if rows else ""


def _pieces(inputs: Inputs, parts: Parts, missing: Sequence[int]) -> Iterator[Part]:
    """The parts that are missing, each made when somebody is free to work on it.

    Pictures whose bytes a source gives are laid in files, in the order of the source.
    """
    place = -1
    items: Iterator[Item] = iter(())
    for number in missing:
        first = number * parts.size
        if first != place:
            items = inputs.items(first)
        scratch: Path | None = None
        taken: list[Item] = []
        for item in islice(items, parts.rows(number)):
            if item.content:
                scratch = scratch or parts.scratch(number)
                file = scratch / str(len(taken))
                file.write_bytes(item.content)
                item = replace(item, file=str(file), content=b"")
            taken.append(item)
        place = first + len(taken)
        folder = "" if scratch is None else str(scratch)
        yield Part(number, first, tuple(taken), folder, str(parts.file(number)))
