"""Where the time of a model goes: every kernel call stamped with the clock, beside two ceilings.

The scripts are those of training and prediction with a clock reading after each call, so that
kernels meet the caches as they do in real work. The ceilings are what this machine's threads reach
together in a loop of fused multiply-adds and in adding two vectors; 1 FMA = 2 FLOP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.contract import ContractSpec
from isoconv.compile.contract_weight import ContractWeightSpec
from isoconv.compile.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.expression import Domain, Expression, Operand, Step
from isoconv.compile.image import AugmentSpec
from isoconv.compile.kernels import KernelLibrary, KernelSpec
from isoconv.compile.loops import I32, Kernel
from isoconv.compile.lower import Call, Lowered
from isoconv.compile.pack import PackSpec
from isoconv.compile.pointwise import PointwiseSpec
from isoconv.compile.reduce import ReduceSpec
from isoconv.compile.rows import RowsSpec
from isoconv.compile.runtime import BarrierSpec
from isoconv.compile.target import Target
from isoconv.compile.window import PoolSpec
from isoconv.compile.window_grad import PoolGradSpec
from isoconv.run.inference import Predictor
from isoconv.run.memory import Context, Script, ScriptBuilder, aligned_bytes
from isoconv.run.team import Team, default_threads, library_for
from isoconv.run.training import TrainingEngine
from isoconv.run.tree import Leaf, shard_ranges, walk

__all__ = [
    "Ceilings",
    "KernelTime",
    "Profile",
    "ProfiledPredictor",
    "ProfiledTraining",
    "measure_ceilings",
]

Array = NDArray[Any]

_CLOCK_MONOTONIC = 1
_PEAK_TURNS = 4096  # of the loop of fused multiply-adds in one call
_STREAM_BYTES = 64 * 2**20  # of each of three vectors: far beyond any cache
_CACHED_BYTES = 128 * 2**10  # of each of three vectors and of each thread: inside its own cache


# The ceilings -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a number of threads reach together.

    Attributes:
        threads: how many.
        gflops: fused multiply-adds on float32 held in registers, in GFLOP/s (1 FMA = 2 FLOP).
        memory: GB/s of vectors far larger than the caches, two read and one written.
        cache: the same of vectors in each core's own cache.
    """

    threads: int
    gflops: float
    memory: float
    cache: float


@dataclass(frozen=True, slots=True)
class PeakSpec:
    """``peak(args)``: independent chains of fused multiply-adds, as many as registers hold.

    Attributes:
        chains: number of accumulators.
        turns: steps of each chain.
    """

    chains: int
    turns: int
    buffers: int = 1

    def emit(self, k: Kernel) -> None:
        """Emit the loop."""
        lanes = k.target.lanes("float32")
        (place,) = k.buffers
        x = k.load_vector(place, "float32", lanes)
        y = k.load_vector(k.at(place, lanes, "float32"), "float32", lanes)
        chains = [k.variable(x) for _ in range(self.chains)]
        with k.loop(0, self.turns):
            for chain in chains:
                chain.set(k.fma(chain.get(), y, x))
        total = chains[0].get()
        for chain in chains[1:]:
            total = k.builder.fadd(total, chain.get())
        k.store(total, k.at(place, 2 * lanes, "float32"))


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


def measure_ceilings(
    threads: int | None = None, *, target: Target | str | None = None, rounds: int = 7
) -> Ceilings:
    """Measure the machine; takes about a second.

    Args:
        threads: that work together; None for one per core.
        target: machine to compile for; None for the one at hand.
        rounds: measurements of each ceiling, of which the best counts.

    Example:
        >>> ceilings = measure_ceilings(1, rounds=1)
        >>> ceilings.gflops > 0 and ceilings.memory > 0
        True
    """
    count = threads or default_threads()
    # Tiny kernels of this module's own, so none is kept on disk.
    library = KernelLibrary(library_for(target).target, None)
    chains = 24 if library.target.registers >= 32 else 12
    peak = PeakSpec(chains, _PEAK_TURNS)
    address = library.addresses([peak])[peak]
    lanes = library.target.lanes("float32")
    places = [aligned_bytes(12 * lanes) for _ in range(count)]
    with Team(count, library) as team:
        scripts = []
        for place in places:
            script = ScriptBuilder()
            script.add(address, [int(place.ctypes.data)])
            scripts.append(script.finish())
        flops = 2 * lanes * chains * _PEAK_TURNS * count
        seconds = _best(team, scripts, 20, rounds)
        memory = _stream(team, library, _STREAM_BYTES, 1, rounds, shared=True)
        cache = _stream(team, library, _CACHED_BYTES, 200, rounds, shared=False)
    return Ceilings(count, flops / seconds / 1e9, memory, cache)


def _stream(
    team: Team, library: KernelLibrary, size: int, turns: int, rounds: int, *, shared: bool
) -> float:
    """GB/s of ``a = b + c``; the threads share the vectors or have their own."""
    operands = [Operand(number, "float32", (1,)) for number in range(3)]
    step = Step("add", (0, 1), None, "float32")
    expression = Expression((operands[0], operands[1]), "", (step,), ((2, operands[2]),))
    spec = PointwiseSpec(Domain((size // 4,), batched=False), expression, 3)
    address = library.addresses([spec])[spec]
    scripts, keep = [], []
    for thread in range(team.threads):
        if thread == 0 or not shared:
            keep = [aligned_bytes(size) for _ in range(3)]
            for array in keep:
                array.view(np.float32)[...] = 1
        part = Context(part=thread, parts=team.threads) if shared else Context()
        script = ScriptBuilder()
        script.add(address, [int(array.ctypes.data) for array in keep], part)
        script.keep(keep)
        scripts.append(script.finish())
    moved = 3 * size * (1 if shared else team.threads)
    return moved / _best(team, scripts, turns, rounds) / 1e9


def _best(team: Team, scripts: Sequence[Script], turns: int, rounds: int) -> float:
    """Least seconds of one turn."""
    team.run(scripts, turns)
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        team.run(scripts, turns)
        found.append(time.perf_counter() - start)
    return min(found) / turns
