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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.checks import check_count, check_path, shown
from isoconv.errors import CheckpointError, turned
from isoconv.nn.plain import canonical, parse
from isoconv.nn.schema import check
from isoconv.train.callbacks import EarlyStopping, best_epoch, kept_epoch, watched_metric
from isoconv.train.differing import differing
from isoconv.train.files import read_json, read_lines, read_rows
from isoconv.train.layout import DETAILS, RECEIPT, ROW, RUN, exact_metrics, head_of
from isoconv.train.plain_settings import from_plain
from isoconv.train.stand import check_format
from isoconv.train.stretches import Stretches

__public__ = {"isoconv.train": ["Receipt"]}


def receipt_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of what is compared of a receipt, as 64 hexadecimal digits.

    Example:
        >>> receipt_digest({"a": 1, "machine": {"threads": 2}}) == receipt_digest({"a": 1})
        True
    """
    compared = {name: content[name] for name in content if name not in ("digest", "machine")}
    compared["epochs"] = [
        {name: entry[name] for name in entry if name != "readable"}
        if isinstance(entry, dict)
        else entry
        for entry in content.get("epochs", [])
    ]
    return hashlib.sha256(canonical(compared)).hexdigest()


# Reading


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that was read and that agrees with itself.

    Attributes:
        path: of ``receipt.json``.
        content: all of it.
        details: lines of ``steps.jsonl`` by epoch, those that the receipt vouches for.
        problems: what is wrong with ``steps.jsonl``: it or lines of it are missing.
        altered: the lines of it that are not those that were written.
    """

    path: Path
    content: Mapping[str, Any]
    details: Mapping[int, Mapping[str, Any]]
    problems: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> Receipt:
        """Read the receipt of a run folder.

        Raises:
            CheckpointError: there is none, it is truncated, of another format, or was edited.
        """
        path = check_path("folder", folder) / "receipt.json"
        if not path.parent.is_dir():
            what = (
                "a file: give the folder that it lies in" if path.parent.exists() else "not there"
            )
            raise CheckpointError(
                f"a receipt lies in a run's folder; {folder} is {what}",
                path=folder,
            )
        if not path.exists():
            raise CheckpointError(
                f"{folder} has no receipt.json, so there is nothing to check",
                path=folder,
            )
        content = read_json(path, "receipt")
        check_format(path, content, "receipt")
        try:
            found = receipt_digest(content)
        except (ValueError, TypeError) as error:
            raise CheckpointError(
                f"receipt {path} cannot be read: {error}",
                path=path,
            ) from error
        if content.get("digest") != found:
            raise CheckpointError(_edited(path, content, found))
        check(f"receipt {path}", content, RECEIPT)
        return cls(path, content, *_read_details(Path(folder), content))

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
    def stretches(self) -> Stretches:
        """The stretches in which its epochs were asked for."""
        return Stretches.of(self.content["settings"])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain values."""
        return dict(self.content["settings"])

    @property
    def stopping(self) -> EarlyStopping | None:
        """When the run was to end before, or None."""
        found: EarlyStopping | None = from_plain(self.settings["early_stopping"])
        return found

    @property
    def history(self) -> list[dict[str, float]]:
        """The metrics of each epoch."""
        return [dict(entry["readable"]) for entry in self.entries[1:]]

    @property
    def best_epoch(self) -> int:
        """As `Run.best_epoch`.

        Raises:
            CheckpointError: the receipt's metrics make no sense.
        """
        watched = watched_metric(self.stopping, "validation" in self.content["data"])
        with self._metrics():
            return best_epoch(self.history, watched)

    @property
    def kept_epoch(self) -> int:
        """As `Run.kept_epoch`."""
        return self.kept_after(self.epochs)

    def kept_after(self, epochs: int) -> int:
        """The epoch whose weights the run left, or would have left, after so many epochs.

        Raises:
            ArgumentError: a number below 0.
            CheckpointError: the receipt's metrics make no sense.
        """
        history = self.history[: check_count("epochs", epochs, least=0)]
        with self._metrics():
            return kept_epoch(history, self.stopping)

    @contextmanager
    def _metrics(self) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            raise CheckpointError(
                f"receipt {self.path} cannot be read: an epoch has no {error}",
                path=self.path,
            ) from error

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
                f"this isoconv computes; it is {written!r} (isoconv {self.content['isoconv']})",
                path=self.path,
            )


def _read_details(
    folder: Path, content: Mapping[str, Any]
) -> tuple[dict[int, Mapping[str, Any]], tuple[str, ...], tuple[str, ...]]:
    path, entries = folder / "steps.jsonl", content["epochs"]
    if not path.exists():
        return {}, (f"{path} is not there",), ()
    lines, end = read_lines(path)
    details: dict[int, Mapping[str, Any]] = {}
    altered = [f"{path}: the last line has no end"] if end else []
    lines += [end] if end else []
    for epoch, entry in enumerate(entries):
        line = lines[epoch] if epoch < len(lines) else b""
        if hashlib.sha256(line).hexdigest() != entry["details_sha256"]:
            what = "is not the one that was written" if line else "is missing"
            altered.append(f"{path}: the line of epoch {epoch} {what}")
            continue
        found = _detail(line, f"{path}, the line of epoch {epoch},")
        if found["epoch"] != epoch or len(found["losses"]) != entry["steps"]:
            altered.append(f"{path}: the line of epoch {epoch} is that of another one")
        details[epoch] = found
    # A run that was killed may have written the next epoch's line already.
    if len(lines) > len(entries) + (content["final"] is None):
        altered.append(f"{path}: there are lines behind that of the last epoch")
    return details, (), tuple(altered)


def _detail(line: bytes, what: str) -> Mapping[str, Any]:
    """A line of ``steps.jsonl``.

    Raises:
        CheckpointError: it is none.
    """
    try:
        found = parse(line)
    except ValueError as error:
        raise turned(error, CheckpointError, f"{what} cannot be read") from error
    check(what, found, DETAILS)
    return dict(found)


def _edited(path: Path, content: Mapping[str, Any], found: str) -> str:
    """The message about a receipt whose digest does not fit."""
    named, edited = content.get("digest"), _where_edited(path.parent, content)
    named = named if isinstance(named, str) and len(named) == len(found) else shown(named)
    where = f". It is not what the run folder says: {edited}" if edited else ""
    return f"receipt {path} was edited: its digest must be {named}; it is {found}{where}"


def _where_edited(folder: Path, content: Mapping[str, Any]) -> str:
    """Where an edited receipt differs from what else the folder holds."""
    try:
        run = read_json(folder / "run.json", "run", RUN)
        lines, _ = read_lines(folder / "steps.jsonl")
        rows, _ = read_rows(folder / "metrics.jsonl", ROW)
        entries = content["epochs"]
        given = {
            **head_of(content),
            "details": [entry["details_sha256"] for entry in entries],
            "metrics": [entry["metrics"] for entry in entries[1:]],
            "final": content["final"],
        }
    except (CheckpointError, ValueError, KeyError, TypeError, IndexError):
        # Nothing to compare it with, or no receipt: that it was edited is said all the same.
        return ""
    wanted = {
        **head_of(run),
        "details": [hashlib.sha256(line).hexdigest() for line in lines[: len(entries)]],
        "metrics": [exact_metrics(row) for row in rows[: len(entries) - 1]],
        "final": run.get("result"),
    }
    places = [place[:160] for place, _, _ in differing(given, wanted)]
    return ", ".join(places[:10]) + (", …" if len(places) > 10 else "")
