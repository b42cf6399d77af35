"""Workers in processes of their own, timed in alternating blocks.

Another library's threads may go on spinning after a call and take a core from whoever comes next.
So each library lives in a process of its own, works in blocks, and there is a pause between blocks.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Timing", "Worker", "alternate"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Timing:
    """Seconds of every repetition of one worker, and what else it reported."""

    seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The middle repetition."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Distance of the outer quartiles, as a share of the median."""
        if len(self.seconds) < 4:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median


class Worker:
    """A process that prepares one piece of work and repeats it when asked.

    It reads a JSON line for each request and answers with one.
    """

    def __init__(self, python: str, module: str, request: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [python, "-m", module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self.ask(request)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with exit code {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def alternate(
    workers: dict[str, Worker], *, blocks: int = 6, repetitions: int = 10, pause: float = 0.4
) -> dict[str, Timing]:
    """Let workers take turns; the first block of each warms up and is not counted."""
    timings = {name: Timing(facts=worker.facts) for name, worker in workers.items()}
    for block in range(blocks + 1):
        for name, worker in workers.items():
            time.sleep(pause)
            answer = worker.ask({"repeat": repetitions})
            if block:
                timings[name].seconds += answer["seconds"]
    for name, worker in workers.items():
        timings[name].facts |= worker.ask({"facts": True})
    return timings
