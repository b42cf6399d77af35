"""What the page shows of learning, classes and single images."""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.report.album import album, kernels
from isoconv.report.chart import Curve, chart
from isoconv.report.filters import first_filters
from isoconv.report.markup import Html, element, joined, name, table
from isoconv.report.matrix import confusions_listed, matrix, matrix_key
from isoconv.report.subject import PARTS, Subject
from isoconv.report.words import many, part_title, percent
from isoconv.train.scores import Answer
from isoconv.train.stretches import Stretches
from isoconv.train.words import accuracy

RIGHT = 12
"""Pictures of recognised images at most."""
MISTAKES = 24
"""Up to so many mistakes are shown at once; of more, half as many and the others folded up."""
FOLDED = 36
"""Mistakes that are folded up, at most."""


def learning(subject: Subject) -> Html:
    """Loss and accuracy over the epochs, beside what can be had without learning."""
    if not subject.history:
        return Html()
    epochs, loss, shares = subject.epochs, subject.curves("loss"), subject.curves("top1")
    marked = subject.best_epoch or None
    ring = "validation" if subject.watched.startswith("val_") else "training"
    starts = sorted(Stretches.of(subject.settings).starts)
    panels = []
    guess = subject.guessing
    if any(curve.known for curve in loss):
        drawn = chart(
            epochs, loss, label="Loss by epoch", reference=guess, marked=marked, ring=ring,
            starts=starts,
        )  # fmt: skip
        without = "all classes equally likely" if subject.names else "always the mean target"
        said = "" if guess is None else f"{without}: {guess:.3g}"
        panels.append(_panel("Loss", loss, "{:.4g}", said, drawn))
    if any(curve.known for curve in shares):
        title = accuracy(subject.of_places).capitalize()
        scores = subject.scores
        base = None if scores is None else scores.baseline.accuracy
        drawn = chart(
            epochs, shares, label=f"{title} by epoch", form="{:.0%}",
            ticks=(0.0, 0.25, 0.5, 0.75, 1.0), reference=base, marked=marked, ring=ring,
            starts=starts,
        )  # fmt: skip
        said = "" if base is None else f"always the most frequent class: {percent(base)}"
        panels.append(_panel(title, shares, "{:.1%}", said, drawn))
    overlap = subject.curves("iou")
    if any(curve.known for curve in overlap):
        drawn = chart(
            epochs, overlap, label="Mean IoU by epoch", form="{:.0%}",
            ticks=(0.0, 0.25, 0.5, 0.75, 1.0), marked=marked, ring=ring, starts=starts,
        )  # fmt: skip
        panels.append(_panel("Mean IoU", overlap, "{:.1%}", "", drawn))
    words = (
        "Training: the mean over each epoch, every image measured in the step that learned from it."
    )
    if any(curve.kind == "validation" and curve.known for curve in (*loss, *shares)):
        words += " Validation: other images, after each epoch."
    if marked:
        words += f" The ring marks epoch {marked}, that of the {subject.called_best}."
    if starts:
        words += " Where the run was gone on with to more epochs there is an upright line."
    return joined([element("p", words, class_="note"), element("div", *panels, class_="panels")])


def _panel(title: str, curves: Sequence[Curve], form: str, reference: str, drawn: Html) -> Html:
    items = [
        element("span", f"● {curve.name} {form.format(curve.known[-1])}", class_=curve.kind)
        for curve in curves
        if curve.known
    ]
    if reference:
        items.append(element("span", f"┄ {reference}", class_="long"))
    return element("div", element("h3", title), element("p", *items, class_="legend"), drawn)


def mistakes(subject: Subject) -> Html:
    """Images that were taken for another class, with the names of their files."""
    if subject.scores is None:
        return Html()
    wrong = subject.mistakes()
    total = many(len(subject.dataset), "image")
    if not wrong:
        return element("p", f"There are none: all {total} were recognised.")
    first = wrong if len(wrong) <= MISTAKES else wrong[: MISTAKES // 2]
    more = wrong[len(first) : len(first) + FOLDED]
    if not more:
        few = {1: "The one mistake", 2: "Both mistakes"}
        said = f"{few.get(len(wrong), f'All {len(wrong)} mistakes')} among {total}"
        said += "." if len(wrong) == 1 else ", those first of which the network was most certain."
    else:
        said = (
            f"The {len(first)} of {len(wrong):,} mistakes among {total} of which the network was "
            "most certain."
        )
    parts = [element("p", said, class_="note"), _album(subject, first)]
    if more:
        opener = element("summary", f"the next {len(more)}")
        parts.append(element("details", opener, _album(subject, more)))
    return joined(parts)


def _album(subject: Subject, answers: Sequence[Answer]) -> Html:
    return album(subject.dataset.images, subject.names, answers)


def recognised(subject: Subject) -> Html:
    """Images that were recognised."""
    if subject.scores is None:
        return Html()
    shown = subject.recognised(RIGHT)
    if not shown:
        return element("p", "No image was recognised.")
    right = subject.scores.hits
    of = "All" if len(shown) == right else f"{len(shown)} of"
    said = (
        f"{of} {many(right, 'image')} that were recognised: class after class, the most certain of "
        "each first."
    )
    return joined([element("p", said, class_="note"), _album(subject, shown)])


def confused(subject: Subject) -> Html:
    """The most frequent confusions in words, then all of them."""
    if subject.scores is None:
        return Html()
    confusion = subject.evaluation.confusion
    listed = element("div", confusions_listed(confusion, subject.names))
    return joined(
        [
            matrix_key(subject.names),
            element("div", matrix(confusion, subject.names), listed, class_="confused"),
        ]
    )


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def classes(subject: Subject) -> Html:
    """Images of each class in each part, and how well it is told from the others."""
    scores = subject.scores
    if scores is None:
        return Html()
    parts = [part for part in PARTS if subject.counts.get(part)]
    counted = parts or [subject.part]
    rows: list[list[object]] = []
    for title, each in zip(subject.names, scores.classes, strict=True):
        images = [subject.counts[part].get(title, 0) for part in parts] or [each.images]
        rows.append(
            [
                name(title), _share(each.recall), _interval(each.recall_interval),
                _share(each.f1), _share(each.precision), *(f"{count:,}" for count in images),
            ]
        )  # fmt: skip
    totals = [subject.counts[part].total() for part in parts] or [scores.images]
    rows.append(
        [
            element("strong", "all"), element("strong", _share(scores.recall)), "",
            *(element("strong", _share(value)) for value in (scores.f1, scores.precision)),
            *(f"{count:,}" for count in totals),
        ]
    )  # fmt: skip
    titles = (
        "class", "recall", "95% interval", "F1", "precision",
        *(part_title(part) for part in counted),
    )  # fmt: skip
    words = (
        f"Recall, F1 and precision on the {subject.part} part; images of each class in each part. "
        "Recall: of the images of the class, those that were recognised. Precision: of the images "
        "taken for the class, those that are of it. F1: the harmonic mean of both. The last line "
        "has the means over the classes that have images, each counting alike."
    )
    grid = table(titles, rows, range(1, len(titles)), "classes")
    return joined([grid, element("p", words, class_="note")])


def _interval(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.0%} to {ends[1]:.0%}"


def filters(subject: Subject) -> Html:
    """The kernels of the first convolution."""
    found = first_filters(subject.model.parameters())
    return Html() if found is None else kernels(*found)
