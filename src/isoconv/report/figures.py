"""The figures at the top of the page."""

from __future__ import annotations

from isoconv.printable import shortened
from isoconv.report.labels import shown
from isoconv.report.markup import Html, element
from isoconv.report.subject import Subject
from isoconv.report.words import duration, loss_of, percent
from isoconv.train.scores import TOP_FIVE_FROM
from isoconv.train.words import accuracy


def gauge(subject: Subject) -> Html:
    """The accuracy with its interval on the way from nothing to all, beside the baseline."""
    scores = subject.scores
    if scores is None:
        return Html()
    width, left, right, middle = 368.0, 30.0, 328.0, 34.0

    def across(share: float) -> str:
        return f"{left + share * (right - left):.1f}"

    def anchored(share: float) -> str:
        return "start" if share < 0.3 else "end" if share > 0.7 else "middle"

    def line(x1: str, x2: str, kind: str, reach: float = 0.0) -> Html:
        return element("line", x1=x1, x2=x2, y1=middle - reach, y2=middle + reach, class_=kind)

    low, high = scores.accuracy_interval
    base = scores.baseline.accuracy
    most = subject.names[scores.baseline.number]
    always = f"always “{_short(most)}”: {percent(base)}"
    parts = [
        line(across(0), across(1), "track"),
        line(across(low), across(high), "interval"),
        line(across(base), across(base), "reference", 10),
        element("circle", cx=across(scores.accuracy), cy=middle, r=7, class_="point"),
        element("text", "0%", x=0, y=middle + 4.5),
        element("text", "100%", x=width, y=middle + 4.5, text_anchor="end"),
        element(
            "text", percent(scores.accuracy), x=across(scores.accuracy), y=middle - 15,
            text_anchor=anchored(scores.accuracy), class_="value",
        ),
        element(
            "text", always, x=across(base), y=middle + 26, text_anchor=anchored(base),
            class_="baseline",
        ),
    ]  # fmt: skip
    said = (
        f"Accuracy {percent(scores.accuracy)}, 95% interval {percent(low)} to {percent(high)}; "
        f"{always}"
    )
    drawn = element("svg", *parts, viewBox=f"0 0 {width:g} 66", role="img", aria_label=said)
    return element("div", drawn, class_="gauge")


def _short(value: str) -> str:
    return shortened(shown(value), 24)


def facts(subject: Subject) -> Html:
    """Accuracy, interval, baseline and what else a person looks for first."""
    part, scores = subject.part, subject.scores
    cells: list[tuple[str, str, str]] = []
    if scores is not None:
        low, high = scores.accuracy_interval
        hits = f"{scores.hits:,} of {scores.images:,} images"
        interval = f"95% interval {percent(low)} to {percent(high)}"
        cells.append((f"{part} {accuracy(False)}", percent(scores.accuracy), f"{hits}; {interval}"))
        learned = "training" if scores.baseline.learned else part
        most = f"always “{_short(subject.names[scores.baseline.number])}”, the most frequent class"
        most += f" of the {learned} part"
        cells.append(("baseline", percent(scores.baseline.accuracy), most))
        cells.append(("mean F1 of classes", percent(scores.f1), ""))
    places = subject.place_scores
    if places is not None:
        pixels = f"{places.hits:,} of {places.images:,} pixels"
        cells.append((f"{part} mean IoU", percent(places.iou), "of the classes of pixels"))
        cells.append((accuracy(True), percent(places.accuracy), pixels))
        most = f"every pixel “{_short(subject.place_names[places.baseline.number])}”"
        cells.append(("baseline", percent(places.baseline.accuracy), f"{accuracy(True)} of {most}"))
    if subject.evaluation.top5 is not None and len(subject.names) >= TOP_FIVE_FROM:
        share = percent(subject.evaluation.top5)
        cells.append(("top-5 accuracy", share, "the right class among the first five"))
    cells.append((f"{part} loss", loss_of(subject.evaluation.loss), ""))
    if scores is None and subject.guessing is not None:
        cells.append(("baseline", loss_of(subject.guessing), "always the mean of these targets"))
        if subject.guessing:
            explained = 1 - subject.evaluation.loss / subject.guessing
            cells.append(("R²", f"{explained:.3f}", "1 - loss / baseline"))
    images = int(subject.description["data"]["train"]["samples"])
    cells.append(("training images", f"{images:,}", ""))
    cells.append(("epochs", str(len(subject.history)), _epochs_kept(subject)))
    if subject.seconds:
        cells.append(("training time", duration(subject.seconds), ""))
    cells.append(("parameters", f"{subject.weights:,}", ""))
    return element(
        "dl",
        *(
            element("div", element("dt", title), element("dd", value, _small(more)))
            for title, value, more in cells
        ),
    )


def _small(more: str) -> Html:
    return element("small", more) if more else Html()


def _epochs_kept(subject: Subject) -> str:
    measured, best = subject.epoch, subject.best_epoch
    if not measured:
        return ""
    said = f"weights of epoch {measured}"
    if best not in (0, measured):
        return f"{said}; {subject.called_best}: epoch {best}"
    lowest = f", that of the {subject.called_best}"
    return said + (lowest if best and len(subject.history) > 1 else "")
