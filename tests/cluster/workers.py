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


class Steady(Worker):
    """Each takes a hundredth of a second for a shard, as it says: whatever the machine does."""

    def sums(self, step: int, shards: range) -> list[Any]:
        """As ever, but for the time."""
        _, *found = super().sums(step, shards)
        return [len(shards) / 100, *found]


class Slow(Steady):
    """The first one is a tenth as quick as the others."""

    def sums(self, step: int, shards: range) -> list[Any]:
        """As ever, but for the time."""
        seconds, *found = super().sums(step, shards)
        return [seconds * (10.0 if self.number == 1 else 1.0), *found]


Factory = Callable[..., ClusterExecutor]


def dying(
    address: str, who: int, call: str, at: int, by: int = signal.SIGKILL, patience: float = 60
) -> Factory:
    """Of which one worker is killed, or stopped for ever, behind a call, the so manieth.

    The class is made here, so that Ray sends it to the workers' processes as it is.
    """

    class Dying(Steady):
        calls = 0

    made = getattr(Dying, call)

    def called(self: Any, *given: Any) -> Any:
        found = made(self, *given)
        self.calls += 1
        if self.number == who and self.calls == at:
            os.kill(os.getpid(), by)
        return found

    setattr(Dying, call, called)
    return partial(ClusterExecutor, address=address, kind=Dying, patience=patience)


def lying(who: int, call: str, at: int) -> type[Worker]:
    """Of whom one gives wrong results from its so manieth call on: one bit of one number."""

    class Lying(Steady):
        calls = 0

        def _said(self, name: str, found: Array) -> Array:
            self.calls += name == call
            if name != call or self.number != who or self.calls < at:
                return found
            wrong = found.copy()
            wrong.view(np.uint32)[0] ^= 1 << 22
            return wrong

        def sums(self, step: int, shards: range) -> list[Any]:
            seconds, first, *others = super().sums(step, shards)
            return [seconds, self._said("sums", first), *others]

        def add(self, left: Array, right: Array) -> Array:
            return self._said("add", super().add(left, right))

        def update(self, *given: Any) -> Array:
            row = super().update(*given)
            parameters, states, slots = self.state()
            wrong = {name: self._said("update", each) for name, each in parameters.items()}
            self._engine.load(wrong, states, slots)
            return row

    return Lying
