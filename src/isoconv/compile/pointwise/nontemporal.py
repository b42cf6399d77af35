"""Results that are stored past the caches: which, by a written rule of traffic.

A store into a cache line that is not in the cache first loads it, and the line drives another out.
Both are for nothing if the result is gone from the cache before it is read. A kernel that goes
through T bytes leaves at most a share of S / T of them in a cache of S bytes. So, of a result of R
bytes, with the load before each store, the way to memory, and the way back to the reader:

    through the cache    R + R + R (1 - S / T)
    past the cache       R + R

A result goes past the cache where T > S. T is all that the kernel's buffers hold for a whole shard,
S half of a core's share of the last cache: the other half is for what other kernels have left there
and still need. The bits are the same either way.

Winograd's maps store into the caches all the same: what a chunk leaves there is read soon enough
(ResNet-18's step took 7% longer otherwise).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from isoconv.compile.layout import ALIGNMENT, Buffer
from isoconv.compile.pointwise.bits import BITS
from isoconv.compile.pointwise.expression import Expression
from isoconv.compile.target import Target


def with_nontemporal_stores(
    expression: Expression, buffers: Iterable[Buffer], target: Target, capacity: int
) -> Expression:
    """The expression with those stores marked that are to go past the caches.

    Args:
        expression: of a kernel that writes each element of its results once, in whole lines.
        buffers: the kernel's, by number.
        target: the machine.
        capacity: most images of a shard.
    """
    buffers = tuple(buffers)
    moved = sum(b.bytes * (capacity if b.batched else 1) for b in buffers)
    if 2 * moved <= target.cache_share:
        return expression
    stores = tuple(
        # Only in an arena does a buffer begin on a cache line for certain.
        (value, replace(place, nontemporal=place.dtype != BITS and _aligned(buffers[place.buffer])))
        for value, place in expression.stores
    )
    return replace(expression, stores=stores)


def _aligned(buffer: Buffer) -> bool:
    return buffer.region == "arena" and buffer.start % ALIGNMENT == 0
