"""Labels as people have them: names and numbers of classes, targets, and what is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.data import Dataset, Reading, load, load_splits
from isoconv.errors import DataError


def gray(count: int) -> np.ndarray[Any, Any]:
    """Images that differ."""
    return np.arange(count * 16, dtype=np.uint8).reshape(count, 4, 4)


class Column:
    """A column of a table: an array to NumPy, and nothing else that is known here."""

    def __init__(self, values: list[Any]) -> None:
        self.values = np.array(values, object)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self.values


@pytest.mark.parametrize(
    "labels",
    [
        ["dog", "cat", "dog"],
        ("dog", "cat", "dog"),
        np.array(["dog", "cat", "dog"]),
        np.array(["dog", "cat", "dog"], object),
        np.array(["dog", "cat", "dog"], np.dtypes.StringDType()),
        np.array([b"dog", b"cat", b"dog"]),
        [b"dog", b"cat", b"dog"],
        Column(["dog", "cat", "dog"]),
    ],
    ids=["list", "tuple", "U", "object", "StringDType", "S", "bytes", "column"],
)
def test_texts_are_names_of_classes(labels: object) -> None:
    """They are numbered in the order of their characters, and the names are known as such."""
    data = Dataset.from_arrays(gray(3), labels)  # type: ignore[arg-type]
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [1, 0, 1]
    assert data.labels.dtype == np.int32
    assert not data.numbered


def test_order_of_names() -> None:
    """The order is that of the characters' numbers: no locale, no numbers inside of names."""
    data = Dataset.from_arrays(gray(5), ["10", "2", "b", "B", "ä"])
    assert data.class_names == ("10", "2", "B", "b", "ä")


def test_texts_and_class_names() -> None:
    """Given class names decide on the numbers, and may name classes without a sample."""
    data = Dataset.from_arrays(gray(2), ["dog", "cat"], ["emu", "dog", "cat"])
    assert data.labels.tolist() == [1, 2]
    assert data.class_names == ("emu", "dog", "cat")


@pytest.mark.parametrize(
    "labels",
    [
        [2, 0, 1],
        np.array([2, 0, 1], np.uint64),
        np.array([2, 0, 1], ">i2"),
        Column([2, 0, 1]),
        Column([np.int64(2), 0, np.uint8(1)]),
    ],
    ids=["list", "uint64", "big-endian", "column", "numbers of NumPy"],
)
def test_numbers_are_classes(labels: object) -> None:
    """Whole numbers of every kind are class numbers, which nobody named."""
    data = Dataset.from_arrays(gray(3), labels)  # type: ignore[arg-type]
    assert data.labels.tolist() == [2, 0, 1]
    assert data.class_names == ("0", "1", "2")
    assert data.numbered


@pytest.mark.parametrize("labels", [[True, False], np.array([True, False]), Column([True, False])])
def test_flags_are_two_classes(labels: object) -> None:
    """False is class 0, and True class 1."""
    data = Dataset.from_arrays(gray(2), labels)  # type: ignore[arg-type]
    assert data.labels.tolist() == [1, 0]
    assert data.class_names == ("0", "1")


ASKED: list[tuple[object, list[str] | None, str]] = [
    (range(1, 11), None, r"got 10 different ones, 1 … 10\. Give labels - 1 to count from 0; "
     r"11 names \(class_names\), for the classes 0 … 10, .*labels\.astype\(str\)"),
    ([0, 5, 9], None, r"got 3 different ones, 0, 5, 9\. Give 10 names \(class_names\)"),
    ([*range(20), 30], None, r"got 21 different ones, 0, 1, 2, 3, 4, 5, 6, 7, … 30 \(21 in all\)"),
    ([1, 1], None, r"got 1 alone\. Give labels - 1"),
    ([True, True], None, r"got 1 alone\. "),
    ([1, 2], ["a", "b"], r"lie in 0 … 1; sample 1 has 2: labels - 1 count from 0"),
    ([-1, 1], None, r"0 … 65535; sample 0 has -1: texts \(labels\.astype\(str\)\) make"),
    ([[0], [1]], None, r"shape \(N,\).*int64 of shape \(2, 1\): give labels\[:, 0\]"),
    ([["a"], ["b"]], None, r"texts of shape \(2, 1\): give labels\[:, 0\]"),
    ([[0, 1], [1, 0]], None, r"int64 of shape \(2, 2\), rows of one 1 each: give "
     r"labels\.argmax\(axis=1\) for classes, or labels\.astype\(numpy\.float32\) for targets"),
    ([[0, 2], [1, 0]], None, r"got int64 of shape \(2, 2\)$"),
    (["a", "c"], ["a", "b"], r"among the class names, a, b; sample 1 has 'c'"),
    (["a", 1], None, r"sample 0 has 'a', sample 1 has 1$"),
    (["a", None], None, r"all texts, all whole numbers or all floats; .*sample 1 has None"),
    (Column([1, float("nan")]), None, r"sample 0 has 1, sample 1 has nan"),
    (Column([None, "a"]), None, r"; sample 0 has None"),
    (["a", " "], None, r"labels must name a class; sample 1 has ' '"),
    ([b"a", b"\xff"], None, r"text in UTF-8; sample 1 has b'\\xff'"),
    ([0.0, 1.0], ["a", "b"], r"got float64 targets \(all are whole: give labels\.astype\(int\)"),
    ([0.5, 1.0], ["a", "b"], r"class names need labels that are .*; got float64 targets$"),
    (np.array(["2020-01-01"], "M8[D]"), None, r"real numbers; got datetime64"),
    ([1j, 1], None, r"real numbers; got complex128"),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "names", "message"), ASKED)
