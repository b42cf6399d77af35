"""The whole of Fashion-MNIST, from process start to the last epoch, beside PyTorch.

Both train the same two-convolution network with Adam, batch 64, for 3 epochs; each in a process
of its own, one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.timing import ROOT
from isoconv.data import load

__all__ = ["measure"]

FOLDER = Path("/usr/share/datasets/fashion-mnist")
EPOCHS = 3


def measure(peers: str, threads: int) -> dict[str, Any]:
    """Train with both and return accuracies and seconds."""
    source = str(FOLDER) if FOLDER.is_dir() else "fashion-mnist"
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "fashion.npz"
        train, test = load(source, split="train"), load(source, split="test")
        np.savez(arrays, x=train.images, y=train.labels, x_test=test.images, y_test=test.labels)
        cold = {**os.environ, "XDG_CACHE_HOME": str(Path(folder) / "cache")}
        results = {
            "isoconv, cold kernel cache": _run(sys.executable, "isoconv", arrays, threads, cold),
            "isoconv, warm kernel cache": _run(sys.executable, "isoconv", arrays, threads, cold),
            "torch": _run(peers, "torch", arrays, threads, dict(os.environ)),
        }
    for name, result in results.items():
        print(f"{name}: {result['accuracy']:.2%} after {EPOCHS} epochs, {result['seconds']:.1f} s "
              f"from process start")  # fmt: skip
    ratio = results["torch"]["seconds"] / results["isoconv, cold kernel cache"]["seconds"]
    print(f"ratio with a cold cache {ratio:.2f}")
    return {"work": "Fashion-MNIST, 3 epochs", "threads": threads, "ratio": ratio, **results}


def _run(
    python: str, library: str, arrays: Path, threads: int, environment: dict[str, str]
) -> dict[str, Any]:
    time.sleep(1)
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-m", f"bench.fashion_{library}", str(arrays), str(EPOCHS), str(threads)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    result["seconds"] = round(time.perf_counter() - start, 2)
    return result
