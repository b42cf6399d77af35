"""The writer of packed data sets: what is written, when it is whole, and going on after a kill.

What is written goes into ``OUT.part``, with a line in ``OUT.part.log`` for each batch that lies
there whole. A pack that was begun and not finished goes on behind the batches that are right: whose
source has the same stamp, and whose bytes have the digest of the log. The file gets its name when
all of it is on the disk.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np

from isoconv.data.batches import Batch, Batches
from isoconv.data.counting import Counting
from isoconv.data.dataset import Dataset
from isoconv.data.files import Split, bad_file
from isoconv.data.pack_file import open_pack
from isoconv.data.pack_layout import BLOCK, PAGE, Area, Layout, Part, aligned, first_page
from isoconv.data.passes import head_of, little
from isoconv.data.skipped import Skipped
from isoconv.data.sources import matched
from isoconv.errors import DataError
from isoconv.files import open_to_write, put_new
from isoconv.memory import readable
from isoconv.printable import printable
from isoconv.rows import Array, Rows, chunks, rows_behind

try:
    import fcntl
except ImportError:  # a system without this kind of locks
    fcntl = None  # type: ignore[assignment]


PART = ".part"
"""Behind the name of a file that is not whole."""
MOST_LOG = 1 << 30
"""Bytes of the longest log that is read."""
IS_THERE = "is there already: remove it, or choose another name"


@dataclass(frozen=True, slots=True)
class Packed:
    """What came of packing a data set.

    Attributes:
        path: of the file.
        sha256: digest of the whole, see docs/data.md.
        size: bytes of the file.
        samples: by part.
        kept: images that lay there already, for it was begun before.
        notes: what is to be told of the source, a line each.
        skipped: files that cannot be read and were left out, as was asked for.
    """

    path: Path
    sha256: str
    size: int
    samples: Mapping[str, int]
    kept: int
    notes: tuple[str, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A batch that lies in the file.

    Attributes:
        batch: which.
        row: the number of its first image.
        rows: how many it has.
        sha256: of their bytes.
        told: what there is to tell of it.
    """

    batch: Batch
    row: int
    rows: int
    sha256: str
    told: Any

    def line(self) -> bytes:
        """It, in the log."""
        batch = self.batch
        plain = [batch.part, batch.first, batch.stamp, self.row, self.rows, self.sha256, self.told]
        return json.dumps(plain).encode() + b"\n"


