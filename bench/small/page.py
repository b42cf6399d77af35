"""The table of small data sets: what both reached, how sure that is, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.small.measure import LONGER
from isoconv.train import wilson_interval

__all__ = ["rows"]

CLOCKS = {"wall": "seconds", "processor": "processor seconds"}


def rows(content: Mapping[str, Any]) -> list[str]:
    """The table's lines, a row for each set."""
    clocks = dict.fromkeys(CLOCKS[row["clock"]] for row in content["rows"])
    seconds = " or ".join(clocks)
    titles = (
        "pictures", "to train on, to test with, classes", "isoconv", f"{seconds}, first (again)",
        "epochs, batch, pixels", f"PyTorch, as many {seconds}", "its epochs", "twice as many",
    )  # fmt: skip
    lines = [
        f"| {' | '.join(titles)} |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    return [*lines, *(f"| {' | '.join(_cells(row))} |" for row in content["rows"])]


def _cells(row: Mapping[str, Any]) -> list[str]:
    pictures, seconds = row["pictures"], row["seconds"]
    ours = row["facts"]["isoconv"]["runs"][0]
    theirs = row["facts"].get("torch", {"runs": []})["runs"]
    epochs = [run["reached"][0]["epochs"] for run in theirs]
    return [
        f"{row['work']}: {pictures['what']}",
        f"{pictures['train']:,}, {pictures['test']:,}, {pictures['classes']}",
        _accuracy(row, "isoconv"),
        f"{seconds['cold']:.1f} ({seconds['warm']:.1f})",
        f"{ours['epochs']}, {ours['batch']}, {'x'.join(map(str, ours['image_shape']))}",
        _accuracy(row, "torch"),
        " to ".join(dict.fromkeys(f"{most:.3g}" for most in (min(epochs), max(epochs))))
        if epochs
        else "",
        _accuracy(row, LONGER),
    ]


def _accuracy(row: Mapping[str, Any], name: str) -> str:
    """The mean over the seeds with its 95% interval; isoconv's in bold where it is no worse."""
    if name not in row["values"]:
        return ""
    value, images = row["values"][name], row["pictures"]["test"]
    low, high = wilson_interval(round(value / 100 * images), images)
    text = f"{value:.1f}%"
    best = name == "isoconv" and value >= row["values"].get("torch", 101)
    return f"{f'**{text}**' if best else text} ({100 * low:.1f} to {100 * high:.1f})"
