"""Formats and modes of picture files: each gives its own pixels, and what is dropped is told."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.made import png, ramp, tiff, write

from isoconv.data import Reading, load, read_image
from isoconv.data.decode import look
from isoconv.data.opening import HAS_AVIF, opened
from isoconv.errors import DataFileError

GRAY = ramp(6, 5, 1, 255)[..., 0].astype(np.uint8)
COLOUR = ramp(6, 5, 3, 255).astype(np.uint8)
newer = pytest.mark.skipif(not HAS_AVIF, reason="older Pillow mixes such colours up: refused")
needs_avif = pytest.mark.skipif(not HAS_AVIF, reason="Pillow reads AVIF since its version 11.3")

LOSSLESS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".apng": {"format": "PNG"},
    ".bmp": {},
    ".gif": {},
    ".tif": {},
    ".tiff": {"compression": "tiff_lzw"},
    ".webp": {"lossless": True},
    ".ppm": {},
    ".pnm": {"format": "PPM"},
    ".jp2": {"irreversible": False},
    ".jpx": {"irreversible": False, "format": "JPEG2000"},
    ".j2k": {"irreversible": False},
    ".j2c": {"irreversible": False},
    ".jpc": {"irreversible": False},
}
LOSSY: dict[str, dict[str, Any]] = {".jpg": {}, ".jpeg": {}, ".jpe": {}, ".jfif": {}, ".avif": {}}


@pytest.mark.parametrize("ending", LOSSLESS)
@pytest.mark.parametrize("colour", [False, True])
def test_lossless_formats_give_their_pixels(tmp_path: Path, ending: str, colour: bool) -> None:
    """What is written comes back, without a word, in small letters or capitals."""
    pixels = COLOUR if colour and ending != ".gif" else GRAY
    for name in (f"x{ending}", f"Y{ending.upper()}"):
        write(tmp_path / "a" / name, pixels, **LOSSLESS[ending])
    data = load(tmp_path)
    assert len(data) == 2
    channels = 3 if data.image_shape[2] == 3 and pixels.ndim == 2 else pixels.ndim // 3 * 2 + 1
    expected = np.broadcast_to(pixels.reshape(6, 5, -1), (6, 5, channels))
    assert (data.images == expected).all()
    assert data.notes == ()


@pytest.mark.parametrize(
    "ending", [pytest.param(e, marks=needs_avif) if e == ".avif" else e for e in LOSSY]
)
def test_lossy_formats_give_nearly_their_pixels(tmp_path: Path, ending: str) -> None:
    """JPEG and AVIF come back within a few brightnesses."""
    rows, columns = np.mgrid[0:32, 0:48]
    smooth = np.stack([rows * 5, columns * 4, rows + columns], axis=2).astype(np.uint8)
    write(tmp_path / "a" / f"x{ending}", smooth, quality=95)
    data = load(tmp_path)
    assert np.abs(data.images[0].astype(int) - smooth).max() < 12
    assert data.notes == ()


def test_unknown_avif_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Pillow has no AVIF, a file of it is an error that says since when it has."""
    monkeypatch.setattr("isoconv.data.opening.HAS_AVIF", False)
    monkeypatch.setattr("isoconv.data.opening._PILLOWS", ("PNG",))
    start = struct.pack(">I", 24) + b"ftypavif\0\0\0\0avifmif1"
    write(tmp_path / "a" / "x.avif", start + bytes(100))
    with pytest.raises(DataFileError, match=r"x\.avif: .*AVIF, which Pillow reads since .* 11\.3"):
        load(tmp_path)


PALETTE = Image.new("P", (3, 1))
PALETTE.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
for _place in range(3):
    PALETTE.putpixel((_place, 0), _place)
COLOURS = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]


def colour_map(*, of_bytes: bool = False) -> bytes:
    """A TIFF file with a colour map."""
    entries = np.zeros((3, 256), int)
    entries[:, :3] = np.array(COLOURS).T * (1 if of_bytes else 257)
    numbers = np.array([[[0], [1], [2]]], np.uint8)
    more = {320: tuple(entries.reshape(-1).tolist())}
    return tiff(numbers, (1, 3, 1), 8, photometric=3, more=more)


def with_opacity(mode: str, values: tuple[int, ...], opacity: int) -> Image.Image:
    """One row of three pixels, the last of which is as opaque as is said."""
    image = Image.new(mode, (3, 1), (*values, 255))
    image.putpixel((2, 0), (*values, opacity))
    return image


