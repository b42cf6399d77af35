"""Workers in processes of their own, timed in alternating blocks.

Another library's threads may go on spinning after a call and take a core from whoever comes next.
So each library lives in a process of its own, works in blocks, and there is a pause between blocks.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "FULL",
    "QUICK",
    "ROOT",
    "Pace",
    "Timing",
    "Worker",
    "WorkerEndedError",
    "WorkerError",
    "WorkerTimeoutError",
    "alternate",
]

ROOT = Path(__file__).resolve().parent.parent


class WorkerError(Exception):
    """A worker could not do what it was asked for."""


class WorkerEndedError(WorkerError):
    """A worker has ended before its time."""


class WorkerTimeoutError(WorkerError):
    """A worker gave no answer within the time that a run has for it, and was ended."""


@dataclass(frozen=True)
class Pace:
    """How long to measure.

    Attributes:
        blocks: turns of each library; a first one that warms up comes before.
        repetitions: in a block, at most.
        budget: seconds that a block may take; at least one repetition is done.
        pause: seconds between blocks.
        patience: seconds to wait for a worker's answer.
        longest: seconds that the turns of a slow library may take; three are taken anyway.
    """

    blocks: int
    repetitions: int
    budget: float
    pause: float
    patience: float = 240
    longest: float = 60


FULL = Pace(blocks=7, repetitions=20, budget=0.5, pause=0.4)
QUICK = Pace(blocks=2, repetitions=3, budget=0.1, pause=0.2)


@dataclass
class Timing:
    """Seconds of every repetition of one piece of work, and what else its worker reported."""

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
            return (max(self.seconds) - min(self.seconds)) / self.median
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median


class Worker:
    """A process that prepares pieces of work and repeats them when asked.

    It reads a JSON line for each request and answers with one.

    Args:
        python: the interpreter.
        module: to run; it calls ``bench.worker.serve``.
        environment: added to this process's.
        patience: seconds to wait for an answer.
        verbose: let it write to standard error.
    """

    def __init__(
        self,
        python: str,
        module: str,
        environment: dict[str, str] | None = None,
        patience: float = 900,
        verbose: bool = False,
    ) -> None:
        self._patience = patience
        self._process = subprocess.Popen(
            [python, "-m", module],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if verbose else subprocess.DEVNULL,
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            WorkerTimeoutError: the worker did not answer in time.
            WorkerEndedError: it ended.
            WorkerError: it could not do it.
        """
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise WorkerError("the worker has no pipes")
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise WorkerEndedError(f"ended with exit code {process.wait()}") from None
        if not select.select([process.stdout], [], [], self._patience)[0]:
            process.kill()
            raise WorkerTimeoutError(f"no answer within {self._patience:.0f} s")
        line = process.stdout.readline()
        if not line:
            raise WorkerEndedError(f"ended with exit code {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def alternate(
    works: dict[str, tuple[Worker, str]],
    pace: Pace,
    failed: Callable[[str, WorkerError], None],
) -> dict[str, Timing]:
    """Let pieces of work take turns; the first block of each warms up and is not counted.

    Args:
        works: worker and the name under which it prepared the work, by the name in the result.
        pace: how long.
        failed: called with the name and the error of one that fails; it has no more turns and no
            timing.
    """
    timings = {name: Timing() for name in works}
    counts = dict.fromkeys(works, 1)
    turns = dict.fromkeys(works, pace.blocks)
    for block in range(pace.blocks + 1):
        for name, (worker, prepared) in works.items():
            if name not in timings or block > turns[name]:
                continue
            time.sleep(pace.pause)
            try:
                answer = worker.ask({"repeat": counts[name] if block else 2, "as": prepared})
            except WorkerError as error:
                failed(name, error)
                del timings[name]
                continue
            if block:
                timings[name].seconds += answer["seconds"]
            else:
                once = max(answer["seconds"][-1], 1e-7)
                counts[name] = max(1, min(pace.repetitions, int(pace.budget / once)))
                turns[name] = min(pace.blocks, max(3, int(pace.longest / once)))
    return timings
