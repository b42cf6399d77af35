"""Names, paths and arrays as sources."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.classics import cifar_files, write_idx

from isoconv import memory
from isoconv.data import Dataset, Splits, load, load_splits, pack
from isoconv.errors import ArgumentError, DataError, DataFileError, NotEnoughMemoryError

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (12, 6, 5)).astype(np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 4


def test_unknown_name_lists_the_known_ones() -> None:
    """A name that is neither known nor a path lists what is known."""
    with pytest.raises(DataError, match=r"no data called 'nope'.*fashion-sample, mnist.*cifar100"):
        load("nope")


def test_name_that_was_not_fetched_says_how(tmp_path: Path) -> None:
    """A known name without its files says which command fetches them, ready to be pasted."""
    folder = tmp_path / "Ann's data"
    with pytest.raises(DataError) as caught:
        load("mnist", folder=folder)
    command = re.search("run `(.*?)`", str(caught.value))
    assert command is not None
    words = ["isoconv", "data", "fetch", "mnist", "--folder", str(folder)]
    assert shlex.split(command[1]) == words
    assert f"isoconv.data.fetch('mnist', {str(folder)!r})" in str(caught.value)


def test_bad_split_is_refused() -> None:
    """A split is one of the parts, or all of them."""
    message = "split must be one of train, validation, test, all; got 'valid'"
    with pytest.raises(ArgumentError, match=message):
        load("fashion-sample", "valid")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, (3, 4, 5), (2.5, 2), 10**6, 2.5, "64"])
def test_bad_size_is_refused(size: Any) -> None:
    """A size is a side or a pair of sides."""
    with pytest.raises(ArgumentError, match="size must be a side or"):
        load("fashion-sample", size=size)


def test_size_is_for_image_folders() -> None:
    """Other data are not scaled, and that is said."""
    with pytest.raises(ArgumentError, match="only folders of images are scaled"):
        load("fashion-sample", "test", size=32)


def test_foreign_folder_lists_the_kinds(tmp_path: Path) -> None:
    """A folder of none of the kinds says what is expected and what it holds."""
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(DataFileError, match=r"expected one of[\s\S]*idx[\s\S]*readme.txt"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match="found an empty folder"):
        load(tmp_path / "empty")


def test_folder_of_two_kinds_is_refused(tmp_path: Path) -> None:
    """Which of two data sets in one folder is meant cannot be told; pictures beside one can."""
    write_idx(tmp_path)
    (tmp_path / "beside").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "beside" / "x.png")
    assert load(tmp_path).image_shape == (6, 5, 1)
    for name, content in cifar_files(10).items():
        (tmp_path / name).write_bytes(content)
    said = r"expected one kind of data; found a folder of CIFAR .* and a folder of idx files"
    with pytest.raises(DataFileError, match=said):
        load(tmp_path)


def save(path: Path, **parts: int) -> Path:
    """An .npz file with so many samples of each part, of three classes; pixels tell the part."""
    arrays: dict[str, Any] = {}
    for place, (part, count) in enumerate(parts.items()):
        arrays[f"x_{part}"] = np.full((count, 2, 2), 10 * place, np.uint8) + np.arange(
            count, dtype=np.uint8
        ).reshape(-1, 1, 1)
        arrays[f"y_{part}"] = np.arange(count) % 3
    np.savez(path, **arrays)
    return path


COMBINATIONS = [
    # parts of the source; then sizes of train, validation and test by default
    ({"train": 30}, (24, 3, 3)),
    ({"train": 30, "val": 6}, (27, 6, 3)),
    ({"train": 30, "test": 5}, (27, 3, 5)),
    ({"train": 30, "val": 6, "test": 5}, (30, 6, 5)),
]


@pytest.mark.parametrize(("parts", "sizes"), COMBINATIONS)
def test_parts_that_lack_are_held_out(
    tmp_path: Path, parts: dict[str, int], sizes: tuple[int, int, int]
) -> None:
    """Parts that there are stay as they are; the others come out of the training part."""
    path = save(tmp_path / "x.npz", **parts)
    splits = load_splits(path)
    assert tuple(len(part) for part in splits if part is not None) == sizes
    train = load(path)
    assert splits.validation is not None
    assert splits.test is not None
    for part, given in ((splits.validation, "validation"), (splits.test, "test")):
        if given[:3] in parts or given in parts:
            assert part.digest() == load(path, given).digest()  # type: ignore[arg-type]
        else:
            assert np.bincount(part.labels).tolist() == [1, 1, 1]
            assert set(part.paths) <= set(train.paths)
    own = [part for part in splits if part is not None and part.paths[0].startswith("train/")]
    assert sorted(path for part in own for path in part.paths) == sorted(train.paths)
    assert list(splits.parts) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("fractions", "sizes"),
    [
        ({"validation": 0, "test": 0}, (30, None, None)),
        ({"validation": 0.2, "test": 0}, (24, 6, None)),
        ({"validation": 0, "test": 0.5}, (15, None, 15)),
        ({"validation": 0.3, "test": 0.3}, (12, 9, 9)),
    ],
)
def test_fractions(
    tmp_path: Path, fractions: dict[str, float], sizes: tuple[int | None, ...]
) -> None:
    """So much of each class is held out; 0 gives no such part."""
    splits = load_splits(save(tmp_path / "x.npz", train=30), **fractions)  # type: ignore[arg-type]
    assert tuple(None if part is None else len(part) for part in splits) == sizes
    assert set(splits.parts) == {
        name for name, size in zip(("train", "validation", "test"), sizes, strict=True) if size
    }


def test_test_part_does_not_depend_on_validation(tmp_path: Path) -> None:
    """What is held out to test with is the same, however much is held out to choose by."""
    path = save(tmp_path / "x.npz", train=60)
    tests = [load_splits(path, validation=share).test for share in (0, 0.1, 0.5)]
    assert len({part.digest() for part in tests if part is not None}) == 1
    again = load_splits(path, seed=1).test
    assert again is not None
    assert tests[0] is not None
    assert again.digest() != tests[0].digest()


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0, float("nan")])
@pytest.mark.parametrize("part", ["validation", "test"])
def test_bad_fractions_are_refused(tmp_path: Path, part: str, share: float) -> None:
    """A fraction is refused even where the source has the part."""
    path = save(tmp_path / "x.npz", train=30, val=3, test=3)
    with pytest.raises(ArgumentError, match=f"{part} must be a finite number at least 0"):
        load_splits(path, **{part: share})  # type: ignore[arg-type]


def test_fractions_that_leave_or_hold_out_nothing(tmp_path: Path) -> None:
    """Fractions of 1 together, and too few samples for a part, are errors."""
    with pytest.raises(ArgumentError, match=r"together below 1; got validation=0\.5 and test=0\.5"):
        load_splits(save(tmp_path / "x.npz", train=30), validation=0.5, test=0.5)
    message = r"test=0.1 must hold out a sample, or be 0 .*3 samples to train on, of 3 classes"
    with pytest.raises(ArgumentError, match=message):
        load_splits(save(tmp_path / "x.npz", train=3))
    assert len(load_splits(save(tmp_path / "x.npz", train=3), validation=0, test=0).train) == 3


def test_parts_must_go_together(tmp_path: Path) -> None:
    """Other shapes, dtypes, and labels of another kind are refused by the names of both parts."""
    path, out = tmp_path / "x.npz", tmp_path / "x.pack"
    places, targets = np.zeros((len(IMAGES), 6, 5), int), np.ones((len(IMAGES), 2))
    for labels, images, others, told in (
        (LABELS, IMAGES[:, :3], LABELS, "images must have the same height, width and channels in"),
        (LABELS, IMAGES / 255, LABELS, "images must be all uint8 or all floats, of one unit"),
        (LABELS, IMAGES, LABELS / 2, "all parts must have classes, or all float targets"),
        (targets, IMAGES, targets[:, :1], "labels must have the same shape in all parts"),
        (LABELS, IMAGES, places, "all parts must have classes, or all float targets"),
    ):
        for part, title in (("train", "training"), ("val", "validation")):
            arrays: dict[str, Any] = {
                f"x_{part}": IMAGES,
                f"y_{part}": labels,
                "x_test": images,
                "y_test": others,
            }
            np.savez(path, **arrays)
            ways: list[Callable[[], object]] = [
                lambda: load(path, "all"), lambda: pack(path, out, progress=False)
            ]  # fmt: skip
            for way in ways if part == "val" else [lambda: load_splits(path), *ways]:
                with pytest.raises(DataError, match=told) as caught:
                    way()
                assert f" in the {title} part and " in str(caught.value)
                assert str(caught.value).endswith(" in the test part")
    named: dict[str, Any] = {"x_val": IMAGES, "y_val": np.where(LABELS % 2, "cat", "dog"),
             "x_test": IMAGES, "y_test": np.where(LABELS % 2, "cow", "dog")}  # fmt: skip
    np.savez(path, **named)
    pack(path, tmp_path / "x.pack", progress=False)
    for data in (load(path, "all"), load(tmp_path / "x.pack", "all")):
        assert data.class_names == ("cat", "dog", "cow")
        wanted = [*named["y_val"], *named["y_test"]]
        assert [data.class_names[number] for number in data.labels] == wanted


def test_classes_of_parts_are_those_of_training(tmp_path: Path) -> None:
    """Numbered classes are counted over all parts; all parts name them alike."""
    path = tmp_path / "x.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS % 2, x_test=IMAGES, y_test=LABELS)
    splits = load_splits(path)
    assert {part.class_names for part in splits.parts.values()} == {("0", "1", "2", "3")}
    assert all(part.numbered for part in splits.parts.values())
    assert load(path).class_names == ("0", "1")


def test_all_samples_of_a_source(tmp_path: Path) -> None:
    """The split "all" is every part, one behind the other, with paths that tell the part."""
    data = load(save(tmp_path / "x.npz", train=4, val=2, test=3), "all")
    assert data.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 10, 11, 20, 21, 22]
    assert data.paths[3:6] == ("train/3", "validation/0", "validation/1")
    whole = load((IMAGES, LABELS), "all")
    assert whole.digest() == load((IMAGES, LABELS)).digest()


def test_pair_of_arrays_is_split_by_seed() -> None:
    """Arrays have no other part: samples of each class are held out."""
    splits = load_splits((IMAGES, LABELS), seed=1)
    assert [len(part) for part in splits.parts.values()] == [4, 4, 4]
    again = load_splits((IMAGES, LABELS), seed=1)
    assert [part.paths for part in splits.parts.values()] == [
        part.paths for part in again.parts.values()
    ]
    with pytest.raises(DataError, match="has no part 'test'; it has train"):
        load((IMAGES, LABELS), "test")


def test_data_set_is_taken_as_it_is() -> None:
    """A Dataset is its own training part; samples without paths get their numbers."""
    data = Dataset.from_arrays(IMAGES, LABELS)
    loaded = load(data)
    assert loaded.images is data.images
    assert loaded.labels is data.labels
    assert loaded.paths[:2] == ("train/0", "train/1")
    assert load(loaded) is loaded


def test_anything_else_is_refused() -> None:
    """What is neither name, path, data set nor pair is refused."""
    with pytest.raises(DataError, match=r"a name, a path, a Dataset or a pair.*got 3"):
        load(3)  # type: ignore[arg-type]


def test_data_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that do not fit into memory are refused by name before they are decoded."""
    header = bytes([0, 0, 8, 3]) + np.array(IMAGES.shape, ">u4").tobytes()
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx/train-images-idx3-ubyte").write_bytes(header + IMAGES.tobytes())
    header = bytes([0, 0, 8, 1]) + np.array(LABELS.shape, ">u4").tobytes()
    (tmp_path / "idx/train-labels-idx1-ubyte").write_bytes(header + LABELS.tobytes())
    (tmp_path / "pictures/one").mkdir(parents=True)
    Image.fromarray(IMAGES[0]).save(tmp_path / "pictures/one/first.png")
    np.savez_compressed(tmp_path / "data.npz", images=IMAGES, labels=LABELS)
    monkeypatch.setattr(memory, "_MODEST", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 20)
    for name, message in (
        (
            "idx",
            r"reading .*train-images-idx3-ubyte needs at least 360 bytes of .*: data for the "
            r"declared shape \(12, 6, 5\) 360 bytes",
        ),
        (
            "pictures",
            r"the pictures needs at least 30 bytes of .*: 1 images of \(6, 5, 1\)",
        ),
        ("data.npz", r"data\.npz, array 'images' needs at least"),
    ):
        with pytest.raises(NotEnoughMemoryError, match=message):
            load(tmp_path / name)


