"""Folders of pictures: which folders are parts and classes, and what is left out is told."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.data.made import write

from isoconv.data import load, load_splits
from isoconv.data.files import Split
from isoconv.data.folders import parts_of
from isoconv.errors import DataError, DataFileError

PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def fill(folder: Path, *names: str) -> Path:
    """Write the same picture under some names."""
    for name in names:
        write(folder / name, PIXELS, format="PNG")
    return folder


def test_order_is_that_of_paths(tmp_path: Path) -> None:
    """Classes in the order of their names; within a class paths go folder by folder."""
    names = ["b/z.png", "b/deep/a.png", "b/deep.png", "a/2.png", "a/10.png", "a/ä.png", "B/x.png"]
    data = load(fill(tmp_path, *names))
    assert data.class_names == ("B", "a", "b")
    expected = [
        "B/x.png",
        "a/10.png",
        "a/2.png",
        "a/ä.png",
        "b/deep/a.png",
        "b/deep.png",
        "b/z.png",
    ]
    assert list(data.paths) == expected
    assert data.labels.tolist() == [0, 1, 1, 1, 2, 2, 2]


def test_what_is_no_picture_is_counted_by_ending(tmp_path: Path) -> None:
    """Files in class folders that are left out are counted by ending, hidden ones and links too."""
    fill(tmp_path, "a/x.png", "a/deep/y.png", "b/z.png")
    for name in ("a/n.txt", "b/m.TXT", "a/deep/o.txt", "b/film.mp4", "a/bare", "a/.DS_Store",
                 "b/.hidden/x.png", ".git/config", "a/.x.png"):  # fmt: skip
        write(tmp_path / name, b"no picture")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / "same.png").symlink_to(tmp_path / "b" / "z.png")
    data = load(tmp_path)
    assert list(data.paths) == ["a/deep/y.png", "a/same.png", "a/x.png", "b/z.png"]
    (note,) = data.notes
    assert note.startswith("skipped: ")
    assert sorted(note.removeprefix("skipped: ").split(", ")) == [
        "1 .mp4",
        "1 broken link",
        "1 linked folder",
        "1 without ending",
        "3 .txt",
        "4 hidden",
    ]


def test_pipes_devices_and_sockets_are_not_opened(tmp_path: Path) -> None:
    """What is no regular file is counted and left alone, whatever its ending."""
    fill(tmp_path, "a/x.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "null.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as one:
        short = Path(os.path.relpath(tmp_path / "a" / "s.png"))
        one.bind(str(short))
        data = load(tmp_path)
    assert len(data) == 1
    assert data.notes == ("skipped: 3 pipe, device or socket",)


def test_linked_class_folders_are_followed(tmp_path: Path) -> None:
    """A class, or a part, may be a link to a folder elsewhere, even to one that leads back."""
    fill(tmp_path / "elsewhere", "x.png")
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "pets")
    data = load(tmp_path / "pets")
    assert data.paths == ("cat/x.png",)
    assert data.notes == ("skipped: 1 linked folder",)


def test_pictures_beside_classes_are_told(tmp_path: Path) -> None:
    """Pictures that lie in no class folder are counted and named."""
    fill(tmp_path, "train/a/x.png", "train/lost.png", "test/a/x.png", "test/lost.png", "cover.png")
    assert load(tmp_path).notes == (
        "3 pictures beside the folders of classes left out: cover.png, train/lost.png, "
        "test/lost.png",
    )


def test_empty_classes_are_all_named(tmp_path: Path) -> None:
    """Class folders without a picture are an error that names all of them."""
    fill(tmp_path, "train/a/x.png", "test/a/x.png")
    for name in ("train/b", "train/c/deep", "test/d"):
        (tmp_path / name).mkdir(parents=True)
    write(tmp_path / "train" / "b" / "n.txt", b"")
    with pytest.raises(
        DataFileError, match=r"every folder of a class .*in train/b, train/c, test/d"
    ):
        load(tmp_path)


def test_very_deep_folders(tmp_path: Path) -> None:
    """Folders may be nested deeper than functions can call each other."""
    at = os.open(tmp_path, os.O_RDONLY)
    for name in ["a", *["d"] * 1020]:
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    try:
        fill(tmp_path, "a/x.png")
        assert load(tmp_path).paths == ("a/x.png",)
    finally:
        # What clears up after tests is not made for such folders.
        subprocess.run(["/bin/rm", "-rf", tmp_path / "a"], check=True)


def test_folders_that_cannot_be_entered_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that stays shut is named with the files that cannot be read."""
    fill(tmp_path, "a/x.png", "a/shut/y.png", "b/z.png", "c/x.png")
    write(tmp_path / "b" / "broken.png", b"")
    scandir = os.scandir

    def guarded(path: Path | int) -> object:
        # Folders of tests are taken away by their numbers.
        if not isinstance(path, int) and Path(path).name in ("shut", "c"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("isoconv.data.folders.os.scandir", guarded)
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}: 3 of 5 files cannot be read:\n")
    for line in (
        f"{tmp_path}/a/shut: cannot be entered: Permission denied",
        f"{tmp_path}/c: cannot be entered: Permission denied",
        f"{tmp_path}/b/broken.png: empty (0 bytes)",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("shut", "name"), [("train", "train"), ("test", "test"), ("a", "train/a"), ("pets", ".")]
)
def test_shut_parts_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shut: str, name: str
) -> None:
    """A part, the only class or the whole folder that stays shut is named as such."""
    root = fill(tmp_path / "pets", "train/a/x.png", "test/a/x.png")
    scandir = os.scandir

    def guarded(path: Path | int) -> object:
        # Folders of tests are taken away by their numbers.
        if not isinstance(path, int) and Path(path).name == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("isoconv.data.folders.os.scandir", guarded)
    with pytest.raises(DataFileError, match=f"{root / name}: cannot be entered: Permission denied"):
        load(root)


