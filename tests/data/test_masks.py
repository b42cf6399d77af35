"""Folders of pictures and masks: layouts, what numbers mean, nearest neighbours, and faults."""

from __future__ import annotations

import io
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests.data.made import png, write

from isoconv import rows
from isoconv.data import Dataset, Reading, load, load_splits, pack, picture_batches
from isoconv.data.classes import in_classes
from isoconv.data.mask_batches import MaskBatches
from isoconv.data.masks import Masks
from isoconv.data.nearest import places_back, places_of, put_back, taken
from isoconv.data.survey import usual_map_size
from isoconv.errors import ArgumentError, DataError, DataFileError

MASK = np.array([[0, 1, 2, 2], [0, 0, 1, 255]], np.uint8)
LABELS = np.where(MASK == 255, -1, MASK.astype(int))
PHOTO = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def picture(values: np.ndarray, **options: Any) -> bytes:
    """A picture file of some pixels, PNG unless `options` say otherwise."""
    out = io.BytesIO()
    Image.fromarray(values).save(out, **{"format": "PNG", **options})
    return out.getvalue()


def palette(values: np.ndarray, *, bits: int | None = None) -> bytes:
    """A PNG file with a palette, in which number 1 is red."""
    made = Image.frombytes("P", values.shape[::-1], values.tobytes())
    made.putpalette(
        [0, 0, 0, 255, 0, 0, *(k % 256 for k in range(6, 768))] if bits is None else [*range(12)]
    )
    out = io.BytesIO()
    made.save(out, "PNG", **({} if bits is None else {"bits": bits}))
    return out.getvalue()


def fill(folder: Path, *names: str, mask: bytes | None = None) -> Path:
    """Write pictures and their masks: of ``images/a`` its mask ``masks/a``."""
    for name in names:
        images, _, rest = name.rpartition("images")
        write(folder / f"{name}.jpg", picture(PHOTO, format="JPEG"))
        write(folder / f"{images}masks{rest}.png", picture(MASK) if mask is None else mask)
    return folder


def test_layouts_give_the_same(tmp_path: Path) -> None:
    """Parts above or below, other names of folders, `_mask` behind a name, folders below."""
    plain = load(fill(tmp_path / "plain", "images/a", "images/b"))
    assert plain.labels.dtype == np.int32
    np.testing.assert_array_equal(plain.labels[0], LABELS)
    assert plain.class_names == ("0", "1", "2")
    assert plain.numbered
    assert plain.of_places
    assert plain.paths == ("images/a.jpg", "images/b.jpg")
    assert plain.notes == ("pixels of 255 have no label: no loss and no score counts them",)
    assert plain.class_counts().tolist() == [6, 4, 4]
    below, above = ("train/images/a", "Val/images/b"), ("images/train/a", "images/Val/b")
    for name, layout in (("below", below), ("above", above)):
        parts = load_splits(fill(tmp_path / name, *layout), test=0)
        assert [len(each) for each in parts.parts.values()] == [1, 1]
        assert parts.train.digest() == plain.subset([0]).digest()
        assert load(tmp_path / name, "all").digest() == plain.digest()
    other = tmp_path / "other"
    write(other / "JPEGImages/x/a.jpg", picture(PHOTO, format="JPEG"))
    write(other / "SegmentationClass/x/a_mask.png", palette(MASK))
    write(other / "SegmentationClass/notes.txt", b"")
    found = load(other)
    assert found.digest() == plain.subset([0]).digest()
    assert "SegmentationClass: skipped: 1 .txt" in found.notes


def test_numbers_as_they_stand_in_the_file(tmp_path: Path) -> None:
    """Palettes of any bits, gray of 1 to 16 bits, GIF: the number is the class; 255 none."""
    two = (MASK == 1).astype(np.uint8)
    some = np.where(MASK == 255, 3, MASK).astype(np.uint8)
    cases: list[tuple[bytes, np.ndarray]] = [
        (palette(MASK), LABELS),
        (palette(some, bits=2), some),
        (png(some[..., None], bits=2), some),
        (png(two[..., None], bits=1), two),
        (png(some[..., None], bits=16), some),
        (picture(some, format="GIF"), some),
        (picture(some, format="TIFF"), some),
    ]  # fmt: skip
    for number, (content, expected) in enumerate(cases):
        data = load(fill(tmp_path / str(number), "images/a", mask=content))
        np.testing.assert_array_equal(data.labels[0], expected, err_msg=str(number))


