"""Nodes of a Ray cluster on this machine, each with a processor, and trainings on them."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from tests.train.small import make, noise

from isoconv import nn
from isoconv.train import Run

STORE = 80 * 2**20
"""Bytes of an object store; Ray takes no less."""
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Of all that is Ray's; as a rule workers give way to whatever else a machine does."""
_PLACE = "RAY_TMPDIR"
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


class Machines:
    """A head that runs nothing, and nodes that come and go.

    Attributes:
        address: of the cluster.
    """

    def __init__(self) -> None:
        os.environ.update(ENVIRONMENT)
        from ray.cluster_utils import Cluster

        # Paths of sockets are short. Ray's own folder, where a cluster's address is found by all
        # of the machine, is another cluster's, or is not there.
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        self._before = os.environ.get(_PLACE)
        os.environ[_PLACE] = self._folder
        Path(self._folder, "ray").mkdir()
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
        # Ray takes it for itself, and would end the tests of other rooms by it.
        handler = signal.getsignal(signal.SIGTERM)
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        signal.signal(signal.SIGTERM, handler)
        self.address: str = self._cluster.address
        self._nodes: list[Any] = []

    def have(self, count: int, **more: Any) -> None:
        """So many nodes; the last ones come or go."""
        while len(self._nodes) < count:
            settings = {"num_cpus": 1, "object_store_memory": STORE, **more}
            handler = signal.getsignal(signal.SIGTERM)
            self._nodes.append(self._cluster.add_node(**settings))
            signal.signal(signal.SIGTERM, handler)
        while len(self._nodes) > count:
            self._cluster.remove_node(self._nodes.pop())

    @property
    def raylets(self) -> list[int]:
        """The process of each node, in the order in which they came."""
        return [node.all_processes["raylet"][0].process.pid for node in self._nodes]

    def lose(self, number: int) -> None:
        """Kill the node that came as the so manieth, as if its machine were gone."""
        os.kill(self.raylets[number], signal.SIGKILL)
        self._cluster.remove_node(self._nodes.pop(number), allow_graceful=False)

    def close(self) -> None:
        """End all of it."""
        self._cluster.shutdown()
        if self._before is None:
            del os.environ[_PLACE]
        else:
            os.environ[_PLACE] = self._before
        shutil.rmtree(self._folder, ignore_errors=True)
