"""Random numbers: known answers, the map from names to counters, distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from isoconv.arithmetic.philox import (
    Purpose,
    integers,
    normal32,
    permutation,
    philox4x32,
    uniform32,
    words,
)
from isoconv.errors import ArgumentError, ShapeError

KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip
"""Known answers of Random123 1.14 (kat_vectors, philox4x32 10): counter, key, result."""


def hexadecimal(text: str) -> list[int]:
    """Words written in hexadecimal, as integers."""
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: str, key: str, answer: str) -> None:
    """The generator is the published one."""
    assert philox4x32(hexadecimal(counter), hexadecimal(key)).tolist() == hexadecimal(answer)


def test_known_answers_at_once() -> None:
    """Leading axes of counters and keys broadcast."""
    counters = np.array([hexadecimal(row[0]) for row in KNOWN], np.uint32)
    keys = np.array([hexadecimal(row[1]) for row in KNOWN], np.uint32)
    answers = np.array([hexadecimal(row[2]) for row in KNOWN], np.uint32)
    np.testing.assert_array_equal(philox4x32(counters, keys), answers)
    np.testing.assert_array_equal(
        philox4x32(counters[:, None], keys)[[0, 1, 2], [0, 1, 2]], answers
    )


def test_philox_shapes() -> None:
    """Counters have four words and keys two."""
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(2,\)"):
        philox4x32([0, 0, 0], [0, 0])


def test_names_map_to_the_counter() -> None:
    """The seed is the key, the other names the counter, the index's low bits the word."""
    seed, purpose, stream, epoch, sample, index = (
        0x0123456789ABCDEF,
        3,
        7,
        11,
        2**40 + 13,
        4 * 5 + 2,
    )
    block = philox4x32([5, 13, epoch, purpose << 16 | stream], [0x89ABCDEF, 0x01234567])
    assert words(seed, purpose, stream, epoch, sample, index) == block[2]


def test_dense_and_scattered_indices_agree() -> None:
    """Looking words up in a table of blocks changes none of them."""
    dense = words(9, 1, 2, 3, 4, np.arange(5, 50))
    single = [int(words(9, 1, 2, 3, 4, index)) for index in range(5, 50)]
    assert dense.tolist() == single
    grid = words(9, 1, 2, 3, np.array([[4], [5]]), np.arange(5, 50))
    assert grid.shape == (2, 45)
    assert grid[0].tolist() == single
    far = np.array([2**34 - 1, 0, 2**20])
    assert words(9, 1, 2, 3, 4, far).tolist() == [int(words(9, 1, 2, 3, 4, i)) for i in far]
    assert words(9, 1, 2, 3, 4, np.array([], np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, r"seed must lie in \[0, 2\*\*64\); got -1"),
        ({"seed": 2**64}, r"seed must lie in \[0, 2\*\*64\)"),
        ({"purpose": 2**16}, "purpose must lie in"),
        ({"stream": 2**16}, "stream must lie in"),
        ({"epoch": 2**32}, "epoch must lie in"),
        ({"sample": -1}, "sample must lie in"),
        ({"index": 2**34}, r"index must lie in \[0, 2\*\*34\); got 17179869184"),
        ({"index": 0.5}, "index must be whole numbers; got dtype float64"),
    ],
)
def test_names_out_of_range(change: dict[str, Any], message: str) -> None:
    """A name outside its range is refused: it would collide with another."""
    names = {"seed": 0, "purpose": 0, "stream": 0, "epoch": 0, "sample": 0, "index": 0}
    with pytest.raises(ArgumentError, match=message):
        words(**(names | change))


def test_uniform_is_the_top_24_bits() -> None:
    """Uniform numbers are exact multiples of 2**-24 below 1."""
    index = np.arange(100_000)
    got = uniform32(1, Purpose.DROPOUT, 0, 0, 0, index)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(
        got.astype(float) * 2**24, words(1, Purpose.DROPOUT, 0, 0, 0, index) // 256
    )
    assert got.max() < 1
    assert stats.kstest(got, "uniform").pvalue > 0.01


def test_normal_distribution() -> None:
    """Mean, variance and shape of the normal numbers, and independence of neighbours."""
    got = normal32(2, Purpose.INITIAL_WEIGHTS, 0, 0, 0, np.arange(100_000)).astype(float)
    assert stats.kstest(got, "norm").pvalue > 0.01
    assert abs(np.corrcoef(got[0::2], got[1::2])[0, 1]) < 0.02


def test_normal_by_the_formula() -> None:
    """Each pair is radius and angle of its two words."""
    index = np.arange(64)
    u, v = words(3, 1, 0, 0, 0, index).reshape(-1, 2).T.astype(float)
    radius = np.sqrt(-2 * np.log((2 * u + 1) * 2.0**-33))
    angle = 2 * np.pi * v * 2.0**-32
    want = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)
    got = normal32(3, 1, 0, 0, 0, index)
    np.testing.assert_allclose(got, want, rtol=1e-7)
    assert got.dtype == np.float32
    assert [float(normal32(3, 1, 0, 0, 0, i)) for i in (6, 7)] == got[6:8].tolist()


def test_integers_are_in_range_and_even() -> None:
    """Every value below the bound comes up about equally often."""
    got = integers(7, 4, 3, 0, 0, 0, np.arange(70_000))
    assert stats.chisquare(np.bincount(got, minlength=7)).pvalue > 0.01
    assert got.dtype == np.int64
    assert integers(2**32, 4, 3, 0, 0, 0, 9) == words(4, 3, 0, 0, 0, 9)
    for bound in (1, 7, 1000, 2**31 + 1):
        drawn = integers(bound, 4, 3, 0, 0, 5, np.arange(200))
        upper = [int(word) * bound >> 32 for word in words(4, 3, 0, 0, 5, np.arange(200))]
        assert drawn.tolist() == upper
    with pytest.raises(ArgumentError, match=r"bound must lie in \[1, 2\*\*32\]; got 0"):
        integers(0, 4, 3, 0, 0, 0, 0)


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_permutation(n: int) -> None:
    """A permutation holds each number once and changes with seed, purpose and epoch."""
    got = permutation(n, 5, Purpose.DATA_ORDER, 0)
    assert sorted(got.tolist()) == list(range(n))
    assert got.dtype == np.int64
    if n > 2:
        others = [permutation(n, 6, 2, 0), permutation(n, 5, 5, 0), permutation(n, 5, 2, 1)]
        assert all((got != other).any() for other in others)


def test_permutation_by_sorted_keys() -> None:
    """The order is that of the 64-bit keys."""
    key = [int(words(8, 2, 0, 1, 0, 2 * i)) << 32 | int(words(8, 2, 0, 1, 0, 2 * i + 1))
           for i in range(50)]  # fmt: skip
    assert permutation(50, 8, 2, 1).tolist() == sorted(range(50), key=key.__getitem__)


def test_permutation_where_the_first_words_are_equal() -> None:
    """Of so many numbers some share the upper half of their keys; the lower half decides."""
    n = 200_000
    upper, lower = words(8, 2, 0, 1, 0, np.arange(2 * n)).reshape(-1, 2).T
    assert len(np.unique(upper)) < n
    np.testing.assert_array_equal(permutation(n, 8, 2, 1), np.lexsort((lower, upper)))
