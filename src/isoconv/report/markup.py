"""HTML by construction: whatever is no markup already is text, and can only become text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

from isoconv.printable import shortened
from isoconv.report.labels import shown

VOID = ("circle", "img", "line", "meta", "path")
"""Elements that hold nothing; those of SVG would take in what follows if they were not closed."""


class Html(str):
    """Markup; every other text is escaped where it meets markup."""

    __slots__ = ()


def text(value: object) -> Html:
    """Markup as it is, and all else as text; of that, what cannot be shown is escaped.

    Example:
        >>> text("<b>"), text(Html("<b>"))
        ('&lt;b&gt;', '<b>')
    """
    return value if isinstance(value, Html) else Html(escape(shown(str(value))))


def joined(parts: Iterable[object], between: object = "") -> Html:
    """Text and markup in a row."""
    return Html(text(between).join(map(text, parts)))


def element(tag: str, *content: object, **attributes: object) -> Html:
    """An element.

    Args:
        tag: its name.
        content: text and markup.
        attributes: underscores at the end of a name are dropped, others become dashes; None and ""
            are left out.

    Example:
        >>> element("p", "a < b", class_="note", aria_label=None)
        '<p class="note">a &lt; b</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(shown(str(value)))}"'
        for key, value in attributes.items()
        if value is not None and value != ""
    )
    inner = joined(content)
    return Html(f"<{tag}{given}/>" if tag in VOID else f"<{tag}{given}>{inner}</{tag}>")


def name(value: str, columns: int = 0, label: str = "") -> Html:
    """A name out of the data, such as that of a class, apart from the direction of what is around.

    Args:
        value: the name.
        columns: where it is longer, its middle is left out, and a title has all of it; 0 for the
            whole name.
        label: a short form to show in its place.

    Example:
        >>> name("a quite long name", 9)
        '<bdi title="a quite long name">a qu…name</bdi>'
    """
    whole = shown(value)
    short = label or (shortened(whole, columns) if columns else whole)
    return element("bdi", short, title=whole if short != whole else None)


def table(
    titles: Sequence[object],
    rows: Iterable[Sequence[object]],
    numbers: Collection[int] = (),
    kind: str = "",
) -> Html:
    """A table in a box that scrolls by itself where there is no room for all of it.

    Args:
        titles: of the columns; none for a table without a head.
        rows: of as many cells; the first one names the row.
        numbers: columns that stand to the right.
        kind: class of the table.
    """
    sides = dict.fromkeys(numbers, "number")
    head = joined(
        element("th", title, class_=sides.get(column), scope="col")
        for column, title in enumerate(titles)
    )
    body = joined(
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=sides.get(at)) for at, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    )
    parts = [element("thead", element("tr", head))] if titles else []
    content = element("table", *parts, element("tbody", body), class_=kind)
    return element("div", content, class_="scroll", tabindex="0")


def section(title: str, *content: object, anchor: str) -> Html:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *content, id=anchor)
