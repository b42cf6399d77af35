"""Commands on a cluster that are interrupted or asked to end: a code, a line, and a way on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cluster.machines import Machines
from tests.processes import children, command_line
from tests.train.small import noise

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SMALL = (
    "--model", "tinyvgg", "--epochs", "8", "--batch-size", "16", "--shard-size", "4",
    "--no-report",
)  # fmt: skip


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Commands hear of signals also where the tests run in the background or under nohup."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With data, pictures, and what one machine comes to."""
    found = tmp_path_factory.mktemp("ends")
    part = noise(60)
    np.savez(found / "noise.npz", x_train=part.images, y_train=part.labels)
    (found / "photos").mkdir()
    for number in range(300):
        Image.fromarray(part.images[number % 60, :, :, 0]).save(found / f"photos/{number:03}.png")
    ended(found, "train", "noise.npz", *SMALL, "--keep-checkpoints", "--out", "alone")
    ended(found, "train", "noise.npz", *SMALL, "--folds", "3", "--out", "alone-folds")
    ended(found, "predict", "alone", "photos", "--out", "alone.csv")
    return found


def command(*words: str) -> list[str]:
    """What runs isoconv."""
    return [sys.executable, "-m", "isoconv", *words]


def ended(folder: Path, *words: str) -> None:
    """Run a command to its end."""
    done = subprocess.run(command(*words), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def workers(machines: Machines) -> list[str]:
    """Those on all nodes."""
    return [*_named(machines.raylets)]


def _named(raylets: Sequence[int]) -> Iterator[str]:
    for raylet in raylets:
        for name in map(command_line, children(raylet)):
            if name.startswith(("ray::Worker", "ray::PieceWorker")):
                yield name


def broken_off(
    machines: Machines, folder: Path, words: Sequence[str], when: Callable[[], bool], number: int
) -> str:
    """What a command says that gets a signal at a moment, and ends by it."""
    process = subprocess.Popen(
        command(*words), cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    end = time.monotonic() + 300
    while not when() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    said, errors = process.communicate()
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in said + errors
    end = time.monotonic() + 30
    while (left := workers(machines)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left
    return errors


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "SIGHUP"]
)
def test_a_training(machines: Machines, folder: Path, number: int) -> None:
    """Within a step: it is resumed on the cluster, to the receipt of one machine."""
    machines.have(2)
    cluster = ("--cluster", machines.address)
    run = folder / f"run-{number}"
    words = ("train", "noise.npz", *SMALL, "--keep-checkpoints", "--out", run.name, *cluster)
    stand = run / "checkpoints" / "epoch-00002.safetensors"
    said = broken_off(machines, folder, words, stand.exists, number)
    assert f"go on with: isoconv resume {run.name}" in said
    ended(folder, "resume", run.name, "--no-report", *cluster)
    assert digest(run) == digest(folder / "alone")


def digest(run: Path) -> Any:
    """That of a receipt."""
    return json.loads((run / "receipt.json").read_text("utf-8"))["digest"]


def test_folds_and_a_table(machines: Machines, folder: Path) -> None:
    """With workers at work, whatever Ray makes of the signal: the same command goes on."""
    machines.have(2)
    cluster = ("--cluster", machines.address)
    words: Sequence[str] = (
        "train",
        "noise.npz",
        *SMALL,
        "--folds",
        "3",
        "--out",
        "folds",
        *cluster,
    )
    first = folder / "folds/fold-1/checkpoints/last.json"
    said = broken_off(machines, folder, words, first.exists, signal.SIGTERM)
    assert "interrupted with 0 of 3 folds done; go on with the same command and --out" in said
    ended(folder, *words)
    for fold in ("fold-1", "fold-2", "fold-3"):
        assert digest(folder / "folds" / fold) == digest(folder / "alone-folds" / fold)
    words = ("predict", "alone", "photos", "--out", "table.csv", *cluster)
    parts = folder / "table.csv.parts"
    said = broken_off(
        machines, folder, words, lambda: any(parts.glob("part-*.json")), signal.SIGHUP
    )
    assert "pictures are done, and the same command goes on from there" in said
    assert said.endswith("asked to end (SIGHUP)\n")
    ended(folder, *words)
    assert (folder / "table.csv").read_bytes() == (folder / "alone.csv").read_bytes()
    assert not [*folder.glob(".iso*")]


def test_a_verification(machines: Machines, folder: Path) -> None:
    """It keeps nothing, and says how far it came."""
    machines.have(2)
    words = ("verify", "alone", "--cluster", machines.address)
    said = broken_off(machines, folder, words, lambda: bool(workers(machines)), signal.SIGTERM)
    assert said.endswith(("no difference up to there\n", "asked to end (SIGTERM)\n"))
