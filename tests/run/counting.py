"""A team of threads that counts its turns, for tests."""

from __future__ import annotations

import time

import numpy as np

from isoconv.compile.native.runtime import ASLEEP, HyperSpec
from isoconv.run.script import ScriptBuilder
from isoconv.run.team import Team, library_for


class Counting:
    """A team of three and a script for each that counts its runs."""

    def __init__(self, team: Team) -> None:
        self.team = team
        spec = HyperSpec(1)
        kernel = library_for().addresses([spec])[spec]
        self.table = np.zeros(10_000, np.float32)
        self.counters = np.zeros((3, 8), np.int64)
        self.scalars = np.zeros((3, 16), np.float32)
        self.scripts = []
        for counter, scalar in zip(self.counters, self.scalars, strict=True):
            script = ScriptBuilder()
            script.add(kernel, [a.ctypes.data for a in (self.table, counter, scalar)])
            self.scripts.append(script.build())

    def run(self, threads: int, turns: int) -> list[int]:
        """Run so many of them; returns what all have counted since the last time."""
        before = self.counters[:, 0].copy()
        self.team.run(self.scripts[:threads], turns)
        counted: list[int] = (self.counters[:, 0] - before).tolist()
        return counted


def fall_asleep(team: Team) -> None:
    """Wait until all threads but the caller's sleep."""
    deadline = time.monotonic() + 20
    while not (team._flags._flags["flag"][1:] == ASLEEP).all():
        assert time.monotonic() < deadline
        time.sleep(0.01)
