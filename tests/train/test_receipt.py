"""Receipts: the same from every machine, whole at every moment, true to the last bit."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.small import folder_of, make, network, noise

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn import Sequential, storage
from isoconv.nn.plain import canonical
from isoconv.run.training import TrainingEngine
from isoconv.train import (
    Callback,
    Interrupted,
    Receipt,
    Run,
    RunFolder,
    files,
    folder,
    record,
    session,
)
from isoconv.train.learning_rate import Constant
from isoconv.train.optim import SGD
from isoconv.train.receipt import receipt_digest
from isoconv.train.record import optimizer_digest, tensors_of

EPOCHS = 3


def fit(
    out: Path | None = None, epochs: int = EPOCHS, model: Sequential | None = None, **settings: Any
) -> Run:
    """A run on the small images."""
    return make(model, **settings).fit(noise(), noise(10, 1), epochs=epochs, out=out)


def compared(receipt: dict[str, Any]) -> dict[str, Any]:
    """A receipt without what a machine adds."""
    return {name: value for name, value in receipt.items() if name != "machine"}


def dying(*_: object) -> None:
    """What a power cut does."""
    raise RuntimeError("power cut")


class Dies(Callback):
    """A power cut after the first epoch."""

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """Let it come."""
        dying(run, row)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run folder that nothing interrupted."""
    out = tmp_path_factory.mktemp("receipts") / "run"
    run = fit(out, threads=1)
    assert json.loads((out / "receipt.json").read_text()) == run.receipt
    return run


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_nothing(whole: Run, threads: int) -> None:
    """The receipt is the same for any number of threads, with or without a folder."""
    assert compared(fit(threads=threads).receipt) == compared(whole.receipt)
    assert whole.receipt["machine"]["threads"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("target", ["avx2", "sse", "generic"])
def test_targets_change_nothing(whole: Run, target: str) -> None:
    """The receipt is the same for every instruction set that this machine has."""
    try:
        run = fit(target=target)
    except ArgumentError as error:
        pytest.skip(str(error))
    assert compared(run.receipt) == compared(whole.receipt)
    assert run.receipt["machine"]["target"] == target


@pytest.mark.parametrize("calls", [1, 3, 4, 7, 12])
def test_an_interrupt_changes_nothing(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Interrupted in any step and resumed, a run has the receipt of one that ran through."""
    real, done = TrainingEngine.steps, []

    def steps(self: TrainingEngine, first: int, hyper: Array) -> Array:
        done.append(first)
        if len(done) == calls:
            signal.raise_signal(signal.SIGINT)
        return real(self, first, hyper)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(session, "CALL_SECONDS", 0.0)
        patch.setattr(TrainingEngine, "steps", steps)
        with pytest.raises(Interrupted):
            fit(out)
    before = json.loads((out / "receipt.json").read_text())
    assert before["final"] is None
    assert before["epochs"] == whole.receipt["epochs"][: len(before["epochs"])]
    make(threads=1).resume(out, noise(), noise(10, 1))
    after = json.loads((out / "receipt.json").read_text())
    assert compared(after) == compared(whole.receipt)
    steps_file = folder_of(whole) / "steps.jsonl"
    assert (out / "steps.jsonl").read_bytes() == steps_file.read_bytes()


@pytest.mark.parametrize("name", ["last.json", "receipt.json", "steps.jsonl", "best.safetensors"])
def test_a_kill_between_two_files_changes_nothing(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Killed before one of the second epoch's files is replaced, a run goes on to the same end."""
    written = []

    def dies_before(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any) -> None:
            path = next(item for item in arguments if isinstance(item, Path))
            written.append(path.name)
            # The start writes all but the best weights, which the first epoch writes.
            if written.count(name) == (1 if name == "best.safetensors" else 3):
                raise RuntimeError("power cut")
            real(*arguments)

        return write

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_bytes", dies_before(files.write_bytes))
        patch.setattr(RunFolder, "save_weights", dies_before(RunFolder.save_weights))
        with pytest.raises(RuntimeError, match="power cut"):
            fit(out)
    make().resume(out, noise(), noise(10, 1))
    after = json.loads((out / "receipt.json").read_text())
    assert compared(after) == compared(whole.receipt)


def test_a_kill_before_the_first_receipt_changes_nothing(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that died when its folder had no receipt yet is begun anew in the same folder."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(record.Recorder, "begin", dying)
        # A killed process tidies nothing up.
        patch.setattr(RunFolder, "discard", lambda _: None)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(out, keep_checkpoints=True)
    assert (out / "samples.csv").exists()
    assert not (out / "receipt.json").exists()
    with pytest.raises(CheckpointError, match=r"has no run\.json"):
        make().resume(out, noise(), noise(10, 1))
    run = fit(out)
    assert compared(run.receipt) == compared(whole.receipt)
    assert RunFolder(out).kept_epochs() == []


def test_the_receipt_tells_all(whole: Run) -> None:
    """Versions, model, settings, data, digests and metrics stand where the page says."""
    receipt = whole.receipt
    assert receipt["arithmetic"] == ARITHMETIC_VERSION
    assert receipt["settings"]["seed"] == 0
    assert receipt["settings"]["optimizer"]["type"] == "AdamW"
    assert (receipt["settings"]["epochs"], receipt["settings"]["early_stopping"]) == (3, None)
    assert receipt["data"]["train"] == {"samples": 28, "sha256": noise().digest()}
    assert receipt["machine"]["data"] == {"train": "noise 0", "validation": "noise 1"}
    assert receipt["model"]["layers"][6] == ["5", "Linear(features=2, bias=True)"]
    assert receipt["model"]["output_shape"] == [2]
    assert receipt["start"] == "seed"
    assert receipt["split"] == {}
    samples = (folder_of(whole) / "samples.csv").read_bytes()
    assert receipt["samples_sha256"] == hashlib.sha256(samples).hexdigest()
    about = receipt["record"]
    assert about["architecture"]["steps"][1]["type"] == "BatchNorm"
    assert (about["input_shape"], about["class_names"]) == ([6, 6, 1], ["0", "1"])
    assert about["trained_on"]["dtype"] == "uint8"
    assert about["trained_on"]["range"] == [0.0, 255.0]
    assert float.fromhex(about["normalisation"]["scale"][0]) > 0
    assert about["finish"] == "softmax"
    final = receipt["final"]
    assert (final["epoch"], final["epochs"], final["stopped"], final["test"]) == (3, 3, "", None)
    assert final["record_sha256"] == whole.model.describe()["digest"]
    first, *_, last = receipt["epochs"]
    assert first["weights_sha256"] == network().build((6, 6, 1)).digest()
    assert first["metrics"] == {}
    assert last["weights_sha256"] == receipt["final"]["weights_sha256"] == whole.digest
    row = whole.history[-1]
    assert set(last["metrics"]) == {
        "loss", "top1", "val_loss", "val_top1", "learning_rate"
    }  # fmt: skip
    for name, value in last["metrics"].items():
        assert float.fromhex(value) == row[name] == last["readable"][name]


def test_the_digest_is_what_the_page_says(whole: Run) -> None:
    """SHA-256 over compact JSON with sorted keys, without machine and readable numbers."""
    receipt = json.loads((folder_of(whole) / "receipt.json").read_text())
    digest = receipt.pop("digest")
    del receipt["machine"]
    for entry in receipt["epochs"]:
        del entry["readable"]
    text = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == digest == receipt_digest(whole.receipt)


def test_steps_tell_losses_and_tensors(whole: Run) -> None:
    """Each line of steps.jsonl has its digest in the receipt, its losses add up to the epoch's."""
    lines = (folder_of(whole) / "steps.jsonl").read_bytes().splitlines()
    last = RunFolder(folder_of(whole)).load_last()
    for line, entry in zip(lines, whole.receipt["epochs"], strict=True):
        assert hashlib.sha256(line).hexdigest() == entry["details_sha256"]
        details = json.loads(line)
        assert canonical(details) == line
        assert len(details["losses"]) == entry["steps"] == (4 if entry["epoch"] else 0)
        total = 0.0
        for loss in details["losses"]:
            assert float(np.float32(float.fromhex(loss))) == float.fromhex(loss)
            total += float.fromhex(loss)
        if entry["epoch"]:
            assert (total / 28).hex() == entry["metrics"]["loss"]
    names = [name for name, _ in details["tensors"]]
    assert sorted(names) == sorted(tensors_of(last))
    assert names[:3] == ["0.weight", "0.bias", "1.weight"]
    assert "mean of 0.weight" in names
    for name, digest in details["tensors"]:
        assert storage.digest({name: tensors_of(last)[name]}) == digest
    assert optimizer_digest(last) == entry["optimizer_sha256"]


def test_another_process_writes_the_same(whole: Run, tmp_path: Path) -> None:
    """Another hash seed, time zone and folder give the same receipt."""
    program = (
        "import sys; from tests.train import test_receipt as t; from pathlib import Path; "
        "print(t.fit(Path(sys.argv[1])).receipt['digest'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "other")],
        env={
            **os.environ,
            "PYTHONHASHSEED": "7",
            "TZ": "Asia/Tokyo",
            "PYTHONPATH": os.pathsep.join([".", *sys.path]),
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == whole.receipt["digest"]


def test_weights_of_ones_own_are_kept(tmp_path: Path) -> None:
    """A run that begins with weights that no seed gives keeps them, and says so."""
    model = network().build((6, 6, 1), seed=5)
    run = fit(tmp_path / "own", model=model, epochs=1)
    assert run.receipt["start"] == "given"
    assert RunFolder(folder_of(run)).kept_epochs() == [0]
    built = fit(tmp_path / "built", model=network().build((6, 6, 1), seed=0), epochs=1)
    assert built.receipt["start"] == "seed"
    assert RunFolder(folder_of(built)).kept_epochs() == []


def test_checkpoints_are_kept_through_a_resume(tmp_path: Path) -> None:
    """Told to keep them, a run keeps the state after each epoch, also when it is resumed."""
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(out, keep_checkpoints=True, callbacks=[Dies()])
    run = make().resume(out, noise(), noise(10, 1))
    folder = RunFolder(out)
    assert folder.kept_epochs() == [0, 1, 2, 3]
    assert storage.digest(folder.load_kept(3).weights) == run.digest
    for entry in run.receipt["epochs"]:
        kept = folder.load_kept(entry["epoch"])
        assert storage.digest(kept.weights) == entry["weights_sha256"]
        assert optimizer_digest(kept) == entry["optimizer_sha256"]


def test_resume_goes_on_with_its_own_receipt_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edited receipt, or one of other arithmetic, is told and nothing is overwritten."""
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(out, callbacks=[Dies()])
    path = out / "receipt.json"
    before = path.read_bytes()

    def refused(message: str) -> None:
        held = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
        with pytest.raises(CheckpointError, match=message):
            make().resume(out, noise(), noise(10, 1))
        assert held == {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}

    path.write_bytes(before[: len(before) // 2])
    refused(r"receipt .*receipt\.json cannot be read")
    path.write_bytes(before.replace(b'"samples": 28', b'"samples": 29'))
    refused(r"was edited.*data\.train\.samples")
    path.write_bytes(before)
    monkeypatch.setattr("isoconv.train.receipt.ARITHMETIC_VERSION", ARITHMETIC_VERSION + 1)
    refused(f"arithmetic version {ARITHMETIC_VERSION + 1}, which this isoconv computes; it is")
    monkeypatch.undo()
    steps = (out / "steps.jsonl").read_bytes()
    (out / "steps.jsonl").write_bytes(steps[:-9])
    refused(r"steps\.jsonl: the last line has no end; .*line of epoch 1 is not the one that was")
    (out / "steps.jsonl").write_bytes(steps)
    path.unlink()
    run = make().resume(out, noise(), noise(10, 1))
    assert run.receipt == {}
    assert not path.exists()


def test_a_receipt_is_not_overwritten(tmp_path: Path) -> None:
    """A new run does not take the place of a receipt that stands alone."""
    (tmp_path / "receipt.json").write_text("{}")
    with pytest.raises(ArgumentError, match=r"holds receipt\.json of another run"):
        fit(tmp_path)
    assert (tmp_path / "receipt.json").read_text() == "{}"


def test_reading_names_what_is_wrong(tmp_path: Path) -> None:
    """No receipt, half a receipt, another format: each is told."""
    with pytest.raises(CheckpointError, match="has no receipt"):
        Receipt.read(tmp_path)
    path = tmp_path / "receipt.json"
    content = {"format": 2, "epochs": []}
    for text, message in (
        ("", "cannot be read"),
        ("[]", "must hold a JSON object"),
        ('{"format": 1}', "must be of format 2"),
        ('{"format": 2, "epochs": [NaN]}', "numbers must be finite; got NaN"),
        ('{"format": 2, "epochs": [1e999]}', "numbers must be finite; got 1e999"),
        ('{"format": 2, "format": 2}', "the key 'format' stands twice"),
        ('{"format": 2, "epochs": ' + "[" * 10**5, "nested deeper than 250 levels"),
        ('{"format": 2, "epochs": ' + "[" * 300 + "]" * 300 + "}", "nested deeper than 250"),
        ('{"format": 2, "epochs": 1' + "0" * 400 + "}", "at most 20 digits"),
        ('{"format": 2, "epochs": 5}', "cannot be read"),
        ('{"format": 2, "epochs": [[0], "a"]}', "was edited"),
        (json.dumps({**content, "digest": "0"}), "was edited"),
        (
            json.dumps({**content, "digest": receipt_digest(content)}),
            r"isoconv must be there; got nothing \| arithmetic must be there",
        ),
    ):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=message):
            Receipt.read(tmp_path)


def test_the_history_of_a_checkpoint_is_that_of_the_receipt(tmp_path: Path) -> None:
    """A run whose last.json was edited is not gone on with: early stopping would go by it."""
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(out, callbacks=[Dies()])
    path = out / "checkpoints" / "last.json"
    content = json.loads(path.read_text())
    for change, message in (
        ({"val_loss": 0.1}, "other metrics of epoch 1"),
        ({"val_top5": 0.5}, "must have the columns"),
    ):
        spoiled = {**content, "history": [{**content["history"][0], **change}]}
        path.write_text(json.dumps(spoiled))
        with pytest.raises(CheckpointError, match=message):
            make().resume(out, noise(), noise(10, 1))
    path.write_text(json.dumps({**content, "sums": {"loss": (1.0).hex()}}))
    with pytest.raises(CheckpointError, match="must have sums of nothing; it has them of loss"):
        make().resume(out, noise(), noise(10, 1))


def test_an_optimizer_without_a_memory() -> None:
    """Plain gradient descent has a digest of no vectors, and learns."""
    run = fit(optimizer=SGD(0.1), schedule=Constant(), clip_norm=None, augmentation=None, epochs=1)
    first, last = run.receipt["epochs"]
    assert first["optimizer_sha256"] == last["optimizer_sha256"] == storage.digest({})
    assert first["weights_sha256"] != last["weights_sha256"]
