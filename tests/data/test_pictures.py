"""Folders of images: what is written comes back, what cannot be read is told all at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.made import png, write

from isoconv.data import Reading, load, load_splits, read_image, read_pictures
from isoconv.errors import ArgumentError, DataFileError


def write_pictures(folder: Path, mode: str = "L", ending: str = "png") -> dict[str, np.ndarray]:
    """Two classes of two images each."""
    written = {}
    for place, name in enumerate(("cat/b", "cat/a", "ant/d", "ant/deep/c")):
        sides = (6, 5) if mode == "L" else (6, 5, 3)
        pixels = np.random.default_rng(place).integers(0, 256, sides).astype(np.uint8)
        write(folder / f"{name}.{ending}", pixels, lossless=True)
        written[name] = pixels.reshape(6, 5, -1)
    return written


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "webp"])
def test_pictures_round_trip(tmp_path: Path, ending: str) -> None:
    """Classes are the sorted folder names, files are in order, each has its path."""
    mode = "RGB" if ending in ("ppm", "webp") else "L"
    written = write_pictures(tmp_path, mode, ending)
    data = load(tmp_path)
    assert data.class_names == ("ant", "cat")
    assert data.labels.tolist() == [0, 0, 1, 1]
    names = ("ant/d", "ant/deep/c", "cat/a", "cat/b")
    assert (data.images == np.stack([written[name] for name in names])).all()
    assert set(data.paths) == {f"{name}.{ending}" for name in names}
    channels = 3 if mode == "RGB" else 1
    assert data.reading == Reading((6, 5), channels, 8, "uint8")
    assert data.name == tmp_path.name
    assert not data.numbered
    assert data.notes == ()


def test_parts_of_a_picture_folder(tmp_path: Path) -> None:
    """Folders of parts come out alike: colour if one file of any part has colour."""
    write_pictures(tmp_path / "train")
    written = write_pictures(tmp_path / "val", "RGB")
    splits = load_splits(tmp_path, test=0)
    assert splits.train.images.shape == (4, 6, 5, 3)
    assert splits.validation is not None
    assert splits.test is None
    assert (splits.validation.images[3] == written["cat/b"]).all()
    assert splits.validation.paths[0] == "val/ant/d.png"
    assert splits.train.reading == splits.validation.reading
    note = "4 gray and 4 coloured pictures: all are read as colour"
    assert splits.train.notes == splits.validation.notes == (note,)
    for part in ("train", "validation"):
        alone = load(tmp_path, part)
        assert alone.digest() == splits.parts[part].digest()
        assert alone.notes == (note,)
    whole = load(tmp_path, "all")
    assert whole.digest() != splits.train.digest()
    assert (len(whole), whole.notes) == (8, (note,))
    assert whole.paths == splits.train.paths + splits.validation.paths


def test_pictures_of_different_sizes(tmp_path: Path) -> None:
    """With a size all pictures are scaled to it, whatever their own are."""
    write_pictures(tmp_path)
    write(tmp_path / "cat" / "z.png", Image.new("L", (9, 3), 200))
    data = load(tmp_path, size=(4, 7))
    assert data.images.shape == (5, 4, 7, 1)
    assert (data.images[-1] == 200).all()
    assert load(tmp_path, size=4).image_shape == (4, 4, 1)
    assert load(tmp_path, size=4).reading == Reading((4, 4), 1, 8, "uint8")


def test_all_bad_files_are_told_at_once(tmp_path: Path) -> None:
    """Broken headers and broken pixels of all parts are one error with files and reasons."""
    written = write_pictures(tmp_path / "train", "RGB")
    write_pictures(tmp_path / "val", "RGB")
    assert written
    whole = (tmp_path / "train" / "cat" / "a.png").read_bytes()
    write(tmp_path / "train" / "cat" / "a.png", b"no image")
    write(tmp_path / "train" / "ant" / "d.png", whole[: len(whole) * 2 // 3])
    write(tmp_path / "val" / "cat" / "b.png", b"")
    with pytest.raises(DataFileError) as caught:
        load_splits(tmp_path)
    text = str(caught.value)
    assert text.splitlines()[0] == f"{tmp_path}: 3 of 8 files cannot be read:"
    assert len(text.splitlines()) == 5
    assert text.endswith("\nskip_bad=True goes on without them")
    assert [each.path for each in caught.value.files] == [
        "train/ant/d.png", "train/cat/a.png", "val/cat/b.png",
    ]  # fmt: skip
    for name in ("train/cat/a.png", "train/ant/d.png"):
        assert f"\n  {tmp_path}/{name}: not a whole image" in text
    assert f"\n  {tmp_path}/val/cat/b.png: empty (0 bytes)\n" in text


def test_one_bad_file_is_one_line(tmp_path: Path) -> None:
    """A single bad file needs no list."""
    write_pictures(tmp_path)
    write(tmp_path / "cat" / "a.png", b"no image")
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/cat/a.png: not a whole image: no picture, or")
    assert str(caught.value).splitlines()[1:] == ["skip_bad=True goes on without it"]


def test_fifty_bad_files_are_named(tmp_path: Path) -> None:
    """Up to 50 files are named, the rest is counted; what does not go together is told too."""
    for number in range(55):
        write(tmp_path / "a" / f"{number:02}.png", b"no image")
    write(tmp_path / "a" / "x.png", Image.new("L", (1, 1)))
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}: 55 of 56 files cannot be read:"
    assert lines[1].startswith("  55 files: ")
    assert lines[2:52] == [f"    {tmp_path}/a/{number:02}.png" for number in range(50)]
    assert lines[52:] == [
        "  and 5 more (`files` of this error has all)",
        "skip_bad=True goes on without them",
    ]
    assert [each.path for each in caught.value.files] == [f"a/{n:02}.png" for n in range(55)]
    write(tmp_path / "a" / "y.png", Image.new("L", (2, 1)))
    write(tmp_path / "a" / "z.pfm", b"Pf\n1 1\n-1.0\n" + bytes(4))
    with pytest.raises(
        DataFileError, match=r"55 of 58 files[\s\S]*and 5 more.*\nfiles of floats and of integers"
    ):
        load(tmp_path)


def test_no_readable_file_at_all(tmp_path: Path) -> None:
    """A folder of broken files alone is an error of the same kind."""
    write(tmp_path / "a" / "x.png", b"no image")
    write(tmp_path / "a" / "y.png", b"no image")
    with pytest.raises(DataFileError, match="2 of 2 files cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tif", "ppm", "jp2"])
def test_damaged_pictures_are_named(tmp_path: Path, ending: str) -> None:
    """A truncated image and a file that is none are named, in every format."""
    write_pictures(tmp_path, "RGB", ending)
    path = tmp_path / "cat" / f"a.{ending}"
    whole = path.read_bytes()
    for content in (whole[: len(whole) * 2 // 3], whole[:20], b"no image", b""):
        path.write_bytes(content)
        reason = "not a whole image" if content else r"empty \(0 bytes\)"
        with pytest.raises(DataFileError, match=rf"a\.{ending}: {reason}"):
            load(tmp_path)


@pytest.mark.slow
def test_picture_bombs_are_refused(tmp_path: Path) -> None:
    """An image that declares too many pixels is refused by its header, without a warning."""
    for width, height in ((9000, 9000), (10000, 10000), (20000, 20000)):
        write(tmp_path / "a" / "x.png", Image.new("1", (width, height)))
        with pytest.raises(
            DataFileError, match=r"x\.png: (expected an image of 1 to 67108864|not a whole)"
        ):
            load(tmp_path)


def test_files_that_may_not_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without permission to read is named like a broken one."""
    write_pictures(tmp_path)
    usual = os.open

    def guarded(path: Path, flags: int, *more: int) -> int:
        if Path(path).name in ("a.png", "d.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path, flags, *more)

    monkeypatch.setattr(os, "open", guarded)
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: 2 of 4 files cannot be read:\n"
        f"  {tmp_path}/ant/d.png: cannot be read: Permission denied\n"
        f"  {tmp_path}/cat/a.png: cannot be read: Permission denied\n"
        "skip_bad=True goes on without them"
    )


