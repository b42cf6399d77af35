"""The folder beside a table in which its parts lie until all are there, and what they are of."""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from isoconv.batch.table import Table
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.files import put_new, read_file
from isoconv.nn.schema import SHA256, Fields, Rows, Text, Whole
from isoconv.nn.storage import replace_file
from isoconv.printable import printable
from isoconv.train.files import canonical_json, read_json
from isoconv.train.hold import HELD, Hold

PARTS = ".parts"
"""Behind a table's name in that of the folder of its parts."""

FORMAT = 2
_RECORD = "record.json"
_SETTINGS = Text(longest=2**24)
RECORD = Fields(
    {
        "format": Whole(FORMAT, FORMAT),
        "model": SHA256,
        "class_names": SHA256,
        "pictures": SHA256,
        "count": Whole(0, 2**60),
        "part_size": Whole(1),
        "scale": _SETTINGS,
        "decoders": _SETTINGS,
    }
)
DONE = Fields(
    {
        "sha256": SHA256,
        "rows": Whole(1),
        "lost": Whole(),
        "noted": Whole(),
        "escaped": Whole(),
        "examples": Rows(Text(longest=2**24)),
    }
)
_WORDS = {
    "model": "another model",
    "class_names": "other names of classes",
    "pictures": "other pictures, or pictures that have changed since",
    "count": "another number of pictures",
    "scale": "another --scale",
    "decoders": "other versions of what decodes pictures",
}
"""What it means that an entry differs."""
_PART = re.compile(r"part-\d{8}\.(parquet|csv|jsonl|json)")
_SCRATCH = re.compile(r"part-\d{8}-\w+\.pictures|\..*\.tmp", re.DOTALL)
"""What a process that was killed was at."""
NAMED = 20
"""Pictures that cannot be read, or of which there is something to tell, that are named."""
_FEWEST, _MOST, _MANY = 16, 1024, 64
"""Pictures of a part, and how many parts are made of few pictures."""


@dataclass(slots=True)
class Figures:
    """What parts tell of themselves, all together.

    Attributes:
        lost: pictures that cannot be read.
        noted: pictures of which there is something to tell.
        escaped: pictures whose names have escapes.
        examples: the first of those that are lost or noted, a line each.
    """

    lost: int = 0
    noted: int = 0
    escaped: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, of_part: Mapping[str, Any]) -> None:
        """Add those of one part."""
        self.lost += of_part["lost"]
        self.noted += of_part["noted"]
        self.escaped += of_part["escaped"]
        self.examples += of_part["examples"][: NAMED - len(self.examples)]


def write_part(file: Path, content: bytes, figures: Mapping[str, Any]) -> None:
    """Write a part, and behind it its figures with the digest of both: then it is done.

    Raises:
        OSError: it cannot be written.
    """
    replace_file(file, content)
    figures = {**figures, "sha256": _digest(content, figures)}
    replace_file(_figures_of(file), canonical_json(figures))


def _figures_of(file: Path) -> Path:
    return file.with_suffix(".json")


def _digest(content: bytes, figures: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(figures) + content).hexdigest()


