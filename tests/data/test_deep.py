"""Numbers of more than 8 bits: what stands in the file decides, by one rule."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.made import (
    boxed_jpeg2000,
    deep_jpeg2000,
    jpeg2000,
    png,
    ramp,
    tiff,
    twelve_bits,
    write,
)

from isoconv.data import Reading, load, load_splits, read_image, read_pictures
from isoconv.data.decode import read
from isoconv.errors import ArgumentError, DataFileError


def nearest(value: int, depth: int) -> int:
    """The whole number nearest to value * 255 / (2**depth - 1)."""
    exact = Fraction(value * 255, 2**depth - 1)
    below = exact.numerator // exact.denominator
    return below + (exact - below > Fraction(1, 2))


def gray_tiff(values: np.ndarray) -> bytes:
    """A TIFF file of gray 16-bit numbers."""
    return tiff(values.astype(np.uint16), values.shape, 16)


@pytest.mark.parametrize("depth", [8, 9, 10, 12, 14, 16])
def test_every_number_of_a_depth(tmp_path: Path, depth: int) -> None:
    """Each number becomes the nearest of v * 255 / (2**depth - 1)."""
    values = np.arange(2**depth).reshape(-1, 256, 1)
    file = write(tmp_path / "x.tif", gray_tiff(values))
    expected = [nearest(value, depth) for value in range(2**depth)]
    assert read_image(file, depth=depth).reshape(-1).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(17, 32), st.data())
def test_numbers_of_great_depths(
    tmp_path_factory: pytest.TempPathFactory, depth: int, data: st.DataObject
) -> None:
    """So it is beyond 16 bits, in numbers of 32."""
    values = data.draw(st.lists(st.integers(0, 2**depth - 1), min_size=1, max_size=20))
    content = tiff(np.array(values, np.uint32), (1, len(values), 1), 32)
    file = write(tmp_path_factory.mktemp("deep") / "x.tif", content)
    expected = [nearest(value, depth) for value in values]
    assert read_image(file, depth=depth).reshape(-1).tolist() == expected


GRAY, COLOUR = ramp(5, 7, 1, 4095), ramp(5, 7, 3, 4095, 1)
OPAQUE = np.full((5, 7, 1), 65535)
SEEN_THROUGH = np.concatenate([OPAQUE[:4], OPAQUE[4:] - 1])


def pnm(magic: str, values: np.ndarray, most: int) -> bytes:
    """A PNM file, plain (P2, P3) or binary (P5, P6)."""
    head = f"{magic}\n# made\n{values.shape[1]} {values.shape[0]}\n{most}\n".encode()
    if magic in ("P2", "P3"):
        return head + b" # first\n".join(b"%d" % value for value in values.reshape(-1))
    return head + values.astype(">u2").tobytes()


CONTAINERS = {
    "gray.png": (png(GRAY), GRAY),
    "interlaced.png": (png(GRAY, interlaced=True), GRAY),
    "opacity.png": (png(np.concatenate([GRAY, OPAQUE], axis=2)), GRAY),
    "colour.png": (png(COLOUR), COLOUR),
    "colour-interlaced.png": (png(COLOUR, interlaced=True), COLOUR),
    "colour-opacity.png": (png(np.concatenate([COLOUR, SEEN_THROUGH], axis=2)), COLOUR),
    "plain.pgm": (pnm("P2", GRAY, 4095), GRAY),
    "binary.pgm": (pnm("P5", GRAY, 4095), GRAY),
    "binary-16.pgm": (pnm("P5", GRAY, 65535), GRAY),
    "plain.ppm": (pnm("P3", COLOUR, 4095), COLOUR),
    "binary.ppm": (pnm("P6", COLOUR, 4095), COLOUR),
    "binary-16.ppm": (pnm("P6", COLOUR, 65535), COLOUR),
    "twelve.j2k": (jpeg2000(GRAY, 12), GRAY),
    "sixteen.j2k": (jpeg2000(GRAY, 16), GRAY),
    "packed.tif": (tiff(twelve_bits(GRAY), GRAY.shape, 12), GRAY),
}
for _order in "<>":
    for _compressed in (False, True):
        _kind: dict[str, Any] = {"order": _order, "compressed": _compressed}
        _name = f"{'little' if _order == '<' else 'big'}{'-deflate' if _compressed else ''}.tif"
        CONTAINERS |= {
            f"gray-{_name}": (tiff(GRAY.astype(np.uint16), GRAY.shape, 16, **_kind), GRAY),
            f"signed-{_name}": (
                tiff(GRAY.astype(np.int16), GRAY.shape, 16, sample=2, **_kind),
                GRAY,
            ),
            f"signed-32-{_name}": (
                tiff(GRAY.astype(np.int32), GRAY.shape, 32, sample=2, **_kind),
                GRAY,
            ),
            f"colour-{_name}": (tiff(COLOUR.astype(np.uint16), COLOUR.shape, 16, **_kind), COLOUR),
            f"opacity-{_name}": (
                tiff(
                    np.concatenate([COLOUR, SEEN_THROUGH], axis=2).astype(np.uint16),
                    (5, 7, 4),
                    16,
                    more={338: (2,)},
                    **_kind,
                ),
                COLOUR,
            ),
            f"more-{_name}": (
                tiff(
                    np.concatenate([COLOUR, GRAY], axis=2).astype(np.uint16),
                    (5, 7, 4),
                    16,
                    more={338: (0,)},
                    **_kind,
                ),
                COLOUR,
            ),
        }
CONTAINERS["unsigned-32.tif"] = (tiff(GRAY.astype(np.uint32), GRAY.shape, 32), GRAY)


@pytest.mark.parametrize("name", CONTAINERS)
def test_files_give_what_stands_in_them(tmp_path: Path, name: str) -> None:
    """Every kind of file gives the numbers that stand in it, and 12 bits for numbers up to 4095."""
    content, values = CONTAINERS[name]
    file = write(tmp_path / "a" / name, content)
    stored = read(file)
    assert stored.kind == "deep"
    assert stored.numbers is not None
    assert (stored.numbers == values).all()
    data = load(tmp_path)
    assert data.reading == Reading((5, 7), values.shape[2], 12, "uint8")
    assert data.reading is not None
    expected = [nearest(value, 12) for value in values.reshape(-1).tolist()]
    notes = data.notes
    # What lies beneath what is not opaque.
    data = load(tmp_path, reading=replace(data.reading, opacity="dropped"))
    assert data.images.dtype == np.uint8
    assert data.images.reshape(-1).tolist() == expected
    bits = 32 if "32" in name else 12 if name in ("packed.tif", "twelve.j2k") else 16
    note = f"1 file of {bits} bits holds values up to 4095: 12 bits are taken for full brightness"
    assert f"{note}; depth=… says otherwise" in notes
    seen_through = "opacity" in name and name != "opacity.png"
    assert any("shown on white" in line for line in notes) == seen_through


REFUSED = {
    "premultiplied": (
        tiff(np.zeros((5, 7, 4), np.uint16), (5, 7, 4), 16, more={338: (1,)}),
        "colours of 16 bits as they are; found colours times opacity",
    ),
    "planes": (
        tiff(np.zeros((3, 5, 7), np.uint16), (5, 7, 3), 16, more={284: (2,)}),
        "pixel by pixel; found plane by plane",
    ),
    "white is zero": (
        tiff(np.zeros((5, 7, 1), np.uint16), (5, 7, 1), 16, photometric=0),
        "0 for black in numbers of more than 8 bits; found 0 for white",
    ),
    "print": (
        tiff(np.zeros((5, 7, 4), np.uint16), (5, 7, 4), 16, photometric=5),
        "gray or red, green and blue in more than 8 bits; found Pillow's mode CMYK of 16 bits",
    ),
    "signed bytes": (
        tiff(np.zeros((5, 7, 1), np.int8), (5, 7, 1), 8, sample=2),
        "unsigned numbers; found signed ones of 8 bits",
    ),
    "below zero": (
        tiff(np.full((5, 7, 1), -3, np.int16), (5, 7, 1), 16, sample=2),
        "expected numbers from 0 upwards; found -3",
    ),
    "colour in JPEG 2000": (
        deep_jpeg2000(12),
        "one component of up to 16 bits, or several of up to 8; found 3 of 12 bits",
    ),
    "9 bits in JPEG 2000": (boxed_jpeg2000(9), "or several of up to 8; found 1 of 9 bits"),
    "17 bits in JPEG 2000": (boxed_jpeg2000(17), "or several of up to 8; found 1 of 17 bits"),
    "signed JPEG 2000": (boxed_jpeg2000(128 + 12), "found 1 of 12 signed bits"),
    "double floats": (
        tiff(np.zeros((5, 7, 1)), (5, 7, 1), 64, sample=3),
        r"TIFF of a kind that is not read, or damaged \(floating-point numbers of 64 bits\)",
    ),
    "colours in floats": (
        tiff(np.zeros((5, 7, 3), np.float32), (5, 7, 3), 32, sample=3),
        r"not read, or damaged \(floating-point numbers of 32, 32, 32 bits\)",
    ),
    "cut off": (tiff(np.zeros((5, 7, 3), np.uint16), (5, 7, 3), 16)[:-1], "not a whole image"),
    "short plain text": (b"P2 2 2 4095\n1 2 3", "expected 4 numbers; found 3: it is truncated"),
    "short binary": (b"P5 2 2 4095\n\0\1\0\2\0\3\0", "expected 4 numbers; found 3"),
    "beyond its own largest": (
        b"P5 1 1 4095\n\x10\0",
        "expected numbers from 0 to 4095; found 4096",
    ),
    "no number": (b"P2 1 1 4095\nx", "numbers in digits are expected; found b'x'"),
    "below zero in text": (b"P2 1 1 4095\n-1", "numbers in digits are expected; found b'-1'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_had_is_refused(tmp_path: Path, name: str) -> None:
    """What Pillow would cut, invert or mix up is an error that names the file and the reason."""
    content, message = REFUSED[name]
    file = write(tmp_path / "x", content)
    with pytest.raises(DataFileError, match=message) as caught:
        read_image(file)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("largest", "depth"),
    [(255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16383, 14),
     (16384, 16), (65535, 16)],
)  # fmt: skip
def test_least_depth_that_holds_all(tmp_path: Path, largest: int, depth: int) -> None:
    """The least of 8, 10, 12, 14 and 16 bits that holds the largest number of any file."""
    write(tmp_path / "a" / "x.tif", gray_tiff(np.array([[[0], [7]]])))
    write(tmp_path / "a" / "y.tif", gray_tiff(np.array([[[1], [largest]]])))
    data = load(tmp_path)
    assert data.reading is not None
    assert data.reading.depth == depth
    assert data.images[1].reshape(-1).tolist() == [nearest(1, depth), nearest(largest, depth)]
    assert f"2 files of 16 bits hold values up to {largest}: {depth} bits" in data.notes[0]


def test_more_than_16_bits_need_a_depth(tmp_path: Path) -> None:
    """Larger numbers are refused with the depth that would hold them, all files at once."""
    for name, value in (("x", 65536), ("y", 2**24)):
        content = tiff(np.array([[[value]]], np.uint32), (1, 1, 1), 32)
        write(tmp_path / "a" / f"{name}.tif", content)
    with pytest.raises(
        DataFileError,
        match=r"2 of 2 files cannot[\s\S]*x\.tif: .*found 65536: depth=17[\s\S]*16777216: depth=25",
    ):
        load(tmp_path)
    assert load(tmp_path, depth=25).images.reshape(-1).tolist() == [nearest(65536, 25), 128]


def test_a_given_depth_is_a_bound(tmp_path: Path) -> None:
    """A number beyond the given depth is refused with file, value and depth."""
    write(tmp_path / "a" / "x.tif", gray_tiff(np.array([[[0], [1023]]])))
    write(tmp_path / "a" / "y.tif", gray_tiff(np.array([[[0], [1024]]])))
    with pytest.raises(
        DataFileError, match=r"y\.tif: .*10 bits \(depth=10\), at most 1023; found 1024"
    ):
        load(tmp_path, depth=10)
    data = load(tmp_path, depth=16)
    assert data.reading == Reading((1, 2), 1, 16, "uint8")
    assert data.images.reshape(-1).tolist() == [0, 4, 0, 4]
    assert data.notes == ()


@pytest.mark.parametrize("depth", [0, 33, True, 12.0, "12"])
def test_bad_depth_is_refused(tmp_path: Path, depth: object) -> None:
    """A depth is a whole number of bits from 1 to 32."""
    write(tmp_path / "a" / "x.tif", gray_tiff(np.array([[[0]]])))
    with pytest.raises(ArgumentError, match=r"depth must be a whole number .* at most 32"):
        load(tmp_path, depth=depth)  # type: ignore[arg-type]


def test_depth_is_for_pictures(tmp_path: Path) -> None:
    """Other data hold no files of a depth, and that is said."""
    with pytest.raises(ArgumentError, match="depth is for folders of images only; fashion-sample"):
        load("fashion-sample", "test", depth=12)
    write(tmp_path / "a" / "x.tif", gray_tiff(np.array([[[0]]])))
    with pytest.raises(ArgumentError, match="depth is for folders of images only"):
        load(load(tmp_path), depth=12)


def test_all_parts_share_one_depth(tmp_path: Path) -> None:
    """The largest number of any part decides for all of them, whichever part is read."""
    write(tmp_path / "train" / "a" / "x.tif", gray_tiff(np.array([[[200]]])))
    write(tmp_path / "test" / "a" / "y.tif", gray_tiff(np.array([[[4000]]])))
    for part in ("train", "test"):
        data = load(tmp_path, part)
        assert data.reading == Reading((1, 1), 1, 12, "uint8")
        assert "2 files of 16 bits hold values up to 4000" in data.notes[0]
    splits = load_splits(tmp_path, validation=0)
    assert [int(part.images.max()) for part in splits.parts.values()] == [nearest(200, 12), 249]


def test_eight_bits_stay_beside_deeper_ones(tmp_path: Path) -> None:
    """8-bit files are never scaled; that a folder mixes them with deeper ones is told."""
    write(tmp_path / "a" / "x.png", np.array([[7, 255]], np.uint8))
    write(tmp_path / "a" / "y.tif", gray_tiff(np.array([[[7], [4095]]])))
    data = load(tmp_path)
    assert data.images.reshape(-1).tolist() == [7, 255, 0, 255]
    assert data.notes[0].startswith("1 of 2 pictures hold numbers of more than 8 bits, which are")
    assert load(tmp_path, depth=16).images.reshape(-1).tolist() == [7, 255, 0, 16]


def test_eight_bits_alone_have_depth_8(tmp_path: Path) -> None:
    """A folder of 8-bit files has depth 8; another one that is asked for changes nothing."""
    write(tmp_path / "a" / "x.png", np.array([[7, 200]], np.uint8))
    data = load(tmp_path)
    assert data.reading == Reading((1, 2), 1, 8, "uint8")
    assert data.notes == ()
    asked = load(tmp_path, depth=12)
    assert asked.images.reshape(-1).tolist() == [7, 200]
    assert asked.notes == ("depth=12 changes nothing: no file has more than 8 bits",)
    assert asked.reading is not None
    assert asked.reading.depth == 12


def test_a_declared_largest_number_counts(tmp_path: Path) -> None:
    """Dark files of 12 declared bits have depth 12, though their numbers would fit into 8."""
    dark = GRAY % 100
    for name, content in (
        ("x.pgm", pnm("P5", dark, 4095)),
        ("x.j2k", jpeg2000(dark, 12)),
        ("x.tif", tiff(twelve_bits(dark), dark.shape, 12)),
    ):
        file = write(tmp_path / name, content)
        assert read_image(file)[..., 0].max() == nearest(int(dark.max()), 12)


def test_one_file_alone_goes_by_its_own_range(tmp_path: Path) -> None:
    """`read_image` without a depth takes the least one that holds this file."""
    values = np.array([[[0], [1000]]])
    file = write(tmp_path / "x.tif", gray_tiff(values))
    assert read_image(file).reshape(-1).tolist() == [0, nearest(1000, 10)]
    assert read_image(file, depth=12).reshape(-1).tolist() == [0, nearest(1000, 12)]
    with pytest.raises(DataFileError, match=r"8 bits \(depth=8\), at most 255; found 1000"):
        read_image(file, depth=8)


def later(path: Path, reading: Reading | None) -> tuple[list[int], tuple[str, ...]]:
    """Values and notes of one file, read as a data set was."""
    assert reading is not None
    pictures = read_pictures([path], reading)
    return pictures.images.reshape(-1).tolist(), pictures.notes


def test_later_pictures_are_read_in_the_same_way(tmp_path: Path) -> None:
    """A later file is taken by the data set's depth, whatever its own range."""
    write(tmp_path / "pets" / "a" / "x.tif", gray_tiff(np.array([[[0], [4095]]])))
    dim = write(tmp_path / "dim.tif", gray_tiff(np.array([[[0], [200]]])))
    bright = write(tmp_path / "bright.tif", gray_tiff(np.array([[[0], [5000]]])))
    reading = load(tmp_path / "pets").reading
    assert later(dim, reading) == ([0, 12], ())
    with pytest.raises(DataFileError, match=r"bright\.tif: .*12 bits .*at most 4095; found 5000"):
        later(bright, reading)