def test_black_and_white_are_two_classes(tmp_path: Path) -> None:
    """0 and 255 alone are classes 0 and 1, which is told, unless more are named; 255 may be one."""
    cut = np.where(MASK == 1, 255, 0).astype(np.uint8)
    data = load(fill(tmp_path / "two", "images/a", mask=picture(cut)))
    np.testing.assert_array_equal(data.labels[0], MASK == 1)
    assert data.notes == ("the masks hold 0 and 255 alone: 255 is taken for class '1'",)
    named = fill(tmp_path / "named", "images/a", mask=picture(cut))
    (named / "classes.txt").write_text("ground\nroad\n")
    assert load(named).class_names == ("ground", "road")
    (named / "classes.txt").write_text("ground\nroad\ntree\n")
    assert load(named).labels.min() == -1
    (named / "classes.txt").unlink()
    (named / "classes.json").write_text(json.dumps({"255": "road", "0": "ground"}))
    listed = load(named)
    assert listed.class_names == ("ground", "road")
    assert listed.labels.max() == 1
    assert not listed.numbered


def test_masks_agree_on_255(tmp_path: Path) -> None:
    """Objects as 255 in some masks and numbered in others are refused, unless a file tells."""
    cut = np.where(MASK == 1, 255, 0).astype(np.uint8)
    root = fill(tmp_path, "images/a", "images/b", mask=picture(cut))
    fill(root, "images/c", mask=picture((MASK == 1).astype(np.uint8)))
    for names in (None, "ground\nroad\n"):
        if names is not None:
            (root / "classes.txt").write_text(names)
        with pytest.raises(DataFileError) as caught:
            load(root, skip_bad=True)
        said = str(caught.value)
        assert "found 2 of 0 and 255 alone, and 1 of other numbers:" in said
        assert "0 and 255 alone: masks/a.png, masks/b.png\n" in said
        assert "other numbers: masks/c.png (0, 1)\n" in said
    (root / "classes.txt").write_text("ground\nroad\ntree\n")
    assert load(root).notes[-1].endswith("counts them; 2 masks with nothing else but 0")
    (root / "classes.txt").unlink()
    (root / "classes.json").write_text('{"0": "ground", "1": "road", "255": null}')
    told = load(root)
    assert told.class_names == ("ground", "road")
    np.testing.assert_array_equal(told.labels[0], np.where(cut == 255, -1, 0))


def test_classes_meet_by_their_names(tmp_path: Path) -> None:
    """Labels of places are matched with classes by name, and by number where nobody named them."""
    root = fill(tmp_path, "images/a")
    (root / "classes.json").write_text('["ground", "road", "tree"]')
    data = load(root)
    turned = in_classes(data, ["tree", "ground", "road"], "the run")
    np.testing.assert_array_equal(turned.labels[0], [[1, 2, 0, 0], [1, 1, 2, -1]])
    with pytest.raises(DataError, match="unknown: 'tree'"):
        in_classes(data, ["ground", "road"], "the run")
    (root / "classes.json").unlink()
    named = in_classes(load(root), ["a", "b", "c"], "the run")
    assert named.class_names == ("a", "b", "c")
    with pytest.raises(DataError, match="numbers of the 2 classes"):
        in_classes(load(root), ["a", "b"], "the run")


def test_they_are_packed_and_kept_as_arrays(tmp_path: Path) -> None:
    """A packed file and an archive hold the same masks with their names."""
    root = fill(tmp_path / "land", "images/a", "images/b")
    (root / "classes.txt").write_text("ground\nroad\ntree\n")
    data = load(root)
    pack(root, tmp_path / "land.pack", progress=False)
    np.savez(tmp_path / "land.npz", images=data.images, labels=data.labels,
             class_names=np.array(data.class_names))  # fmt: skip
    for name in ("land.pack", "land.npz"):
        found = load(tmp_path / name)
        assert found.digest() == data.digest()
        assert found.class_names == ("ground", "road", "tree")
        assert found.of_places


