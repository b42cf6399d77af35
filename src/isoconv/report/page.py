"""The report as one HTML page that holds its pictures and needs nothing from elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from isoconv.data import Dataset
from isoconv.nn import Module
from isoconv.printable import printable
from isoconv.train import Evaluation

__all__ = ["Figure", "page"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture for the page.

    Attributes:
        name: of its file, without the ending.
        text: what it shows, for those who cannot see it.
        png: the file's content.
    """

    name: str
    text: str
    png: bytes


STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.5rem 4rem; background: #fff;
       color: #1b2733; font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { margin: 0; font-size: 1.7rem; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.15rem; }
p.note { margin: .2rem 0 1.5rem; color: #5d6b78; }
ul.warning { margin: 0 0 1.5rem; padding: .7rem 1rem .7rem 2rem; border-left: .25rem solid #b2182b;
             background: #fbeeee; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.6rem, 1fr)); gap: .6rem;
     margin: 0 0 1.2rem; }
dl div { padding: .6rem .75rem; border: 1px solid #e3e8ed; border-radius: .4rem; }
dt { color: #5d6b78; font-size: .82rem; }
dd { margin: 0; font-size: 1.2rem; font-weight: 600; color: #2166ac;
     font-variant-numeric: tabular-nums; }
figure { margin: 2rem 0 0; padding-top: 1.2rem; border-top: 1px solid #e3e8ed; }
img { display: block; max-width: 100%; height: auto; }
code, pre { font: .82rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .8rem 1rem; background: #f5f7f9; border-radius: .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem 1.2rem .2rem 0; text-align: right; border-bottom: 1px solid #e3e8ed; }
th { color: #5d6b78; font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
details { margin-top: 1.2rem; }
summary { cursor: pointer; font-weight: 600; }
"""


def page(
    description: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    model: Module,
    dataset: Dataset,
    evaluation: Evaluation,
    figures: Sequence[Figure],
    *,
    part: str = "test",
    notes: Sequence[str] = (),
) -> str:
    """The page.

    Args:
        description: of the run, as in run.json.
        history: a row for each epoch.
        model: the trained model.
        dataset: what it was measured on.
        evaluation: the measurement.
        figures: pictures in the order of the page.
        part: what the data set is to the run.
        notes: what a person should know before trusting the figures.
    """
    facts = description.get("facts") or {}
    name = str(facts.get("model") or "A network")
    heading = _text(f"{name} on {dataset.name}")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{heading}</title><style>{STYLE}</style></head><body>",
        f"<h1>{heading}</h1>",
        f'<p class="note">Measured on the {escape(part)} part: {_many(len(dataset), "image")} held '
        f"out of training{_STEERED.get(part, '')}.</p>",
        _notes(notes),
        _facts(description, history, model, evaluation, part),
        f"<p>weights <code>sha256:{escape(model.digest())}</code></p>",
        *(_figure(figure) for figure in figures),
        _classes(dataset, evaluation),
        _epochs(history),
        _details("Layers", str(model.summary())),
        _details("Settings", json.dumps(description.get("settings"), indent=2, sort_keys=True)),
        _details("Versions", json.dumps(description.get("versions"), indent=2, sort_keys=True)),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


_STEERED = {"validation": ", by which the best epoch is chosen: a test part would tell more"}
"""What is to be said of a part that the training looked at."""


def _text(value: str) -> str:
    """Text of a person's own, such as the name of a class; what cannot be shown is escaped."""
    return escape(printable(value))


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    lines = "".join(f"<li>{_text(line)}</li>" for line in notes)
    return f'<ul class="warning">{lines}</ul>'


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _facts(
    description: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    model: Module,
    evaluation: Evaluation,
    part: str,
) -> str:
    images = int(description["data"]["train"]["samples"])
    cells = []
    if evaluation.top1 is not None:
        cells.append((f"{part} accuracy", f"{evaluation.top1:.2%}"))
    if evaluation.top5 is not None:
        cells.append(("top-5 accuracy", f"{evaluation.top5:.2%}"))
    cells += [
        (f"{part} loss", f"{evaluation.loss:.4f}"),
        ("parameters", f"{sum(array.size for array in model.parameters().values()):,}"),
        ("training images", f"{images:,}"),
        ("epochs", str(len(history))),
    ]
    seconds = [float(row["seconds"]) for row in history if "seconds" in row]
    if seconds:
        cells.append(("training time", f"{sum(seconds):,.1f} s"))
    inner = "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in cells)
    return f"<dl>{inner}</dl>"


def _figure(figure: Figure) -> str:
    data = base64.b64encode(figure.png).decode()
    # The first number of a PNG's header is its width. Shown at two thirds of it, text has the
    # page's size, and screens of a higher resolution have something to show.
    width = int.from_bytes(figure.png[16:20], "big") * 2 // 3
    alt = escape(figure.text, quote=True)
    return (
        f'<figure id="{figure.name}"><img width="{width}" alt="{alt}" '
        f'src="data:image/png;base64,{data}"></figure>'
    )


def _classes(dataset: Dataset, evaluation: Evaluation) -> str:
    if not dataset.class_names or not len(evaluation.class_accuracy):
        return ""
    counts = evaluation.confusion.sum(axis=1)
    rows = [
        (name, f"{int(count):,}", f"{accuracy:.1%}" if count else "-")
        for name, count, accuracy in zip(
            dataset.class_names, counts, evaluation.class_accuracy, strict=False
        )
    ]
    return _table("Classes", ("class", "images", "recognised"), rows)


def _epochs(history: Sequence[Mapping[str, Any]]) -> str:
    columns = (
        ("epoch", "epoch", "{}"),
        ("loss", "loss", "{:.4f}"),
        ("top1", "accuracy", "{:.2%}"),
        ("val_loss", "validation loss", "{:.4f}"),
        ("val_top1", "validation accuracy", "{:.2%}"),
        ("learning_rate", "learning rate", "{:.3g}"),
        ("seconds", "seconds", "{:.1f}"),
        ("images_per_second", "images/s", "{:,.0f}"),
    )
    present = [column for column in columns if any(column[0] in row for row in history)]
    rows = [
        [form.format(row[key]) if key in row else "-" for key, _, form in present]
        for row in history
    ]
    return _table("Epochs", [title for _, title, _ in present], rows)


def _table(heading: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    table = f"<table><tr>{head}</tr>{body}</table>"
    return f'<h2>{escape(heading)}</h2><div class="wide">{table}</div>'


def _details(heading: str, text: str) -> str:
    lines = "\n".join(_text(line) for line in text.split("\n"))
    return f"<details><summary>{escape(heading)}</summary><pre>{lines}</pre></details>"
