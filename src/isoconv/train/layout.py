"""What the files of a run folder must look like: the schema of each, in one place.

A receipt whose digest fits may still make no sense, and every other file may be a stranger's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isoconv.data.files import SPLITS
from isoconv.nn.record import DESCRIBED
from isoconv.nn.schema import (
    EXACT,
    FLAG,
    NUMBER,
    PLAIN,
    SHA256,
    SIDES,
    Checked,
    Exactly,
    Fields,
    Floats,
    Maybe,
    Named,
    Number,
    Rows,
    Text,
    Whole,
    inner,
)
from isoconv.train.settings import ALL, HELD

FORMAT = 2
"""Version of the run folder, its receipt included."""
HEAD = (
    "format", "isoconv", "arithmetic", "model", "record", "settings", "data", "samples_sha256",
    "split", "start",
)  # fmt: skip
"""What a receipt says of a run before its first epoch; run.json says the same."""
SKIPPED = "skipped"
"""What both say besides, of a run whose source has files that cannot be read and were left out."""
FROM = "from"
"""What both say besides, of a run that began from another model."""

EXECUTORS = "executors"
"""What run.json says besides, of a run whose executors had something to tell of themselves."""

NO_METRICS = ("epoch", "seconds", "images_per_second")
"""Columns of the history that depend on the clock, or count."""
MOST_EPOCHS = 2**32 - 1
_MOST_STEPS = 2**63 - 1
_NAME = Text("(?s).+", "the name of a metric or a tensor", 4096)


def exact_metrics(row: Mapping[str, Any]) -> dict[str, str | None]:
    """The metrics of a row of the history as exact hexadecimal floats.

    Example:
        >>> exact_metrics({"epoch": 1, "loss": 0.75, "seconds": 1.5})
        {'loss': '0x1.8000000000000p-1'}
    """
    return {
        name: None if value is None else float(value).hex()
        for name, value in row.items()
        if name not in NO_METRICS
    }


def head_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a receipt or run.json says of a run before its first epoch.

    Example:
        >>> head_of({"format": 2, "skipped": ["cat/1.jpg"], "epochs": []})
        {'format': 2, 'skipped': ['cat/1.jpg']}
    """
    return {name: content[name] for name in (*HEAD, SKIPPED, FROM) if name in content}


# How a run began

_Places = Iterator[tuple[Sequence[str | int], str, Any]]

_MODEL = Fields(
    {
        "graph_sha256": SHA256,
        "layers": Rows(Rows(Text(longest=2**20), least=2, most=2)),
        "name": Maybe(Text()),
        "output_shape": SIDES,
        "parameters": Named(SIDES, _NAME),
        "states": Named(SIDES, _NAME),
    }
)


def _settings(found: Mapping[str, Any]) -> _Places:
    if found["shard_size"] > found["batch_size"]:
        rule = f"be at most batch_size, {found['batch_size']}"
        yield ("shard_size",), rule, found["shard_size"]
    before, end = -1, 0
    for number, row in enumerate(found.get("stretches", [])):
        # Each begins where the one before has ended, and that is after its first epoch.
        if not before < row["after"] <= end or row["after"] >= row["until"]:
            rule = f"begin after epoch {before + 1} … {end}, and before its own end"
            yield ("stretches", number), rule, row
        before, end = row["after"], row["until"]
    if "stretches" in found and not before < found["epochs"] <= end:
        rule = f"be an epoch of the last stretch, {before + 1} … {end}"
        yield ("epochs",), rule, found["epochs"]
    if len(found.get("stretches", [])) == 1 and end == found["epochs"]:
        yield ("stretches",), "not be there, for one stretch has all epochs", found["stretches"]


