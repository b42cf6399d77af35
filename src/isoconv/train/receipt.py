"""Receipts: what went into a training and what came out, so that anyone can check it.

::

    RUN/
      receipt.json   versions, model, settings, data, and for each epoch the digests and metrics
      steps.jsonl    for each epoch a line: the loss of every step, the digest of every tensor

``receipt.json`` is what is compared. ``steps.jsonl`` serves to name the step and the tensor where
two runs part; the receipt holds the SHA-256 of each of its lines. Of ``receipt.json`` all takes
part but what stands under ``machine`` and ``readable``; its ``digest`` is the SHA-256 of the rest
as compact JSON with sorted keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.errors import CheckpointError
from isoconv.train.files import read_json

__all__ = [
    "FORMAT",
    "Receipt",
    "canonical",
    "differing",
    "exact_metrics",
    "receipt_digest",
]

FORMAT = 1
"""Version of the receipt's layout."""

NO_METRICS = ("epoch", "seconds", "images_per_second")
"""Columns of the history that depend on the clock, or count."""


def canonical(value: Any) -> bytes:
    """Compact JSON with sorted keys in UTF-8; the same value gives the same bytes.

    Raises:
        ValueError: a number is not finite.

    Example:
        >>> canonical({"b": 1, "a": [0.5]})
        b'{"a":[0.5],"b":1}'
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return text.encode()


def receipt_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of what is compared of a receipt, as 64 hexadecimal digits.

    Example:
        >>> receipt_digest({"a": 1, "machine": {"threads": 2}}) == receipt_digest({"a": 1})
        True
    """
    compared = {name: content[name] for name in content if name not in ("digest", "machine")}
    compared["epochs"] = [
        {name: entry[name] for name in entry if name != "readable"}
        for entry in content.get("epochs", [])
    ]
    return hashlib.sha256(canonical(compared)).hexdigest()


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


