"""Who does what in a step: the shards, the joining of their sums, and where threads meet.

Whole shards come first, an equal number for each thread. Shards that are left over, fewer than
there are threads, are run by all threads together, kernel by kernel. Whoever runs a shard and
whoever joins two sums changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isoconv.run.tree import Leaf, Merge, Node, Slot, finish_tree, shard_ranges, walk

__all__ = ["Barrier", "Reduce", "StepSchedule", "Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """Run a shard, or a part of each of its kernels.

    Attributes:
        shard: its number.
        slot: where its sums go.
        arena: the memory it works in.
        part, parts: of each kernel; with several parts the threads meet after each kernel.
    """

    shard: int
    slot: Slot
    arena: int
    part: int
    parts: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Add the right slot to the left one, or a part of it."""

    left: Slot
    right: Slot
    part: int
    parts: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait for the others."""


Stage = Task | Reduce | Barrier


class StepSchedule:
    """The way of a step through its shards, for every thread.

    Args:
        shards: number of shards.
        threads: number of threads.

    Attributes:
        root: the slot in which the sums of all shards end.
        slots: all slots that are used.
        working: how many threads run shards of their own, each in an arena of its own.

    Example:
        >>> schedule = StepSchedule(shards=3, threads=2)
        >>> [stage.shard for stage in schedule.stages(1) if isinstance(stage, Task)]
        [1, 2]
    """

    def __init__(self, shards: int, threads: int) -> None:
        self.threads = threads
        alone = shards - shards % threads
        self._alone = [walk(r, t) for t, r in enumerate(shard_ranges(alone, threads))]
        # The slots of a number beyond the threads' belong to all of them.
        self._together = walk(range(alone, shards), threads)
        nodes: list[Node] = [node for _, left in (*self._alone, self._together) for node in left]
        self._merges, self.root = finish_tree(nodes, shards)
        walks = (*self._alone, self._together)
        leaves = (step for steps, _ in walks for step in steps if isinstance(step, Leaf))
        self.slots = frozenset(leaf.slot for leaf in leaves)
        self.working = threads if alone else 1

    def stages(self, thread: int) -> Iterator[Stage]:
        """What a thread does from its first shard to the joined sums."""
        steps, _ = self._alone[thread]
        yield from self._run(steps, thread, 0, 1)
        yield Barrier()
        for step in self._together[0]:
            yield from self._run([step], 0, thread, self.threads)
            if isinstance(step, Merge):
                # The next shard may take the slot that has become free.
                yield Barrier()
        # Every part of a vector stays with one thread, from one merge to the next.
        yield from self._run(self._merges, 0, thread, self.threads)
        yield Barrier()

    def _run(
        self, steps: Sequence[Leaf | Merge], arena: int, part: int, parts: int
    ) -> Iterator[Stage]:
        for step in steps:
            if isinstance(step, Leaf):
                yield Task(step.shard, step.slot, arena, part, parts)
            else:
                yield Reduce(step.left, step.right, part, parts)
