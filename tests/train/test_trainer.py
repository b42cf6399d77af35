"""The trainer: learns, gives the same bits however it is run, and loses nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.train.small import make, network, without_times

from isoconv import nn
from isoconv.arithmetic.philox import Purpose, permutation
from isoconv.arithmetic.sums import square_norm_blocks, tree_sum
from isoconv.compile.layout import FlatLayout
from isoconv.data import Augmentation, Dataset, normalisation, table
from isoconv.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    NotFiniteError,
    ShapeError,
)
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.ops.interpret import interpret
from isoconv.run.training import TrainingEngine
from isoconv.train import Callback, EarlyStopping, Interrupted, Run, Trainer, evaluate, session
from isoconv.train.context import TrainingContext
from isoconv.train.graphs import Normalisation, Preparation, build_step
from isoconv.train.learning_rate import Constant
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD, Adam, AdamW

SIDE = 6
IMAGES = 44
EPOCHS = 3


def images(count: int = IMAGES, seed: int = 0) -> Dataset:
    """Images of which one half is bright above and the other below, with labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, SIDE, SIDE, 1))
    pixels[labels == 0, : SIDE // 2] += 100
    pixels[labels == 1, SIDE // 2 :] += 100
    return Dataset.from_arrays(pixels.astype(np.uint8), labels, name="halves")


def interrupt_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Press Ctrl-C while the engine is in its n-th call, one step a call."""
    real = TrainingEngine.steps
    done = []

    def steps(self: TrainingEngine, first: int, hyper: Array) -> Array:
        done.append(first)
        if len(done) == calls:
            signal.raise_signal(signal.SIGINT)
        return real(self, first, hyper)

    monkeypatch.setattr(session, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(TrainingEngine, "steps", steps)


@pytest.fixture(scope="module")
def whole() -> Run:
    """A training that nothing interrupted."""
    return make().fit(images(), images(20, 1), epochs=EPOCHS)


def test_it_learns(whole: Run) -> None:
    """The loss falls, unseen images are recognised, and the history has every column."""
    first, last = whole.history[0], whole.history[-1]
    assert last["loss"] < first["loss"]
    longer = make(schedule=Constant(), augmentation=None).fit(images(), images(20, 1), epochs=8)
    assert longer.history[-1]["val_top1"] > 0.9
    columns = ["epoch", "loss", "top1", "val_loss", "val_top1"]
    assert list(first) == [*columns, "learning_rate", "seconds", "images_per_second"]
    assert [row["epoch"] for row in whole.history] == [1, 2, 3]
    assert whole.digest == whole.model.digest()
    assert repr(whole).startswith("Run of 3 of 3 epochs")


def test_one_run_is_one_digest(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and the cutting into native calls change no bit of weights or history."""
    monkeypatch.setattr(session, "CALL_SECONDS", 0.0)
    for threads in (1, 3):
        other = make(threads=threads).fit(images(), images(20, 1), epochs=EPOCHS)
        assert other.digest == whole.digest
        assert without_times(other.history) == without_times(whole.history)
    other = make(seed=1).fit(images(), epochs=1)
    assert other.digest != make().fit(images(), epochs=1).digest


def test_a_pair_of_arrays_is_a_data_set(whole: Run) -> None:
    """Arrays give the same bits as the data set of them."""
    data = images()
    other = make().fit((data.images, data.labels), epochs=EPOCHS)
    assert other.digest == whole.digest


def test_training_is_the_reference_bit_for_bit() -> None:
    """Two epochs with augmentation, clipping, decay and a short last batch, by the references."""
    data = images(20)
    trainer = make(optimizer=SGD(0.5, 0.9, weight_decay=0.01), clip_norm=0.3, schedule=Constant())
    run = trainer.fit(data, epochs=2)
    model = network().build((SIDE, SIDE, 1), seed=0)
    constants = Normalisation(*normalisation(data))
    augmentation = trainer.augmentation
    assert isinstance(augmentation, Augmentation)
    assert trainer.optimizer is not None
    preparation = Preparation((SIDE, SIDE, 1), "uint8", constants, augmentation)
    step = build_step(model, preparation, Loss(), trainer.optimizer, 0.3)
    layout = FlatLayout(step.parameters)
    p, v = np.zeros(step.size, np.float32), np.zeros(step.size, np.float32)
    for name, array in model.parameters().items():
        p[layout.slice(name)] = array.ravel()
    states = model.states()
    for epoch in range(2):
        order = permutation(len(data), 0, Purpose.DATA_ORDER, epoch)
        rows = table(augmentation, 0, epoch, np.arange(len(data)), SIDE, SIDE)
        for first in range(0, len(data), 8):
            batch = order[first : first + 8]
            named = {n: p[layout.slice(n)].reshape(s) for n, s in step.parameters.items()}
            given = {**named, **states, **constants.constants}
            given["key"] = np.array([0, epoch], np.int64)
            given["inverse_batch"] = np.array(1 / len(batch), np.float32)
            shards = [
                interpret(
                    step.shard,
                    {
                        **given,
                        "images": data.images[shard],
                        "labels": data.labels[shard],
                        "augmentation": rows[shard],
                        "samples": shard,
                    },
                    len(shard),
                )
                for shard in (batch[i : i + 4] for i in range(0, len(batch), 4))
            ]
            sums = {name: tree_sum([shard[name] for shard in shards]) for name in shards[0]}
            g = np.zeros(step.size, np.float32)
            for name in named:
                g[layout.slice(name)] = sums[f"grad:{name}"].ravel()
            norm = np.sqrt(square_norm_blocks(g))
            limit = np.float32(0.3)
            g = g * (limit / norm if norm > limit else np.float32(1))
            g = g + np.float32(0.01) * p
            v = np.float32(0.9) * v + g
            p = p - np.float32(0.5) * v
            inverse = np.float32(1 / len(batch))
            for name, momentum in step.momenta.items():
                new = (sums[f"state:{name}"] * inverse) * np.float32(momentum)
                states[name] = states[name] * np.float32(1 - momentum) + new
    for name in step.parameters:
        assert run.model.weights[name].tobytes() == p[layout.slice(name)].tobytes(), name
    for name, array in states.items():
        assert run.model.weights[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("calls", [1, 4, 6, 9, 18])
def test_resume_is_as_if_never_interrupted(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Ctrl-C in any step, in the last one of an epoch too; the rest gives the same bits."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_after(patch, calls)
        with pytest.raises(KeyboardInterrupt, match=r"go on with: isoconv resume .*run") as caught:
            make().fit(images(), images(20, 1), epochs=EPOCHS, out=out)
    assert isinstance(caught.value, Interrupted)
    epoch, steps = divmod(calls - 1, 6)
    assert f"in epoch {epoch + 1} of 3 after step {steps + 1} of 6" in str(caught.value)
    assert len(caught.value.run.history) == epoch
    run = make(threads=1).resume(out, images(), images(20, 1))
    assert run.digest == whole.digest
    assert without_times(run.history) == without_times(whole.history)
    assert run.history[epoch]["seconds"] > 0


def test_resume_after_a_kill_between_epochs(whole: Run, tmp_path: Path) -> None:
    """A run that died after an epoch goes on from its checkpoint."""

    class Dies(Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            raise RuntimeError(f"power cut after {len(run.history)}, {row['epoch']}")

    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut after 1, 1"):
        make(callbacks=[Dies()]).fit(images(), images(20, 1), epochs=EPOCHS, out=out)
    run = make().resume(out, images(), images(20, 1))
    assert run.digest == whole.digest
    again = make().resume(out, images(), images(20, 1))
    assert again.digest == whole.digest
    assert without_times(again.history) == without_times(whole.history)


def test_ctrl_c_before_the_first_step_leaves_nothing(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While kernels are compiled or weights loaded there is nothing to go on with yet."""
    out = tmp_path / "runs" / "run"
    model = network()
    trainer = make(model)
    for method in ("__init__", "load"):
        with monkeypatch.context() as patch:
            patch.setattr(
                TrainingEngine, method, lambda *_, **__: signal.raise_signal(signal.SIGINT)
            )
            with pytest.raises(Interrupted, match=r"nothing of it is left in .*run$"):
                trainer.fit(images(), images(20, 1), epochs=EPOCHS, out=out)
        assert list(tmp_path.iterdir()) == []
        assert model.trained_on is None
    run = trainer.fit(images(), images(20, 1), epochs=EPOCHS, out=out)
    assert run.digest == whole.digest


def test_ctrl_c_without_a_folder_keeps_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model holds what was learned, and the message says that nothing was saved."""
    interrupt_after(monkeypatch, 2)
    model = network()
    trainer = make(model)
    before = network().build((SIDE, SIDE, 1)).digest()
    with pytest.raises(Interrupted, match="after step 2 of 6; nothing was saved"):
        trainer.fit(images(), epochs=1)
    assert model.digest() != before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_run_folder_tells_all(tmp_path: Path) -> None:
    """Settings, data, history, weights: each where it belongs."""
    out = tmp_path / "run"
    trainer = make()
    run = trainer.fit(images(), images(20, 1), epochs=2, out=out, facts={"model": "tiny"})
    assert run.folder == out
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert names == [
        "best.safetensors",
        "checkpoints/last-00002-0000000.safetensors",
        "checkpoints/last.json",
        "metrics.jsonl",
        "receipt.json",
        "run.json",
        "samples.csv",
        "steps.jsonl",
        "weights.safetensors",
    ]
    record = json.loads((out / "run.json").read_text())
    assert record["settings"] == {**trainer.settings(), "epochs": 2, "early_stopping": None}
    assert record["facts"] == {"model": "tiny"}
    assert record["result"]["weights_sha256"] == run.digest
    assert record["result"]["best_epoch"] == run.best_epoch
    assert record["data"]["train"]["sha256"] == images().digest()
    assert float.fromhex(record["record"]["normalisation"]["scale"][0]) > 0
    lines = (out / "samples.csv").read_text().splitlines()
    assert lines[0] == "part,class,sha256,path"
    assert [line.split(",")[:2] for line in lines[IMAGES : IMAGES + 2]] == [
        ["train", "1"],
        ["validation", "0"],
    ]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows == run.history
    assert network().load(out / "weights.safetensors").digest() == run.digest
    best = network().load(out / "best.safetensors")
    assert (best.digest() == run.digest) == (run.best_epoch == 2)
    with pytest.raises(ArgumentError, match="holds a run already"):
        make().fit(images(), epochs=1, out=out)


def test_resume_takes_its_own_settings_and_data_only(tmp_path: Path) -> None:
    """Other settings, data or validation are listed, and nothing is touched."""
    out = tmp_path / "run"
    make().fit(images(), epochs=1, out=out)
    before = (out / "run.json").read_bytes()

    def refused(trainer: Trainer, *data: Dataset) -> list[list[str]]:
        with pytest.raises(CheckpointError, match="gone on with as it began only") as caught:
            trainer.resume(out, *data)
        return [line.split() for line in str(caught.value).splitlines()[1:]]

    found = refused(make(batch_size=16, seed=3), images())
    assert found == [
        ["what", "the", "run", "given"],
        ["settings.batch_size", "8", "16"],
        ["settings.seed", "0", "3"],
    ]
    found = refused(make(), images(seed=5))
    assert ["data.train.sha256", *(f'"{images(seed=s).digest()}"' for s in (0, 5))] in found
    assert ["0", "(class", "'0')", "holds", "another", "picture", "than", "in", "training"] in found
    places = {line[0]: line[1:] for line in refused(make(), images(), images(20, 1))}
    assert places["data.validation"][0] == "nothing"
    named = {line[0] for line in refused(make(nn.Sequential(nn.Flatten(), nn.Linear(2))), images())}
    assert {"model.parameters.0.weight", "model.layers", "record.architecture.steps"} <= named
    assert (out / "run.json").read_bytes() == before


def test_a_loss_that_is_not_finite_in_the_first_epoch_leaves_nothing(tmp_path: Path) -> None:
    """The error names epoch, step and learning rate; the folder is free for the corrected call."""
    out = tmp_path / "run"
    model = network()
    trainer = make(model, optimizer=SGD(1e30), schedule=Constant(), clip_norm=None)
    with pytest.raises(NotFiniteError) as caught:
        trainer.fit(images(), epochs=2, out=out)
    message = str(caught.value)
    assert "in epoch 1, step " in message
    assert "at learning rate 1e+30" in message
    assert "last.json" not in message
    assert "smaller learning rate" in message
    assert not out.exists()
    assert model.digest() == network().build((SIDE, SIDE, 1)).digest()
    assert caught.value.run.history == []
    assert caught.value.run.model is model
    # Nothing was learned, so the model knows nothing of images and classes yet.
    assert (model.trained_on, model.class_names) == (None, ())
    out.mkdir()
    (out / "weights.txt").write_text("somebody's own")
    with pytest.raises(NotFiniteError):
        trainer.fit(images(), epochs=2, out=out)
    assert [path.name for path in out.iterdir()] == ["weights.txt"]
    assert make().fit(images(), epochs=1, out=out).folder == out


class Worse(Callback):
    """Spoils the optimizer after an epoch."""

    def __init__(self, epoch: int, patch: pytest.MonkeyPatch) -> None:
        self.epoch = epoch
        self.patch = patch
        self.digest = ""

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """Note the weights, and make the learning rate too great."""
        if row["epoch"] == self.epoch:
            self.digest = run.model.digest()
            self.patch.setattr(TrainingContext, "learning_rate", lambda *_: 1e38)


def test_a_loss_that_is_not_finite_later_keeps_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the run up to there; its model and the folder hold the last whole epoch."""
    out, worse = tmp_path / "run", Worse(2, monkeypatch)
    trainer = make(callbacks=[worse], keep_checkpoints=True)
    with pytest.raises(NotFiniteError, match=r"in epoch 3, step .*stays: .*last\.json") as caught:
        trainer.fit(images(), images(20, 1), epochs=4, out=out)
    run = caught.value.run
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.model.digest() == worse.digest == run.receipt["epochs"][2]["weights_sha256"]
    assert np.isfinite(run.model.predict(images().images)).all()
    record = json.loads((out / "checkpoints" / "last.json").read_text())
    assert (record["epoch"], record["step"]) == (2, 0)
    monkeypatch.undo()
    assert len(make().resume(out, images(), images(20, 1)).history) == 4


def test_a_validation_loss_that_is_not_finite_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update that spoils the weights in an epoch's last step does not reach a checkpoint."""
    real = TrainingEngine.weights
    epochs = []

    def spoiled(self: TrainingEngine) -> dict[str, Array]:
        epochs.append(0)
        good = real(self)
        # Each epoch asks for them once, to measure.
        return good if len(epochs) < 2 else {n: a * np.float32(np.nan) for n, a in good.items()}

    monkeypatch.setattr(TrainingEngine, "weights", spoiled)
    out = tmp_path / "run"
    with pytest.raises(NotFiniteError, match=r"validation loss must stay finite.*in epoch 2"):
        make().fit(images(), images(20, 1), epochs=2, out=out)
    record = json.loads((out / "checkpoints" / "last.json").read_text())
    assert record["epoch"] == 1


def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong before the first epoch is over, the folder is as before."""
    out = tmp_path / "deep" / "run"

    class Fails(Callback):
        def on_train_begin(self, run: Run) -> None:
            assert (out / "run.json").exists()
            raise RuntimeError(f"no {run}")

    with pytest.raises(RuntimeError, match="no Run"):
        make(callbacks=[Fails()], keep_checkpoints=True).fit(images(), epochs=1, out=out)
    assert not out.parent.exists()
    with pytest.raises(DataError):
        make().fit((images().images, images().labels * 2), epochs=1, out=out)
    monkeypatch.setattr(TrainingEngine, "steps", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make().fit(images(), epochs=1, out=out)
    assert not out.parent.exists()


class Recorder(Callback):
    """Notes what it is told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.events: list[Any] = []
        self.stop_at = stop_at

    def on_train_begin(self, run: Run) -> None:
        """Note the beginning."""
        assert isinstance(run, Run)
        self.events.append("begin")

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """Note the epoch, and stop."""
        self.events.append(row["epoch"])
        if row["epoch"] == self.stop_at:
            run.stop("seen enough")

    def on_train_end(self, run: Run) -> None:
        """Note the end, when the weights are in the model."""
        assert run.digest == run.description["result"]["weights_sha256"]
        self.events.append("end")


class Looks(Callback):
    """Notes what the model is after each epoch."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.digests: list[str] = []
        self.answers: list[Array] = []

    def on_train_begin(self, run: Run) -> None:
        """Note it before the first one, too."""
        self.on_epoch_end(run, {})

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """Note the weights, and what the model takes images for."""
        self.digests.append(run.model.digest())
        self.answers.append(run.model.predict(self.data.images))
        if row:
            assert evaluate(run.model, self.data).loss == row["val_loss"]


def test_a_callback_sees_the_model_of_the_moment(tmp_path: Path) -> None:
    """Its weights are those of the epoch's end, and it normalises as in training."""
    looks = Looks(images(20, 1))
    run = make(callbacks=[looks]).fit(images(), looks.data, epochs=3, out=tmp_path / "run")
    wanted = [entry["weights_sha256"] for entry in run.receipt["epochs"]]
    assert looks.digests == wanted
    assert len(set(wanted)) == 4
    lines = (tmp_path / "run" / "steps.jsonl").read_text().splitlines()
    tensors = dict(json.loads(lines[-1])["tensors"])
    for name, array in run.model.weights.items():
        assert storage.digest({name: array}) == tensors[name]
    assert looks.answers[-1].tobytes() == run.model.predict(looks.data.images).tobytes()
    assert looks.answers[1].tobytes() != looks.answers[-1].tobytes()


def test_callbacks_are_called_in_order() -> None:
    """Begin, each epoch, end; a callback can stop the training."""
    recorder = Recorder(stop_at=2)
    run = make(callbacks=[recorder]).fit(images(), epochs=5)
    assert recorder.events == ["begin", 1, 2, "end"]
    assert run.stopped == "seen enough"
    assert run.description["result"]["stopped"] == "seen enough"


def test_a_run_that_a_callback_ended_stays_ended(tmp_path: Path) -> None:
    """Asked to go on, it is given back as it is, down to the last file."""
    out = tmp_path / "run"
    run = make(callbacks=[Recorder(stop_at=2)]).fit(images(), epochs=5, out=out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = make().resume(out, images())
    assert (again.stopped, len(again.history)) == ("seen enough", 2)
    assert again.digest == run.digest
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "weights.safetensors").unlink()
    make().resume(out, images())
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_first_reason_to_stop_stays() -> None:
    """Early stopping and a callback may both end the same epoch."""
    stopping = EarlyStopping(patience=1, metric="val_top1")
    trainer = make(optimizer=SGD(1e-9), schedule=Constant(), callbacks=[Recorder(stop_at=2)])
    run = trainer.fit(images(), images(20, 1), epochs=9, early_stopping=stopping)
    assert run.stopped == "val_top1 has not improved for 1 epoch"


def test_early_stopping_ends_the_run_and_stays_ended(tmp_path: Path) -> None:
    """With nothing left to learn the patience runs out; a resumed run is over too."""
    stopping = EarlyStopping(patience=2, metric="val_top1")
    trainer = make(optimizer=SGD(1e-9), schedule=Constant())
    out = tmp_path / "run"
    run = trainer.fit(images(), images(20, 1), epochs=9, early_stopping=stopping, out=out)
    assert len(run.history) == 3
    assert "val_top1 has not improved for 2 epochs" in run.stopped
    again = make(optimizer=SGD(1e-9), schedule=Constant()).resume(out, images(), images(20, 1))
    assert again.digest == run.digest
    assert len(again.history) == 3


def test_early_stopping_counts() -> None:
    """Improvements restart the patience; small ones can be told not to count."""
    rows = [{"loss": value} for value in (5.0, 4.0, 4.5, 3.9, 3.95)]
    assert not EarlyStopping(2, "loss").stops(rows)
    assert EarlyStopping(2, "loss").stops([*rows, {"loss": 3.9}])
    assert EarlyStopping(3, "loss", min_delta=0.2).stops(rows)
    assert not EarlyStopping(1, "loss").stops([])
    for wrong in ({"patience": 0}, {"min_delta": -1.0}, {"metric": 3}):
        with pytest.raises(ArgumentError):
            EarlyStopping(**wrong)
    with pytest.raises(ArgumentError, match="got 'val_loss' without validation data"):
        make().fit(images(), epochs=1, early_stopping=EarlyStopping())


def test_regression_and_binary_targets() -> None:
    """Mean squared error and binary cross-entropy learn too; class numbers 0 and 1 serve both."""
    data = images()
    bright = np.float32(data.images.astype(np.float64).mean(axis=(1, 2, 3)) / 255)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(1))
    trainer = make(flat, loss="mse", optimizer=Adam(0.01), augmentation=None)
    run = trainer.fit((data.images, bright), (data.images, bright), epochs=4)
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    assert "top1" not in run.history[0]
    run = make(nn.Sequential(nn.Flatten(), nn.Linear(1)), loss="bce").fit(data, data, epochs=4)
    assert run.history[-1]["val_loss"] < run.history[0]["val_loss"]


def test_float_images_and_no_normalisation() -> None:
    """Without normalisation images enter as they are, with it as image * scale + offset.

    Bytes and the same numbers as float32 train to the same bits.
    """
    data = images()
    floats = data.images.astype(np.float32)
    scale, offset = normalisation(data)
    by_hand = floats * scale + offset
    assert not np.array_equal(by_hand, floats)

    def trained(pixels: Array, normalise: bool) -> Run:
        trainer = make(normalise=normalise, augmentation=None)
        return trainer.fit((pixels, data.labels), epochs=2)

    plain, entered = trained(floats, False), trained(by_hand, False)
    assert plain.digest == trained(data.images, False).digest != entered.digest
    assert plain.model.normalisation is None
    for pixels in (floats, data.images):
        run = trained(pixels, True)
        assert run.digest == entered.digest
        assert without_times(run.history) == without_times(entered.history)
        np.testing.assert_array_equal(run.model.normalisation, (scale, offset))
        # What was learned on normalised images is asked of normalised images.
        found = run.model.predict(pixels)
        assert found.tobytes() == entered.model.predict(by_hand).tobytes()


def test_what_is_shown() -> None:
    """Plain lines elsewhere, a bar on a terminal, nothing on demand."""
    plain = StringIO()
    make(progress=Console(file=plain, width=200)).fit(images(), images(20, 1), epochs=2)
    lines = plain.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ")
    assert "validation loss" in lines[1]
    terminal = StringIO()
    make(progress=Console(file=terminal, force_terminal=True, width=200)).fit(images(), epochs=1)
    assert "images/s  loss " in terminal.getvalue()
    assert " left" in terminal.getvalue()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"shard_size": 9}, "shard_size must be at most batch_size; got 9 > 8"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"threads": 0}, "threads"),
        ({"clip_norm": 0.0}, "clip_norm must be a finite number above 0"),
        (
            {"loss": "hinge"},
            "loss must be one of cross_entropy, focal, dice, mse, l1, smooth_l1, bce; got 'hinge'",
        ),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"loss": "mse", "label_smoothing": 0.1}, "label_smoothing belongs to cross_entropy"),
        ({"normalise": 1}, "normalise must be True, False, 'keep' or 'anew'; got 1"),
        ({"normalise": "no"}, "normalise must be True, False, 'keep' or 'anew'; got 'no'"),
        (
            {"optimizer": "sgd"},
            r"optimizer must be an optimizer such as ic.optim.Adam(0.002\), or None; got 'sgd'",
        ),
        ({"optimizer": SGD}, "optimizer must be .*; got the class SGD itself"),
        ({"schedule": 0.5}, r"schedule must be a schedule such as Cosine(\), or None; got 0\.5"),
        (
            {"augmentation": "flip"},
            "augmentation must be an Augmentation, None or 'auto'; got 'flip'",
        ),
        ({"callbacks": Callback()}, "callbacks must be a list of them; got <"),
        (
            {"callbacks": [print]},
            "callbacks\\[0\\] must be a Callback; got <built-in function print>",
        ),
        ({"threads": 2.0}, r"threads must be a whole number of at least 1; got 2\.0"),
        ({"target": 5}, "target must be a text; got 5"),
        ({"progress": 1}, "progress must be True or False; got 1"),
        ({"keep_checkpoints": None}, "keep_checkpoints must be True or False; got None"),
        ({"model": "lenet"}, "no model is called 'lenet'; near it: lenet5.*; there are "),
        ({"model": 5}, "model must be a Module, the name of a ready model or None; got 5"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    """Each setting outside its range is refused with name and value."""
    with pytest.raises(ArgumentError, match=message.replace("(", r"\(")):
        make(**settings)


def test_bad_data_is_named() -> None:
    """Labels, shapes and kinds that do not fit are refused before anything is compiled."""
    data = images()
    with pytest.raises(DataError, match="the model has 2 outputs; sample 1 has 2"):
        make().fit(Dataset.from_arrays(data.images, data.labels * 2, list("abc")))
    with pytest.raises(DataError, match="training data: whole numbers as labels must count"):
        make().fit((data.images, data.labels * 2), epochs=1)
    with pytest.raises(DataError, match="validation data: labels must lie in 0 … 1"):
        make().fit(data, (data.images, data.labels * 2), epochs=1)
    with pytest.raises(DataError, match="validation data: images must be uint8"):
        make().fit(data, (data.images.astype(np.float32), data.labels), epochs=1)
    with pytest.raises(DataError, match=r"takes classes as labels; .*labels.astype\(int\)"):
        make().fit((data.images, data.labels.astype(np.float32)), epochs=1)
    with pytest.raises(DataError, match="takes float targets"):
        make(loss="mse").fit(data, epochs=1)
    with pytest.raises(DataError, match="targets must have the shape of the model's result"):
        make(loss="mse").fit((data.images, np.zeros((IMAGES, 3), np.float32)), epochs=1)
    wrong = np.full((IMAGES, 2), 2, np.float32)
    with pytest.raises(DataError, match=r"must lie in 0 … 1; sample 0 has 2\.0"):
        make(loss="bce").fit((data.images, wrong), epochs=1)
    with pytest.raises(ArgumentError, match="must be a Dataset or a pair"):
        make().fit(data.images, epochs=1)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"built for images of shape \(9, 9, 1\)"):
        make(network().build((9, 9, 1))).fit(data, epochs=1)
    with pytest.raises(ArgumentError, match="epochs"):
        make().fit(data, epochs=0)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "dice"])
