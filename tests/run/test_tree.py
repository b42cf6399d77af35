"""The tree over shards: the written order of addition, whoever adds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.compile.environment import DEFAULT, FLUSH, UPWARD, control, needs_x86
from tests.run.trees import written

from isoconv.arithmetic.sums import tree_sum
from isoconv.errors import ArgumentError, TrainingError
from isoconv.run.tree import Pair, TreeNode, add_nodes, shard_ranges, walk

Vector = NDArray[Any]


def leaves(shards: range) -> list[TreeNode]:
    """The nodes of single shards."""
    return [TreeNode(0, shard) for shard in shards]


def performed(steps: list[TreeNode | Pair], sums: dict[TreeNode, Any]) -> dict[TreeNode, Any]:
    """The sums that are left when the pairs have been added."""
    sums = dict(sums)
    for step in steps:
        if isinstance(step, Pair):
            sums[step.node] = sums.pop(step.left), sums.pop(step.right)
    return sums


@pytest.mark.parametrize("parts", range(1, 10))
@pytest.mark.parametrize("shards", range(1, 21))
def test_every_cut_gives_the_written_order(shards: int, parts: int) -> None:
    """Any number of parts, fewer and more than shards, adds the same pairs."""
    sums: dict[TreeNode, Any] = {}
    nodes: list[TreeNode] = []
    for own in shard_ranges(shards, parts):
        steps, left = walk(leaves(own), shards)
        found = performed(steps, {node: node.place for node in leaves(own)})
        assert found.keys() == set(left)
        assert found == {node: written(*node, shards) for node in left}
        nodes += left
        sums |= found
    steps, (root,) = walk(nodes, shards)
    assert performed(steps, sums) == {root: written((shards - 1).bit_length(), 0, shards)}


@pytest.mark.parametrize("shards", range(1, 14))
def test_what_is_left_is_the_fewest_nodes(shards: int) -> None:
    """No fewer nodes of the tree cover a run of shards."""
    tree = {
        node.shards(shards)
        for level in range(5)
        for node in (TreeNode(level, place) for place in range(shards))
        if node.shards(shards)
    }
    fewest: dict[tuple[int, int], int] = {(first, first): 0 for first in range(shards + 1)}
    for length, first in itertools.product(range(1, shards + 1), range(shards)):
        if (last := first + length) <= shards:
            fewest[first, last] = min(
                fewest[first, middle] + 1
                for middle in range(first, last)
                if range(middle, last) in tree
            )
            _, left = walk(leaves(range(first, last)), shards)
            assert len(left) == fewest[first, last]


def rows_of(shards: int) -> list[Vector]:
    """Vectors whose sums depend on the order."""
    draw = np.random.default_rng(shards)
    rows = draw.standard_normal((shards, 50)) * 10.0 ** draw.integers(-6, 7, (shards, 50))
    return list(rows.astype(np.float32))


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 8, 13, 20])
def test_the_tree_is_the_arithmetics(shards: int) -> None:
    """The same bits as `tree_sum`, however the shards are dealt and in whatever order they come."""
    rows = rows_of(shards)
    before = [row.tobytes() for row in rows]
    draw = np.random.default_rng(shards)
    for count in (1, 3, 4):
        parts: list[dict[TreeNode, Vector]] = [{} for _ in range(count)]
        for part, own in zip(parts, shard_ranges(shards, count), strict=True):
            steps, _ = walk(leaves(own), shards)
            part |= {node: rows[node.place] for node in leaves(own)}
            for step in steps:
                if isinstance(step, Pair):
                    part[step.node] = part.pop(step.left) + part.pop(step.right)
        order = [parts[number] for number in draw.permutation(count)]
        found = add_nodes(order, shards)
        assert found.tobytes() == tree_sum(rows).tobytes()
        found += 1
    assert [row.tobytes() for row in rows] == before, "a given vector was changed"


@pytest.mark.parametrize(("shards", "parts"), [(0, 3), (2, 5), (7, 3), (8, 4), (100, 7)])
def test_shards_are_dealt_in_order(shards: int, parts: int) -> None:
    """Each part has a run of neighbours, and none has two more than another."""
    ranges = shard_ranges(shards, parts)
    assert len(ranges) == parts
    assert [shard for own in ranges for shard in own] == list(range(shards))
    sizes = [len(own) for own in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("nodes", "what"),
    [
        ([(0, 1), (1, 1)], r"\(0, 1\) covers 1 from 1 on where shard 0 comes next"),
        ([(1, 0), (0, 3)], r"\(0, 3\) covers 1 from 3 on where shard 2 comes next"),
        ([(1, 0), (0, 1), (1, 1)], r"\(0, 1\) covers 1 from 1 on where shard 2 comes next"),
        ([(2, 0), (0, 4)], r"\(0, 4\) covers 0 from 4 on where shard 4 comes next"),
        ([(1, 0)], "got 2 of them"),
        ([], "got 0 of them"),
    ],
)
def test_a_tree_needs_every_shard_once(nodes: list[tuple[int, int]], what: str) -> None:
    """A missing shard, or one that comes twice, is a fault, not another sum."""
    part = {TreeNode(*node): np.ones(2, np.float32) for node in nodes}
    with pytest.raises(ArgumentError, match=what):
        add_nodes([part], 4)


@pytest.mark.parametrize(
    ("vector", "what"),
    [
        (
            np.ones(3, np.float32),
            r"one shape, \(2,\); that of \(0, 1\) is float32 \(3,\)",
        ),
        (np.ones(2), r"that of \(0, 1\) is float64 \(2,\)"),
    ],
)
def test_vectors_of_one_kind_are_added(vector: NDArray[Any], what: str) -> None:
    """NumPy would widen one, or repeat it."""
    with pytest.raises(ArgumentError, match=what):
        add_nodes([{TreeNode(0, 0): np.ones(2, np.float32)}, {TreeNode(0, 1): vector}], 2)


@needs_x86
@pytest.mark.parametrize("state", [FLUSH, UPWARD])
def test_a_changed_environment_is_refused(state: int) -> None:
    """Where another library has subnormal numbers flushed or sums rounded up, nothing is added."""
    part = {
        TreeNode(0, 0): np.array([2.0**-130], np.float32),
        TreeNode(0, 1): np.array([2.0**-131], np.float32),
    }
    control(DEFAULT | state)
    try:
        with pytest.raises(TrainingError, match="floating-point environment"):
            add_nodes([part], 2)
    finally:
        control(DEFAULT)
    assert add_nodes([part], 2) == np.float32(3 * 2.0**-131)
