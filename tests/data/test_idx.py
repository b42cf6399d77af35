"""MNIST-style idx files: what is written comes back, what is damaged is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.classics import IMAGES, LABELS, idx, write, write_idx

from isoconv.data import load, load_splits
from isoconv.errors import DataError, DataFileError


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_round_trip(tmp_path: Path, ending: str) -> None:
    """Plain and gzipped idx files come back."""
    train, _, test = load_splits(write_idx(tmp_path, ending), validation=0)
    for data in (train, test):
        assert data is not None
        assert (data.images[..., 0] == IMAGES).all()
        assert (data.labels == LABELS).all()
    assert train.class_names == ("0", "1", "2", "3")


def test_idx_without_test_part_is_split(tmp_path: Path) -> None:
    """Of a lone training part, validation and test samples of each class are held out."""
    splits = load_splits(write_idx(tmp_path, splits=("train",)))
    labels = [sorted(data.labels.tolist()) for data in splits.parts.values()]
    assert labels == [[0, 1, 2, 3]] * 3
    with pytest.raises(DataError, match="has no part 'test'"):
        load(tmp_path, "test")


def test_idx_parts_with_different_last_labels(tmp_path: Path) -> None:
    """A part that lacks the last classes still counts them."""
    write_idx(tmp_path)
    write(tmp_path / "t10k-labels-idx1-ubyte", idx(LABELS % 2))
    train, _, test = load_splits(tmp_path, validation=0)
    assert test is not None
    assert train.class_names == test.class_names == ("0", "1", "2", "3")
    assert train.numbered
    assert test.numbered


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(IMAGES)[:-1], "for the declared shape.*found 359: it is truncated"),
        (idx(IMAGES)[:9], "idx header.*truncated"),
        (b"", "idx header"),
        (idx(IMAGES) + b"x", "360 bytes of data for the declared shape .*found more"),
        (b"\x89PNG" + bytes(100), "an idx header of unsigned bytes.*found 0x89504e47"),
        (idx(LABELS), "an idx header of unsigned bytes.*found 0x00000801"),
        (b"\0\0\x0d\x03" + bytes(12), "an idx header of unsigned bytes.*found 0x00000d03"),
        (b"\0\0\x08\x03" + b"\xff" * 12, r"\d{20,} bytes of data.*found a file of"),
        (idx(IMAGES[:0]), r"expected at least one image; found shape \(0, 6, 5\)"),
    ],
)
def test_damaged_idx_is_named(tmp_path: Path, ending: str, content: bytes, message: str) -> None:
    """Truncated, foreign, lying and empty files are errors that name the file."""
    write_idx(tmp_path, ending)
    path = write(tmp_path / f"train-images-idx3-ubyte{ending}", content)
    if not len(content):
        path.write_bytes(b"")
    if content == idx(IMAGES[:0]):
        write(tmp_path / f"train-labels-idx1-ubyte{ending}", idx(LABELS[:0]))
    with pytest.raises(DataFileError, match=message) as caught:
        load(tmp_path)
    assert str(path) in str(caught.value)


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    """A gzip file that is cut short, altered or no gzip at all is named."""
    write_idx(tmp_path, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[-6] ^= 0xFF
    for content in (whole[:-20], whole[:-4], bytes(altered), b"not gzip at all, but long enough"):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=r"train-images-idx3-ubyte\.gz: corrupt"):
            load(tmp_path)


def test_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """No more than the declared size is decompressed, and a false size takes no memory."""
    write_idx(tmp_path, ".gz")
    path = write(tmp_path / "train-images-idx3-ubyte.gz", idx(IMAGES) + bytes(50_000_000))
    with pytest.raises(DataFileError, match=r"expected 360 bytes of data .*found more"):
        load(tmp_path)
    header = b"\0\0\x08\x03" + np.array([1 << 20, 1 << 10, 1 << 10], ">u4").tobytes()
    write(path, header)
    with pytest.raises(DataFileError, match="expected 1099511627776 bytes of data"):
        load(tmp_path)


def test_idx_labels_must_fit(tmp_path: Path) -> None:
    """A missing label file, another count, and labels out of range are named."""
    folder = write_idx(tmp_path / "mnist")
    labels = folder / "train-labels-idx1-ubyte"
    write(labels, idx(LABELS[:-1]))
    with pytest.raises(DataFileError, match=r"one label for each of the 12 images.*11 labels"):
        load(folder)
    write(labels, idx(LABELS + 10))
    with pytest.raises(
        DataFileError, match=r"labels-idx1-ubyte: labels must lie in 0 … 9; sample 0"
    ):
        load(folder)
    labels.unlink()
    with pytest.raises(DataFileError, match="expected a file train-labels-idx1-ubyte or"):
        load(folder)


def test_fetched_name_is_read_from_the_data_folder(tmp_path: Path) -> None:
    """A fetched data set is found by its name, with its classes' names."""
    write_idx(tmp_path / "fashion-mnist", ".gz")
    data = load("fashion-mnist", folder=tmp_path)
    assert data.name == "fashion-mnist"
    assert data.class_names[1] == "Trouser"