def test_a_map_is_learned_from_masks(loss: Any) -> None:
    """Squares are told from what is around them; masks move with images, or nothing moves."""
    draw = np.random.default_rng(4)
    masks = np.zeros((32, 12, 12), np.int64)
    for mask, (row, column) in zip(masks, draw.integers(0, 7, (32, 2)), strict=True):
        mask[row : row + 5, column : column + 5] = 1
    pixels = draw.integers(0, 100, masks.shape).astype(np.uint8) + 100 * masks.astype(np.uint8)
    masks[:, 0] = -1
    model = nn.Sequential(nn.Conv2d(4, 3, padding=1), nn.ReLU6(), nn.Conv2d(2, 1))
    made = Trainer(model, loss=loss, optimizer=AdamW(0.05), batch_size=8, progress=False)
    rows = [row["top1"] for row in made.fit((pixels, masks), epochs=12).history]
    assert rows[-1] > max(0.9, rows[0])
    moved = make(model, augmentation=Augmentation(2, flip=True, cutout=3), loss=loss)
    assert moved.fit((pixels, masks), epochs=1).history[-1]["top1"] > 0.9
    with pytest.raises(ArgumentError, match="turn no images, for their labels are of places"):
        make(model, augmentation=Augmentation(rotation=9)).fit((pixels, masks), epochs=1)
    floats = np.zeros((32, 12, 12, 2), np.float32)
    with pytest.raises(ArgumentError, match="leave images where they are") as caught:
        make(model, augmentation=Augmentation(flip=True), loss="mse").fit((pixels, floats))
    assert caught.value.argument == "augmentation"
    with pytest.raises(ArgumentError, match="has labels of places: take small_unet or unet"):
        Trainer("lenet5", progress=False).fit((pixels, masks), epochs=1)


def test_models_that_cannot_be_trained_are_named() -> None:
    """A softmax before cross-entropy, a map instead of logits, an idle parameter."""
    data = images()
    with pytest.raises(ArgumentError, match="remove the softmax at its end"):
        make(nn.Sequential(nn.Flatten(), nn.Linear(2), nn.Softmax())).fit(data, epochs=1)
    with pytest.raises(ShapeError, match="takes one logit per class"):
        make(nn.Sequential(nn.Conv2d(2, 3))).fit(data, epochs=1)

    class Idle(nn.Module):
        def __init__(self) -> None:
            self.used, self.idle = nn.Linear(2), nn.Linear(3)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            x = nn.functional.flatten(x)
            self.idle(x)
            return self.used(x)

    with pytest.raises(ArgumentError, match=r"take part.*idle\.weight, idle\.bias do not"):
        make(Idle()).fit(data, epochs=1)
