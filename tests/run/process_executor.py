"""An executor of several processes on this machine, each with an engine of its own.

A step's shards are dealt to the processes, the nodes of their sums are added as the tree says, the
first process makes the update, and the others take its weights. What they are told and what they
answer goes through pipes: a call of the engine, by its name, and what came of it.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import numpy as np

from isoconv.errors import IsoconvError, TrainingError
from isoconv.graph.operation import Array
from isoconv.run.step import StepGraph
from isoconv.run.training import TrainingEngine
from isoconv.run.tree import add_nodes, shard_ranges

Job = tuple[int, range]
"""The number of a process, and neighbouring shards that it runs."""
Deal = Callable[[int, int], Iterable[Job]]
"""The jobs of a step, from the numbers of shards and of processes."""


def evenly(shards: int, workers: int) -> list[Job]:
    """One run for each, as equal as can be; of few shards some processes get none."""
    return [job for job in enumerate(shard_ranges(shards, workers)) if job[1]]


class ProcessExecutor:
    """Runs the steps of a training in several processes.

    Args:
        step, data, batch_size, shard_size, seed, threads, target, progress: as for the engine of
            each process; the first one tells of its progress.
        workers: how many processes.
        deal: who runs which shards.
        delays: seconds that each process sleeps before each of its jobs; none where not given.
    """

    def __init__(
        self,
        step: StepGraph,
        data: Mapping[str, Array],
        *,
        batch_size: int,
        shard_size: int,
        seed: int,
        threads: int | None,
        target: str | None,
        progress: Callable[[int, int], None] | None = None,
        workers: int = 2,
        deal: Deal = evenly,
        delays: Sequence[float] = (),
    ) -> None:
        self._samples = len(next(iter(data.values())))
        self._batch_size, self._shard_size = batch_size, min(shard_size, batch_size)
        self._deal = deal
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        settings = {
            "batch_size": batch_size, "shard_size": shard_size, "seed": seed, "threads": threads,
            "target": target,
        }  # fmt: skip
        context = _context()
        for number in range(workers):
            here, there = context.Pipe()
            delay = delays[number] if number < len(delays) else 0.0
            process = context.Process(target=_serve, args=(there, delay), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
        try:
            for pipe in self._pipes:
                pipe.send((step, dict(data), settings))
            for pipe in self._pipes:
                _answer(pipe)
        except BaseException:
            self.close()
            raise
        if progress is not None:
            progress(1, 1)

    def _ask(self, worker: int, name: str, *arguments: Any) -> Any:
        self._pipes[worker].send((name, arguments))
        return _answer(self._pipes[worker])

    def _tell(self, pipes: Sequence[Connection], name: str, *arguments: Any) -> None:
        """The same call to several processes at a time."""
        for pipe in pipes:
            pipe.send((name, arguments))
        for pipe in pipes:
            _answer(pipe)

    def load(
        self,
        parameters: Mapping[str, Array],
        states: Mapping[str, Array],
        slots: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> None:
        """Weights to all, the optimizer's vectors to the first, which alone makes updates."""
        self._ask(0, "load", parameters, states, slots)
        self._tell(self._pipes[1:], "load", parameters, states)

    def parameters(self) -> dict[str, Array]:
        """The parameters."""
        return dict(self._ask(0, "parameters"))

    def states(self) -> dict[str, Array]:
        """The states."""
        return dict(self._ask(0, "states"))

    def weights(self) -> dict[str, Array]:
        """Parameters and states."""
        return dict(self._ask(0, "weights"))

    def slots(self) -> dict[str, dict[str, Array]]:
        """The optimizer's vectors."""
        return dict(self._ask(0, "slots"))

    def begin_epoch(
        self, epoch: int, order: Array, tables: Mapping[str, Array] | None = None
    ) -> None:
        """The same to all."""
        self._tell(self._pipes, "begin_epoch", epoch, order, tables)

    def steps(self, first: int, hyper: Array) -> Array:
        """Step by step: sums of all, one update, its weights to the others."""
        rows: list[Array] = []
        for step, scalars in enumerate(hyper, first):
            images = min(self._batch_size, self._samples - step * self._batch_size)
            shards = -(-images // self._shard_size)
            total = add_nodes(self._sums(step, shards), shards)
            rows.append(self._ask(0, "update", step, total, scalars))
            if not np.isfinite(rows[-1][0]):
                break
            self._tell(self._pipes[1:], "load", self.parameters(), self.states())
        return np.stack(rows)

    def _sums(self, step: int, shards: int) -> list[Any]:
        """What the processes have to give, as it comes."""
        pending: dict[Connection, int] = {}
        for worker, run in self._deal(shards, len(self._pipes)):
            pipe = self._pipes[worker]
            pipe.send(("sums", (step, run)))
            pending[pipe] = pending.get(pipe, 0) + 1
        parts = []
        while pending:
            for pipe in cast("list[Connection]", wait(list(pending))):
                parts.append(_answer(pipe))
                pending[pipe] -= 1
                if not pending[pipe]:
                    del pending[pipe]
        return parts

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()


def _context() -> Any:
    """Processes that begin with all imports done, where the system has such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _answer(pipe: Connection) -> Any:
    try:
        value = pipe.recv()
    except EOFError:
        raise TrainingError("a process that runs shards has ended") from None
    if isinstance(value, IsoconvError):
        raise value
    return value


def _serve(pipe: Connection, delay: float) -> None:
    """Do what the pipe says until it is closed."""
    # Ctrl-C goes to all processes of a terminal; what it ends is for the first one to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine: TrainingEngine | None = None
    try:
        step, data, settings = pipe.recv()
        engine = TrainingEngine(step, data, **settings)
        pipe.send(None)
        while True:
            name, arguments = pipe.recv()
            if name == "sums":
                time.sleep(delay)
            try:
                pipe.send(getattr(engine, name)(*arguments))
            except IsoconvError as error:
                pipe.send(error)
    except EOFError:
        pass
    except IsoconvError as error:
        pipe.send(error)
    finally:
        if engine is not None:
            engine.close()
