"""Nodes of a Ray cluster on this machine, each with a processor, and trainings on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
from bench.nodes import Nodes as Machines
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tests.train.small import make, noise

from isoconv import nn
from isoconv.train import Run

__all__ = [
    "EPOCHS", "SCARCE", "SHARDS", "STORE", "Machines", "fit", "full_store", "large",
]  # fmt: skip

STORE = 80 * 2**20
"""Bytes of an object store; Ray takes no less."""
SCARCE = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "50"}
"""By which Ray takes a node to be out of memory, and kills whoever works there."""
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


class _Hog:
    """Takes memory of an object store, and keeps it."""

    def take(self, count: int) -> int:
        """So many MiB."""
        self.kept = [ray.get(ray.put(np.ones(2**20, np.uint8))) for _ in range(count)]
        return len(self.kept)


@contextmanager
def full_store(machines: Machines) -> Iterator[None]:
    """A second node, whose object store and the disk behind it are full; this process joins."""
    machines.have(1)
    machines.have(2, env_vars={"RAY_local_fs_capacity_threshold": "0.00001"})
    ray.init(address=machines.address, log_to_driver=False, configure_logging=False)
    try:
        place = NodeAffinitySchedulingStrategy(machines.nodes[-1].node_id, soft=False)
        hog = ray.remote(_Hog).options(num_cpus=0, scheduling_strategy=place).remote()
        room = STORE // 2**20 - 2
        assert ray.get(hog.take.remote(room)) == room
        yield
    finally:
        ray.shutdown()
        machines.have(1)
