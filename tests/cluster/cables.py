"""Nodes of a Ray cluster in network namespaces of their own, whose cables can be pulled."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from bench.nodes import ENVIRONMENT
from tests.cluster.machines import STORE

__all__ = ["Cables", "missing"]

_NET = "10.213.7"
_PORT = 6379
_NOWHERE = "02:00:00:00:00:99"
"""Where no machine is: frames to it are lost without a word."""
_SOON = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}
"""Ray's own patience with a node, some seconds in place of a minute."""


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command of iproute2."""
    command = ["ip", *words]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def missing() -> str:
    """Why there can be no namespaces here; "" where there can."""
    if shutil.which("ip") is None:
        return "no ip (iproute2) on PATH"
    name = _mark()
    tries = (
        ("netns", "add", name),
        ("-n", name, "link", "add", "a0", "type", "veth", "peer", "name", "a1"),
        ("-n", name, "link", "add", "a2", "type", "bridge"),
    )
    try:
        for words in tries:
            done = _ip(*words, check=False)
            if done.returncode:
                return " ".join(done.stderr.split()) or f"ip {' '.join(words)} fails"
    finally:
        _ip("netns", "del", name, check=False)
    return ""


def _mark() -> str:
    return f"isoconv{secrets.token_hex(3)}"


class Cables:
    """A switch and machines at it; machine 1 is the head, which runs nothing, and the driver's.

    Args:
        count: of machines behind the head.
        soon: whether Ray is to give a node up after some seconds, in place of a minute.
    """

    def __init__(self, count: int, *, soon: bool = True) -> None:
        self._mark = _mark()
        self._folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self._count = count + 1
        self._env = {**os.environ, **ENVIRONMENT, **(_SOON if soon else {})}
        self.address = f"{_NET}.1:{_PORT}"
        try:
            self._lay()
            self.start(1)
            with ThreadPoolExecutor() as together:
                [*together.map(self.start, range(2, self._count + 1))]
        except BaseException:
            self.close()
            raise

    def _name(self, machine: int) -> str:
        return f"{self._mark}-{machine}"

    def _at(self, machine: int, *words: str) -> None:
        """A command of `ip` within a machine; 0 is the switch."""
        _ip("-n", self._name(machine), *words)

    def _lay(self) -> None:
        for machine in range(self._count + 1):
            _ip("netns", "add", self._name(machine))
            self._at(machine, "link", "set", "lo", "up")
        self._at(0, "link", "add", "switch", "type", "bridge")
        self._at(0, "link", "set", "switch", "up")
        for machine in range(1, self._count + 1):
            port = f"port{machine}"
            peer = ("peer", "name", "cable", "netns", self._name(machine))
            self._at(0, "link", "add", port, "type", "veth", *peer)
            self._at(0, "link", "set", port, "master", "switch", "up")
            self._at(machine, "addr", "add", f"{_NET}.{machine}/24", "dev", "cable")
            self._at(machine, "link", "set", "cable", "up")

    def inside(self, machine: int, *command: str) -> list[str]:
        """What runs a command on a machine."""
        return ["ip", "netns", "exec", self._name(machine), *command]

    def environment(self) -> Mapping[str, str]:
        """Of what runs there."""
        return self._env

    def start(self, machine: int) -> None:
        """Ray on a machine."""
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start"]
        own = f"{_NET}.{machine}"
        if machine == 1:
            place = ["--head", f"--port={_PORT}", "--num-cpus=0", "--include-dashboard=false"]
            place.append(f"--temp-dir={self._folder}/{machine}")
        else:
            place = [f"--address={self.address}", "--num-cpus=1"]
            place.append(f"--temp-dir={self._folder}/{machine}")
        more = [f"--node-ip-address={own}", f"--object-store-memory={STORE}"]
        more.append("--disable-usage-stats")
        command = self.inside(machine, *ray, *place, *more)
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    # Faults of the network ----------------------------------------------------------------------

    def pull(self, machine: int) -> None:
        """Nothing comes from or to it any more."""
        self._at(0, "link", "set", f"port{machine}", "down")

    def plug(self, machine: int) -> None:
        """Mend it."""
        self._at(0, "link", "set", f"port{machine}", "up")

    def mute(self, machine: int) -> None:
        """What it sends is lost; it hears all that others send."""
        for other in range(1, self._count + 1):
            if other != machine:
                self._at(machine, "neigh", "replace", f"{_NET}.{other}", "lladdr", _NOWHERE,
                         "dev", "cable", "nud", "permanent")  # fmt: skip

    def hear(self, machine: int) -> None:
        """Mend that."""
        for other in range(1, self._count + 1):
            if other != machine:
                self._at(machine, "neigh", "del", f"{_NET}.{other}", "dev", "cable")

    # The end ------------------------------------------------------------------------------------

    def processes(self, machine: int) -> list[int]:
        """All that run on a machine."""
        done = _ip("netns", "pids", self._name(machine), check=False)
        return [int(pid) for pid in done.stdout.split()]

    def _clear(self, machine: int) -> None:
        end = time.monotonic() + 10
        while (pids := self.processes(machine)) and time.monotonic() < end:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def close(self) -> None:
        """End all that runs there, and take the cables away."""
        for machine in range(1, self._count + 1):
            self._clear(machine)
        for machine in range(self._count + 1):
            _ip("netns", "del", self._name(machine), check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
