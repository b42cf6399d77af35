"""isoconv's side of the benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

import isoconv as ic
from bench.worker import Work, serve
from isoconv import nn
from isoconv.run.training import TrainingEngine
from isoconv.train.step import Loss, Preparation, build_step

__all__ = ["lenet"]

BLOCK = 8  # batches that lie ready; a repetition is one step


def lenet() -> nn.Module:
    """Two 5×5 convolutions and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128), nn.ReLU(), nn.Linear(10),
    )  # fmt: skip


NETWORKS = {"lenet": lenet}


def prepare(request: dict[str, Any]) -> tuple[Work, dict[str, Any]]:
    """Build the network and load one batch many times over."""
    random = np.random.RandomState(0)
    batch, shape = request["batch"], (request["sides"], request["sides"], request["channels"])
    images = random.randn(batch * BLOCK, *shape).astype(np.float32)
    labels = random.randint(0, 10, batch * BLOCK).astype(np.int32)
    model = NETWORKS[request["network"]]().build(shape, seed=0)
    np.savez(request["weights"], **model.parameters())
    optimizer = ic.optim.SGD(0.01, momentum=0.9)
    step = build_step(model, Preparation(shape, "float32"), Loss(), optimizer)
    engine = TrainingEngine(
        step,
        {"images": images, "labels": labels},
        batch_size=batch,
        shard_size=32,
        threads=request["threads"],
    )
    engine.load(model.parameters(), model.states())
    engine.begin_epoch(0, np.arange(len(images), dtype=np.int64))
    row = np.array([optimizer.hyper_row(1, 0.01)], np.float32)
    turn = 0

    def work() -> None:
        nonlocal turn
        engine.steps(turn % BLOCK, row)
        turn += 1

    engine.steps(0, row)
    engine.load(model.parameters(), model.states())
    loss = float(engine.steps(0, row)[0, 0]) / batch
    engine.load(model.parameters(), model.states())
    return work, {"first_loss": loss}


if __name__ == "__main__":
    serve(prepare)
