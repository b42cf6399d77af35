"""``isoconv verify`` and ``isoconv diff``: what they print and how they end."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli import command

from isoconv.cli.named_models import make_model
from isoconv.cli.runs import load_parts
from isoconv.train import Trainer
from isoconv.train.receipt import receipt_digest


def call(*words: object) -> tuple[int, str]:
    """Run a command; returns the exit code and all that it printed."""
    result = command.call(*words)
    return result.exit_code, result.output


OTHER = "sse" if platform.machine() == "x86_64" else "generic"
"""A target that is not this machine's best one, nor without need the slowest to compile for."""


def write_data(path: Path, seed: int) -> Path:
    """A file of small random images of three classes."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 24), ("test", 9)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (count, 12, 12, 1), np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 3
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, other data, and runs of two seeds."""
    folder = tmp_path_factory.mktemp("place")
    data = write_data(folder / "data.npz", 0)
    write_data(folder / "other.npz", 1)
    for seed in (0, 1):
        model = make_model("lenet5", 3, (12, 12, 1))
        trainer = Trainer(model, seed=seed, batch_size=8, progress=False, keep_checkpoints=True)
        facts = {"model": "lenet5", "data": str(data)}
        trainer.fit(load_parts(str(data)), epochs=3, out=folder / f"run{seed}", facts=facts)
    return folder


@pytest.fixture
def run(place: Path, tmp_path: Path) -> Path:
    """A copy of the first run, to spoil."""
    return shutil.copytree(place / "run0", tmp_path / "run")


