"""Nodes of a Ray cluster on this machine, for what is measured and for tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, Self

__all__ = ["ENVIRONMENT", "Nodes"]

ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Of all that is Ray's; as a rule workers give way to whatever else a machine does."""
_PLACE = "RAY_TMPDIR"


class Nodes:
    """A head that runs nothing, and nodes that come and go, of one processor each.

    Args:
        store: bytes of the object store of each.

    Attributes:
        address: of the cluster.
        nodes: those that are there, as Ray's own `Cluster` knows them, in the order in which they
            came.
    """

    def __init__(self, store: int) -> None:
        os.environ.update(ENVIRONMENT)
        from ray.cluster_utils import Cluster

        self.nodes: list[Any] = []
        self._store = store
        # Paths of sockets are short. Ray's own folder, where a cluster's address is found by all
        # of the machine, is another cluster's, or is not there.
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        self._before = os.environ.get(_PLACE)
        os.environ[_PLACE] = self._folder
        Path(self._folder, "ray").mkdir()
        # Ray takes it for itself, and would end this process and others by it.
        self._handler = signal.getsignal(signal.SIGTERM)
        # Lines of workers go to no driver, and no cloud is asked for machines: so Ray needs neither
        # of two processes that would start first.
        without = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        head = {"num_cpus": 0, "object_store_memory": store, **without}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._restore()
        self.address: str = self._cluster.address

    def _restore(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)

    def have(self, count: int, **more: Any) -> None:
        """So many nodes; the last ones come or go.

        Args:
            count: how many.
            more: what Ray is told besides of those that come.
        """
        while len(self.nodes) < count:
            settings = {"num_cpus": 1, "object_store_memory": self._store, **more}
            self.nodes.append(self._cluster.add_node(**settings))
            self._restore()
        while len(self.nodes) > count:
            self._cluster.remove_node(self.nodes.pop())

    @property
    def raylets(self) -> list[int]:
        """The process of each node."""
        return [node.all_processes["raylet"][0].process.pid for node in self.nodes]

    def lose(self, number: int) -> None:
        """Kill the node that came as the so manieth, as if its machine were gone."""
        os.kill(self.raylets[number], signal.SIGKILL)
        self._cluster.remove_node(self.nodes.pop(number), allow_graceful=False)

    def close(self) -> None:
        """End all of it."""
        self._cluster.shutdown()
        self._restore()
        if self._before is None:
            del os.environ[_PLACE]
        else:
            os.environ[_PLACE] = self._before
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
