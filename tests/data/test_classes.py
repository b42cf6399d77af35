"""Classes of two data sets meet by their names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoconv.data import Dataset
from isoconv.data.classes import all_as_one, in_classes
from isoconv.data.dataset import dataset_of
from isoconv.errors import DataError


def dataset(labels: list[int], names: list[str] | None = None, name: str = "new") -> Dataset:
    """Images whose only pixel is their number."""
    pixels = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1)
    return dataset_of(pixels, labels, names, name, complete=False)


def targets(values: list[float]) -> Dataset:
    """A data set without classes."""
    return Dataset.from_arrays(
        np.zeros((len(values), 1, 1), np.uint8), np.array(values, np.float32)
    )


CASES = [
    # labels, their names, the names to match, labels in them
    ([0, 1, 2], ["a", "b", "c"], ["a", "b", "c"], [0, 1, 2]),
    ([0, 1, 2], ["a", "b", "c"], ["c", "a", "b"], [1, 2, 0]),
    ([0, 1], ["dog", "cat"], ["cat", "cow", "dog"], [2, 0]),
    ([1, 1], ["cow", "cat"], ["cat"], [0, 0]),  # no sample is a cow
    ([0, 2, 1], None, ["a", "b", "c"], [0, 2, 1]),  # numbers
    ([1, 1], None, ["a", "b", "c"], [1, 1]),
    ([0, 1], ["1", "0"], ["0", "1"], [1, 0]),  # names, though they look like numbers
]


@pytest.mark.parametrize(("labels", "names", "wanted", "expected"), CASES)
def test_labels_in_other_classes(
    labels: list[int], names: list[str] | None, wanted: list[str], expected: list[int]
) -> None:
    """Reordered, missing and numbered classes get the numbers of the wanted ones."""
    found = in_classes(dataset(labels, names), wanted, "the run")
    assert found.labels.tolist() == expected
    assert found.labels.dtype == np.int32
    assert not found.labels.flags.writeable
    assert found.class_names == tuple(wanted)
    assert not found.numbered
    assert found.images.reshape(-1).tolist() == list(range(len(labels)))


def test_nothing_to_match_is_left_alone() -> None:
    """Equal classes and float targets are given back as they are."""
    same = dataset([0, 1], ["a", "b"])
    assert in_classes(same, ["a", "b"], "the run") is same
    free = targets([0.5, 1.5])
    assert in_classes(free, ["a"], "the run") is free
    assert in_classes(same, [], "the run") is same


def test_unknown_classes_are_named() -> None:
    """Samples of a class that is not known are an error with both lists."""
    data = dataset([0, 1, 3, 3], ["a", "b", "unused", "z\n"])
    message = r"new: every class must be one of the run; unknown: 'b', 'z\\n'; the run knows: 'a'$"
    with pytest.raises(DataError, match=message):
        in_classes(data, ["a"], "the run")
    many = [str(number) for number in range(30)]
    with pytest.raises(DataError, match=r"unknown: 'z'; .*'19', … \(30 in all\)"):
        in_classes(dataset([0], ["z"]), many, "the run")


def test_numbers_must_be_known() -> None:
    """Numbers beyond the wanted classes are an error."""
    message = r"numbers of the 2 classes of the run, 0 … 1; got 2 \('a', 'b'\)"
    with pytest.raises(DataError, match=message):
        in_classes(dataset([0, 2]), ["a", "b"], "the run")


@given(st.permutations(list("abcdef")), st.data())
def test_names_stay_with_their_samples(order: list[str], data: st.DataObject) -> None:
    """Whatever the orders, each sample keeps the name of its class."""
    labels = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=12))
    before = dataset(labels, order)
    after = in_classes(before, list("abcdefg"), "the run")
    assert [after.class_names[each] for each in after.labels] == [order[each] for each in labels]


def test_all_parts_as_one() -> None:
    """One part behind the other, classes by name, notes once, paths kept."""
    first = replace(dataset([0, 1], ["a", "b"]), paths=("p", "q"), notes=("n",))
    second = replace(dataset([1, 0], ["c", "b"]), paths=("r", "s"), notes=("n", "m"))
    whole = all_as_one([first, second])
    assert whole.class_names == ("a", "b", "c")
    assert whole.labels.tolist() == [0, 1, 1, 2]
    assert whole.images.reshape(-1).tolist() == [0, 1, 0, 1]
    assert whole.paths == ("p", "q", "r", "s")
    assert whole.notes == ("n", "m")
    assert not whole.images.flags.writeable
    assert not whole.labels.flags.writeable
    assert all_as_one([first]) is first


def test_numbered_parts_as_one() -> None:
    """Numbers are those of the part that knows most; names of another part decide over numbers."""
    numbers = all_as_one([dataset([0, 1]), dataset([3, 0])])
    assert numbers.class_names == ("0", "1", "2", "3")
    assert numbers.labels.tolist() == [0, 1, 3, 0]
    assert numbers.numbered
    named = all_as_one([dataset([0, 1]), dataset([0, 1], ["b", "a"])])
    assert named.class_names == ("b", "a")
    assert named.labels.tolist() == [0, 1, 0, 1]
    assert not named.numbered


def test_parts_of_two_kinds_are_no_one() -> None:
    """Images of another shape or dtype, and classes beside targets, are refused."""
    first = dataset([0, 1])
    for other in (np.zeros((1, 2, 1), np.uint8), np.zeros((1, 1, 1), np.float32)):
        with pytest.raises(DataError, match=r"images must .*; got .* in one part and .* in ano"):
            all_as_one([first, Dataset.from_arrays(other, [0])])
    with pytest.raises(DataError, match="all parts must have classes, or all float targets"):
        all_as_one([first, targets([1.0])])
    both = all_as_one([targets([1.0]), targets([2.0])])
    assert both.labels.tolist() == [1.0, 2.0]
