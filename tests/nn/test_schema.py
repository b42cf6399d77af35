"""Schemas: each kind takes what it says and nothing else, and tells every fault with its place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from isoconv.errors import CheckpointError
from isoconv.nn.schema import (
    ABSENT,
    EXACT,
    FLAG,
    NUMBER,
    PLAIN,
    SHA256,
    SIDES,
    Checked,
    Exactly,
    Fault,
    Fields,
    Maybe,
    Named,
    Number,
    Rows,
    Text,
    Whole,
    check,
    told_faults,
)

KINDS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "exactly": (Exactly(1, "a"), [1, "a"], [True, 1.0, "b", None, [1], {}]),
    "whole": (Whole(1, 5), [1, 5], [0, 6, -1, 10**400, 1.0, True, "1", None, [1]]),
    "number": (NUMBER, [0, -1.5, 1e308, 10**20], [math.nan, math.inf, True, "1", None]),
    "bounded": (Number(least=0), [0, 0.5], [-1, -1e-300]),
    "above": (Number(above=0), [1, 1e-300], [0, 0.0, -1]),
    "floats": (Number((float,)), [0.5, -0.0], [1, True, None, math.inf]),
    "flag": (FLAG, [True, False], [0, 1, "true", None]),
    "text": (Text("a+", "an a", 3), ["a", "aaa"], ["", "b", "ab", "aaaa", "a\n", 5, None, ["a"]]),
    "sha256": (SHA256, ["0" * 64], ["0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", 0]),
    "exact": (
        EXACT,
        [(0.1).hex(), (-0.0).hex(), (5e-324).hex(), (1e308).hex()],
        ["0.1", "nan", "inf", "-inf", "0x1p+0", "0X1.0P+0", " 0x0.0p+0", "0x1p+99999", 0.1, ""],
    ),
    "maybe": (Maybe(Whole(1, 5)), [None, 3], [0, "a", False]),
    "plain": (PLAIN, [None, [1, {"a": "b"}]], []),
    "rows": (Rows(FLAG, 1, 2), [[True], [True, False]], [[], [True] * 3, [1], (True,), {}, "a"]),
    "sides": (SIDES, [[], [1, 2**31 - 1]], [[0], [2**31], [1.0], [1] * 9, 10**12, [10**12]]),
    "named": (Named(FLAG, Text("a+"), 2), [{}, {"a": True}], [{"b": True}, {"a": 1}, [], None]),
    "fields": (
        Fields({"a": FLAG}, {"b": FLAG}),
        [{"a": True}, {"a": True, "b": False}],
        [{}, {"b": True}, {"a": True, "c": True}, {"a": 1}, [], None],
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_takes_what_it_says(name: str) -> None:
    """Values at its bounds, and values of each other type and beyond the bounds."""
    schema, right, wrong = KINDS[name]
    for value in right:
        assert list(schema.faults(value, "")) == [], value
    for value in wrong:
        found = list(schema.faults(value, "here"))
        assert found, value
        assert all(fault.place.startswith("here") for fault in found)
        assert all(str(fault).startswith(fault.place + " must ") for fault in found)


def test_all_faults_are_told_at_once() -> None:
    """Missing, unknown and wrong entries, however deep, in one message."""
    schema = Fields({"epochs": Rows(Fields({"steps": Whole(), "loss": NUMBER})), "seed": Whole()})
    content = {"epochs": [{"steps": -1, "loss": "a"}, {"steps": 1, "loss": 2.0}, 7], "more": None}
    with pytest.raises(CheckpointError) as caught:
        check("r.json", content, schema)
    assert str(caught.value) == (
        "r.json cannot be read: epochs[0].steps must be a whole number from 0 to 4294967295; got "
        "-1 | epochs[0].loss must be a finite number; got 'a' | epochs[2] must be an object; got 7 "
        "| seed must be there; got nothing | more must not be there, for there are only epochs, "
        "seed; got None"
    )


def test_many_faults_are_counted() -> None:
    """The first ones are named, and a million take no longer than a thousand."""
    with pytest.raises(CheckpointError, match=r"\[9\] must be true or false; got 9 \| and 5 more"):
        check("r.json", list(range(15)), Rows(FLAG))
    with pytest.raises(CheckpointError, match=r"and at least 990 more$"):
        check("r.json", [0] * 10**6, Rows(FLAG))


def test_values_and_places_are_told_in_short() -> None:
    """Long texts, great numbers and deep places do not fill a page."""
    deep = "a" * 10**6
    found = told_faults(Named(Named(FLAG)).faults({deep: {deep: deep}}, ""))
    # A name of a million characters is refused before its value.
    assert found.startswith("aaa")
    assert len(found) < 600
    with pytest.raises(CheckpointError) as caught:
        check("r.json", {deep: 1, "b": "c" * 10**6, "d": 10**5000}, Named(FLAG))
    assert len(str(caught.value)) < 2000
    assert "got a number of 16610 bits" in str(caught.value)


def test_a_rule_asks_what_fits_alone() -> None:
    """It sees values that are as the other schema says, and its faults stand at their places."""
    seen = []

    def rule(found: dict[str, int]) -> Iterator[tuple[tuple[str, int, str], str, int]]:
        seen.append(found)
        if found["low"] > found["high"]:
            yield ("range", 0, "low"), "be at most high", found["low"]

    schema = Rows(Checked(Fields({"low": Whole(), "high": Whole()}), rule))
    assert list(schema.faults([{"low": "a", "high": 1}], "")) != []
    assert seen == []
    found = list(schema.faults([{"low": 1, "high": 2}, {"low": 3, "high": 2}], "rows"))
    assert found == [Fault("rows[1].range[0].low", "be at most high", 3)]


def test_nothing_is_no_value() -> None:
    """An entry that is missing is told apart from one that is null."""
    assert str(Fault("a", "be there", ABSENT)) == "a must be there; got nothing"
    assert str(Fault("", "be there", None)) == "it must be there; got None"
