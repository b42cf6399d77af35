"""How pictures are read, as a record that goes with a model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoconv.data import Reading
from isoconv.errors import ArgumentError, ShapeError


@given(
    st.none() | st.tuples(st.integers(1, 8192), st.integers(1, 8192)),
    st.sampled_from([None, 1, 3]),
    st.none() | st.integers(1, 32),
    st.sampled_from([None, "uint8", "float32"]),
)
def test_plain_round_trip(
    size: tuple[int, int] | None, channels: int | None, depth: int | None, dtype: Any
) -> None:
    """Every reading comes back from JSON."""
    reading = Reading(size, channels, depth, dtype)
    assert Reading.from_plain(json.loads(json.dumps(reading.plain()))) == reading


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"dtype": "int8"}, ArgumentError),
        ({"size": [1, 2, 3]}, ShapeError),
        ({"size": 5}, ShapeError),
        ({"depth": []}, ArgumentError),
    ],
)
def test_bad_plain_values_are_refused(change: dict[str, Any], error: type[Exception]) -> None:
    """Values of another kind, and missing ones, are errors."""
    plain = Reading((1, 2), 1, 8, "uint8").plain()
    with pytest.raises(error):
        Reading.from_plain(plain | change)
    assert (plain.pop("reduced"), plain.pop("opacity")) == (True, "white")
    for key in plain:
        with pytest.raises(ArgumentError, match=f"a reading must say its {key}; got"):
            Reading.from_plain({name: value for name, value in plain.items() if name != key})


@pytest.mark.parametrize(
    ("reading", "resolved"),
    [
        (Reading(), False),
        (Reading((1, 2), 1, 8), True),
        (Reading((1, 2), 1, None, "float32"), True),
        (Reading((1, 2), 1, None, "uint8"), False),
        (Reading((1, 2), None, 8), False),
        (Reading(None, 1, 8), False),
    ],
)
def test_resolved(reading: Reading, resolved: bool) -> None:
    """A reading is resolved when size, channels and, for integers, depth are known."""
    assert reading.resolved == resolved
