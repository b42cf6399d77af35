"""Data sets: what is accepted, what is refused, digests, parts and statistics."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoconv.data import Dataset, Reading, normalisation
from isoconv.errors import ArgumentError, DataError


def gray(count: int = 6, seed: int = 0) -> np.ndarray:
    """Random uint8 images without a channel axis."""
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5)).astype(np.uint8)


def test_gray_images_get_a_channel_axis() -> None:
    """(N, H, W) becomes (N, H, W, 1), labels become int32, and nothing is copied or writable."""
    images = gray()
    data = Dataset.from_arrays(images, np.arange(6) % 3, name="x")
    assert data.image_shape == (4, 5, 1)
    assert len(data) == 6
    assert data.labels.dtype == np.int32
    assert data.class_names == ("0", "1", "2")
    assert data.classes == 3
    assert np.shares_memory(data.images, images)
    assert not data.images.flags.writeable
    assert images.flags.writeable


def test_float64_images_become_float32() -> None:
    """Floats of another width are rounded to float32."""
    data = Dataset.from_arrays(np.full((2, 3, 3), 0.1), [0, 0])
    assert data.images.dtype == np.float32


def test_float_targets_are_kept() -> None:
    """Float labels are targets without classes."""
    data = Dataset.from_arrays(gray(2), np.array([[0.5, 1.0], [2.0, 3.0]]))
    assert data.labels.dtype == np.float32
    assert data.class_names == ()


@pytest.mark.parametrize(
    ("images", "labels", "names", "message"),
    [
        (np.zeros((0, 4, 4), np.uint8), [], None, r"at least one image; got shape \(0, 4, 4, 1\)"),
        (np.zeros((4, 4), np.uint8), [0] * 4, None, r"axes \(N, H, W, C\).*shape \(4, 4\)"),
        (np.zeros((2, 4, 4), np.int64), [0, 1], None, "uint8 or float32; got int64"),
        (gray(3), [0, 1], None, r"one label for each image; got 3 images and.*\(2,\)"),
        (gray(3), [0, 1, -1], None, r"labels must lie in 0 … 65535; sample 2 has -1"),
        (gray(3), [0, 2, 1], ("a", "b"), r"labels must lie in 0 … 1; sample 1 has 2"),
        (gray(3), [[0], [1, 2], 0], None, "labels must be an array, or lists of equal lengths"),
        ([[[1]], [[1], [2]]], [0, 1], None, "images must be an array, or lists of equal lengths"),
        (gray(3), [0, 1, 1], {"a", "b"}, "class_names must be a list of names; got {"),
        (gray(3), [0, 1, 1], "ab", "class_names must be a list of names; got 'ab'"),
        (gray(3), [0, 1, 1], ("a", "b", "a"), "class names must differ; got 'a' more than once"),
        (gray(3), [0, 0, 0], ("\ud800",), r"class names must be text; got '\\ud800'"),
        (gray(2), [0.5, 0.5], ("a",), "class names need labels that are whole numbers or texts"),
        (gray(3), [0.0, np.inf, 1.0], None, "targets must be finite float32; sample 1 holds inf"),
    ],
)
def test_bad_arrays_are_refused(images: Any, labels: Any, names: Any, message: str) -> None:
    """Each message states the rule and what was received."""
    with pytest.raises(DataError, match=message):
        Dataset.from_arrays(images, labels, names, name="x")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    """NaN, infinity and what overflows float32 name the first sample."""
    images = np.zeros((600, 2, 2))
    images[[300, 500], 1, 0] = value
    with pytest.raises(DataError, match="images must be finite float32; sample 300 holds"):
        Dataset.from_arrays(images, np.zeros(600, int))


def test_digest_is_the_written_order() -> None:
    """The digest is SHA-256 over the order that the docstring states."""
    data = Dataset.from_arrays(np.array([[[1, 2]]], np.float32), [1], ("a", "ß"))
    text = b"images float32 1x1x2x1\n" + np.array([1, 2], "<f4").tobytes()
    text += b"labels int32 1\n" + np.array([1], "<i4").tobytes() + "classes 2\na\nß\n".encode()
    assert data.digest() == hashlib.sha256(text).hexdigest()


def test_digest_of_names_that_are_no_text() -> None:
    """Bytes of a folder's name that are no UTF-8 enter the digest as they are."""
    data = Dataset.from_arrays(np.zeros((1, 1, 1), np.uint8), [0], [os.fsdecode(b"caf\xe9")])
    text = b"images uint8 1x1x1x1\n\0labels int32 1\n\0\0\0\0classes 1\ncaf\xe9\n"
    assert data.digest() == hashlib.sha256(text).hexdigest()


