"""HEIC pictures: read with the extra, an error that says so without it, left out never."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.made import write

from isoconv.data import Reading, load, read_image, read_pictures
from isoconv.data.decode import look
from isoconv.errors import DataFileError, MissingExtraError

ROWS, COLUMNS = np.mgrid[0:64, 0:80]
SMOOTH = np.stack([ROWS * 4, COLUMNS * 3, ROWS + COLUMNS], axis=2).astype(np.uint8)


def heic(pixels: np.ndarray, **settings: object) -> bytes:
    """A HEIC file; of 10 bits if the pixels are deeper than 8."""
    pillow_heif = pytest.importorskip("pillow_heif")
    if pixels.dtype == np.uint16:
        size = pixels.shape[1], pixels.shape[0]
        image = pillow_heif.from_bytes("RGB;16", size, pixels.tobytes())
    else:
        image = pillow_heif.from_pillow(Image.fromarray(pixels))
    stream = io.BytesIO()
    image.save(stream, quality=-1, chroma=444, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("ending", ["heic", "heif", "hif"])
def test_heic_is_read(tmp_path: Path, ending: str) -> None:
    """Colour and gray come back nearly as they were, without a word."""
    write(tmp_path / "colour" / "a" / f"x.{ending}", heic(SMOOTH))
    data = load(tmp_path / "colour", size=(64, 80))
    assert np.abs(data.images[0].astype(int) - SMOOTH).max() <= 2
    assert data.notes == ()
    write(tmp_path / "gray" / "a" / f"x.{ending}", heic(SMOOTH[..., 0]))
    assert (
        np.abs(
            load(tmp_path / "gray", size=(64, 80)).images[0, ..., 0].astype(int) - SMOOTH[..., 0]
        ).max()
        <= 2
    )


def test_turned_heic_is_upright(tmp_path: Path) -> None:
    """What the container and EXIF both say is done once; the header gives the upright size."""
    pillow_heif = pytest.importorskip("pillow_heif")
    image = pillow_heif.from_bytes("RGB", (80, 64), SMOOTH.tobytes())
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    stream = io.BytesIO()
    image.save(stream, quality=-1, chroma=444)
    assert b"irot" in stream.getvalue()
    file = write(tmp_path / "x.heic", stream.getvalue())
    upright = read_image(file)
    assert look(file).size == upright.shape[:2] == (80, 64)
    assert np.abs(upright.astype(int) - np.rot90(SMOOTH, -1)).max() <= 2


def test_deep_heic_is_brought_to_8_bits(tmp_path: Path) -> None:
    """A file of 10 bits is brought to 8 by its decoder, which is told."""
    write(tmp_path / "a" / "x.heic", heic(SMOOTH.astype(np.uint16) * 257))
    data = load(tmp_path, size=(64, 80))
    assert np.abs(data.images[0].astype(int) - SMOOTH).max() <= 2
    assert data.reading is not None
    assert data.reading.depth == 8
    assert len(data.notes) == 1
    assert "1 file (a/x.heic) has more than 8 bits in a format whose decoder" in data.notes[0]


def test_heic_under_another_ending(tmp_path: Path) -> None:
    """What a telephone calls .jpg may be HEIC: it is read all the same, and told."""
    write(tmp_path / "a" / "x.jpg", heic(SMOOTH))
    data = load(tmp_path, size=(64, 80))
    assert np.abs(data.images[0].astype(int) - SMOOTH).max() <= 2
    assert "another format than the ending says" in data.notes[0]


def test_seen_through_heic(tmp_path: Path) -> None:
    """What is not opaque in HEIC is shown on white and told as in any format."""
    opacity = np.full((64, 80, 1), 9, np.uint8)
    write(tmp_path / "a" / "x.heic", heic(np.concatenate([SMOOTH, opacity], axis=2)))
    data = load(tmp_path, size=(64, 80))
    assert data.image_shape == (64, 80, 3)
    assert data.images.min() >= 240
    assert "transparency; shown on white" in data.notes[0]


def test_damaged_heic_is_named(tmp_path: Path) -> None:
    """A truncated file is named."""
    whole = heic(SMOOTH)
    for cut in (40, len(whole) // 2, len(whole) - 5):
        file = write(tmp_path / "a" / "x.heic", whole[:cut])
        with pytest.raises(DataFileError, match=r"x\.heic: not a whole image"):
            load(tmp_path)
        with pytest.raises(DataFileError, match=r"x\.heic: not a whole image"):
            read_image(file)


FAKE = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf" + bytes(100)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, HEIC files are an error that counts them and says what to install."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    files = [write(tmp_path / "a" / f"{number}.heic", FAKE) for number in range(3)]
    files.append(write(tmp_path / "a" / "called.jpg", FAKE))
    write(tmp_path / "a" / "z.png", SMOOTH)
    cure = r"HEIC pictures need pillow-heif: pip install 'isoconv\[heic\]'"
    with pytest.raises(
        MissingExtraError, match=rf"4 of 5 files, the first of them .*a/0\.heic: {cure}"
    ):
        load(tmp_path)
    with pytest.raises(MissingExtraError, match=rf"0\.heic: {cure}"):
        read_image(files[0])
    with pytest.raises(MissingExtraError, match=r"2 of 2 files"):
        read_pictures(files[:2], Reading((64, 80), 3, 8))
    write(tmp_path / "a" / "broken.png", b"")
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    assert "1 of 6 files cannot be read:" in str(caught.value)
    assert "broken.png: empty (0 bytes)" in str(caught.value)
    assert "4 of 6 files, the first of them" in str(caught.value)
