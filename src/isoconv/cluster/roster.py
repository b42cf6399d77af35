"""The workers of a training: from the first word to a proof, their deaths, and who joins later."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isoconv.cluster.connection import OUT_OF_MEMORY, Connection, LostError, Node
from isoconv.cluster.material import Material
from isoconv.cluster.signs import LOOK_SECONDS, Signs, Watch
from isoconv.cluster.worker import Worker, flat_digest
from isoconv.errors import IsoconvError, NotEnoughMemoryError, TrainingError
from isoconv.memory import readable
from isoconv.printable import listed
from isoconv.train.plain_settings import versions

SILENT_SECONDS = 10.0
"""Without a word of any worker, after which it is told that they are waited for."""
DEATHS = 3
"""A node on which so many workers have died gets no further one."""
SAME = ("isoconv", "arithmetic")
"""Of which software a worker must have the driver's own version."""


def other_versions(node: Node, found: Mapping[str, Any]) -> TrainingError | None:
    """Why a node cannot take part that has other versions than the driver; None if it can."""
    own = versions()
    other = [f"{name} {found[name]}" for name in SAME if found[name] != own[name]]
    if not other:
        return None
    wanted = " and ".join(f"{name} {own[name]}" for name in SAME)
    return TrainingError(
        f"{node.name} must have {wanted}, as the driver; it has {' and '.join(other)}"
    )


def waited_for(asked: Sequence[str]) -> str:
    """What a person is told where all wait, and nobody has said a word yet.

    Args:
        asked: names of the workers that were asked for.
    """
    if asked:
        return _not_begun(asked)
    return "no node of the cluster has a processor to give; the first one is waited for"


def _not_begun(asked: Sequence[str]) -> str:
    """Why workers that were asked for have not said a word, as far as anybody can tell.

    Ray does not tell a worker that stands in line from one whose process is starting.

    Args:
        asked: their names.
    """
    one = len(asked) == 1
    return (
        f"{listed(asked)} {'was' if one else 'were'} asked for and {'has' if one else 'have'} not "
        f"begun: the processors there are given to other work ('ray status' tells), or "
        f"{'it is' if one else 'they are'} still starting"
    )


def nobody_came(seconds: float, asked: Sequence[str]) -> TrainingError:
    """What is said where no worker has said a word for so many seconds.

    Args:
        seconds: for which they were waited for.
        asked: names of those who are on their way.
    """
    if asked:
        return TrainingError(f"a worker must begin within {seconds:.0f} s; {_not_begun(asked)}")
    return TrainingError(
        f"a node of the cluster must have a processor to give within {seconds:.0f} s; none has"
    )


@dataclass(eq=False)
class Member:
    """A worker as the driver sees it.

    Attributes:
        number: that it is called by.
        node: where it is.
        actor: to call it.
        cpus: that it has.
        stage: what it does before it takes part: "asked", "preparing", "proving"; then "ready".
        answer: what it is waited for.
        signs: of its life; None before it has said a word.
        rate: shards a second, as last seen; 0 before it has run any.
        steps, shards: that it took part in, that it ran.
        ended: why it takes part no longer; "" while it does.
    """

    number: int
    node: Node
    actor: Any
    cpus: int
    stage: str = "asked"
    answer: Any = None
    signs: Signs | None = None
    rate: float = 0.0
    steps: int = 0
    shards: int = 0
    ended: str = ""

    @property
    def name(self) -> str:
        """What a person reads."""
        return f"worker {self.number} on {self.node.name}"

    def plain(self) -> dict[str, Any]:
        """What the run's record keeps."""
        facts = {"worker": self.number, "node": self.node.name, "cpus": self.cpus}
        done = {"steps": self.steps, "shards": self.shards}
        return {**facts, **done, **({"ended": self.ended} if self.ended else {})}


@dataclass(frozen=True, slots=True)
class Proof:
    """What each worker has to find before it takes part.

    Attributes:
        arguments: of `Worker.prove`.
        digest: of the sums that the driver's own engine finds.
    """

    arguments: tuple[Any, ...]
    digest: str