def test_masks_go_with_their_pictures(tmp_path: Path) -> None:
    """A mask is scaled and cut as its picture: the pixel at the centre, in whole numbers."""
    root = fill(tmp_path, "images/a")
    data = load(root, size=(2, 2))
    np.testing.assert_array_equal(data.labels[0], [[1, 2], [0, 1]])
    grown = load(root, size=(4, 8))
    np.testing.assert_array_equal(grown.labels[0], LABELS.repeat(2, 0).repeat(2, 1))
    assert any("none are mixed" in line for line in grown.notes)
    again = load(root, reading=grown.reading)
    assert again.digest() == grown.digest()
    assert load(root, reading=Reading((2, 2), 3, 8)).labels.shape == (1, 2, 2)


SIDES = st.integers(1, 40)


@given(SIDES, SIDES, SIDES, SIDES)
def test_places_by_fractions(height: int, width: int, to_height: int, to_width: int) -> None:
    """Places of a scaled picture and back, beside fractions, and beside Pillow but for ties."""
    own, wanted = (height, width), (to_height, to_width)
    factor = min(Fraction(height, to_height), Fraction(width, to_width))
    for side, to, forth, back in zip(
        own, wanted, places_of(own, wanted), places_back(own, wanted), strict=True
    ):
        exact = [Fraction(side, 2) + (i + Fraction(1 - to, 2)) * factor for i in range(to)]
        assert forth.tolist() == [place.__floor__() for place in exact]
        there = [
            (Fraction(to, 2) + (y + Fraction(1 - side, 2)) / factor).__floor__()
            for y in range(side)
        ]
        assert back.tolist() == [place if 0 <= place < to else -1 for place in there]
    columns = np.tile(np.arange(width, dtype=np.uint8), (height, 1))
    fitted = ImageOps.fit(Image.fromarray(columns), wanted[::-1], Image.Resampling.NEAREST)
    assert abs(np.asarray(fitted).astype(int) - taken(columns, wanted)).max() <= 1
    seen = put_back(np.full(wanted, 7, np.uint8), own, 9)
    assert np.isin(seen, (7, 9)).all()


def test_usual_sizes() -> None:
    """One shape is kept, its longer side 128 at most; several become a square."""
    cases: list[tuple[dict[tuple[int, int], int], tuple[int, int] | None]] = [
        ({(128, 100): 3}, None),
        ({(480, 640): 3, (960, 1280): 1}, (96, 128)),
        ({(60, 80): 3, (120, 160): 1}, (60, 80)),
        ({(3000, 10): 1}, (128, 8)),
        ({(100, 70): 1, (300, 310): 1, (200, 99): 1}, (96, 96)),
    ]
    for sizes, expected in cases:
        assert usual_map_size(Counter(sizes)) == expected


def test_all_that_does_not_belong_together_is_told_at_once(tmp_path: Path) -> None:
    """Pictures and masks that are alone, other sizes, JPEG, colours, numbers that are no class."""
    root = fill(tmp_path, *(f"images/{name}" for name in "abcdefgh"))
    (root / "classes.txt").write_text("ground\nroad\ntree\n")
    (root / "masks/a.png").unlink()
    (root / "images/b.jpg").unlink()
    write(root / "masks/c.png", picture(MASK[:, :3].copy()))
    (root / "masks/d.png").unlink()
    write(root / "masks/d.jpg", picture(MASK, format="JPEG"))
    write(root / "masks/e.png", picture(PHOTO))
    write(root / "masks/f.png", picture(np.where(MASK == 2, 7, MASK).astype(np.uint8)))
    write(root / "images/g.png", picture(PHOTO))
    with pytest.raises(DataFileError) as caught:
        load(root)
    reasons = {each.path: each.reason for each in caught.value.files}
    expected = {
        "images/a.jpg": "a mask of its name is expected",
        "masks/b.png": "a picture of its name is expected",
        "masks/c.png": "expected 2 by 4 pixels, as its picture is; found 2 by 3",
        "masks/d.jpg": "masks must be PNG files",
        "masks/e.png": "RGB: colours are no class numbers",
        "masks/f.png": "found 7",
        "images/g.jpg": "one picture of a name",
        "images/g.png": "one picture of a name",
    }
    assert reasons.keys() == expected.keys()
    for path, text in expected.items():
        assert text in reasons[path]
        assert path in str(caught.value)
    left = load(root, skip_bad=True)
    assert left.paths == ("images/h.jpg",)
    assert [each.path for each in left.skipped] == sorted(expected)