_STRETCH = Fields({"after": Whole(0, MOST_EPOCHS), "until": Whole(1, MOST_EPOCHS)})
_SETTINGS = Checked(
    Fields(
        {name: ALL[name].schema(name) for name in HELD if not ALL[name].sparse},
        {
            **{name: ALL[name].schema(name) for name in HELD if ALL[name].sparse},
            # Only of a run of which other epochs were asked for later.
            "stretches": Rows(_STRETCH, least=1),
        },
    ),
    _settings,
)
_PART = Fields({"samples": Whole(1, 2**48), "sha256": SHA256})
_HEAD = {
    "format": Exactly(FORMAT),
    "isoconv": Text(longest=80),
    "arithmetic": Whole(1),
    "model": _MODEL,
    "record": DESCRIBED,
    "settings": _SETTINGS,
    "data": Fields({"train": _PART}, {part: _PART for part in SPLITS if part != "train"}),
    "samples_sha256": SHA256,
    "split": Named(PLAIN),
    "start": Exactly("seed", "given"),
}
_PATHS = Rows(Text("(?s).+", "the path of a file"), least=1)
_FROM = Fields(
    {
        "digest": SHA256,
        "new": Rows(_NAME),
        "taken_sha256": SHA256,
        "weights_sha256": SHA256,
    }
)
_FINAL = Fields(
    {
        "best_epoch": Whole(0, MOST_EPOCHS),
        "epoch": Whole(0, MOST_EPOCHS),
        "epochs": Whole(0, MOST_EPOCHS),
        "record_sha256": SHA256,
        "stopped": Text(),
        "test": Maybe(Named(EXACT, _NAME, most=1000)),
        "weights_sha256": SHA256,
    }
)

_EARLIER = Fields({"epoch": Whole(0, MOST_EPOCHS), "weights_sha256": SHA256})
"""Of which epoch the weights are that a run had come to, as long as there are no later ones."""

_FURTHER = Fields({"epochs": Whole(1, MOST_EPOCHS), "facts": Named(PLAIN)})
"""What was asked for later: so many epochs in all, and by whom."""

RUN = Fields(
    {
        **_HEAD,
        "facts": Named(PLAIN),
        "keep_checkpoints": FLAG,
        "versions": Named(PLAIN),
    },
    # The first is written before the end, and goes with it; the second is there while a run that
    # had ended is gone on with. `reads` is there where images lay in a file.
    {
        "stopped": Text(),
        "earlier": _EARLIER,
        "result": _FINAL,
        "further": Rows(_FURTHER, least=1),
        EXECUTORS: Rows(Named(PLAIN), least=1),
        "reads": Named(Whole(1, 2**63)),
        SKIPPED: _PATHS,
        FROM: _FROM,
    },
)
"""``run.json``."""

# What came of it


def _entry(found: Mapping[str, Any]) -> _Places:
    exact = exact_metrics(found["readable"])
    if exact != found["metrics"]:
        # No digest is taken of them.
        rule = "be the metrics in decimals, and was edited"
        yield ("readable",), rule, found["readable"]


_ENTRY = Checked(
    Fields(
        {
            "details_sha256": SHA256,
            "epoch": Whole(0, MOST_EPOCHS),
            "metrics": Named(EXACT, _NAME, most=1000),
            "optimizer_sha256": SHA256,
            "readable": Floats(),
            "steps": Whole(0, _MOST_STEPS),
            "weights_sha256": SHA256,
        }
    ),
    _entry,
)
_WITHIN = Fields(
    {
        "epoch": Whole(0, MOST_EPOCHS),
        "losses_sha256": SHA256,
        "optimizer_sha256": SHA256,
        "step": Whole(1, _MOST_STEPS),
        "sums": Named(EXACT, _NAME, most=1000),
        "weights_sha256": SHA256,
    }
)


