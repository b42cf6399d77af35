"""What is known of images: the same in one pass of a file as of arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from isoconv.data import Dataset, Samples, normalisation
from isoconv.data import passes as module
from isoconv.data.classes import all_as_one
from isoconv.data.passes import extremes
from isoconv.data.samples import sample_digests
from isoconv.rows import Rows

Array = NDArray[Any]


class Counted(Rows):
    """Rows that count how often all of them were read."""

    passes = 0

    def chunks(self) -> Iterator[Array]:
        """Four rows at a time."""
        type(self).passes += 1
        for start in range(0, len(self), 4):
            yield self[start : start + 4]


def in_file(data: Dataset) -> Dataset:
    """A data set whose images are rows of a larger array, in another order."""
    count = len(data)
    numbers = np.random.default_rng(3).permutation(2 * count)[:count]
    base = np.zeros((2 * count, *data.image_shape), data.images.dtype)
    base[numbers] = data.images
    return replace(data, images=cast(Array, Counted(base, numbers)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_rows_are_known_by_one_pass(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests, statistics, extremes and lists of samples are those of the same data in memory."""
    draw = np.random.default_rng(0)
    images = (draw.standard_normal((23, 5, 3, 3)) * 90 + 100).clip(0, 255).astype(dtype)
    images[7] = images[3]
    plain = Dataset.from_arrays(images, draw.integers(0, 3, 23), ["a", "b", "c"])
    data = in_file(plain)
    monkeypatch.setattr(Counted, "passes", 0)
    # Rows that are taken before anything is known of them have a pass of their own.
    pairs = zip(data.split(0.3, 1), plain.split(0.3, 1), strict=True)
    for found, wanted in ((data, plain), *pairs):
        assert found.digest() == wanted.digest()
        assert sample_digests(found) == sample_digests(wanted)
        assert extremes(found.images) == extremes(wanted.images)
        for mine, theirs in ((found.statistics(), wanted.statistics()),
                             (normalisation(found), normalisation(wanted))):  # fmt: skip
            assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
        assert np.array_equal(found.images, wanted.images)
    assert Counted.passes == 3
    assert isinstance(data.split(0.3, 1)[0].images, Rows)


def test_taken_and_joined_rows_stay_in_their_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of each goes along; a run's samples are found without reading images anew."""
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
    plain = Dataset.from_arrays(images, [0, 1] * 10, ["a", "b"])
    data = replace(in_file(plain), paths=tuple("abcdefghijklmnopqrst"))
    known = sample_digests(data)
    monkeypatch.setattr(module, "_gathered", None)
    first, second = data.subset([4, 2, 9]), data.subset(np.arange(10, 20))
    assert sample_digests(first) == [known[4], known[2], known[9]]
    together = all_as_one([first, second])
    assert isinstance(together.images, Rows)
    assert together.images.base is cast(Any, data.images).base
    assert sample_digests(together) == sample_digests(first) + sample_digests(second)
    chosen = Samples.of({"train": second}).select(data)
    assert chosen is not None
    assert np.array_equal(chosen["train"].images, images[10:])
