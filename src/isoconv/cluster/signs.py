"""Signs of life: what an actor says of itself while its calls are under way, and who hears it.

A process that is stopped, a machine that hangs and a network that is cut end no call: without signs
a driver would wait for them for ever. Signs come through one call, made at the beginning, which
yields again and again; for a call made later would stand behind those that are waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from isoconv.cluster.connection import Connection

_EACH = 2.0
"""Seconds between two signs."""
LOOK_SECONDS = 1.0
"""How often signs, and nodes, are looked for."""


class Living:
    """What runs in a process of a node, and can be heard."""

    def signs(self) -> Iterator[None]:
        """A sign every other second, from a thread of its own."""
        while True:
            yield None
            time.sleep(_EACH)


class Signs:
    """How long an actor has not been heard of.

    Only time in which somebody looks counts: a driver that was stopped itself, or had other things
    to do, has missed nothing.

    Args:
        connection: to the cluster.
        actor: which is `Living`.
    """

    def __init__(self, connection: Connection, actor: Any) -> None:
        self._connection, self._actor = connection, actor
        self._said = connection.signs(actor)
        self._looked = time.monotonic()
        self._silence = 0.0

    def silence(self) -> float:
        """Seconds, as far as anybody looked."""
        now = time.monotonic()
        since, self._looked = now - self._looked, now
        if self._heard():
            self._silence = 0.0
        else:
            self._silence += min(since, 2 * _EACH)
        return self._silence

    def _heard(self) -> bool:
        """Whether there was a sign since this was asked last."""
        heard = False
        while self._connection.ready([self._said], 0.0):
            try:
                sign = next(self._said)
                self._connection.get(sign)
            except Exception:  # noqa: BLE001  # it has ended, with the actor or by a network
                self._said = self._connection.signs(self._actor)
                break
            heard = True
        return heard


class Heard(Protocol):
    """One whose signs are looked for."""

    @property
    def signs(self) -> Signs | None:
        """Of its life; None before it has said a word."""


One = TypeVar("One", bound=Heard)


class Watch(Generic[One]):
    """Sees, whoever is waited for, that all who have said a word give signs of life.

    Args:
        connection: to the cluster, which calls this while it waits.
        patience: seconds for which one may give none.
        there: all who are to be heard.
        give_up: takes one who gives none, and why it is given up.
    """

    def __init__(
        self,
        connection: Connection,
        patience: float,
        there: Callable[[], Iterable[One]],
        give_up: Callable[[One, str], None],
    ) -> None:
        self._patience, self._there, self._give_up = patience, there, give_up
        self._watching, self._watched = False, -LOOK_SECONDS
        connection.meanwhile = self

    def __call__(self) -> None:
        """Look, once a second at most."""
        now = time.monotonic()
        if self._watching or now - self._watched < LOOK_SECONDS:
            return
        self._watching, self._watched = True, now
        try:
            for one in [*self._there()]:
                if one.signs is not None and one.signs.silence() > self._patience:
                    self._give_up(one, f"gives no sign of life for {self._patience:g} s")
        finally:
            self._watching = False
