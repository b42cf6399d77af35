"""The fixed binary tree over a step's shards: which sums are added to which.

A node at level l covers ``2^l`` shards from ``place * 2^l`` on, or as many as there are. It is the
sum of its left and its right half, and a node whose right half is empty is its left half: it goes
by the lowest level at which it has a name. Whoever adds two nodes, the same two are added in the
same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from isoconv.errors import ArgumentError, TrainingError
from isoconv.graph.operation import Array


class TreeNode(NamedTuple):
    """A sum over shards.

    Attributes:
        level: 0 for a shard alone.
        place: number in the level.

    Example:
        >>> TreeNode(2, 1).shards(of=7)
        range(4, 7)
    """

    level: int
    place: int

    def shards(self, of: int) -> range:
        """Those that it covers, of so many."""
        first = self.place << self.level
        return range(first, min(first + (1 << self.level), of))


class Pair(NamedTuple):
    """The halves of a node: the right one is added to the left one."""

    left: TreeNode
    right: TreeNode

    @property
    def node(self) -> TreeNode:
        """Their sum."""
        return TreeNode(self.left.level + 1, self.left.place // 2)


def shard_ranges(shards: int, parts: int) -> list[range]:
    """A contiguous run of shards for each of some parts, as equal as can be."""
    cuts = [shards * part // parts for part in range(parts + 1)]
    return [range(a, b) for a, b in pairwise(cuts)]


def walk(nodes: Iterable[TreeNode], shards: int) -> tuple[list[TreeNode | Pair], list[TreeNode]]:
    """The nodes one after the other, each followed by the pairs that it completes.

    Args:
        nodes: neighbours, from left to right.
        shards: of the whole tree.

    Returns:
        Nodes and pairs in their order; the nodes that are left, which are the fewest that cover the
        same shards.

    Example:
        >>> steps, left = walk([TreeNode(0, 1), TreeNode(0, 2), TreeNode(0, 3)], shards=4)
        >>> [(node.level, node.place) for node in left]
        [(0, 1), (1, 1)]
    """
    steps: list[TreeNode | Pair] = []
    left: list[TreeNode] = []
    for node in nodes:
        steps.append(node)
        left.append(node)
        while len(left) > 1 and _are_halves(left[-2], left[-1], shards):
            right = left.pop()
            pair = Pair(left.pop(), right)
            steps.append(pair)
            left.append(pair.node)
    return steps, left


def _are_halves(left: TreeNode, right: TreeNode, shards: int) -> bool:
    # The right one may be cut off by the last shard, and then goes by a lower level.
    other = TreeNode(left.level, left.place + 1)
    return left.place % 2 == 0 and right.shards(shards) == other.shards(shards)


def add_nodes(parts: Sequence[Mapping[TreeNode, Array]], shards: int) -> Array:
    """The sum over all shards, from nodes that cover each of them once.

    Args:
        parts: float32 vectors by their nodes, in any order; none is changed.
        shards: of the whole tree.

    Returns:
        The bits of one engine that runs all shards.

    Raises:
        ArgumentError: a shard is covered by no node or by two.
        TrainingError: this thread's floating-point environment is not the default one.

    Example:
        >>> import numpy as np
        >>> one, two, three = (np.float32([value]) for value in (1, 2, 3))
        >>> add_nodes([{TreeNode(0, 2): three}, {TreeNode(0, 0): one, TreeNode(0, 1): two}], 3)
        array([6.], dtype=float32)
    """
    given = [(node, vector) for part in parts for node, vector in part.items()]
    given.sort(key=lambda each: each[0].shards(shards).start)
    covered = 0
    for node, vector in given:
        own = node.shards(shards)
        if own.start != covered or not own:
            raise ArgumentError(
                f"nodes must cover each of {shards} shards once; {tuple(node)} covers "
                f"{len(own)} from {own.start} on where shard {covered} comes next"
            )
        covered = own.stop
        if vector.dtype != np.float32 or vector.shape != given[0][1].shape:
            raise ArgumentError(
                f"vectors of nodes must be float32 of one shape, {given[0][1].shape}; that of "
                f"{tuple(node)} is {vector.dtype} {vector.shape}"
            )
    if covered != shards or not given:
        raise ArgumentError(f"nodes must cover each of {shards} shards once; got {covered} of them")
    _check_environment()
    vectors = dict(given)
    steps, (total,) = walk([node for node, _ in given], shards)
    with np.errstate(all="ignore"):
        for step in steps:
            if isinstance(step, Pair):
                vectors[step.node] = vectors.pop(step.left) + vectors.pop(step.right)
    return vectors[total] if len(given) > 1 else vectors[total].copy()


def add_pair(left: Array, right: Array) -> Array:
    """The sum of the halves of a node, where whoever has them adds them one by one.

    Raises:
        TrainingError: this thread's floating-point environment is not the default one.

    Example:
        >>> import numpy as np
        >>> add_pair(np.float32([1, 2]), np.float32([3, 4]))
        array([4., 6.], dtype=float32)
    """
    _check_environment()
    with np.errstate(all="ignore"):
        return np.asarray(left + right)


def _check_environment() -> None:
    """Native code sets its own environment; NumPy adds in the thread's, which may be another's."""
    one, little, least = np.float32(1), np.float32(2.0**-30), np.float32(2.0**-126)
    with np.errstate(all="ignore"):
        if least * np.float32(0.5) == 0 or not one - little == one == one + little:
            raise TrainingError(
                "sums of shards must be added with subnormal numbers kept and rounded to nearest; "
                "another library has changed this thread's floating-point environment"
            )
