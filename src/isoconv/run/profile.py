"""Where the time of a model goes: the clock is read after every kernel call.

The scripts call the same kernels as those of training and of prediction, in the same order and on
the same memory, so that kernels meet the caches as they do in real work. Left out are, of a step,
the fetching of its scalars, the look at its metrics and clipping; of a prediction, the packing of
its weights, which is done once.

What a kernel computes and moves follows from its specification: 1 FMA = 2 FLOP, and every operand
crosses the memory bus once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.lower.driver import Call, Lowered
from isoconv.compile.native.kernels import KernelLibrary, KernelSpec
from isoconv.compile.native.loops import I32, Kernel
from isoconv.compile.native.runtime import BarrierSpec
from isoconv.compile.target import host_target
from isoconv.run.inference import Predictor
from isoconv.run.memory import Context, Resolve, Script, ScriptBuilder
from isoconv.run.step_schedule import Reduce, StepSchedule, Task
from isoconv.run.team import Team
from isoconv.run.training import TrainingEngine
from isoconv.run.tree import TreeNode
from isoconv.run.work import bytes_of, flops_of, kernel_names

__all__ = ["KernelTime", "Profile", "ProfiledPredictor", "ProfiledTraining"]

Array = NDArray[Any]

_CLOCK_MONOTONIC = 1


@dataclass(frozen=True, slots=True)
class KernelTime:
    """A kernel in one batch.

    Attributes:
        layer: that it works for; "" for work that belongs to none.
        kernel: what it does.
        seconds: threads work side by side: the time of all of them, divided by their number.
        flops: multiplications and additions that it does; 0 where nobody would count them.
        bytes: of all operands, each once.
    """

    layer: str
    kernel: str
    seconds: float
    flops: int
    bytes: int

    @property
    def gflops(self) -> float:
        """GFLOP/s of all threads together."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gigabytes(self) -> float:
        """GB/s of all threads together."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def intensity(self) -> float:
        """FLOP for each byte."""
        return self.flops / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A batch, kernel by kernel.

    Attributes:
        rows: in order of first use; kernels that do the same for a layer are one row.
        seconds: of a whole batch without the clock.
        threads: that worked.
        images: of the batch.
    """

    rows: tuple[KernelTime, ...]
    seconds: float
    threads: int
    images: int


@dataclass(frozen=True, slots=True)
class StampSpec:
    """``stamp(args)``: args are (table, counter); writes the time as (seconds, nanoseconds)."""

    buffers: int = 2

    def emit(self, k: Kernel) -> None:
        """Read the clock."""
        table, counter = k.buffers
        number = k.load_scalar(counter, "int64")
        clock = k.builder.trunc(k.const(_CLOCK_MONOTONIC), I32)
        k.call("clock_gettime", I32, clock, k.at(table, k.mul(number, 2), "int64"))
        k.store(k.add(number, 1), counter)


# Stamped scripts --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Label:
    """Of the time between two stamps."""

    layer: str
    kernel: str
    flops: int = 0
    bytes: int = 0