def part_size(count: int) -> int:
    """How many pictures are a part: of few pictures less, so that several processes have work.

    Example:
        >>> part_size(100), part_size(10_000), part_size(1_000_000)
        (16, 157, 1024)
    """
    return min(_MOST, max(_FEWEST, -(-count // _MANY)))


class Parts:
    """The parts of a table.

    Args:
        out: where the table is to be.
        table: the kind of file.
        facts: what its rows follow from, by the entries of `RECORD`.
    """

    def __init__(self, out: Path, table: Table, facts: Mapping[str, Any]) -> None:
        self.out, self._table = out, table
        self.folder = out.with_name(f"{out.name}{PARTS}")
        self._facts = {"format": FORMAT, **facts}
        self._record = self.folder / _RECORD
        self.count: int = facts["count"]
        self.size: int = facts["part_size"]

    @property
    def total(self) -> int:
        """How many parts there are in the end."""
        return -(-self.count // self.size)

    def rows(self, number: int) -> int:
        """How many rows a part has."""
        return min(self.size, self.count - number * self.size)

    def file(self, number: int) -> Path:
        """Where a part is."""
        return self.folder / f"part-{number:08d}{self.out.suffix.lower()}"

    def read(self, number: int) -> tuple[bytes, dict[str, Any]]:
        """A part that is there, and its figures.

        Raises:
            CheckpointError: one of them was altered, or cannot be read.
        """
        file = self.file(number)
        path = _figures_of(file)
        figures = read_json(path, printable(path), DONE)
        try:
            content = read_file(file)
        except OSError as error:
            raise CheckpointError(
                f"{printable(file)} cannot be read: {error}", path=file
            ) from error
        written = figures.pop("sha256")
        if _digest(content, figures) != written:
            raise CheckpointError(
                f"{printable(file)} or its figures were altered after they were written: the same "
                "command makes that part again",
                path=file,
            )
        return content, figures

    def scratch(self, number: int) -> Path:
        """A new folder for what a part is made of, which nobody else has had."""
        return Path(mkdtemp(".pictures", f"part-{number:08d}-", self.folder))

    def there(self) -> list[int]:
        """The parts that are there, right or not."""
        names = {entry.name for entry in os.scandir(self.folder)}
        files = ((number, self.file(number)) for number in range(self.total))
        return [number for number, file in files if {file.name, _figures_of(file).name} <= names]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, the folder is this process's alone; made, or gone on with if it is of the same.

        Raises:
            ArgumentError: the table is there already, or the folder holds something else.
            CheckpointError: the folder is of another model, other pictures or other settings;
                another process holds it; it cannot be written.
        """
        hold = Hold(self.folder, "predicts")
        try:
            self._begin()
            yield
        finally:
            hold.release()
            with contextlib.suppress(OSError):
                # Empty, it is of no use to anybody.
                self.folder.rmdir()

    def _begin(self) -> None:
        if not self._record.exists():
            # Some may be left of a process that was killed while it removed them.
            self._remove_parts()
            if os.path.lexists(self.out):
                raise self._is_there("remove it, or choose another --out")
            others = sorted({path.name for path in self.folder.iterdir()} - {HELD})
            if others:
                raise ArgumentError(
                    f"{printable(self.folder)} holds {printable(others[0])}, which no prediction "
                    "wrote: choose another --out",
                    argument="out",
                    value=self.out,
                )
            replace_file(self._record, canonical_json(self._facts))
        found = read_json(self._record, printable(self._record), RECORD)
        differing = [name for name in _WORDS if found[name] != self._facts[name]]
        if differing:
            told = "; ".join(
                f"{_WORDS[name]} ({found[name]!s:.100}, now {self._facts[name]!s:.100})"
                for name in differing
            )
            raise CheckpointError(
                f"{printable(self.folder)} was begun with {printable(told)}: remove it, or choose "
                "another --out",
                path=self.folder,
            )
        self.size = found["part_size"]
        if os.path.lexists(self.out) and len(self.there()) < self.total:
            raise self._is_there(self._go_on())
        self._remove(_SCRATCH)

    def _is_there(self, way_out: str) -> ArgumentError:
        return ArgumentError(
            f"{printable(self.out)} is there already: {way_out}", argument="out", value=self.out
        )

    def _go_on(self) -> str:
        return (
            f"move it away, and the same command goes on with the parts in "
            f"{printable(self.folder)}, or choose another --out"
        )

    def _remove_parts(self) -> None:
        """What is of no use without a record of what it is of."""
        self._remove(_SCRATCH)
        self._remove(_PART)

    def _remove(self, pattern: re.Pattern[str]) -> None:
        for path in self.folder.iterdir():
            if pattern.fullmatch(path.name):
                if path.is_dir() and not path.is_symlink():
                    # Whoever still reads there finds out that it is gone, all at once.
                    shutil.rmtree(path.replace(path.with_name(f".{path.name}.tmp")))
                else:
                    path.unlink(missing_ok=True)

    def _is_same(self, temporary: Path) -> bool:
        try:
            return filecmp.cmp(temporary, self.out, shallow=False)
        except OSError:
            return False

    def join(self) -> tuple[Figures, dict[int, CheckpointError]]:
        """Read all parts, put them together, whole or not at all, and remove them.

        Returns:
            The figures of all; and by their numbers the parts that are not as they were written:
            without these there is no table, and the others stay.

        Raises:
            ArgumentError: something else came to the table's place meanwhile; the parts stay.
            CheckpointError: the table cannot be written.
        """
        temporary = self.folder / f".{self.out.name}.tmp"
        figures = Figures()
        damaged: dict[int, CheckpointError] = {}
        with temporary.open("wb") as file:
            self._table.join(self._checked(figures, damaged), file)
            file.flush()
            os.fsync(file.fileno())
        if damaged:
            temporary.unlink()
            return figures, damaged
        try:
            put_new(temporary, self.out)
        except FileExistsError:
            # The same table was put there by a process that was killed before it tidied up.
            if not self._is_same(temporary):
                temporary.unlink()
                raise self._is_there(self._go_on()) from None
        # From here on the folder is of no use; without its record, a table is not made again.
        self._record.unlink()
        self._remove_parts()
        return figures, damaged

    def _checked(
        self, figures: Figures, damaged: dict[int, CheckpointError]
    ) -> Iterator[tuple[Path, bytes, int]]:
        """The parts up to the first damaged one; those behind it are looked at all the same."""
        for number in range(self.total):
            try:
                content, own = self.read(number)
            except CheckpointError as error:
                damaged[number] = error
                continue
            figures.add(own)
            if not damaged:
                yield self.file(number), content, self.rows(number)
