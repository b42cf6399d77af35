"""Signs of life: silence counts as far as somebody looks, and no further."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.pretended import Pretended

from isoconv.cluster import signs
from isoconv.cluster.signs import Living, Signs


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


class Numbered(Living):
    """With the number by which it may die."""

    number = 1


def test_silence_is_what_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that looks again after an hour has missed nothing; who looks on, notices."""
    clock: Any = Clock()
    monkeypatch.setattr(signs, "time", clock)
    cluster = Pretended(lambda *_: False)
    actor = cluster.actor(Numbered, cluster.nodes()[0], 1)
    heard = Signs(cluster, actor)
    clock.now += 3600
    assert heard.silence() == 0
    actor.dead = True
    clock.now += 3600
    assert heard.silence() == 4
    silences = []
    for _ in range(4):
        clock.now += 1.5
        silences.append(heard.silence())
    assert silences == [5.5, 7.0, 8.5, 10.0]
    actor.dead = False
    clock.now += 1.5
    assert heard.silence() == 0
