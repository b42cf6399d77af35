"""How many units a core has and how long they take, measured where the table of CPUs does not say.

Four loops run for a few milliseconds: a chain of integer operations, each of which takes one cycle
on every CPU, so that it tells how long a cycle is; one chain of fused multiply-adds; as many as
registers hold; and loads that wait for nothing. The least time of each counts, and what follows is
rounded to what CPUs are made of (1, 2 or 4 FMAs, 1 to 4 loads, whole cycles), so that noise chooses
no other tiles from day to day. What was found is kept in the user's cache folder.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.jit import LoadedLibrary, compile_object
from isoconv.compile.target import Target
from isoconv.private import cache_folder

_FORMAT = 1
_FMAS, _LOADS, _LATENCIES = (1, 2, 4), (1, 2, 3, 4), range(2, 13)
_TURNS = 4000  # of each loop in one call: some twenty microseconds
_SECONDS = 0.004  # of all calls together
_LEAST = 8  # calls of each loop
_IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping",
             "CPU implementer", "CPU part", "CPU variant", "CPU revision")  # fmt: skip


class Units(NamedTuple):
    """What was measured of a core, for full vectors.

    Attributes:
        fmas: fused multiply-adds begun in one cycle.
        loads: loads begun in one cycle.
        latency: cycles from an FMA to the next one of its chain.
    """

    fmas: int
    loads: int
    latency: int


def default_folder() -> Path | None:
    """Where measurements are kept, beside the compiled kernels; None without a home folder."""
    return cache_folder("units")


def forget() -> None:
    """Remove all measurements that were kept; the next process measures anew."""
    folder = default_folder()
    if folder is not None and folder.is_dir():
        KernelCache(folder).clear()


def measured_units(target: Target) -> Units:
    """This machine's units: as they were kept, or measured and kept now.

    What is damaged, or is another CPU's, does not count. Where nothing can be kept, each process
    measures for itself.

    Args:
        target: whose vectors they take.
    """
    folder, key = default_folder(), _key(target)
    cache = None if folder is None else KernelCache(folder)
    found = None if cache is None else _read(cache.get(key))
    if found is None:
        found = measure_units(target)
        if cache is not None:
            cache.put(key, json.dumps(found).encode())
    return found


def _key(target: Target) -> str:
    text = f"{_FORMAT}\n{target!r}\n{_processor()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _processor() -> str:
    """What the first processor calls itself, where Linux tells."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text("utf-8", "replace").partition("\n\n")
    except OSError:
        return ""
    return "\n".join(
        line for line in first.splitlines() if line.partition(":")[0].strip() in _IDENTITY
    )


def _read(content: bytes | None) -> Units | None:
    """What was kept; None if it is nothing that this module keeps."""
    try:
        units = Units(*json.loads(content or b""))
        sane = units.fmas in _FMAS and units.loads in _LOADS and units.latency in _LATENCIES
    except (ValueError, TypeError):
        return None
    return units if sane else None


def measure_units(target: Target) -> Units:
    """Measure this machine, in some twenty milliseconds.

    Args:
        target: whose vectors the units take; it must have fused multiply-adds.
    """
    chains = 16 if target.registers >= 32 else 12  # enough for 4 units of 4 cycles
    loops = {
        "cycle": (_cycles, 16),
        "latency": (_fused(1, 4), 4),
        "fmas": (_fused(chains, 1), chains),
        "loads": (_loads, 12),
    }
    least = _least(target, {name: body for name, (body, _) in loops.items()})
    each = {name: least[name] / count for name, (_, count) in loops.items()}
    return Units(
        _nearest(each["cycle"] / each["fmas"], _FMAS),
        _nearest(each["cycle"] / each["loads"], _LOADS),
        _nearest(each["latency"] / each["cycle"], _LATENCIES),
    )


def _nearest(found: float, possible: tuple[int, ...] | range) -> int:
    """The one from which it is away by the smallest factor."""
    return min(possible, key=lambda value: max(found / value, value / found))


def _least(target: Target, bodies: dict[str, Callable[..., None]]) -> dict[str, float]:
    """Least seconds of a turn of each loop, in turns so that all meet the same clock."""
    library = LoadedLibrary((_compiled(target, *item) for item in bodies.items()), target)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    calls = {name: kind(library.address(name)) for name in bodies}
    room = np.zeros(4096, np.uint8)
    arguments = np.array([room.ctypes.data + -room.ctypes.data % 64], np.int64)
    least = dict.fromkeys(bodies, float("inf"))
    end = time.perf_counter() + _SECONDS
    rounds = 0
    while rounds < _LEAST or time.perf_counter() < end:
        for name, call in calls.items():
            start = time.perf_counter()
            call(arguments.ctypes.data, None)
            least[name] = min(least[name], time.perf_counter() - start)
        rounds += 1
    return {name: seconds / _TURNS for name, seconds in least.items()}


def _compiled(target: Target, name: str, body: Callable[..., None]) -> bytes:
    from isoconv.compile.native.loops import Kernel

    k = Kernel(name, target, 1)
    body(k)
    return compile_object(k.build(), target)


def _cycles(k: Any) -> None:
    """Additions and exclusive ors in turn, each of the last one's result."""
    (place,) = k.buffers
    x, y, z = (k.load_scalar(k.at(place, i, "int64"), "int64") for i in range(3))
    chain = k.variable(x)
    with k.loop(0, _TURNS):
        for _ in range(8):
            chain.set(k.builder.xor(k.builder.add(chain.get(), y), z))
    k.store(chain.get(), place)


def _fused(chains: int, steps: int) -> Callable[..., None]:
    """So many chains of FMAs, each so many steps long in a turn."""

    def body(k: Any) -> None:
        x, y, *starts = _vectors(k, "float32", 2 + chains)
        held = [k.variable(start) for start in starts]
        with k.loop(0, _TURNS):
            for _ in range(steps):
                for chain in held:
                    chain.set(k.fma(x, y, chain.get()))
        _keep(k, [chain.get() for chain in held])

    return body


def _loads(k: Any) -> None:
    """Vectors that are loaded and combined, the fewest operations for which a load is needed."""
    held = [k.variable(start) for start in _vectors(k, "int32", 4)]
    with k.loop(0, _TURNS):
        place = k.opaque(k.buffers[0])
        for number, vector in enumerate(_vectors(k, "int32", 12, place)):
            chain = held[number % 4]
            chain.set(k.builder.or_(chain.get(), vector))
    _keep(k, [chain.get() for chain in held])


def _vectors(k: Any, dtype: str, count: int, place: Any = None) -> Iterator[Any]:
    """Neighbouring vectors of the buffer; each may be another one, for all that LLVM knows."""
    lanes = k.target.lanes(dtype)
    for number in range(count):
        there = k.at(k.buffers[0] if place is None else place, number * lanes, dtype)
        yield k.load_vector(there, dtype, lanes)


def _keep(k: Any, vectors: list[Any]) -> None:
    """Store results, so that they are computed."""
    for number, vector in enumerate(vectors):
        k.store(vector, k.at(k.buffers[0], number * k.target.vector_bytes, "uint8"))
