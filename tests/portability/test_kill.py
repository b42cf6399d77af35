"""Runs that are killed at random moments and gone on with end at the bits of whole ones."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoconv.train.checkpoint import RunFolder

Line = dict[str, Any]
Command = Callable[..., list[str]]


def watch(
    command: list[str], env: dict[str, str], kill_at: float | None = None
) -> tuple[Line | None, float]:
    """A run's line, or None if it was killed, and its seconds since its training began.

    Args:
        command: starts the run.
        env: its environment variables.
        kill_at: seconds after the training's begin at which it is killed; None to let it be.
    """
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "began\n"
        begin = time.perf_counter()
        try:
            printed, errors = process.communicate(timeout=kill_at)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, time.perf_counter() - begin
        assert process.returncode == 0, errors
        return json.loads(printed), time.perf_counter() - begin


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "epochs", "kills"),
    [
        ("small", 50, 4),
        pytest.param("resnet20", 8, 2, marks=pytest.mark.exhaustive),
        pytest.param("small", 100, 8, marks=pytest.mark.exhaustive),
        pytest.param("resnet20", 24, 4, marks=pytest.mark.exhaustive),
    ],
)
def test_killed_and_resumed(
    baseline: Callable[[str], Line],
    command: Command,
    surroundings: dict[str, str],
    tmp_path: Path,
    case: str,
    epochs: int,
    kills: int,
) -> None:
    """SIGKILL at random moments, each time gone on with: weights and history are the same."""
    # Afterwards all kernels are in the cache, so that time is spent on training.
    baseline(case)
    options = ("--epochs", epochs, "--short-calls")
    whole, duration = watch(command(case, *options, "--out", tmp_path / "whole"), surroundings)
    assert whole is not None
    out = tmp_path / "killed"
    moments: list[float] = []
    stands: list[int] = []
    resumed: Line | None = None
    while resumed is None or not moments:
        if resumed is not None:
            # The machine has become faster, and the run was over before it could be killed.
            duration, out = duration / 2, out.with_name(f"{out.name}-again")
        # Half of a whole run at most: some kills fall into its start, most into its epochs.
        moment = random.uniform(0, duration / 2) if len(moments) < kills else None  # noqa: S311
        line = command(case, *options, "--out", out, "--threads", 1 + len(moments) % 3)
        resumed, seconds = watch(line, surroundings, moment)
        if resumed is None:
            moments.append(seconds)
            record = json.loads(RunFolder(out).checkpoint_file.read_text("utf-8"))
            stands.append(record["epoch"])
    story = f"killed {moments} seconds after its beginnings; whole epochs then: {stands}"
    assert resumed["result"] == whole["result"], story
    for name in ("weights.safetensors", "best.safetensors"):
        found, expected = ((run / name).read_bytes() for run in (out, tmp_path / "whole"))
        assert found == expected, story
    print(story)  # noqa: T201 - shown with pytest -s
