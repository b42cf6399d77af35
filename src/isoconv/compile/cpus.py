"""What a core does in a cycle and what its caches hold: published figures, by LLVM's CPU names.

They shape tiles, chunks and the order of loops (``contraction/tiles.py``), and no bit of a result.

Where the rows are from, by their letters:

- A: Agner Fog, "Instruction tables" and "The microarchitecture of Intel, AMD and VIA CPUs";
- U: uops.info, VFMADD231PS, VMOVUPS and VBROADCASTSS;
- I: Intel, "64 and IA-32 Architectures Optimization Reference Manual", chapter 2;
- M: AMD, "Software Optimization Guide" of families 17h, 19h and 1Ah, chapter 2;
- N: Arm, "Software Optimization Guide" and "Technical Reference Manual" of the core;
- P: Apple, "Silicon CPU Optimization Guide", and D. Johnson, "Apple M1 Microarchitecture Research".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Core:
    """One core, at work on vectors of one size.

    Attributes:
        fmas: full vectors of fused multiply-adds begun in one cycle.
        loads: full vectors (or broadcast scalars) loaded in one cycle.
        stores: full vectors stored in one cycle.
        latency: cycles from an FMA to the next one of its chain.
        width: instructions that the front end hands on in one cycle.
        sets, ways: of the first data cache, in lines of 64 bytes.
        own_cache: bytes of the second cache, for each thread that shares it.
        origin: where these figures are from, for people.
    """

    fmas: float
    loads: float
    stores: float
    latency: int
    width: int
    sets: int
    ways: int
    own_cache: int
    origin: str = field(default="usual", compare=False, repr=False)

    @property
    def near(self) -> int:
        """Bytes that stay in the second cache from one use to the next."""
        return self.own_cache // 2

    @property
    def staying(self) -> int:
        """Bytes of weights that stay there while tiles pass."""
        return self.own_cache * 5 // 8


USUAL = Core(2, 2, 1, latency=4, width=4, sets=64, ways=8, own_cache=1 << 20)
"""Of a CPU that nothing is known of."""


_Begun = tuple[float, float, float]


class Family(NamedTuple):
    """A row of the table.

    Attributes:
        name: of the core.
        cpus: LLVM's names of the CPUs that have it, a space between them.
        begun: FMAs, loads and stores begun in a cycle, by the bytes of a vector.
        latency, width, sets, ways: as in `Core`.
        own_cache: KiB of the largest of these CPUs, for each core that shares it.
        source: letters, as above.
    """

    name: str
    cpus: str
    begun: Mapping[int, _Begun]
    latency: int
    width: int
    sets: int
    ways: int
    own_cache: int
    source: str


_ONE_STORE: dict[int, _Begun] = {16: (2, 2, 1), 32: (2, 2, 1)}
_TWO_STORES: dict[int, _Begun] = {16: (2, 2, 2), 32: (2, 2, 2)}
_THREE_LOADS: dict[int, _Begun] = {16: (2, 3, 2), 32: (2, 3, 2)}
_BY_HALVES: dict[int, _Begun] = {64: (1, 1, 0.5)}  # the widest vectors, one half behind the other
_ONE_WIDE: dict[int, _Begun] = {64: (1, 2, 1)}  # a 512-bit FMA takes both units of 256 bits
_TWO_WIDE: dict[int, _Begun] = {64: (2, 2, 1)}  # and there is one more of 512

FAMILIES = (
    Family("Zen", "znver1", {16: (2, 2, 1), 32: (1, 1, 0.5)}, 5, 5, 64, 8, 512, "AM"),
    Family("Zen 2", "znver2", _ONE_STORE, 5, 6, 64, 8, 512, "AUM"),
    Family("Zen 3", "znver3", _ONE_STORE, 4, 6, 64, 8, 512, "AUM"),
    Family("Zen 4", "znver4", _ONE_STORE | _BY_HALVES, 4, 6, 64, 8, 1024, "AUM"),
    Family("Zen 5", "znver5", _TWO_STORES | _TWO_WIDE, 4, 8, 64, 12, 1024, "AM"),
    Family("Haswell", "haswell broadwell", _ONE_STORE, 5, 4, 64, 8, 256, "AUI"),
    Family("Skylake", "skylake", _ONE_STORE, 4, 4, 64, 8, 256, "AUI"),
    Family("Skylake, server", "skylake-avx512 cascadelake cooperlake", _ONE_STORE | _TWO_WIDE,
           4, 4, 64, 8, 1024, "AUI"),
    Family("Sunny Cove", "icelake-client rocketlake", _TWO_STORES | _ONE_WIDE,
           4, 5, 64, 12, 512, "AUI"),
    Family("Willow Cove", "tigerlake", _TWO_STORES | _ONE_WIDE, 4, 5, 64, 12, 1280, "AUI"),
    Family("Sunny Cove, server", "icelake-server", _TWO_STORES | _TWO_WIDE,
           4, 5, 64, 12, 1280, "AI"),
    Family("Golden Cove", "alderlake", _THREE_LOADS, 4, 6, 64, 12, 1280, "AUI"),
    Family("Golden Cove, server", "sapphirerapids emeraldrapids graniterapids graniterapids-d",
           _THREE_LOADS | _TWO_WIDE, 4, 6, 64, 12, 2048, "AI"),
    Family("Raptor Cove", "raptorlake", _THREE_LOADS, 4, 6, 64, 12, 2048, "AI"),
    Family("Redwood Cove", "meteorlake", _THREE_LOADS, 4, 6, 64, 12, 2048, "AI"),
    Family("Lion Cove", "arrowlake arrowlake-s lunarlake", _THREE_LOADS, 4, 8, 64, 12, 3072, "I"),
    # An accumulator is handed on to the next FMA of its chain after two cycles of four.
    Family("Neoverse N1", "neoverse-n1", {16: (2, 2, 1)}, 2, 4, 256, 4, 1024, "N"),
    Family("Neoverse N2", "neoverse-n2", {16: (2, 3, 2)}, 2, 5, 256, 4, 1024, "N"),
    Family("Neoverse V1", "neoverse-v1", {16: (4, 3, 2)}, 2, 8, 256, 4, 1024, "N"),
    Family("Neoverse V2", "neoverse-v2", {16: (4, 3, 2)}, 2, 8, 256, 4, 2048, "N"),
    Family("Apple M", "apple-m1 apple-m2 apple-m3 apple-m4", {16: (4, 3, 2)},
           4, 8, 256, 8, 3072, "P"),
)  # fmt: skip
"""All rows: name, CPUs, begun in a cycle, latency, width, sets, ways, KiB, sources."""

_ONE_OR_TWO = ("skylake-avx512", "cascadelake", "znver5")
"""CPUs of one name with one 512-bit unit or two: Xeon Silver and Bronze, mobile Zen 5."""


def core_of(cpu: str, vector_bytes: int) -> Core | None:
    """The core of a CPU by LLVM's name; None for one that has no row, or no such vectors.

    Example:
        >>> core_of("znver4", 64).fmas, core_of("znver4", 32).fmas, core_of("elsewhere", 16)
        (1, 2, None)
    """
    for row in FAMILIES:
        if cpu in row.cpus.split() and vector_bytes in row.begun:
            return Core(
                *row.begun[vector_bytes], row.latency, row.width, row.sets, row.ways,
                row.own_cache << 10, f"table: {row.name}",
            )  # fmt: skip
    return None


def units_vary(cpu: str, vector_bytes: int) -> bool:
    """Whether CPUs of this name differ in how many units they have for such vectors."""
    return vector_bytes == 64 and cpu in _ONE_OR_TWO
