"""Runs and measurements for reports, made up or small."""

from __future__ import annotations

import functools
import json
import tempfile
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isoconv import nn
from isoconv.data import Dataset, Samples
from isoconv.train import Evaluation, Trainer

__all__ = [
    "NAMES",
    "RANDOM",
    "Page",
    "dataset_of",
    "evaluation_of",
    "model_of",
    "picture",
    "write_run",
]

RANDOM = np.random.default_rng(0)
NAMES = ("alpha", "<b>beta</b>", "$x^2$ & gamma")


def dataset_of(
    names: tuple[str, ...] = NAMES, count: int = 60, shape: tuple[int, int, int] = (12, 10, 3)
) -> Dataset:
    """Coloured noise in classes that take turns, in files below a folder of each class."""
    images = RANDOM.integers(0, 256, (count, *shape), np.uint8)
    labels = np.arange(count) % len(names)
    data = Dataset.from_arrays(images, labels, names, "made up")
    paths = tuple(f"{names[label]}/{number}.jpg" for number, label in enumerate(labels))
    return Dataset(data.images, data.labels, data.class_names, data.name, paths)


def model_of(classes: int = 3, shape: tuple[int, int, int] = (12, 10, 3)) -> nn.Module:
    """A small model for these images."""
    layers = nn.Conv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(classes)
    return nn.Sequential(*layers).build(shape)


def evaluation_of(labels: np.ndarray, classes: int, every: int = 4) -> Evaluation:
    """A made-up measurement in which every so many-th image is mistaken for the next class.

    0: none is.
    """
    predictions = labels.astype(np.int64)
    if every:
        predictions[::every] = (predictions[::every] + 1) % classes
    probabilities = RANDOM.random((len(labels), classes)).astype(np.float32) * np.float32(0.2)
    probabilities[np.arange(len(labels)), predictions] = RANDOM.uniform(0.5, 1, len(labels))
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    accuracy = np.diagonal(confusion) / np.maximum(confusion.sum(axis=1), 1)
    top1 = float((labels == predictions).mean())
    top5 = 0.975 if classes > 5 else None
    return Evaluation(0.5, top1, top5, confusion, accuracy, predictions, probabilities)


@functools.cache
def description_of_a_run() -> str:
    """The run.json of a small training."""
    images = RANDOM.integers(0, 256, (12, 12, 10, 3), np.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, batch_size=4, progress=False)
        run = trainer.fit((images, np.arange(12) % 3), epochs=1, out=Path(folder) / "run")
        assert run.folder is not None
        return (run.folder / "run.json").read_text()


def write_run(
    folder: Path,
    epochs: int = 3,
    *,
    loss: str = "cross_entropy",
    train: Dataset | None = None,
    facts: dict[str, Any] | None = None,
    accuracy: float = 0.9,
    weights: str = "",
) -> Path:
    """A run folder as the report reads it.

    Args:
        folder: where.
        epochs: how many rows the history has.
        loss: name of the loss.
        train: what was learned from, if samples.csv is to be there.
        facts: to be kept beside the settings.
        accuracy: at the end.
        weights: digest of the weights that the run left, if it is to be known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    description = json.loads(description_of_a_run())
    description["settings"]["loss"]["name"] = loss
    description["settings"]["epochs"] = max(epochs, 1)
    description["facts"] = {"model": "<tiny>"} if facts is None else facts
    description["data"]["train"]["samples"] = 120
    description["versions"]["isoconv"] = "0.1.0"
    description["result"]["epoch"] = description["result"]["epochs"] = epochs
    if weights:
        description["result"]["weights_sha256"] = weights
    if train is not None:
        import hashlib

        listing = Samples.of({"train": train}).content()
        (folder / "samples.csv").write_bytes(listing)
        description["samples_sha256"] = hashlib.sha256(listing).hexdigest()
    (folder / "run.json").write_text(json.dumps(description))
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": 1 / epoch, "val_loss": 1.1 / epoch, "learning_rate": 0.1,
               "seconds": 1.5, "images_per_second": 80.0}  # fmt: skip
        if loss == "cross_entropy":
            row |= {"top1": accuracy - 0.1 / epoch, "val_top1": accuracy - 0.2 / epoch}
        rows.append(row)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


class Page(HTMLParser):
    """Tags, addresses and text of a page; text within one table cell or paragraph is one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    @property
    def text(self) -> str:
        """All that a person reads."""
        return " ".join("".join(self.texts).split())

    def of(self, kind: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a class."""
        return [found for _, found in self.attributes if kind in (found.get("class") or "").split()]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "line", "circle", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Every element ends where it should."""
        if tag in ("img", "meta", "line", "circle", "path"):
            return
        assert self.open.pop() == tag
        if tag in ("p", "td", "th", "li", "dt", "dd", "h1", "h2", "h3", "span", "text", "summary"):
            self.texts.append(" ")

    def handle_data(self, data: str) -> None:
        """Note text."""
        if "style" not in self.open:
            self.texts.append(data)


def picture(content: bytes) -> np.ndarray:
    """A PNG's pixels."""
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))
