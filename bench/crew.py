"""The workers of a run: started when first asked for, left out when they cannot work."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.libraries import ISOCONV, PEERS, PEERS_PYTHON, Peer
from bench.timing import (
    FULL,
    Pace,
    Timing,
    Worker,
    WorkerEndedError,
    WorkerError,
    WorkerTimeoutError,
    alternate,
)
from bench.worker import SHOWN, Array

__all__ = ["Crew", "Entry", "Setting", "Side", "chosen"]

TOLERANCE = 1e-3
"""Largest difference from isoconv's first result, as a share of that result's largest element."""


@dataclass(frozen=True)
class Setting:
    """How a run measures.

    Attributes:
        threads: of every library.
        pace: how long.
        peers: names of the libraries to measure beside.
        verbose: workers may write to standard error.
        only: names of the work to measure; all of it without any.
        seeds: how many trainings of a small data set each library does at most.
        clock: of those trainings: ``"wall"``, or ``"processor"`` where others are at work, too.
    """

    threads: int = 2
    pace: Pace = FULL
    peers: tuple[str, ...] = tuple(peer.name for peer in PEERS)
    verbose: bool = False
    only: tuple[str, ...] = ()
    seeds: int = 3
    clock: str = "wall"

    def wants(self, *names: str) -> bool:
        """Whether work that goes by these names is measured: some word of a name begins so."""
        tails = [tail for name in names for tail in _tails(name)]
        return not self.only or any(
            tail.startswith("".join(_words(word))) for word in self.only for tail in tails
        )

    @property
    def quick(self) -> bool:
        """Whether the figures only show that all works."""
        return self.pace != FULL


def chosen(text: str, works: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The names in a list with commas, of which some have commas themselves.

    Args:
        text: such as "tiny, VGG-11, Winograd", which are two names where there is that row.
        works: the names by which each work goes.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found = []
    while parts:
        sizes = range(len(parts), 1, -1)
        runs = (", ".join(parts[:size]) for size in sizes)
        names = (run for run in runs if any(Setting(only=(run,)).wants(*work) for work in works))
        found.append(next(names, parts[0]))
        del parts[: found[-1].count(",") + 1]
    return tuple(found)


@dataclass(frozen=True)
class Entry:
    """A library in one variant on a number of threads.

    Attributes:
        label: its name in the results.
        peer: the library.
        variant: of it.
        threads: of it.
        changes: what its request says in place of the others'.
    """

    label: str
    peer: Peer
    variant: str
    threads: int
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Side:
    """What one library in one variant said about a piece of work.

    Attributes:
        timing: of all its blocks.
        difference: from isoconv's first results at most, as a share of their largest element.
        changed: share of the results' elements that are not the same bits as in those.
    """

    timing: Timing
    difference: float
    changed: float = 0.0


@dataclass
class Crew:
    """The workers, and notes about those that are missing or failed.

    Attributes:
        setting: how to measure.
        versions: of every library that answered.
        notes: in words.
    """

    setting: Setting
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _workers: dict[tuple[str, int], Worker | None] = field(default_factory=dict)

    def start(self, peer: Peer, threads: int) -> Worker:
        """A new worker of a library.

        Raises:
            WorkerError: it is not there or does not start.
        """
        if peer.python != sys.executable and not PEERS_PYTHON.exists():
            raise WorkerError("the peers' environment is missing (run `make bench`)")
        worker = Worker(
            peer.python,
            peer.module,
            dict(peer.environment),
            self.setting.pace.patience,
            verbose=self.setting.verbose,
        )
        answer = worker.ask({"threads": threads})
        self.versions |= answer["versions"]
        return worker

    def chosen(self) -> list[Peer]:
        """The libraries of this run beside isoconv."""
        return [peer for peer in PEERS if peer.name in self.setting.peers]

    def compare(
        self, kind: str, request: dict[str, Any], arrays: dict[str, Array]
    ) -> dict[str, Side]:
        """Measure a piece of work beside all peers that offer it, isoconv first."""
        ours = Entry(ISOCONV.name, ISOCONV, "", self.setting.threads)
        return self.measure(kind, [ours, *self.others(kind)], request, arrays)

    def others(self, kind: str) -> list[Entry]:
        """All variants of the peers that offer a kind of work."""
        return [
            Entry(peer.label(variant), peer, variant, self.setting.threads)
            for peer in self.chosen()
            if kind in peer.offers
            for variant in peer.variants
        ]

    def measure(
        self,
        kind: str,
        entries: list[Entry],
        request: dict[str, Any],
        arrays: dict[str, Array],
        pace: Pace | None = None,
    ) -> dict[str, Side]:
        """Let entries take turns on a piece of work; all must agree with the first.

        Args:
            kind: of the work.
            entries: who does it, isoconv first.
            request: the work.
            arrays: what it takes.
            pace: another than the run's.

        Raises:
            WorkerError: isoconv fails, or does not agree with itself.
        """
        works: dict[str, tuple[Worker, str]] = {}
        facts: dict[str, dict[str, Any]] = {}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
            for entry in entries:
                worker = self._worker(entry.peer, entry.threads)
                if worker is None:
                    continue
                try:
                    facts[entry.label] = worker.ask({
                        **request, **entry.changes, "prepare": kind, "folder": name,
                        "as": entry.label, "threads": entry.threads, "variant": entry.variant,
                        "compiled": "compile" in entry.peer.name,
                    })  # fmt: skip
                except WorkerError as error:
                    self._failed(entry, request["name"], error)
                    continue
                works[entry.label] = (worker, entry.label)
            differences = {label: _difference(folder, entries[0].label, label) for label in works}
        for entry in entries:
            difference, _ = differences.get(entry.label, (0.0, 0.0))
            if not difference <= TOLERANCE:
                self._leave_out(entry, request["name"], f"its result differs by {difference:.1e}")
                del works[entry.label]
        of = {entry.label: entry for entry in entries}
        timings = alternate(
            works,
            pace or self.setting.pace,
            lambda label, error: self._failed(of[label], request["name"], error),
        )
        for worker in self._workers.values():
            # One that has ended meanwhile has nothing to forget.
            with contextlib.suppress(WorkerError):
                if worker is not None:
                    worker.ask({"forget": True})
        for label, timing in timings.items():
            timing.facts = facts[label]
        return {label: Side(timings[label], *differences[label]) for label in timings}

    def _failed(self, entry: Entry, work: str, error: WorkerError) -> None:
        """Leave an entry out of a piece of work; what else its worker has prepared stays there.

        A worker that has died gets a new one for the next piece of work.
        """
        self._leave_out(entry, work, error)
        key = (entry.peer.name, entry.threads)
        if isinstance(error, WorkerTimeoutError):
            # The rows that follow are mostly larger; it would be minutes for each.
            self.notes.append(f"{entry.peer.name} is left out of what comes after it")
            self._workers[key] = None
        elif isinstance(error, WorkerEndedError) and self._workers.get(key) is not None:
            del self._workers[key]

    def _leave_out(self, entry: Entry, work: str, why: object) -> None:
        """Note that an entry is missing from a piece of work; isoconv's may not be.

        Raises:
            WorkerError: it is isoconv's.
        """
        if entry.peer is ISOCONV:
            raise WorkerError(f"{entry.label} cannot be left out of {work}: {why}")
        self.notes.append(f"{entry.label} is left out of {work}: {why}")

    def _worker(self, peer: Peer, threads: int) -> Worker | None:
        """The library's worker of this run, or None with a note."""
        key = (peer.name, threads)
        if key not in self._workers:
            try:
                self._workers[key] = self.start(peer, threads)
            except WorkerError as error:
                self._workers[key] = None
                self.notes.append(f"{peer.name} is left out: {error}")
        return self._workers[key]

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            if worker is not None:
                worker.close()
        self._workers.clear()


def _words(name: str) -> list[str]:
    """What lies between signs and spaces."""
    return "".join(sign if sign.isalnum() else " " for sign in name.lower()).split()


def _tails(name: str) -> list[str]:
    """A name without signs, from each of its words on."""
    words = _words(name)
    return ["".join(words[first:]) for first in range(len(words))]


def _difference(folder: Path, first: str, label: str) -> tuple[float, float]:
    """Largest difference between two results, as a share of the first one's largest element.

    Also the share of elements whose bits differ, the shown ones among them.
    """
    worst, changed, total = 0.0, 0, 0
    with np.load(folder / f"{first}.npz") as ours, np.load(folder / f"{label}.npz") as their:
        for name in their.files:
            a, b = ours[name].astype(np.float64), their[name].astype(np.float64)
            if a.size != b.size:
                return float("inf"), 1.0
            b = b.reshape(a.shape)
            scale = float(np.abs(a).max()) or 1.0
            found = float(np.abs(a - b).max()) / scale
            if name != SHOWN:
                worst = max(worst, found if np.isfinite(found) else float("inf"))
            changed += int((a.view(np.int64) != b.view(np.int64)).sum())
            total += a.size
    return worst, changed / total
