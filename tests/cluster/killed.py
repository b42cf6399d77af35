"""``python -m tests.cluster.killed``: a training that is killed, and goes on from its folder."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from tests.train.small import without_times

from isoconv import Cluster, Trainer, nn
from isoconv.data import Augmentation, Dataset
from isoconv.errors import IsoconvError
from isoconv.nn.models import resnet20
from isoconv.train.checkpoint import RunFolder
from isoconv.train.optim import AdamW

__all__ = ["REFUSED", "WORKS", "Work"]

REFUSED = 3
"""Exit code where the training ends with an error of isoconv, which is printed."""


@dataclass(frozen=True)
class Work:
    """What is trained: some seconds of work for one processor.

    Attributes:
        network: makes the model.
        shape: of an image.
        images: how many there are.
        settings: of the trainer.
        epochs: how often all of them are gone through.
    """

    network: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    images: int
    settings: dict[str, Any]
    epochs: int


def _small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Linear(100), nn.ReLU(),
        nn.Dropout(0.1), nn.Linear(4),
    )  # fmt: skip


def _winograd() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(16, 3, algorithm="winograd"), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 3, algorithm="winograd"), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(64), nn.ReLU(), nn.Linear(4),
    )  # fmt: skip


WORKS = {
    "small": Work(_small, (16, 16, 1), 1000, {"batch_size": 100, "shard_size": 8}, 40),
    "resnet20": Work(resnet20, (32, 32, 3), 300, {"batch_size": 100, "shard_size": 8}, 20),
    "winograd": Work(_winograd, (32, 32, 3), 700, {"batch_size": 100, "shard_size": 8}, 20),
}
"""By name. The last shard of a batch is short, and so is the last batch."""


def _images(work: Work, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    count = work.images if seed == 0 else 40
    pixels = rng.integers(0, 256, (count, *work.shape)).astype(np.uint8)
    return Dataset.from_arrays(pixels, np.arange(count) % 4, name=f"noise {seed}")


def train(
    name: str, out: Path, address: str | None, patience: float, audit: float, epochs: int | None
) -> Any:
    """Train to the end, from the last checkpoint where there is one; gives what came of it."""
    work = WORKS[name]
    executor: dict[str, Any] = {}
    if address is not None:
        executor["executor"] = Cluster(address, patience=patience, audit=audit)
    trainer = Trainer(
        work.network(), optimizer=AdamW(0.01), augmentation=Augmentation(shift=1), clip_norm=1.0,
        threads=1, progress=Console(file=sys.stderr, width=400), **work.settings, **executor,
    )  # fmt: skip
    data = _images(work, 0), _images(work, 1)
    if RunFolder(out).checkpoint_file.exists():
        run = trainer.resume(out, *data)
    else:
        # Whoever was killed before the first checkpoint has left nothing to go on from.
        shutil.rmtree(out, ignore_errors=True)
        run = trainer.fit(*data, epochs=epochs or work.epochs, out=out)
    receipt = json.loads((out / "receipt.json").read_text("utf-8"))
    return {
        "digest": run.digest,
        "receipt": receipt["digest"],
        "history": without_times(run.history),
    }


def main() -> int:
    """Print what came of it, or the error."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.killed", description=__doc__)
    parser.add_argument("name", choices=[*WORKS])
    parser.add_argument("out", type=Path, help="run folder")
    parser.add_argument("--address", help="of the cluster; this machine alone without it")
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--audit", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, help="in place of the work's own")
    asked = parser.parse_args()
    try:
        found = train(
            asked.name, asked.out, asked.address, asked.patience, asked.audit, asked.epochs
        )
    except IsoconvError as error:
        print(json.dumps({"error": str(error)}))  # noqa: T201
        return REFUSED
    print(json.dumps(found))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
