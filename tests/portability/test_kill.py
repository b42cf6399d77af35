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


def kill_after(
    command: list[str], env: dict[str, str], seconds: Callable[[], float]
) -> subprocess.CompletedProcess[str] | float:
    """Start a run and kill it so long after its training began; its result if it was quicker."""
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "began\n"
        moment = seconds()
        time.sleep(moment)
        if process.poll() is None:
            process.kill()
            process.wait()
            return moment
        return subprocess.CompletedProcess(
            command, process.returncode, process.stdout.read(), process.stderr.read()
        )


@pytest.mark.parametrize(("case", "epochs", "kills"), [("small", 60, 8), ("resnet20", 12, 4)])
def test_killed_and_resumed(
    worker: Callable[..., Line],
    command: Callable[..., list[str]],
    surroundings: dict[str, str],
    tmp_path: Path,
    case: str,
    epochs: int,
    kills: int,
) -> None:
    """SIGKILL at random moments, each time gone on with: weights and history are the same."""
    options = ("--epochs", epochs, "--short-calls")
    begin = time.perf_counter()
    whole = worker(case, *options, "--out", tmp_path / "whole")
    # A kill falls anywhere in the first half of what a whole run takes, so that each gets on.
    longest = (time.perf_counter() - begin) / 2
    out = tmp_path / "killed"
    moments: list[float] = []
    stands: list[int] = []
    while len(moments) < kills:
        line = command(case, *options, "--out", out, "--threads", 1 + len(moments) % 3)
        found = kill_after(line, surroundings, lambda: random.uniform(0, longest))  # noqa: S311
        if not isinstance(found, float):
            break
        moments.append(found)
        record = json.loads(RunFolder(out).checkpoint_file.read_text("utf-8"))
        stands.append(record["epoch"])
    resumed = worker(case, *options, "--out", out)
    story = f"killed {moments} seconds after the start, at epochs {stands}"
    assert resumed["result"] == whole["result"], story
    for name in ("weights.safetensors", "best.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), story
    assert moments, "the run was never killed"
