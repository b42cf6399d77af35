"""A small trainer and small data, for tests of training, receipts and verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isoconv import nn
from isoconv.data import Augmentation, Dataset
from isoconv.train import Run, Trainer
from isoconv.train.learning_rate import Cosine, WarmUp
from isoconv.train.optim import AdamW
from isoconv.train.stored import Files
from isoconv.train.verification import Verification


def difference(found: Verification | Files) -> Any:
    """Where a run and what it is held against part; fails if they do not."""
    assert found.difference is not None
    return found.difference


def folder_of(run: Run) -> Path:
    """Where a run keeps its files; fails if it keeps none."""
    assert run.folder is not None
    return run.folder


def noise(count: int = 28, seed: int = 0) -> Dataset:
    """Small random images of two classes."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 6, 6, 1)).astype(np.uint8)
    return Dataset.from_arrays(pixels, np.arange(count) % 2, name=f"noise {seed}")


def network() -> nn.Sequential:
    """A network with all that has a memory: parameters, running statistics, dropout."""
    return nn.Sequential(
        nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(2)
    )


def make(model: nn.Module | None = None, **settings: Any) -> Trainer:
    """A trainer with small settings."""
    settings = {
        "optimizer": AdamW(0.01),
        "schedule": WarmUp(1, Cosine()),
        "batch_size": 8,
        "shard_size": 4,
        "augmentation": Augmentation(shift=1),
        "clip_norm": 1.0,
        "progress": False,
        "threads": 2,
        **settings,
    }
    return Trainer(network() if model is None else model, **settings)


def without_times(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The rows without what depends on the clock."""
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
        for row in history
    ]