class Writer:
    """A file that is being written.

    Args:
        path: where it will be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART)
        self._log_path = path.with_name(path.name + PART + ".log")
        self._file: IO[bytes]
        self._log: IO[bytes]

    @contextmanager
    def held(self) -> Iterator[Writer]:
        """Within, no other process writes it.

        Raises:
            DataFileError: another one does.
        """
        with self._own() as self._file:
            try:
                with open_to_write(self._log_path) as self._log:
                    yield self
            finally:
                # Nobody wants what was never begun.
                if os.fstat(self._file.fileno()).st_size <= PAGE:
                    for path in (self._part, self._log_path):
                        with suppress(OSError):
                            path.unlink()
                if fcntl is not None:
                    # Whoever keeps an error keeps the mapped file, and the lock with it.
                    with suppress(OSError):
                        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _own(self) -> BinaryIO:
        """The file, which no other process writes and which has no other name."""
        file = open_to_write(self._part)
        try:
            self._file = file
            self._lock()
            if os.fstat(file.fileno()).st_nlink <= 1:
                return file
            # It is whole: a process was killed between giving it its name and taking this one.
            self._part.unlink()
        except BaseException:
            file.close()
            raise
        file.close()
        return self._own()

    def _lock(self) -> None:
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = os.path.samestat(os.fstat(self._file.fileno()), self._part.stat())
        except (BlockingIOError, FileNotFoundError):
            here = False
        except OSError:
            # The file system has no locks.
            return
        if not here:
            # Or was, until just now, and gave it its name.
            raise bad_file(self._path, "is being written by another process")

    def write(self, batches: Batches, counting: Counting) -> Packed:
        """All of it; see `pack`."""
        while True:
            entries, kept = self._batches(batches, counting)
            if not batches.again():
                break
        parts = self._parts(batches, entries)
        layout = self._finish(batches, entries, parts, counting)
        self._file.flush()
        os.fsync(self._file.fileno())
        try:
            put_new(self._part, self._path)
        except FileExistsError:
            raise bad_file(self._path, IS_THERE) from None
        self._log_path.unlink(missing_ok=True)
        notes = tuple(dict.fromkeys(line for part in layout.parts for line in part.notes))
        samples: dict[str, int] = {part.part: part.samples for part in layout.parts}
        found = open_pack(self._path)
        return Packed(self._path, found.sha256, found.size, samples, kept, notes, layout.skipped)

    # Batches -------------------------------------------------------------------------------------

    def _batches(self, batches: Batches, counting: Counting) -> tuple[list[_Entry], int]:
        """The images of all batches, in the file; and how many of them lay there already."""
        planned = [*batches.each()]
        each = int(np.prod(batches.shape)) * batches.dtype.itemsize
        known = self._known(batches)
        total = sum(batch.most for batch in planned)
        self._check_room(total * (each + batches.label_bytes))
        entries: list[_Entry] = []
        row, kept = 0, 0
        with counting.of("packing", total) as step:
            for batch in planned:
                entry = known.get((batch.part, batch.first))
                if entry is not None and self._is_right(batches, batch, entry, row, each):
                    entry = replace(entry, batch=batch)
                    kept += entry.rows
                    for _ in range(batch.most):
                        step()
                else:
                    entry = self._make(batches, batch, row, each, step)
                entries.append(entry)
                row += entry.rows
        return entries, kept

    def _known(self, batches: Batches) -> Mapping[tuple[str, int], _Entry]:
        """The batches that the log names, if it is of the same plan; else both files are empty."""
        plan = json.dumps({"pack": 1, **batches.plan}, sort_keys=True).encode() + b"\n"
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(0)
        content = self._log.read() if size <= MOST_LOG else b""
        if not content.startswith(plan):
            for file in (self._file, self._log):
                file.truncate(0)
            self._log.seek(0)
            self._log.write(plan)
            self._log.flush()
            return {}
        found: dict[tuple[str, int], _Entry] = {}
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole[len(plan) :].splitlines():
            try:
                part, first, stamp, row, rows, sha256, told = json.loads(line)
                batch = Batch(part, int(first), 0, stamp)
                found[part, batch.first] = _Entry(batch, int(row), int(rows), sha256, told)
            except (ValueError, TypeError):
                continue
        # A line that was cut is none.
        self._log.truncate(len(whole))
        self._log.seek(0, os.SEEK_END)
        return found

    def _is_right(self, batches: Batches, batch: Batch, entry: _Entry, row: int, each: int) -> bool:
        """Whether a batch lies in the file as it would be made now."""
        # With files among them that could not be read it is made anew: they may be mended by now.
        if (entry.batch.stamp, entry.row, entry.rows) != (batch.stamp, row, batch.most):
            return False
        if hashlib.sha256(self._read(row * each, entry.rows * each)).hexdigest() != entry.sha256:
            return False
        try:
            batches.recall(batch, entry.told)
        except ValueError:
            return False
        return True

    def _make(
        self, batches: Batches, batch: Batch, row: int, each: int, step: Callable[[], None]
    ) -> _Entry:
        images, told = batches.make(batch, step)
        if images.shape[1:] != batches.shape or images.dtype != batches.dtype:
            raise DataError(
                f"{batches.name}: images must be all {batches.dtype} of shape {batches.shape}; got "
                f"{images.dtype} of shape {images.shape[1:]} in the {batch.part} part"
            )
        content = little(images)
        self._file.seek(PAGE + row * each)
        self._file.write(content)
        self._file.flush()
        entry = _Entry(batch, row, len(images), hashlib.sha256(content).hexdigest(), told)
        self._log.write(entry.line())
        self._log.flush()
        batches.recall(batch, told)
        return entry

    def _read(self, start: int, size: int) -> bytes:
        """Bytes of the data, as the file has them."""
        self._file.seek(PAGE + start)
        return self._file.read(size)

    def _check_room(self, wanted: int) -> None:
        """See that the disk has room for so many bytes, of which some may be there.

        Raises:
            DataError: it has not.
        """
        there = getattr(os.fstat(self._file.fileno()), "st_blocks", 0) * 512
        free = shutil.disk_usage(self._path.absolute().parent).free
        if wanted - there > free:
            raise DataError(
                f"packing into {printable(self._path)} needs {readable(wanted)} of disk, of which "
                f"{readable(there)} are written; there are {readable(free)}: a smaller size, or "
                "another disk"
            )

    # The end -------------------------------------------------------------------------------------

    def _parts(self, batches: Batches, entries: Sequence[_Entry]) -> dict[Split, Dataset]:
        """The parts as data sets, whose images lie in the file."""
        starts: dict[Split, tuple[int, int]] = {}
        for entry in entries:
            first, _ = starts.get(entry.batch.part, (entry.row, 0))
            starts[entry.batch.part] = first, entry.row + entry.rows
        count = entries[-1].row + entries[-1].rows
        if not count:
            # What cannot be read is told there.
            return batches.end({part: np.empty((0, *batches.shape), batches.dtype)
                                for part in starts})  # fmt: skip
        base = self._mapped(Area(batches.dtype.name, (count, *batches.shape), 0))
        images = {
            part: cast(Array, Rows(base, np.arange(first, last)))
            for part, (first, last) in starts.items()
        }
        found = matched(batches.name, batches.end(images))
        # Whatever the source has them in, from here on they lie in the file.
        return {part: replace(data, images=images[part]) for part, data in found.items()}

    def _mapped(self, area: Area) -> Array:
        """An array that was written, where it lies in the file."""
        self._file.flush()
        end = PAGE + area.start + area.bytes
        mapped = mmap.mmap(self._file.fileno(), end, access=mmap.ACCESS_READ)
        content = np.frombuffer(mapped, np.uint8, area.bytes, PAGE + area.start)
        return content.view(np.dtype(area.dtype).newbyteorder("<")).reshape(area.shape)

    def _finish(
        self,
        batches: Batches,
        entries: Sequence[_Entry],
        parts: dict[Split, Dataset],
        counting: Counting,
    ) -> Layout:
        """Write what stands behind the images, and at last the first page."""
        rows = entries[-1].row + entries[-1].rows
        images = Area(batches.dtype.name, (rows, *batches.shape), 0)
        first = next(iter(parts.values()))
        labels = first.labels
        behind = Area(labels.dtype.name, (rows, *labels.shape[1:]), aligned(images.bytes))
        paths, area = b"", None
        if all(data.paths for data in parts.values()):
            paths = b"".join(path.encode("utf-8", "surrogateescape") + b"\0"
                             for data in parts.values() for path in data.paths)  # fmt: skip
            area = Area("uint8", (len(paths),), aligned(behind.start + behind.bytes))
        end = behind.start + behind.bytes if area is None else area.start + area.bytes
        # Zeros between, whatever lay there.
        self._file.truncate(PAGE + images.bytes)
        self._file.truncate(PAGE + aligned(end))
        self._file.seek(PAGE + behind.start)
        for data in parts.values():
            for some in chunks(data.labels):
                self._file.write(little(some))
        if rows_behind(labels) is not None:
            # Masks need not be decoded once more for the digests.
            written, place = self._mapped(behind), 0
            for part, data in parts.items():
                own = cast(Array, Rows(written, np.arange(place, place + len(data))))
                parts[part] = replace(data, labels=own)
                place += len(data)
        self._file.seek(PAGE + end - len(paths))
        self._file.write(paths)
        digests, blocks = self._digests(entries, parts, aligned(end), counting)
        layout = Layout(
            batches.name, images, behind, area,
            tuple(Part(part, len(data), digests[part], data.notes) for part, data in parts.items()),
            first.class_names, all(data.numbered for data in parts.values()), first.reading,
            first.skipped,
        )  # fmt: skip
        description = layout.content()
        self._file.seek(PAGE + aligned(end))
        self._file.write(blocks + description)
        # Whoever sees this page sees all that it vouches for.
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.seek(0)
        self._file.write(first_page(aligned(end), blocks + description, len(description)))
        return layout

    def _digests(
        self,
        entries: Sequence[_Entry],
        parts: Mapping[Split, Dataset],
        size: int,
        counting: Counting,
    ) -> tuple[dict[Split, str], bytes]:
        """Digests of the parts and of all blocks, of what the file gives back."""
        blocks = _Blocks()
        shas = {
            part: hashlib.sha256(head_of("images", data.images)) for part, data in parts.items()
        }
        place = 0
        with counting.of("checking", len(entries), "batches") as step:
            for entry in entries:
                each = next(iter(parts.values())).images[:1].nbytes
                content = self._read(entry.row * each, entry.rows * each)
                if hashlib.sha256(content).hexdigest() != entry.sha256:
                    raise bad_file(self._part, "gives back other bytes than were written into it")
                shas[entry.batch.part].update(content)
                blocks.add(content)
                place += len(content)
                step()
        while place < size:
            content = self._read(place, min(BLOCK, size - place))
            blocks.add(content)
            place += len(content)
        for part, data in parts.items():
            cast(Rows, data.images).known["digest"] = shas[part]
        return {part: data.digest() for part, data in parts.items()}, blocks.end()


class _Blocks:
    """Digests of blocks of what comes in pieces."""

    def __init__(self) -> None:
        self._found: list[bytes] = []
        self._sha = hashlib.sha256()
        self._size = 0

    def add(self, content: bytes) -> None:
        """A piece behind the others."""
        view = memoryview(content)
        while view:
            piece = view[: BLOCK - self._size]
            self._sha.update(piece)
            self._size += len(piece)
            view = view[len(piece) :]
            if self._size == BLOCK:
                self._close()

    def _close(self) -> None:
        self._found.append(self._sha.digest())
        self._sha, self._size = hashlib.sha256(), 0

    def end(self) -> bytes:
        """All digests, that of the last block too."""
        if self._size:
            self._close()
        return b"".join(self._found)