@dataclass(eq=False)
class Roster:
    """Those who run shards, and those who are about to.

    Args:
        connection: to the cluster.
        kind: of the workers.
        cpus: of each worker; None for all that its node has, one worker for a node.
        threads: of each worker; None for as many as it has processors.
        work: a reference to the step, and the engine's settings without the number of threads.
        material: the data.
        room: bytes that an object store must have for weights and sums.
        patience: seconds for which somebody may give no sign of life.
        tell: says a line to a person.
        admit: gives one who has proved to be right the weights of the moment.

    Attributes:
        members: all that are not ended, ready or not.
        gone: those that are.
        proof: what they have to show; None as long as nobody knows.
    """

    connection: Connection
    kind: type[Worker]
    cpus: int | None
    threads: int | None
    work: tuple[Any, Mapping[str, Any]]
    material: Material
    room: int
    patience: float
    tell: Callable[[str], None]
    admit: Callable[[Member], None]
    members: list[Member] = field(default_factory=list)
    gone: list[Member] = field(default_factory=list)
    proof: Proof | None = None
    _numbers: int = 0
    _looked: float = -LOOK_SECONDS
    _aside: dict[str, str] = field(default_factory=dict)
    _refusals: list[IsoconvError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._watch = Watch(self.connection, self.patience, lambda: self.members, self.drop)

    @property
    def ready(self) -> list[Member]:
        """Those who take part, in the order of their numbers."""
        return [member for member in self.members if member.stage == "ready"]

    # Who comes ----------------------------------------------------------------------------------

    def look(self) -> None:
        """Ask for nodes, and for a worker on each that has none; whose node is gone, is dead."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        nodes = self.connection.nodes()
        for member in [*self.members]:
            if member.node.id not in {node.id for node in nodes}:
                self.drop(member, "is lost with its node")
        for node in nodes:
            if node.id in self._aside:
                continue
            try:
                self._check_store(node, self.material.kept)
            except NotEnoughMemoryError as error:
                self._put_aside(node, error)
                continue
            cpus = node.cpus if self.cpus is None else min(self.cpus, node.cpus)
            there = [member for member in self.members if member.node.id == node.id]
            for _ in range(node.cpus // cpus - len(there)):
                self._ask(node, cpus)

    def _check_store(self, node: Node, data: int, unless: str = "") -> None:
        """See that a node can hold so many bytes of data beside the weights.

        Raises:
            NotEnoughMemoryError: it cannot.
        """
        room = self.room + data
        if node.store < room:
            raise NotEnoughMemoryError(
                f"the object store of {node.name} must hold the data and the weights, "
                f"{readable(room)}{unless}; it has {readable(node.store)} "
                "(ray start --object-store-memory says how much)"
            )

    def _ask(self, node: Node, cpus: int) -> None:
        self._numbers += 1
        actor = self.connection.actor(self.kind, node, cpus, self._numbers)
        member = Member(self._numbers, node, actor, cpus)
        member.answer = actor.about.remote(self.material.packs)
        self.members.append(member)

    def advance(self, seconds: float = 0.0) -> None:
        """Take the answers of those who are about to join, and give them the next thing to do.

        Args:
            seconds: to wait for answers, at most.
        """
        self._watch()
        waiting = {m.answer: m for m in self.members if m.stage != "ready" and m.answer is not None}
        for answer in self.connection.ready([*waiting], seconds):
            member = waiting[answer]
            member.answer = None
            try:
                self._next(member, self.connection.get(answer))
            except LostError as error:
                if error.own or member.stage != "proving":
                    self.drop(member, f"died before it took part: {error}")
                else:
                    # Whoever had the weights of the moment is gone: it is asked once more.
                    member.stage = "prepared"
            except IsoconvError as error:
                self.drop(member, f"was refused: {error}", error)
        for member in self.members:
            if member.stage == "prepared" and self.proof is not None:
                member.stage = "proving"
                member.answer = member.actor.prove.remote(*self.proof.arguments)

    def _next(self, member: Member, value: Any) -> None:
        if member.stage == "asked":
            other = other_versions(member.node, value)
            if other is not None:
                raise other
            member.signs = Signs(self.connection, member.actor)
            unseen: Mapping[str, str] = value["unseen"]
            if unseen:
                self._say_unseen(member, unseen)
            step, settings = self.work
            threads = member.cpus if self.threads is None else self.threads
            member.stage = "preparing"
            member.answer = member.actor.prepare.remote(
                step, {**settings, "threads": threads}, *self.material.given(unseen)
            )
        elif member.stage == "preparing":
            member.stage = "prepared"
        elif member.stage == "proving":
            if self.proof is None or flat_digest(value) != self.proof.digest:
                raise TrainingError(
                    f"{member.name} must find the driver's own sums for a shard; it finds others"
                )
            self.admit(member)
            member.stage = "ready"

    def _say_unseen(self, member: Member, unseen: Mapping[str, str]) -> None:
        """A worker that does not see packed files gets copies, if there is room for them.

        Raises:
            NotEnoughMemoryError: there is none.
        """
        why = "; ".join(f"{name} ({reason})" for name, reason in unseen.items())
        more = self.material.kept + self.material.copied(unseen)
        self._check_store(
            member.node, more, f", or it must see the packed file as the driver does: {why}"
        )
        self.tell(f"{member.name} gets a copy of what it does not see: {why}")

    def gather(self, stage: str, seconds: float) -> None:
        """Wait until all have come to a stage, or so many seconds are over and one has.

        Those who have said a word and give signs of life are waited for longer, where there is no
        other one: a large data set takes its time.

        Raises:
            IsoconvError: nobody has come to it; what the first one was refused for, if that is it.
        """
        begun = time.monotonic()
        end, told = begun + seconds, False
        while True:
            self.look()
            asked = [member.name for member in self.members if member.signs is None]
            silent = time.monotonic() - begun > SILENT_SECONDS and len(asked) == len(self.members)
            if silent and not told:
                self.tell(waited_for(asked))
                told = True
            if not self.members and self._refusals:
                break
            self.advance(0.1)
            there = [member for member in self.members if member.stage == stage]
            late = time.monotonic() > end
            if there and (late or len(there) == len(self.members)):
                for member in self.members:
                    if member.stage != stage:
                        self.tell(f"{member.name} is not there yet; the training begins without it")
                return
            if late and not any(member.signs is not None for member in self.members):
                break
        if self._refusals:
            raise self._refusals[0]
        raise nobody_came(seconds, [member.name for member in self.members])

    # Who goes -----------------------------------------------------------------------------------

    def drop(self, member: Member, why: str, error: IsoconvError | None = None) -> None:
        """A worker takes part no longer; its node neither, after an error or many deaths."""
        if member not in self.members:
            return
        self.members.remove(member)
        self._looked = -LOOK_SECONDS
        member.ended = why
        self.gone.append(member)
        self.connection.kill(member.actor)
        self.tell(f"{member.name} {why}")
        deaths = len([each for each in self.gone if each.node.id == member.node.id])
        if error is None and OUT_OF_MEMORY in why:
            error = NotEnoughMemoryError(f"{member.node.name} ran out of memory")
        if error is None and deaths >= DEATHS:
            error = TrainingError(f"{deaths} workers died on {member.node.name}")
        if error is not None:
            self._put_aside(member.node, error)

    def _put_aside(self, node: Node, error: IsoconvError) -> None:
        """Give a node nothing more to do."""
        self._aside[node.id] = str(error)
        self._refusals.append(error)
        self.tell(f"{node.name} is put aside: {error}")

    def plain(self) -> list[dict[str, Any]]:
        """What the run's record keeps: all who were there, and the nodes that were put aside."""
        everyone: Sequence[Member] = sorted([*self.members, *self.gone], key=lambda m: m.number)
        return [member.plain() for member in everyone]

    @property
    def reason(self) -> str:
        """Why the last node was put aside, in brackets; "" if none was."""
        return f" ({self._refusals[-1]})" if self._refusals else ""

    @property
    def aside(self) -> list[str]:
        """Why nodes were put aside, a line each."""
        return list(self._aside.values())

    def close(self) -> None:
        """End all workers."""
        while self.members:
            self.connection.kill(self.members.pop().actor)