NOTHING, SEEN_THROUGH, PRINT = "", "transparency, which is dropped", "colours of print"
MODES: dict[str, tuple[Any, dict[str, Any], Any, str]] = {
    "1 bit": (Image.frombytes("1", (3, 1), b"\x40"), {}, [[0], [255], [0]], NOTHING),
    "2 bits.png": (png(np.array([[[0], [1], [3]]]), 2), {}, [[0], [85], [255]], NOTHING),
    "4 bits.png": (png(np.array([[[0], [1], [15]]]), 4), {}, [[0], [17], [255]], NOTHING),
    "palette": (PALETTE, {}, COLOURS, NOTHING),
    "palette, all opaque": (PALETTE, {"transparency": b"\xff\xff\xff"}, COLOURS, NOTHING),
    "palette, seen through": (PALETTE, {"transparency": b"\xff\x80"}, COLOURS, SEEN_THROUGH),
    "palette, one colour clear.gif": (PALETTE, {"transparency": 1}, COLOURS, SEEN_THROUGH),
    "palette, no used colour clear": (PALETTE, {"transparency": bytes([255] * 9 + [0])}, COLOURS,
                                      NOTHING),
    "gray, opaque": (with_opacity("LA", (7,), 255), {}, [[7]] * 3, NOTHING),
    "gray, seen through": (with_opacity("LA", (7,), 254), {}, [[7]] * 3, SEEN_THROUGH),
    "colour, opaque": (with_opacity("RGBA", (7, 8, 9), 255), {}, [[7, 8, 9]] * 3, NOTHING),
    "colour, clear": (with_opacity("RGBA", (7, 8, 9), 0), {}, [[7, 8, 9]] * 3, SEEN_THROUGH),
    "colour, clear.webp": (with_opacity("RGBA", (7, 8, 9), 0), {"lossless": True, "exact": True},
                           [[7, 8, 9]] * 3, SEEN_THROUGH),
    "a clear gray": (Image.fromarray(np.array([[1, 2, 3]], np.uint8)), {"transparency": 2},
                     [[1], [2], [3]], SEEN_THROUGH),
    "no such gray": (Image.fromarray(np.array([[1, 2, 3]], np.uint8)), {"transparency": 4},
                     [[1], [2], [3]], NOTHING),
    "a clear colour": (Image.new("RGB", (3, 1), (1, 2, 3)), {"transparency": (1, 2, 3)},
                       [[1, 2, 3]] * 3, SEEN_THROUGH),
    "no such colour": (Image.new("RGB", (3, 1), (1, 2, 3)), {"transparency": (1, 2, 4)},
                       [[1, 2, 3]] * 3, NOTHING),
    "a clear gray of 2 bits.png": (
        png(np.array([[[0], [1], [3]]]), 2, before=[(b"tRNS", b"\0\1")]), {},
        [[0], [85], [255]], SEEN_THROUGH),
    "no such gray of 2 bits.png": (
        png(np.array([[[0], [1], [3]]]), 2, before=[(b"tRNS", b"\0\2")]), {},
        [[0], [85], [255]], NOTHING),
    "a clear gray of 1 bit.png": (
        png(np.array([[[0], [1], [0]]]), 1, before=[(b"tRNS", b"\0\1")]), {},
        [[0], [255], [0]], SEEN_THROUGH),
    "a clear gray of 16 bits.png": (
        png(np.array([[[0], [4095], [1]]]), before=[(b"tRNS", b"\x0f\xff")]), {},
        [[0], [255], [0]], SEEN_THROUGH),
    "a clear colour of 16 bits.png": (
        png(np.array([[[0, 0, 4095]] * 3]), before=[(b"tRNS", b"\0\0\0\0\x0f\xfe")]), {},
        [[0, 0, 255]] * 3, NOTHING),
    "print.tif": (Image.new("CMYK", (3, 1), (0, 128, 255, 10)), {}, [[245, 122, 0]] * 3, PRINT),
    "print.jpg": (Image.new("CMYK", (3, 1), (0, 128, 255, 10)), {"quality": 100},
                  [[245, 122, 0]] * 3, PRINT),
    "lab.tif": (tiff(np.array([[[255, 0, 0]] * 3], np.uint8), (1, 3, 3), 8, photometric=8), {},
                [[255, 255, 255]] * 3, NOTHING),
    "ycbcr.tif": (tiff(np.array([[[100, 128, 128]] * 3], np.uint8), (1, 3, 3), 8, photometric=6,
                       more={530: (1, 1)}), {}, [[100, 100, 100]] * 3, NOTHING),
    "white is zero.tif": (tiff(np.array([[[0], [1], [255]]], np.uint8), (1, 3, 1), 8,
                               photometric=0), {}, [[255], [254], [0]], NOTHING),
    "colour map.tif": (colour_map(), {}, COLOURS, NOTHING),
    "premultiplied colours.tif": (
        tiff(np.array([[[50, 20, 100, 100], [9, 9, 9, 255], [0, 0, 0, 0]]], np.uint8), (1, 3, 4), 8,
             more={338: (1,)}), {}, [[127, 51, 255], [9, 9, 9], [0, 0, 0]], SEEN_THROUGH),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=newer) if name == "ycbcr.tif" else name for name in MODES],
)
def test_modes(tmp_path: Path, name: str) -> None:
    """Each mode gives the right pixels, and a note where something is dropped or guessed."""
    content, settings, expected, note = MODES[name]
    ending = "" if "." in name else ".png"
    write(tmp_path / "a" / f"{name}{ending}", content, **settings)
    shown = load(tmp_path)
    assert shown.reading is not None
    assert any("; shown on white" in line for line in shown.notes) == (note == SEEN_THROUGH)
    # As readings did that were made before anything was shown on white.
    data = load(tmp_path, reading=replace(shown.reading, opacity="dropped"))
    # Where white alone is clear they are the same.
    alike = note != SEEN_THROUGH or ("clear gray of" in name and "2 bits" not in name)
    assert alike == (shown.digest() == data.digest())
    # Only the conversion of LAB computes with more than whole numbers.
    tolerance = 1 if name == "lab.tif" else 0
    assert np.abs(data.images[0, 0].astype(int) - expected).max() <= tolerance
    assert data.images.shape[3] == len(expected[0])
    told = [line for line in data.notes if SEEN_THROUGH in line or PRINT in line]
    assert len(told) == bool(note)
    assert all(note in line and f"1 file (a/{name}{ending}) has " in line for line in told)


