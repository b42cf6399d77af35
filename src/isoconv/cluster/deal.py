"""Who runs which shards: neighbouring ones for each worker, as many as it is quick."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor

from isoconv.run.tree import TreeNode, walk

_SLACK = 8
"""A cut moves by this part of the shorter run beside it, at most, to lie where a subtree begins."""


def nodes_of(run: range, shards: int) -> list[TreeNode]:
    """The fewest nodes of the tree over so many shards that cover a run of them.

    Example:
        >>> nodes_of(range(1, 4), shards=8)
        [TreeNode(level=0, place=1), TreeNode(level=1, place=1)]
    """
    return walk([TreeNode(0, shard) for shard in run], shards)[1]


def deal(run: range, rates: Sequence[float]) -> list[range]:
    """Neighbouring shards cut into a run for each worker, in their order.

    A run is as long as its worker is quick, within an eighth of its length: a cut is moved to where
    a larger subtree begins, so that a worker hands over fewer sums. Of few shards some workers get
    none. Who gets what changes no bit.

    Args:
        run: what there is to do.
        rates: shards a second of each worker, above 0.

    Example:
        >>> deal(range(8), [1.0, 1.0, 2.0])
        [range(0, 2), range(2, 4), range(4, 8)]
        >>> deal(range(64), [1.0, 1.04])
        [range(0, 32), range(32, 64)]
    """
    total = 0.0
    for rate in rates:
        total += rate
    lengths = [len(run) * rate / total for rate in rates]
    cuts, at = [run.start], float(run.start)
    for length, after in pairwise(lengths):
        at += length
        cut = _aligned(at, min(length, after) / _SLACK)
        cuts.append(min(max(cut, cuts[-1]), run.stop))
    return [range(a, b) for a, b in pairwise([*cuts, run.stop])]


def _aligned(at: float, slack: float) -> int:
    """The number near a place that the greatest power of two divides; of several the nearest."""
    near = range(ceil(at - slack), floor(at + slack) + 1) or [floor(at + 0.5)]
    return max(near, key=lambda number: (number & -number, -abs(number - at)))
