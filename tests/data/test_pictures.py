"""Folders of images: what is written comes back, what is damaged is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isoconv.data import load, load_pair
from isoconv.errors import DataFileError


def write_pictures(folder: Path, mode: str = "L", ending: str = "png") -> dict[str, np.ndarray]:
    """Two classes of two images each, with things beside them that are to be skipped."""
    written = {}
    for place, name in enumerate(("cat/b", "cat/a", "ant/d", "ant/deep/c")):
        sides = (6, 5) if mode == "L" else (6, 5, 3)
        pixels = np.random.default_rng(place).integers(0, 256, sides).astype(np.uint8)
        path = folder / f"{name}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, lossless=True)
        written[name] = pixels.reshape(6, 5, -1)
    (folder / "cat" / ".hidden.png").write_bytes(b"no image")
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / ".cache").mkdir()
    return written


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "webp"])
def test_pictures_round_trip(tmp_path: Path, ending: str) -> None:
    """Classes are the sorted folder names, files are in order, hidden files are skipped."""
    mode = "RGB" if ending in ("ppm", "webp") else "L"
    written = write_pictures(tmp_path, mode, ending)
    data = load(tmp_path)
    assert data.class_names == ("ant", "cat")
    assert data.labels.tolist() == [0, 0, 1, 1]
    expected = [written[name] for name in ("ant/d", "ant/deep/c", "cat/a", "cat/b")]
    assert (data.images == np.stack(expected)).all()


def test_parts_of_a_picture_folder(tmp_path: Path) -> None:
    """Subfolders train and val are the two parts, with the training part's classes."""
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / "val", "RGB")
    for file in (tmp_path / "val" / "ant").rglob("*.png"):
        file.unlink()
    (tmp_path / "val" / "ant" / "deep").rmdir()
    (tmp_path / "val" / "ant").rmdir()
    train, test = load_pair(tmp_path)
    assert train.images.shape == (4, 6, 5, 3)
    assert test.labels.tolist() == [1, 1]
    (tmp_path / "val" / "bee").mkdir()
    Image.new("L", (5, 6)).save(tmp_path / "val" / "bee" / "x.png")
    with pytest.raises(DataFileError, match=r"class folders as in training \(ant, cat\).*'bee'"):
        load(tmp_path, "test")


def test_pictures_of_different_sizes(tmp_path: Path) -> None:
    """Sizes that differ are an error that says how to scale; with a size they are scaled."""
    write_pictures(tmp_path)
    Image.new("L", (9, 3), 200).save(tmp_path / "cat" / "z.png")
    with pytest.raises(DataFileError, match=r"z\.png: expected 6 by 5 .*3 by 9; give size="):
        load(tmp_path)
    data = load(tmp_path, size=(4, 7))
    assert data.images.shape == (5, 4, 7, 1)
    assert (data.images[-1] == 200).all()
    assert load(tmp_path, size=4).image_shape == (4, 4, 1)


def test_kinds_of_pixels(tmp_path: Path) -> None:
    """Palettes and alpha become RGB, 16-bit gray keeps its upper bits, EXIF turns upright."""
    for name in ("deep", "palette", "exif"):
        (tmp_path / name / "a").mkdir(parents=True)
    deep = np.array([[256 * 7 + 3, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep" / "a" / "x.png")
    assert load(tmp_path / "deep").images.tolist() == [[[[7], [255]]]]
    colour = Image.new("RGBA", (2, 1), (10, 20, 30, 128))
    colour.save(tmp_path / "palette" / "a" / "x.png")
    colour.convert("RGB").quantize(2).save(tmp_path / "palette" / "a" / "y.png")
    assert load(tmp_path / "palette").images[:, 0, 0].tolist() == [[10, 20, 30]] * 2
    photo = Image.new("L", (16, 8))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "exif" / "a" / "x.jpg", exif=exif)
    assert load(tmp_path / "exif").image_shape == (16, 8, 1)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_damaged_pictures_are_named(tmp_path: Path, ending: str) -> None:
    """A truncated image and a file that is none are named."""
    write_pictures(tmp_path, "RGB", ending)
    path = tmp_path / "cat" / f"a.{ending}"
    whole = path.read_bytes()
    for content in (whole[: len(whole) * 2 // 3], whole[:20], b"no image", b""):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=rf"a\.{ending}: not a whole image"):
            load(tmp_path)


def test_picture_bombs_are_refused(tmp_path: Path) -> None:
    """An image that declares too many pixels is refused by its header."""
    (tmp_path / "a").mkdir()
    for width, height in ((9000, 9000), (20000, 20000)):
        Image.new("1", (width, height)).save(tmp_path / "a" / "x.png")
        with pytest.raises(
            DataFileError, match=r"x\.png: (expected an image of at most|not a whole)"
        ):
            load(tmp_path)


def test_odd_pixels_and_empty_classes_are_refused(tmp_path: Path) -> None:
    """32-bit images and class folders without an image are named."""
    write_pictures(tmp_path)
    Image.fromarray(np.zeros((6, 5), np.float32)).save(tmp_path / "cat" / "f.tiff")
    with pytest.raises(DataFileError, match=r"f\.tiff: expected an image of 8 or 16 bits.*'F'"):
        load(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataFileError, match=r"dog: expected images of one class.*found none"):
        load(tmp_path)
