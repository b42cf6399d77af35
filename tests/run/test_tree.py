"""The tree over shards: the written order of addition, whoever adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isoconv.arithmetic.sums import tree_sum
from isoconv.run.tree import Leaf, Merge, finish_tree, shard_ranges, walk


def written(level: int, place: int, shards: int) -> Any:
    """The sum that the arithmetic asks for, as nested pairs; None where there is no shard."""
    if place << level >= shards:
        return None
    if level == 0:
        return place
    left = written(level - 1, 2 * place, shards)
    right = written(level - 1, 2 * place + 1, shards)
    return left if right is None else (left, right)


def performed(
    shards: int, threads: int, leaf: Callable[..., Any], add: Callable[..., Any]
) -> tuple[Any, set[Any]]:
    """The sum that the threads' steps and the last merges give; also the slots in use."""
    slots: dict[Any, Any] = {}
    nodes: list[Any] = []
    for thread, own in enumerate(shard_ranges(shards, threads)):
        steps, left = walk(own, thread)
        for step in steps:
            if isinstance(step, Leaf):
                assert step.slot not in slots, "a sum that is still needed is overwritten"
                slots[step.slot] = leaf(step.shard)
            else:
                slots[step.left] = add(slots[step.left], slots.pop(step.right))
        nodes += left
    used = set(slots)
    merges, root = finish_tree(nodes, shards)
    for merge in merges:
        assert isinstance(merge, Merge)
        slots[merge.left] = add(slots[merge.left], slots.pop(merge.right))
    assert set(slots) == {root}
    return slots[root], used


@pytest.mark.parametrize("threads", range(1, 10))
@pytest.mark.parametrize("shards", range(1, 21))
def test_every_cut_gives_the_written_order(shards: int, threads: int) -> None:
    """Any number of threads, fewer and more than shards, adds the same pairs."""
    found, _ = performed(shards, threads, lambda shard: shard, lambda a, b: (a, b))
    assert found == written((shards - 1).bit_length(), 0, shards)


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 8, 13, 20])
def test_the_tree_is_the_arithmetics(shards: int) -> None:
    """The same bits as `tree_sum`, which is what documents and references call the tree."""
    draw = np.random.default_rng(shards)
    rows = draw.standard_normal((shards, 50)) * 10.0 ** draw.integers(-6, 7, (shards, 50))
    rows = rows.astype(np.float32)
    for threads in (1, 3, 4):
        found, _ = performed(shards, threads, lambda shard: rows[shard], np.add)
        assert found.tobytes() == tree_sum(list(rows)).tobytes()


@pytest.mark.parametrize("shards", [1, 7, 64, 1000])
def test_few_sums_are_kept(shards: int) -> None:
    """A thread keeps one sum per level of the tree, not one per shard."""
    steps, _ = walk(range(shards), 0)
    slots = {step.slot for step in steps if isinstance(step, Leaf)}
    assert len(slots) <= shards.bit_length() + 1


@pytest.mark.parametrize(("shards", "threads"), [(0, 3), (2, 5), (7, 3), (8, 4), (100, 7)])
def test_shards_are_dealt_in_order(shards: int, threads: int) -> None:
    """Each thread has a run of neighbours, and none has two more than another."""
    ranges = shard_ranges(shards, threads)
    assert len(ranges) == threads
    assert [shard for own in ranges for shard in own] == list(range(shards))
    sizes = [len(own) for own in ranges]
    assert max(sizes) - min(sizes) <= 1


def test_a_tree_needs_every_shard() -> None:
    """A missing shard is a fault, not a smaller sum."""
    _, nodes = walk(range(1, 4), 0)
    with pytest.raises(ValueError, match="every shard"):
        finish_tree(nodes, 4)
    with pytest.raises(ValueError, match="at least one shard"):
        finish_tree([], 0)
