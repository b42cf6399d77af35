"""Folds: every sample is tested with once, classes are spread evenly, copies stay together."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.data import Dataset, Folds, Splits
from isoconv.errors import ArgumentError


def data(labels: list[int], copies: int = 0) -> Dataset:
    """A picture for each label, of which the first ones are there once more at the end."""
    pixels = np.zeros((len(labels), 2, 3, 1), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(labels))
    pixels[:, 0, 1, 0] = labels
    pixels = np.concatenate([pixels, pixels[:copies]])
    names = [f"class {number}" for number in range(max(labels) + 1)]
    return Dataset.from_arrays(pixels, [*labels, *labels[:copies]], names)


def ids(part: Dataset | None) -> list[int]:
    """Which pictures a part has."""
    assert part is not None
    return [int(value) for value in part.images[:, 0, 0, 0]]


@pytest.mark.parametrize(("count", "validation"), [(2, 0.0), (5, 0.25), (7, 0.0)])
@pytest.mark.parametrize("copies", [0, 9])
def test_each_sample_is_tested_with_once(count: int, validation: float, copies: int) -> None:
    """Of each class as many as can be in each fold; nothing in two parts of one, copies neither."""
    labels = [*([0] * 40), *([1] * 23), *([2] * 11)]
    whole = data(labels, copies)
    folds = Folds(whole, count, seed=3, validation=validation)
    tested: Counter[int] = Counter()
    for number, (train, held, test) in enumerate(folds, 1):
        parts = [set(ids(part)) for part in (train, held, test) if part is not None]
        assert len(parts) == (3 if validation else 2)
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(labels)
        tested.update(ids(test))
        if not copies:
            spread = Counter(test.labels.tolist())
            for label, total in enumerate(Counter(labels).values()):
                assert abs(spread[label] - total / count) < 1
            assert abs(len(test) - len(labels) / count) <= 2
        if validation:
            assert abs(len(held) / (len(held) + len(train)) - validation) < 0.04
        assert folds[number - 1].how == {
            "folds": count, "fold": number, "split_seed": 3, "validation": validation,
        }  # fmt: skip
    assert tested == Counter(ids(whole))
    again = pickle.loads(pickle.dumps(folds))  # noqa: S301
    assert [ids(splits.test) for splits in again[:]] == [ids(splits.test) for splits in folds]
    other = Folds(whole, count, seed=4)
    assert [ids(splits.test) for splits in other] != [ids(splits.test) for splits in folds]


def test_the_order_is_the_written_one() -> None:
    """Dealt by the rule, from the random order of each class: the same on every machine."""
    whole = data([0, 1] * 6 + [1])
    fold, sizes = {}, [0, 0, 0]
    for label in (0, 1):
        own, members = [0, 0, 0], np.flatnonzero(whole.labels == label)
        for place in permutation(len(members), 1, Purpose.SPLITS, 0, label):
            to = sorted(range(3), key=lambda to: (own[to], sizes[to], to))[0]
            fold[int(members[place])] = to
            own[to] += 1
            sizes[to] += 1
    wanted = [sorted(sample for sample in fold if fold[sample] == number) for number in range(3)]
    assert [ids(splits.test) for splits in Folds(whole, 3, seed=1)] == wanted
    assert wanted[0] == [2, 6, 9, 11, 12]


def test_what_is_given_besides_is_kept() -> None:
    """Of splits the validation part is every fold's, and the test part nobody's."""
    splits = Splits(data([0, 1] * 4), data([1, 0]), data([0, 0, 1]))
    folds = Folds(splits, 2)
    assert all(each.validation is splits.validation for each in folds)
    assert len(ids(folds[0].test)) == 4
    rare = Folds(data([0] * 8 + [1] * 2), 3)
    assert rare.notes == (
        "1 class has fewer pictures than there are folds, 3: not every fold tests 'class 1'",
    )
    assert rare[0].train.notes == rare.notes
    targets = Dataset.from_arrays(np.zeros((6, 1, 1, 1), np.uint8) + np.arange(6, dtype=np.uint8)
                                  .reshape(6, 1, 1, 1), np.zeros((6, 2), np.float32))  # fmt: skip
    assert [len(ids(each.test)) for each in Folds(targets, 4)] == [2, 2, 1, 1]


@pytest.mark.parametrize(
    ("count", "settings", "said"),
    [
        (1, {}, "folds must be a whole number of at least 2; got 1"),
        (9, {}, "folds must leave each fold a sample, copies of one picture staying together; got"),
        (2, {"validation": 1}, "validation must be"),
        (2, {"seed": -1}, "seed must be"),
        (2, {"validation": 0.01, "single": True}, r"validation must hold out .*; got 0.01 with 2"),
        (2, {"validation": 0.1, "own": True}, "validation must be 0 where the data have a valid"),
    ],
)
def test_what_cannot_be_is_refused(count: int, settings: dict[str, float], said: str) -> None:
    """Out of range, folds without a sample, two validation parts."""
    whole = data([*range(8)] if settings.pop("single", False) else [0, 1] * 4)
    given = Splits(whole, whole) if settings.pop("own", False) else whole
    with pytest.raises(ArgumentError, match=said):
        Folds(given, count, **settings)  # type: ignore[arg-type]
