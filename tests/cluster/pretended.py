"""A cluster within this process: workers are objects, and each dies at the call that is asked for.

What a worker has made is gone with it, as with a node; calls of one worker are done in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isoconv.cluster.connection import Connection, LostError, Node


@dataclass(eq=False)
class Made:
    """A reference: what was made, or why it was not, and by whom."""

    value: Any
    error: Exception | None = None
    by: Actor | None = None

    def get(self) -> Any:
        """What was made, if it is still there."""
        if self.error is not None:
            raise self.error
        if self.by is not None and self.by.dead and isinstance(self.value, Large):
            raise LostError("an object is lost")
        return self.value.inner if isinstance(self.value, Large) else self.value


@dataclass(frozen=True)
class Large:
    """What stays on the node that has made it."""

    inner: Any


class Actor:
    """A worker, and whether it is dead."""

    def __init__(self, cluster: Pretended, made: Any) -> None:
        self._cluster, self._made = cluster, made
        self.dead = False

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)

    def call(self, name: str, arguments: tuple[Any, ...], returns: int) -> Any:
        """The references of a call's results."""
        results = self._results(name, arguments)
        found = [Made(None, results, self)] * returns if isinstance(results, Exception) else (
            [Made(Large(each) if large else each, None, self)
             for large, each in zip(_large(name, returns), results if returns > 1 else [results],
                                    strict=True)]
        )  # fmt: skip
        return found if returns > 1 else found[0]

    def _results(self, name: str, arguments: tuple[Any, ...]) -> Any:
        death = LostError("its process is gone", own=True)
        if self.dead:
            return death
        try:
            given = [each.get() if isinstance(each, Made) else each for each in arguments]
        except LostError as error:
            return LostError(str(error))
        # Before it is done, and behind it.
        for behind in (False, True):
            if ending := self._cluster.dies(self, name):
                every = self._cluster.actors
                others = {"all": every, "older": every[:-1]}.get(str(ending), [])
                for actor in (self, *others):
                    actor.dead = True
                return death
            if not behind:
                try:
                    found = getattr(self._made, name)(*given)
                except Exception as error:  # noqa: BLE001  # it is raised where the result is asked for
                    return error
        return found


class Heard:
    """Signs of a worker: one for each time that it is looked for."""

    def __init__(self, actor: Actor) -> None:
        self._actor, self._there = actor, False

    def is_there(self) -> bool:
        """Every other time that it is asked."""
        self._there = not self._actor.dead and not self._there
        return self._there

    def __next__(self) -> Made:
        return Made(None)


def _large(name: str, returns: int) -> list[bool]:
    """Which results stay with the worker: sums and weights."""
    if returns > 1:
        return [False] + [True] * (returns - 1)
    return [name in ("sums", "add", "state", "prove")]


@dataclass
class _Method:
    actor: Actor
    name: str
    returns: int = 1

    def options(self, num_returns: int) -> _Method:
        return _Method(self.actor, self.name, num_returns)

    def remote(self, *arguments: Any) -> Any:
        return self.actor.call(self.name, arguments, self.returns)


class Pretended(Connection):
    """Nodes of this process.

    Args:
        dies: whether an actor dies at this moment, from the number of such moments before, the
            number of the worker and the name of the call; "all" if all others do as well, "older"
            if all do but the one that came last.
        nodes: that there are.
        store: bytes of the object store of each.
        cpus: of each.

    Attributes:
        moments: at which a worker may have died so far.
        actors: that there were so far.
    """

    def __init__(
        self,
        dies: Callable[[int, int, str], bool | str],
        nodes: int = 3,
        store: int = 2**40,
        cpus: int = 1,
    ) -> None:
        self._dies, self._count, self._store, self._cpus = dies, nodes, store, cpus
        self.moments = 0
        self.actors: list[Actor] = []

    def dies(self, actor: Actor, name: str) -> bool | str:
        """Ask, and count."""
        self.moments += 1
        return self._dies(self.moments, actor._made.number, name)

    def nodes(self) -> list[Node]:
        """So many."""
        return [
            Node(f"{number:08d}", "here", self._cpus, self._store) for number in range(self._count)
        ]

    def actor(self, kind: type, node: Node, cpus: int, *arguments: Any) -> Any:  # noqa: ARG002
        """An object of this process."""
        self.actors.append(Actor(self, kind(*arguments)))
        return self.actors[-1]

    def signs(self, actor: Any) -> Any:
        """One each time that somebody looks, for as long as the worker lives."""
        return Heard(actor)

    def kill(self, actor: Any) -> None:
        """It does nothing any more."""
        actor.dead = True

    def put(self, value: Any) -> Any:
        """A reference that is never lost."""
        return Made(value)

    def get(self, reference: Any) -> Any:
        """What was made."""
        return reference.get()

    def ready(self, references: list[Any], seconds: float) -> list[Any]:  # noqa: ARG002
        """All of them."""
        return [each for each in references if not isinstance(each, Heard) or each.is_there()]

    def close(self) -> None:
        """There is nothing to leave."""
