"""Text from outside is escaped where it could do something to a terminal, and only there."""

from __future__ import annotations

import copy
import sys
import unicodedata

import pytest

from isoconv import errors
from isoconv.errors import DataWarning, IsoconvError, MissingExtraError
from isoconv.printable import listed, printable, printable_lines, shortened

TRICKS = {
    "\x1b[2J": "\\x1b[2J",
    "a\nb": "a\\nb",
    "a\rb": "a\\rb",
    "\u202efdp.exe": "\\u202efdp.exe",
    "\u2028": "\\u2028",
    "\x9b31m": "\\x9b31m",
    "\udcff": "\\udcff",
    "\u200b": "\\u200b",
    "\U000e0041": "\\U000e0041",
}


@pytest.mark.parametrize(("text", "escaped"), TRICKS.items(), ids=map(ascii, TRICKS))
def test_tricks_are_escaped(text: str, escaped: str) -> None:
    """Escape sequences, line ends, turned directions and bytes that are no text."""
    assert printable(text) == escaped
    assert printable(escaped) == escaped
    assert printable_lines(f"{text}\n{text}").count(escaped.partition("\\n")[0]) == 2


@pytest.mark.parametrize("text", ["", "cats/1.png", "Katze 猫 Ü … ² \\ ' \"", "C:\\cats\\n"])
def test_plain_text_stays(text: str) -> None:
    """Letters of all languages, spaces, quotes and backslashes are no tricks."""
    assert printable(text) == printable_lines(text) == text


def test_every_character_is_safe_afterwards() -> None:
    """Of all characters none that controls or formats is left."""
    left = "".join(printable(chr(code)) for code in range(sys.maxunicode + 1))
    kinds = {unicodedata.category(each) for each in left}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    left.encode()


def classes() -> list[type[Exception]]:
    """Every error that isoconv has."""
    return [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, (IsoconvError, DataWarning))
    ]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_no_error_carries_tricks(kind: type[Exception]) -> None:
    """Whoever raises an error and whatever it quotes, its text is printable but for line ends."""
    error = kind("no file \x1b[2J\u202e:\n  second line")
    assert str(error) == "no file \\x1b[2J\\u202e:\n  second line"
    assert str(copy.copy(error)) == str(error)


def test_messages_and_names_have_an_end() -> None:
    """What is quoted may be endless; a message says how much of it was left out."""
    assert len(str(IsoconvError("x" * 10**6))) < 60_000
    assert str(IsoconvError("x" * 10**6)).endswith("x… (1,000,000 characters)")
    names = ["n" * 5000, *map(str, range(70_000))]
    found = listed(names)
    assert len(found) < 2000
    assert found.startswith("n" * 1000 + "… (5,000 characters), 0, 1, 2, ")
    assert found.endswith(", 18, … (70,001 in all)")


def test_errors_keep_what_else_they_are_given() -> None:
    """They take more than a text, and an error of imports is one of Python's, too."""
    assert isinstance(MissingExtraError("no module"), ImportError)
    assert IsoconvError("text", 3).args == ("text", 3)
    assert str(IsoconvError()) == ""


@pytest.mark.parametrize(
    ("text", "columns", "wanted"),
    [
        ("cat", 3, "cat"),
        ("abcdefghij", 5, "ab…ij"),
        ("abcdefghij", 4, "ab…j"),
        ("a name with spaces", 8, "a na…ces"),
        ("猫" * 9, 18, "猫" * 9),
        ("猫" * 9, 9, "猫猫…猫猫"),
        ("e\u0301" * 4, 4, "e\u0301" * 4),
        ("abc", 1, "…"),
    ],
)
def test_long_names_lose_their_middle(text: str, columns: int, wanted: str) -> None:
    """What is shortened keeps both ends and is no wider than asked, whatever letters it has."""
    assert shortened(text, columns) == wanted
