"""How trainers, runs and evaluations show themselves at a prompt and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isoconv.cards import Card, Curve, Table, first_and_last
from isoconv.checks import shown
from isoconv.nn import Module
from isoconv.nn.shown import brief
from isoconv.printable import printable
from isoconv.train.losses import Loss
from isoconv.train.settings import SETTINGS
from isoconv.train.words import accuracy, called_best, few, gives_places, metric, verdict

if TYPE_CHECKING:
    from isoconv.train.metrics import Evaluation
    from isoconv.train.run import Run
    from isoconv.train.trainer import Trainer

_ALWAYS = ("optimizer", "schedule", "loss", "batch_size", "shard_size")
"""Settings that are shown whatever they are."""
_EPOCHS = 12
"""Rows of the table of a run."""
_NOTES = 3


def trainer_card(trainer: Trainer) -> Card:
    """The model, what decides most, and every other setting that is not the usual one."""
    held = vars(trainer)
    model = held.get("model")
    facts = [("model", brief(model) if isinstance(model, Module) else shown(model))]
    for name, setting in SETTINGS.items():
        value = held.get(name, setting.default)
        if name in _ALWAYS:
            facts.append((name, "by the images" if value is None else _setting(value)))
        elif setting.stored and name in held and not _usual(value, setting.default):
            facts.append((name, _setting(value)))
    return Card("Trainer", tuple(facts))


def run_card(run: Run) -> Card:
    """How far it came, the best epoch, the figures, and what to know before trusting them."""
    asked = run.description.get("settings", {}).get("epochs")
    done = f"{len(run.history)}" if asked is None else f"{len(run.history)} of {asked}"
    title = f"Run of {done} epochs" + (f" in {printable(run.folder)}" if run.folder else "")
    facts = [("stopped", run.stopped)] if run.stopped else []
    rows, places = run.history, gives_places(run.description)
    if rows:
        best = run.best_epoch
        said = f"epoch {best}, {called_best(run.watched, places)}"
        facts.append(("best", f"{said}: {_figures(rows[best - 1], places)}"))
        if best != len(rows):
            facts.append(("last", f"epoch {len(rows)}: {_figures(rows[-1], places)}"))
    if run.test is not None:
        facts.append(("test", _figures(run.test.metrics, places)))
    facts += [("note", line) for line in run.notes[:_NOTES]]
    if len(run.notes) > _NOTES:
        facts.append(("notes", f"{len(run.notes) - _NOTES:,} more in .notes"))
    lines = [
        (name, tuple(float(row[name]) for row in rows))
        for name in ("loss", "val_loss")
        if rows and all(name in row for row in rows)
    ]
    return Card(title, tuple(facts), (), _epochs(rows, places), Curve(tuple(lines), "epoch"))


def evaluation_card(evaluation: Evaluation) -> Card:
    """The figures, what they are worth, and the classes that were recognised least."""
    guess = " (a guess: the model does not say what it was trained with)"
    kind = f"{evaluation.judged_by.words}{guess if evaluation.guessed else ''}"
    facts = [("loss", f"{evaluation.loss:.4f}, {kind}")]
    places = evaluation.of_places
    # Those of one image go together: they are no measurements each, and have no interval.
    scores = None if places else evaluation.scores
    if scores is not None:
        low, high = scores.accuracy_interval
        hits = f"{scores.hits:,} of {scores.images:,}"
        facts.append(
            (accuracy(places), f"{_share(scores.accuracy)} ({hits}; 95% interval {_share(low)} to "
                         f"{_share(high)})")
        )  # fmt: skip
    elif evaluation.top1 is not None:
        each = " of each image's places in the mean" if places else ""
        facts.append((accuracy(places), f"{_share(evaluation.top1)}{each}"))
    if evaluation.iou is not None:
        facts.append(("mean IoU", _share(evaluation.iou)))
    if evaluation.top5 is not None:
        facts.append((f"top-5 {accuracy(places)}", _share(evaluation.top5)))
    if scores is not None:
        base = _class(evaluation, scores.baseline.number)
        facts.append(("baseline", f"{_share(scores.baseline.accuracy)}, always {base}"))
        doubts = (verdict(scores, base), few(scores.images))
        facts += [("note", line) for line in doubts if line]
    known = [
        (float(value), number)
        for number, value in enumerate(evaluation.class_accuracy)
        if np.isfinite(value)
    ]
    if len(known) > 1:
        least, number = min(known)
        most, other = max(known)
        ends = _class(evaluation, number), _class(evaluation, other)
        facts.append(("by class", f"from {_share(least)} ({ends[0]}) to {_share(most)} "
                                  f"({ends[1]})"))  # fmt: skip
    return Card(f"Evaluation of {len(evaluation.predictions):,} images", tuple(facts))


def _class(evaluation: Evaluation, number: int) -> str:
    """A class by its name; a model may have more outputs than the data have classes."""
    names = evaluation.class_names
    return printable(repr(names[number])) if number < len(names) else f"class {number}"


def _epochs(rows: list[dict[str, Any]], places: bool) -> Table | None:
    if not rows:
        return None
    names = [name for name in rows[0] if name != "epoch"]
    cells = [(str(row["epoch"]), *(_cell(name, row.get(name)) for name in names)) for row in rows]
    first, left, last = first_and_last(cells, _EPOCHS)
    gap = [("…", *("" for _ in names))] if left else []
    return Table(
        ("epoch", *(_heading(name, places) for name in names)), (*first, *gap, *last), words=0
    )


def _heading(name: str, places: bool) -> str:
    """A column of the history in words: those of validation after their part."""
    title = metric(name, places)
    return title.removeprefix("training ") if title != name else name.replace("_", " ")


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, (int, float)):
        return ""
    if name.endswith(("top1", "top5", "iou")):
        return _share(value)
    if name == "images_per_second":
        return f"{value:,.0f}"
    return f"{value:.2f}" if name == "seconds" else f"{value:.4g}"


def _figures(row: Mapping[str, Any], places: bool) -> str:
    """Loss and accuracy in a line."""
    told = []
    for prefix, part in (("", ""), ("val_", "validation ")):
        if f"{prefix}loss" in row:
            told.append(f"{part}loss {row[f'{prefix}loss']:.4f}")
        if f"{prefix}top1" in row:
            told.append(f"{part}{accuracy(places)} {_share(row[f'{prefix}top1'])}")
        if f"{prefix}iou" in row:
            told.append(f"{part}mean IoU {_share(row[f'{prefix}iou'])}")
    return ", ".join(told)


def _share(value: float) -> str:
    return f"{100 * value:.2f}%"


def _setting(value: object) -> str:
    """A setting by what is not usual of it."""
    if isinstance(value, Loss):
        smoothing = f", label_smoothing={value.label_smoothing:g}" if value.label_smoothing else ""
        weights = f", class_weights={value.class_weights}" if value.class_weights else ""
        return f"{value.name}{smoothing}{weights}"
    if is_dataclass(value) and not isinstance(value, type):
        told = [
            f"{field.name}={shown(getattr(value, field.name))}"
            for field in fields(value)
            if field.default is MISSING or not _usual(getattr(value, field.name), field.default)
        ]
        return f"{type(value).__name__}({', '.join(told)})"
    return value if isinstance(value, str) else shown(value)


def _usual(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default