def test_later_deep_pictures_of_an_8_bit_data_set(tmp_path: Path) -> None:
    """Where the data set knew no deeper files, one goes by its own range, and that is told."""
    write(tmp_path / "pets" / "a" / "x.png", np.array([[0, 255]], np.uint8))
    file = write(tmp_path / "new" / "a" / "x.tif", gray_tiff(np.array([[[0], [4000]]])))
    reading = load(tmp_path / "pets").reading
    values, notes = later(file, reading)
    assert values == [0, 249]
    assert len(notes) == 1
    assert "x.tif) has more than 8 bits, as no picture had" in notes[0]
    assert "12 bits are taken for full brightness" in notes[0]
    folder = load(tmp_path / "new", reading=reading)
    assert folder.images.reshape(-1).tolist() == values
    assert len(folder.notes) == 1
    assert folder.reading == reading


def test_a_range_is_each_files_own_then(tmp_path: Path) -> None:
    """What else is read beside it changes nothing for a file."""
    first = write(tmp_path / "x.tif", gray_tiff(np.array([[[1000]]])))
    second = write(tmp_path / "y.tif", gray_tiff(np.array([[[60000]]])))
    reading = Reading((1, 1), 1, 8)
    both = read_pictures([first, second], reading)
    alone = [read_pictures([file], reading).images for file in (first, second)]
    assert (both.images == np.concatenate(alone)).all()
    assert len(both.notes) == 2


def test_deep_png_with_exif_behind_its_pixels(tmp_path: Path) -> None:
    """A header that has to be completed by decoding tells the same kind, gray and upright size."""
    exif = Image.Exif()
    exif[0x0112] = 6
    late = [(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))]
    for name, values in (("gray", np.concatenate([GRAY, OPAQUE], axis=2)), ("colour", COLOUR)):
        write(tmp_path / name / "a" / "x.png", png(values, after=late))
        data = load(tmp_path / name)
        channels = 1 if name == "gray" else 3
        assert data.reading == Reading((7, 5), channels, 12, "uint8")
        upright = np.rot90(values[..., :channels], -1).reshape(-1).tolist()
        assert data.images.reshape(-1).tolist() == [nearest(value, 12) for value in upright]


def test_deep_files_leave_no_file_open(tmp_path: Path) -> None:
    """Reading hundreds of files takes no more than a few file descriptors."""
    contents = [content for content, _ in CONTAINERS.values()]
    files = [write(tmp_path / str(place), content) for place, content in enumerate(contents)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        for file in files:
            read(file)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
