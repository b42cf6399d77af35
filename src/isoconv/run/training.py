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

from isoconv.checks import refusal
from isoconv.compile.calls import Call
from isoconv.compile.layout import Buffer
from isoconv.compile.lower.plan import Plan
from isoconv.compile.native.runtime import AdvanceSpec, BarrierSpec
from isoconv.compile.reduction.clip import BLOCK
from isoconv.errors import ArgumentError, ShapeError
from isoconv.memory import check_memory
from isoconv.run.arrays import checked, fill, named, sample_count
from isoconv.run.demand import step_demand, what_helps
from isoconv.run.memory import (
    Context,
    Resolve,
    Script,
    ScriptBuilder,
    aligned_bytes,
    aligned_copy,
)
from isoconv.run.step import StepGraph, StepPlan
from isoconv.run.step_schedule import Reduce, StepSchedule, Task
from isoconv.run.team import Team, library_for, team_size
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
            self._addresses = library.addresses(self.plan.specs(), progress, crew)
        self._calls: dict[int, int] = {}
        self._team = Team(self.threads, library)
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
        """Arenas per thread; the slots of sums come as the tree needs them."""
        self._arenas = [aligned_bytes(self.plan.arena.size) for _ in range(self.threads)]
        self._scratch = [aligned_bytes(self.plan.scratch) for _ in range(self.threads)]
        self._update_arena = aligned_bytes(self.plan.update_arena.size)
        self._packs = aligned_bytes(self.plan.packed_size)
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
        script = ScriptBuilder()
        address = self._addresses
        part = Context(part=thread, parts=self.threads)
        total = int(self._slot(schedule.root).ctypes.data)

        def barrier(*, check: bool = False) -> None:
            if self.threads > 1 or check:
                script.add(address[BarrierSpec()], [self._team.barrier], check=check)

        if thread == 0:
            hyper: list[Array] = [self._table, self._counters, self._memory["scalar", "hyper"]]
            script.add(address[self.plan.hyper], [int(a.ctypes.data) for a in hyper])
        prepare = self.plan.shard.prepare
        script.calls(prepare, self._address, self._arena_resolver(thread, 0, total), part)
        barrier()
        for stage in schedule.stages(thread):
            if isinstance(stage, Task):
                context = self._context(stage, images)
                contexts.append((stage.shard, context))
                self._task(script, thread, stage, context, barrier)
            elif isinstance(stage, Reduce):
                self._reduce(script, stage)
            else:
                barrier()
        if thread == 0:
            finish = [total, *(int(a.ctypes.data) for a in
                               (self._metrics, self._counters[1:2], self._control))]  # fmt: skip
            script.add(address[self.plan.finish], finish)
        barrier(check=True)
        self._finish(script, thread, total, part, barrier)
        return script.finish()

    def _finish(
        self,
        script: ScriptBuilder,
        thread: int,
        total: int,
        part: Context,
        barrier: Callable[..., None],
    ) -> None:
        """Clipping and the update."""
        address = self._addresses
        resolve = self._resolver(thread, self._update_arena, self.plan.update_arena, total)
        if self.plan.clip is not None:
            blocks, factor = self.plan.clip
            sums = int(self._memory["scalar", "blocks"].ctypes.data)
            scale = int(self._memory["scalar", "gradient_scale"].ctypes.data)
            script.add(address[blocks], [total, sums], part)
            barrier()
            if thread == 0:
                script.add(address[factor], [sums, scale], part)
            barrier()
        script.calls(self.plan.update, self._address, resolve, part)
        barrier()

    def _context(self, task: Task, images: int) -> Context:
        """The context of a shard in batches of this many images."""
        first = task.shard * self.shard_size
        count = min(self.shard_size, images - first)
        return Context(images=count, stride=images, part=task.part, parts=task.parts)

    def _task(
        self,
        script: ScriptBuilder,
        thread: int,
        task: Task,
        context: Context,
        barrier: Callable[..., None],
    ) -> None:
        """A shard's kernels; a team meets after each."""
        slot = int(self._slot(task.slot).ctypes.data)
        resolve = self._arena_resolver(thread, task.arena, slot)
        for call in self.plan.shard.shard:
            script.calls([call], self._address, resolve, context)
            if task.parts > 1:
                barrier()
        script.add(self._addresses[AdvanceSpec()], [], context)

    def _reduce(self, script: ScriptBuilder, reduce: Reduce) -> None:
        left, right = (int(self._slot(slot).ctypes.data) for slot in (reduce.left, reduce.right))
        context = Context(part=reduce.part, parts=reduce.parts)
        script.add(self._addresses[self.plan.merge], [left, right], context)

    def _address(self, call: Call) -> int:
        # A call comes by for every shard, and its specification is large: it is looked up once.
        known = self._calls.get(id(call))
        if known is None:
            known = self._calls[id(call)] = self._addresses[call.spec]
        return known

    def _arena_resolver(self, thread: int, arena: int, sums: int) -> Resolve:
        return self._resolver(thread, self._arenas[arena], self.plan.arena, sums)

    def _resolver(self, thread: int, memory: Array, plan: Plan, sums: int) -> Resolve:
        arena = int(memory.ctypes.data)
        scratch = int(self._scratch[thread].ctypes.data)
        packs = int(self._packs.ctypes.data)
        known: dict[int, int] = {}

        def find(buffer: Buffer) -> int:
            if buffer.region == "arena":
                return arena + plan.offsets[buffer]
            if buffer.region == "scratch":
                return scratch
            if buffer.region == "packed":
                return packs + self.plan.packed[buffer]
            if buffer.region == "sums":
                return sums
            return int(self._memory[buffer.region, buffer.name].ctypes.data)

        def resolve(buffer: Buffer) -> int:
            place = known.get(id(buffer))
            if place is None:
                place = known[id(buffer)] = find(buffer)
            return place

        return resolve

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
            raise refusal(
                "hyper",
                f"have a column for each of {self.step.hyper}",
                hyper,
                ShapeError,
                got=f"{hyper.shape}",
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
        return self.plan.arena.size

    def close(self) -> None:
        """End the threads."""
        self._team.close()

    def __enter__(self) -> TrainingEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
