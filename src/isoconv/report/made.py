"""What the page says of how a run was made: data, settings, epochs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isoconv.report.markup import Html, element, joined, name, table, text
from isoconv.report.subject import PARTS, Subject
from isoconv.report.words import date_of, many, part_title, settings_in_words
from isoconv.train.stretches import Stretches
from isoconv.train.words import accuracy, metric

SHORT = 12
"""Digits of a digest that people compare by eye."""


def data(subject: Subject) -> Html:
    """Name, place and parts of the data, with their digests."""
    parts, dataset = subject.description["data"], subject.dataset
    height, width, channels = dataset.image_shape
    colours = {1: "gray", 3: "colour"}.get(channels, f"{channels} channels")
    rows: list[tuple[object, object]] = [("name", name(dataset.name))]
    if subject.place and subject.place != dataset.name:
        rows.append(("place", name(subject.place)))
    rows.append(("images", f"{height}x{width} pixels (height x width), {colours}"))
    if subject.names:
        rows.append(("classes", f"{len(subject.names):,}"))
    for part in PARTS:
        if part in parts:
            digest = element("code", parts[part]["sha256"][:SHORT], title=parts[part]["sha256"])
            images = many(int(parts[part]["samples"]), "image")
            rows.append((part_title(part), joined([f"{images}, SHA-256 ", digest, "…"])))
    rows += _split(subject.description.get("split") or {})
    return table((), rows, kind="settings")


def _split(how: Mapping[str, Any]) -> list[tuple[object, object]]:
    """How the parts were made of their source, in words; what is not known is told as it is."""
    rows: list[tuple[object, object]] = []
    held = [f"{how[part]:.3g} for {part}" for part in PARTS if isinstance(how.get(part), float)]
    if held:
        seed = f", by seed {how['split_seed']}" if "split_seed" in how else ""
        fractions = f"{' and '.join(held)}, where the data have no such part{seed}"
        rows.append(("held out of training", fractions))
    size = how.get("size")
    if isinstance(size, list) and len(size) == 2:
        rows.append(("asked for", f"pictures of {size[0]}x{size[1]} pixels"))
    told = {*PARTS, "split_seed", "size"}
    rest = [(key, value) for key, value in how.items() if key not in told and value is not None]
    return rows + [(key.replace("_", " "), text(value)) for key, value in rest]


def training(subject: Subject) -> Html:
    """Command, settings in words, best epoch, weights and versions."""
    first = _first_stretch(subject)
    rows: list[tuple[object, object]] = []
    began = date_of(subject.facts.get("started"))
    if began:
        rows.append(("started", began))
    if subject.model_name:
        rows.append(("network", name(subject.model_name)))
    start, known = subject.description.get("from"), subject.facts.get("from")
    if isinstance(start, dict):
        told = Path(str(known.get("model") or "")).name if isinstance(known, Mapping) else ""
        digest = element("code", f"sha256:{start['weights_sha256']}")
        rows.append(("began from", joined([name(told or "a trained model"), " ", digest])))
    rows += settings_in_words(subject.settings)
    chosen = subject.facts.get("chosen")
    if isinstance(chosen, Mapping) and chosen.get("why"):
        rows.append((f"not given{first}", str(chosen["why"])))
    if subject.best_epoch:
        best = f"epoch {subject.best_epoch} of {len(subject.history)}"
        rows.append((subject.called_best, best))
    if subject.kept_epoch:
        rows.append(("kept weights", f"those of epoch {subject.kept_epoch}"))
    result = subject.description.get("result")
    stopped = result.get("stopped") if isinstance(result, dict) else ""
    if stopped:
        rows.append(("ended early", stopped))
    digest = element("code", f"sha256:{subject.model.digest()}")
    rows.append(("weights", digest))
    versions = subject.description["versions"]
    rows.append(("versions", ", ".join(f"{key} {value}" for key, value in versions.items())))
    parts = [table((), rows, kind="settings")]
    command = subject.facts.get("command")
    if isinstance(command, str):
        told = element("pre", subject.without_place(command), class_="command")
        parts = [told, *parts]
        if first:
            said = f"The command of the first stretch{first}; the later ones have others."
            parts.insert(0, element("p", said, class_="note"))
    return joined([*parts, *_further(subject)])


def _further(subject: Subject) -> list[Html]:
    """The commands by which other epochs were asked for later."""
    found: list[Html] = []
    for wish in subject.description.get("further", []):
        command = wish["facts"].get("command")
        if isinstance(command, str):
            said = f"Later, {many(wish['epochs'], 'epoch')} in all were asked for:"
            told = element("pre", subject.without_place(command), class_="command")
            found += [element("p", said, class_="note"), told]
    return found


def _first_stretch(subject: Subject) -> str:
    """Whose epochs those settings are that were chosen at the start; "" for those of all."""
    rows = Stretches.of(subject.settings).rows
    return "" if len(rows) == 1 else f" (epochs 1 to {rows[1].after})"


def epochs(subject: Subject) -> Html:
    """A row for each epoch; of many, folded up."""
    columns = (
        ("epoch", "epoch", "{}"),
        ("loss", "loss", "{:.4f}"),
        ("top1", accuracy(subject.of_places), "{:.2%}"),
        ("val_loss", "validation loss", "{:.4f}"),
        ("val_top1", metric("val_top1", subject.of_places), "{:.2%}"),
        ("val_iou", "validation mean IoU", "{:.2%}"),
        ("learning_rate", "learning rate", "{:.3g}"),
        ("seconds", "seconds", "{:.1f}"),
        ("images_per_second", "images/s", "{:,.0f}"),
    )
    history = subject.history
    present = [column for column in columns if any(column[0] in row for row in history)]
    rows = [
        [form.format(row[key]) if row.get(key) is not None else "-" for key, _, form in present]
        for row in history
    ]
    if not rows:
        return Html()
    grid = table([title for _, title, _ in present], rows, range(len(present)), "epochs")
    if len(rows) <= 12:
        return grid
    return element("details", element("summary", many(len(rows), "epoch")), grid)
