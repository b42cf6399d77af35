"""Workers that die, and workers that lie, at a moment of a training.

They are made within functions, so that Ray sends them to their processes as they are.
"""

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


def dying(address: str, who: int, call: str, at: int, **more: Any) -> Factory:
    """Of which one worker is killed behind a call, the so manieth."""

    class Dying(Worker):
        calls = 0

        def _after(self, name: str) -> None:
            Dying.calls += name == call
            if name == call and self.number == who and Dying.calls == at:
                os.kill(os.getpid(), signal.SIGKILL)

        def sums(self, step: int, shards: range) -> list[Any]:
            found = super().sums(step, shards)
            self._after("sums")
            return found

        def update(self, *given: Any) -> Array:
            row = super().update(*given)
            self._after("update")
            return row

    return partial(ClusterExecutor, address=address, kind=Dying, **more)


def lying(address: str, who: int, at: int, **more: Any) -> Factory:
    """Of which one worker gives wrong sums from its so manieth run of shards on."""

    class Lying(Worker):
        runs = 0

        def sums(self, step: int, shards: range) -> list[Any]:
            seconds, *found = super().sums(step, shards)
            Lying.runs += 1
            if self.number == who and Lying.runs >= at:
                # One bit of one number.
                found[0] = found[0].copy()
                found[0].view(np.uint32)[0] ^= 1
            return [seconds, *found]

    return partial(ClusterExecutor, address=address, kind=Lying, **more)