def test_what_could_mean_two_things_is_asked(
    labels: Any, names: list[str] | None, message: str
) -> None:
    """The message says what was found and what to give for each meaning."""
    values = list(labels) if isinstance(labels, range) else labels
    count = len(np.asarray(values, object))
    with pytest.raises(DataError, match=message):
        Dataset.from_arrays(gray(count), values, names)


def test_what_the_message_says_works() -> None:
    """Each way out of labels that count from 1 gives the classes that it says."""
    labels = np.array([1, 3, 2, 3])
    less = Dataset.from_arrays(gray(4), labels - 1)
    assert (less.labels.tolist(), less.class_names) == ([0, 2, 1, 2], ("0", "1", "2"))
    named = Dataset.from_arrays(gray(4), labels, ["-", "x", "y", "z"])
    assert named.labels.tolist() == [1, 3, 2, 3]
    texts = Dataset.from_arrays(gray(4), labels.astype(str))
    assert (texts.labels.tolist(), texts.class_names) == ([0, 2, 1, 2], ("1", "2", "3"))


def classifier() -> nn.Module:
    """Three outputs for images of `gray`."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3))


def trainer(**settings: Any) -> ic.Trainer:
    """One that trains `classifier` in silence."""
    return ic.Trainer(classifier(), batch_size=6, progress=False, **settings)


def test_labels_of_places(tmp_path: Path) -> None:
    """Numbers of the images' own shape are classes of their places; -1 says that there is none."""
    masks = np.arange(48).reshape(3, 4, 4) % 5 - 1
    for given in (masks, masks.astype(np.int8), masks >= 0):
        data = Dataset.from_arrays(gray(3), given)
        assert data.labels.dtype == np.int32
        assert not data.class_names
        assert data.has_maps
        np.testing.assert_array_equal(data.labels, given)
    np.savez(tmp_path / "masks.npz", images=gray(3), labels=masks)
    assert load(tmp_path / "masks.npz").digest() == Dataset.from_arrays(gray(3), masks).digest()
    refused: list[tuple[Any, Any, str]] = [
        (masks - 1, None, "places must lie in 0 … 65535, or be -1 for none; sample 0 has -2"),
        (masks.astype(np.uint64) + 2**16, None, "sample 0 has"),
        (masks, ["a", "b"], "labels of places must lie in 0 … 1"),
        (masks[:, :3], None, r"labels must be class numbers or names of shape \(N,\)"),
    ]  # fmt: skip
    for labels, names, rule in refused:
        with pytest.raises(DataError, match=rule):
            Dataset.from_arrays(gray(3), labels, names)


def test_parts_that_are_matched_may_lack_classes() -> None:
    """Held-out pairs and data for a trained model need not have every class, by number or name."""
    run = trainer().fit((gray(6), [0, 1, 2] * 2), (gray(2), [2, 0]), (gray(1), [1]), epochs=1)
    assert run.test is not None
    assert ic.evaluate(run.model, (gray(2), [0, 2])).confusion.sum() == 2
    run = trainer().fit((gray(6), ["a", "b", "c"] * 2), (gray(2), ["c", "a"]), epochs=1)
    assert run.model.class_names == ("a", "b", "c")
    measured = ic.evaluate(run.model, (gray(2), ["c", "c"]))
    assert measured.confusion.sum(axis=1).tolist() == [0, 0, 2]
    # A model that knows its classes is trained further on some of them.
    ic.Trainer(run.model, batch_size=2, progress=False, normalise="anew").fit(
        (gray(2), [0, 2]), epochs=1
    )


