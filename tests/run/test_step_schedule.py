"""The schedule of a step: every shard is run once, whoever runs it, and the sums are the tree's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.run.trees import written

from isoconv.run.step_schedule import Barrier, Reduce, StepSchedule, SumsBuffer, Task
from isoconv.run.tree import TreeNode


def reduced(schedule: StepSchedule) -> dict[TreeNode, Any]:
    """Sums of the nodes that are left, as nested pairs, when all parts of all stages are done."""
    held: dict[SumsBuffer, Any] = {}
    pending = [list(schedule.stages(t)) for t in range(schedule.threads)]
    while any(pending):
        # Up to the next barrier everybody is alone; a stage in parts counts when all did theirs.
        for stages in pending:
            while stages:
                stage = stages.pop(0)
                if isinstance(stage, Barrier):
                    break
                if stage.part == stage.parts - 1:
                    act(stage, schedule, held)
    assert len(held) == len(schedule.nodes)
    return {node: held[schedule.buffers[node]] for node in schedule.nodes}


def act(stage: Task | Reduce, schedule: StepSchedule, held: dict[SumsBuffer, Any]) -> None:
    """Carry a stage out."""
    if isinstance(stage, Task):
        buffer = schedule.buffers[TreeNode(0, stage.shard)]
        assert buffer not in held, "a sum that is still needed is overwritten"
        held[buffer] = stage.shard
    else:
        left, right = (schedule.buffers[node] for node in stage.pair)
        held[left] = (held[left], held.pop(right))


@pytest.mark.parametrize("threads", range(1, 8))
@pytest.mark.parametrize("shards", [*range(1, 17), 31])
def test_every_schedule_gives_the_written_order(shards: int, threads: int) -> None:
    """However shards and threads divide, the tree is the same."""
    schedule = StepSchedule(range(shards), shards, threads)
    root = (shards - 1).bit_length()
    assert reduced(schedule) == {(root, 0): written(root, 0, shards)}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shards", [1, 2, 3, 5, 8, 11])
def test_some_of_the_shards_give_nodes_of_the_same_tree(shards: int, threads: int) -> None:
    """Any run of neighbours leaves the sums that the whole tree has there."""
    for first in range(shards):
        for last in range(first + 1, shards + 1):
            found = reduced(StepSchedule(range(first, last), shards, threads))
            assert found == {node: written(*node, shards) for node in found}
            covered = [shard for node in found for shard in node.shards(shards)]
            assert covered == list(range(first, last))


@pytest.mark.parametrize(("shards", "threads"), [(5, 2), (2, 3), (7, 4), (1, 5)])
def test_shards_left_over_are_shared(shards: int, threads: int) -> None:
    """Threads run equally many shards alone; the others in as many parts as there are threads."""
    schedule = StepSchedule(range(shards), shards, threads)
    for thread in range(threads):
        tasks = [stage for stage in schedule.stages(thread) if isinstance(stage, Task)]
        alone = [task for task in tasks if task.parts == 1]
        together = [task for task in tasks if task.parts > 1]
        assert len(alone) == shards // threads
        assert [task.shard for task in together] == list(range(shards - shards % threads, shards))
        assert all((task.part, task.parts) == (thread, threads) for task in together)


@pytest.mark.parametrize("shards", [1, 7, 64, 1000])
def test_few_sums_are_kept(shards: int) -> None:
    """A thread keeps one sum per level of the tree, not one per shard."""
    buffers = StepSchedule(range(shards), shards, 1).buffers
    assert len(set(buffers.values())) <= shards.bit_length() + 1
