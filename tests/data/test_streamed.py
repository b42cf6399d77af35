"""Arrays that stay in their files until they are packed: the same data, some rows at a time."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isoconv.data import batches, check, load, load_splits, pack
from isoconv.data.batches import ArrayBatches
from isoconv.data.sources import batches_of
from isoconv.data.streamed import ArrayStream, StreamedRows
from isoconv.errors import DataFileError
from isoconv.rows import rows_behind

Array = NDArray[Any]

COUNT = 60
BYTES = np.random.default_rng(0).integers(0, 256, (COUNT, 9, 8, 3), np.uint8)
NUMBERS = np.arange(COUNT) % 3
PLACES = np.random.default_rng(1).integers(-1, 4, BYTES.shape[:3])
CASES: dict[str, tuple[Array, Array]] = {
    "bytes": (BYTES, NUMBERS),
    "float64": (BYTES / 7, NUMBERS),
    "float16": ((BYTES / 7).astype("f2"), np.array(["cat", "dog", "cow"])[NUMBERS]),
    "gray": (BYTES[..., 0], NUMBERS),
    "big-endian": ((BYTES / 9).astype(">f4"), NUMBERS / 3),
    "places": (BYTES, PLACES),
    "unsigned places": (BYTES[..., 1], (PLACES + 1).astype(np.uint8)),
    "flags": (BYTES, PLACES > 1),
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a few images each."""
    monkeypatch.setattr(batches, "BATCH", 2000)


def streams_of(path: Path) -> list[bool]:
    """Whether images and labels stay in the file."""
    found = batches_of(path)
    assert isinstance(found, ArrayBatches)
    (train, *_) = found._parts.values()
    return [isinstance(rows_behind(array), StreamedRows) for array in (train.images, train.labels)]


def idx(path: Path, array: Array) -> None:
    """Write an idx file."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", CASES)
def test_an_archive_is_packed_from_its_file(
    tmp_path: Path, name: str, save: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its numbers are; each row is read once, a few at a time."""
    images, labels = CASES[name]
    path, out = tmp_path / "data.npz", tmp_path / "data.pack"
    save(path, x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    assert streams_of(path) == [True, "places" in name or name == "flags"]
    read: list[tuple[int, int]] = []
    usual = ArrayStream.read

    def counted(self: ArrayStream, first: int, count: int) -> Array:
        """Notes what is read of the images to train on."""
        if "x_train" in self.where:
            read.append((first, count))
        return usual(self, first, count)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayStream, "read", counted)
        pack(path, out, progress=False)
    each = read[0][1]
    assert each < COUNT
    assert read == [(first, min(each, COUNT - first)) for first in range(0, COUNT, each)]
    plain, found = load_splits(path), load_splits(out)
    for part, data in plain.parts.items():
        assert found.parts[part].digest() == data.digest()
        assert (found.parts[part].paths, found.parts[part].notes) == (data.paths, data.notes)
    assert check(out) == []


def test_what_cannot_stay_in_its_file_is_read(tmp_path: Path) -> None:
    """Arrays column by column, whole numbers, and what looks as if its channels came first."""
    path = tmp_path / "data.npz"
    np.savez(path, images=np.asfortranarray(BYTES), labels=NUMBERS)
    assert streams_of(path) == [False, False]
    pack(path, tmp_path / "a.pack", progress=False)
    assert load(tmp_path / "a.pack").digest() == load(path).digest()
    for images, told in ((BYTES.astype(int), "images must be uint8 or float32"),
                         (BYTES.transpose(0, 3, 1, 2), r"looks like \(N, C, H, W\)"),
                         (BYTES[0, 0], r"axes \(N, H, W, C\)")):  # fmt: skip
        np.savez(path, images=images, labels=NUMBERS[: len(images)])
        with pytest.raises(DataFileError, match=told):
            pack(path, tmp_path / "b.pack", progress=False)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_packed_from_their_files(tmp_path: Path, ending: str) -> None:
    """Plain and gzipped."""
    source = tmp_path / "digits"
    source.mkdir()
    for part, count in (("train", COUNT), ("t10k", 9)):
        idx(source / f"{part}-images-idx3-ubyte{ending}", BYTES[:count, ..., 0])
        idx(source / f"{part}-labels-idx1-ubyte", NUMBERS[:count])
    assert streams_of(source) == [True, False]
    pack(source, tmp_path / "a.pack", progress=False)
    assert load(tmp_path / "a.pack", "all").digest() == load(source, "all").digest()
    images = source / f"train-images-idx3-ubyte{ending}"
    content = images.read_bytes()
    for spoiled in (content[:-20], content + b"x"):
        images.write_bytes(spoiled)
        with pytest.raises(DataFileError, match="train-images"):
            pack(source, tmp_path / "b.pack", progress=False)


def test_bad_rows_are_named_as_in_memory(tmp_path: Path) -> None:
    """Numbers that are not finite, classes out of range, and damage, wherever it lies."""
    path, out = tmp_path / "data.npz", tmp_path / "data.pack"
    images, labels = BYTES / 7, PLACES.copy()
    images[41, 3, 3, 1] = np.nan
    labels[33, 2, 1] = -2
    for arrays in ((images, NUMBERS), (BYTES, labels)):
        np.savez_compressed(path, images=arrays[0], labels=arrays[1])
        told = []
        for use in (lambda: load(path), lambda: pack(path, out, progress=False)):
            with pytest.raises(DataFileError) as caught:
                use()
            told.append((str(caught.value), caught.value.path, caught.value.fields["row"]))
        assert told[0] == told[1]
        assert "sample" in told[0][0]
    np.savez(path, images=BYTES, labels=NUMBERS)
    content = bytearray(path.read_bytes())
    content[content.index(BYTES.tobytes()[:100]) + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"data.npz, array 'images': .* Bad CRC-32"):
        pack(path, tmp_path / "c.pack", progress=False)
    # Mended, it is another file: nothing is kept of what was read of the damaged one.
    np.savez(path, images=BYTES, labels=NUMBERS)
    assert pack(path, tmp_path / "c.pack", progress=False).kept == 0
    assert load(tmp_path / "c.pack").digest() == load(path).digest()


def test_a_pack_of_an_archive_goes_on_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the rows that are written, of a file that is still the same."""
    path, out = tmp_path / "data.npz", tmp_path / "data.pack"
    np.savez_compressed(path, images=BYTES, labels=PLACES)
    pack(path, tmp_path / "whole.pack", progress=False)
    made = 0
    usual = ArrayBatches.make

    def make(self: ArrayBatches, *given: Any) -> Any:
        """Ends in the middle."""
        nonlocal made
        made += 1
        if made == 4:
            raise KeyboardInterrupt
        return usual(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayBatches, "make", make)
        with pytest.raises(KeyboardInterrupt):
            pack(path, out, progress=False)
    assert pack(path, out, progress=False).kept == 3 * (2000 // (9 * 8 * 3))
    assert out.read_bytes() == (tmp_path / "whole.pack").read_bytes()
