"""What this machine reaches at best: fused multiply-adds, bytes a second, the time of a barrier.

All are measured with kernels made like all others; 1 FMA = 2 FLOP.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.target import Target
from isoconv.run.binder import Binder
from isoconv.run.memory import aligned_bytes
from isoconv.run.script import Context, Script
from isoconv.run.team import Team, default_threads, library_for

_BARRIERS = 2000  # in one call
_PEAK_TURNS = 4096  # of the loop of fused multiply-adds in one call
_STREAM_BYTES = 64 * 2**20  # of each of three vectors: far beyond most caches
_CACHED_BYTES = 128 * 2**10  # of each of three vectors and of each thread: inside its own cache


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

    def better(self, other: Ceilings) -> Ceilings:
        """The higher of each: what else ran on the machine only ever lowers a measurement."""
        return Ceilings(
            self.threads,
            max(self.gflops, other.gflops),
            max(self.memory, other.memory),
            max(self.cache, other.cache),
        )


@dataclass(frozen=True, slots=True)
class PeakSpec(Specification):
    """``peak(args)``: independent chains of fused multiply-adds, as many as registers hold.

    Attributes:
        chains: number of accumulators.
        turns: steps of each chain.
    """

    chains: int
    turns: int
    buffers: int = 1


@emits(PeakSpec)
def peak(k: Kernel, spec: PeakSpec) -> None:
    """The loop."""
    lanes = k.target.lanes("float32")
    (place,) = k.buffers
    x = k.load_vector(place, "float32", lanes)
    y = k.load_vector(k.at(place, lanes, "float32"), "float32", lanes)
    # Each from a place of its own, or the compiler would find out that they are all the same.
    chains = [
        k.variable(k.load_vector(k.at(place, (3 + i) * lanes, "float32"), "float32", lanes))
        for i in range(spec.chains)
    ]
    with k.loop(0, spec.turns):
        for chain in chains:
            chain.set(k.fma(chain.get(), y, x))
    total = chains[0].get()
    for chain in chains[1:]:
        total = k.builder.fadd(total, chain.get())
    k.store(total, k.at(place, 2 * lanes, "float32"))


def measure_ceilings(
    threads: int | None = None, *, target: Target | str | None = None, seconds: float = 0.3
) -> Ceilings:
    """Measure the machine; takes about three times `seconds`.

    Args:
        threads: that work together; None for one per core.
        target: machine to compile for; None for the one at hand.
        seconds: how long to look for the best value of each ceiling. Whatever else runs on the
            machine lowers a measurement, so that a longer search finds more.

    Example:
        >>> ceilings = measure_ceilings(1, seconds=0.01)
        >>> ceilings.gflops > 0 and ceilings.memory > 0
        True
    """
    count = threads or default_threads()
    # Tiny kernels of this module's own, so none is kept on disk.
    library = KernelLibrary(library_for(target).target, None)
    chains = 24 if library.target.registers >= 32 else 12
    peak = PeakSpec(chains, _PEAK_TURNS)
    large, small = (_addition(size) for size in (_STREAM_BYTES, _CACHED_BYTES))
    binder = Binder(library, count, [peak, large, small])
    lanes = library.target.lanes("float32")
    with binder.team:
        scripts = []
        for thread in range(count):
            place = aligned_bytes(4 * lanes * (3 + chains)).view(np.float32)
            place[...] = 0.5
            script = binder.recorder(thread)
            script.kernel(peak, [place])
            scripts.append(script.build())
        flops = 2 * lanes * chains * _PEAK_TURNS * count
        least = _best(binder.team, scripts, 20, seconds)
        memory = _stream(binder, large, _STREAM_BYTES, 1, seconds, shared=True)
        cache = _stream(binder, small, _CACHED_BYTES, 100, seconds, shared=False)
    return Ceilings(count, flops / least / 1e9, memory, cache)


def measure_barrier(threads: int | None = None, *, seconds: float = 0.02) -> float:
    """Seconds from one barrier of threads to the next, with nothing to do in between.

    It tells how far the cores are from each other. On a virtual machine, or where cores have last
    caches of their own, that may change from minute to minute, and with it the time of all work
    that threads share.

    Args:
        threads: that wait for one another; None for one per core.
        seconds: how long to look for the least.

    Example:
        >>> measure_barrier(1, seconds=0.001) < 1e-5
        True
    """
    binder = Binder(KernelLibrary(library_for().target, None), threads or default_threads(), [])
    with binder.team as team:
        scripts = []
        for thread in range(team.threads):
            script = binder.recorder(thread)
            script.barrier()
            scripts.append(script.build())
        return _best(team, scripts, _BARRIERS, seconds)


def _addition(size: int) -> PointwiseSpec:
    """``a = b + c`` on vectors of so many bytes."""
    operands = [Operand(number, "float32", (1,)) for number in range(3)]
    step = Step("add", (0, 1), None, "float32")
    expression = Expression((operands[0], operands[1]), "", (step,), ((2, operands[2]),))
    return PointwiseSpec(Domain((size // 4,), batched=False), expression, 3)


def _stream(
    binder: Binder, spec: PointwiseSpec, size: int, turns: int, seconds: float, *, shared: bool
) -> float:
    """GB/s of an addition; the threads share the vectors or have their own."""
    threads = binder.team.threads
    scripts = []
    for thread in range(threads):
        if thread == 0 or not shared:
            vectors = [aligned_bytes(size) for _ in range(3)]
            for vector in vectors:
                vector[...] = 1
        script = binder.recorder(thread)
        script.kernel(spec, vectors, Context(part=thread, parts=threads) if shared else Context())
        scripts.append(script.build())
    moved = 3 * size * (1 if shared else threads)
    return moved / _best(binder.team, scripts, turns, seconds) / 1e9


def _best(team: Team, scripts: Sequence[Script], turns: int, seconds: float) -> float:
    """Least seconds of one turn, found in about so many seconds."""
    team.run(scripts, turns)
    least = float("inf")
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        team.run(scripts, turns)
        now = time.perf_counter()
        least = min(least, now - start)
        if now >= end:
            return least / turns
