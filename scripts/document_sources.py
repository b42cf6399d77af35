"""Writes into docs/data.md what can be loaded, as the library has it.

    python -m scripts.document_sources

The table between the marks ``sources`` has a line for each data set that is known by name and for
each kind of folder or file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scripts.marks import between_marks, table, write

from isoconv.data.formats import FORMATS
from isoconv.data.names import KNOWN

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


def rows() -> Iterator[tuple[str, str]]:
    """What a person gives, and what it is."""
    for name, known in KNOWN.items():
        fetched = "; fetched once, see below" if known.files else ""
        yield f'`"{name}"`', f"{known.detail}{fetched}"
    yield from ((kind.name, kind.detail) for kind in FORMATS)
    yield "a pair of arrays", "`(images, labels)`"


def documented(page: str) -> str:
    """The page with the table made anew."""
    return between_marks(page, {"sources": table(("source", "what it is"), list(rows()))})


def main() -> None:
    """Write the page anew, and say whether that changed it."""
    write(PAGE, documented)


if __name__ == "__main__":
    main()
