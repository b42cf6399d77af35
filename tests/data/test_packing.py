"""Packing: killed at any write it goes on with what is right, and gives the same bytes."""

from __future__ import annotations

import os
import shutil
from io import StringIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from rich.console import Console
from tests.data.photographs import write_photographs
from tests.data.spoiled import fill, picture, spoil

from isoconv.data import batches, counting, load_splits, pack, pack_writer, picture_batches
from isoconv.data.batches import Batch
from isoconv.data.pack_layout import PAGE
from isoconv.data.picture_batches import PictureBatches
from isoconv.errors import DataError, DataFileError

SIZE = 20


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few files each."""
    monkeypatch.setattr(picture_batches, "LEAST", 4)
    monkeypatch.setattr(picture_batches, "BATCH", 1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first files of the batches that are decoded."""
    found: list[int] = []
    usual = PictureBatches.make

    def make(self: PictureBatches, batch: Batch, step: Any) -> Any:
        found.append(batch.first)
        return usual(self, batch, step)

    monkeypatch.setattr(PictureBatches, "make", make)
    return found


def packed(source: Path, out: Path, **settings: Any) -> bytes:
    """The bytes of a pack."""
    pack(source, out, progress=False, **{"size": SIZE} | settings)
    assert not [*out.parent.glob("*.part*")]
    return out.read_bytes()


