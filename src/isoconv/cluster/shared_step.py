"""One step of a training, shared by workers: shards, their sums along the tree, the update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isoconv.cluster.connection import Connection, LostError
from isoconv.cluster.deal import deal, nodes_of
from isoconv.cluster.roster import Member
from isoconv.errors import IsoconvError, TrainingError
from isoconv.graph.operation import Array
from isoconv.run.tree import Pair, TreeNode, walk

_FRESH = 0.5
"""Weight of a step's speed in what a worker is taken to be able to."""
_LATE = 20
"""A worker that takes so many times as long as it should is taken for dead."""
_HOPE = 1.25
"""A worker that was too slow for any shard is taken to be so much quicker in the next step."""


@dataclass(eq=False)
class Tally:
    """What steps cost.

    Attributes:
        steps: that were done.
        moved: bytes that went from node to node in them.
        most: in one of them.
        again: shards that were run again, because who had run them died or was wrong.
    """

    steps: int = 0
    moved: int = 0
    most: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Neighbouring shards that a worker runs, and what it is to hand over.

    Attributes:
        member: the worker.
        run: the shards.
        nodes: of the tree that cover them.
        seconds: a reference to the time it took.
        vectors: references to the sums, which stay with the worker until somebody adds them.
    """

    member: Member
    run: range
    nodes: list[TreeNode]
    seconds: Any
    vectors: list[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """The sum of the halves of a node: references to all three, and who has added them."""

    node: TreeNode
    left: Any
    right: Any
    total: Any
    by: Member


def _rates(members: Sequence[Member]) -> list[float]:
    """Shards a second; who has not run any is taken to be as quick as others for its processors."""
    each = [member.rate / member.cpus for member in members if member.rate]
    usual = sorted(each)[len(each) // 2] if each else 1.0
    return [member.rate or usual * member.cpus for member in members]


@dataclass(eq=False)
class SharedStep:
    """A step in the hands of some workers.

    All calls of a step are made at once, and the references of one go into the next: sums go from
    worker to worker, left to whom the right one's come, and pass through the driver at no place but
    where they are so small (100 kB) that Ray sends them along with the answer.

    Each worker then makes the update itself, from the total. Sums and weights are of one size, so
    that a total to each node is as many bytes as new weights would be; frozen layers have weights
    and no sums, the optimizer's vectors never move, and whoever is left when a worker dies has all
    there is to go on from.

    Args:
        connection: to the cluster.
        number: of the step in its epoch.
        shards: of the step.
        size: bytes of a vector of sums.
        tally: what steps cost.

    Attributes:
        parts: what is under way or done.
        added: sums of halves, likewise.
        rows: references to the metrics that each worker comes to.
        total, owner: a reference to the sum over all shards, and who has it.
        moved: bytes that went from node to node.
    """

    connection: Connection
    number: int
    shards: int
    size: int
    tally: Tally
    parts: list[Part] = field(default_factory=list)
    added: list[Added] = field(default_factory=list)
    rows: list[tuple[Any, Member]] = field(default_factory=list)
    total: Any = None
    owner: Any = None
    moved: int = 0

    def hand_out(self, members: Sequence[Member]) -> None:
        """Give the shards that nobody has to workers, to each as many as it is quick."""
        self.added, self.rows = [], []
        for gap in self._gaps():
            for member, run in zip(members, deal(gap, _rates(members)), strict=True):
                if run:
                    self.parts.append(self._part(member, run))
                else:
                    member.rate *= _HOPE
        self.parts.sort(key=lambda part: part.run.start)

    def _gaps(self) -> list[range]:
        gaps, at = [], 0
        for run in [*(part.run for part in self.parts), range(self.shards, self.shards)]:
            if run.start > at:
                gaps.append(range(at, run.start))
            at = run.stop
        return gaps

    def _part(self, member: Member, run: range) -> Part:
        nodes = nodes_of(run, self.shards)
        call = member.actor.sums.options(num_returns=1 + len(nodes))
        seconds, *vectors = call.remote(self.number, run)
        return Part(member, run, nodes, seconds, vectors)

    # The sums -----------------------------------------------------------------------------------

    def add(self) -> None:
        """Have the sums added along the tree, each where its left half is."""
        places = {
            node: (vector, part.member)
            for part in self.parts
            for node, vector in zip(part.nodes, part.vectors, strict=True)
        }
        steps, (whole,) = walk([node for part in self.parts for node in part.nodes], self.shards)
        for step in steps:
            if isinstance(step, Pair):
                (left, by), (right, other) = places.pop(step.left), places.pop(step.right)
                self.count(other, by, 1)
                total = by.actor.add.remote(left, right)
                self.added.append(Added(step.node, left, right, total, by))
                places[step.node] = total, by
        self.total, self.owner = places[whole]

    def update(self, members: Sequence[Member], version: int, hyper: Array) -> None:
        """Have all workers make the update.

        Args:
            members: who makes it: all.
            version: number of the state that comes of it.
            hyper: scalars of the update.
        """
        self.rows = [
            (member.actor.update.remote(version, self.number, self.total, hyper), member)
            for member in members
        ]
        for node in {member.node.id: member for member in members}.values():
            self.count(self.owner, node, 1)

    def row(self) -> Array:
        """The step's metrics.

        Raises:
            LostError: a worker has died, or what it had made is gone.
            TrainingError: workers come to different metrics.
        """
        for part in self.parts:
            speed = len(part.run) / max(self.connection.get(part.seconds), 1e-6)
            before = part.member.rate or speed
            part.member.rate = before + _FRESH * (speed - before)
        rows = [(self.connection.get(answer), member) for answer, member in self.rows]
        (first, one), *_ = rows
        for row, member in rows:
            if not np.array_equal(row, first, equal_nan=True):
                raise TrainingError(
                    f"all workers must come to the same metrics in a step; {member.name} comes to "
                    f"others than {one.name}, and one of them is wrong"
                )
        return np.array(first)

    def late(self, patience: float) -> list[Member]:
        """Wait for all that was asked for, and say who keeps the others waiting.

        Args:
            patience: seconds to wait at least; for shards twenty times as long as they should take.
        """
        if not all(part.member.rate for part in self.parts):
            # How long a shard takes, nobody knows yet, and its kernels may have to be loaded.
            return []
        times = [len(part.run) / part.member.rate for part in self.parts]
        seconds = max(patience, _LATE * max(times))
        parts = [(part.seconds, part.member) for part in self.parts]
        if not self._missing(self.rows or parts, seconds):
            return []
        # What comes later waits for what comes before.
        for asked in (parts, *([(added.total, added.by)] for added in self.added), self.rows):
            if missing := self._missing(asked, 0.0):
                return missing
        return []

    def _missing(self, asked: Sequence[tuple[Any, Member]], seconds: float) -> list[Member]:
        """Those who have not answered within so many seconds."""
        there = self.connection.ready([reference for reference, _ in asked], seconds)
        return [member for reference, member in asked if reference not in there]

    def count(self, giver: Member, taker: Member, vectors: int) -> None:
        """So many vectors of sums go from one to the other."""
        if giver.node.id != taker.node.id:
            self.moved += vectors * self.size

    # Deaths -------------------------------------------------------------------------------------

    def keep(self, living: Sequence[Member]) -> int:
        """Forget what is not there any more: parts of those who died or were put aside.

        Returns:
            How many shards have to be run again.
        """
        kept, again = [], 0
        for part in self.parts:
            if part.member in living and self._is_there(part):
                kept.append(part)
            else:
                again += len(part.run)
        self.parts = kept
        self.tally.again += again
        return again

    def _is_there(self, part: Part) -> bool:
        try:
            self.connection.get(part.seconds)
        except (LostError, IsoconvError):
            return False
        return True

    def failed(self) -> list[tuple[Member, IsoconvError]]:
        """Those whose shards came to nothing, and what went wrong there.

        What is made of their sums fails for the same reason, wherever it is made.
        """
        found = []
        for part in self.parts:
            try:
                self.connection.get(part.seconds)
            except LostError:
                continue
            except IsoconvError as error:
                found.append((part.member, error))
        return found

    def done(self) -> None:
        """Count the step."""
        for part in self.parts:
            part.member.shards += len(part.run)
        for member in {id(part.member): part.member for part in self.parts}.values():
            member.steps += 1
        self.tally.steps += 1
        self.tally.moved += self.moved
        self.tally.most = max(self.tally.most, self.moved)
