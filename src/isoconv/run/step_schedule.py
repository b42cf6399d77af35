"""Who does what in a step: the shards, the addition of their sums, and where threads wait.

Whole shards come first, an equal number for each thread: data-parallel. Shards that are left over,
fewer than there are threads, are run cooperatively: by all threads, kernel by kernel. Whoever runs
a shard and whoever adds two sums changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from isoconv.run.tree import Pair, TreeNode, shard_ranges, walk

SumsBuffer = tuple[int, int]
"""The thread whose sums lie there, the number of threads for all of them, and which of theirs."""


@dataclass(frozen=True, slots=True)
class Task:
    """Run a shard, or a part of each of its kernels.

    Attributes:
        shard: its number.
        arena: the memory it works in.
        part, parts: of each kernel; with several parts there is a barrier after each kernel.
    """

    shard: int
    arena: int
    part: int
    parts: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Add the right half of a node to the left one, or a part of it."""

    pair: Pair
    part: int
    parts: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait for the others."""


Stage = Task | Reduce | Barrier


class StepSchedule:
    """The way of a step through some of its shards, for every thread.

    Args:
        own: the shards that are run, neighbours.
        shards: of the whole step.
        threads: number of threads.

    Attributes:
        nodes: the fewest nodes of the tree that cover those shards: what is left at the end.
        buffers: where the sums of each node lie. A node lies where its left half did.
        working: how many threads run shards of their own, each in an arena of its own.

    Example:
        >>> schedule = StepSchedule(range(3), shards=3, threads=2)
        >>> [stage.shard for stage in schedule.stages(1) if isinstance(stage, Task)]
        [1, 2]
        >>> schedule.nodes
        [TreeNode(level=2, place=0)]
    """

    def __init__(self, own: range, shards: int, threads: int) -> None:
        self.threads = threads
        alone = len(own) - len(own) % threads
        ranges = [own[run.start : run.stop] for run in shard_ranges(alone, threads)]
        walks = [
            walk([TreeNode(0, shard) for shard in run], shards) for run in (*ranges, own[alone:])
        ]
        self._steps = [steps for steps, _ in walks]
        self.buffers: dict[TreeNode, SumsBuffer] = {}
        for owner, steps in enumerate(self._steps):
            self.buffers |= _buffers(steps, owner)
        last, self.nodes = walk(chain.from_iterable(left for _, left in walks), shards)
        self._last = [step for step in last if isinstance(step, Pair)]
        for pair in self._last:
            self.buffers[pair.node] = self.buffers[pair.left]
        self.working = threads if alone else 1

    def stages(self, thread: int) -> Iterator[Stage]:
        """What a thread does from its first shard to the last sum."""
        yield from _stages(self._steps[thread], thread, 0, 1)
        yield Barrier()
        for step in self._steps[self.threads]:
            yield from _stages([step], 0, thread, self.threads)
            if isinstance(step, Pair):
                # The next shard may take the buffer that has become free.
                yield Barrier()
        # Every part of a vector stays with one thread, from one addition to the next.
        yield from _stages(self._last, 0, thread, self.threads)
        yield Barrier()


def _stages(
    steps: Sequence[TreeNode | Pair], arena: int, part: int, parts: int
) -> Iterator[Task | Reduce]:
    for step in steps:
        if isinstance(step, Pair):
            yield Reduce(step, part, parts)
        else:
            yield Task(step.place, arena, part, parts)


def _buffers(steps: Sequence[TreeNode | Pair], owner: int) -> dict[TreeNode, SumsBuffer]:
    """Where the nodes of one walk lie; a buffer whose sums were added to others is free again."""
    buffers: dict[TreeNode, SumsBuffer] = {}
    free: list[SumsBuffer] = []
    used = 0
    for step in steps:
        if isinstance(step, Pair):
            buffers[step.node] = buffers[step.left]
            free.append(buffers[step.right])
        elif free:
            buffers[step] = free.pop()
        else:
            buffers[step], used = (owner, used), used + 1
    return buffers