def test_the_reason_of_many_is_told_once(tmp_path: Path) -> None:
    """Masks in JPEG, or none at all, for any number of pictures: the reason, then their names."""
    root = fill(tmp_path, *(f"images/{name}" for name in "abcdef"))
    for name in "abc":
        (root / f"masks/{name}.png").unlink()
        write(root / f"masks/{name}.jpg", picture(MASK, format="JPEG"))
    (root / "masks/d.png").write_bytes(b"")
    with pytest.raises(DataFileError) as caught:
        load(root)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{root}: 4 of 6 files cannot be read:"
    told = next(number for number, line in enumerate(lines) if "3 files: masks must be" in line)
    assert lines[told + 1 : told + 4] == [f"    {root}/masks/{name}.jpg" for name in "abc"]
    assert f"  {root}/masks/d.png: empty (0 bytes)" in lines
    for name in "abc":
        (root / f"masks/{name}.jpg").unlink()
    with pytest.raises(DataFileError, match=f"3 files: a mask of its name is expected in {root}"):
        load(root)


def test_refused(tmp_path: Path) -> None:
    """Folders of which it is not clear what is meant, class files that are none, gaps."""
    cases: dict[str, dict[str, bytes]] = {
        "one folder of pictures and one of masks": {"imgs/a.jpg": b"", "labels/a.png": b"x"},
        "one file with the names of classes": {"classes.txt": b"a", "classes.json": b"[]"},
        "cannot be read as JSON": {"classes.json": b"[" * 100_000},
        "expected a list of names": {"classes.json": b'{"a": 1}'},
        "each number once": {"classes.json": b'{"1": "a", "1": "b"}'},
        "names that differ": {"classes.txt": b"a\na"},
        "1 to 65536 names": {"classes.txt": b"\n"},
        "line 2 is empty": {"classes.txt": b"a\n \nb\nc\n\n"},
        "found something else": {"classes.json": b'{"0": "a", "1": null}'},
        "found 255 alone": {"masks/a.png": picture(np.full_like(MASK, 255))},
        "count the classes from 0": {"masks/a.png": picture(np.where(MASK > 1, 9, MASK))},
        "the folders that images has": {"images/train/b.jpg": b""},
        "not a whole image": {"masks/a.png": picture(MASK)[:40]},
    }
    for number, (text, files) in enumerate(cases.items()):
        root = fill(tmp_path / str(number), "images/a")
        for name, content in files.items():
            write(root / name, content)
        with pytest.raises(DataError, match=text):
            load(root)
    with pytest.raises(ArgumentError, match="from 1 to 8192"):
        load(root, size=0)
    with pytest.raises(DataError, match="in 0 … 1, or be -1"):
        Dataset.from_arrays(np.zeros((1, 2, 4), np.uint8), MASK[None] % 3, ["a", "b"])


