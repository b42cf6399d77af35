"""isoconv's run of ``bench.fashion_mnist``: arrays, goal, most epochs, threads, algorithm."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import isoconv as ic
from bench.worker import peak_mib
from isoconv import nn
from isoconv.train import Callback


class Until(Callback):
    """Ends the training when the test images are classified well enough."""

    def __init__(self, goal: float) -> None:
        self._goal = goal

    def on_epoch_end(self, run: Any, row: Any) -> None:
        """After each epoch."""
        print(f"  epoch {row['epoch']}: {row['val_top1']:.2%}", file=sys.stderr, flush=True)
        if row["val_top1"] >= self._goal:
            run.stop("the goal is reached")


def main(path: str, goal: str, epochs: str, threads: str, algorithm: str) -> None:
    """Train, and print the accuracy on the test images as JSON."""
    arrays = np.load(path)
    model = nn.Sequential(
        nn.Conv2d(32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 3, padding=1, algorithm=algorithm), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128), nn.ReLU(), nn.Linear(10),
    )  # fmt: skip
    trainer = ic.Trainer(
        model, optimizer=ic.optim.Adam(1e-3), batch_size=64, seed=0, threads=int(threads),
        callbacks=[Until(float(goal))], progress=False,
    )  # fmt: skip
    run = trainer.fit(
        (arrays["x"], arrays["y"]),
        validation=(arrays["x_test"], arrays["y_test"]),
        epochs=int(epochs),
    )
    result = {
        "accuracy": run.history[-1]["val_top1"],
        "epochs": len(run.history),
        "peak_mib": peak_mib(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