PARTS: dict[str, tuple[list[str], tuple[Split, ...]]] = {
    "three": (["train/a/1", "val/a/1", "test/a/1"], ("train", "validation", "test")),
    "other names": (["Training/a/1", "VALID/a/1", "testing/a/1"], ("train", "validation", "test")),
    "no training": (["val/a/1", "test/a/1"], ("validation", "test")),
    "classes": (["a/1", "b/1"], ("train",)),
    "classes of classes": (["a/b/1", "c/d/1"], ("train",)),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts(tmp_path: Path, name: str) -> None:
    """Folders of parts hold folders of classes; without them the folders are classes."""
    files, parts = PARTS[name]
    fill(tmp_path, *(f"{file}.png" for file in files))
    assert parts_of(tmp_path) == parts
    assert load(tmp_path, parts[-1]).notes == ()


AMBIGUOUS = {
    "case": (
        ["train/a/1", "Train/a/1"],
        r"one folder for the train part; found 'Train', 'train'",
    ),
    "two names": (
        ["train/a/1", "val/a/1", "valid/a/1"],
        r"one folder for the validation part; found 'val', 'valid'",
    ),
    "flat parts": (
        ["train/1", "test/1"],
        r"folders of classes below test, train; found no folders: without classes there is nothing",
    ),
    "flat training": (["train/1", "test/a/1"], r"train: expected folders of classes; found none"),
    "a part beside its classes": (
        ["a/1", "b/1", "test/a/1", "test/c/1"],
        r"or folders of parts with a folder 'train' among them; found 'test' beside classes that "
        r"it holds itself \(a\)",
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_parts_are_refused(tmp_path: Path, name: str) -> None:
    """Where parts and classes cannot be told apart, the message says what was found."""
    files, message = AMBIGUOUS[name]
    fill(tmp_path, *(f"{file}.png" for file in files))
    with pytest.raises(DataFileError, match=message):
        load(tmp_path)


TOLD = {
    "a flat test folder": (
        ["train/a/1", "test/1"],
        "the folder 'test' is left out: it holds no folders of classes",
    ),
    "classes beside training": (
        ["train/a/1", "bus/1", "car/1"],
        "left out beside the folders of parts: 'bus', 'car'",
    ),
    "classes called like parts": (
        ["bus/1", "test/1", "train/1"],
        "taken for classes, for there is no folder 'train' with classes: 'test', 'train'",
    ),
    "classes of one name": (
        ["Cat/1", "cat/1"],
        "classes of their own, though their names differ in case alone: 'Cat', 'cat'",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_doubtful_folders_are_told(tmp_path: Path, name: str) -> None:
    """What is left out or taken for a class is a note."""
    files, note = TOLD[name]
    fill(tmp_path, *(f"{file}.png" for file in files))
    assert load(tmp_path).notes == (note,)


def test_no_training_part(tmp_path: Path) -> None:
    """A folder without a training part can be measured with, not trained on."""
    fill(tmp_path, "test/b/1.png", "test/a/1.png", "val/c/1.png")
    assert load(tmp_path, "test").class_names == ("a", "b", "c")
    with pytest.raises(DataError, match="has no part 'train'; it has validation, test"):
        load(tmp_path)
    with pytest.raises(DataError, match="has no part to train on; it has validation, test"):
        load_splits(tmp_path)


def test_parts_may_lack_classes_but_not_add_any(tmp_path: Path) -> None:
    """All parts have the classes of training; another one is an error that names them."""
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/1.png")
    train, validation, _ = load_splits(tmp_path, test=0)
    assert validation is not None
    assert train.class_names == validation.class_names == ("a", "b")
    assert validation.labels.tolist() == [1]
    fill(tmp_path, "val/c/1.png", "val/d/1.png")
    message = (
        r"class folders as in training \('a', 'b'\); found others in the validation part: 'c', 'd'"
    )
    with pytest.raises(DataFileError, match=message):
        load(tmp_path)


HOSTILE = "evil\n\x1b[31m\u202e"


def test_names_cannot_write_on_a_terminal(tmp_path: Path) -> None:
    """Line ends, escape sequences and bytes that are no text are shown escaped."""
    odd = os.fsdecode(b"caf\xe9")
    fill(tmp_path, f"{HOSTILE}/x.png", f"{odd}/y.png")
    data = load(tmp_path)
    assert set(data.class_names) == {HOSTILE, odd}
    assert len(data.digest()) == 64
    write(tmp_path / HOSTILE / "b\r.png", b"")
    write(tmp_path / odd / f"{odd}.png", b"")
    write(tmp_path / odd / "x.\x07", b"")
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    text = str(caught.value)
    assert r"evil\n\x1b[31m\u202e/b\r.png: empty (0 bytes)" in text
    assert r"caf\udce9/caf\udce9.png: empty (0 bytes)" in text
    assert all(line.isprintable() for line in text.split("\n"))
    for file in (tmp_path / HOSTILE / "b\r.png", tmp_path / odd / f"{odd}.png"):
        file.unlink()
    assert load(tmp_path).notes == (r"skipped: 1 .\x07",)
    with pytest.raises(DataFileError) as caught:
        load(tmp_path / HOSTILE)
    assert all(line.isprintable() for line in str(caught.value).split("\n"))
