"""``python -m tests.cluster.kills``: trainings on a cluster where whatever can die is killed.

Workers, nodes and the driver are killed at random moments, workers are stopped for a while, nodes
come and go; each training must end in the digests of one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.killed import REFUSED, WORKS
from tests.cluster.machines import STORE, Machines
from tests.processes import children, command_line

__all__ = ["Found", "Story", "kills", "main"]

MOST_NODES = 5
KINDS = {"worker": 9, "two workers": 2, "node": 4, "driver": 3, "stopped": 3, "joined": 3}
"""What is done at a moment, and how often beside the others."""
KILLS = ("worker", "two workers", "node", "driver")
OFTEN = 2
"""A node loses no more workers to one driver: after three it would be put aside."""
ENDS = re.compile(
    "all workers have died|workers died on|must have a processor to give within|must begin within"
)
"""Errors with which a training may end where many die at once; it is resumed then."""
AGAIN = re.compile(r"note: (\d+) of \d+ shards of (step \d+ of epoch \d+) are run again")
NO_ANSWER = " gives no "
_PATIENCE = 60.0
"""Of a driver: on a machine that has much else to do, a worker is some time on its way."""
_STILL = (8.0, 1.2 * _PATIENCE)
"""Seconds for which a worker stands still at most, as a rule and now and then."""
_SELDOM = 0.2
_HANGS = 600.0
"""Seconds without a new line of the driver after which it is taken to hang."""
_GONE = 30.0
"""Seconds within which all workers of a driver must end behind it."""


@dataclass
class Found:
    """What came of it.

    Attributes:
        done: how often what was done.
        digests: trainings that ended as on one machine.
        resumed: how often a training went on from its folder, by why.
        steps, shards: that were run again.
        silent: workers that were taken for dead as they gave no answer.
        others: lines of others, which is Ray, on the drivers' standard output.
        faults: whatever should not have been, a line each.
    """

    done: Counter[str] = field(default_factory=Counter)
    digests: int = 0
    resumed: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    shards: int = 0
    silent: int = 0
    others: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """Processes that were killed."""
        return self.done["worker"] + 2 * self.done["two workers"] + self.done["node"] + (
            self.done["driver"]
        )  # fmt: skip


def _send(pid: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


@dataclass
class _Driver:
    """The process that trains, and what it has written."""

    process: subprocess.Popen[str]
    said: Path
    killed: bool = False
    lost: Counter[int] = field(default_factory=Counter)


@dataclass
class Story:
    """One training until its end.

    Args:
        machines: the cluster.
        draw: says what is done.
        found: what comes of it is counted there.
        folder: of the runs.
        log: what the drivers write.
        name: one of `WORKS`.
        most: how often something is killed.
        gap: mean seconds from one moment to the next.
        audit: share of the work that is done twice.
        kills: how often something was killed.
        stopped: workers that stand still, and until when.
    """

    machines: Machines
    draw: random.Random
    found: Found
    folder: Path
    log: Path
    name: str
    most: int
    gap: float
    audit: float
    kills: int = 0
    stopped: list[tuple[float, int]] = field(default_factory=list)

    def run(self, alone: dict[str, Any]) -> None:
        """Train, kill, resume, compare."""
        out = self.folder / self.name
        shutil.rmtree(out, ignore_errors=True)
        while True:
            driver = self._start(out)
            try:
                self._disturb(driver)
            finally:
                if sys.exc_info()[0] is not None:
                    driver.process.kill()
            printed, _ = driver.process.communicate()
            code = driver.process.returncode
            *others, printed = printed.splitlines() or [""]
            self.found.others += others
            self._read(driver)
            self._all_end()
            if driver.killed and code == -signal.SIGKILL:
                self.found.resumed["the driver was killed"] += 1
            elif code == REFUSED and ENDS.search(error := json.loads(printed)["error"]):
                self.found.resumed[error] += 1
            elif code == 0:
                self.judge(json.loads(printed), alone)
                return
            else:
                self.found.faults.append(f"{self.name}: exit code {code}: {printed[-500:]}")
                return

    def _start(self, out: Path) -> _Driver:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "tests.cluster.killed", self.name, str(out), "--address",
            self.machines.address, "--patience", str(_PATIENCE), "--audit", str(self.audit),
        ]  # fmt: skip
        with self.log.open("a", encoding="utf-8") as said:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        self.begin = self.log.stat().st_size
        return _Driver(process, self.log)

    def _disturb(self, driver: _Driver) -> None:
        """At random moments, until the training ends or enough is done."""
        size, since = -1, time.monotonic()
        while driver.process.poll() is None:
            self._wait(driver)
            now = driver.said.stat().st_size
            if now != size:
                size, since = now, time.monotonic()
            if time.monotonic() - since > _HANGS:
                self.found.faults.append(f"{self.name}: no line for {_HANGS:.0f} s")
                driver.process.kill()
            elif self.kills < self.most and driver.process.poll() is None:
                self._do(driver)
            elif not self.machines.raylets:
                self.machines.have(1)
        self._go_on(always=True)

    def _wait(self, driver: _Driver) -> None:
        """A random while; who was stopped long enough goes on."""
        end = time.monotonic() + self.draw.uniform(0.05, 2) * self.gap
        while time.monotonic() < end and driver.process.poll() is None:
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))
            self._go_on()

    def _go_on(self, *, always: bool = False) -> None:
        for until, pid in [*self.stopped]:
            if always or time.monotonic() > until:
                self.stopped.remove((until, pid))
                _send(pid, signal.SIGCONT)

    def _workers(self) -> list[tuple[int, int]]:
        """Processes of workers, and of their nodes."""
        return [
            (pid, raylet)
            for raylet in self.machines.raylets
            for pid in children(raylet)
            if command_line(pid).startswith("ray::Worker")
        ]

    def _do(self, driver: _Driver) -> None:
        kind = self.draw.choices([*KINDS], [*KINDS.values()])[0]
        nodes = len(self.machines.raylets)
        workers = [pair for pair in self._workers() if driver.lost[pair[1]] < OFTEN]
        self.draw.shuffle(workers)
        done = False
        if kind in ("worker", "two workers"):
            count = 1 if kind == "worker" else 2
            if len(workers) >= count:
                for pid, raylet in workers[:count]:
                    done = _send(pid, signal.SIGKILL)
                    driver.lost[raylet] += 1
        elif kind == "stopped" and workers:
            pid, raylet = workers[0]
            done = _send(pid, signal.SIGSTOP)
            driver.lost[raylet] += 1
            most = _STILL[self.draw.random() < _SELDOM]
            self.stopped.append((time.monotonic() + self.draw.uniform(0, most), pid))
        elif kind == "node" and nodes:
            self.machines.lose(self.draw.randrange(nodes))
            done = True
        elif kind == "driver":
            driver.killed = done = _send(driver.process.pid, signal.SIGKILL)
        if not self.machines.raylets or (kind == "joined" and nodes < MOST_NODES):
            self.machines.have(len(self.machines.raylets) + 1)
            self.found.done["joined"] += 1
        if done:
            self.found.done[kind] += 1
            self.kills += kind in KILLS

    def _read(self, driver: _Driver) -> None:
        """Count what the driver has said."""
        with driver.said.open("rb") as file:
            file.seek(self.begin)
            text = file.read().decode("utf-8", "replace")
        again = AGAIN.findall(text)
        self.found.shards += sum(int(shards) for shards, _ in again)
        self.found.steps += len({step for _, step in again})
        self.found.silent += text.count(NO_ANSWER)

    def _all_end(self) -> None:
        """No worker outlives its driver."""
        end = time.monotonic() + _GONE
        while (left := self._workers()) and time.monotonic() < end:
            time.sleep(0.2)
        if left:
            self.found.faults.append(f"{self.name}: {len(left)} workers outlived their driver")
            for pid, _ in left:
                _send(pid, signal.SIGKILL)

    def judge(self, ended: dict[str, Any], alone: dict[str, Any]) -> None:
        """Hold what a training came to against what one machine comes to."""
        if ended == alone:
            self.found.digests += 1
        else:
            differ = [name for name in alone if ended[name] != alone[name]]
            self.found.faults.append(f"{self.name}: other {', '.join(differ)} than one machine")


def _alone(name: str, folder: Path) -> dict[str, Any]:
    """What one machine comes to."""
    command = [sys.executable, "-m", "tests.cluster.killed", name, str(folder / f"alone-{name}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kills(count: int, seed: int, folder: Path, only: str = "", gap: float = 2.0) -> Found:
    """Train on clusters until so many processes were killed.

    Args:
        count: of processes.
        seed: of what is done, and to whom; when it comes, depends on the machine too.
        folder: for the runs, and what the drivers write.
        only: one of `WORKS`; "" for all in turn.
        gap: mean seconds from one moment to the next.
    """
    draw, found = random.Random(seed), Found()  # noqa: S311  # no secret
    names = [only] if only else [*WORKS]
    alone = {name: _alone(name, folder) for name in names}
    machines = Machines(STORE)
    try:
        number = 0
        while found.killed < count and not found.faults:
            name = names[number % len(names)]
            number += 1
            machines.have(draw.randint(1, MOST_NODES))
            begin = time.monotonic()
            audit = draw.choice((0.0, 0.0, 0.2))
            most = min(10, count - found.killed)
            log = folder / "said" / f"{number:03}-{name}.txt"
            Story(machines, draw, found, folder, log, name, most, gap, audit).run(alone[name])
            tell = f"training {number}, {name}: {time.monotonic() - begin:.0f} s, "
            print(tell + _line(found), flush=True)  # noqa: T201
    finally:
        machines.close()
    return found


def _line(found: Found) -> str:
    done = ", ".join(f"{kind} {count}" for kind, count in sorted(found.done.items()))
    return f"{found.killed} killed ({done})"


def main() -> int:
    """Say what came of it; gives 1 where anything was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="processes to kill")
    parser.add_argument("--seed", type=int, default=0, help="of what is done")
    parser.add_argument("--only", default="", choices=["", *WORKS], help="what is trained")
    parser.add_argument("--gap", type=float, default=2.0, help="mean seconds between two moments")
    parser.add_argument("--keep", type=Path, help="folder for runs and what drivers write")
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="isoconv-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    found = kills(asked.kills, asked.seed, folder, asked.only, asked.gap)
    lines = [
        f"{_line(found)} in {time.monotonic() - begin:.0f} s",
        f"{found.digests} trainings, with the digests, history and receipt of one machine",
        f"{found.steps} steps run again in part: {found.shards} shards; {found.silent} workers "
        "taken for dead without an answer",
        *(f"resumed {count} times: {why}" for why, count in sorted(found.resumed.items())),
        *(f"Ray wrote to standard output: {line}" for line in found.others[:3]),
        *(f"FAULT {fault}" for fault in found.faults),
    ]
    print("\n".join(lines))  # noqa: T201
    if asked.keep is None and not found.faults:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"runs and lines of their drivers are in {folder}")  # noqa: T201
    return int(bool(found.faults))


if __name__ == "__main__":
    sys.exit(main())
