"""The run folder: whole at every moment, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn import storage
from isoconv.train.checkpoint import RunFolder
from isoconv.train.files import canonical_json, write_bytes
from isoconv.train.state import Checkpoint

Shapes = dict[str, tuple[int, ...]]
PARAMETERS: Shapes = {"0.weight": (3, 2), "0.bias": (2,)}
STATES: Shapes = {"1.mean": (2,)}


def make(
    epoch: int = 1, step: int = 0, value: float | np.float32 = 1.0, size: int | None = None
) -> Checkpoint:
    """A checkpoint filled with one number."""
    shapes = PARAMETERS if size is None else {"0.weight": (size,)}
    filled = {name: np.full(shape, value, np.float32) for name, shape in shapes.items()}
    return Checkpoint(
        epoch=epoch,
        step=step,
        parameters=filled,
        states={name: np.full(shape, value, np.float32) for name, shape in STATES.items()},
        slots={"velocity": filled},
        sums={"loss": 0.1 + 0.2},
        seconds=1.5,
        history=[{"epoch": number, "loss": 0.25} for number in range(1, epoch + 1)],
    )


def load(
    folder: RunFolder,
    parameters: Shapes = PARAMETERS,
    states: Shapes = STATES,
    slots: tuple[str, ...] = ("velocity",),
) -> Checkpoint:
    """The folder's checkpoint."""
    return folder.load(parameters, states, slots)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A folder with a checkpoint."""
    found = RunFolder(tmp_path / "run")
    found.check()
    found.save(make())
    found.describe({"epochs": 2})
    return found


def test_a_checkpoint_comes_back(folder: RunFolder) -> None:
    """Numbers, arrays and history are those that were saved, to the last bit."""
    saved = make(3, 7, value=np.float32(0.1))
    folder.save(saved)
    found = load(folder)
    assert (found.epoch, found.step, found.seconds) == (3, 7, 1.5)
    assert found.sums == {"loss": 0.1 + 0.2}
    assert found.history == [{"epoch": number, "loss": 0.25} for number in (1, 2, 3)]
    for name in PARAMETERS:
        assert found.parameters[name].tobytes() == saved.parameters[name].tobytes()
        assert found.slots["velocity"][name].tobytes() == saved.parameters[name].tobytes()
    assert found.weights.keys() == {*PARAMETERS, *STATES}


def test_older_arrays_are_deleted(folder: RunFolder) -> None:
    """After a save there is one pair, and no temporary file of a killed process but others' own."""
    checkpoints = folder.checkpoint_file.parent
    for name in (".last-00001-0000000.safetensors.99.1.tmp", ".last.json.7.1.tmp", ".mine.tmp"):
        (checkpoints / name).write_bytes(b"half")
    with folder.gone_on():
        folder.save(make(2, 5))
    names = sorted(path.name for path in checkpoints.iterdir())
    assert names == [".mine.tmp", "last-00002-0000005.safetensors", "last.json"]


def test_a_run_is_not_overwritten(folder: RunFolder) -> None:
    """A second run in the same folder is refused."""
    with pytest.raises(ArgumentError, match=r"holds a run already.*isoconv resume"):
        RunFolder(folder.path).check()


