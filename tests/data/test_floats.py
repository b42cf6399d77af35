"""Files of floats: the values as they are, and never mixed with integers in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from tests.data.made import tiff, write

from isoconv import nn
from isoconv.data import Dataset, Reading, load, load_splits, read_image, read_pictures
from isoconv.data.dataset import normalisation
from isoconv.errors import ArgumentError, DataError, DataFileError
from isoconv.train import Trainer


def floats(*rows: list[float]) -> np.ndarray:
    """Rows of float32."""
    return np.array(rows, np.float32)


FIRST = floats([0.1, -2.5, 3e30], [1e-40, 7.0, -0.0])
SECOND = floats([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])


def pfm(values: np.ndarray, order: str) -> bytes:
    """A PFM file; its rows stand from the bottom upwards."""
    head = f"Pf\n{values.shape[1]} {values.shape[0]}\n{'-1.0' if order == '<' else '1.0'}\n"
    return head.encode() + values[::-1].astype(f"{order}f4").tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["tiff", "deflate", "pfm"])
def test_values_stay_as_they_are(tmp_path: Path, kind: str, order: Literal["<", ">"]) -> None:
    """A folder of floats is a float32 data set with the bits of the files; its range is told."""
    for name, values in (("x", FIRST), ("y", SECOND)):
        if kind == "pfm":
            write(tmp_path / "a" / f"{name}.pfm", pfm(values, order))
        else:
            content = tiff(
                values, (2, 3, 1), 32, order=order, compressed=kind == "deflate", sample=3
            )
            write(tmp_path / "a" / f"{name}.tif", content)
    data = load(tmp_path)
    assert data.images.dtype == np.float32
    assert data.images.tobytes() == np.stack([FIRST, SECOND]).tobytes()
    assert data.reading == Reading((2, 3), 1, None, "float32")
    assert data.reading.resolved
    assert data.notes == (
        "2 pictures of floats: the values are taken as they are, from -2.5 to 3e+30",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    """NaN and infinity are refused with the file."""
    write(tmp_path / "a" / "x.tif", FIRST)
    write(tmp_path / "a" / "y.tif", floats([1, value, 2], [3, 4, 5]))
    with pytest.raises(DataFileError, match=rf"y\.tif: expected finite numbers; found {value}"):
        load(tmp_path)


def test_floats_and_integers_are_not_mixed(tmp_path: Path) -> None:
    """A data set of both is refused with one of each, whatever part they are in."""
    write(tmp_path / "train" / "a" / "x.tif", FIRST)
    write(tmp_path / "test" / "a" / "y.png", np.zeros((2, 3), np.uint8))
    write(tmp_path / "test" / "a" / "z.tif", np.zeros((2, 3), np.uint16))
    message = r"cannot be mixed.*1 of floats such as .*x\.tif and 2 of integers such as .*y\.png"
    with pytest.raises(DataFileError, match=message):
        load(tmp_path)


def test_later_integers_need_a_scale(tmp_path: Path) -> None:
    """Integers meet a reading of floats only with a scale, which each value is multiplied with."""
    write(tmp_path / "pets" / "a" / "x.tif", SECOND)
    reading = load(tmp_path / "pets").reading
    assert reading is not None
    byte = write(tmp_path / "new" / "a" / "b.png", np.array([[0, 1, 2], [3, 254, 255]], np.uint8))
    deep = write(tmp_path / "d.tif", np.array([[0, 1, 2], [3, 4, 4095]], np.uint16))
    real = write(tmp_path / "f.tif", FIRST)
    with pytest.raises(DataFileError, match=r"b\.png: expected floats.*or a scale.*found integers"):
        read_pictures([real, byte], reading)
    with pytest.raises(DataFileError, match=r"b\.png: expected floats"):
        load(tmp_path / "new", reading=reading)
    scale = 1 / 255
    pictures = read_pictures([byte, deep, real], reading, scale=scale)
    expected = [[0, 1, 2, 3, 254, 255], [0, 0, 0, 0, 0, 255]]
    quotients = np.array(expected, np.float32) / np.float32(255)
    assert pictures.images.dtype == np.float32
    assert (pictures.images[:2].reshape(2, -1) == quotients).all()
    products = FIRST.astype(np.float64) * scale
    assert pictures.images[2].tobytes() == products.astype(np.float32).tobytes()
    assert "12 bits are taken for full brightness" in pictures.notes[0]


def test_a_scale_makes_floats_of_integers(tmp_path: Path) -> None:
    """With a scale a reading of integers gives float32, products in float64 that are rounded."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    file = write(tmp_path / "x.png", values)
    for scale in (1 / 255, 0.1, 2.0, -3.7e-3):
        images = read_pictures([file], Reading((16, 16), 1, 8), scale=scale).images
        products = values.astype(np.float64) * scale
        assert images.dtype == np.float32
        assert (images.reshape(16, 16) == products.astype(np.float32)).all()


