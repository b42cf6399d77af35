"""Places on a page between two marks, whose text is made by a program.

``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` stand on lines of their own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PLACE = re.compile(r"<!-- ([a-z -]+): begin -->\n(.*?)<!-- \1: end -->", re.DOTALL)


def between_marks(page: str, texts: Mapping[str, str]) -> str:
    """The page with the text between all marks made anew.

    Args:
        page: Markdown.
        texts: what belongs between the marks of each name, in whole lines.

    Raises:
        SystemExit: a text has no place on the page, or a place no text.
    """
    places = [match[1] for match in PLACE.finditer(page)]
    lacking, more = sorted(set(texts) - set(places)), sorted(set(places) - set(texts))
    twice = sorted({place for place in places if places.count(place) > 1})
    if lacking or more or twice:
        raise SystemExit(
            f"every text that is made has one place between marks; lacking: {lacking}; "
            f"nothing is made for: {more}; twice: {twice}"
        )

    def anew(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name}: begin -->\n\n{texts[name]}\n<!-- {name}: end -->"

    return PLACE.sub(anew, page)


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown, a row to a line."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(map(_cell, cells))} |\n" for cells in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write(path: Path, make: Callable[[str], str]) -> None:
    """Write a page anew, and say whether that changed it."""
    before = path.read_text("utf-8")
    after = make(before)
    if after != before:
        path.write_text(after, "utf-8")
    print(f"{path.name}: {'as it was' if after == before else 'written anew'}", file=sys.stderr)