NO_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path / "nothing.png", "there is no such file"),
    "a folder": (lambda path: path, "cannot be read: it is a folder, not a file"),
    "a device": (lambda _: Path("/dev/null"), "cannot be read: it is a device, not a file"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file_is_not_opened(tmp_path: Path, name: str) -> None:
    """Missing files, folders and devices are refused by what they are."""
    make, message = NO_FILES[name]
    with pytest.raises(DataFileError, match=message):
        read_image(make(tmp_path))


def test_what_is_no_path(tmp_path: Path) -> None:
    """No file can have a null character in its name, and a path is a text."""
    for path in (tmp_path / "a\0b", b"x.png", None, 3):
        with pytest.raises(ArgumentError, match="path must be a path; got"):
            read_image(path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 2}, "channels must be 1 or 3; got 2"),
        ({"depth": 0}, "depth must be a whole number of at least 1 and at most 32; got 0"),
        ({"depth": 33}, "depth must be a whole number of at least 1 and at most 32; got 33"),
    ],
)
def test_bad_settings_of_one_picture(
    tmp_path: Path, settings: dict[str, int], message: str
) -> None:
    """Settings outside what is allowed are refused."""
    with pytest.raises(ArgumentError, match=message):
        read_image(tmp_path / "x.png", **settings)  # type: ignore[arg-type]


