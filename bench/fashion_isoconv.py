"""isoconv's run of ``bench.fashion_mnist``: arrays, epochs, threads."""

from __future__ import annotations

import json
import resource
import sys

import numpy as np

import isoconv as ic
from isoconv import nn


def main(path: str, epochs: str, threads: str) -> None:
    """Train, and print the accuracy on the test images as JSON."""
    arrays = np.load(path)
    model = nn.Sequential(
        nn.Conv2d(32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128), nn.ReLU(), nn.Linear(10),
    )  # fmt: skip
    trainer = ic.Trainer(
        model,
        optimizer=ic.optim.Adam(1e-3),
        batch_size=64,
        seed=0,
        threads=int(threads),
        progress=False,
    )
    run = trainer.fit(
        (arrays["x"], arrays["y"]),
        validation=(arrays["x_test"], arrays["y_test"]),
        epochs=int(epochs),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"accuracy": run.history[-1]["val_top1"], "peak_mib": round(peak, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
