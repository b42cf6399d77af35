"""Nodes of a Ray cluster on this machine, each with a processor, and trainings on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.nodes import Nodes as Machines
from tests.train.small import make, noise

from isoconv import nn
from isoconv.train import Run

__all__ = ["EPOCHS", "SHARDS", "STORE", "Machines", "fit", "large"]

STORE = 80 * 2**20
"""Bytes of an object store; Ray takes no less."""
SHARDS: dict[str, Any] = {"batch_size": 20, "shard_size": 3, "threads": 1}
"""Seven shards for a step, the last one short; two for the last step, which has four images."""
EPOCHS = 3


def fit(out: Path | None = None, **settings: Any) -> Run:
    """A training with batch statistics, dropout, augmentation and clipping."""
    return make(**{**SHARDS, **settings}).fit(noise(44), noise(20, 1), epochs=EPOCHS, out=out)


def large() -> nn.Sequential:
    """A network whose sums lie in the object store of the node that has them: above 100 kB."""
    return nn.Sequential(
        nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Linear(3000), nn.ReLU(),
        nn.Dropout(0.1), nn.Linear(2),
    )  # fmt: skip
