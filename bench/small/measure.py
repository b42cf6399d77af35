"""Small data sets: isoconv with nothing chosen, beside PyTorch with as many seconds.

For each set, seed by seed: isoconv from the start of a process with empty caches, of kernels and of
pictures, to the end of its training; with the first seed once more, with what the caches hold then.
PyTorch has the median of those first trainings' seconds, from the start of its process too. With
the first seed it then goes on to twice as many, which tells how much of a difference is time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.crew import Crew
from bench.libraries import PEERS_PYTHON
from bench.small.packages import UnavailableError
from bench.small.sets import FOLDER, SETS, counts, digest, make
from bench.timing import ROOT

__all__ = ["LONGER", "measure"]

SEEDS = (0, 1, 2)
MANY = 2000
"""With so many training pictures the first seed is enough: trainings are long and alike."""
LONGER = "torch, twice as long"
"""PyTorch's figures after going on with the first seed, which tell what more time gives."""
QUICK = "faces"
"""The set of a quick run."""
PATIENCE = 3600
"""Seconds after which a training is given up."""

Runs = list[dict[str, Any]]


def measure(crew: Crew) -> Iterator[dict[str, Any]]:
    """A row for each set that is asked for and can be had."""
    beside = "torch" in crew.setting.peers and PEERS_PYTHON.exists()
    if not beside:
        crew.notes.append("torch is left out of small sets: it is not installed or not asked for")
    for name in SETS:
        if not crew.setting.wants(name) or (crew.setting.quick and name != QUICK):
            continue
        try:
            place = make(name, FOLDER)
        except UnavailableError as error:
            crew.notes.append(f"{name} is left out: {error}")
            continue
        theirs: Runs = []
        with tempfile.TemporaryDirectory() as folder:
            listing = Path(folder) / "learned.json"
            cold, warm = _ours(crew, place, listing)
            if beside:
                budget = statistics.median(run["seconds"] for run in cold)
                try:
                    theirs = _theirs(crew, place, listing, budget)
                except subprocess.SubprocessError as error:
                    late = isinstance(error, subprocess.TimeoutExpired)
                    why = f"not done within {PATIENCE} s" if late else "its training failed"
                    crew.notes.append(f"torch is left out of {name}: {why}")
        yield {**_row(name, place, cold, warm, theirs), "clock": crew.setting.clock}


def _ours(crew: Crew, place: Path, listing: Path) -> tuple[Runs, Runs]:
    cold: Runs = []
    warm: Runs = []
    for seed in _seeds(crew, place):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "XDG_CACHE_HOME": folder}
            request = {"seed": seed, "listing": str(listing)}
            for found in (cold, warm)[: 2 if seed == SEEDS[0] else 1]:
                found.append(_run(crew, sys.executable, "isoconv", place, request, environment))
    return cold, warm


def _theirs(crew: Crew, place: Path, listing: Path, budget: float) -> Runs:
    found = []
    for seed in _seeds(crew, place):
        on = [2 * budget] if seed == SEEDS[0] and not crew.setting.quick else []
        request = {"seed": seed, "listing": str(listing), "budgets": [budget, *on]}
        found.append(_run(crew, str(PEERS_PYTHON), "torch", place, request, dict(os.environ)))
    return found


def _seeds(crew: Crew, place: Path) -> tuple[int, ...]:
    few = crew.setting.quick or counts(place)["train"] >= MANY
    return SEEDS[: 1 if few else crew.setting.seeds]


def _run(
    crew: Crew,
    python: str,
    library: str,
    place: Path,
    request: dict[str, Any],
    environment: dict[str, str],
) -> dict[str, Any]:
    time.sleep(crew.setting.pace.pause)
    common = {
        "folder": str(place), "threads": crew.setting.threads, "clock": crew.setting.clock,
        "began": time.time(),
    }  # fmt: skip
    done = subprocess.run(
        [python, "-m", f"bench.small.train_{library}", json.dumps({**common, **request})],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=None if crew.setting.verbose else subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    crew.versions |= found.pop("versions")
    print(f"  {place.name}, seed {request['seed']}, {library}: {_told(found)}", flush=True)
    return {"seed": request["seed"], **found}


def _told(found: dict[str, Any]) -> str:
    reached = found.get("reached", [found])
    return "; ".join(
        f"{each['accuracy']:.1%} after {each['seconds']:.1f} s, {each['epochs']:g} epochs"
        for each in reached
    )


def _row(name: str, place: Path, cold: Runs, warm: Runs, theirs: Runs) -> dict[str, Any]:
    found = {"isoconv": [run["accuracy"] for run in cold]}
    if theirs:
        found["torch"] = [run["reached"][0]["accuracy"] for run in theirs]
        longer = [run["reached"][1]["accuracy"] for run in theirs if len(run["reached"]) > 1]
        if longer:
            found[LONGER] = longer
    values = {label: round(100 * statistics.mean(each), 2) for label, each in found.items()}
    other = values.get("torch")
    return {
        "work": name,
        "unit": "%",
        "values": values,
        "spread": {label: round(100 * (max(each) - min(each)), 2) for label, each in found.items()},
        "best_other": None if other is None else "torch",
        "ratio": None if other is None else round(values["isoconv"] / other, 3),
        "goal": 1.0,
        "pictures": {**counts(place), "what": SETS[name].what, "sha256": digest(place)},
        "seconds": {
            "cold": round(statistics.median(run["seconds"] for run in cold), 2),
            "warm": round(statistics.median(run["seconds"] for run in warm), 2),
        },
        "facts": {
            "isoconv": {"runs": cold, "again": warm},
            **({"torch": {"runs": theirs}} if theirs else {}),
        },
    }
