"""The report as one HTML page that holds its pictures and needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isoconv.report.figures import facts, gauge
from isoconv.report.made import data, epochs, training
from isoconv.report.markup import Html, element, joined, name, section, table
from isoconv.report.masks import mask_classes, masks
from isoconv.report.parts import classes, confused, filters, learning, mistakes, recognised
from isoconv.report.sheet import SHEET
from isoconv.report.subject import Subject
from isoconv.report.targets import largest_errors, scatter
from isoconv.report.words import date_of, measured_on, summary

Part = tuple[str, str, Html]
"""Anchor, title and content."""

NEWLINE, NOTHING = Html("\n"), Html()
FEW = 3
"""Up to so many files that were left out are listed at once."""


def page(subject: Subject, *, pictures: bool = True, more: Sequence[Part] = ()) -> str:
    """The page.

    Args:
        subject: what it is about.
        pictures: whether there are PNG files beside it.
        more: further parts, which stand behind the network's filters.
    """
    parts = [
        ("learning", "Learning", learning(subject)),
        ("predictions", "Predictions", scatter(subject)),
        ("errors", "Largest errors", largest_errors(subject)),
        ("masks", "Masks", masks(subject)),
        ("pixels", "Classes of pixels", mask_classes(subject)),
        ("mistakes", "Mistakes", mistakes(subject)),
        ("confusions", "What is taken for what", confused(subject)),
        ("classes", "Classes", classes(subject)),
        ("recognised", "Recognised", recognised(subject)),
        ("filters", "First-layer filters", filters(subject)),
        *more,
        ("data", "Data", data(subject)),
        ("settings", "How it was trained", training(subject)),
        ("epochs", "Epochs", epochs(subject)),
        ("layers", "Layers", _layers(subject)),
    ]
    there = [(anchor, title, content) for anchor, title, content in parts if content]
    links = joined(element("a", title, href=f"#{anchor}") for anchor, title, _ in there)
    body = [
        element("h1", name(subject.title)),
        element("p", _when(subject), class_="note"),
        element("p", summary(subject), class_="lead"),
        element("p", measured_on(subject), class_="note"),
        gauge(subject),
        _told("Warnings", "warning", _warnings(subject), _skipped(subject)),
        facts(subject),
        _told("Notes on the data", "remarks", subject.remarks),
        element("nav", links, aria_label="parts of this page"),
        *(section(title, content, anchor=anchor) for anchor, title, content in there),
        element("footer", element("p", _foot(pictures), class_="note")),
    ]
    head = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", subject.title),
            element("style", Html(SHEET)),
        ]
    )
    whole = element(
        "html", element("head", head), element("body", joined(body, NEWLINE)), lang="en"
    )
    return f"<!doctype html>\n{whole}\n"


def _foot(pictures: bool) -> str:
    if pictures:
        return "The pictures are beside this page as PNG files, for other documents."
    return (
        "The pictures are not there as PNG files, for matplotlib is not installed: "
        "pip install 'isoconv[report]', then isoconv report."
    )


def _lines(value: str) -> Html:
    return joined(value.split("\n"), NEWLINE)


def _layers(subject: Subject) -> Html:
    """Folded up: few want it."""
    content = element("pre", _lines(str(subject.model.summary())))
    opener = f"shapes and parameters of all layers ({subject.weights:,} parameters)"
    return element("details", element("summary", opener), content)


# The top


def _when(subject: Subject) -> str:
    versions = subject.description["versions"]
    began = date_of(subject.facts.get("started"))
    return (f"Trained on {began} with" if began else "Trained with") + (
        f" isoconv {versions.get('isoconv', '')}".rstrip()
    )


def _warnings(subject: Subject) -> list[object]:
    chance = [element("strong", subject.at_chance)] if subject.at_chance else []
    return [*chance, *subject.warnings]


def _skipped(subject: Subject) -> Html:
    """Files that were left out, each with its reason."""
    rows = [(name(path), reason) for path, reason in subject.skipped]
    if not rows:
        return Html()
    content = table(("file", "reason"), rows, kind="skipped")
    if len(rows) <= FEW:
        return content
    return element("details", element("summary", f"all {len(rows):,} files"), content)


def _told(title: str, kind: str, lines: Iterable[object], more: Html = NOTHING) -> Html:
    items = [element("li", line) for line in lines]
    if not items and not more:
        return NOTHING
    return element("div", element("h2", title), element("ul", *items), more, class_=kind)