class _Stamped:
    """One thread's script with a stamp after each call."""

    def __init__(self, stamp: int, turns: int, most: int) -> None:
        self.labels: list[_Label] = []
        self._builder = ScriptBuilder()
        self._stamp = stamp
        self._turns = turns
        self._table = np.zeros((turns * (most + 1), 2), np.int64)
        self._counter = np.zeros(1, np.int64)
        self._read_clock()

    def _read_clock(self) -> None:
        pointers = [int(self._table.ctypes.data), int(self._counter.ctypes.data)]
        self._builder.add(self._stamp, pointers)

    def add(self, kernel: int, pointers: Sequence[int], context: Context, label: _Label) -> None:
        """Call a kernel and stamp."""
        self._builder.add(kernel, pointers, context)
        self.labels.append(label)
        self._read_clock()

    def finish(self) -> Script:
        """The script."""
        return self._builder.finish()

    def rewind(self) -> None:
        """Write from the table's first row again."""
        self._counter[0] = 0

    def seconds(self) -> list[float]:
        """Of each call, the middle one of the turns."""
        count = len(self.labels) + 1
        stamps = self._table[: count * self._turns]
        times = (stamps[:, 0] * 10**9 + stamps[:, 1]).reshape(self._turns, count)
        spans = np.sort(times[:, 1:] - times[:, :-1], axis=0)
        return [float(span) * 1e-9 for span in spans[self._turns // 2]]


class _Recording:
    """The stamped scripts of a team, and what they say of each kernel."""

    def __init__(self, team: Team, turns: int, most: int) -> None:
        self._kernels = KernelLibrary(host_target(), None)
        stamp = self._kernels.addresses([StampSpec()])[StampSpec()]
        self._team = team
        self._turns = turns
        self.scripts = [_Stamped(stamp, turns, most) for _ in range(team.threads)]

    def wait(self, barrier: int) -> None:
        """All threads meet."""
        for thread in range(len(self.scripts)):
            self.meet(thread, barrier)

    def meet(self, thread: int, barrier: int) -> None:
        """A thread waits for the others."""
        self.scripts[thread].add(barrier, [self._team.barrier], Context(), _Label("", "waiting"))

    def rows(self) -> tuple[KernelTime, ...]:
        """Run the scripts and gather the times of all threads."""
        scripts = [script.finish() for script in self.scripts]
        with self._team.turn:
            self._team.run(scripts, 1)
            for script in self.scripts:
                script.rewind()
            self._team.run(scripts, self._turns)
        times: dict[tuple[str, str], float] = {}
        work: dict[tuple[str, str], tuple[int, int]] = {}
        for script in self.scripts:
            for label, seconds in zip(script.labels, script.seconds(), strict=True):
                key = (label.layer, label.kernel)
                times[key] = times.get(key, 0.0) + seconds / len(self.scripts)
                flops, moved = work.get(key, (0, 0))
                work[key] = flops + label.flops, moved + label.bytes
        return tuple(KernelTime(*key, times[key], *work[key]) for key in times)


class _Work:
    """Calls with their names, addresses and what they move."""

    def __init__(
        self, lowered: Lowered, addresses: Mapping[KernelSpec, int], rows: Mapping[str, int]
    ) -> None:
        calls = (*lowered.prepare, *lowered.shard)
        self._names = dict(zip(map(id, calls), kernel_names(lowered), strict=True))
        self._addresses = addresses
        self._rows = rows

    def add(
        self,
        script: _Stamped,
        calls: Sequence[Call],
        resolve: Resolve,
        context: Context,
        images: int,
        *,
        counts: bool = True,
        name: str = "",
    ) -> None:
        """Add calls to a script; of a shared one a single thread counts the work."""
        for call in calls:
            label = _Label(
                call.layer,
                name or self._names[id(call)],
                flops_of(call, images) if counts else 0,
                bytes_of(call, images, self._rows) if counts else 0,
            )
            pointers = [resolve(buffer) + buffer.start for buffer in call.buffers]
            script.add(self._addresses[call.spec], pointers, context, label)


def _middle(work: Callable[[], object], turns: int) -> float:
    """Seconds of the middle one of some repetitions."""
    work()
    found = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return sorted(found)[turns // 2]


class ProfiledTraining(TrainingEngine):
    """A training engine that tells where a step's time goes."""

    def profile(self, turns: int = 10) -> Profile:
        """Measure the first step of the epoch.

        Every scalar of the update is 0 meanwhile, the learning rate among them, so that parameters
        stay as they are. Running statistics and the optimizer's vectors do not: an engine that was
        profiled is for nothing else.

        Args:
            turns: repetitions, of which the middle one counts.
        """
        idle = np.zeros((1, len(self.step.hyper)), np.float32)
        seconds = _middle(lambda: self.steps(0, idle), turns)
        images = min(self.batch_size, self.samples)
        shards = -(-images // self.shard_size)
        rows = {
            name: array.nbytes // len(array)
            for (region, name), array in self._memory.items()
            if region == "dataset"
        }
        work = _Work(self.plan.shard, self._addresses, rows)
        most = (shards + 2) * (len(self.plan.specs()) + len(self.plan.shard.shard)) * 2
        recording = _Recording(self._team, turns, most)
        schedule = StepSchedule(range(shards), shards, self.threads)
        total = int(self._sums_in(schedule.buffers[schedule.nodes[0]]).ctypes.data)
        barrier = self._addresses[BarrierSpec()]
        parts = [Context(part=t, parts=self.threads) for t in range(self.threads)]
        prepare, resolve = self.plan.shard.prepare, self._arena_resolver(0, 0, total)
        for t, script in enumerate(recording.scripts):
            work.add(script, prepare, resolve, parts[t], 1, counts=t == 0)
        recording.wait(barrier)
        for t in range(self.threads):
            self._add_schedule(recording, t, schedule, work, images)
        resolve = self._resolver(0, self._update_arena, self.plan.update_arena, total)
        for t, script in enumerate(recording.scripts):
            work.add(script, self.plan.update, resolve, parts[t], 1, counts=t == 0, name="update")
        recording.wait(barrier)
        return Profile(recording.rows(), seconds, self.threads, images)

    def _add_schedule(
        self, recording: _Recording, thread: int, schedule: StepSchedule, work: _Work, images: int
    ) -> None:
        """A thread's shards and merges."""
        script, barrier = recording.scripts[thread], self._addresses[BarrierSpec()]
        for stage in schedule.stages(thread):
            if isinstance(stage, Task):
                first = stage.shard * self.shard_size
                count = min(self.shard_size, images - first)
                sums = int(self._sums_in(schedule.buffers[TreeNode(0, stage.shard)]).ctypes.data)
                resolve = self._arena_resolver(thread, stage.arena, sums)
                context = Context(images=count, first=first, part=stage.part, parts=stage.parts)
                for call in self.plan.shard.shard:
                    work.add(script, [call], resolve, context, count, counts=stage.part == 0)
                    if stage.parts > 1:
                        recording.meet(thread, barrier)
            elif isinstance(stage, Reduce):
                self._add_reduce(script, schedule, stage)
            else:
                recording.meet(thread, barrier)

    def _add_reduce(self, script: _Stamped, schedule: StepSchedule, reduce: Reduce) -> None:
        size = self.plan.sums.size if reduce.part == 0 else 0
        pointers = [int(self._sums_in(schedule.buffers[node]).ctypes.data) for node in reduce.pair]
        label = _Label("", "sums of shards", size, 3 * 4 * size)
        context = Context(part=reduce.part, parts=reduce.parts)
        script.add(self._addresses[self.plan.merge], pointers, context, label)


class ProfiledPredictor(Predictor):
    """A predictor that tells where a prediction's time goes."""

    def profile(
        self, weights: Mapping[str, Array], datasets: Mapping[str, Array], turns: int = 10
    ) -> Profile:
        """Measure a prediction for all rows of the data sets.

        Args:
            weights: as for `run`.
            datasets: as for `run`.
            turns: repetitions, of which the middle one counts.
        """
        seconds = _middle(lambda: self.run(weights, datasets), turns)
        given = self._checked_datasets(datasets)
        images = len(next(iter(given.values())))
        results = self._new_results(images)
        places = self._places(images, given, results)
        rows = {name: a.nbytes // images for name, a in (*given.items(), *results.items())}
        work = _Work(self._lowered, self._addresses, rows)
        rounds, rest = self._rounds(images)
        chunks = -(-(images - rest) // self.shard_size)
        for _, _, count in rounds:
            chunks += count
        recording = _Recording(self._team, turns, 2 * chunks * len(self._lowered.shard) + 4)
        resolvers = [self._resolve(t, t, places) for t in range(self.threads)]
        for begin, each, count in rounds:
            for t, script in enumerate(recording.scripts):
                for chunk in range(t * count, (t + 1) * count):
                    context = Context(images=each, first=begin + chunk * each)
                    work.add(script, self._lowered.shard, resolvers[t], context, each)
        recording.wait(self._addresses[BarrierSpec()])
        resolvers = [self._resolve(t, 0, places) for t in range(self.threads)]
        self._share_chunks(recording, work, resolvers, rest, images)
        return Profile(recording.rows(), seconds, self.threads, images)

    def _share_chunks(
        self,
        recording: _Recording,
        work: _Work,
        resolvers: Sequence[Resolve],
        begin: int,
        images: int,
    ) -> None:
        """All threads on the same chunk, meeting after each kernel."""
        barrier = self._addresses[BarrierSpec()]
        for first in range(begin, images, self.shard_size):
            count = min(self.shard_size, images - first)
            contexts = [
                Context(images=count, first=first, part=t, parts=self.threads)
                for t in range(self.threads)
            ]
            for call in self._lowered.shard:
                for t, script in enumerate(recording.scripts):
                    work.add(script, [call], resolvers[t], contexts[t], count, counts=t == 0)
                recording.wait(barrier)
