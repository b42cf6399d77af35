"""What a training asks of whoever runs its steps: an engine here, or several that share each step.

`isoconv.run.training.TrainingEngine` runs whole steps in one native call. Its two phases,
``sums`` and ``update``, and `isoconv.run.tree.add_nodes` between them, are what an executor of
several engines is made of: each runs some shards, the nodes of all are added, one makes the update,
and parameters and states go back to the others. No bit depends on who runs which shard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from isoconv.run.step import StepGraph

__all__ = ["Executor", "ExecutorFactory"]

Array = NDArray[Any]


class Executor(Protocol):
    """Holds the state of a training and runs its steps."""

    def load(
        self,
        parameters: Mapping[str, Array],
        states: Mapping[str, Array],
        slots: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> None:
        """Set parameters, states and the optimizer's vectors (zeros where not given)."""

    def parameters(self) -> dict[str, Array]:
        """Copies of the parameters by name."""

    def states(self) -> dict[str, Array]:
        """Copies of the states by name."""

    def weights(self) -> dict[str, Array]:
        """Copies of parameters and states by name, all of the same moment."""

    def slots(self) -> dict[str, dict[str, Array]]:
        """Copies of the optimizer's vectors, by slot and parameter."""

    def begin_epoch(
        self, epoch: int, order: Array, tables: Mapping[str, Array] | None = None
    ) -> None:
        """Set the order of samples, and data-set arrays that change from epoch to epoch.

        Args:
            epoch: number of the epoch.
            order: int64 (samples,), which row comes when.
            tables: arrays that replace those of the same name.
        """

    def steps(self, first: int, hyper: Array) -> Array:
        """Run some steps of the epoch.

        Args:
            first: number of the first step within the epoch.
            hyper: float32 (steps, scalars of the update), a row for each step.

        Returns:
            float32 (steps done, metrics): sums over each batch. A row whose loss is not finite is
            the last one, and its step's update is not applied.
        """

    def close(self) -> None:
        """Give back threads, processes and whatever else was taken."""


class ExecutorFactory(Protocol):
    """Makes the executor of a training; `isoconv.run.training.TrainingEngine` is one.

    The arguments are those of that engine. Threads, target and whatever else an executor is made
    with change no bit.
    """

    def __call__(
        self,
        step: StepGraph,
        data: Mapping[str, Array],
        *,
        batch_size: int,
        shard_size: int,
        seed: int,
        threads: int | None,
        target: str | None,
        progress: Callable[[int, int], None] | None,
    ) -> Executor:
        """An executor, whose weights are to be loaded."""
