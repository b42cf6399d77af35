"""Workers that die, lie or are slow, at a moment of a training."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from isoconv.cluster.executor import ClusterExecutor
from isoconv.cluster.worker import Worker
from isoconv.graph.operation import Array

Factory = Callable[..., ClusterExecutor]


def dying(address: str, who: int, call: str, at: int) -> Factory:
    """Of which one worker is killed behind a call, the so manieth.

    The class is made here, so that Ray sends it to the workers' processes as it is.
    """

    class Dying(Worker):
        calls = 0

        def _after(self, name: str) -> None:
            self.calls += name == call
            if name == call and self.number == who and self.calls == at:
                os.kill(os.getpid(), signal.SIGKILL)

        def sums(self, step: int, shards: range) -> list[Any]:
            found = super().sums(step, shards)
            self._after("sums")
            return found

        def update(self, *given: Any) -> Array:
            row = super().update(*given)
            self._after("update")
            return row

    return partial(ClusterExecutor, address=address, kind=Dying)


def lying(who: int, at: int) -> type[Worker]:
    """Of whom one gives wrong sums from its so manieth run of shards on: one bit of one number."""

    class Lying(Worker):
        runs = 0

        def sums(self, step: int, shards: range) -> list[Any]:
            seconds, *found = super().sums(step, shards)
            self.runs += 1
            if self.number == who and self.runs >= at:
                found[0] = found[0].copy()
                found[0].view(np.uint32)[0] ^= 1 << 22
            return [seconds, *found]

    return Lying


class Slow(Worker):
    """The first one is a tenth as quick as the others."""

    def sums(self, step: int, shards: range) -> list[Any]:
        """As ever, in a time that is told."""
        _, *found = super().sums(step, shards)
        return [len(shards) * (10.0 if self.number == 1 else 1.0), *found]
