"""Tables of augmentation: pure functions of (seed, epoch, sample), within their bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isoconv.arithmetic.philox import Purpose, words
from isoconv.data import Augmentation, table
from isoconv.errors import ArgumentError
from isoconv.ops.image import TABLE_COLUMNS

ALL = Augmentation(crop_padding=4, flip=True, shift=2, rotation=15.0, cutout=8)
COLUMN = {name: place for place, name in enumerate(TABLE_COLUMNS)}


def test_any_order_and_subset_gives_the_same_rows() -> None:
    """A row depends on its sample alone, not on the others or their order."""
    whole = table(ALL, 7, 3, np.arange(200), 28, 30)
    some = np.array([150, 3, 3, 199, 0])
    assert whole.dtype == np.float32
    assert (table(ALL, 7, 3, some, 28, 30) == whole[some]).all()
    for sample in (0, 57, 199):
        assert (table(ALL, 7, 3, [sample], 28, 30)[0] == whole[sample]).all()


def test_seed_and_epoch_change_the_rows() -> None:
    """Another seed or epoch gives other rows."""
    rows = table(ALL, 7, 3, np.arange(50), 28, 28)
    assert (rows != table(ALL, 8, 3, np.arange(50), 28, 28)).any(axis=1).all()
    assert (rows != table(ALL, 7, 4, np.arange(50), 28, 28)).any(axis=1).all()


def test_settings_do_not_disturb_each_other() -> None:
    """Each setting has random numbers of its own: switching one on leaves the others' columns."""
    both = table(Augmentation(crop_padding=4, flip=True, rotation=9.0), 1, 0, np.arange(99), 8, 8)
    flip = table(Augmentation(flip=True), 1, 0, np.arange(99), 8, 8)
    assert (both[:, COLUMN["flip"]] == flip[:, COLUMN["flip"]]).all()


def test_nothing_is_the_identity() -> None:
    """The default changes nothing."""
    assert Augmentation().is_identity
    assert not ALL.is_identity
    assert table(Augmentation(), 0, 0, [0, 1], 8, 8).tolist() == [[0, 0, 0, 0, 0, 0, 0, 1, 0]] * 2


def test_rows_follow_the_written_formula() -> None:
    """A row is what the docstring says, worked out word by word in Python integers."""
    row = table(ALL, 5, 2, [11], 28, 20)[0]
    word = [int(words(5, Purpose.AUGMENTATION, 0, 2, 11, k)) for k in range(8)]

    def integer(k: int, bound: int) -> int:
        return word[k] * bound >> 32

    assert row[0] == (integer(0, 9) - 4) + (integer(3, 5) - 2)
    assert row[1] == (integer(1, 9) - 4) + (integer(4, 5) - 2)
    assert row[2] == integer(2, 2)
    y0, x0 = integer(5, 28) - 4, integer(6, 20) - 4
    assert row[3:7].tolist() == [max(y0, 0), min(y0 + 8, 28), max(x0, 0), min(x0 + 8, 20)]
    angle = math.radians((2 * ((word[7] >> 8) / 2**24) - 1) * 15)
    assert row[7] == np.float32(math.cos(angle))
    assert row[8] == np.float32(math.sin(angle))


def test_bounds_are_reached_and_kept() -> None:
    """Every offset occurs, about half of the images are flipped, angles stay within theirs."""
    rows = table(ALL, 0, 0, np.arange(20_000), 28, 28)
    assert sorted(set(rows[:, 0])) == list(range(-6, 7))
    assert sorted(set(rows[:, 1])) == list(range(-6, 7))
    assert abs(rows[:, 2].mean() - 0.5) < 0.02
    sides = rows[:, 4] - rows[:, 3]
    assert rows[:, 3:7].min() == 0
    assert rows[:, 3:7].max() == 28
    assert (sides.min(), sides.max()) == (4, 8)
    angles = np.degrees(np.arctan2(rows[:, 8], rows[:, 7]))
    assert -15 <= angles.min() < -14.9
    assert 14.9 < angles.max() <= 15
    crop = table(Augmentation(crop_padding=4), 0, 0, np.arange(9000), 28, 28)[:, 0]
    assert np.abs(np.unique(crop, return_counts=True)[1] - 1000).max() < 150


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_padding": -1}, "crop_padding must be a whole number of at least 0 .*got -1"),
        ({"shift": 1.5}, r"shift must be a whole number .*got 1\.5"),
        ({"cutout": True}, "cutout must be a whole number .*got True"),
        ({"rotation": 181}, "rotation must be a finite number at least 0 and at most 180; got 181"),
        ({"rotation": float("nan")}, "rotation must be a finite number .*got nan"),
        ({"flip": 1}, "flip must be True or False; got 1"),
        ({"fill": float("inf")}, "fill must be a finite number .*; got inf"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    """Each message names the setting, its rule and the value."""
    with pytest.raises(ArgumentError, match=message):
        Augmentation(**settings)  # type: ignore[arg-type]


def test_bad_samples_are_refused() -> None:
    """Samples are a list of whole numbers, and images have pixels."""
    with pytest.raises(ArgumentError, match="samples must have one axis"):
        table(ALL, 0, 0, 5, 8, 8)
    with pytest.raises(ArgumentError, match=r"height must be .* and at most 65536; got 0"):
        table(ALL, 0, 0, [5], 0, 8)
    with pytest.raises(ArgumentError, match="epoch must be a whole number of at least 0"):
        table(ALL, 0, -1, [5], 8, 8)
