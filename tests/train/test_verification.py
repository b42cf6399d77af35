"""Verifying a run: the truth is called identical, everything else is found and named."""

from __future__ import annotations

import copy
import json
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.small import difference, make, network, noise

from isoconv import nn
from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.data import Dataset, Splits
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn import models, storage
from isoconv.nn.record import with_weights
from isoconv.run import tree
from isoconv.run.training import TrainingEngine
from isoconv.train import (
    Callback,
    EarlyStopping,
    Interrupted,
    Receipt,
    Run,
    RunFolder,
    Trainer,
    Verification,
    diff,
    session,
    verify,
)
from isoconv.train.context import TrainingContext
from isoconv.train.learning_rate import Constant, Cosine
from isoconv.train.optim import SGD
from isoconv.train.receipt import receipt_digest

EPOCHS = 4


TRAIN, TEST = noise(), noise(10, 1)


def fit(
    out: Path,
    *,
    epochs: int = EPOCHS,
    model: nn.Module | None = None,
    early_stopping: EarlyStopping | None = None,
    **settings: Any,
) -> Run:
    """A run on the small images that keeps its checkpoints."""
    settings = {
        "optimizer": SGD(0.1, 0.9),
        "schedule": Cosine(),
        "clip_norm": None,
        "keep_checkpoints": True,
        **settings,
    }
    trainer = make(model, **settings)
    return trainer.fit(TRAIN, TEST, epochs=epochs, out=out, early_stopping=early_stopping)


def check(folder: Path, **options: Any) -> Verification:
    """Verify with the right model and data."""
    return verify(folder, network(), TRAIN, TEST, **options)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("verify") / "run"
    fit(out)
    return out


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(original, tmp_path / "run")


def content_of(folder: Path) -> dict[Path, bytes]:
    """Every file of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(folder: Path, change: Callable[[Any], object], forge: bool = True) -> None:
    """Change a receipt, with a digest that fits if it is forged."""
    path = folder / "receipt.json"
    receipt = json.loads(path.read_text())
    change(receipt)
    if forge:
        receipt["digest"] = receipt_digest(receipt)
    path.write_text(json.dumps(receipt))


# Identical


@pytest.mark.parametrize("threads", [1, 3])
def test_a_true_receipt_is_identical(original: Path, threads: int) -> None:
    """Any number of threads confirms it, and nothing in the folder changes."""
    before = content_of(original)
    found = check(original, threads=threads)
    assert found.identical
    digest = json.loads((original / "run.json").read_text())["result"]["weights_sha256"]
    assert str(found).splitlines() == [
        f"identical: {original}, epochs 1 to 4 of 4",
        f"weights sha256:{digest}",
        "note: not covered: receipt.json (isoconv, machine, model.name), run.json (facts, "
        "keep_checkpoints, versions), metrics.jsonl (seconds, images_per_second), "
        "checkpoints/last.json (seconds, images_per_second)",
    ]
    assert content_of(original) == before


@pytest.mark.parametrize("epochs", [(1, 2), (2, 2), (3, 4)])
def test_a_middle_stretch_is_proved_from_a_checkpoint(
    original: Path, epochs: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the epochs that were asked for are run."""
    begun = []
    real = TrainingEngine.begin_epoch

    def begin(self: TrainingEngine, epoch: int, *rest: Any) -> None:
        begun.append(epoch + 1)
        real(self, epoch, *rest)

    monkeypatch.setattr(TrainingEngine, "begin_epoch", begin)
    found = check(original, epochs=epochs)
    assert not found.different
    assert not found.identical
    lines = str(found).splitlines()
    span = f"epoch {epochs[0]}" if epochs[0] == epochs[1] else f"epochs {epochs[0]} to {epochs[1]}"
    assert lines[:2] == [
        f"no difference found: {original}, not all of which was checked",
        f"trained again: {span} of 4",
    ]
    assert lines[2].startswith("compared with the receipt: best.safetensors, checkpoints/epoch-0")
    skipped = 4 - len(range(epochs[0], epochs[1] + 1))
    were = "epoch was" if skipped == 1 else "epochs were"
    assert lines[-1] == f"note: {skipped} {were} not trained again"
    assert begun == list(range(epochs[0], epochs[1] + 1))


