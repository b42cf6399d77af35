"""``isoconv resume --epochs``: a finished run is trained on, and its receipt says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.cli.command import call, digest_of, fail, succeed


def test_a_finished_run_is_trained_on(tmp_path: Path) -> None:
    """Up to so many epochs in all; verify reproduces it, diff names it, fewer are refused."""
    labels = np.arange(60) % 2
    noise = np.random.default_rng(0).integers(0, 60, (60, 16, 16))
    images = (labels[:, None, None] * 150 + noise).astype(np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=labels, class_names=["dark", "bright"])
    words = (
        "train", tmp_path / "data.npz", "--model", "lenet5", "--batch-size", 16, "--no-report",
    )  # fmt: skip
    run = tmp_path / "run"
    succeed(*words, "--epochs", 1, "--out", run)
    assert "nothing was trained (--epochs N trains it on)" in succeed(
        "resume", run, "--no-report", "--epochs", 1
    )
    said = succeed("resume", run, "--no-report", "--epochs", 3)
    assert "epoch 2/3" in said
    assert "epoch 3/3" in said
    assert "epoch 1/3" not in said
    assert "nothing was trained" not in said
    assert "the schedule begins anew with each stretch" in " ".join(said.split())
    described = json.loads((run / "run.json").read_text())
    assert described["settings"]["stretches"][1] == {"after": 1, "until": 3}
    (wish,) = described["further"]
    assert wish["facts"]["command"].endswith("--no-report --epochs 3")
    assert wish["facts"]["started"] >= described["facts"]["started"]
    assert digest_of(said) == described["result"]["weights_sha256"]
    assert succeed("verify", run).startswith("identical: ")
    assert succeed("verify", run, "--epochs", "2-3").startswith("no difference found: ")
    assert "at least the 3 that the run has; got 2" in fail("resume", run, "--epochs", 2)
    succeed(*words, "--epochs", 3, "--out", tmp_path / "three")
    found = call("diff", run, tmp_path / "three")
    assert found.exit_code == 1
    assert "settings.stretches: A [{" in found.stdout
