"""Held-out samples: so many of each class, by a seed alone."""

from __future__ import annotations

from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.data.stratify import held_out
from isoconv.errors import ArgumentError

COUNTS = [
    # samples of the class, fractions, then how many stay and go to each part
    (10, (0.1,), [9, 1]),
    (10, (0.25,), [7, 3]),  # 2.5 + 1/2 = 3
    (10, (0.24,), [8, 2]),
    (100, (0.1, 0.2), [70, 10, 20]),
    (3, (0.1, 0.1), [1, 1, 1]),  # more samples than parts: each gets one
    (2, (0.1, 0.1), [2, 0, 0]),  # no more than there are parts
    (2, (0.6, 0.1), [1, 1, 0]),
    (2, (0.1,), [1, 1]),
    (1, (0.9,), [1, 0]),  # one stays
    (3, (0.5, 0.49), [1, 1, 1]),  # the first part leaves the second one a sample
    (4, (0.9, 0.0), [1, 3, 0]),  # a part of fraction 0 gets none
    (4, (0.0, 0.9), [1, 0, 3]),
    (5, (0.4, 0.5), [1, 2, 2]),  # 2, then 3 but one stays
    (7, (), [7]),
]


@pytest.mark.parametrize(("samples", "fractions", "expected"), COUNTS)
def test_counts_of_one_class(
    samples: int, fractions: tuple[float, ...], expected: list[int]
) -> None:
    """Floor(k * fraction + 1/2), at least one of enough, and one stays."""
    for labels in (None, np.full(samples, 5)):
        parts = held_out(labels, samples, fractions, seed=9)
        assert [len(part) for part in parts] == expected


def test_which_samples_by_hand() -> None:
    """Each class is taken in its own random order, the first part first."""
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 0])
    first, second = (np.flatnonzero(labels == number) for number in (0, 1))
    order = first[permutation(6, 3, Purpose.SPLITS, 0, 0)], second[
        permutation(4, 3, Purpose.SPLITS, 0, 1)
    ]  # fmt: skip
    rest, test, validation = held_out(labels, 10, (0.25, 0.25), seed=3)
    # 6 samples: 2 and 2; 4 samples: 1 and 1.
    assert test.tolist() == sorted([*order[0][:2], order[1][0]])
    assert validation.tolist() == sorted([*order[0][2:4], order[1][1]])
    assert rest.tolist() == sorted([*order[0][4:], *order[1][2:]])


def test_copies_by_hand() -> None:
    """Copies stand where the first of them stands; a part takes what fits, or else the first."""
    order = permutation(10, 3, Purpose.SPLITS, 0, 0).tolist()
    names = dict(zip(order, "aabbbccdde", strict=True))
    pictures = [names[sample] for sample in range(10)]
    whole = {name: [s for s in order if names[s] == name] for name in "abcde"}

    def held(*fractions: float) -> list[list[int]]:
        found = held_out(None, 10, fractions, 3, pictures)
        assert sorted(np.concatenate(found).tolist()) == list(range(10))
        return [part.tolist() for part in found[1:]]

    assert held(0.1) == [sorted(whole["e"])]
    assert held(0.4) == [sorted([*whole["a"], *whole["c"]])]
    assert held(0.3, 0.3) == [sorted([*whole["a"], *whole["e"]]), sorted(whole["b"])]
    # One sample each is wanted, and there are pairs alone.
    pictures = [str(place // 2) for place in range(10)]
    assert [len(part) for part in held_out(None, 10, (0.1, 0.1), 3, pictures)] == [6, 2, 2]
    # Copies alone: they are told apart, which a warning says.
    alone = held_out(None, 10, (0.2,), 3, ["same"] * 10)
    assert [part.tolist() for part in alone] == [
        part.tolist() for part in held_out(None, 10, (0.2,), 3)
    ]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60),
    st.sampled_from([(0.1,), (0.1, 0.1), (0.3, 0.2), (0.6, 0.3)]),
    st.integers(0, 2**64 - 1),
)
def test_copies_stay_on_one_side(
    samples: list[tuple[int, int]], fractions: tuple[float, ...], seed: int
) -> None:
    """No picture of a class is in two parts, a sample of each class stays, none is lost."""
    labels = np.array([label for label, _ in samples])
    pictures = [str(picture) for _, picture in samples]
    parts = held_out(labels, len(samples), fractions, seed, pictures)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(samples)))
    assert set(labels[parts[0]]) == set(labels)
    plain = held_out(labels, len(samples), fractions, seed)
    if all(len(part) for part in parts) and len(set(samples)) > len(parts) * len(set(labels)):
        sides = [{samples[place] for place in part.tolist()} for part in parts]
        together = set.union(*sides)
        split_as_ever = all(a.tolist() == b.tolist() for a, b in zip(parts, plain, strict=True))
        assert sum(map(len, sides)) == len(together) or split_as_ever
    different = [str(place) for place in range(len(samples))]
    for one, other in zip(held_out(labels, len(samples), fractions, seed, different), plain,
                          strict=True):  # fmt: skip
        assert one.tolist() == other.tolist()


