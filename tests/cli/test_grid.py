"""``isoconv train --grid``: combinations of options' values, and what is said of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.command import call, fail, succeed

from isoconv.cli.grid import over_of
from isoconv.cli.train import settings_of
from isoconv.errors import ArgumentError
from isoconv.train.optim import SGD, Adam
from isoconv.train.settings import ALL


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small images of two classes."""
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    images = np.random.default_rng(0).integers(0, 128, (40, 12, 12, 1)).astype(np.uint8)
    labels = np.arange(40) % 2
    images[np.arange(40), labels] += 120
    np.savez(path, x_train=images, y_train=labels)
    return path


def told(**given: Any) -> dict[str, Any]:
    """What a command is told of its options, where nothing else is said."""
    options = [option for name, each in ALL.items() for option in each.options_of(name)]
    return {**{option.parameter: option.default for option in options}, **given}


def test_options_of_one_setting_are_joined() -> None:
    """Every combination of their values is one value of it; the others stay apart."""
    over = over_of(
        ["optimizer=sgd,adam", "lr=0.1,0.2", "epochs=1,2", "augment=crop=2,flip", "augment=none"],
        told(), settings_of,
    )  # fmt: skip
    assert [*over] == ["optimizer", "epochs", "augmentation"]
    kinds = [(type(each), each.learning_rate) for each in over["optimizer"]]
    assert kinds == [(SGD, 0.1), (SGD, 0.2), (Adam, 0.1), (Adam, 0.2)]
    assert over["epochs"] == [1, 2]
    assert over["augmentation"][0].crop_padding == 2
    assert over["augmentation"][1] is None
    (one, other) = over_of(["nesterov=yes,no"], told(optimizer="sgd"), settings_of)["optimizer"]
    assert (one.nesterov, other.nesterov) == (True, False)


@pytest.mark.parametrize(
    ("grid", "given", "said"),
    [
        (["lr"], {}, r"--grid must be OPTION=VALUE,… of options that decide bits; got 'lr'; near"),
        (["threads=1,2"], {}, r"of options that decide bits; got 'threads=1,2'"),
        (["batch_size=2"], {}, r"near it: batch-size"),
        (["lr=0.1,x"], {}, r"--grid learning-rate must be a number; got 'x'"),
        (["epochs=1,"], {}, r"--grid epochs must be a whole number; got ''"),
        (["optimizer=sgd,rms"], {}, r"must be one of sgd, adam, adamw; got 'rms'"),
        (["nesterov=1"], {}, r"must be one of yes, no; got '1'"),
        (["lr=0.1,0.1"], {}, r"--grid lr must have each value once"),
        (["lr=0.1", "learning-rate=0.1"], {}, r"must have each value once"),
        (["lr=0.1"], {"learning_rate": 0.2}, r"--learning-rate must be left out with --grid; got"),
    ],
)
def test_what_cannot_be_varied_is_refused(grid: list[str], given: Any, said: str) -> None:
    """With what was written."""
    with pytest.raises(ArgumentError, match=said):
        over_of(grid, told(**given), settings_of)


@pytest.mark.slow
def test_a_grid_is_trained_shown_and_gone_on_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table, the best one with what it was chosen by, receipts; the same command goes on."""
    monkeypatch.chdir(tmp_path)
    words = (
        "train", data, "--model", "lenet5", "--folds", 2, "--threads", 1, "--optimizer", "sgd",
        "--grid", "lr=0.1,0.001", "--grid", "epochs=1,2",
    )  # fmt: skip
    shown = succeed(*words)
    assert "classes, 4 combinations of 2 folds; cross-validations runs/bars-lenet5-grid-1/comb" in (
        shown
    )
    rows = [line.split() for line in shown.splitlines()]
    assert ["optimizer", "epochs", "loss", "loss", "std", "accuracy", "accuracy", "std"] in rows
    assert ["1", "SGD(0.1,", "momentum=0.9)", "1"] in [row[:4] for row in rows]
    out = Path("runs/bars-lenet5-grid-1")
    assert len([*out.rglob("receipt.json")]) == 8
    run = out / "combination-4/fold-2"
    assert f"identical: {run}, epochs 1 to 2 of 2\n" in succeed("verify", run)
    record = json.loads((out / "grid.json").read_text())
    best = record["best"]
    assert f"best by the mean accuracy over 2 folds, which it was chosen by: {best}\n" in shown
    receipts = {path: path.read_bytes() for path in out.rglob("receipt.json")}
    shutil.rmtree(out / "combination-2/fold-1")
    again = call(*words, "--out", out, "--workers", 2, "--json")
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    assert (found["best"], found["by"], len(found["combinations"])) == (best, "top1", 4)
    assert [len(each["folds"]) for each in found["combinations"]] == [2] * 4
    assert {path: json.loads(path.read_bytes())["digest"] for path in receipts} == {
        path: json.loads(content)["digest"] for path, content in receipts.items()
    }
    assert "can be gone on with as it began only" in fail(*words, "--out", out, "--split-seed", 1)
    said = fail(*words, "--cluster", "auto", "--audit", 0.5)
    assert "--audit must be left out with --folds and --grid" in said
    assert "--test must be left out" in fail(*words, "--test", 0.2)
    assert "no model is called" in fail("train", data, "--grid", "model=lenet5,lenet9")