def test_the_receipt_alone_is_enough(original: Path, tmp_path: Path) -> None:
    """With receipt.json and the data anyone can verify; what is not there is told."""
    shutil.copy(original / "receipt.json", tmp_path)
    found = check(tmp_path)
    assert not found.different
    assert not found.identical
    assert found.compared == ("receipt.json",)
    missing = ("steps.jsonl", "samples.csv", "run.json", "metrics.jsonl", "weights.safetensors",
               "best.safetensors", "checkpoints/last.json")  # fmt: skip
    *notes, free = found.notes
    for note, name in zip(notes, missing, strict=True):
        assert name in note
    assert free == "not covered: receipt.json (isoconv, machine, model.name)"


def test_the_given_model_stays_as_it_is(original: Path) -> None:
    """A model that holds weights keeps them."""
    model = network().build((6, 6, 1), seed=9)
    before = model.digest()
    assert verify(original, model, TRAIN, TEST).identical
    assert model.digest() == before


def test_a_model_by_its_name(tmp_path: Path) -> None:
    """A ready model is made from the receipt."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1)).astype(np.uint8)
    data = Dataset.from_arrays(pixels, [0, 1, 2] * 2)
    model = models.create("lenet5", 3, (12, 12, 1))
    trainer = Trainer(model, batch_size=4, progress=False)
    trainer.fit(data, epochs=1, out=tmp_path / "run", facts={"model": "lenet5"})
    assert verify(tmp_path / "run", None, data).identical


def test_an_unfinished_run_is_verified_as_far_as_it_came(tmp_path: Path) -> None:
    """A run that was killed has a receipt of its whole epochs."""

    class Dies(Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            if row["epoch"] == 2:
                raise RuntimeError(f"power cut in {run}")

    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(out, callbacks=[Dies()])
    found = check(out)
    assert not found.different
    assert not found.identical
    assert found.notes[-1] == "the run has not ended: 2 of 4 epochs so far"
    # Which epoch's weights these are, nobody knows before the run is over.
    assert "best.safetensors" in found.notes[0]


def test_a_run_that_was_interrupted_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its whole epochs are verified; of the steps behind them nothing is known, which is told."""
    real, done = TrainingEngine.steps, []

    def steps(self: TrainingEngine, first: int, hyper: Array) -> Array:
        done.append(first)
        if len(done) == 6:
            signal.raise_signal(signal.SIGINT)
        return real(self, first, hyper)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(session, "CALL_SECONDS", 0.0)
        patch.setattr(TrainingEngine, "steps", steps)
        with pytest.raises(Interrupted):
            fit(out)
    found = check(out)
    assert not found.different
    assert not found.identical
    assert found.notes[-1] == "the run has not ended: 1 of 4 epochs so far"
    assert "receipt.json (isoconv, machine, model.name, within)" in found.notes[0]
    assert "checkpoints/last.json (seconds, images_per_second), best.safetensors" in found.notes[0]
    assert "checkpoints/last-00001-0000002.safetensors" in found.compared
    assert (
        fit(tmp_path / "whole").digest
        == make(optimizer=SGD(0.1, 0.9), schedule=Cosine(), clip_norm=None)
        .resume(out, TRAIN, TEST)
        .digest
    )


def test_a_run_that_stopped_early_is_identical(tmp_path: Path) -> None:
    """Early stopping and a callback's stop are no difference."""
    stopping = EarlyStopping(patience=1, metric="val_top1")
    fit(tmp_path / "a", optimizer=SGD(1e-9), early_stopping=stopping, epochs=9)
    found = check(tmp_path / "a")
    assert found.identical
    assert found.notes[-1] == "the run was ended after 2 of 9 epochs"
    assert "settings.early_stopping, settings.epochs)" in found.notes[0]

    def longer(receipt: dict[str, Any]) -> None:
        receipt["settings"]["early_stopping"]["patience"] = 0

    edit(tmp_path / "a", longer)
    with pytest.raises(CheckpointError, match="patience"):
        check(tmp_path / "a")


