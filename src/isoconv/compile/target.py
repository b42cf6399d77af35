"""The machine that kernels are made for; its cores' figures stand in ``cpus``.

A target changes how fast a kernel is, never what it computes.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm

from isoconv.checks import refusal
from isoconv.compile.cpus import USUAL, Core, core_of, units_vary
from isoconv.errors import ArgumentError

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
_VECTOR_BYTES = {"avx512": 64, "avx2": 32, "sse": 16, "generic": 16, "neon": 16}
_ARM = ("aarch64", "arm64")


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
        core: what a core does with such vectors in a cycle, and its own caches.
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
    core: Core = USUAL
    memory_broadcast: bool = False
    cache_share: int = _USUAL_SHARE
    architecture: str = "cpu"

    def lanes(self, dtype: str) -> int:
        """Elements of this dtype in one vector register."""
        return self.vector_bytes // (8 if dtype == "float64" else 4)


@functools.cache
def host_target() -> Target:
    """The best target this machine can run."""
    initialize()
    if platform.machine().lower() in _ARM:
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
    initialize()
    host_is_arm = platform.machine().lower() in _ARM
    if name == "neon" and not host_is_arm:
        raise _not_here(name, "an ARM machine; this one is x86-64")
    if name != "neon" and host_is_arm:
        raise _not_here(name, "an x86-64 machine; this one is ARM")
    have, cpu = llvm.get_host_cpu_features(), llvm.get_host_cpu_name()
    missing = [each for each in _X86_LEVELS.get(name, ()) if not have.get(each, False)]
    if missing:
        raise _not_here(name, f"{', '.join(missing)}, which this CPU lacks")
    # LLVM may take the CPU for another one, so the features are passed as well.
    features = have.flatten() if name in ("avx512", "neon") else ""
    target = _target(name, llvm.get_default_triple(), cpu, features)
    caches = _caches()
    share = caches[max(caches)].share if caches else _USUAL_SHARE
    return replace(target, core=_core_here(target, cpu), cache_share=share)


def target_elsewhere(name: str, cpu: str) -> Target:
    """A target on a CPU that need not be this one: to see what is chosen and emitted there.

    Args:
        name: one of ``TARGETS``.
        cpu: LLVM's name of the CPU.

    Raises:
        ArgumentError: no such target, or the table of CPUs has no row for it.

    Example:
        >>> target_elsewhere("avx512", "sapphirerapids").core.origin
        'table: Golden Cove, server'
    """
    core = core_of(cpu, _VECTOR_BYTES[name]) if name in TARGETS else None
    # All of the table but Arm's have vectors of 256 bits.
    if core is None or (name == "neon") == (core_of(cpu, 32) is not None):
        raise ArgumentError(
            f"a target elsewhere must be one that the table of CPUs has; got {name!r} on {cpu!r}",
            argument="cpu", value=cpu,
        )  # fmt: skip
    triple = f"{'aarch64' if name == 'neon' else 'x86_64'}-unknown-linux-gnu"
    return replace(_target(name, triple, cpu, ""), core=core)


def _not_here(name: str, needs: str) -> ArgumentError:
    return ArgumentError(f"target {name!r} needs {needs}", argument="target", value=name)


def _target(name: str, triple: str, cpu: str, features: str) -> Target:
    """A target with a usual core.

    Args:
        name: one of ``TARGETS``.
        triple: LLVM's name of the architecture and system.
        cpu: LLVM's name of the CPU.
        features: of the CPU, for LLVM; empty for those that the target needs.
    """
    needed = ",".join(f"+{feature}" for feature in _X86_LEVELS.get(name, ()))
    size = _VECTOR_BYTES[name]
    if name == "neon":
        return Target(name, triple, cpu, features, size, 32, fma=True)
    if name == "avx512":
        features = f"{features or needed},-prefer-256-bit"
        return Target(name, triple, cpu, features, size, 32, fma=True, memory_broadcast=True)
    return Target(name, triple, "x86-64", needed, size, 16, fma=name != "generic")


def _core_here(target: Target, cpu: str) -> Core:
    """What a core of this machine does: by the table of CPUs, or measured where that does not say.

    The second cache has the size that the system tells; some virtual machines tell more than any
    CPU of the family has.
    """
    caches = _caches()
    known = core_of(cpu, target.vector_bytes)
    core = known or USUAL
    if 2 in caches:
        told = caches[2].share
        core = replace(core, own_cache=min(told, core.own_cache) if known else told)
    if known is None and 1 in caches:
        core = replace(core, sets=caches[1].sets, ways=caches[1].ways)
    if known and not units_vary(cpu, target.vector_bytes):
        return core
    if not target.fma:
        return core
    # What measures is made as kernels are, and those are made for a target.
    from isoconv.compile.native.measured import measured_units

    units = measured_units(target)
    if known:
        return replace(core, fmas=units.fmas, origin=f"{core.origin}; units measured")
    return replace(core, **units._asdict(), origin="measured")


class _Cache(NamedTuple):
    """A cache for data.

    Attributes:
        share: bytes for each thread that shares it.
        sets: that it has.
        ways: lines of each.
    """

    share: int
    sets: int
    ways: int


@functools.cache
def _caches() -> dict[int, _Cache]:
    """The caches of a core by their level, as Linux tells; none elsewhere."""
    found: dict[int, _Cache] = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if (folder / "type").read_text().strip() == "Instruction":
                continue
            level, sets, ways = (
                int((folder / name).read_text())
                for name in ("level", "number_of_sets", "ways_of_associativity")
            )
            size = int((folder / "size").read_text().strip().removesuffix("K")) * 1024
            sharing = (folder / "shared_cpu_map").read_text().replace(",", "")
            share = size // int(sharing, 16).bit_count()
        except (OSError, ValueError, ZeroDivisionError):
            continue
        if min(share, sets, ways) > 0:
            found[level] = _Cache(share, sets, ways)
    return found


@functools.cache
def initialize() -> None:
    """Make LLVM ready for this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