def test_masks_that_are_not_found(tmp_path: Path) -> None:
    """Pictures in `images` alone, or beside masks of another name, are no classes; tests may be."""
    known = "masks or mask or labels or annotations or segmentationclass"
    cases: list[tuple[tuple[str, ...], tuple[str, ...], str]] = [
        (("images/a.png",), (), f"the masks of images in a folder called {known}; found no such"),
        ((), ("images",), "found no such folder, nor pictures"),
        (("images/a.png",), ("masks",), "of the pictures in images; found none in masks$"),
        (("images/a.png", "labels/a.txt"), (), "found none in labels$"),
        ((), ("images", "masks"), "found none in masks, nor pictures in images"),
        (("train/images/a.png",), ("val",), "train: expected the masks of images"),
        (
            ("images/a.png", "images/b.png", "images/c.png", "truth/a.png", "truth/b.png"), (),
            "truth with 2 of its 3 names: if these are the masks, call it masks",
        ),
    ]  # fmt: skip
    for number, (files, folders, text) in enumerate(cases):
        root = tmp_path / str(number)
        for folder in folders:
            (root / folder).mkdir(parents=True)
        for name in files:
            write(root / name, picture(PHOTO))
        with pytest.raises(DataFileError, match=text):
            load(root)
    for name in ("images/a", "images/b", "cats/c", "cats/b"):
        write(tmp_path / "classes" / f"{name}.png", picture(PHOTO))
    assert load(tmp_path / "classes").class_names == ("cats", "images")
    write(tmp_path / "parts/test/images/a.png", picture(PHOTO))
    parts = load(fill(tmp_path / "parts", "train/images/a", "val/images/b"), "all")
    assert len(parts) == 2
    assert "test is left out: it has no pictures with masks" in parts.notes


@pytest.mark.slow
def test_a_folder_is_packed_some_masks_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same data as in memory, of what can be read; what goes away meanwhile is an error."""
    names = [f"{part}/images/{number}" for part in ("train", "val") for number in range(9)]
    source = fill(tmp_path / "source", *names)
    write(source / "classes.txt", b"grass\nroad\nwater\n")
    most: list[int] = []
    usual = Masks.all

    def counted(self: Masks) -> Any:
        """Notes how many there are."""
        most.append(len(self.files))
        return usual(self)

    monkeypatch.setattr(picture_batches, "LEAST", 4)
    monkeypatch.setattr(picture_batches, "BATCH", 1)
    monkeypatch.setattr(rows, "CHUNK", 4 * 8 * 2)
    with monkeypatch.context() as patch:
        patch.setattr(Masks, "all", counted)
        pack(source, tmp_path / "whole.pack", progress=False)
    assert max(most) == 2
    for part, data in load_splits(tmp_path / "whole.pack", test=0).parts.items():
        plain = load_splits(source, test=0).parts[part]
        assert data.digest() == plain.digest()
        for fact in ("paths", "class_names", "numbered", "reading", "notes"):
            assert getattr(data, fact) == getattr(plain, fact)
    write(source / "train/images/3.jpg", b"no picture")
    write(source / "train/masks/5.png", b"no mask")
    with pytest.raises(DataFileError, match=r"2 of \d+ files cannot be read"):
        pack(source, tmp_path / "bad.pack", progress=False)
    pack(source, tmp_path / "bad.pack", skip_bad=True, progress=False)
    whole = load_splits(source, test=0, skip_bad=True)
    found = load_splits(tmp_path / "bad.pack", test=0)
    assert [each.path for each in found.skipped] == [each.path for each in whole.skipped]
    assert found.train.digest() == whole.train.digest()

    def gone(self: MaskBatches, images: Any) -> Any:
        """A mask is removed when all pictures are written."""
        (source / "val/masks/8.png").unlink()
        return ends(self, images)

    ends = MaskBatches.end
    out = tmp_path / "gone.pack"
    with monkeypatch.context() as patch:
        patch.setattr(MaskBatches, "end", gone)
        with pytest.raises(DataFileError, match=r"8\.png: there is no such file") as caught:
            pack(source, out, skip_bad=True, progress=False)
    assert "the same command goes on from there" in str(caught.value.__notes__)
    assert not out.exists()
    write(source / "val/masks/8.png", picture(MASK))
    again = pack(source, out, skip_bad=True, progress=False)
    assert again.kept
    assert out.read_bytes() == (tmp_path / "bad.pack").read_bytes()