def test_gray_and_colour_on_demand(tmp_path: Path) -> None:
    """Colour becomes gray by 0.299 red + 0.587 green + 0.114 blue; gray becomes equal colours."""
    colour = write(
        tmp_path / "x.png", np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    )
    assert read_image(colour, channels=1).reshape(-1).tolist() == [76, 150, 29]
    gray = write(tmp_path / "y.png", np.array([[1, 2]], np.uint8))
    assert read_image(gray, channels=3).tolist() == [[[1, 1, 1], [2, 2, 2]]]


def test_later_pictures_come_out_alike(tmp_path: Path) -> None:
    """Files read one by one, all at once, or as a folder give the same values."""
    write_pictures(tmp_path / "pets", "RGB")
    data = load(tmp_path / "pets", size=(4, 3))
    assert data.reading is not None
    files = [tmp_path / "pets" / path for path in data.paths]
    pictures = read_pictures(files, data.reading)
    assert pictures.images.dtype == np.uint8
    assert (pictures.images == data.images).all()
    assert pictures.notes == ()
    for place, file in enumerate(files):
        alone = read_pictures([str(file)], data.reading).images
        assert (alone == data.images[place]).all()
        assert (read_image(file, (4, 3), 3) == alone[0]).all()
    again = load(tmp_path / "pets", reading=data.reading)
    assert again.digest() == data.digest()


def test_a_whole_reading_guesses_nothing(tmp_path: Path) -> None:
    """With a model's reading, size, channels and depth of new files change nothing."""
    write(tmp_path / "a" / "gray.png", Image.new("L", (30, 20), 9))
    write(tmp_path / "a" / "colour.png", Image.new("RGB", (8, 8), (10, 20, 30)))
    reading = Reading((2, 2), 1, 12)
    data = load(tmp_path, reading=reading)
    assert data.image_shape == (2, 2, 1)
    assert data.images[:, 0, 0, 0].tolist() == [18, 9]
    assert data.reading == Reading((2, 2), 1, 12, "uint8")
    assert data.notes == ()
    with pytest.raises(ArgumentError, match="give reading, or size and depth; got both"):
        load(tmp_path, reading=reading, depth=12)


def test_a_reading_with_gaps_follows_the_files(tmp_path: Path) -> None:
    """What a reading leaves open is taken from the files that are read."""
    files = [
        write(tmp_path / "gray.png", Image.new("L", (3, 2), 9)),
        write(tmp_path / "colour.png", Image.new("RGB", (3, 2), (10, 20, 30))),
    ]
    pictures = read_pictures(files, Reading())
    assert pictures.images.shape == (2, 2, 3, 3)
    assert pictures.notes == ("1 gray and 1 coloured picture: all are read as colour",)


def test_all_bad_pictures_of_a_call_are_told_at_once(tmp_path: Path) -> None:
    """`read_pictures` names every file that fails; none at all is refused."""
    good = write(tmp_path / "good.png", Image.new("L", (1, 1)))
    bad = write(tmp_path / "bad.png", b"no image")
    reading = Reading((1, 1), 1, 8)
    with pytest.raises(DataFileError) as caught:
        read_pictures([good, bad, tmp_path / "gone.png"], reading)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 3 files cannot be read:"
    assert lines[2] == f"  {tmp_path}/gone.png: there is no such file"
    with pytest.raises(DataFileError, match=r"^\S*bad\.png: not a whole image"):
        read_pictures([good, bad], reading)
    with pytest.raises(ArgumentError, match="paths must name at least one file"):
        read_pictures([], reading)


def test_a_size_that_only_pixels_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose pixels have another size than its header said is an error, never scaled."""
    from isoconv.data import survey
    from isoconv.data.decode import Header

    write(tmp_path / "a" / "x.png", Image.new("L", (3, 2)))
    monkeypatch.setattr(survey, "look", lambda _: Header((5, 5), True, "bytes"))
    with pytest.raises(DataFileError, match=r"x\.png: expected 5 by 5 pixels; found 2 by 3"):
        load(tmp_path)


MEMORY = """
import resource, sys
from pathlib import Path
from isoconv.data import load, read_image
root = Path(sys.argv[1])
read_image(next(root.rglob("*.png")))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = load(root, size=(300, 400))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, data.images.nbytes >> 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_takes_the_room_of_its_result(tmp_path: Path, deep: bool) -> None:
    """Reading a folder takes the memory of the result and of a few pictures."""
    values = np.arange(300 * 400 * 3).reshape(300, 400, 3)
    content = png(values % 4096) if deep else png(values % 256, 8)
    for number in range(200):
        write(tmp_path / "a" / f"{number}.png", content)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True
    )
    taken, result = map(int, done.stdout.split())
    # 200 pictures of 352 KiB; one is a few times as large while it is decoded and scaled.
    assert result == 200 * 300 * 400 * 3 >> 10
    assert taken < result + 24 * 352
