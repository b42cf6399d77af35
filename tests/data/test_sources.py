"""Names, paths and arrays as sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isoconv import memory
from isoconv.data import Dataset, load, load_pair
from isoconv.errors import ArgumentError, DataError, DataFileError, NotEnoughMemoryError

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (12, 6, 5)).astype(np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 4


def test_unknown_name_lists_the_known_ones() -> None:
    """A name that is neither known nor a path lists what is known."""
    with pytest.raises(DataError, match=r"no data called 'nope'.*fashion-sample, mnist.*cifar100"):
        load("nope")


def test_name_that_was_not_fetched_says_how(tmp_path: Path) -> None:
    """A known name without its files says which command fetches them."""
    with pytest.raises(DataError, match="run `isoconv data fetch mnist`"):
        load("mnist", folder=tmp_path)


def test_bad_split_is_refused() -> None:
    """A split is train or test."""
    with pytest.raises(ArgumentError, match="split must be 'train' or 'test'; got 'valid'"):
        load("fashion-sample", "valid")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, (3, 4, 5), (2.5, 2), 10**6])
def test_bad_size_is_refused(size: Any) -> None:
    """A size is a side or a pair of sides."""
    with pytest.raises(ArgumentError, match="size must be a side or"):
        load("fashion-sample", size=size)


def test_size_is_for_image_folders() -> None:
    """Other data are not scaled, and that is said."""
    with pytest.raises(ArgumentError, match="size scales folders of images only"):
        load("fashion-sample", "test", size=32)


def test_foreign_folder_lists_the_kinds(tmp_path: Path) -> None:
    """A folder of none of the kinds says what is expected and what it holds."""
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(DataFileError, match=r"expected one of[\s\S]*idx[\s\S]*readme.txt"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match="found an empty folder"):
        load(tmp_path / "empty")


def test_pair_of_arrays_is_split_by_seed() -> None:
    """Arrays have no test part: one sixth is held out."""
    train, test = load_pair((IMAGES, LABELS), seed=1)
    assert (len(train), len(test)) == (10, 2)
    assert load_pair((IMAGES, LABELS), seed=1).test.digest() == test.digest()
    with pytest.raises(DataError, match="has no part 'test'; it has train"):
        load((IMAGES, LABELS), "test")


def test_data_set_is_taken_as_it_is() -> None:
    """A Dataset is its own training part."""
    data = Dataset.from_arrays(IMAGES, LABELS)
    assert load(data) is data


def test_anything_else_is_refused() -> None:
    """What is neither name, path, data set nor pair is refused."""
    with pytest.raises(DataError, match=r"a name, a path, a Dataset or a pair.*got int"):
        load(3)  # type: ignore[arg-type]


def test_data_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that do not fit into memory are refused by name before they are decoded."""
    header = bytes([0, 0, 8, 3]) + np.array(IMAGES.shape, ">u4").tobytes()
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx/train-images-idx3-ubyte").write_bytes(header + IMAGES.tobytes())
    header = bytes([0, 0, 8, 1]) + np.array(LABELS.shape, ">u4").tobytes()
    (tmp_path / "idx/train-labels-idx1-ubyte").write_bytes(header + LABELS.tobytes())
    (tmp_path / "pictures/one").mkdir(parents=True)
    Image.fromarray(IMAGES[0]).save(tmp_path / "pictures/one/first.png")
    np.savez_compressed(tmp_path / "data.npz", images=IMAGES, labels=LABELS)
    monkeypatch.setattr(memory, "_MODEST", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 20)
    for name, message in (
        (
            "idx",
            r"train-images-idx3-ubyte: data for the declared shape \(12, 6, 5\) needs at least",
        ),
        (
            "pictures",
            r"pictures: the images needs at least 30 bytes of .*: 1 images of \(6, 5, 1\)",
        ),
        ("data.npz", r"data\.npz, array 'images' needs at least"),
    ):
        with pytest.raises(NotEnoughMemoryError, match=message):
            load(tmp_path / name)
