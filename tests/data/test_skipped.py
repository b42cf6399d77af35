"""Files that cannot be read, left out when that is asked for, as if they were not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.data.spoiled import HEIC, bad_files, fill, picture, spoil

from isoconv.data import Reading, Skipped, load, load_splits
from isoconv.data.skipped import skip_warning, skipped_from_csv, skipped_to_csv
from isoconv.errors import ArgumentError, DataError, DataFileError, MissingExtraError


def same(one: object, other: object) -> bool:
    """Whether two data sets hold the same samples, read in the same way."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("paths", "reading", "class_names", "notes")
    ) and (one.digest() == other.digest())  # type: ignore[attr-defined]


def test_the_rest_is_as_if_they_were_not_there(tmp_path: Path) -> None:
    """Images, labels, paths, guesses and notes are those of the good files alone."""
    good = fill(tmp_path / "good")
    assert fill(tmp_path / "all") == good
    bad = bad_files(tmp_path / "all")
    clean, data = load(tmp_path / "good"), load(tmp_path / "all", skip_bad=True)
    assert same(data, clean)
    assert data.reading is not None
    assert data.reading.channels == 1
    assert clean.skipped == ()
    assert [each.path for each in data.skipped] == sorted(bad)
    for each in data.skipped:
        assert any(part in each.reason for part in bad[each.path].split("|")), each
        assert "\n" not in str(each)
        assert str(tmp_path) not in each.reason
    wanted = load(tmp_path / "good", size=4)
    assert same(load(tmp_path / "all", size=4, skip_bad=True), wanted)
    known = Reading((4, 4), 3, 8)
    assert same(load(tmp_path / "all", reading=known, skip_bad=True),
                load(tmp_path / "good", reading=known))  # fmt: skip


def test_a_size_follows_from_the_good_files(tmp_path: Path) -> None:
    """Files whose pixels are damaged have no say in the size, whatever their headers tell."""
    fill(tmp_path / "good", "png", 3)
    fill(tmp_path / "all", "png", 3)
    for number in range(9):
        spoil(picture(tmp_path / "all" / "cat" / f"large {number}.png", size=(200, 150)))
    data = load(tmp_path / "all", skip_bad=True, cache=False)
    assert same(data, load(tmp_path / "good", cache=False))
    assert data.image_shape == (24, 24, 1)
    assert len(data.skipped) == 9


def test_without_it_all_are_named(tmp_path: Path) -> None:
    """The error has the same files and reasons, and says how to go on without them."""
    fill(tmp_path, "png", 2)
    bad = bad_files(tmp_path)
    (tmp_path / "dog" / "phone.heic").unlink()
    del bad["dog/phone.heic"]
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    assert caught.value.files == load(tmp_path, skip_bad=True).skipped
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}: {len(bad)} of {len(bad) + 4} files cannot be read:"
    assert lines[-1] == "skip_bad=True goes on without them"
    assert len(lines) == len(bad) + 2


def test_parts_come_out_alike(tmp_path: Path) -> None:
    """A part that is asked for alone is as it is among all, whatever is bad in the others."""
    for part in ("train", "val", "test"):
        for name in ("cat", "dog"):
            for number in range(3):
                picture(tmp_path / part / name / f"{number}.png")
    spoil(picture(tmp_path / "train" / "cat" / "colour.png", "RGB"))
    (tmp_path / "test" / "dog" / "none.png").write_bytes(b"")
    splits = load_splits(tmp_path, size=8, skip_bad=True)
    bad = ["test/dog/none.png", "train/cat/colour.png"]
    for part, data in splits.parts.items():
        alone = load(tmp_path, part, size=8, skip_bad=True)  # type: ignore[arg-type]
        assert same(alone, data)
        assert [each.path for each in data.skipped] == bad == [e.path for e in alone.skipped]
        assert data.image_shape == (8, 8, 1)
    assert [each.path for each in splits.skipped] == bad
    assert splits.warnings()[0] == (
        "2 of 20 files were skipped: test/dog/none.png, train/cat/colour.png"
    )
    whole = load(tmp_path, "all", size=8, skip_bad=True)
    assert (len(whole), whole.skipped) == (18, splits.skipped)
    assert whole.subset([3, 4]).skipped == whole.split(0.5, 1)[1].skipped == whole.skipped


def test_what_is_held_out_is_that_of_the_rest(tmp_path: Path) -> None:
    """Bad files change nothing in which samples are held out."""
    fill(tmp_path / "good", "png", 20)
    fill(tmp_path / "all", "png", 20)
    bad_files(tmp_path / "all")
    one, other = load_splits(tmp_path / "good"), load_splits(tmp_path / "all", skip_bad=True)
    for part, data in one.parts.items():
        assert same(data, other.parts[part])
    assert one.how == other.how