# Reading


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that was read and that agrees with itself.

    Attributes:
        path: of ``receipt.json``.
        content: all of it.
        details: lines of ``steps.jsonl`` by epoch, those that the receipt vouches for.
        problems: what is wrong with ``steps.jsonl``.
    """

    path: Path
    content: Mapping[str, Any]
    details: Mapping[int, Mapping[str, Any]]
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> Receipt:
        """Read the receipt of a run folder.

        Raises:
            CheckpointError: there is none, it is truncated, of another format, or was edited.
        """
        path = Path(folder) / "receipt.json"
        if not path.exists():
            raise CheckpointError(f"{folder} has no receipt.json, so there is nothing to check")
        content = read_json(path, "receipt")
        if content.get("format") != FORMAT:
            raise CheckpointError(
                f"receipt {path} must be of format {FORMAT}, which this isoconv reads; it is "
                f"{content.get('format')!r}"
            )
        try:
            found = receipt_digest(content)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"receipt {path} cannot be read: {error}") from error
        if content.get("digest") != found:
            edited = _where_edited(Path(folder), content)
            raise CheckpointError(
                f"receipt {path} was edited: its digest must be {content.get('digest')}; it is "
                f"{found}" + (f". It is not what the run folder says: {edited}" if edited else "")
            )
        _check_layout(path, content)
        details, problems = _read_details(Path(folder), content["epochs"])
        return cls(path, content, details, problems)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.path.parent

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What is said of the state before the first epoch and after each."""
        return list(self.content["epochs"])

    @property
    def epochs(self) -> int:
        """How many epochs it vouches for."""
        return len(self.entries) - 1

    @property
    def planned(self) -> int:
        """How many epochs the run was to have."""
        return int(self.content["settings"]["epochs"])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain values."""
        return dict(self.content["settings"])

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.content["final"] is not None

    def check_arithmetic(self) -> None:
        """See that this isoconv computes by the rules that the run followed.

        Raises:
            CheckpointError: it does not.
        """
        written = self.content["arithmetic"]
        if written != ARITHMETIC_VERSION:
            raise CheckpointError(
                f"receipt {self.path} must be of arithmetic version {ARITHMETIC_VERSION}, which "
                f"this isoconv computes; it is {written!r} (isoconv {self.content['isoconv']})"
            )


_LAYOUT: dict[str, type | tuple[type, ...]] = {
    "arithmetic": int,
    "data": dict,
    "epochs": list,
    "final": (dict, type(None)),
    "isoconv": str,
    "model": dict,
    "normalisation": (dict, type(None)),
    "settings": dict,
    "start": str,
}
_ENTRY: dict[str, type] = {
    "epoch": int,
    "weights_sha256": str,
    "optimizer_sha256": str,
    "details_sha256": str,
    "steps": int,
    "metrics": dict,
}


_MODEL: dict[str, type | tuple[type, ...]] = {
    "name": (str, type(None)),
    "layers": list,
    "input_shape": list,
    "output_shape": list,
    "parameters": dict,
    "states": dict,
    "graph_sha256": str,
}


def _check_layout(path: Path, content: Mapping[str, Any]) -> None:
    """A receipt may carry a digest that fits it and still make no sense."""
    wrong = [name for name, kind in _LAYOUT.items() if not isinstance(content.get(name), kind)]
    entries = content["epochs"] if "epochs" not in wrong else []
    for number, entry in enumerate(entries):
        fits = isinstance(entry, dict) and all(
            isinstance(entry.get(name), kind) for name, kind in _ENTRY.items()
        )
        if not fits or entry["epoch"] != number:
            wrong.append(f"epochs[{number}]")
    if "data" not in wrong:
        wrong += [
            f"data.{part}"
            for part, found in content["data"].items()
            if not isinstance(found, dict) or set(found) != {"samples", "sha256"}
        ]
        wrong += [] if "train" in content["data"] else ["data.train"]
    if "model" not in wrong:
        model = content["model"]
        wrong += [
            f"model.{name}"
            for name, kind in _MODEL.items()
            if not isinstance(model.get(name), kind)
        ]
    if not entries and "epochs" not in wrong:
        wrong.append("epochs")
    if wrong:
        raise CheckpointError(f"receipt {path} cannot be read: wrong or missing {', '.join(wrong)}")
    for entry in entries:
        try:
            agrees = exact_metrics(entry["readable"]) == entry["metrics"]
        except (KeyError, TypeError, ValueError, AttributeError):
            agrees = False
        if not agrees:
            raise CheckpointError(
                f"receipt {path} was edited: the readable metrics of epoch {entry['epoch']} are "
                "not those in hexadecimal"
            )
    planned = content["settings"].get("epochs")
    if not isinstance(planned, int) or planned < len(entries) - 1:
        raise CheckpointError(
            f"receipt {path} contradicts itself: {len(entries) - 1} epochs of {planned!r}"
        )
    final, last = content["final"], entries[-1]
    if final is not None and final.get("weights_sha256") != last["weights_sha256"]:
        raise CheckpointError(
            f"receipt {path} contradicts itself: the final weights are "
            f"{final.get('weights_sha256')}, those of epoch {last['epoch']} are "
            f"{last['weights_sha256']}"
        )


def _read_details(
    folder: Path, entries: list[dict[str, Any]]
) -> tuple[dict[int, Mapping[str, Any]], tuple[str, ...]]:
    path = folder / "steps.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        return {}, (f"{path} cannot be read ({error.strerror or error})",)
    details: dict[int, Mapping[str, Any]] = {}
    problems = []
    for epoch, entry in enumerate(entries):
        line = lines[epoch] if epoch < len(lines) else b""
        whole = hashlib.sha256(line).hexdigest() == entry["details_sha256"]
        found = _detail(line) if whole else None
        if found is not None:
            details[epoch] = found
        else:
            what = "is not the one that was written" if line else "is missing"
            problems.append(f"{path}: the line of epoch {epoch} {what}")
    return details, tuple(problems)


def _detail(line: bytes) -> dict[str, Any] | None:
    """A line of ``steps.jsonl``, if it is one."""
    try:
        found = json.loads(line)
        epoch = int(found["epoch"])
        losses = [str(loss) for loss in found["losses"]]
        tensors = [[str(name), str(digest)] for name, digest in found["tensors"]]
    except (ValueError, KeyError, TypeError):
        return None
    return {"epoch": epoch, "losses": losses, "tensors": tensors}


def _where_edited(folder: Path, content: Mapping[str, Any]) -> str:
    """Where an edited receipt differs from what else the folder holds."""
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
        lines = (folder / "steps.jsonl").read_bytes().splitlines()
        rows = [json.loads(row) for row in (folder / "metrics.jsonl").read_bytes().splitlines()]
        entries = content["epochs"]
        given = {
            "settings": {**content["settings"]},
            "data": {part: _two(value) for part, value in content["data"].items()},
            "normalisation": content["normalisation"],
            "model": {name: content["model"][name] for name in ("parameters", "states")},
            "details": [entry["details_sha256"] for entry in entries],
            "metrics": [entry["metrics"] for entry in entries[1:]],
            "weights": [entry["weights_sha256"] for entry in (entries[0], entries[-1])],
        }
        stopping = {"epochs": run["epochs"], "early_stopping": run["early_stopping"]}
        last = run.get("result", {}).get("weights_sha256", entries[-1]["weights_sha256"])
        wanted = {
            "settings": {**run["settings"], **stopping},
            "data": {part: _two(run["data"].get(part)) for part in content["data"]},
            "normalisation": run["normalisation"],
            "model": {name: run["model"][name] for name in ("parameters", "states")},
            "details": [hashlib.sha256(line).hexdigest() for line in lines[: len(entries)]],
            "metrics": [exact_metrics(row) for row in rows[: len(entries) - 1]],
            "weights": [run["model"]["first_weights_sha256"], last],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return ""
    return ", ".join(leaf for leaf, _, _ in differing(given, wanted))


def _two(data: Mapping[str, Any] | None) -> Any:
    return None if data is None else {name: data[name] for name in ("samples", "sha256")}


def differing(a: Any, b: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two plain values differ: (place, value in the first, value in the second).

    Example:
        >>> list(differing({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}))
        [('a.b', 1, 3)]
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted({*a, *b}):
            inner = f"{place}.{name}" if place else str(name)
            yield from differing(a.get(name), b.get(name), inner)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for number, (first, second) in enumerate(zip(a, b, strict=True)):
            yield from differing(first, second, f"{place}[{number}]")
    # 1 and 1.0 and True are equal in Python, but not in a receipt.
    elif a != b or type(a) is not type(b):
        yield place, a, b