def test_pairs_to_train_on_are_asked() -> None:
    """Numbers that leave out classes in all parts are refused; other parts may fill the gap."""
    with pytest.raises(DataError, match="whole numbers as labels must count"):
        trainer().fit((gray(4), [0, 2, 0, 2]), (gray(1), [0]), epochs=1)
    trainer().fit((gray(4), [0, 2, 0, 2]), (gray(1), [1]), epochs=1)


def test_float_labels_of_a_classifier_are_asked() -> None:
    """The loss tells whether floats are meant as targets; where it does not, both are named."""
    hints = ((np.arange(3.0), r"labels\.astype\(int\)"), (np.eye(3), r"labels\.argmax\(axis=1\)"))
    for labels, hint in hints:
        with pytest.raises(DataError, match=hint + r".*; numbers are learned with loss='mse'"):
            trainer().fit((gray(3), labels), epochs=1)
    trainer(loss="bce").fit((gray(3), np.eye(3)), epochs=1)


def test_npz(tmp_path: Path) -> None:
    """Texts are classes; numbers with gaps need class_names; a test part may lack some."""
    path = tmp_path / "x.npz"
    np.savez(path, images=gray(3), labels=np.array(["b", "a", "b"]))
    assert load(path).class_names == ("a", "b")
    np.savez(path, images=gray(3), labels=[1, 2, 3])
    for read in (load, load_splits):
        with pytest.raises(DataError, match=r"x\.npz: whole numbers .*1 … 3\. .*\(class_names\)"):
            read(path)
    assert load(path, "all").labels.tolist() == [1, 2, 3]
    np.savez(path, images=gray(3), labels=[1, 2, 3], class_names=list("wxyz"))
    assert load(path).class_names == tuple("wxyz")
    np.savez(path, x_train=gray(3), y_train=[0, 1, 2], x_test=gray(2), y_test=[2, 0])
    train, _, test = load_splits(path, validation=0)
    assert test is not None
    assert train.class_names == test.class_names == ("0", "1", "2")
    assert load(path, "test").labels.tolist() == [2, 0]


@pytest.mark.parametrize("beyond", [2**63, -(2**63) - 1, 2**64, 2**70])
@pytest.mark.parametrize("kind", [list, tuple, lambda labels: np.array(labels, object)])
def test_numbers_of_too_many_bits(beyond: int, kind: Any) -> None:
    """NumPy makes floats or objects of them: neither is taken for targets or for names."""
    with pytest.raises(DataError, match=rf"must have 64 bits at most.* sample 1 has {beyond}$"):
        load((gray(3), kind([0, beyond, 1])))
    # Large targets are floats as they are written.
    assert load((gray(2), [0.0, float(beyond)])).labels.dtype == np.float32


def test_a_pair_of_which_all_is_asked() -> None:
    """As of a file, numbers may leave some out; of what is to be learned from they may not."""
    pair = gray(2), [0, 2]
    assert load(pair, "all").class_names == ("0", "1", "2")
    for read in (load, load_splits):
        with pytest.raises(DataError, match=r"must count the classes from 0"):
            read(pair)


def test_no_names_at_all() -> None:
    """An empty list of names is none, whatever the labels are."""
    for labels in ([0, 1], ["a", "b"]):
        with pytest.raises(DataError, match="class_names must name a class at least, or be None"):
            Dataset.from_arrays(gray(2), labels, [])


def test_images_with_labels_of_places_keep_their_size(tmp_path: Path) -> None:
    """They are not scaled to a model's size, for their labels would stay; channels may change."""
    masks = np.arange(48).reshape(3, 4, 4) % 5
    np.savez(tmp_path / "masks.npz", images=gray(3), labels=masks)
    coloured = load(tmp_path / "masks.npz", reading=Reading((4, 4), 3, 8))
    assert coloured.image_shape == (4, 4, 3)
    with pytest.raises(DataError, match="labels are of places cannot be made 8x8"):
        load(tmp_path / "masks.npz", reading=Reading((8, 8), 1, 8))


def test_classes_of_places_that_no_signed_number_holds_are_out_of_range() -> None:
    """The greatest unsigned number is not -1, and the message has the number that was given."""
    images = np.zeros((2, 2, 2), np.uint8)
    for number in (2**64 - 1, 2**63, 65536):
        masks = np.zeros((2, 2, 2), np.uint64)
        masks[1, 0, 1] = number
        with pytest.raises(DataError, match=rf"-1 for none; sample 1 has {number}$"):
            Dataset.from_arrays(images, masks)
