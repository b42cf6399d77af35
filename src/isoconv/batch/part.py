"""One part of a batch prediction: some pictures, from their files to rows of a table."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoconv.batch.item import Item
from isoconv.batch.packed_images import read_packed, the_pack
from isoconv.batch.parts import NAMED, write_part
from isoconv.batch.table import Answer, Table, as_text
from isoconv.checks import refusal
from isoconv.data.pack_file import PackFile
from isoconv.data.reader import decoders
from isoconv.data.threads import Take, each_in_order
from isoconv.errors import CheckpointError, TrainingError
from isoconv.graph.operation import Array
from isoconv.nn.alone import OneImage, read_alone
from isoconv.nn.each import BATCH, ROOM
from isoconv.printable import listed, printable

if TYPE_CHECKING:
    from isoconv.nn.module import Module
    from isoconv.run.pieces import Tell

_MOMENT = 0.1
"""Seconds from one telling to the next."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pictures that follow one another.

    Attributes:
        number: of the part.
        first: number of its first picture.
        items: none has bytes: where the sources have them, they lie in files meanwhile.
        scratch: the folder with these files; "" for none.
        file: where its rows are to be.
    """

    number: int
    first: int
    items: tuple[Item, ...]
    scratch: str
    file: str

    def __str__(self) -> str:
        return f"pictures {self.first:,} to {self.first + len(self.items) - 1:,}"


@dataclass(frozen=True, slots=True)
class Predicting:
    """Work on parts, in any process: reads pictures, predicts, and writes the rows.

    Attributes:
        model: a built classifier.
        names: of all its classes.
        scale: as for `Module.predict_files`.
        threads: that read and that predict; None for one for each core.
        target: as for `Module.predict`.
        table: the kind of file.
        decoders: versions of the libraries that read pictures.
    """

    model: Module
    names: tuple[str, ...]
    scale: float | None
    threads: int | None
    target: str | None
    table: Table
    decoders: str

    def __call__(self, part: Part, tell: Tell) -> None:
        """Write the rows of a part, whole or not at all; tells how many more pictures are done.

        Raises:
            TrainingError: pictures are read here by other versions of libraries.
        """
        here = decoders() or "unknown"
        if here != self.decoders:
            raise TrainingError(
                f"{printable(socket.gethostname())} must read pictures as all do, by "
                f"{self.decoders}; it has {here}"
            )
        rows: list[Answer] = []
        lost, noted, escaped = 0, 0, 0
        examples: list[str] = []
        before, next_time = 0, 0.0
        for row in self._rows(part):
            rows.append(row)
            lost += row.error is not None
            noted += bool(row.notes)
            escaped += "\\" in row.path
            told = (row.error,) if row.error is not None else row.notes
            if told and len(examples) < NAMED:
                examples.append(f"{listed([row.path])}: {listed(['; '.join(told)])}")
            if (now := time.monotonic()) >= next_time or len(rows) == len(part.items):
                # Who is told may be far away.
                tell(len(rows) - before)
                before, next_time = len(rows), now + _MOMENT
        if part.scratch and not Path(part.scratch).is_dir():
            # Of a process that was killed this one goes on for a while, and another run has begun.
            raise CheckpointError(f"{printable(part.scratch)} was removed while it was read")
        figures = {"rows": len(rows), "lost": lost, "noted": noted, "escaped": escaped}
        write_part(Path(part.file), self.table.part(rows), {**figures, "examples": examples})

    def _rows(self, part: Part) -> Iterator[Answer]:
        most = max(1, min(BATCH, ROOM // prod(self.model.input_shape or (1,))))
        waiting: list[OneImage] = []
        # Open until all of them were read.
        packs: dict[str, PackFile] = {}
        for item in part.items:
            if item.pack and item.file not in packs:
                packs[item.file] = the_pack(item)
        read_one = partial(self._read, packs)
        with closing(each_in_order(read_one, part.items, self.threads)) as found:
            for _, read in found:
                image = read()
                kinds = {each.image.dtype for each in (*waiting, image) if each.image is not None}
                if len(kinds) > 1:
                    yield from self._answers(waiting)
                    waiting = []
                waiting.append(image)
                if len(waiting) == most:
                    yield from self._answers(waiting)
                    waiting = []
        yield from self._answers(waiting)

    def _read(self, packs: Mapping[str, PackFile], item: Item, _: Take) -> OneImage:
        if item.error:
            return OneImage(item.name, None, error=item.error)
        if item.pack:
            return read_packed(self.model, packs[item.file], item, self.scale)
        return read_alone(self.model, Path(item.file), item.name, self.scale)

    def _answers(self, images: list[OneImage]) -> Iterator[Answer]:
        """Rows of images of one kind."""
        there = [each.image for each in images if each.image is not None]
        results: Iterator[Array] = iter(())
        if there:
            # They are what the model takes, whatever it was trained on.
            results = iter(
                self.model.predict(
                    np.stack(there), scale=1, threads=self.threads, target=self.target
                )
            )
        for each in images:
            if each.image is None:
                yield Answer(each.name, error=each.error)
                continue
            shares = next(results)
            if shares.shape != (len(self.names),):
                raise refusal("model", f"give a row of {len(self.names)} classes", shares.shape)
            # Of equals the first.
            name = as_text(self.names[int(shares.argmax())])
            yield Answer(each.name, name, shares, None, each.notes)
