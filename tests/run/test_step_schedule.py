"""The schedule of a step: every shard is run once, whoever runs it, and the sums are the tree's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.run.test_tree import written

from isoconv.run.step_schedule import Barrier, Reduce, StepSchedule, Task


def joined(schedule: StepSchedule, threads: int) -> Any:
    """The sum in the root's slot, as nested pairs, when all parts of all stages are done."""
    slots: dict[tuple[int, ...], Any] = {}
    pending = [list(schedule.stages(t)) for t in range(threads)]
    while any(pending):
        # Up to the next meeting everybody is alone; a stage in parts counts when all did theirs.
        for stages in pending:
            while stages:
                stage = stages.pop(0)
                if isinstance(stage, Barrier):
                    break
                if stage.part == stage.parts - 1:
                    act(stage, slots)
    return slots[schedule.root]


def act(stage: Task | Reduce, slots: dict[tuple[int, ...], Any]) -> None:
    """Carry a stage out."""
    if isinstance(stage, Task):
        slots[stage.slot] = stage.shard
    elif isinstance(stage, Reduce):
        slots[stage.left] = (slots[stage.left], slots.pop(stage.right))


@pytest.mark.parametrize("threads", range(1, 8))
@pytest.mark.parametrize("shards", [*range(1, 17), 31])
def test_every_schedule_gives_the_written_order(shards: int, threads: int) -> None:
    """However shards and threads divide, the tree is the same."""
    found = joined(StepSchedule(shards, threads), threads)
    assert found == written((shards - 1).bit_length(), 0, shards)


@pytest.mark.parametrize(("shards", "threads"), [(5, 2), (2, 3), (7, 4), (1, 5)])
def test_shards_left_over_are_shared(shards: int, threads: int) -> None:
    """Threads run equally many shards alone; the others in as many parts as there are threads."""
    for thread in range(threads):
        works = [s for s in StepSchedule(shards, threads).stages(thread) if isinstance(s, Task)]
        alone = [work for work in works if work.parts == 1]
        together = [work for work in works if work.parts > 1]
        assert len(alone) == shards // threads
        assert [work.shard for work in together] == list(range(shards - shards % threads, shards))
        assert all((work.part, work.parts) == (thread, threads) for work in together)
