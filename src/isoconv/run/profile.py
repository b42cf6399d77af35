"""Where the time of a model goes: the clock is read after every kernel call.

What is measured are the steps and predictions themselves: an observer (``run/binder.py``) adds a
look at the clock to each of their calls. Left out is what comes before a prediction's first image,
the packing of its weights, which is done once.

What a kernel computes and moves follows from its specification: 1 FMA = 2 FLOP, and every operand
crosses the memory bus once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from math import isfinite, prod

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.calls import Call
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.loops import I32, POINTER, Kernel
from isoconv.compile.native.runtime import AdvanceSpec, BarrierSpec, HyperSpec, MetricsSpec
from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.reduction.clip import ClipBlocksSpec, ClipFactorSpec
from isoconv.compile.target import Target, host_target
from isoconv.errors import TrainingError
from isoconv.graph.operation import Array
from isoconv.run.binder import Binder, address_of
from isoconv.run.bounds import Demand, demand_of
from isoconv.run.inference import Predictor
from isoconv.run.script import Context, ScriptBuilder
from isoconv.run.training import TrainingEngine

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
        demand: what it needs of the machine.
    """

    layer: str
    kernel: str
    seconds: float
    flops: int
    bytes: int
    demand: Demand = field(default_factory=Demand)

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
class StampSpec(Specification):
    """``stamp(args, context)``: args are (log, label); writes a row and moves the log on.

    ``log`` holds int64: the address of the next row, that of the last one there is, the bytes from
    a row to the next, and how many rows were written. A row holds int64: the label, the images of
    the context, and the time as seconds and nanoseconds.
    """

    buffers: int = 2


@emits(StampSpec)
def stamp(k: Kernel, _: StampSpec) -> None:
    """Read the clock."""
    b = k.builder
    log, label = k.buffers
    row = b.load(log, typ=POINTER)
    clock = b.trunc(k.const(_CLOCK_MONOTONIC), I32)
    k.call("clock_gettime", I32, clock, k.at(row, 2, "int64"))
    k.store(k.load_scalar(label, "int64"), row)
    k.store(k.field("images"), k.at(row, 1, "int64"))
    here, last, stride, count = (
        k.load_scalar(k.at(log, number, "int64"), "int64") for number in range(4)
    )
    more = b.icmp_unsigned("<", here, last)
    k.store(b.select(more, b.add(here, stride), here), log)
    k.store(k.add(count, 1), k.at(log, 3, "int64"))


_ROW = 4  # int64
_OWN = {
    BarrierSpec: "waiting",
    ClipBlocksSpec: "clipping",
    ClipFactorSpec: "clipping",
    MetricsSpec: "metrics",
    HyperSpec: "scalars of the update",
    PointwiseSpec: "sums of shards",
}
"""Kernels that work for no layer."""


