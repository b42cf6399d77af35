"""The command line trains on a cluster, and prints nothing but what it was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cluster.machines import Machines
from tests.train.small import noise

pytestmark = pytest.mark.filterwarnings("ignore")


def isoconv(*words: str) -> subprocess.CompletedProcess[str]:
    """A command, with what it prints."""
    command = [sys.executable, "-m", "isoconv", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_on_a_cluster(machines: Machines, tmp_path: Path) -> None:
    """The same weights as without; the folder says who ran the steps; --json prints JSON alone."""
    machines.have(2)
    data = tmp_path / "noise.npz"
    part = noise(60)
    np.savez(data, x_train=part.images, y_train=part.labels)
    small = (
        "train", str(data), "--model", "tinyvgg", "--epochs", "2", "--batch-size", "16",
        "--keep-checkpoints", "--shard-size", "4", "--no-report", "--json",
    )  # fmt: skip
    found: list[Any] = []
    cluster = ("--cluster", machines.address, "--audit", "1")
    for name, more in (("alone", ()), ("shared", cluster)):
        done = isoconv(*small, "--out", str(tmp_path / name), *more)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0]["weights_sha256"] == found[1]["weights_sha256"]
    kept = json.loads((tmp_path / "shared/run.json").read_text("utf-8"))["executors"]
    assert [each["worker"] for each in kept[0]["workers"]] == [1, 2]
    assert kept[0]["audited"] > 0
    receipts = [json.loads((tmp_path / name / "receipt.json").read_text("utf-8")) for name in
                ("alone", "shared")]  # fmt: skip
    for receipt in receipts:
        for entry in receipt["epochs"]:
            entry.pop("readable")
    assert receipts[0]["epochs"] == receipts[1]["epochs"]
    assert receipts[0]["digest"] == receipts[1]["digest"]
    done = isoconv("verify", str(tmp_path / "alone"), "--cluster", machines.address, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["identical"]
    assert "2 epochs in 2 pieces, each from a kept checkpoint: 2 workers of a" in done.stderr


def test_an_audit_needs_a_cluster(tmp_path: Path) -> None:
    """An option that would do nothing is refused."""
    done = isoconv("train", "fashion-sample", "--audit", "0.5", "--out", str(tmp_path / "run"))
    assert done.returncode != 0
    assert "--audit is for --cluster" in done.stderr
    done = isoconv(
        "train", "fashion-sample", "--cluster", "ray://x", "--out", str(tmp_path / "run")
    )
    assert done.returncode != 0
    assert "--cluster must be" in done.stderr