def test_premultiplied_gray(tmp_path: Path) -> None:
    """Gray times opacity becomes gray again, where Pillow opens it at all."""
    values = np.array([[[50, 100], [7, 255]]], np.uint8)
    file = write(tmp_path / "x.tif", tiff(values, (1, 2, 2), 8, more={338: (1,)}))
    try:
        # 127 of opacity 100 is 50, and white the rest.
        assert read_image(file).tolist() == [[[205], [7]]]
    except DataFileError as error:
        assert "TIFF of a kind that is not read" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (colour_map(of_bytes=True), "a colour map of 16-bit numbers; found one of 8-bit numbers"),
        (
            tiff(np.zeros(18, np.uint8), (2, 4, 3), 8, photometric=6, more={530: (2, 2)}),
            "red, green and blue, or compressed YCbCr; found uncompressed YCbCr, subsampled",
        ),
    ],
)
def test_tiff_that_pillow_misreads_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A colour map that would turn black, and subsampled colours that would be mixed up."""
    with pytest.raises(DataFileError, match=message):
        read_image(write(tmp_path / "x.tif", content))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_shown_on_white(tmp_path: Path, mode: str) -> None:
    """Every number with every opacity is the nearest whole number, upright and before scaling."""
    values, opacity = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    layers = [values] * (len(mode) - 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = Image.fromarray(np.stack([*layers, opacity], axis=2), mode)
    content.save(tmp_path / "x.png", exif=exif)
    expected = [
        [(2 * (v * a + 255 * (255 - a)) + 255) // 510 for v in range(256)] for a in range(256)
    ]
    found = read_image(tmp_path / "x.png")
    assert all((np.rot90(found[..., c]) == expected).all() for c in range(found.shape[2]))
    assert [expected[a][v] for a, v in ((0, 9), (255, 9), (128, 0), (128, 255))] == [
        255,
        9,
        127,
        255,
    ]
    small = Image.fromarray(found.squeeze()).resize((8, 8), Image.Resampling.BILINEAR)
    assert (read_image(tmp_path / "x.png", (8, 8)).squeeze() == np.asarray(small)).all()


def test_deep_colours_shown_on_white(tmp_path: Path) -> None:
    """Numbers are brought to 8 bits first, by their depth, and so is their opacity."""
    pixels = np.array([[[4095, 0, 2048, 65535], [4095, 0, 2048, 0], [0, 0, 0, 32896]]])
    write(tmp_path / "a" / "x.png", png(pixels))
    data = load(tmp_path)
    assert data.images.tolist() == [[[[255, 0, 128], [255, 255, 255], [127, 127, 127]]]]
    assert "1 file (a/x.png) has transparency; shown on white" in data.notes


def test_dropped_transparency_is_counted(tmp_path: Path) -> None:
    """The note counts files and names three of them."""
    for number in range(5):
        write(tmp_path / "a" / f"{number}.png", with_opacity("RGBA", (1, 2, 3), 9))
    assert load(tmp_path).notes == (
        "5 files (a/0.png, a/1.png, a/2.png, …) have transparency; shown on white",
    )
    assert load(tmp_path, reading=Reading((1, 3), 3, 8, "uint8", opacity="dropped")).notes == (
        "5 files (a/0.png, a/1.png, a/2.png, …) have transparency, which is dropped; the colours "
        "beneath it are kept",
    )


def test_gray_beside_colour_is_told(tmp_path: Path) -> None:
    """A folder is colour if one file has colour; that it is mixed is told with both counts."""
    for number in range(3):
        write(tmp_path / "a" / f"{number}.png", GRAY)
    assert load(tmp_path).image_shape == (6, 5, 1)
    write(tmp_path / "a" / "z.png", COLOUR)
    data = load(tmp_path)
    assert (data.images[:3] == GRAY[..., np.newaxis]).all()
    assert data.notes == ("3 gray and 1 coloured picture: all are read as colour",)


# Upright, row 0 is 10 20 30 and row 1 is 40 50 60.
UPRIGHT = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}
"""Pixels as a file of each EXIF orientation holds them."""


def exif(orientation: int) -> bytes:
    """EXIF data that hold an orientation alone, without the name that JPEG puts before it."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes().removeprefix(b"Exif\0\0")


