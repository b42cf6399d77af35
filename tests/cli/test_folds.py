"""``isoconv train --folds``: a run for each fold, and what is said of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import call, fail, succeed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small images with a test part."""
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    images = np.random.default_rng(0).integers(0, 128, (60, 12, 12, 1)).astype(np.uint8)
    labels = np.arange(60) % 2
    images[np.arange(60), labels] += 120
    np.savez(path, x_train=images[:50], y_train=labels[:50], x_test=images[50:], y_test=labels[50:])
    return path


@pytest.mark.slow
def test_folds_are_trained_shown_and_verified(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table and JSON; the test part stays alone; each run is verified from its folder."""
    monkeypatch.chdir(tmp_path)
    words = ("train", data, "--model", "lenet5", "--epochs", 1, "--folds", 3, "--threads", 1)
    result = call(*words, "--early-stopping", 4)
    assert result.exit_code == 0, result.output
    assert "note: the test part, 10 images, is left alone" in result.stderr
    assert "bars.npz: 50 images of 12x12x1 in 2 classes, 3 folds; runs " in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["fold", "learned", "tested", "epochs", "loss", "accuracy"] in rows
    assert ["1", "29", "17", "1"] in [row[:4] for row in rows]
    assert {"mean", "std"} <= {row[0] for row in rows if row}
    out = Path("runs/bars-lenet5-folds-1")
    assert f"identical: {out}/fold-3, epoch 1 of 1\n" in succeed("verify", out / "fold-3")
    moved = shutil.copytree(out / "fold-2", Path("moved"))
    (moved / "samples.csv").unlink()
    said = succeed("verify", moved)
    assert "no difference found" in said
    assert "note: samples.csv is not there" in said
    assert "--test must be left out: each fold is tested with" in fail(*words, "--test", 0.2)
    said = fail(*words, "--workers", 2, "--cluster", "auto")
    assert "--workers must be 1 with --cluster; got 2" in said
    said = fail(*words, "--cluster", "auto", "--audit", 0.5)
    assert "--audit must be left out with --folds and --grid, where each worker" in said
    assert "--workers is for --folds and --grid; got 2" in fail(*words[:6], "--workers", 2)
    assert "--folds must be at least 2; got 1" in fail(*words[:6], "--folds", 1)
    again = call(*words, "--early-stopping", 4, "--out", out, "--workers", 2, "--json")
    found = json.loads(again.stdout)
    assert [fold["folder"] for fold in found["folds"]] == [f"{out}/fold-{n}" for n in (1, 2, 3)]
    shown = re.findall(r"weights sha256|fold \d of 3: tested with it", again.stderr)
    assert len(shown) == 3
    assert "epoch 1/1" not in again.stderr
    mean = next(row for row in rows if row[:1] == ["mean"])
    assert mean == ["mean", f"{found['mean']['loss']:.4f}", f"{found['mean']['top1']:.2%}"]
    said = fail(*words, "--early-stopping", 4, "--out", out, "--split-seed", 1)
    assert "can be gone on with as it began only" in said
    assert "split_seed" in said