class _Killed:
    """A file whose process ends at some write of all such files, in the middle of it."""

    left = 0

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, content: Any) -> int:
        """Half of it, at the last one."""
        _Killed.left -= 1
        if _Killed.left == 0:
            self._file.write(memoryview(content)[: len(content) // 2])
            self._file.flush()
            os._exit(9)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Killed:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def killed(source: Path, out: Path, write: int) -> bool:
    """Pack in another process that is killed at a write; False where there are not so many."""
    process = os.fork()
    if process == 0:
        opened: Any = vars(pack_writer)["open_to_write"]
        vars(pack_writer)["open_to_write"] = lambda path: _Killed(opened(path))
        _Killed.left = write
        pack(source, out, progress=False, size=SIZE)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_write_loses_what_it_wrote_alone(tmp_path: Path, made: list[int]) -> None:
    """Each pack that is gone on with decodes nothing twice, and its bytes are those of another."""
    source = tmp_path / "photos"
    write_photographs(source, 18, (40, 30))
    whole = packed(source, tmp_path / "whole.pack")
    assert made == [0, 4, 8, 12, 16]
    out = tmp_path / "out.pack"
    again: list[list[int]] = []
    write = 1
    while killed(source, out, write):
        assert not out.exists()
        made.clear()
        assert packed(source, out) == whole
        again.append([*made])
        out.unlink()
        write += 1
    # A plan, an image and a line for each batch, labels, paths, what is behind, and the first page.
    assert write == 1 + 1 + 2 * 5 + 4
    batches_left = [[0, 4, 8, 12, 16][done:] for done in (0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4)]
    assert again == [*batches_left, [], [], [], []]


def test_what_came_to_the_place_of_a_pack_stays(
    tmp_path: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is packed stays beside it, and a whole pack of two names is not written into."""
    source, out = tmp_path / "photos", tmp_path / "out.pack"
    write_photographs(source, 18, (40, 30))
    whole = packed(source, tmp_path / "whole.pack")
    usual = PictureBatches.end

    def end(self: PictureBatches, images: Any) -> Any:
        out.write_text("mine")
        return usual(self, images)

    with monkeypatch.context() as patched:
        patched.setattr(PictureBatches, "end", end)
        with pytest.raises(DataFileError, match="is there already: remove it, or") as caught:
            pack(source, out, progress=False, size=SIZE)
    assert "the same command goes on from there" in str(caught.value.__notes__)
    assert out.read_text() == "mine"
    out.unlink()
    made.clear()
    assert packed(source, out) == whole
    assert made == []
    # Killed before the other name was taken from it, and then moved away.
    moved = out.rename(tmp_path / "moved.pack")
    os.link(moved, tmp_path / "out.pack.part")
    packed(source, out, size=SIZE + 1)
    assert moved.read_bytes() == whole


def test_what_is_there_is_kept_where_it_is_right(
    tmp_path: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where its bytes, its files or the way of reading have changed."""
    source, out = tmp_path / "photos", tmp_path / "out.pack"
    files = write_photographs(source, 18, (40, 30))
    whole = packed(source, tmp_path / "whole.pack")
    part, log = tmp_path / "out.pack.part", tmp_path / "out.pack.part.log"

    def begun() -> None:
        """All batches are there, and nothing else."""
        out.unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(pack_writer.Writer, "_finish", _stop)
            with pytest.raises(KeyboardInterrupt):
                pack(source, out, progress=False, size=SIZE)
        made.clear()

    begun()
    assert packed(source, out) == whole
    assert made == []
    begun()
    content = bytearray(part.read_bytes())
    content[PAGE + 5 * SIZE * SIZE * 3] ^= 1
    part.write_bytes(content)
    assert packed(source, out) == whole
    assert made == [4]
    begun()
    os.utime(files[9], ns=(5, 5))
    assert packed(source, out) == whole
    assert made == [8]
    begun()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"[1, 2]\n", b"nonsense\n", *lines[3:], lines[2][:30]]))
    assert packed(source, out) == whole
    assert made == [0, 4]
    begun()
    assert len(packed(source, out, size=SIZE - 1)) < len(whole)
    assert len(made) == 5
    assert pack(source, tmp_path / "third.pack", progress=False, size=SIZE).kept == 0


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def test_files_that_cannot_be_read(tmp_path: Path, made: list[int]) -> None:
    """Left out and told as in memory, with no say in how the others are read; or an error."""
    source = tmp_path / "all"
    fill(source, "png", 5)
    large = [picture(source / "cat" / f"large {n}.png", size=(99, 88)) for n in range(9)]
    for path in large:
        spoil(path)
    out = tmp_path / "all.pack"
    with pytest.raises(DataFileError, match="9 of 19 files cannot be read"):
        pack(source, out, progress=False)
    made.clear()
    pack(source, out, skip_bad=True, progress=False)
    plain, found = load_splits(source, skip_bad=True, cache=False), load_splits(out)
    assert found.train.image_shape == (24, 24, 1)
    assert [each.path for each in found.skipped] == [each.path for each in plain.skipped]
    for one, other in zip(plain, found, strict=True):
        assert one.digest() == other.digest()
        assert (one.notes, one.paths, one.skipped) == (other.notes, other.paths, other.skipped)


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, what is there, two at once, and disks without room; nothing is left behind."""
    source = (np.zeros((6, 8, 8), np.uint8), [0, 1] * 3)
    out = tmp_path / "a.pack"
    for path, told in ((tmp_path / "a.npz", "ends in .pack"), (tmp_path / "no" / "a.pack", "No")):
        with pytest.raises(DataFileError, match=told):
            pack(source, path, progress=False)
    with pack_writer.Writer(out).held():
        for given in (source, tmp_path / "not looked at"):
            with pytest.raises(
                DataFileError, match=r"a.pack: is being written by another"
            ) as caught:
                pack(given, out, progress=False)
            assert not getattr(caught.value, "__notes__", [])
    pictures = tmp_path / "pictures"
    write_photographs(pictures, 4, (9, 9))
    classes = next(each for each in pictures.iterdir() if each.is_dir())
    with pytest.raises(DataFileError, match="must not lie in a folder of its source"):
        pack(pictures, classes / "a.pack", progress=False)
    pack(pictures, pictures / "a.pack", progress=False)
    pack(pictures, tmp_path / "b.pack", progress=False)
    assert (pictures / "a.pack").read_bytes() == (tmp_path / "b.pack").read_bytes()
    shutil.rmtree(pictures)
    (tmp_path / "b.pack").unlink()
    (tmp_path / "a.pack.part.log").mkdir()
    with pytest.raises(DataFileError, match="cannot be written: Is a directory"):
        pack(source, out, progress=False)
    (tmp_path / "a.pack.part.log").rmdir()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
        with pytest.raises(DataError, match=r"needs \d+ bytes of disk, of which .*; there are 1 b"):
            pack(source, out, progress=False)
    assert [*tmp_path.iterdir()] == []
    pack(source, out, progress=False)
    with pytest.raises(DataFileError, match="is there already"):
        pack(source, out, progress=False)
    mixed = tmp_path / "mixed.npz"
    np.savez(mixed, x_train=source[0], y_train=source[1], x_test=source[0][:2, 1:], y_test=[0, 1])
    with pytest.raises(DataError, match=r"images must have .* in all parts; got \(8, 8, 1\) in"):
        pack(mixed, tmp_path / "b.pack", progress=False)
    assert batches.BATCH > 10**6


def test_pictures_are_counted_as_they_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, in all batches; what is read back is counted by batches."""
    monkeypatch.setattr(counting, "_LONG", 0)
    monkeypatch.setattr(counting, "_PATIENCE", 0)
    write_photographs(tmp_path / "source", 9, (SIZE, SIZE))
    shown = StringIO()
    found = pack(tmp_path / "source", tmp_path / "out.pack", progress=Console(file=shown))
    count = sum(found.samples.values())
    batches_ = -(-count // 4)
    assert shown.getvalue().splitlines() == [
        f"looking at {count} pictures took 0 s",
        f"packing {count} pictures took 0 s",
        f"checking {batches_} batches took 0 s",
    ]