def forge(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a receipt and give it a digest that fits."""
    receipt = json.loads((run / "receipt.json").read_text())
    change(receipt)
    receipt["digest"] = receipt_digest(receipt)
    (run / "receipt.json").write_text(json.dumps(receipt))


def test_identical_is_0(place: Path) -> None:
    """All epochs, some epochs, one epoch."""
    digest = json.loads((place / "run0" / "receipt.json").read_text())["final"]["weights_sha256"]
    code, said = call("verify", place / "run0", "--threads", 1)
    assert code == 0
    *lines, last = said.splitlines()
    assert lines == [
        f"identical: {place / 'run0'}, epochs 1 to 3 of 3",
        f"weights sha256:{digest}",
    ]
    assert last.startswith("note: not covered: receipt.json (isoconv, machine, model.name), run")
    code, said = call("verify", place / "run0", "--epochs", "2-3", "--target", OTHER)
    part = f"no difference found: {place / 'run0'}, not all of which was checked"
    assert (code, said.splitlines()[:2]) == (0, [part, "trained again: epochs 2 to 3 of 3"])
    code, said = call("verify", place / "run0", "--epochs", "2", "--data", place / "data.npz")
    assert (code, said.splitlines()[:2]) == (0, [part, "trained again: epoch 2 of 3"])
    assert "note: 2 epochs were not trained again" in said


def test_a_stranger_needs_receipt_and_data_only(place: Path, tmp_path: Path) -> None:
    """Nothing but receipt.json came along."""
    shutil.copy(place / "run0" / "receipt.json", tmp_path)
    code, said = call("verify", tmp_path, "--data", place / "data.npz")
    assert code == 0
    assert "note: weights.safetensors is not there" in said
    code, said = call("verify", tmp_path)
    assert code == 2
    assert "say it with --data" in said


@pytest.mark.slow
def test_the_demo_is_verified_by_its_receipt(tmp_path: Path) -> None:
    """How the demo makes its parts is in its receipt, so that nothing else need come along."""
    code, said = call("demo", "--out", tmp_path / "demo", "--epochs", 1, "--no-report")
    assert code == 0, said
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "demo" / "receipt.json", tmp_path / "alone")
    code, said = call("verify", tmp_path / "alone", "--data", "fashion-sample")
    assert code == 0, said
    assert said.startswith(f"no difference found: {tmp_path / 'alone'}, not all of")
    assert "\ntrained again: epoch 1 of 1\ncompared with the receipt: receipt.json\n" in said


def test_different_is_1(run: Path, place: Path) -> None:
    """A changed weight, and a result that is not true."""
    path = run / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, said = call("verify", run)
    assert code == 1
    assert said.startswith(f"different: {run}\nfirst difference: weights.safetensors (epoch 3)\n")
    assert "  element (" in said
    shutil.rmtree(run / "checkpoints")
    for name in ("weights", "best"):
        (run / f"{name}.safetensors").unlink()
    forge(run, lambda receipt: receipt["settings"]["optimizer"].update(beta1=0.8))
    code, said = call("verify", run)
    assert code == 1
    assert "first difference: run.json\n  settings.optimizer.beta1: the receipt has 0.8" in said
    (run / "run.json").unlink()
    code, said = call("verify", run, "--data", place / "data.npz")
    assert code == 1
    assert "first difference: epoch 1, step 3\n  step 3: loss receipt 0x" in said


@pytest.mark.slow
def test_workers_change_no_word_of_the_answer(run: Path, place: Path) -> None:
    """True and untrue: the same on standard output; how it is divided on standard error."""
    forge(run, lambda receipt: receipt["settings"]["optimizer"].update(beta1=0.8))
    (run / "run.json").unlink()
    for folder, code in ((place / "run0", 0), (run, 1)):
        words = ("verify", folder, "--data", place / "data.npz", "--threads", 1)
        alone, several = command.call(*words), command.call(*words, "--workers", 2)
        assert several.stdout == alone.stdout
        assert (several.exit_code, alone.exit_code) == (code, code)
        assert "3 epochs in 3 pieces, each from a kept checkpoint: 2 proc" in several.stderr
        assert alone.stderr == ""


def test_nothing_can_be_said_is_2(run: Path, place: Path) -> None:
    """Each reason is told, and nothing in the folder changes."""
    receipt = (run / "receipt.json").read_bytes()

    def refused(message: str, *options: object) -> None:
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        code, said = call("verify", run, *options)
        assert code == 2
        assert message in said
        assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    refused("training data: the run has 21 samples of sha256", "--data", place / "other.npz")
    refused("there is no data called", "--data", place / "nothing")
    refused("--epochs must be FIRST-LAST", "--epochs", "all")
    refused("epochs must lie in 1 … 3", "--epochs", "3-4")
    (run / "checkpoints" / "epoch-00001.safetensors").unlink()
    refused("no checkpoint of the state after epoch 1", "--epochs", "2-3")
    forge(run, lambda receipt: receipt.update(arithmetic=2))
    refused("must be of arithmetic version 1")
    (run / "receipt.json").write_bytes(receipt.replace(b'"seed": 0', b'"seed": 1'))
    refused("was edited")
    (run / "receipt.json").write_bytes(receipt[:999])
    refused("cannot be read")
    (run / "receipt.json").unlink()
    refused("has no receipt.json")


def test_diff(place: Path, run: Path) -> None:
    """Identical, different, and unreadable."""
    code, said = call("diff", place / "run0", run)
    table, _, text = said.partition("\n\n")
    assert (code, text) == (0, f"identical: {place / 'run0'} and {run}, 3 epochs\n")
    rows = [line.split("  ") for line in table.splitlines()]
    assert [row[-1].strip() for row in rows[:1]] == ["B"]
    assert [row[0] for row in rows[1:]] == [
        "test accuracy", "test loss", "validation accuracy", "validation loss",
        "training accuracy", "training loss", "best epoch", "epochs", "seconds", "images",
        "weights sha256",
    ]  # fmt: skip
    result = json.loads((run / "run.json").read_text())["result"]
    accuracy = f"{float.fromhex(result['test']['top1']):.2%}"
    assert rows[1][-1].strip() == accuracy
    assert rows[-1][-1].strip() == result["weights_sha256"]
    code, said = call("diff", place / "run0", place / "run1")
    assert code == 1
    lines = said.partition("\n\n")[2].splitlines()
    assert lines[1:3] == [
        "settings.seed: A 0, B 1",
        "first difference: the state before the first step",
    ]
    assert lines[3].startswith("  tensor 0.weight: sha256 A ")
    assert lines[4].startswith("  element (0, 0, 0, 0): A ")
    (run / "receipt.json").write_text("{")
    code, said = call("diff", place / "run0", run)
    assert code == 2
    assert "receipt.json cannot be read" in said