def test_digest_tells_names_with_line_ends_apart() -> None:
    """Names that look alike line by line have digests of their own; version 1 took them for one."""
    images, labels = np.zeros((2, 1, 1), np.uint8), [0, 1]
    names = [("a\nb", "c"), ("a", "b\nc"), ("a", "b"), ("3\na\nb", "1\nc"), ("", "\n")]
    found = [Dataset.from_arrays(images, labels, each) for each in names]
    assert len({data.digest() for data in found}) == len(names)
    assert found[0].digest(version=1) == found[1].digest(version=1)
    assert found[2].digest(version=1) == found[2].digest() == found[2].digest(version=2)
    text = b"images uint8 2x1x1x1\n\0\0labels int32 2\n\0\0\0\0\1\0\0\0"
    new, old = b"classes 2 by length\n3\na\nb\n1\nc\n", b"classes 2\na\nb\nc\n"
    assert found[0].digest() == hashlib.sha256(text + new).hexdigest()
    assert found[0].digest(version=1) == hashlib.sha256(text + old).hexdigest()
    for version in (0, 3, "1", None):
        with pytest.raises(ArgumentError, match="version must be a whole number"):
            found[0].digest(version=version)  # type: ignore[arg-type]


def test_digest_sees_every_part_but_the_name() -> None:
    """Pixels, labels and class names change the digest; the name and memory order do not."""
    images = gray()
    data = Dataset.from_arrays(images, np.zeros(6, int), ("a",), "x")
    other = images.copy()
    other[3, 2, 1] ^= 1
    same = Dataset.from_arrays(np.asfortranarray(images), np.zeros(6, int), ("a",), "y")
    digests = {
        data.digest(),
        Dataset.from_arrays(other, np.zeros(6, int), ("a",)).digest(),
        Dataset.from_arrays(images, np.zeros(6, int), ("b",)).digest(),
        Dataset.from_arrays(images, np.zeros(6, int), ("a", "b")).digest(),
    }
    assert len(digests) == 4
    assert same.digest() == data.digest()


def test_subset_takes_samples_in_order() -> None:
    """Indices choose and order the samples."""
    data = Dataset.from_arrays(gray(), np.arange(6))
    part = data.subset([4, 0, 4])
    assert part.labels.tolist() == [4, 0, 4]
    assert (part.images == data.images[[4, 0, 4]]).all()
    assert part.class_names == data.class_names


@pytest.mark.parametrize("indices", [[6], [-1], [], [0.5], [[0]]])
def test_bad_indices_are_refused(indices: list[object]) -> None:
    """Out of range, empty, fractional or nested indices are errors."""
    with pytest.raises(ArgumentError, match="indices must"):
        Dataset.from_arrays(gray(), np.arange(6)).subset(indices)  # type: ignore[arg-type]


def test_subset_keeps_what_is_known_of_samples() -> None:
    """Paths follow their samples; reading, names and notes stay."""
    whole = replace(
        Dataset.from_arrays(gray(3), [0, 1, 0]),
        paths=("x", "y", "z"),
        reading=Reading((4, 5), 1, 8),
        notes=("a note",),
    )
    part = whole.subset([2, 0, 2])
    assert part.paths == ("z", "x", "z")
    assert (part.reading, part.notes, part.numbered) == (whole.reading, ("a note",), True)
    assert Dataset.from_arrays(gray(3), [0, 1, 0]).subset([1]).paths == ()