def test_a_class_without_a_readable_file_is_an_error(tmp_path: Path) -> None:
    """The class is named with its files, and so it is when no folder below it can be entered."""
    fill(tmp_path, "png", 2)
    (tmp_path / "newt").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "newt" / name).write_bytes(b"no picture")
    with pytest.raises(DataFileError) as caught:
        load(tmp_path, skip_bad=True)
    lines = str(caught.value).splitlines()
    assert lines[:2] == [
        f"{tmp_path}: every class needs a picture that can be read; none is left of 'newt'",
        "2 of 6 files cannot be read:",
    ]
    assert [each.path for each in caught.value.files] == ["newt/a.png", "newt/b.jpg"]
    assert "skip_bad" not in str(caught.value)


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    """Where all files are bad there is nothing to go on with, and no hint that there were."""
    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"no picture")
    for skip in (True, False):
        with pytest.raises(DataFileError, match="2 of 2 files cannot be read") as caught:
            load(tmp_path, skip_bad=skip)
        assert "skip_bad" not in str(caught.value)


def test_shut_folders_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder within a class that cannot be entered is named; a class that cannot is an error."""
    fill(tmp_path, "png", 2)
    picture(tmp_path / "cat" / "shut" / "x.png")
    scandir = os.scandir
    shut = {"shut"}

    def guarded(path: Path | int) -> object:
        # Folders of tests are taken away by their numbers.
        if not isinstance(path, int) and Path(path).name in shut:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("isoconv.data.folders.os.scandir", guarded)
    data = load(tmp_path, skip_bad=True)
    assert data.skipped == (Skipped("cat/shut", "cannot be entered: Permission denied"),)
    assert len(data) == 4
    shut.add("dog")
    with pytest.raises(DataFileError, match="none is left of 'dog'"):
        load(tmp_path, skip_bad=True)


def test_heic_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that need the extra are left out as others are; the hint stands beside the cure."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    fill(tmp_path, "png", 2)
    (tmp_path / "dog" / "x.heic").write_bytes(HEIC)
    with pytest.raises(MissingExtraError) as caught:
        load(tmp_path)
    assert str(caught.value).splitlines()[1:] == ["skip_bad=True goes on without it"]
    assert caught.value.files == load(tmp_path, skip_bad=True).skipped
    assert "pip install" in caught.value.files[0].reason


def test_who_is_refused_is_told_what_was_left_alone(tmp_path: Path) -> None:
    """Notes on skipped files come with the error, and a folder named like a picture is noted."""
    fill(tmp_path, "png", 2)
    (tmp_path / "cat" / "dir.png").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("x")
    note = "skipped: 1 .txt, 1 folder without pictures that is named like one"
    assert load(tmp_path).notes == (note,)
    picture(tmp_path / "dog" / "dir.png" / "x.png")
    assert load(tmp_path).notes == (note,)
    (tmp_path / "dog" / "bad.png").write_bytes(b"")
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    assert caught.value.__notes__ == [note]
    (tmp_path / "newt").mkdir()
    (tmp_path / "newt" / "a.svg").write_text("<svg/>")
    with pytest.raises(DataFileError, match="none in newt") as caught:
        load(tmp_path)
    assert caught.value.__notes__ == [f"{note}, 1 .svg"]


def test_sources_without_picture_files_leave_nothing_out(tmp_path: Path) -> None:
    """What is no folder of pictures is read as ever, and what is wrong with it is an error."""
    assert load("fashion-sample", "test", skip_bad=True).skipped == ()
    (tmp_path / "x.npz").write_bytes(b"PK")
    with pytest.raises(DataError):
        load(tmp_path / "x.npz", skip_bad=True)
    with pytest.raises(ArgumentError, match="skip_bad must be True or False; got 1"):
        load("fashion-sample", skip_bad=1)  # type: ignore[arg-type]


def test_the_list_as_csv() -> None:
    """Whatever names and reasons there are, they come back; anything else is refused."""
    listed = (Skipped('a,"b"\r\n.png', "one"), Skipped("\udcff.png", "two, three"), Skipped("c"))
    assert skipped_from_csv(skipped_to_csv(listed), "it") == listed
    for content in (b"", b"path\n", b"path,reason\na\n", b'path,reason\n"a'):
        with pytest.raises(DataError, match=r"^it "):
            skipped_from_csv(content, "it")


def test_many_are_counted() -> None:
    """The warning names 20 of many."""
    many = [Skipped(f"{number}.png") for number in range(30)]
    assert skip_warning(many, 70).startswith("30 of 100 files were skipped: 0.png")
    assert skip_warning(many, 70).endswith("19.png, … (30 in all)")
    assert skip_warning(many[:1], 2) == "1 of 3 files was skipped: 0.png"