class _Clock:
    """Reads the clock after each call of a team's scripts.

    Args:
        threads: of the team.
        rows: bytes of one row of each data set and output.
        names: what some calls do, by their ``id``, where it is not what their kernels are called.
        target: the machine that the kernels are made for.
    """

    def __init__(
        self, threads: int, rows: Mapping[str, int], names: Mapping[int, str], target: Target
    ) -> None:
        # A tiny kernel that nobody else needs is not kept on disk.
        self._kernels = KernelLibrary(host_target(), None)
        self._stamp = self._kernels.addresses([StampSpec()])[StampSpec()]
        self._logs = [np.zeros(4, np.int64) for _ in range(threads)]
        self._tables: list[NDArray[np.int64]] = []
        self._noted: list[tuple[Call | Specification | None, bool]] = []
        self._names = names
        self._rows, self._target = rows, target

    def begins(self, script: ScriptBuilder, thread: int) -> None:
        """A script's first call is measured from here."""
        self._read(script, thread, None, Context())

    def follows(
        self,
        script: ScriptBuilder,
        thread: int,
        call: Call | Specification,
        context: Context | None,
    ) -> None:
        """Read the clock after a call."""
        if not isinstance(call, AdvanceSpec):
            self._read(script, thread, call, context or Context())

    def _read(
        self,
        script: ScriptBuilder,
        thread: int,
        call: Call | Specification | None,
        context: Context,
    ) -> None:
        label = np.array([len(self._noted)], np.int64)
        # Of a shared call one thread alone counts the work.
        self._noted.append((call, context["part"] == 0))
        pointers = [address_of(self._logs[thread]), address_of(label)]
        script.add(self._stamp, pointers, context, keep=(label, self))

    def profile(
        self,
        binder: Binder,
        work: Callable[[], object],
        forget: Callable[[], object],
        turns: int,
        images: int,
    ) -> Profile:
        """Measure a batch, first as it is and then with a look at the clock after each call.

        Args:
            binder: that makes the scripts.
            work: on a batch; makes its scripts the first time, and runs the same ones each time.
            forget: has scripts made anew.
            turns: repetitions, of which the middle one counts.
            images: of a batch.
        """
        seconds = _middle(work, turns)
        forget()
        try:
            with binder.observed(self):
                rows = self._times(work, turns)
        finally:
            forget()
        return Profile(rows, seconds, len(self._logs), images)

    def _times(self, work: Callable[[], object], turns: int) -> tuple[KernelTime, ...]:
        """Of each kernel, all threads together."""
        self._rewind(1)
        work()
        counts = [int(log[3]) for log in self._logs]
        self._rewind(*(turns * count for count in counts))
        for _ in range(turns):
            work()
        times: dict[tuple[str, str], float] = {}
        done: dict[tuple[str, str], _Done] = {}
        for table, count, log in zip(self._tables, counts, self._logs, strict=True):
            if log[3] != turns * count:
                raise TrainingError("what is measured must be the same work each time")
            stamps = table[: turns * count].reshape(turns, count, _ROW)
            clock = stamps[:, :, 2] * 10**9 + stamps[:, :, 3]
            spans = np.sort(clock[:, 1:] - clock[:, :-1], axis=0)[turns // 2]
            for span, (label, images) in zip(spans, stamps[0, 1:, :2], strict=True):
                call, counted = self._noted[label]
                if call is None:
                    continue
                key, own = self._label(call, int(images))
                times[key] = times.get(key, 0.0) + float(span) * 1e-9 / len(counts)
                if counted:
                    done[key] = done.get(key, _Done()) + own
        return tuple(
            KernelTime(*key, times[key], all_of.flops, all_of.bytes, all_of.demand)
            for key, all_of in ((key, done.get(key, _Done())) for key in times)
        )

    def _rewind(self, *counts: int) -> None:
        """Begin again, with a table of so many rows for each thread; one for all: nothing stays."""
        self._tables = [np.zeros((max(count, 1), _ROW), np.int64) for count in counts]
        for log, table in zip(self._logs, cycle(self._tables)):
            log[:] = address_of(table), address_of(table[-1:]), table.strides[0], 0

    def _label(self, call: Call | Specification, images: int) -> tuple[tuple[str, str], _Done]:
        """Layer and name of a call, and what it does on so many images."""
        if isinstance(call, Call):
            name = self._names.get(id(call), call.title)
            demand = demand_of(call, images, self._rows, self._target)
            done = _Done(call.flops(images), call.bytes(images, self._rows), demand)
            return (call.layer, name), done
        if isinstance(call, PointwiseSpec):
            size = prod(call.domain.axes)
            return ("", _OWN[type(call)]), _Done(size, 3 * 4 * size)
        return ("", _OWN[type(call)]), _Done()


@dataclass(frozen=True, slots=True)
class _Done:
    """What some calls did."""

    flops: int = 0
    bytes: int = 0
    demand: Demand = field(default_factory=Demand)

    def __add__(self, other: _Done) -> _Done:
        return _Done(self.flops + other.flops, self.bytes + other.bytes, self.demand + other.demand)


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

        Raises:
            TrainingError: the step's loss is not finite, so that it ends before its update.
        """
        idle = np.zeros((1, len(self.step.hyper)), np.float32)
        images = self._images_of(0, 0)
        shards = range(self._shards_of(images))

        def step() -> None:
            self._run(self._scripts_for(images, shards, updates=True), 0, images, idle)
            loss = float(self._metric_rows()[0, 0])
            if not isfinite(loss):
                raise TrainingError(f"a step that is profiled must have a finite loss; got {loss}")

        names = {id(call): "update" for call in self.plan.update}
        clock = _Clock(self.threads, self._memory.row_bytes(), names, self._binder.target)
        with self._team.whole_turn():
            return clock.profile(self._binder, step, self._scripts.clear, turns, images)


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
        version = object()

        def predict() -> None:
            self._run(weights, datasets, version)

        images = len(next(iter(datasets.values())))
        specs = {**self._rows, **self._results}
        rows = {name: spec.size * spec.itemsize for name, spec in specs.items()}
        clock = _Clock(self.threads, rows, {}, self._binder.target)
        with self._team.turn:
            return clock.profile(self._binder, predict, self._forget_scripts, turns, images)
