"""Training steps in native code: gather, forward, loss, backward, shard tree, update.

A step has two phases, and is one pass of every thread through its script:

    sums    pack the weights (shared)                             -- barrier
            my shards: forward and backward, sums into the tree   -- barrier
            shards left over (shared)                             -- barrier after each kernel
            add the threads' sums (shared)                        -- barrier
    update  metrics; is the loss finite?                          -- barrier, may stop
            [clip]; update the parameters (shared)                -- barrier

Several steps run in one native call. Either phase can be asked for on its own, the first one for
some of the shards, so that several engines share a step. Which engine and which thread runs which
shard changes no bit.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from isoconv.checks import check_count, check_kind, refusal
from isoconv.compile.native.records import CONTROL
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.run.binder import Binder, Recorder, Workspace, address_of
from isoconv.run.demand import step_demand, what_helps
from isoconv.run.script import Context, Script
from isoconv.run.step import StepGraph, StepPlan
from isoconv.run.step_memory import StepMemory, sample_count
from isoconv.run.step_schedule import Reduce, StepSchedule, SumsBuffer, Task
from isoconv.run.team import library_for, team_size
from isoconv.run.tree import TreeNode

_CAPACITY = 4096  # steps in one native call at most
_TOTAL: SumsBuffer = 0, 0  # where an update on its own finds its total
_SCRIPTS = 64  # different parts of steps for which scripts are kept
_NODES = 3  # of a graph, about, of which one kernel is made

Contexts = list[tuple[int, Context]]
"""Those of shards, with the numbers of the shards."""


@dataclass(frozen=True, slots=True)
class _Scripts:
    """Of all threads, for batches of one size.

    Attributes:
        scripts: one for each thread.
        contexts: of the shards that they run.
        nodes: where the sums lie that a phase of sums leaves.
    """

    scripts: list[Script]
    contexts: Contexts
    nodes: dict[TreeNode, Array]


class TrainingEngine:
    """Runs training steps for one model, one data set and one batch size.

    Args:
        step: what a step computes.
        data: an array for each data-set input of the shard graph, or `Rows` of one, one row for
            each sample; ``samples`` (the row numbers) is added.
        batch_size: images of a step.
        shard_size: images of a shard; part of the arithmetic, unlike `threads`.
        seed: seed of what layers draw.
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
                f"got batch_size={batch_size}, shard_size={shard_size}",
                argument="batch_size" if batch_size < 1 else "shard_size",
                value=batch_size if batch_size < 1 else shard_size,
            )
        self.step = step
        self.batch_size = batch_size
        self.shard_size = min(shard_size, batch_size)
        self.samples = sample_count(data)
        self.threads = team_size(threads)
        library = library_for(target, cache=cache)
        with library.worker_pool(len(step.shard) // _NODES) as pool:
            self.plan = StepPlan(step, self.shard_size, library.target, fusion=fusion)
            needs = step_demand(
                self.plan, data, samples=self.samples, batch_size=batch_size, threads=self.threads
            )
            check_memory("training", needs, what_helps(needs), memory)
            self._memory = StepMemory(self.plan, data, seed)
            self._binder = Binder(library, self.threads, self.plan.specs(), progress, pool)
        self._team = self._binder.team
        weakref.finalize(self, self._team.retire)
        self._workspace = Workspace(self.plan.memory, self.threads)
        self._update_workspace = Workspace(self.plan.update_memory, self.threads, arenas=1)
        self._control: Array = CONTROL.zeros(1)
        self._counters = np.zeros(8, np.int64)
        self._table = np.zeros(_CAPACITY * max(1, step.columns), np.float32)
        self._metrics = np.zeros(_CAPACITY * len(step.metrics), np.float32)
        self._scripts: dict[tuple[int, range, bool], _Scripts] = {}

    # Scripts ------------------------------------------------------------------------------------

    def _scripts_for(self, images: int, own: range, *, updates: bool) -> _Scripts:
        """Scripts for batches of so many images: the sums over some shards, the update, or both."""
        key = images, own, updates
        if key not in self._scripts:
            if len(self._scripts) == _SCRIPTS:
                self._scripts.clear()
            self._scripts[key] = self._build_scripts(*key)
        return self._scripts[key]

    def _build_scripts(self, images: int, own: range, updates: bool) -> _Scripts:
        schedule = StepSchedule(own, self._shards_of(images), self.threads)
        nodes = {node: self._memory.sums(schedule.buffers[node]) for node in schedule.nodes}
        # An update alone finds the total where it was put.
        total = self._memory.sums(schedule.buffers[schedule.nodes[0]] if own else _TOTAL)
        contexts: Contexts = []
        scripts: list[Script] = []
        for thread in range(self.threads):
            script = self._binder.recorder(thread)
            if own:
                self._add_sums(script, thread, images, schedule, contexts)
            if updates:
                self._add_update(script, thread, total)
            scripts.append(script.build())
        return _Scripts(scripts, contexts, nodes)

    def _add_sums(
        self,
        script: Recorder,
        thread: int,
        images: int,
        schedule: StepSchedule,
        contexts: Contexts,
    ) -> None:
        """One thread's way through the first phase; adds the contexts of its shards."""
        shard = self.plan.shard
        part = Context(part=thread, parts=self.threads)
        resolve = self._workspace.resolver(thread, 0, self._memory.places())
        script.calls(shard.prepare, resolve, part)
        script.barrier()
        for stage in schedule.stages(thread):
            if isinstance(stage, Task):
                context = self._context(stage, images)
                contexts.append((stage.shard, context))
                sums = self._memory.sums(schedule.buffers[TreeNode(0, stage.shard)])
                places = self._memory.places(sums)
                resolve = self._workspace.resolver(thread, stage.arena, places)
                script.shard(shard.shard, resolve, context)
            elif isinstance(stage, Reduce):
                halves = [self._memory.sums(schedule.buffers[node]) for node in stage.pair]
                context = Context(part=stage.part, parts=stage.parts)
                script.kernel(self.plan.reduction, halves, context)
            else:
                script.barrier()

    def _add_update(self, script: Recorder, thread: int, total: Array) -> None:
        """One thread's way through the second phase."""
        part = Context(part=thread, parts=self.threads)
        if thread == 0:
            hyper: list[Array] = [self._table, self._counters, self._memory.hyper]
            script.kernel(self.plan.hyper, hyper)
            metrics: list[Array] = [total, self._metrics, self._counters[1:2], self._control]
            script.kernel(self.plan.metrics, metrics)
        script.barrier(check=True)
        if self.plan.clip is not None:
            blocks, factor = self.plan.clip
            squares = self._memory.squares
            script.kernel(blocks, [total, squares], part)
            script.barrier()
            if thread == 0:
                script.kernel(factor, [squares, self._memory.gradient_scale], part)
            script.barrier()
        resolve = self._update_workspace.resolver(thread, 0, self._memory.places(total))
        script.calls(self.plan.update, resolve, part)
        script.barrier()

    def _context(self, task: Task, images: int) -> Context:
        """The context of a shard in batches of this many images."""
        count = min(self.shard_size, images - task.shard * self.shard_size)
        return Context(images=count, stride=images, part=task.part, parts=task.parts)

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
            self._memory.load(parameters, states, slots)

    def parameters(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        with self._team.whole_turn():
            return self._memory.parameters()

    def states(self) -> dict[str, Array]:
        """Copies of the states by name."""
        with self._team.whole_turn():
            return self._memory.states()

    def weights(self) -> dict[str, Array]:
        """Copies of parameters and states by name, all of the same moment."""
        with self._team.whole_turn():
            return {**self._memory.parameters(), **self._memory.states()}

    def slots(self) -> dict[str, dict[str, Array]]:
        """Copies of the optimizer's vectors, by slot and parameter."""
        with self._team.whole_turn():
            return self._memory.slots()

    def begin_epoch(
        self, epoch: int, order: Array, tables: Mapping[str, Array] | None = None
    ) -> None:
        """Set the order of samples, and data-set arrays that change from epoch to epoch.

        Args:
            epoch: number of the epoch; what layers draw depends on it.
            order: int64 (samples,), which row comes when.
            tables: arrays that replace those of the same name, with the same shape and dtype.
        """
        with self._team.whole_turn():
            self._memory.begin_epoch(epoch, order, tables or {})
            if tables:
                # Scripts hold addresses: they are made anew.
                self._scripts.clear()

    def steps(self, first: int, hyper: Array) -> Array:
        """Run some steps of the epoch.

        Args:
            first: number of the first step within the epoch.
            hyper: float32 (steps, scalars of the updates), a row for each step.

        Returns:
            float32 (steps done, metrics): sums over each batch. A row whose loss is not finite is
            the last one, and its step's update is not applied.

        Raises:
            ArgumentError: the epoch has no such steps.
            ShapeError: the rows have another number of scalars.
            DataFileError: a file that samples lie in was changed meanwhile.
            TrainingError: this process was forked in the middle of another thread's step.
        """
        count = len(hyper)
        last = self._images_of(first, first + count - 1)
        whole = count if last == self.batch_size else count - 1
        most = min(_CAPACITY, max(1, self._memory.at_once // self.batch_size))
        parts = [(a, min(a + most, whole), self.batch_size) for a in range(0, whole, most)]
        if whole < count:
            parts.append((whole, count, last))
        rows: list[Array] = []
        with self._team.whole_turn():
            for a, b, images in parts:
                scripts = self._scripts_for(images, range(self._shards_of(images)), updates=True)
                self._run(scripts, first + a, images, hyper[a:b])
                rows.append(self._metric_rows())
                if not np.isfinite(rows[-1][-1, 0]):
                    break
        return np.concatenate(rows)

    def sums(self, step: int, shards: range) -> dict[TreeNode, Array]:
        """The first phase of a step, for some of its shards.

        Args:
            step: number of the step within the epoch.
            shards: numbers of the shards, neighbours.

        Returns:
            Gradients, statistics and metrics, float32 (sums,), of the fewest nodes of the step's
            tree that cover those shards. `isoconv.run.tree.add_nodes` makes the total of those of
            several engines.

        Raises:
            ArgumentError: the epoch has no such step, or the step no such shards.
            DataFileError: a file that samples lie in was changed meanwhile.
            TrainingError: this process was forked in the middle of another thread's step.
        """
        step = check_count("step", step, least=0)
        check_kind("shards", shards, range, "a range of shards")
        images = self._images_of(step, step)
        count = self._shards_of(images)
        if not 0 <= shards.start < shards.stop <= count or shards.step != 1:
            raise refusal("shards", f"be neighbours from 0 to {count - 1}", shards)
        with self._team.whole_turn():
            scripts = self._scripts_for(images, shards, updates=False)
            self._run(scripts, step, images)
            return {node: sums.copy() for node, sums in scripts.nodes.items()}

    def update(self, step: int, total: Array, hyper: Array) -> Array:
        """The second phase of a step: metrics, clipping, parameters and states.

        Args:
            step: number of the step within the epoch.
            total: float32 (sums,), over all shards of the step.
            hyper: float32 (scalars of the updates,).

        Returns:
            float32 (metrics,): sums over the batch. If the loss is not finite, nothing was updated.

        Raises:
            ArgumentError: the epoch has no such step.
            ShapeError: the total has another shape or dtype, or there are not so many scalars.
            TrainingError: this process was forked in the middle of another thread's step.
        """
        step = check_count("step", step, least=0)
        images = self._images_of(step, step)
        if total.shape != (self.plan.sums.size,) or total.dtype != np.float32:
            rule = f"be float32 of shape ({self.plan.sums.size},)"
            raise refusal("total", rule, total, ShapeError, got=f"{total.dtype} {total.shape}")
        with self._team.whole_turn():
            self._memory.sums(_TOTAL)[...] = total
            self._run(self._scripts_for(images, range(0), updates=True), step, images, hyper[None])
            row: Array = self._metric_rows()[0]
            return row

    def _shards_of(self, images: int) -> int:
        return -(-images // self.shard_size)

    def _images_of(self, first: int, last: int) -> int:
        """Images of the last of these steps.

        Raises:
            ArgumentError: the epoch has no such steps.
        """
        if not 0 <= first <= last or last * self.batch_size >= self.samples:
            raise ArgumentError(
                f"an epoch of {self.samples} samples has no steps {first} to {last}",
                argument="step" if first == last else "first",
                value=first,
            )
        return min(self.batch_size, self.samples - last * self.batch_size)

    def _run(self, scripts: _Scripts, step: int, images: int, hyper: Array | None = None) -> None:
        """Steps of equal batches from this one on, or a phase of it."""
        own = {shard for shard, _ in scripts.contexts}
        for shard, context in scripts.contexts:
            context.set(first=step * self.batch_size + shard * self.shard_size)
        self._memory.set_images(images)
        turns = 1
        if hyper is not None:
            if hyper.shape[1:] != (self.step.columns,):
                rule = f"have a column for each of {self.step.hyper * len(self.step.updates)}"
                raise refusal("hyper", rule, hyper, ShapeError, got=f"{hyper.shape}")
            self._table[: hyper.size] = hyper.astype(np.float32).ravel()
            turns = len(hyper)
        self._counters[:] = 0
        self._control["turns"], self._control["stop"] = turns, 0
        if own:
            # Of one of several steps all shards are run here.
            first = min(own) * self.shard_size
            end = min(images, (max(own) + 1) * self.shard_size)
            whole = images * (turns - 1)
            self._memory.expect(step * self.batch_size + first, whole + end - first)
        self._team.run(scripts.scripts, 0, control=address_of(self._control))
        self._memory.have_read()

    def _metric_rows(self) -> Array:
        """Of the steps that the last run has done."""
        done, columns = int(self._counters[1]), len(self.step.metrics)
        return self._metrics[: done * columns].reshape(done, columns).copy()

    @property
    def arena_bytes(self) -> int:
        """Bytes of one thread's arena."""
        return self.plan.memory.arena

    def close(self) -> None:
        """End the threads."""
        self._team.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
