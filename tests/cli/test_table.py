"""What commands print: tables in columns, and JSON that every program reads."""

from __future__ import annotations

import json

import pytest

from isoconv.cli.table import print_json, table_lines


def test_columns() -> None:
    """Columns are as wide as their widest cell; numbers stand to the right."""
    rows = [("a", "1,000", "x"), ("bcd", "7", "")]
    assert table_lines(("name", "n", "z"), rows, numbers=(1,)) == [
        "name      n  z",
        "a     1,000  x",
        "bcd       7",
    ]


def test_one_long_name() -> None:
    """In a pipe it makes its own row long, and no other; columns stay two spaces apart for awk."""
    rows = [("a" * 200, "cat", "7"), ("b", "dog", "8")]
    title, first, second = table_lines(("file", "class", "n"), rows, numbers=(2,))
    assert first == f"{'a' * 200}  cat    7"
    assert second == f"{'b':40}  dog    8"
    assert len(title) == len(second) == 50
    assert [line.split("  ")[0] for line in (first, second)] == ["a" * 200, "b"]


def test_wide_letters() -> None:
    """Letters that take two columns of a terminal, or none, are counted so."""
    rows = [("犬👜", "1"), ("e\u0301te\u0301", "2")]
    assert table_lines(("class", "n"), rows, numbers=(1,)) == [
        "class  n",
        "犬👜   1",
        "e\u0301te\u0301    2",
    ]


def test_what_a_terminal_would_obey() -> None:
    """Escape sequences, line ends and bytes that are no text are shown, not sent."""
    (_, line) = table_lines(("class",), [("\x1b[2Ja\nb\udcff",)])
    assert line == r"\x1b[2Ja\nb\udcff"


@pytest.mark.parametrize("name", ["犬", "bad \udcff name", 'say "no"\n'])
def test_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a name is made of, what is printed is JSON in UTF-8 that gives it back."""
    print_json({"name": name})
    said = capsys.readouterr().out
    assert json.loads(said.encode()) == {"name": name}
    assert ("犬" in said) == (name == "犬")