def splits_of(train: list[int], validation: list[int], labels: list[int]) -> Splits:
    """Parts of one-pixel images with these values; labels are those of training."""
    first = Dataset.from_arrays(np.array(train, np.uint8).reshape(-1, 1, 1), labels, ["a", "b"])
    pixels = np.array(validation, np.uint8).reshape(-1, 1, 1)
    return Splits(first, Dataset.from_arrays(pixels, [0] * len(validation), ["a", "b"]), None)


def test_warnings_of_parts() -> None:
    """Classes of fewer than 2 samples, and samples that are in training as well, are told."""
    assert splits_of([1, 2, 3, 4], [1, 9, 1], [0, 0, 1, 1]).warnings() == [
        "1 class with fewer than 2 samples in the validation part: b (0); figures of such a class "
        "mean little",
        "2 of the 3 samples of the validation part are also in the training part: figures on them "
        "are too good",
    ]
    assert splits_of([1, 2], [9], [0, 1]).warnings() == [
        "2 classes with fewer than 2 samples in the train part: a (1), b (1); figures of such a "
        "class mean little",
        "2 classes with fewer than 2 samples in the validation part: a (1), b (0); figures of such "
        "a class mean little",
    ]


def test_copies_are_not_torn_apart() -> None:
    """Where the parts are made here, no picture of the test part is one of the training part."""
    images = np.concatenate([IMAGES] * 3)
    splits = load_splits((images, np.tile(np.arange(12) % 2, 3)), validation=0.2, test=0.2)
    assert [len(part) for part in splits.parts.values()] == [24, 6, 6]
    assert splits.warnings() == []


def test_a_picture_under_two_classes(tmp_path: Path) -> None:
    """The same pixels below two folders are told, with both paths."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(IMAGES[:6]):
            Image.fromarray(pixels + (name == "b")).save(tmp_path / name / f"{number}.png")
    assert not load_splits(tmp_path, validation=0, test=0).warnings()
    Image.fromarray(IMAGES[3]).save(tmp_path / "b" / "again.bmp")
    (said,) = load_splits(tmp_path, validation=0, test=0).warnings()
    assert said == (
        "1 picture stands under more than one class: a/3.png (class 'a') and b/again.bmp (class "
        "'b')"
    )


def test_no_warnings() -> None:
    """Enough samples of each class that are all different need no warning; nor do targets."""
    fine = Dataset.from_arrays(IMAGES, LABELS)
    assert Splits(fine, None, None).warnings() == []
    free = Dataset.from_arrays(IMAGES, np.float32(LABELS))
    other = Dataset.from_arrays(IMAGES + np.uint8(1), np.float32(LABELS))
    assert Splits(free, None, other).warnings() == []