@pytest.mark.parametrize("forged", [5, 9, 10**6])
def test_another_patience_is_not_what_ended_the_run(tmp_path: Path, forged: int) -> None:
    """A longer one would not have ended it: what the receipt says of its end tells of another."""
    stopping = EarlyStopping(patience=1, metric="val_top1")
    fit(tmp_path / "a", optimizer=SGD(1e-9), early_stopping=stopping, epochs=9)
    out = tmp_path / "a"

    def longer(receipt: dict[str, Any]) -> None:
        receipt["settings"]["early_stopping"]["patience"] = forged

    edit(out, longer)
    (out / "run.json").unlink()
    found = check(out)
    assert found.different
    assert "early stopping does not end the run after epoch 2, the receipt says" in str(found)

    def by_a_callback(receipt: dict[str, Any]) -> None:
        receipt["final"]["stopped"] = "enough"

    # Whose end it was, nothing tells.
    edit(out, by_a_callback)
    found = check(out)
    assert not found.different
    assert not found.identical
    assert "final.stopped" in found.notes[-2]

    def none_at_all(receipt: dict[str, Any]) -> None:
        receipt["settings"]["early_stopping"] = None
        receipt["final"]["stopped"] = stopping.reason

    edit(out, none_at_all)
    assert not check(out).identical


def test_weights_of_ones_own_are_verified(tmp_path: Path) -> None:
    """From the kept first weights, or from a model that holds them; without both it says so."""
    out = tmp_path / "run"
    fit(out, model=network().build((6, 6, 1), seed=5), keep_checkpoints=False)
    assert check(out).identical
    RunFolder(out).kept_file(0).unlink()
    found = verify(out, network().build((6, 6, 1), seed=5), TRAIN, TEST)
    assert not found.different
    assert "checkpoints/epoch-00000.safetensors is not there" in found.notes
    with pytest.raises(CheckpointError, match="began with weights of its own"):
        check(out)


# Changed arithmetic