def turned(kind: str, orientation: int) -> bytes | tuple[Image.Image, dict[str, Any]]:
    """A file of some kind that holds the picture in this orientation."""
    pixels = np.ascontiguousarray(STORED[orientation])
    deep = pixels.astype(np.uint16)[..., np.newaxis]
    data = exif(orientation)
    if kind == "png":
        return png(pixels[..., np.newaxis], 8, before=[(b"eXIf", data)])
    if kind == "late.png":
        return png(pixels[..., np.newaxis], 8, after=[(b"eXIf", data)])
    if kind == "profile.png":
        text = b"\nexif\n" + b"%8d\n" % (len(data) + 6) + (b"Exif\0\0" + data).hex().encode()
        content = b"Raw profile type exif\0\0" + zlib.compress(text)
        return png(pixels[..., np.newaxis], 8, after=[(b"zTXt", content)])
    if kind == "deep.png":
        colour = np.repeat(deep, 3, axis=2)
        return png(colour, after=[(b"eXIf", data)])
    if kind in ("tif", "deflate.tif"):
        return tiff(deep, deep.shape, 16, compressed=kind != "tif", more={274: (orientation,)})
    if kind == "colour.tif":
        colour = np.repeat(deep, 3, axis=2)
        return tiff(colour, colour.shape, 16, more={274: (orientation,)})
    large = np.repeat(np.repeat(pixels, 16, axis=0), 16, axis=1)
    image = Image.fromarray(large)
    if kind == "webp":
        return image, {"exif": b"Exif\0\0" + data, "lossless": True}
    return image, {"exif": b"Exif\0\0" + data, "quality": 100}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    "kind",
    ["png", "late.png", "profile.png", "deep.png", "tif", "deflate.tif", "colour.tif", "webp",
     "jpg", pytest.param("avif", marks=needs_avif)],
)  # fmt: skip
def test_orientation(tmp_path: Path, kind: str, orientation: int) -> None:
    """Every orientation of every format comes upright, and its header gives the upright size."""
    made = turned(kind, orientation)
    content, settings = (made, {}) if isinstance(made, bytes) else made
    file = write(tmp_path / "a" / f"x.{kind}", content, **settings)
    pixels = read_image(file)[..., 0].astype(int)
    assert look(file).size == pixels.shape
    assert load(tmp_path).image_shape[:2] == pixels.shape
    unit = pixels.shape[0] // 2
    assert pixels.shape == (2 * unit, 3 * unit)
    assert np.abs(pixels[unit // 2 :: unit, unit // 2 :: unit] - UPRIGHT).max() <= 3


def test_damaged_exif_is_told_and_left_alone(tmp_path: Path) -> None:
    """EXIF data that cannot be read do not make a picture unreadable; it is taken as upright."""
    write(tmp_path / "a" / "x.png", png(UPRIGHT[..., np.newaxis], 8, before=[(b"eXIf", b"??????")]))
    data = load(tmp_path)
    assert (data.images[0, ..., 0] == UPRIGHT).all()
    assert data.notes == ("1 file (a/x.png) has EXIF data that cannot be read; taken as upright",)


PAGED = {
    "tif": {},
    "gif": {},
    "webp": {"lossless": True},
    "png": {},
}


@pytest.mark.parametrize("ending", PAGED)
def test_first_page_is_read(tmp_path: Path, ending: str) -> None:
    """Of several pages the first is read, and such files are counted."""
    pages = [Image.fromarray((GRAY // 128 * 128 + number).astype(np.uint8)) for number in range(3)]
    settings = {"save_all": True, "append_images": pages[1:], **PAGED[ending]}
    write(tmp_path / "a" / f"x.{ending}", pages[0], **settings)
    write(tmp_path / "a" / f"y.{ending}", pages[0], **PAGED[ending])
    data = load(tmp_path)
    assert (data.images[0] == data.images[1]).all()
    assert (data.images[0, ..., 0] == GRAY // 128 * 128).all()
    assert f"1 file (a/x.{ending}) has more than one page; the first is read" in data.notes


def test_foreign_content_is_read_and_told(tmp_path: Path) -> None:
    """A file of another format than its ending says is read all the same, and counted."""
    write(tmp_path / "a" / "x.jpg", COLOUR, format="PNG")
    write(tmp_path / "a" / "y.png", COLOUR)
    data = load(tmp_path)
    assert (data.images == COLOUR).all()
    assert data.notes == (
        "1 file (a/x.jpg) has another format than the ending says; it is read all the same",
    )
    assert (read_image(write(tmp_path / "bare", COLOUR, format="BMP")) == COLOUR).all()


def test_warnings_of_pillow_come_with_the_file(tmp_path: Path) -> None:
    """What Pillow warns of is a note that names the file, not a warning."""
    content = bytearray(tiff(GRAY, (6, 5, 1), 8, more={305: (65, 66, 67, 0)}))
    # The text of tag 305 is said to lie behind the end of the file.
    place = content.index(struct.pack("<HHI", 305, 3, 4)) + 8
    content[place : place + 4] = struct.pack("<I", 1 << 20)
    write(tmp_path / "a" / "x.tif", bytes(content))
    data = load(tmp_path)
    assert (data.images[0, ..., 0] == GRAY).all()
    assert len(data.notes) == 1
    assert data.notes[0].startswith("1 file (a/x.tif) has a warning of the decoder: ")


def test_what_libtiff_says_comes_with_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error of libtiff stands in the error that names the file, not on standard error."""
    content = bytearray(tiff(GRAY, (6, 5, 1), 8, compressed=True))
    content[-3] ^= 0xFF
    file = write(tmp_path / "a" / "x.tif", bytes(content))
    with pytest.raises(DataFileError, match=r"x\.tif: not a whole image.*ZIPDecode"):
        load(tmp_path)
    os.write(2, b"still there\n")
    assert capfd.readouterr().err == "still there\n"
    assert file.exists()


def test_pillow_logs_nothing_on_standard_error(tmp_path: Path) -> None:
    """What Pillow logs of a broken file does not reach standard error by itself."""
    file = write(tmp_path / "x.tif", tiff(bytes(500), (2, 2, 100), 8))
    program = (
        "import sys\nfrom isoconv.data import read_image\n"
        "try:\n    read_image(sys.argv[1])\nexcept ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True
    )
    assert "TIFF of a kind that is not read" in done.stdout
    assert done.stderr == ""


def test_no_standard_error_is_no_trouble(tmp_path: Path) -> None:
    """A process whose standard error is closed reads compressed TIFF files as well."""
    file = write(tmp_path / "x.tif", tiff(GRAY, (6, 5, 1), 8, compressed=True))
    program = (
        "import sys\nfrom isoconv.data import read_image\nprint(read_image(sys.argv[1])[..., 0])"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-c", program, str(file)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == f"{GRAY}\n"


@needs_avif
def test_reduced_avif_is_noticed(tmp_path: Path) -> None:
    """The flag of more than 8 bits in an AVIF file's head is seen."""
    from isoconv.data.decode import _is_reduced

    file = write(tmp_path / "x.avif", COLOUR)
    content = bytearray(file.read_bytes())
    with opened(file) as picture:
        assert not _is_reduced(picture)
        # Pillow writes 8 bits, and checks what a file says before it opens it.
        content[content.index(b"av1C") + 6] |= 0x40
        picture.stream = io.BytesIO(content)
        assert _is_reduced(picture)
