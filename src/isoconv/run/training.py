"""Training steps in native code: gather, forward, loss, backward, shard tree, update.

A step is one pass of every thread through its script:

    pack the weights (shared)                             -- barrier
    my shards: forward and backward, sums into the tree   -- barrier
    shards left over (shared)                             -- barrier after each kernel
    join the threads' sums (shared)                       -- barrier
    metrics; is the loss finite?                          -- barrier, may stop
    [clip]; update the parameters (shared)                -- barrier

Several steps run in one native call. Which thread runs which shard changes no bit.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.reduction.clip import BLOCK
from isoconv.errors import ArgumentError, ShapeError
from isoconv.memory import check_memory
from isoconv.run.arrays import checked, fill, named, sample_count
from isoconv.run.binder import Binder, Recorder, Workspace, address_of
from isoconv.run.demand import step_demand, what_helps
from isoconv.run.memory import aligned_bytes, aligned_copy
from isoconv.run.script import Context, Place, Script
from isoconv.run.step import StepGraph, StepPlan
from isoconv.run.step_schedule import Reduce, StepSchedule, Task
from isoconv.run.team import library_for, team_size
from isoconv.run.tree import Slot

__all__ = ["StepGraph", "TrainingEngine"]

_CAPACITY = 4096  # steps in one native call at most
_NODES = 3  # of a graph, about, of which one kernel is made

Array = NDArray[Any]
Contexts = list[tuple[int, Context]]


class TrainingEngine:
    """Runs training steps for one model, one data set and one batch size.

    Args:
        step: what a step computes.
        data: an array for each data-set input of the shard graph, one row for each sample;
            ``samples`` (the row numbers) is added.
        batch_size: images of a step.
        shard_size: images of a shard; part of the arithmetic, unlike `threads`.
        seed: seed of dropout.
        threads: number of threads; None for one per core.
        target: machine to compile for; None for the one at hand.
        fusion: whether nodes are fused; changes speed alone.
        cache: whether compiled kernels are kept on disk.
        progress: called with (kernels ready, kernels in all).
        memory: bytes that there are; None for what the machine has.

    Raises:
        NotEnoughMemoryError: training needs more.
        ArgumentError: a setting outside its range, or an input without an array.
        ShapeError: an array of another shape than the graph's.
        DTypeError: an array of another dtype than the graph's.
    """

    def __init__(
        self,
        step: StepGraph,
        data: Mapping[str, Array],
        *,
        batch_size: int,
        shard_size: int,
        seed: int = 0,
        threads: int | None = None,
        target: str | None = None,
        fusion: bool = True,
        cache: bool = True,
        progress: Callable[[int, int], None] | None = None,
        memory: int | None = None,
    ) -> None:
        if batch_size < 1 or shard_size < 1:
            raise ArgumentError(
                "batch_size and shard_size must be at least 1; "
                f"got batch_size={batch_size}, shard_size={shard_size}"
            )
        self.step = step
        self.batch_size = batch_size
        self.shard_size = min(shard_size, batch_size)
        self.samples = sample_count(data)
        self.threads = team_size(threads)
        library = library_for(target, cache=cache)
        with library.crew(len(step.shard) // _NODES) as crew:
            self.plan = StepPlan(step, self.shard_size, library.target, fusion=fusion)
            needs = step_demand(
                self.plan, data, samples=self.samples, batch_size=batch_size, threads=self.threads
            )
            check_memory("training", needs, what_helps(needs), memory)
            self._prepare_memory(data, seed)
            self._binder = Binder(library, self.threads, self.plan.specs(), progress, crew)
        self._team = self._binder.team
        weakref.finalize(self, self._team.retire)
        self._allocate()
        self._scripts: dict[int, tuple[list[Script], Contexts]] = {}

    # Memory -------------------------------------------------------------------------------------

    def _prepare_memory(self, data: Mapping[str, Array], seed: int) -> None:
        """Everything that threads share."""
        step = self.step
        self._memory: dict[tuple[str, str], Array] = {}
        given = {**data, "samples": np.arange(self.samples)}
        for _, node in step.shard.inputs("dataset"):
            name = node.attrs.name
            self._memory["dataset", name] = checked(name, given, node.spec)
        self._memory["order", "order"] = aligned_copy(np.arange(self.samples))
        self._memory["parameter", "parameter"] = aligned_copy(np.zeros(step.size, np.float32))
        for slot in step.slots:
            self._memory["parameter", f"slot:{slot}"] = aligned_copy(
                np.zeros(step.size, np.float32)
            )
        self._memory["state", "state"] = aligned_copy(np.zeros(self.plan.states.size, np.float32))
        self._memory["scalar", "inverse_batch"] = aligned_copy(np.ones(1, np.float32))
        self._memory["scalar", "gradient_scale"] = aligned_copy(np.ones(1, np.float32))
        self._memory["scalar", "hyper"] = aligned_copy(np.zeros(len(step.hyper) + 1, np.float32))
        self._memory["scalar", "key"] = aligned_copy(np.array([seed, 0], np.uint64).view(np.int64))
        for name, array in step.constants.items():
            self._memory["scalar", name] = aligned_copy(np.asarray(array))
        blocks = -(-step.size // BLOCK)
        self._memory["scalar", "blocks"] = aligned_copy(np.zeros(blocks, np.float32))

    def _allocate(self) -> None:
        """Memory for work; the slots of sums come as the tree needs them."""
        self._workspace = Workspace(self.plan.memory, self.threads)
        self._update_workspace = Workspace(self.plan.update_memory, self.threads, arenas=1)
        self._control = np.zeros(8, np.int64)
        self._counters = np.zeros(8, np.int64)
        self._table = np.zeros(_CAPACITY * max(1, len(self.step.hyper)), np.float32)
        self._metrics = np.zeros(_CAPACITY * len(self.step.metrics), np.float32)
        self._slots: dict[Slot, Array] = {}

    def _slot(self, slot: Slot) -> Array:
        if slot not in self._slots:
            self._slots[slot] = aligned_bytes(4 * self.plan.sums.size).view(np.float32)
        return self._slots[slot]

    # Scripts ------------------------------------------------------------------------------------

    def _scripts_for(self, images: int) -> tuple[list[Script], Contexts]:
        """Scripts of all threads for batches of this many images; contexts with their shards."""
        if images not in self._scripts:
            self._scripts[images] = self._build_scripts(images)
        return self._scripts[images]

    def _build_scripts(self, images: int) -> tuple[list[Script], Contexts]:
        schedule = StepSchedule(-(-images // self.shard_size), self.threads)
        contexts: Contexts = []
        threads = range(self.threads)
        return [self._script(t, images, schedule, contexts) for t in threads], contexts

    def _script(
        self, thread: int, images: int, schedule: StepSchedule, contexts: Contexts
    ) -> Script:
        """One thread's way through a step; adds the contexts of its shards."""
        script = self._binder.recorder(thread)
        total = self._slot(schedule.root)
        part = Context(part=thread, parts=self.threads)
        if thread == 0:
            hyper: list[Array] = [self._table, self._counters, self._memory["scalar", "hyper"]]
            script.kernel(self.plan.hyper, hyper)
        resolve = self._workspace.resolver(thread, 0, self._places(total))
        script.calls(self.plan.shard.prepare, resolve, part)
        script.barrier()
        for stage in schedule.stages(thread):
            if isinstance(stage, Task):
                context = self._context(stage, images)
                contexts.append((stage.shard, context))
                places = self._places(self._slot(stage.slot))
                resolve = self._workspace.resolver(thread, stage.arena, places)
                script.shard(self.plan.shard.shard, resolve, context)
            elif isinstance(stage, Reduce):
                sums = [self._slot(stage.left), self._slot(stage.right)]
                script.kernel(self.plan.merge, sums, Context(part=stage.part, parts=stage.parts))
            else:
                script.barrier()
        if thread == 0:
            finish: list[Array] = [total, self._metrics, self._counters[1:2], self._control]
            script.kernel(self.plan.finish, finish)
        script.barrier(check=True)
        self._update(script, thread, total, part)
        return script.finish()

    def _update(self, script: Recorder, thread: int, total: Array, part: Context) -> None:
        """Clipping and the update."""
        if self.plan.clip is not None:
            blocks, factor = self.plan.clip
            sums = self._memory["scalar", "blocks"]
            script.kernel(blocks, [total, sums], part)
            script.barrier()
            if thread == 0:
                script.kernel(factor, [sums, self._memory["scalar", "gradient_scale"]], part)
            script.barrier()
        resolve = self._update_workspace.resolver(thread, 0, self._places(total))
        script.calls(self.plan.update, resolve, part)
        script.barrier()

    def _context(self, task: Task, images: int) -> Context:
        """The context of a shard in batches of this many images."""
        first = task.shard * self.shard_size
        count = min(self.shard_size, images - first)
        return Context(images=count, stride=images, part=task.part, parts=task.parts)

    def _places(self, sums: Array) -> dict[Place, int]:
        """Addresses of what threads share, with the sums in this slot."""
        shared = {place: address_of(array) for place, array in self._memory.items()}
        return {**shared, ("sums", "sums"): address_of(sums)}

    # Use ----------------------------------------------------------------------------------------

    def load(
        self,
        parameters: Mapping[str, Array],
        states: Mapping[str, Array],
        slots: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> None:
        """Set parameters, states and the optimizer's vectors (zeros where not given).

        Raises:
            ShapeError: an array has another shape than the model's.
            ArgumentError: a parameter or state has no array.
            TrainingError: this process was forked in the middle of another thread's step.
        """
        with self._team.whole_turn():
            fill(self._memory["parameter", "parameter"], self.plan.layout, parameters)
            fill(self._memory["state", "state"], self.plan.states, states)
            for slot in self.step.slots:
                vector = self._memory["parameter", f"slot:{slot}"]
                vector[...] = 0
                if slots is not None:
                    fill(vector, self.plan.layout, slots[slot])

    def parameters(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        with self._team.whole_turn():
            return named(self._memory["parameter", "parameter"], self.plan.layout)

    def states(self) -> dict[str, Array]:
        """Copies of the states by name."""
        with self._team.whole_turn():
            return named(self._memory["state", "state"], self.plan.states)

    def weights(self) -> dict[str, Array]:
        """Copies of parameters and states by name, all of the same moment."""
        with self._team.whole_turn():
            return {
                **named(self._memory["parameter", "parameter"], self.plan.layout),
                **named(self._memory["state", "state"], self.plan.states),
            }

    def slots(self) -> dict[str, dict[str, Array]]:
        """Copies of the optimizer's vectors, by slot and parameter."""
        with self._team.whole_turn():
            return {
                slot: named(self._memory["parameter", f"slot:{slot}"], self.plan.layout)
                for slot in self.step.slots
            }

    def begin_epoch(
        self, epoch: int, order: Array, tables: Mapping[str, Array] | None = None
    ) -> None:
        """Set the order of samples, and data-set arrays that change from epoch to epoch.

        Args:
            epoch: number of the epoch; dropout depends on it.
            order: int64 (samples,), which row comes when.
            tables: arrays that replace those of the same name, with the same shape and dtype.
        """
        if order.shape != (self.samples,) or order.dtype != np.int64:
            raise ShapeError(
                f"order must be int64 of shape ({self.samples},); got {order.dtype} {order.shape}"
            )
        if self.samples and not (order.min() >= 0 and order.max() < self.samples):
            raise ArgumentError(f"order must hold rows from 0 to {self.samples - 1}")
        with self._team.whole_turn():
            self._memory["order", "order"][...] = order
            self._memory["scalar", "key"][1] = epoch
            for name, table in (tables or {}).items():
                held = self._memory.get(("dataset", name))
                if held is None:
                    raise ArgumentError(f"the graph has no data-set input {name!r} to replace")
                if held.shape != table.shape or held.dtype != table.dtype:
                    raise ShapeError(
                        f"table {name!r} must stay {held.dtype} {held.shape}; "
                        f"got {table.dtype} {table.shape}"
                    )
                # The caller's arrays stay as they are. Scripts hold addresses: they are made anew.
                self._memory["dataset", name] = np.ascontiguousarray(table)
                self._scripts.clear()

    def steps(self, first: int, hyper: Array) -> Array:
        """Run some steps of the epoch.

        Args:
            first: number of the first step within the epoch.
            hyper: float32 (steps, scalars of the update), a row for each step.

        Returns:
            float32 (steps done, metrics): sums over each batch. A row whose loss is not finite is
            the last one, and its step's update is not applied.

        Raises:
            ArgumentError: the epoch has no such steps.
            TrainingError: this process was forked in the middle of another thread's step.
        """
        count = len(hyper)
        begin, end = first * self.batch_size, (first + count) * self.batch_size
        if first < 0 or count < 1 or end - self.batch_size >= self.samples:
            raise ArgumentError(
                f"an epoch of {self.samples} samples has no steps {first} to {first + count - 1}"
            )
        short = end - self.samples if end > self.samples else 0
        whole = count - 1 if short else count
        parts = [
            (a, min(a + _CAPACITY, whole), self.batch_size) for a in range(0, whole, _CAPACITY)
        ]
        if short:
            parts.append((whole, count, self.batch_size - short))
        rows: list[Array] = []
        with self._team.whole_turn():
            for a, b, images in parts:
                rows.append(self._run(begin + a * self.batch_size, images, hyper[a:b]))
                if not np.isfinite(rows[-1][-1, 0]):
                    break
        return np.concatenate(rows)

    def _run(self, first: int, images: int, hyper: Array) -> Array:
        """Steps of equal batches from this sample of the order on."""
        scripts, contexts = self._scripts_for(images)
        for shard, context in contexts:
            context.set(first=first + shard * self.shard_size)
        self._memory["scalar", "inverse_batch"][0] = np.float32(1.0 / images)
        if hyper.shape[1:] != (len(self.step.hyper),):
            raise ShapeError(
                f"hyper must have a column for each of {self.step.hyper}; got {hyper.shape}"
            )
        self._table[: hyper.size] = hyper.astype(np.float32).ravel()
        self._counters[:] = 0
        self._control[:2] = len(hyper), 0
        self._team.run(scripts, 0, control=int(self._control.ctypes.data))
        done = int(self._counters[1])
        columns = len(self.step.metrics)
        return self._metrics[: done * columns].reshape(done, columns).copy()

    @property
    def arena_bytes(self) -> int:
        """Bytes of one thread's arena."""
        return self.plan.memory.arena

    def close(self) -> None:
        """End the threads."""
        self._team.close()

    def __enter__(self) -> TrainingEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
