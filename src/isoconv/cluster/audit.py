"""Audits: a share of a step's work is done twice, and who is wrong takes part no longer."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from isoconv.cluster.connection import Connection, LostError
from isoconv.cluster.roster import Member, Roster
from isoconv.cluster.shared_step import Added, Part, SharedStep
from isoconv.cluster.worker import State, flat_digest, state_digest
from isoconv.errors import IsoconvError, TrainingError
from isoconv.graph.operation import Array
from isoconv.run.tree import add_pair

_SURE = 2**30


@dataclass(eq=False)
class Auditor:
    """Has a share of the work done twice before it comes into the weights.

    Runs of shards are done by a second worker, which holds what it finds against what was handed
    over; where they differ, the driver's own engine decides. Sums of two halves of a node the
    driver adds itself. What is done twice is drawn anew in each step, so that nobody knows it
    before. Every worker's own update shows in its weights, which are compared whenever the driver
    takes a copy of them.

    Args:
        share: of the work, from 0 to 1.
        connection: to the cluster.
        roster: who takes part.
        own_sums: what the driver's engine finds with a state for some shards of a step.
        tell: says a line to a person.

    Attributes:
        done: runs and sums that were done twice.
    """

    share: float
    connection: Connection
    roster: Roster
    own_sums: Callable[[State, int, range], Sequence[Array]]
    tell: Callable[[str], None]
    done: int = 0

    def _drawn(self) -> bool:
        found = secrets.randbelow(_SURE) < self.share * _SURE
        self.done += found
        return found

    def runs(self, step: SharedStep, where: str) -> bool:
        """Whether the runs of shards of a step are right, as far as they are looked at.

        Raises:
            LostError: a worker has died.
            TrainingError: two workers hold different weights.
        """
        asked: list[tuple[Part, Member, Any]] = []
        for part in step.parts:
            others = [member for member in self.roster.ready if member is not part.member]
            if others and self._drawn():
                by = secrets.choice(others)
                answer = by.actor.agrees.remote(step.number, part.run, *part.vectors)
                asked.append((part, by, answer))
                step.count(part.member, by, len(part.vectors))
        differ = [(part, by) for part, by, answer in asked if not self._agrees(by, answer, where)]
        wrong = [self._judge(step, part, by, where) for part, by in differ]
        if any(wrong):
            self.forget(step, where)
        return not any(wrong)

    def _agrees(self, by: Member, answer: Any, where: str) -> bool:
        """Whether a second worker has found the same.

        Raises:
            LostError: it has died, or cannot go on.
        """
        try:
            return bool(self.connection.get(answer))
        except IsoconvError as error:
            self.roster.drop(by, f"cannot go on in {where}: {error}", error)
            raise LostError(str(error)) from None

    def sums(self, step: SharedStep, where: str) -> bool:
        """Whether the sums of two halves are right, as far as they are looked at.

        Raises:
            LostError: a worker has died.
        """
        get = self.connection.get
        wrong: list[Added] = []
        for added in step.added:
            if self._drawn():
                own = add_pair(get(added.left), get(added.right))
                if flat_digest([own]) != flat_digest([get(added.total)]):
                    wrong.append(added)
        for added in wrong:
            shards = added.node.shards(step.shards)
            self._drop(added.by, shards, where)
        if wrong:
            self.forget(step, where)
        return not wrong

    def forget(self, step: SharedStep, where: str) -> None:
        """Have the shards run again of those who take part no longer, which is said."""
        again = step.keep(self.roster.ready)
        if again:
            self.tell(f"{again} of {step.shards} shards of {where} are run again")

    def _judge(self, step: SharedStep, part: Part, by: Member, where: str) -> bool:
        """Whether one of two workers is wrong, by the driver's own engine; it is put aside."""
        get = self.connection.get
        state = get(by.actor.state.remote())
        if state_digest(state) != get(part.member.actor.digest.remote()):
            raise TrainingError(
                f"{part.member.name} and {by.name} hold different weights in {where}, and one of "
                "them is wrong"
            )
        right = flat_digest(self.own_sums(state, step.number, part.run))
        call = by.actor.sums.options(num_returns=1 + len(part.nodes))
        _, *own = call.remote(step.number, part.run)
        given = ((part.member, part.vectors), (by, own))
        wrong = [
            member
            for member, vectors in given
            if flat_digest([get(vector) for vector in vectors]) != right
        ]
        for member in wrong:
            self._drop(member, part.run, where)
        if not wrong:
            self.tell(
                f"{by.name} has found other sums than {part.member.name} in {where}, and finds the "
                "same when it is asked again: its memory or its network may be at fault"
            )
        return bool(wrong)

    def _drop(self, member: Member, run: range, where: str) -> None:
        told = (
            f"has given wrong sums for shards {run.start} to {run.stop - 1} in {where}: what it "
            "gave before may be wrong, too (isoconv verify tells)"
        )
        self.roster.drop(member, told, TrainingError(f"{member.name} {told}"))
