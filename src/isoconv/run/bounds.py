"""What bounds a kernel: a written model of what it needs, beside the time that was measured.

Each thing that a kernel needs takes it some time, however fast all others were:

- **FMAs** and other arithmetic, at the peak that this machine was measured to reach; more of them
  where a tile has fewer filters than a vector has lanes;
- **loads** of a contraction's inner loop, and the **latency** of its chains, by the cost model that
  chose its register tile (``compile/contraction/tiles.py``);
- its operands on their way out of a core's **own cache**, the **shared cache** or **memory**, each
  operand once; out of which one follows from how much a call takes.

The longest of these times is the kernel's bound. What the model leaves out (tiles that are not
full, the epilogue, packing, waiting) is the way from the bound to what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isoconv.compile.calls import Call
from isoconv.compile.contraction.tiles import SHARED_RATE
from isoconv.compile.target import Target
from isoconv.run.ceilings import Ceilings

_FMAS, _SHARED = "FMAs", "shared cache"
_OWN, _MEMORY = "own cache", "memory"


@dataclass(frozen=True, slots=True)
class Demand:
    """What some calls need of a machine.

    Attributes:
        meanwhile: FLOP that could be done while each thing that they need is done, by its name.
        bytes: that they move, by where those come from.
    """

    meanwhile: Mapping[str, float] = field(default_factory=dict)
    bytes: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Demand) -> Demand:
        """Of the calls of both."""
        return Demand(_sum(self.meanwhile, other.meanwhile), _sum(self.bytes, other.bytes))

    def seconds(self, ceilings: Ceilings) -> dict[str, float]:
        """Least time for each thing, the longest first; none for those that it needs none of.

        Args:
            ceilings: of as many threads as share the work.
        """
        speeds = {_OWN: ceilings.cache * 1e9, _MEMORY: ceilings.memory * 1e9}
        times = {name: flop / (ceilings.gflops * 1e9) for name, flop in self.meanwhile.items()}
        times |= {name: moved / speeds[name] for name, moved in self.bytes.items()}
        return {name: times[name] for name in sorted(times, key=times.__getitem__, reverse=True)}


def demand_of(call: Call, images: int, rows: Mapping[str, int], target: Target) -> Demand:
    """What a call needs.

    Args:
        call: on one shard.
        images: of the shard.
        rows: bytes of one row of each data set.
        target: the machine.
    """
    flops, moved = call.flops(images), call.bytes(images, rows)
    limits = call.schedule.limits(call.spec, target) if call.schedule else {}
    meanwhile = {name: flops * share for name, share in limits.items()} if flops else {}
    if flops:
        meanwhile.setdefault(_FMAS, float(flops))
    own = target.core.own_cache
    if own < moved <= target.cache_share:
        per_cycle = 2 * target.lanes("float32") * target.core.fmas
        meanwhile[_SHARED] = max(meanwhile.get(_SHARED, 0.0), moved / SHARED_RATE * per_cycle)
        moved = 0
    meanwhile = {name: flop for name, flop in meanwhile.items() if flop}
    return Demand(meanwhile, {_OWN if moved <= own else _MEMORY: moved} if moved else {})


def _sum(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0) + two.get(name, 0) for name in {**one, **two}}