def test_a_scale_is_for_floats_too(tmp_path: Path) -> None:
    """Values of files of floats are multiplied as others are, and that is told; by 1 they stay."""
    write(tmp_path / "pets" / "a" / "x.tif", SECOND)
    reading = load(tmp_path / "pets").reading
    assert reading is not None
    file = write(tmp_path / "f.tif", FIRST)
    low, high = FIRST.min(), FIRST.max()
    found = read_pictures([file], reading, scale=0.5)
    assert found.images.tobytes() == (FIRST * np.float32(0.5)).tobytes()
    assert found.notes == (
        "1 picture of floats: the values are multiplied with scale=0.5, from "
        f"{low / 2:g} to {high / 2:g}",
    )
    found = read_pictures([file], reading, scale=1)
    assert found.images.tobytes() == FIRST.tobytes()
    assert found.notes == (
        f"1 picture of floats: the values are taken as they are, from {low:g} to {high:g}",
    )
    with pytest.raises(DataFileError, match=r"f\.tif: expected numbers that float32 holds once"):
        read_pictures([file], reading, scale=1e38)


@pytest.mark.parametrize("scale", [np.nan, np.inf, 1e39])
def test_bad_scale_is_refused(tmp_path: Path, scale: float) -> None:
    """A scale is a number that float32 holds."""
    file = write(tmp_path / "x.png", np.zeros((1, 1), np.uint8))
    with pytest.raises(ArgumentError, match="scale must be a finite number at least -3"):
        read_pictures([file], Reading((1, 1), 1, 8), scale=scale)


def test_later_floats_do_not_meet_integers(tmp_path: Path) -> None:
    """A reading of integers takes no floats, with a scale or without."""
    file = write(tmp_path / "x.tif", FIRST)
    for scale in (None, 1 / 255):
        with pytest.raises(DataFileError, match=r"expected integers, as the other.*found floats"):
            read_pictures([file], Reading((2, 3), 1, 8, "uint8"), scale=scale)


def test_floats_are_scaled_in_size(tmp_path: Path) -> None:
    """Files of floats of any size come to one; a constant stays what it is."""
    write(tmp_path / "a" / "x.tif", np.full((9, 5), 0.25, np.float32))
    write(tmp_path / "a" / "y.tif", np.full((30, 40), -4096.0, np.float32))
    data = load(tmp_path, size=(4, 6))
    assert data.images.shape == (2, 4, 6, 1)
    assert (data.images[0] == 0.25).all()
    assert (data.images[1] == -4096.0).all()
    assert load(tmp_path).images[:, 0, 0, 0].tolist() == [0.25, -4096.0]


def test_a_depth_changes_no_floats(tmp_path: Path) -> None:
    """A depth that is asked for has no meaning for floats, and that is told."""
    write(tmp_path / "a" / "x.tif", FIRST)
    data = load(tmp_path, depth=12)
    assert data.images.tobytes() == FIRST.tobytes()
    assert data.reading == Reading((2, 3), 1, None, "float32")
    assert data.notes[0] == "depth=12 changes nothing: the files hold floats"


def test_one_file_of_floats(tmp_path: Path) -> None:
    """`read_image` gives float32; gray becomes three equal channels when they are asked for."""
    file = write(tmp_path / "x.tif", Image.fromarray(FIRST))
    assert read_image(file).tobytes() == FIRST.tobytes()
    colour = read_image(file, channels=3)
    assert colour.shape == (2, 3, 3)
    assert (colour == FIRST[..., np.newaxis]).all()


def test_parts_of_floats(tmp_path: Path) -> None:
    """Held-out parts stay float32 with the same reading."""
    for name in "abcdefghijkl":
        write(tmp_path / "k" / f"{name}.tif", SECOND * ord(name))
    splits = load_splits(tmp_path)
    assert {part.images.dtype.name for part in splits.parts.values()} == {"float32"}
    assert len({part.reading for part in splits.parts.values()}) == 1


@pytest.mark.parametrize("value", [1e-44, 1e-40, 1e-38])
def test_numbers_too_close_together_to_be_normalised(value: float) -> None:
    """Float32 has no factor for them: that is told, and no infinity is learned with."""
    images = np.full((2, 4, 4, 1), value, np.float32)
    images[0, 0, 0, 0] = 0
    data = Dataset.from_arrays(images, [0, 1])
    with pytest.raises(DataError, match="channel 0 has a standard deviation of 1"):
        normalisation(data)
    with pytest.raises(DataError, match="in a unit in which the numbers are larger"):
        Trainer(nn.Sequential(nn.Flatten(), nn.Linear(2)), progress=False).fit(data, epochs=1)
    scale, offset = normalisation(replace(data, images=data.images * np.float32(1e9)))
    assert np.isfinite([scale, offset]).all()
