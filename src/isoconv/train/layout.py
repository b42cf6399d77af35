"""What a receipt must look like: one with a digest that fits may still make no sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from isoconv.data.files import SPLITS
from isoconv.errors import CheckpointError

__all__ = ["HEAD", "NO_METRICS", "check_layout", "exact_metrics"]

HEAD = (
    "format", "isoconv", "arithmetic", "model", "record", "settings", "data", "samples_sha256",
    "split", "start",
)  # fmt: skip
"""What a receipt says of a run before its first epoch; run.json says the same."""

NO_METRICS = ("epoch", "seconds", "images_per_second")
"""Columns of the history that depend on the clock, or count."""

_Kinds = Mapping[str, type | tuple[type, ...]]

_NOTHING = type(None)
_TOP: _Kinds = {
    "arithmetic": int,
    "data": dict,
    "digest": str,
    "epochs": list,
    "final": (dict, _NOTHING),
    "format": int,
    "isoconv": str,
    "machine": dict,
    "model": dict,
    "record": dict,
    "samples_sha256": str,
    "settings": dict,
    "split": dict,
    "start": str,
}
_MODEL: _Kinds = {
    "graph_sha256": str,
    "layers": list,
    "name": (str, _NOTHING),
    "output_shape": list,
    "parameters": dict,
    "states": dict,
}
_PART: _Kinds = {"samples": int, "sha256": str}
_ENTRY: _Kinds = {
    "details_sha256": str,
    "epoch": int,
    "metrics": dict,
    "optimizer_sha256": str,
    "readable": dict,
    "steps": int,
    "weights_sha256": str,
}
_FINAL: _Kinds = {
    "best_epoch": int,
    "epoch": int,
    "epochs": int,
    "record_sha256": str,
    "stopped": str,
    "test": (dict, _NOTHING),
    "weights_sha256": str,
}


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


def check_layout(path: Path, content: Mapping[str, Any]) -> None:
    """See that a receipt has all its entries, no others, and does not contradict itself.

    Raises:
        CheckpointError: it has not, or does.
    """
    wrong = list(_misplaced("", content, _TOP)) or list(_inner(content))
    if wrong:
        listed = ", ".join(wrong[:10]) + (", …" if len(wrong) > 10 else "")
        raise CheckpointError(f"receipt {path} cannot be read: wrong, missing or unknown {listed}")
    for entry in content["epochs"]:
        if not _readable_agrees(entry):
            raise CheckpointError(
                f"receipt {path} was edited: the readable metrics of epoch {entry['epoch']} are "
                "not those in hexadecimal"
            )
    contradiction = _contradiction(content)
    if contradiction:
        raise CheckpointError(f"receipt {path} contradicts itself: {contradiction}")


def _misplaced(place: str, value: Any, kinds: _Kinds) -> Iterator[str]:
    """Places of entries that are missing, unknown or of a wrong type."""
    if not isinstance(value, dict):
        yield place
        return
    prefix = f"{place}." if place else ""
    for name in sorted({*value, *kinds}):
        kind = kinds.get(name, ())
        allowed = kind if isinstance(kind, tuple) else (kind,)
        # Not isinstance, for True is no number here.
        if name not in value or type(value[name]) not in allowed:
            yield f"{prefix}{name}"


def _inner(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _misplaced("model", content["model"], _MODEL)
    data = content["data"]
    for part in data:
        yield from (
            _misplaced(f"data.{part}", data[part], _PART) if part in SPLITS else [f"data.{part}"]
        )
    if "train" not in data:
        yield "data.train"
    if not content["epochs"]:
        yield "epochs"
    for number, entry in enumerate(content["epochs"]):
        wrong = list(_misplaced(f"epochs[{number}]", entry, _ENTRY))
        yield from wrong
        if not wrong and entry["epoch"] != number:
            yield f"epochs[{number}].epoch"
    if content["final"] is not None:
        yield from _misplaced("final", content["final"], _FINAL)
    if content["start"] not in ("seed", "given"):
        yield "start"
    if type(content["settings"].get("epochs")) is not int:
        yield "settings.epochs"


def _readable_agrees(entry: Mapping[str, Any]) -> bool:
    readable = entry["readable"]
    # What the metrics must have: exact_metrics would make floats of texts and whole numbers, too.
    floats = all(type(value) is float for value in readable.values())
    return floats and exact_metrics(readable) == entry["metrics"]


def _contradiction(content: Mapping[str, Any]) -> str:
    """What two places of a receipt say that cannot both be true; "" for nothing."""
    entries, final = content["epochs"], content["final"]
    epochs, planned = len(entries) - 1, content["settings"]["epochs"]
    if planned < max(epochs, 1):
        return f"{epochs} epochs of {planned!r}"
    if final is None:
        return ""
    kept = final["epoch"]
    if final["epochs"] != epochs or not 0 <= kept <= epochs:
        return (
            f"it ends with {epochs} epochs; the end says {final['epochs']!r}, and weights of epoch "
            f"{kept!r}"
        )
    if final["weights_sha256"] != entries[kept]["weights_sha256"]:
        return (
            f"the final weights are {final['weights_sha256']}, those of epoch {kept} are "
            f"{entries[kept]['weights_sha256']}"
        )
    if (final["test"] is None) == ("test" in content["data"]):
        return "the end has a measurement on the test part, or data have one, and not both"
    if epochs < planned and not final["stopped"]:
        return f"it ended after {epochs} of {planned} epochs, and nothing stopped it"
    return ""
