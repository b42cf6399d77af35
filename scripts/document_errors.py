"""Writes the tree of errors and the table of their fields into docs/errors.md.

    python -m scripts.document_errors

What stands between the marks ``tree`` and ``fields`` (see ``marks.py``) is made from the
documentation of `isoconv.errors`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from scripts.marks import between_marks, table, write

from isoconv import errors

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
OWN = (errors.DataFileError, errors.NotFiniteError)
"""Errors with fields of their own."""


def tree() -> str:
    """The part of the module's documentation that draws the tree."""
    text = str(errors.__doc__)
    drawn = text[text.index("IsoconvError\n") : text.index("\n\nEach message")]
    return f"```text\n{drawn}\n```\n"


def fields(kind: type) -> Iterator[tuple[str, str]]:
    """The attributes of a class, each with its meaning, as its documentation has them."""
    _, _, section = inspect.cleandoc(str(kind.__doc__)).partition("Attributes:\n")
    for entry in re.split(r"^    (?=\S)", section, flags=re.MULTILINE)[1:]:
        name, _, meaning = entry.partition(": ")
        yield name, " ".join(meaning.split()).replace("``", "`")


def rows() -> Iterator[tuple[str, str, str]]:
    """A row for each field: its name, the errors that may have it, its meaning."""
    for name, meaning in fields(errors.Known):
        yield f"`{name}`", "all", meaning
    for kind in OWN:
        for name, meaning in fields(kind):
            yield f"`{name}`", f"`{kind.__name__}`", meaning


def documented(page: str) -> str:
    """The page with the tree and the table made anew."""
    made = table(("field", "of", "what it holds"), list(rows()))
    return between_marks(page, {"tree": tree(), "fields": made})


def main() -> None:
    """Write the page anew, and say whether that changed it."""
    write(PAGE, documented)


if __name__ == "__main__":
    main()