def test_split_holds_out_a_part_of_each_class_by_seed() -> None:
    """Both parts together are the whole, in their first order, and the seed decides."""
    data = Dataset.from_arrays(np.arange(60, dtype=np.uint8).reshape(60, 1, 1), np.arange(60) % 3)
    rest, held = data.split(0.25, seed=3)
    assert np.bincount(held.labels).tolist() == [5, 5, 5]
    numbers = rest.images.reshape(-1).tolist(), held.images.reshape(-1).tolist()
    assert sorted(numbers[0] + numbers[1]) == list(range(60))
    assert list(numbers) == [sorted(numbers[0]), sorted(numbers[1])]
    assert held.digest() == data.split(0.25, seed=3)[1].digest()
    assert held.digest() != data.split(0.25, seed=4)[1].digest()


def test_split_of_float_targets_knows_no_classes() -> None:
    """Without classes all samples are taken for one."""
    data = Dataset.from_arrays(np.zeros((8, 1, 1), np.uint8), np.arange(8, dtype=np.float32))
    rest, held = data.split(0.25, seed=0)
    assert (len(rest), len(held)) == (6, 2)
    assert sorted([*rest.labels, *held.labels]) == list(range(8))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_bad_fractions_are_refused(fraction: float) -> None:
    """A fraction lies strictly between 0 and 1."""
    with pytest.raises(ArgumentError, match="fraction must be a finite number above 0 and below 1"):
        Dataset.from_arrays(gray(), np.arange(6)).split(fraction, seed=0)


def test_one_sample_cannot_be_split() -> None:
    """Both parts need a sample."""
    with pytest.raises(ArgumentError, match="both parts of a split need a sample"):
        Dataset.from_arrays(gray(1), [0]).split(0.5, seed=0)


def test_statistics_of_bytes() -> None:
    """Mean and deviation agree with NumPy's in float64, channel by channel."""
    images = np.random.default_rng(1).integers(0, 256, (50, 7, 6, 3)).astype(np.uint8)
    mean, std = Dataset.from_arrays(images, np.zeros(50, int)).statistics()
    scaled = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(std, scaled.std(axis=0), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.floats(width=32, min_value=-(2**50), max_value=2**50),
        min_size=1,
        max_size=30,
    )
)
def test_statistics_of_floats_are_exact(values: list[float]) -> None:
    """Sums of float32 are exact: the order of the values changes nothing, and fractions agree."""
    images = np.array(values, np.float32).reshape(-1, 1, 1)
    data = Dataset.from_arrays(images, np.zeros(len(values), int))
    mean, std = data.statistics()
    exact = [Fraction(value) for value in images.reshape(-1).tolist()]
    average = sum(exact) / len(exact)
    variance = sum((value - average) ** 2 for value in exact) / len(exact)
    assert mean[0] == float(average)
    assert std[0] == np.sqrt(float(variance))
    backwards = Dataset.from_arrays(images[::-1], np.zeros(len(values), int)).statistics()
    assert (backwards[0], backwards[1]) == (mean, std)


def test_statistics_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk size changes no bit."""
    images = np.random.default_rng(2).normal(size=(9, 8, 7, 2)).astype(np.float32)
    data = Dataset.from_arrays(images, np.zeros(9, int))
    whole = data.statistics()
    monkeypatch.setattr("isoconv.data.sums.CHUNK", 11)
    parts = data.statistics()
    assert (whole[0] == parts[0]).all()
    assert (whole[1] == parts[1]).all()


def test_normalisation_gives_mean_0_and_deviation_1() -> None:
    """X * scale + offset has mean 0 and deviation 1; a constant channel is only moved."""
    images = np.random.default_rng(3).integers(0, 256, (40, 5, 5, 2)).astype(np.uint8)
    images[..., 1] = 51
    scale, offset = normalisation(Dataset.from_arrays(images, np.zeros(40, int)))
    assert scale.dtype == offset.dtype == np.float32
    result = images.astype(np.float64) * scale + offset
    assert abs(result[..., 0].mean()) < 1e-6
    assert abs(result[..., 0].std() - 1) < 1e-6
    assert np.abs(result[..., 1]).max() < 1e-6
