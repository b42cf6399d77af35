"""What a training asks of whoever runs its steps: an engine here, or several that share each step.

`isoconv.run.training.TrainingEngine` runs whole steps in one native call. Its two phases,
``sums`` and ``update``, and `isoconv.run.tree.add_nodes` between them, are what an executor of
several engines is made of: each runs some shards, the nodes of all are added, one makes the update,
and parameters and states go back to the others. No bit depends on who runs which shard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from isoconv.checks import refusal, shown
from isoconv.errors import TrainingError
from isoconv.graph.operation import Array
from isoconv.run.step import StepGraph


class Executor(Protocol):
    """Holds the state of a training and runs its steps.

    One that has more to tell than its rows, of machines that died for instance, has methods
    besides: ``begin(tell)``, called once before all others, which waits for whom it needs and tells
    a person what it waits for; ``news()``, a list of lines for a person on what has happened since
    it was asked last; and ``facts()``, plain values by name that the run's record keeps of it.
    """

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
            hyper: float32 (steps, scalars of the updates), a row for each step.

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


class HeldExecutor:
    """An executor that is held to the protocol: no answer of another form goes into a run.

    Args:
        made: what a factory made.
        step: what a step computes.

    Raises:
        ArgumentError: it is no executor.
    """

    def __init__(self, made: Any, step: StepGraph) -> None:
        parts = [name for name in vars(Executor) if not name.startswith("_")]
        missing = [name for name in parts if not callable(getattr(made, name, None))]
        if missing:
            raise refusal("executor", f"make what can {', '.join(missing)}", made)
        self._made: Executor = made
        self._step = step
        self.load, self.begin_epoch = self._made.load, self._made.begin_epoch
        self.close = self._made.close
        self.begin: Callable[[Callable[[str], None]], None] = getattr(made, "begin", lambda _: None)
        self.news: Callable[[], list[str]] = getattr(made, "news", list)
        self.facts: Callable[[], dict[str, Any]] = getattr(made, "facts", dict)

    def parameters(self) -> dict[str, Array]:
        """The parameters by name."""
        return self._held("parameters", self._made.parameters(), self._step.parameters)

    def states(self) -> dict[str, Array]:
        """The states by name."""
        return self._held("states", self._made.states(), self._step.states)

    def weights(self) -> dict[str, Array]:
        """Parameters and states by name."""
        wanted = {**self._step.parameters, **self._step.states}
        return self._held("weights", self._made.weights(), wanted)

    def slots(self) -> dict[str, dict[str, Array]]:
        """The optimizer's vectors, by slot and parameter."""
        found = self._made.slots()
        if not isinstance(found, dict) or set(found) != set(self._step.slots):
            raise _wrong("slots", f"a dictionary of {', '.join(self._step.slots) or 'none'}", found)
        return {
            name: self._held("slots", vectors, self._step.parameters)
            for name, vectors in found.items()
        }

    def steps(self, first: int, hyper: Array) -> Array:
        """Run some steps; each has its row, but for those behind a loss that is not finite."""
        rows = self._made.steps(first, hyper)
        columns, most = len(self._step.metrics), len(hyper)
        form = isinstance(rows, np.ndarray) and rows.dtype == np.float32 and rows.ndim == 2
        if not form or rows.shape[1] != columns or not 1 <= len(rows) <= most:
            raise _wrong("steps", f"float32 rows of shape ({most}, {columns})", rows)
        if len(rows) < most and np.isfinite(rows[-1, 0]):
            raise _wrong("steps", f"{most} rows, or a last one whose loss is not finite", rows)
        return rows

    def _held(
        self, what: str, found: Any, wanted: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Array]:
        if not isinstance(found, dict) or set(found) != set(wanted):
            raise _wrong(what, f"arrays of {', '.join(wanted) or 'none'}", found)
        for name, shape in wanted.items():
            array = found[name]
            form = isinstance(array, np.ndarray) and array.dtype == np.float32
            if not form or array.shape != shape:
                raise _wrong(what, f"for {name!r} a float32 array of shape {shape}", array)
        return found


def _wrong(what: str, wanted: str, found: object) -> TrainingError:
    text = f"an executor's {what} must give {wanted}; got {shown(found)}"
    return TrainingError(text, argument="executor", value=found)
