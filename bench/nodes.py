"""Nodes of a Ray cluster on this machine, for what is measured and for tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, Self

__all__ = ["Nodes"]


class Nodes:
    """A head that runs nothing, and nodes that come and go, of one processor each.

    Args:
        store: bytes of the object store of each.

    Attributes:
        address: of the cluster.
        nodes: those that are there, as Ray's own `Cluster` knows them.
    """

    def __init__(self, store: int) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster

        # Where Ray notes the last address, whatever folder it is told.
        Path(get_default_ray_temp_dir()).mkdir(parents=True, exist_ok=True)
        self.nodes: list[Any] = []
        self._store = store
        # Paths of sockets are short.
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        # Ray takes it for itself, and would end this process and others by it.
        self._handler = signal.getsignal(signal.SIGTERM)
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": store,
                "temp_dir": self._folder}  # fmt: skip
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

    def close(self) -> None:
        """End all of it."""
        self._cluster.shutdown()
        self._restore()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
