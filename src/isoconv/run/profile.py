"""Where the time of a model goes: the clock is read after every kernel call.

The scripts are those of training and of prediction, so that kernels meet the caches as they do in
real work. What a kernel computes and moves follows from its specification: 1 FMA = 2 FLOP, and
every operand crosses the memory bus once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.contract import ContractSpec
from isoconv.compile.contract_weight import ContractWeightSpec
from isoconv.compile.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.image import AugmentSpec
from isoconv.compile.kernels import KernelLibrary
from isoconv.compile.loops import I32, Kernel
from isoconv.compile.lower import Call, Lowered
from isoconv.compile.pack import PackSpec
from isoconv.compile.pointwise import PointwiseSpec
from isoconv.compile.reduce import ReduceSpec
from isoconv.compile.rows import RowsSpec
from isoconv.compile.runtime import BarrierSpec
from isoconv.compile.window import PoolSpec
from isoconv.compile.window_grad import PoolGradSpec
from isoconv.run.inference import Predictor
from isoconv.run.memory import Context, Resolve, Script, ScriptBuilder
from isoconv.run.team import Team
from isoconv.run.training import TrainingEngine
from isoconv.run.tree import Leaf, finish_tree, shard_ranges, walk

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
        flops: multiplications and additions as written; 0 where nobody would count them.
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


# What a call computes and moves -----------------------------------------------------------------


def flops_of(call: Call, images: int) -> int:
    """Multiplications and additions of a call on so many images."""
    spec = call.spec
    if isinstance(spec, ContractSpec):
        positions = spec.flat or prod(axis.positions for axis in spec.axes)
        results = positions * spec.groups * spec.filters
        steps = 2 * spec.taps * spec.channels + len(spec.epilogue.steps)
        return images * results * steps
    if isinstance(spec, ContractWeightSpec):
        terms = prod(axis.positions * axis.taps for axis in spec.axes)
        return 2 * images * terms * spec.groups * spec.filters * spec.channels
    if isinstance(spec, (DepthwiseSpec, DepthwiseWeightSpec)):
        terms = prod(axis.positions * axis.taps for axis in spec.axes)
        return 2 * images * terms * spec.channels
    if isinstance(spec, (PointwiseSpec, ReduceSpec)):
        elements = prod(spec.domain.axes) * (images if spec.domain.batched else 1)
        sums = len(spec.results) if isinstance(spec, ReduceSpec) else 0
        return elements * (len(spec.expression.steps) + sums)
    return 0


def bytes_of(call: Call, images: int, rows: Mapping[str, int]) -> int:
    """Bytes of a call's operands, each once.

    Args:
        call: the call.
        images: that it works on.
        rows: bytes of one row of each data set.
    """
    moved = 0
    for buffer in call.buffers:
        if buffer.region in ("dataset", "output"):
            moved += images * rows.get(buffer.name, 0)
        else:
            moved += buffer.bytes * (images if buffer.batched else 1)
    return moved


def kernel_names(lowered: Lowered) -> list[str]:
    """What each call of `lowered.prepare`, then of `lowered.shard`, does, in words."""
    transposed = {
        call.buffers[1]: call.spec.transposed
        for call in (*lowered.prepare, *lowered.shard)
        if isinstance(call.spec, PackSpec)
    }
    known: set[str] = set()
    names = []
    for call in (*lowered.prepare, *lowered.shard):
        back = any(transposed.get(buffer, False) for buffer in call.buffers)
        if isinstance(call.spec, DepthwiseSpec):
            # Its weights are not packed; a layer's forward pass comes before its gradient.
            back = call.layer in known
            known.add(call.layer)
        names.append(_name(call, back=back))
    return names


def _name(call: Call, *, back: bool) -> str:
    spec = call.spec
    if isinstance(spec, PackSpec):
        return "packing of weights"
    if isinstance(spec, (ContractSpec, DepthwiseSpec)):
        return "gradient by input" if back else "forward"
    if isinstance(spec, (ContractWeightSpec, DepthwiseWeightSpec)):
        return "gradient by weight"
    if isinstance(spec, PoolSpec):
        return f"{spec.kind} pooling"
    if isinstance(spec, PoolGradSpec):
        return f"{spec.kind} pooling, gradient"
    if isinstance(spec, RowsSpec):
        return str(spec.op).replace("_", " ").replace(" grad", ", gradient")
    if isinstance(spec, ReduceSpec):
        return "sums"
    if isinstance(spec, AugmentSpec):
        return "augmentation"
    return "pointwise"


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
        library = KernelLibrary(team.library.target, None)
        spec = StampSpec()
        self._kernels = library  # holds the machine code
        stamp = library.addresses([spec])[spec]
        self._team = team
        self._turns = turns
        self.scripts = [_Stamped(stamp, turns, most) for _ in range(team.threads)]

    def rows(self) -> tuple[KernelTime, ...]:
        """Run the scripts and gather the times of all threads."""
        scripts = [script.finish() for script in self.scripts]
        self._team.run(scripts, 1)
        for script in self.scripts:
            script.rewind()
        self._team.run(scripts, self._turns)
        found: dict[tuple[str, str], list[float]] = {}
        work: dict[tuple[str, str], list[int]] = {}
        for script in self.scripts:
            for label, seconds in zip(script.labels, script.seconds(), strict=True):
                key = (label.layer, label.kernel)
                found.setdefault(key, [0.0])[0] += seconds / len(self.scripts)
                done = work.setdefault(key, [0, 0])
                done[0] += label.flops
                done[1] += label.bytes
        return tuple(KernelTime(*key, found[key][0], *work[key]) for key in found)
