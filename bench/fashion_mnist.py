"""From process start to 89.5% on the whole of Fashion-MNIST, beside PyTorch.

Both train the same two-convolution network with Adam, batch 64, and measure the 10,000 test images
after each epoch; the process ends after the first epoch that reaches the goal. isoconv also trains
it with Winograd's algorithm in the second convolution. Each runs by itself, one after the other,
and the whole of its time counts, imports included. That is fifteen trainings, some eight minutes on
two idle cores; every epoch and every training is told when it ends.
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

import numpy as np

from bench.crew import Crew
from bench.libraries import PEERS_PYTHON
from bench.timing import ROOT

__all__ = ["measure"]

FOLDER = Path("/usr/share/datasets/fashion-mnist")
GOAL = 0.895
MOST_EPOCHS = 8
QUICK_IMAGES, QUICK_GOAL = 4096, 0.5
ALGORITHMS = {"direct": "", "winograd": "Winograd, "}
"""Of the second convolution, and how the table calls them."""
PATIENCE = 1800
"""Seconds after which a training is given up."""


def measure(crew: Crew) -> Iterator[dict[str, Any]]:
    """Train with both, several times in turn; quick runs take few images and a low goal."""
    from isoconv.data import load

    source = str(FOLDER) if FOLDER.is_dir() else "fashion-mnist"
    threads = str(crew.setting.threads)
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "fashion.npz"
        train, test = load(source, split="train"), load(source, split="test")
        most = QUICK_IMAGES if crew.setting.quick else len(train.images)
        np.savez(arrays, x=train.images[:most], y=train.labels[:most],
                 x_test=test.images, y_test=test.labels)  # fmt: skip
        goal = QUICK_GOAL if crew.setting.quick else GOAL
        common = [str(arrays), str(goal), str(MOST_EPOCHS), threads]
        turns = 1 if crew.setting.quick else 3
        beside = "torch" in crew.setting.peers and PEERS_PYTHON.exists()
        if not beside:
            crew.notes.append(
                "torch is left out of Fashion-MNIST: it is not installed or not asked for"
            )
        for turn in range(turns):
            for algorithm, words in ALGORITHMS.items():
                folder_of_turn = Path(folder) / f"cache{turn}-{algorithm}"
                place = {**os.environ, "XDG_CACHE_HOME": str(folder_of_turn)}
                for cache in ("cold kernel cache", "warm kernel cache"):
                    name = f"{words}{cache}"
                    print(f"turn {turn + 1} of {turns}: isoconv, {name}", flush=True)
                    done = _run(sys.executable, "isoconv", [*common, algorithm], place)
                    found.setdefault(name, []).append(done)
            if beside:
                print(f"turn {turn + 1} of {turns}: torch", flush=True)
                try:
                    result = _run(str(PEERS_PYTHON), "torch", common, dict(os.environ))
                    found.setdefault("torch", []).append(result)
                except subprocess.SubprocessError as error:
                    late = isinstance(error, subprocess.TimeoutExpired)
                    why = f"not done within {PATIENCE} s" if late else "its training failed"
                    crew.notes.append(f"torch is left out from turn {turn + 1} on: {why}")
                    beside = False
    yield from (_row(name, found, goal) for name in found if name != "torch")


def _row(name: str, found: dict[str, list[dict[str, Any]]], goal: float) -> dict[str, Any]:
    kept = {"isoconv": found[name], **({"torch": found["torch"]} if "torch" in found else {})}
    values = {
        key: round(statistics.median(run["seconds"] for run in runs), 2)
        for key, runs in kept.items()
    }
    other = values.get("torch")
    return {
        "work": f"Fashion-MNIST from process start to {goal:.1%} ({name})",
        "unit": "s",
        "values": values,
        "spread": {
            key: round(
                (max(r["seconds"] for r in runs) - min(r["seconds"] for r in runs)) / values[key], 3
            )
            for key, runs in kept.items()
        },
        "best_other": None if other is None else "torch",
        "ratio": None if other is None else round(other / values["isoconv"], 3),
        "goal": 3.0,
        "facts": {key: {"runs": runs} for key, runs in kept.items()},
    }


def _run(
    python: str, library: str, arguments: list[str], environment: dict[str, str]
) -> dict[str, Any]:
    time.sleep(1)
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-m", f"bench.fashion_{library}", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    result["seconds"] = round(time.perf_counter() - start, 2)
    print(f"  {result['accuracy']:.2%} in {result['seconds']:.1f} s, peak {result['peak_mib']} MiB",
          flush=True)  # fmt: skip
    return result
