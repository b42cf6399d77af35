"""Commands beside each other, and commands that are asked to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from signal import Signals

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, digest_of, fail, start, succeed

from isoconv import nn
from isoconv.cli import runs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of small images."""
    path = tmp_path_factory.mktemp("data") / "good.npz"
    images = np.random.default_rng(0).integers(0, 256, (400, 12, 12, 1), np.uint8)
    np.savez(path, images=images, labels=np.arange(400) % 2)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, whose reading takes a moment."""
    folder = tmp_path_factory.mktemp("photographs") / "pets"
    rng = np.random.default_rng(0)
    for number in range(60):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers with one of two classes."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    network = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 3))
    network.save(path)
    return path


def words(data: Path, epochs: int = 1) -> tuple[object, ...]:
    """Of a quick training."""
    return (
        "train",
        data,
        "--model",
        "lenet5",
        "--epochs",
        epochs,
        "--batch-size",
        8,
        "--no-report",
    )


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """The digest of a training of twenty epochs that nobody disturbs; its kernels are kept."""
    return digest_of(succeed(*words(data, 20), "--out", tmp_path_factory.mktemp("whole") / "run"))


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_trainings_at_once_get_folders_of_their_own(data: Path, tmp_path: Path) -> None:
    """Without --out no run is lost: each says another folder, and the run is there."""
    processes = [start(*words(data), cwd=tmp_path) for _ in range(4)]
    folders, digests = [], set()
    for process in processes:
        said, errors = process.communicate()
        assert process.returncode == 0, errors
        folders.append(said.split("\nrun ")[1].split()[0])
        digests.add(digest_of(said))
        result = json.loads((tmp_path / folders[-1] / "run.json").read_text())["result"]
        assert result["weights_sha256"] == digest_of(said)
    assert sorted(folders) == [f"runs/good-lenet5-{n}" for n in range(1, 5)]
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_of_trainings_into_one_folder_the_others_are_told(data: Path, tmp_path: Path) -> None:
    """With the same --out one succeeds; who comes second is told who holds the folder."""
    processes = [start(*words(data), "--out", "one", cwd=tmp_path) for _ in range(3)]
    ended = [(*process.communicate(), process) for process in processes]
    codes = sorted(process.returncode for *_, process in ended)
    assert codes == [0, 2, 2]
    pids = {process.pid for *_, process in ended if process.returncode == 0}
    for said, errors, process in ended:
        if process.returncode == 2:
            assert not said
            held = any(f"one is held by process {pid} on " in errors for pid in pids)
            assert held or "one holds a run already" in errors, errors
    assert json.loads((tmp_path / "one" / "run.json").read_text())["result"]
    assert not (tmp_path / "one" / ".held").exists()


ENDS = [
    (signal.SIGTERM, 143, "asked to end (SIGTERM)"),
    (signal.SIGHUP, 129, "asked to end (SIGHUP)"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "said"), ENDS)
def test_a_training_that_is_asked_to_end_before_its_first_step(
    tmp_path: Path, number: Signals, code: int, said: str, photographs: Path
) -> None:
    """Nothing is left of it, and a word tells why; whatever it was doing."""
    process = start("train", photographs, cwd=tmp_path)
    while not list(tmp_path.glob("runs/*/.held")) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(number)
    # Systems send a second one at once, which must not disturb what tidies up.
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == code
    assert said in errors or "interrupted before a step was kept" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "said"), ENDS)
def test_what_waits_for_standard_input_is_asked_to_end(
    model: Path, tmp_path: Path, number: Signals, code: int, said: str
) -> None:
    """No file of it is left."""
    process = start(
        "predict", model, "-", stdin=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    while not list(tmp_path.glob("isoconv-*")) and process.poll() is None:
        time.sleep(0.001)
    # It is about to read by then; Python hears of what comes just before a read after it alone.
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(60) == code
    _, errors = process.communicate()
    assert errors == f"{said}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code", "said"), ENDS)
def test_asked_to_end_while_it_starts(
    tmp_path: Path, number: Signals, code: int, said: str
) -> None:
    """From the first moment on: while the commands are loaded, too."""
    (tmp_path / "typer.py").write_text("import time\nprint(flush=True)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = start("info", env={**os.environ, "PYTHONPATH": path})
    assert process.stdout is not None
    assert process.stdout.readline() == "\n"
    process.send_signal(number)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (code, f"{said}\n")


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """Under nohup a closed terminal ends nothing."""
    program = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from isoconv.signals import ended_by_exception\n"
        "active = ended_by_exception()\nactive.__enter__()\n"
        "signal.raise_signal(signal.SIGHUP); print('here', flush=True)\n"
        "for _ in range(3):\n"
        "    try:\n        signal.raise_signal(signal.SIGTERM)\n"
        "    except KeyboardInterrupt as error:\n        print(error, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    # And whoever insists is heard, though the first one was taken as an exception.
    assert (done.stdout, done.returncode) == ("here\nasked to end (SIGTERM)\n", -signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_asked_to_end_saves(
    data: Path, whole: str | None, tmp_path: Path, number: Signals, code: int
) -> None:
    """It says how to go on, and going on comes to the weights of a whole run."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("interrupts are ignored here")
    process = start(*words(data, 20), "--out", "run", "--keep-checkpoints", cwd=tmp_path)
    stand = tmp_path / "run" / "checkpoints" / "epoch-00002.safetensors"
    while not stand.exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == code
    assert "go on with: isoconv resume run" in errors
    stands = json.loads((tmp_path / "run" / "checkpoints" / "last.json").read_text())
    assert 1 <= stands["epoch"] < 20
    said = succeed("resume", tmp_path / "run", "--no-report")
    assert digest_of(said) == whole


@pytest.mark.slow
def test_the_demo_begins_where_a_start_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that holds only checkpoints/ is no reason to refuse."""
    # What it learns from does not matter here; a twentieth is enough.
    parts = runs.demo_parts()
    few = replace(parts, train=parts.train.split(0.05, seed=0)[1])
    monkeypatch.setattr(runs, "demo_parts", lambda: few)
    (tmp_path / "demo" / "checkpoints").mkdir(parents=True)
    (tmp_path / "demo" / "checkpoints" / ".last.json.1.2.tmp").write_text("{")
    result = call("demo", "--out", tmp_path / "demo", "--epochs", 1, "--no-report")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "demo" / "checkpoints").glob(".*")] == []
    # What is replaced is the demo's own.
    for name in ("report/mine.txt", "checkpoints/mine.txt", "mine.txt"):
        (tmp_path / "demo" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "demo" / name).write_text("mine")
    assert call("demo", "--out", tmp_path / "demo", "--epochs", 1, "--no-report").exit_code == 0
    for name in ("report/mine.txt", "checkpoints/mine.txt", "mine.txt"):
        assert (tmp_path / "demo" / name).read_text() == "mine"


def test_a_run_is_not_put_into_its_data(tmp_path: Path) -> None:
    """Where it would be a class of its own the next time."""
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for out in (tmp_path / "pets", tmp_path / "pets" / "run"):
        assert "--out must not lie in the data" in fail("train", tmp_path / "pets", "--out", out)
    assert [path.name for path in (tmp_path / "pets").iterdir()] == ["cat"]
