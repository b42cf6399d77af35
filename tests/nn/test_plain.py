"""Plain values as JSON: one form to write, bounds for what strangers wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from isoconv.nn.plain import canonical, parse


@pytest.mark.parametrize(
    "value",
    [None, True, 2**64 - 1, -1, 0.1, 5e-324, "ü\ud800", [], {}, {"b": [1, {"a": None}], "a": ""}],
)
def test_what_was_written_is_read(value: Any) -> None:
    """In one form, whatever the order of keys."""
    assert parse(canonical(value)) == value
    assert parse(canonical(value).decode("utf-8", "surrogatepass")) == value


def test_there_is_one_form() -> None:
    """Sorted keys, no spaces, letters as they are, no number that is not finite."""
    assert canonical({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical([float("inf")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("{", "property name"),
        ("[1] 2", "Extra data"),
        ("\x00", "Expecting value"),
        ("NaN", "must be finite; got NaN"),
        ("[-Infinity]", "must be finite; got -Infinity"),
        ("1e400", "must be finite; got 1e400"),
        ("123456789012345678901", "at most 20 digits; got 21"),
        ("-" + "9" * 5000, "at most 20 digits; got 500"),
        ('{"a": 1, "b": 2, "a": 1}', "the key 'a' stands twice"),
        ('{"x": {"": 1, "": 2}}', "the key '' stands twice"),
        ("[" * 251 + "]" * 251, "nested deeper than 250 levels"),
        ('{"a":' * 260 + "1" + "}" * 260, "nested deeper than 250 levels"),
        ("[" * 10**5, "nested deeper than 250 levels"),
    ],
    ids=lambda value: value[:24],
)
def test_what_nobody_would_write_is_refused(text: str, message: str) -> None:
    """Each with a ValueError that says what is wrong."""
    with pytest.raises(ValueError, match=message):
        parse(text)
    with pytest.raises(ValueError, match=message):
        parse(text.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    """Whatever encoding they are taken for."""
    with pytest.raises(ValueError, match="decode"):
        parse(b'"\xff\xfe\xfa"')


def test_as_deep_as_is_allowed() -> None:
    """The bound itself is within."""
    text = "[" * 249 + "1" + "]" * 249
    assert json.dumps(parse(text)) == text
