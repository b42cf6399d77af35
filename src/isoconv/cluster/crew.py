"""Those who work on independent pieces: who joins, who is refused, who has died."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoconv.cluster.connection import OUT_OF_MEMORY, Connection, LostError, Node
from isoconv.cluster.piece_worker import PieceWorker
from isoconv.cluster.roster import (
    DEATHS,
    SILENT_SECONDS,
    nobody_came,
    other_versions,
    waited_for,
)
from isoconv.cluster.signs import LOOK_SECONDS, Signs, Watch
from isoconv.errors import IsoconvError, NotEnoughMemoryError, TrainingError
from isoconv.printable import printable
from isoconv.run.piece_worker import Surroundings


@dataclass(eq=False)
class Task:
    """A piece, and how many have died of it or with it."""

    piece: Any
    deaths: int = 0


@dataclass(eq=False)
class Hand:
    """A worker as the driver sees it.

    Attributes:
        node: where it is.
        actor: to call it.
        cpus: that it has.
        answer: what it is waited for: whether it can take part, or all that comes of a piece.
        signs: of its life; None before it has said a word.
        ready: whether it takes pieces.
        task: that it works on.
    """

    node: Node
    actor: Any
    cpus: int
    answer: Any
    signs: Signs | None = None
    ready: bool = False
    task: Task | None = None


@dataclass(eq=False)
class Crew:
    """The workers on all nodes.

    Args:
        connection: to the cluster.
        work: a reference to what they do, which goes to each node once.
        around: what they are to know of this process.
        cpus: of each; None for all that its node has.
        patience: seconds for which somebody is waited for, and may give no sign of life.
        tell: says a line to a person.
        sees: files that each must see, with the digests of how they begin.

    Attributes:
        hands: those that are there or on their way.
        lost: pieces whose workers died.
    """

    connection: Connection
    work: Any
    around: Surroundings
    cpus: int | None
    patience: float
    tell: Callable[[str], None]
    sees: Mapping[str, str]
    hands: list[Hand] = field(default_factory=list)
    lost: list[Task] = field(default_factory=list)
    _deaths: dict[str, int] = field(default_factory=dict)
    _aside: set[str] = field(default_factory=set)
    _refusals: list[IsoconvError] = field(default_factory=list)
    _looked: float = -LOOK_SECONDS
    _some: float = field(default_factory=time.monotonic)
    _told: bool = False
    _ended: TrainingError | None = None

    def __post_init__(self) -> None:
        self._watch = Watch(self.connection, self.patience, lambda: self.hands, self._give_up)

    def look(self) -> None:
        """Ask for nodes, and for workers on those that have room.

        Raises:
            IsoconvError: nobody can work, and nobody has come for a while; or too many workers hung
                with a piece.
        """
        if self._ended is not None:
            raise self._ended
        now = time.monotonic()
        if any(hand.signs is not None for hand in self.hands):
            # The work may be large, and takes its time to come.
            self._some, self._told = now, False
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        nodes = self.connection.nodes()
        living = {node.id for node in nodes}
        for hand in [*self.hands]:
            if hand.node.id not in living:
                self._drop(hand, "is lost")
        for node in nodes:
            if node.id in self._aside:
                continue
            cpus = node.cpus if self.cpus is None else min(self.cpus, node.cpus)
            there = [hand for hand in self.hands if hand.node.id == node.id]
            for _ in range(node.cpus // cpus - len(there)):
                actor = self.connection.actor(PieceWorker, node, cpus)
                about = actor.about.remote(str(Path.cwd()), self.sees)
                self.hands.append(Hand(node, actor, cpus, about))
        if self._refusals and not self.hands:
            raise self._refusals[0]
        asked = [f"a worker on {hand.node.name}" for hand in self.hands]
        if now - self._some > self.patience:
            raise nobody_came(self.patience, asked)
        if not self._told and now - self._some > SILENT_SECONDS:
            self._told = True
            self.tell(waited_for(asked))

    def _give_up(self, hand: Hand, why: str) -> None:
        try:
            self._drop(hand, why)
        except TrainingError as error:
            # Whoever is asked for an answer meanwhile is not to blame.
            self._ended = error

    def give(self, hand: Hand, task: Task) -> None:
        """Let one of them work on a piece."""
        hand.task = task
        hand.answer = hand.actor.work.options(num_returns="streaming").remote(task.piece)

    def answers(self, seconds: float) -> list[tuple[Hand, str, Any]]:
        """What those say who work, within so many seconds; who has begun to take part is ready.

        Raises:
            TrainingError: a piece that as many workers died with as may.
        """
        self._watch()
        waiting = {hand.answer: hand for hand in self.hands if hand.answer is not None}
        if not waiting:
            time.sleep(seconds)
        said = []
        for answer in self.connection.ready([*waiting], seconds):
            hand = waiting[answer]
            if hand not in self.hands:
                # It was given up while another one was waited for.
                continue
            try:
                if hand.ready:
                    kind, content = self.connection.get(next(answer))
                    said.append((hand, kind, content))
                else:
                    self._admit(hand, self.connection.get(answer))
            except (LostError, StopIteration) as error:
                self._drop(hand, f"died: {str(error) or 'it said no more'}")
            except IsoconvError as error:
                # What the work itself raises, it has said.
                self._refuse(hand, error)
        return said

    def _admit(self, hand: Hand, value: Any) -> None:
        if value is not None:
            hand.signs = Signs(self.connection, hand.actor)
            other = other_versions(hand.node, value)
            if other is not None:
                raise other
            if value["unseen"]:
                path = printable(value["unseen"][0])
                raise TrainingError(
                    f"{hand.node.name} must see {path} as the driver does, on storage that all "
                    "nodes share; it does not"
                )
            hand.answer = hand.actor.prepare.remote(self.work, self.around, hand.cpus)
        else:
            hand.answer, hand.ready = None, True

    def free(self) -> list[Hand]:
        """Those who have nothing to do."""
        return [hand for hand in self.hands if hand.ready and hand.task is None]

    def _refuse(self, hand: Hand, error: IsoconvError) -> None:
        """Give up one that cannot work where it is, and its node; its piece goes to another."""
        self.hands.remove(hand)
        self.connection.kill(hand.actor)
        if hand.task is not None:
            self.lost.append(hand.task)
        self._put_aside(hand.node, error)

    def _put_aside(self, node: Node, error: IsoconvError) -> None:
        """Give a node nothing more to do."""
        if node.id not in self._aside:
            self._aside.add(node.id)
            self._refusals.append(error)
            self.tell(f"{node.name} is put aside: {error}")

    def _drop(self, hand: Hand, why: str) -> None:
        if hand not in self.hands:
            return
        self.hands.remove(hand)
        self.connection.kill(hand.actor)
        name, task = hand.node.name, hand.task
        self._looked = -LOOK_SECONDS
        if task is None:
            self.tell(f"a worker on {name} {why}")
        else:
            task.deaths += 1
            what = f"a worker on {name} that was at {task.piece} {why}"
            if task.deaths >= DEATHS:
                raise TrainingError(
                    f"{task.deaths} workers died with {task.piece}; the last: {what}"
                )
            self.tell(f"{what}; it is done again")
            self.lost.append(task)
        count = self._deaths[hand.node.id] = self._deaths.get(hand.node.id, 0) + 1
        if OUT_OF_MEMORY in why:
            self._put_aside(hand.node, NotEnoughMemoryError(f"{name} ran out of memory"))
        elif count >= DEATHS:
            self._put_aside(hand.node, TrainingError(f"{count} workers died on {name}"))

    def close(self) -> None:
        """End all of them."""
        while self.hands:
            self.connection.kill(self.hands.pop().actor)
