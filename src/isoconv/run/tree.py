"""The fixed binary tree over shards, as steps that a thread can take.

A node at level l covers shards ``[k 2^l, (k + 1) 2^l)``; it is the sum of its left and its right
half, and a node whose right half is empty is its left half. Whichever thread adds two nodes, the
same two are added in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Leaf", "Merge", "Node", "Slot", "finish_tree", "shard_ranges", "walk"]

Slot = tuple[int, int]
"""Whose sums, and which of them."""


@dataclass(frozen=True, slots=True)
class Node:
    """A sum over shards that lies in a slot: level, place in the level, slot."""

    level: int
    place: int
    slot: Slot


@dataclass(frozen=True, slots=True)
class Leaf:
    """Run this shard and leave its sums in this slot."""

    shard: int
    slot: Slot


@dataclass(frozen=True, slots=True)
class Merge:
    """Add the right slot to the left one."""

    left: Slot
    right: Slot


def shard_ranges(shards: int, threads: int) -> list[range]:
    """A contiguous run of shards for each thread, as equal as can be."""
    cuts = [shards * t // threads for t in range(threads + 1)]
    return [range(a, b) for a, b in pairwise(cuts)]


def walk(shards: range, thread: int) -> tuple[list[Leaf | Merge], list[Node]]:
    """Steps of one thread over its shards, and the nodes that it leaves."""
    steps: list[Leaf | Merge] = []
    stack: list[Node] = []
    free: list[int] = []
    used = 0
    for shard in shards:
        if free:
            slot = free.pop()
        else:
            slot, used = used, used + 1
        steps.append(Leaf(shard, (thread, slot)))
        stack.append(Node(0, shard, (thread, slot)))
        while len(stack) > 1 and _are_halves(stack[-2], stack[-1]):
            right, left = stack.pop(), stack.pop()
            steps.append(Merge(left.slot, right.slot))
            free.append(right.slot[1])
            stack.append(Node(left.level + 1, left.place // 2, left.slot))
    return steps, stack


def _are_halves(left: Node, right: Node) -> bool:
    return left.level == right.level and left.place % 2 == 0 and right.place == left.place + 1


def finish_tree(nodes: Sequence[Node], shards: int) -> tuple[list[Merge], Slot]:
    """Merges that join the threads' nodes, and the slot of the whole sum."""
    known = {(node.level, node.place): node.slot for node in nodes}
    merges: list[Merge] = []

    def total(level: int, place: int) -> Slot | None:
        if place << level >= shards:
            return None
        if (level, place) in known:
            return known[level, place]
        if level == 0:
            raise ValueError("a tree needs every shard")
        left, right = total(level - 1, 2 * place), total(level - 1, 2 * place + 1)
        if left is not None and right is not None:
            merges.append(Merge(left, right))
        return left

    levels = (shards - 1).bit_length()
    root = total(levels, 0)
    if root is None:
        raise ValueError("a tree needs at least one shard")
    return merges, root