def _receipt(found: Mapping[str, Any]) -> _Places:
    """What two places say that cannot both be true."""
    entries, final, within = found["epochs"], found["final"], found.get("within", [])
    epochs, planned = len(entries) - 1, found["settings"]["epochs"]
    for number, entry in enumerate(entries):
        if entry["epoch"] != number:
            yield ("epochs", number, "epoch"), f"be {number}", entry["epoch"]
    if planned < max(epochs, 1):
        yield ("epochs",), f"be at most settings.epochs, {planned}", epochs
    for number, entry in enumerate(within):
        if entry["epoch"] > epochs:
            yield ("within", number, "epoch"), f"be at most {epochs}, the last", entry["epoch"]
    if final is None:
        return
    if within:
        yield ("within",), "not be there, for the run has ended", within
    if final["epochs"] != epochs:
        yield ("final", "epochs"), f"be {epochs}, as many as there are", final["epochs"]
    for name in ("epoch", "best_epoch"):
        if final[name] > epochs:
            yield ("final", name), f"be at most {epochs}, the last epoch", final[name]
    kept = entries[min(final["epoch"], epochs)]["weights_sha256"]
    if final["weights_sha256"] != kept:
        rule = f"be {kept}, the weights of epoch {final['epoch']}"
        yield ("final", "weights_sha256"), rule, final["weights_sha256"]
    if (final["test"] is None) == ("test" in found["data"]):
        yield ("final", "test"), "be there just where data.test is", final["test"]
    if epochs < planned and not final["stopped"]:
        rule = f"say what ended the run after {epochs} of {planned} epochs"
        yield ("final", "stopped"), rule, final["stopped"]


RECEIPT = Checked(
    Fields(
        {
            **_HEAD,
            "digest": SHA256,
            "epochs": Rows(_ENTRY, least=1),
            "final": Maybe(_FINAL),
            "machine": Named(PLAIN),
        },
        {"within": Rows(_WITHIN, least=1, most=2), SKIPPED: _PATHS, FROM: _FROM},
    ),
    _receipt,
)
"""``receipt.json``."""

DETAILS = Fields(
    {
        "epoch": Whole(0, MOST_EPOCHS),
        "losses": Rows(Text(r"-?0x[01](\.[0-9a-f]{1,6})?p[+-][0-9]{1,3}", "a float32 number")),
        "tensors": Rows(Rows(Text(longest=4096), least=2, most=2)),
    }
)
"""A line of ``steps.jsonl``."""


class _Row(Named):
    """A row of the history: numbers by the names of its columns, the epoch a whole one."""

    def __init__(self) -> None:
        super().__init__(NUMBER, _NAME, 1000)

    def faults(self, value: Any, place: str) -> Iterator[Any]:
        """Those of all columns; the number of the epoch must be there."""
        yield from super().faults(value, place)
        if type(value) is dict:
            yield from Whole(1, MOST_EPOCHS).faults(value.get("epoch"), inner(place, "epoch"))


ROW = _Row()
"""A line of ``metrics.jsonl``, and an entry of the history in ``last.json``."""


def _last(found: Mapping[str, Any]) -> _Places:
    if len(found["history"]) != found["epoch"]:
        rule = f"have a row for each of the {found['epoch']} epochs"
        yield ("history",), rule, len(found["history"])
    for number, row in enumerate(found["history"], 1):
        if row["epoch"] != number:
            yield ("history", number - 1, "epoch"), f"be {number}", row["epoch"]
    # A run whose receipt was deleted keeps none.
    if len(found["losses"]) not in (0, found["step"]):
        rule = f"have a loss for each of the {found['step']} steps, or none"
        yield ("losses",), rule, len(found["losses"])


LAST = Checked(
    Fields(
        {
            "epoch": Whole(0, MOST_EPOCHS),
            "file": Text(r"[^/\\\0]+\.safetensors", "the name of a file beside it", 200),
            "format": Exactly(FORMAT),
            "history": Rows(ROW),
            "losses": Rows(EXACT),
            "seconds": Number(least=0),
            "sha256": SHA256,
            "step": Whole(0, _MOST_STEPS),
            "sums": Named(EXACT, _NAME, most=1000),
            "weights_sha256": SHA256,
        }
    ),
    _last,
)
"""``checkpoints/last.json``."""
