"""Requests in JSON: whatever stands in them, they become images or one error of isoconv's own."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from isoconv import nn
from isoconv.errors import ArgumentError, IsoconvError
from isoconv.serve.asked import array_images, document, picture_bytes, room

MODEL = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((2, 1, 1))

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["uint8", "float32", "AAAA", [[[[1]], [[2]]]], [[[1], [300]]], 1e400, 2**70])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["base64", "shape", "dtype", "name"]), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.dictionaries(st.sampled_from(["images", "pictures", "dtype", "scale"]), VALUES)


@pytest.mark.slow
@given(FIELDS | VALUES)
@settings(max_examples=400, deadline=None)
def test_any_json(found: Any) -> None:
    """What is taken has the shape of the model's images; all else is an error."""
    try:
        told = document(json.dumps(found).encode())
        if "pictures" in told:
            assert all(isinstance(content, bytes) for _, content in picture_bytes(told["pictures"]))
            return
        images = array_images(MODEL, told)
    except IsoconvError:
        return
    for each in images:
        assert each.image is not None
        assert each.image.shape == (2, 1, 1)
        assert np.isfinite(each.image).all()


@pytest.mark.parametrize(
    "images",
    [
        ["x" * 1_000_000, *[""] * 100_000],
        [["x" * 1_000_000], *[[1.0]] * 100_000],
        [True, 1],
        [None, 1],
        [{}, 1],
    ],
)
def test_no_numbers(images: list[Any]) -> None:
    """Texts among them are refused before each has the room of the longest."""
    with pytest.raises(ArgumentError, match="nested lists of numbers"):
        array_images(MODEL, {"images": images})


def test_many_axes() -> None:
    """Sides are not multiplied where no image has so many."""
    images = {"base64": "AA==", "dtype": "uint8", "shape": [2**30] * 1_000_000}
    with pytest.raises(ArgumentError, match="at most 8 axes; got 1,000,000"):
        array_images(MODEL, {"images": images})


@pytest.mark.parametrize(
    "unit",
    ["[]", "{}", "0", "1.5", "1000", "[0]", "[0,0,0]", "[[[[[[[0]]]]]]]", "[[[1],[0]],[[1],[2]]]",
     '"ab"', '{"a":0}', '"\U0001f40d"', "[0,0,0,0,0]"],
)  # fmt: skip
def test_room(unit: str) -> None:
    """No request in JSON takes more memory than is told before it is read."""
    text = '{"images": [' + ",".join([unit] * (200_000 // len(unit))) + "]}"
    content = text.encode()
    tracemalloc.start()
    with suppress(IsoconvError):
        array_images(MODEL, document(content))
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < room(content) < 100 * len(content)
