"""The machine that kernels are made for. The only place that knows a CPU by name.

A target changes how fast a kernel is, never what it computes.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path

import llvmlite.binding as llvm

from isoconv.checks import refusal
from isoconv.errors import ArgumentError

__all__ = ["TARGETS", "Target", "host_target", "target_named"]

TARGETS = ("avx512", "avx2", "sse", "generic", "neon")

_USUAL_SHARE = 8 << 20  # bytes of the last cache for a core, where a system does not tell

_X86_LEVELS: dict[str, tuple[str, ...]] = {
    "avx512": (
        "sse4.2", "avx2", "fma", "bmi", "bmi2", "popcnt",
        "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl",
    ),
    "avx2": ("sse4.2", "avx2", "fma", "bmi", "bmi2", "popcnt"),
    "sse": ("sse4.2", "fma", "popcnt"),
    "generic": (),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """What the emitters may know of a CPU.

    Attributes:
        name: one of ``TARGETS``.
        triple: LLVM's name of the architecture and system.
        cpu: LLVM's name of the CPU, for scheduling.
        features: LLVM's feature string.
        vector_bytes: bytes of one vector register.
        registers: number of vector registers.
        fma: fused multiply-add is an instruction; otherwise it is emulated exactly.
        fma_per_cycle: full vectors of fused multiply-adds begun in one cycle.
        loads_per_cycle: full vectors (or broadcast scalars) loaded in one cycle.
        memory_broadcast: an FMA can take a broadcast scalar straight from memory.
        cache_share: bytes of the last cache for each core that shares it.
        architecture: whose emitters make its kernels: a folder of that name in each wing.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bytes: int
    registers: int
    fma: bool
    fma_per_cycle: float = 2.0
    loads_per_cycle: float = 2.0
    memory_broadcast: bool = False
    cache_share: int = _USUAL_SHARE
    architecture: str = "cpu"

    def lanes(self, dtype: str) -> int:
        """Elements of this dtype in one vector register."""
        return self.vector_bytes // (8 if dtype == "float64" else 4)


@functools.cache
def host_target() -> Target:
    """The best target this machine can run."""
    _initialize()
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return target_named("neon")
    have = llvm.get_host_cpu_features()
    for name, features in _X86_LEVELS.items():
        if all(have.get(feature, False) for feature in features):
            return target_named(name)
    return target_named("generic")


@functools.cache
def target_named(name: str) -> Target:
    """The target of this name, tuned for the host where the host can run it.

    Raises:
        ArgumentError: no such target, or this machine cannot run it.
    """
    if name not in TARGETS:
        known = ", ".join(TARGETS)
        raise refusal("target", f"be one of {known}", name)
    _initialize()
    host_is_arm = platform.machine().lower() in ("aarch64", "arm64")
    if name == "neon":
        if not host_is_arm:
            raise _not_here(name, "an ARM machine; this one is x86-64")
        triple = llvm.get_default_triple()
        features = llvm.get_host_cpu_features().flatten()
        cpu = llvm.get_host_cpu_name()
        return Target(name, triple, cpu, features, 16, 32, fma=True, cache_share=_cache_share())
    if host_is_arm:
        raise _not_here(name, "an x86-64 machine; this one is ARM")
    return _x86_target(name)


def _not_here(name: str, needs: str) -> ArgumentError:
    return ArgumentError(f"target {name!r} needs {needs}", argument="target", value=name)


def _x86_target(name: str) -> Target:
    have = llvm.get_host_cpu_features()
    missing = [feature for feature in _X86_LEVELS[name] if not have.get(feature, False)]
    if missing:
        raise _not_here(name, f"{', '.join(missing)}, which this CPU lacks")
    triple = llvm.get_default_triple()
    if name == "avx512":
        # LLVM may take the CPU for another one, so the features are passed as well.
        cpu = llvm.get_host_cpu_name()
        # Zen 4 runs a 512-bit operation as two halves: one a cycle where others run two.
        rate = 1.0 if cpu == "znver4" else 2.0
        features = have.flatten() + ",-prefer-256-bit"
        return Target(
            name, triple, cpu, features, 64, 32, True, rate, rate,
            memory_broadcast=True, cache_share=_cache_share(),
        )  # fmt: skip
    features = ",".join(f"+{feature}" for feature in _X86_LEVELS[name])
    wide = name == "avx2"
    return Target(
        name, triple, "x86-64", features, 32 if wide else 16, 16, name != "generic",
        cache_share=_cache_share(),
    )  # fmt: skip


@functools.cache
def _cache_share() -> int:
    """A core's share of the last cache, as Linux tells; elsewhere a usual one."""
    found: dict[int, int] = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level = int((folder / "level").read_text())
            size = int((folder / "size").read_text().strip().removesuffix("K")) * 1024
            sharing = (folder / "shared_cpu_map").read_text().replace(",", "")
            found[level] = size // int(sharing, 16).bit_count()
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return found[max(found)] if found else _USUAL_SHARE


@functools.cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