cases = st.tuples(
    st.lists(st.integers(0, 6), min_size=1, max_size=80),
    st.lists(st.floats(0, 0.3), max_size=3),
    st.integers(0, 2**64 - 1),
)


@settings(deadline=None)
@given(cases)
def test_parts_are_disjoint_and_complete(case: tuple[list[int], list[float], int]) -> None:
    """Every sample is in one part, in ascending order, and every class stays in the rest."""
    labels, fractions, seed = np.array(case[0]), case[1], case[2]
    parts = held_out(labels, len(labels), fractions, seed)
    assert len(parts) == 1 + len(fractions)
    assert sorted(number for part in parts for number in part.tolist()) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert set(labels[parts[0]]) == set(labels)


@settings(deadline=None)
@given(cases)
def test_counts_of_all_classes(case: tuple[list[int], list[float], int]) -> None:
    """Each class gives what its count and the fractions say, whatever classes are beside it."""
    labels, fractions, seed = np.array(case[0]), case[1], case[2]
    parts = held_out(labels, len(labels), fractions, seed)
    wanted = sum(fraction > 0 for fraction in fractions)
    for number in set(labels.tolist()):
        size = int((labels == number).sum())
        counts = [int((labels[part] == number).sum()) for part in parts]
        for fraction, count in zip(fractions, counts[1:], strict=True):
            share = floor(size * fraction + 0.5)
            assert count <= max(share, 1)
            if fraction == 0:
                assert count == 0
            elif size > wanted:
                assert count >= 1
        if size > wanted and sum(max(floor(size * each + 0.5), 1) for each in fractions) < size:
            shares = [max(floor(size * each + 0.5), 1) if each else 0 for each in fractions]
            assert counts[1:] == shares


@settings(deadline=None)
@given(cases)
def test_the_seed_alone_decides(case: tuple[list[int], list[float], int]) -> None:
    """The same labels, fractions and seed give the same samples; a class knows of no other."""
    labels, fractions, seed = np.array(case[0]), case[1], case[2]
    parts = held_out(labels, len(labels), fractions, seed)
    again = held_out(labels.copy(), len(labels), tuple(fractions), seed)
    assert [part.tolist() for part in parts] == [part.tolist() for part in again]
    number = int(labels[0])
    own = np.flatnonzero(labels == number)
    alone = held_out(np.full(len(own), number), len(own), fractions, seed)
    for part, of_class in zip(parts, alone, strict=True):
        assert [each for each in part.tolist() if labels[each] == number] == own[of_class].tolist()


def test_another_seed_gives_other_samples() -> None:
    """Seeds differ in what they hold out, at both ends of their range."""
    labels = np.zeros(50, int)
    seeds = (0, 1, 2**63, 2**64 - 1)
    found = {tuple(held_out(labels, 50, (0.5,), seed)[1].tolist()) for seed in seeds}
    assert len(found) == len(seeds)


@pytest.mark.parametrize(
    "fractions", [(1.0,), (-0.1,), (0.5, 0.5), (float("nan"),), (0.4, 0.4, 0.4)]
)
def test_bad_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    """Fractions are 0 or more and leave something together."""
    with pytest.raises(ArgumentError, match="0 or more, together below 1; got"):
        held_out(None, 10, fractions, 0)