def test_a_changed_learning_rate_is_named_with_step_and_element(
    original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third epoch on the rate is a hundredth too great."""
    real = TrainingContext.hyper

    def hyper(self: TrainingContext, first: int, count: int) -> Array:
        rows = real(self, first, count)
        return rows * np.float32(1.01) if first >= 2 * self.per_epoch else rows

    monkeypatch.setattr(TrainingContext, "hyper", hyper)
    found = check(original)
    place = difference(found)
    assert found.different
    assert place.where == "epoch 3, step 2"
    assert place.losses[0] != place.losses[1]
    assert (place.tensor, place.metric) == ("0.weight", "loss")
    assert place.digests[0] != place.digests[1]
    kept = RunFolder(original).load_kept(3).parameters["0.weight"]
    assert float.fromhex(place.values[0]) == float(kept[place.element])
    assert float.fromhex(place.values[1]) != float(kept[place.element])
    assert 0 < place.count[0] <= place.count[1] == kept.size
    assert f"step 2: loss receipt {place.losses[0]}" in str(found)
    assert not check(original, epochs=(1, 2)).different


def test_one_unit_in_the_last_place_is_found(
    original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate that is rounded another way, in one step alone."""
    real = TrainingContext.hyper

    def hyper(self: TrainingContext, first: int, count: int) -> Array:
        rows = real(self, first, count)
        place = self.per_epoch + 1 - first
        if 0 <= place < count:
            rows[place] = np.nextafter(rows[place], np.float32(1))
        return rows

    monkeypatch.setattr(TrainingContext, "hyper", hyper)
    place = difference(check(original))
    assert place.epoch == 2
    assert place.tensor is not None
    assert place.values[0] != place.values[1]


def test_a_changed_order_of_shards_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums over shards taken from left to right and not by the tree."""
    out = tmp_path / "run"
    fit(out, shard_size=2, threads=1, epochs=1)

    monkeypatch.setattr(tree, "_are_halves", lambda left, *_: left.place == 0)
    place = difference(check(out, threads=1))
    assert place.epoch == 1
    assert place.step is not None
    assert place.tensor is not None
    assert check(out, threads=2).difference is not None


def test_changed_first_weights_are_found(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another rule for first weights shows before the first step."""
    from isoconv.nn import initial

    real: Callable[..., Array] = vars(initial)["initial_array"]

    def other(spec: nn.ParameterSpec, seed: int, stream: int) -> Array:
        return real(spec, seed, stream + 1)

    monkeypatch.setattr(initial, "initial_array", other)
    found = check(original)
    assert difference(found).where == "the state before the first step"
    assert difference(found).tensor == "0.weight"
    assert difference(found).values is not None


def test_a_changed_measurement_is_found(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights agree, a metric does not: the metric is named with both values."""
    from isoconv.train import metrics

    real = metrics._mean
    monkeypatch.setattr(metrics, "_mean", lambda values: np.nextafter(real(values), 2))
    place = difference(check(original))
    assert (place.where, place.metric, place.tensor) == ("epoch 1", "val_loss", None)
    assert place.note == "the losses of all steps agree"


def test_changed_normalisation_is_found(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other constants of normalisation are named."""
    from isoconv.train import prepare

    real: Callable[..., Any] = vars(prepare)["normalisation"]
    monkeypatch.setattr(prepare, "normalisation", lambda data: [2 * x for x in real(data)])
    note = difference(check(original)).note
    assert note.startswith("record.normalisation.offset[0]: receipt ")


def test_a_loss_that_is_not_finite_is_a_difference(
    original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was finite, the one here is not."""
    monkeypatch.setattr(TrainingContext, "learning_rate", lambda *_: 1e38)
    place = difference(check(original))
    assert place.where == "epoch 1"
    assert "must stay finite" in place.note


# Spoiled files


def spoil(path: Path, name: str | None = None) -> None:
    """Change the last element of one array of a file by one bit."""
    arrays, record = storage.read(path)
    name = next(iter(arrays)) if name is None else name
    spoiled = arrays[name].copy()
    spoiled.reshape(-1).view(np.uint32)[-1] ^= 1
    storage.write(path, {**arrays, name: spoiled}, record)


@pytest.mark.parametrize("name", ["weights", "best"])
@pytest.mark.parametrize("tensor", ["0.weight", "1.running_var", "5.bias"])
def test_a_tampered_weight_file_is_named(
    run: Path, name: str, tensor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, tensor and element are found without any training."""
    spoil(run / f"{name}.safetensors", tensor)
    monkeypatch.setattr(TrainingEngine, "steps", None)
    found = check(run)
    place = difference(found)
    assert place.where.startswith(f"{name}.safetensors (epoch ")
    assert (place.tensor, place.count[0]) == (tensor, 1)
    assert place.element == tuple(side - 1 for side in shape_of(run, tensor))
    assert place.values[0] != place.values[1]
    assert f"tensor {tensor}: sha256 receipt " in str(found)


def shape_of(run: Path, tensor: str) -> tuple[int, ...]:
    """Shape of a tensor of a run."""
    return storage.read(run / "weights.safetensors")[0][tensor].shape


@pytest.mark.parametrize("tensor", ["parameter:5.weight", "slot:velocity:0.bias"])
def test_a_tampered_checkpoint_is_named(run: Path, tensor: str) -> None:
    """Parameters and the optimizer's vectors of kept checkpoints are compared."""
    spoil(RunFolder(run).kept_file(2), tensor)
    place = difference(check(run))
    assert place.where == "checkpoints/epoch-00002.safetensors (epoch 2)"
    assert place.tensor == {"p": "5.weight", "s": "velocity of 0.bias"}[tensor[0]]


def test_a_tampered_last_checkpoint_is_told(run: Path) -> None:
    """Its file's own digest does not fit."""
    spoil(next((run / "checkpoints").glob("last-*.safetensors")))
    with pytest.raises(CheckpointError, match="is damaged: its SHA-256"):
        check(run)


def test_a_weight_file_of_another_kind_is_told(run: Path) -> None:
    """A file that is no safetensors file is named."""
    (run / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        check(run)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("settings", "seed"), 1),
        (("settings", "optimizer", "learning_rate"), 0.2),
        (("settings", "batch_size"), 4),
        (("settings", "shard_size"), 8),
        (("settings", "schedule", "final"), 0.5),
        (("settings", "augmentation", "shift"), 2),
        (("settings", "loss", "label_smoothing"), 0.1),
        (("settings", "clip_norm"), 0.5),
        (("settings", "normalise"), False),
        (("settings", "epochs"), 5),
        (("data", "train", "sha256"), "0" * 64),
        (("data", "validation", "samples"), 11),
        (("model", "layers", 1, 1), "Conv2d(filters=5)"),
        (("model", "parameters", "0.weight"), [3, 3, 1, 5]),
        (("record", "normalisation", "scale", 0), "0x1p-1"),
        (("record", "class_names", 0), "cat"),
        (("record", "trained_on", "range", 1), 254.0),
        (("record", "architecture", "steps", 4, "rate"), 0.2),
        (("samples_sha256",), "0" * 64),
        (("split",), {"test": 0.1}),
        (("epochs", 0, "weights_sha256"), "1" * 64),
        (("epochs", 2, "weights_sha256"), "1" * 64),
        (("epochs", 2, "optimizer_sha256"), "1" * 64),
        (("epochs", 2, "details_sha256"), "1" * 64),
        (("epochs", 2, "metrics", "loss"), "0x1p-1"),
        (("epochs", 2, "readable", "val_top1"), 0.99),
        (("epochs", 4, "steps"), 5),
        (("final", "weights_sha256"), "1" * 64),
        (("final",), None),
        (("start",), "given"),
        (("arithmetic",), ARITHMETIC_VERSION + 1),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_tampered_receipt_is_found(run: Path, place: tuple[int | str, ...], value: Any) -> None:
    """Edited by hand it is told at once; with a digest that fits, what it says is found untrue."""

    def change(receipt: dict[str, Any]) -> None:
        held: Any = receipt
        for key in place[:-1]:
            held = held[key]
        assert held[place[-1]] != value
        held[place[-1]] = value

    before = (run / "receipt.json").read_bytes()
    edit(run, change, forge=False)
    with pytest.raises(CheckpointError, match="was edited"):
        check(run)
    (run / "receipt.json").write_bytes(before)
    edit(run, change)
    held = content_of(run)
    try:
        found = check(run)
    except CheckpointError:
        pass
    else:
        assert found.different
    assert content_of(run) == held


def test_an_edit_is_located_by_the_other_files(run: Path) -> None:
    """Where the receipt and run.json differ is told."""

    def change(receipt: dict[str, Any]) -> None:
        receipt["settings"]["seed"] = 7

    edit(run, change, forge=False)
    with pytest.raises(CheckpointError, match=r"not what the run folder says: settings\.seed$"):
        check(run)


def test_forged_metrics_are_found_by_running(run: Path) -> None:
    """A better accuracy with a digest that fits is found in the epoch that claims it."""

    def change(receipt: dict[str, Any]) -> None:
        entry = receipt["epochs"][3]
        entry["metrics"]["val_top1"], entry["readable"]["val_top1"] = (1.0).hex(), 1.0
        receipt["final"]["best_epoch"] = best

    best = json.loads((run / "receipt.json").read_text())["final"]["best_epoch"]
    edit(run, change)
    place = difference(check(run))
    assert place.where == "metrics.jsonl"
    assert place.note.startswith("rows[2].val_top1: the receipt has 1.0, the file 0.")
    (run / "metrics.jsonl").unlink()
    assert difference(check(run)).where == "checkpoints/last.json"
    shutil.rmtree(run / "checkpoints")
    place = difference(check(run))
    assert (place.epoch, place.metric) == (3, "val_top1")
    assert place.metrics[0] == (1.0).hex()


def test_spoiled_steps_are_told(run: Path) -> None:
    """A line of steps.jsonl that was changed, or that is missing, is a difference and is named."""
    path = run / "steps.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)

    def note(content: bytes) -> str:
        path.write_bytes(content)
        assert difference(check(run)).where == "steps.jsonl"
        return str(difference(check(run)).note)

    spoiled = [*lines[:2], lines[2].replace(b"0x1", b"0x2", 1), *lines[3:]]
    assert note(b"".join(spoiled)) == "the line of epoch 2 is not the one that was written"
    assert note(b"".join(lines[:-1])) == "the line of epoch 4 is missing"
    assert note(b"".join([*lines, lines[-1]])) == "there are lines behind that of the last epoch"
    assert note(b"".join(lines)[:-1]) == "the last line has no end"
    path.write_bytes(b"".join(lines))
    assert check(run).identical


def test_without_steps_the_epoch_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt alone names the epoch and the metric."""
    (run / "steps.jsonl").unlink()
    monkeypatch.setattr(TrainingContext, "learning_rate", lambda *_: 0.01)
    place = difference(check(run))
    assert (place.epoch, place.step, place.tensor) == (1, None, None)
    assert "without steps.jsonl no step can be named" in place.note


# What makes it impossible


def test_a_truncated_receipt_is_told(run: Path) -> None:
    """Half a receipt, or none."""
    path = run / "receipt.json"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"receipt\.json cannot be read"):
        check(run)
    path.unlink()
    with pytest.raises(CheckpointError, match="has no receipt"):
        check(run)


def test_another_arithmetic_version_is_told(run: Path) -> None:
    """Both versions are named."""
    edit(run, lambda receipt: receipt.update(arithmetic=9))
    with pytest.raises(CheckpointError, match=r"version 1, which this isoconv computes; it is 9"):
        check(run)


def test_a_missing_checkpoint_is_told(run: Path) -> None:
    """The epoch whose state is missing is named."""
    RunFolder(run).kept_file(2).unlink()
    assert not check(run, epochs=(1, 2)).different
    with pytest.raises(CheckpointError, match=r"after epoch 2 \(epoch-00002\.safetensors\)"):
        check(run, epochs=(3, 4))
    for epochs in ((0, 1), (2, 1), (1, 5)):
        with pytest.raises(ArgumentError, match=r"epochs must lie in 1 … 4"):
            check(run, epochs=epochs)


def test_changed_data_are_named(original: Path) -> None:
    """Training and validation data are told apart, by their digests."""
    other = noise(28, 2)
    with pytest.raises(
        CheckpointError, match=rf"training data: .*{TRAIN.digest()}.*28 of"
    ) as caught:
        verify(original, network(), other, TEST)
    assert other.digest() in str(caught.value)
    with pytest.raises(CheckpointError, match="validation data: the run has 10 samples"):
        verify(original, network(), TRAIN, TRAIN)
    with pytest.raises(CheckpointError, match="the run has validation data, none are given"):
        verify(original, network(), TRAIN)


def test_another_model_is_named(original: Path) -> None:
    """A layer that differs is shown on both sides."""
    other = nn.Sequential(*network().steps[:-1], nn.Linear(2, bias=False))
    with pytest.raises(CheckpointError, match=r'layers\[6\]\[1\]: the run has "Linear.*False'):
        verify(original, other, TRAIN, TEST)


class Own(nn.Module):
    """A class of a person's own."""

    def __init__(self) -> None:
        self.body = network()

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The images through the body."""
        return self.body(x)


@pytest.mark.parametrize("features", ["many", 2.5, None, -1])
def test_a_forged_architecture_is_refused(run: Path, features: float | str | None) -> None:
    """A receipt whose model makes no network says nothing, however well its digests fit."""

    def change(receipt: dict[str, Any]) -> None:
        receipt["record"]["architecture"]["steps"][-1]["features"] = features
        kept = receipt["epochs"][receipt["final"]["epoch"]]["weights_sha256"]
        whole = with_weights(receipt["record"], kept)
        receipt["final"]["record_sha256"] = whole["digest"]

    edit(run, change)
    for path in [*run.iterdir()]:
        if path.name != "receipt.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CheckpointError, match=r"the architecture in .*receipt\.json"):
        verify(run, None, TRAIN, TEST)


def test_a_model_of_ones_own_must_be_given(original: Path, tmp_path: Path) -> None:
    """Of the library's layers a model is made again by itself; another class is asked for."""
    assert not verify(original, None, TRAIN, TEST, epochs=(1, 1)).different
    fit(tmp_path / "run", model=Own(), epochs=1)
    assert verify(tmp_path / "run", Own(), TRAIN, TEST).identical
    with pytest.raises(CheckpointError, match="with a model of its own, which must be given"):
        verify(tmp_path / "run", None, TRAIN, TEST)


# Two runs


def test_a_run_does_not_differ_from_its_copy(original: Path, run: Path, tmp_path: Path) -> None:
    """Copies and repetitions are identical, whatever the number of threads."""
    assert diff(original, run).identical
    fit(tmp_path / "again", threads=1)
    found = diff(original, tmp_path / "again")
    assert str(found) == f"identical: {original} and {tmp_path / 'again'}, 4 epochs"


def test_two_seeds_differ_before_the_first_step(original: Path, tmp_path: Path) -> None:
    """The setting, then the first weights, down to the element."""
    fit(tmp_path / "other", seed=1)
    found = diff(original, tmp_path / "other")
    assert found.head == ("settings.seed: A 0, B 1",)
    place = found.place
    assert place is not None
    assert (place.where, place.tensor) == ("the state before the first step", "0.weight")
    assert place.element == (0, 0, 0, 0)


def test_two_learning_rates_differ_from_the_second_step(original: Path, tmp_path: Path) -> None:
    """The first loss is the same, for it is taken before the first update."""
    fit(tmp_path / "other", optimizer=SGD(0.05, 0.9), keep_checkpoints=False)
    # It may hold the first epoch's weights.
    (tmp_path / "other" / "best.safetensors").unlink()
    found = diff(original, tmp_path / "other")
    assert found.head == ("settings.optimizer.learning_rate: A 0.1, B 0.05",)
    assert found.place is not None
    assert found.place.where == "epoch 1, step 2"
    assert found.place.tensor == "0.weight"
    assert found.place.values is None
    assert "first difference: epoch 1, step 2" in str(found)


def test_a_longer_run_begins_like_the_shorter_one(tmp_path: Path) -> None:
    """With a constant rate only the number of epochs differs."""
    fit(tmp_path / "a", schedule=Constant(), epochs=1)
    fit(tmp_path / "b", schedule=Constant(), epochs=2)
    found = diff(tmp_path / "a", tmp_path / "b")
    assert found.place is None
    assert not found.identical
    assert found.head == ("settings.epochs: A 1, B 2", "epochs so far: A 1, B 2")
    assert "no difference in 1 epoch that both have" in str(found)


def test_how_two_runs_ended_is_compared(tmp_path: Path) -> None:
    """The same epochs, ended for two reasons; and parts that were made in another way."""

    class Stops(Callback):
        def __init__(self, reason: str) -> None:
            self.reason = reason

        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            if row["epoch"] == 1:
                run.stop(self.reason)

    for name, seed in (("enough", 3), ("too long", 4)):
        trainer = make(callbacks=[Stops(name)])
        trainer.fit(Splits(TRAIN, TEST, None, {"split_seed": seed}), epochs=2, out=tmp_path / name)
    found = diff(tmp_path / "enough", tmp_path / "too long")
    assert found.place is None
    assert found.head == ('final.stopped: A "enough", B "too long"',)
    assert found.notes == ("split.split_seed: A 3, B 4",)
    assert not found.identical


def test_other_data_and_models_are_listed(original: Path, tmp_path: Path) -> None:
    """What went in and differs stands at the front."""
    trainer = Trainer(network(), batch_size=8, progress=False)
    trainer.fit(noise(28, 3), epochs=1, out=tmp_path / "run")
    head = "\n".join(diff(original, tmp_path / "run").head)
    for place in ("settings.augmentation", "data.train.sha256", "data.validation"):
        assert place in head
    assert "settings.clip_norm" not in head
    assert "record.normalisation" in head
    lines = str(diff(original, tmp_path / "run")).splitlines()
    assert lines[1].startswith("settings.augmentation")
    folded = next(
        line for line in lines if " more places that follow as a rule; `head` has them" in line
    )
    shown = lines.index(folded) - 1
    assert folded.startswith(f"and {len(head.splitlines()) - shown} more")
    assert not any(line.startswith(("record", "samples_sha256")) for line in lines)
    receipt = Receipt.read(original)
    assert receipt.epochs == receipt.planned == 4
    with pytest.raises(CheckpointError, match="has no receipt"):
        diff(original, tmp_path)


def test_states_of_two_runs_are_not_mixed_up(original: Path) -> None:
    """Reading a receipt leaves its content as it is."""
    receipt = Receipt.read(original)
    before = copy.deepcopy(receipt.content)
    diff(original, original)
    assert receipt.content == before
