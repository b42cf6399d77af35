"""Large JPEGs are decoded reduced: by one rule, close to the whole picture, the same everywhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.photographs import photograph, write_photographs

from isoconv.data import Reading, decode, load, read_image, read_pictures
from isoconv.data.decode import read, reduction


@pytest.mark.parametrize(
    ("own", "wanted", "by"),
    [((1536, 1536), (96, 96), 8), ((1535, 1536), (96, 96), 4), ((4000, 768), (96, 96), 4),
     ((384, 500), (96, 96), 2), ((383, 500), (96, 96), 1), ((9999, 9999), (1, 1), 8),
     ((16, 16), (1, 1), 8), ((96, 96), (96, 96), 1), ((800, 1600), (50, 100), 8),
     ((800, 1599), (50, 100), 4)],
)  # fmt: skip
def test_the_rule(own: tuple[int, int], wanted: tuple[int, int], by: int) -> None:
    """The largest of 8, 4 and 2 that leaves twice both sides."""
    assert reduction(own, wanted) == by
    assert reduction(own, None) == 1


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("turn", [1, 6])
def test_a_reduced_picture_is_the_picture(
    tmp_path: Path, settings: dict[str, Any], kind: str, turn: int
) -> None:
    """Its size is that of the rule, upright, and what is scaled from it differs by little."""
    exif = Image.Exif()
    exif[0x0112] = turn
    file = tmp_path / "x.jpg"
    picture = photograph(3, 403, 517).convert(kind)
    picture.save(file, quality=95, exif=exif, **settings)
    height, width = (403, 517) if turn == 1 else (517, 403)
    for side, by in ((25, 8), (50, 4), (100, 2), (101, 1)):
        size = (side, side)
        assert read(file, size).size == (-(-height // by), -(-width // by))
        reduced = read_image(file, size).astype(int)
        whole = decode.as_pixels(read(file), size, reduced.shape[2], 8).astype(int)
        assert np.abs(reduced - whole).max() <= 24
        assert np.abs(reduced - whole).mean() <= 4


def test_all_doors_read_alike(tmp_path: Path) -> None:
    """A folder, later pictures and a single one give the same values, and the reading says how."""
    files = write_photographs(tmp_path, 6, (600, 800))
    data = load(tmp_path, size=30, cache=False)
    assert data.reading is not None
    assert data.reading.reduced
    for file, image in zip(files, data.images, strict=True):
        assert (read_image(file, (30, 30)) == image).all()
    assert (read_pictures(files, data.reading).images == data.images).all()
    old = ("size", "channels", "depth", "dtype")
    before = Reading.from_plain({name: data.reading.plain()[name] for name in old})
    assert (before.reduced, before.opacity) == (False, "dropped")
    assert tuple(before.plain()) == old
    whole = load(tmp_path, reading=before, cache=False)
    assert (whole.images != data.images).any()
    for file, image in zip(files, whole.images, strict=True):
        assert (decode.as_pixels(read(file), (30, 30), 3, 8) == image).all()


def test_other_formats_are_decoded_whole(tmp_path: Path) -> None:
    """Only a JPEG of coefficients is reduced; one that holds pixels, by its marker, is not."""
    picture = photograph(1, 200, 200)
    picture.save(tmp_path / "x.png")
    assert read(tmp_path / "x.png", (10, 10)).size == (200, 200)
    stream = io.BytesIO()
    picture.save(stream, "JPEG")
    for marker, transformed in ((0xC0, True), (0xC1, True), (0xC2, True), (0xC3, False)):
        content = stream.getvalue().replace(b"\xff\xc0", bytes((0xFF, marker)))
        for filling in (b"", b"\xff\xff\xff"):
            filled = content.replace(b"\xff\xdb", filling + b"\xff\xdb", 1)
            assert decode._is_transformed(io.BytesIO(filled)) is transformed
    assert not decode._is_transformed(io.BytesIO(stream.getvalue()[:20]))


def test_photographs_of_several_pictures(tmp_path: Path) -> None:
    """Of a file with a preview behind the photo the photo is reduced."""
    first, second = photograph(1, 640, 480), photograph(2, 64, 48)
    first.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[second])
    first.save(tmp_path / "y.jpg")
    assert read(tmp_path / "x.jpg", (20, 20)).size == (80, 60)
    assert (
        read_image(tmp_path / "x.jpg", (20, 20)) == read_image(tmp_path / "y.jpg", (20, 20))
    ).all()