@pytest.mark.parametrize(
    "name",
    [
        "weights.safetensors",
        "best.safetensors",
        "metrics.jsonl",
        "samples.csv",
        "receipt.json",
        "checkpoints/last-00002-0000000.safetensors",
        "checkpoints/epoch-00001.safetensors",
    ],
)
def test_files_of_others_are_not_overwritten(tmp_path: Path, name: str) -> None:
    """A file that no start of a run leaves, in a place that a run would write to, is refused."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("somebody's own")
    with pytest.raises(ArgumentError, match=rf"holds {name} of another run or of somebody else"):
        RunFolder(tmp_path).check()
    assert path.read_text() == "somebody's own"


def begun(folder: RunFolder) -> None:
    """A folder as a start leaves it that is killed before there is a run."""
    folder.save_samples(b"part,class,sha256,path\n")
    folder.keep(make(0))
    folder.save(make(0))
    folder.write(folder.steps_file, b"{}\n")
    folder.write(folder.receipt_file, b'{"epochs": [{}], "final": null}')


def test_what_a_killed_start_left_is_cleared(tmp_path: Path) -> None:
    """A new run takes the folder over, and nothing of the first start stays in it."""
    folder = RunFolder(tmp_path / "run")
    begun(folder)
    folder.check()
    folder.clear()
    assert [path for path in folder.path.rglob("*") if path.is_file()] == []


def test_a_discarded_start_leaves_what_was_there(tmp_path: Path) -> None:
    """Folders and files that were there before stay; those of the start are gone."""
    own = tmp_path / "deep" / "run"
    folder = RunFolder(own)
    with folder.begun():
        begun(folder)
        folder.describe({})
        folder.discard()
    assert not (tmp_path / "deep").exists()
    (own / "checkpoints").mkdir(parents=True)
    (own / "checkpoints" / "mine.safetensors").write_text("mine")
    folder = RunFolder(own)
    with folder.begun():
        begun(folder)
        (own / "notes.txt").write_text("mine, too")
        folder.discard()
    left = sorted(path.relative_to(own).as_posix() for path in own.rglob("*"))
    assert left == ["checkpoints", "checkpoints/mine.safetensors", "notes.txt"]


@pytest.mark.parametrize("limit", [0, 100])
def test_a_full_disk_keeps_the_old_checkpoint(folder: RunFolder, limit: int) -> None:
    """When writing fails midway the error names the file and the old checkpoint loads."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(CheckpointError, match=r"last-00002.*cannot be written"):
            folder.save(make(2))
        with pytest.raises(CheckpointError, match=r"best\.safetensors cannot be written"):
            folder.save_weights(folder.best_file, make().weights)
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be written"):
            folder.save_metrics([{"epoch": 1, "padding": "x" * 200}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert load(folder).epoch == 1
    assert not list(folder.path.rglob("*.tmp"))


def test_a_failed_pointer_keeps_the_old_pair(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When last.json cannot be replaced, the one before still names its arrays."""
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if Path(target).name == "last.json":
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(CheckpointError, match="No space left on device"):
        folder.save(make(2))
    assert load(folder).epoch == 1


def test_damaged_arrays_are_noticed(folder: RunFolder) -> None:
    """One changed byte is found by the digest."""
    path = next(folder.checkpoint_file.parent.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="is damaged: its SHA-256 must be"):
        load(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"format": 1}', b"\xff\xfe", b"[" * 10**5]
)
def test_an_unreadable_record_is_named(folder: RunFolder, content: bytes) -> None:
    """A last.json that makes no sense is a CheckpointError with its path."""
    folder.checkpoint_file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.json"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file", ""),
        ("file", 5),
        ("file", "a\0b"),
        ("sha256", None),
        ("epoch", True),
        ("epoch", -1),
        ("epoch", 2),
        ("epoch", 10**400),
        ("step", "1"),
        ("seconds", None),
        ("losses", ["0x1p+5000"]),
        ("losses", 3),
        ("sums", {"loss": 0.5}),
        ("sums", []),
        ("history", [5]),
        ("history", [{"epoch": 2, "loss": 0.5}]),
        ("history", [{"epoch": 1, "loss": "0.5"}]),
        ("history", None),
        ("weights_sha256", "0" * 64),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(folder: RunFolder, name: str, value: Any) -> None:
    """Each entry of last.json has its kind, and the entries agree with each other."""
    record = json.loads(folder.checkpoint_file.read_text())
    record[name] = value
    folder.checkpoint_file.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="checkpoint"):
        load(folder)


def test_arrays_outside_the_folder_are_not_read(folder: RunFolder, tmp_path: Path) -> None:
    """The record names a file beside itself, and no path."""
    record = json.loads(folder.checkpoint_file.read_text())
    for name in (f"../{record['file']}", f"/{record['file']}", f"a\\{record['file']}"):
        folder.checkpoint_file.write_text(json.dumps({**record, "file": name}))
        with pytest.raises(CheckpointError, match="file must be the name of a file beside it"):
            load(folder)


def test_another_model_is_refused_with_all_names(folder: RunFolder) -> None:
    """Missing, extra and mis-shaped names are listed."""
    other = {"0.weight": (3, 4), "2.weight": (5,)}
    with pytest.raises(CheckpointError) as caught:
        load(folder, parameters=other)
    message = str(caught.value)
    assert "missing: 2.weight | " in message
    assert "not in the model: 0.bias | " in message
    assert "0.weight has (3, 2), the model needs (3, 4)" in message


def test_another_optimizer_is_refused(folder: RunFolder) -> None:
    """Vectors of another optimizer are listed."""
    with pytest.raises(CheckpointError, match=r"missing: slot:mean:0.bias, slot:mean:0.weight"):
        load(folder, slots=("mean",))


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    """No folder, an empty one, and a newer format say what is expected."""
    with pytest.raises(CheckpointError, match="is no folder"):
        RunFolder(tmp_path / "none").description()
    with pytest.raises(CheckpointError, match=r"has no run\.json"):
        RunFolder(tmp_path).description()
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(CheckpointError, match=r"must be of format 2.*it is 99"):
        RunFolder(tmp_path).description()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        RunFolder(tmp_path).description()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way of the folder is a CheckpointError with the path."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run").save(make())


def test_a_state_is_found_by_its_weights(tmp_path: Path) -> None:
    """Whatever file holds them; a file with other weights is passed over."""
    folder = RunFolder(tmp_path)
    states = {epoch: make(epoch, value=float(epoch)) for epoch in (1, 2, 3, 4)}
    folder.keep(states[1])
    folder.save(states[2])
    folder.save_weights(folder.best_file, states[3].weights)
    folder.save_weights(folder.weights_file, states[4].weights)
    for epoch, state in states.items():
        found = folder.find(epoch, storage.digest(state.weights))
        assert found is not None
        assert found.weights["0.bias"].tobytes() == state.weights["0.bias"].tobytes()
        assert bool(found.slots) == (epoch < 3)
        assert folder.find(epoch, storage.digest(make(value=9.0).weights)) is None


def test_kept_epochs_are_those_with_such_a_name(tmp_path: Path) -> None:
    """Files with other names are not taken for kept checkpoints."""
    folder = RunFolder(tmp_path)
    folder.keep(make(3))
    folder.keep(make(100_000))
    for name in ("epoch-4", "epoch-00x05", "epoch-\u0663\u0663\u0663\u0663\u0663", "epoch-000007"):
        folder.kept_file(0).with_name(f"{name}.safetensors").write_bytes(b"")
    assert folder.kept_epochs() == [3, 100_000]


def test_best_weights_are_those_of_the_file(folder: RunFolder) -> None:
    """Weights that are not those of which the file's record speaks are refused."""
    weights = make().weights
    folder.save_weights(folder.best_file, weights)
    assert storage.digest(folder.best_weights()) == storage.digest(weights)
    _, record = storage.read(folder.best_file)
    storage.write(folder.best_file, make(value=2.0).weights, record)
    with pytest.raises(CheckpointError, match=r"best\.safetensors were altered"):
        folder.best_weights()


def test_json_is_canonical() -> None:
    """Sorted keys, one form, and no number that is not finite."""
    assert canonical_json({"b": 1, "a": "ü"}) == '{\n  "a": "ü",\n  "b": 1\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    """A reader sees the old or the new content; the temporary name is gone."""
    path = tmp_path / "a" / "file"
    path.parent.mkdir()
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file"]  # noqa: PTH208


KILLED = """
import sys, numpy as np
sys.path.insert(0, sys.argv[2])
import test_checkpoint as t
from isoconv.train.checkpoint import RunFolder
folder = RunFolder(sys.argv[1])
folder.save(t.make(size=200_000))
print("ready", flush=True)
for epoch in range(2, 10_000):
    folder.save(t.make(epoch, value=float(epoch), size=200_000))
"""


@pytest.mark.slow
def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """After kill -9 at any moment the checkpoint loads, and its numbers belong together."""
    for attempt in range(3):
        run = tmp_path / str(attempt)
        arguments = [sys.executable, "-c", KILLED, str(run), str(Path(__file__).parent)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.05 + 0.037 * attempt)
            process.kill()
        found = load(RunFolder(run), {"0.weight": (200_000,)})
        wanted = 1.0 if found.epoch == 1 else float(found.epoch)
        assert (found.parameters["0.weight"] == wanted).all()
