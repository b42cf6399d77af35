"""The weights that a training leaves: those of the best epoch, if early stopping restores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.train.small import folder_of, make, network, noise

import isoconv as ic
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn import storage
from isoconv.train import Callback, EarlyStopping, Run, RunFolder, evaluate, verify
from isoconv.train.learning_rate import Constant
from isoconv.train.optim import SGD

TRAIN, HELD, TEST = noise(28), noise(14, 3), noise(10, 2)
EPOCHS = 8


def fit(
    out: Path | None = None,
    metric: str = "val_loss",
    *,
    restore_best: bool = True,
    callbacks: tuple[Any, ...] | list[Callback] = (),
    patience: int = 4,
    **settings: Any,
) -> Run:
    """A run on noise, which is learned by heart, so that validation grows worse."""
    trainer = make(optimizer=SGD(0.03, 0.9), schedule=Constant(), callbacks=callbacks, **settings)
    stopping = EarlyStopping(patience=patience, metric=metric, restore_best=restore_best)
    return trainer.fit(TRAIN, HELD, TEST, epochs=EPOCHS, out=out, early_stopping=stopping)


def resume(out: Path, **settings: Any) -> Run:
    """The same run, gone on with."""
    trainer = make(optimizer=SGD(0.03, 0.9), schedule=Constant(), **settings)
    return trainer.resume(out, TRAIN, HELD, TEST)


class PowerCut(Callback):
    """Ends everything after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """The end."""
        if row["epoch"] == self.epoch:
            raise RuntimeError(f"power cut in {run}")


@pytest.fixture(scope="module", params=["val_loss", "val_top1"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing interrupted, and whose best epoch is not its last one."""
    run = fit(tmp_path_factory.mktemp("best") / "run", request.param)
    assert 1 < run.best_epoch < len(run.history)
    return run


def test_the_best_weights_are_left(whole: Run) -> None:
    """In the model, in the folder, in receipt and result; best is by the metric that is watched."""
    best = whole.best_epoch
    sign = -1 if whole.watched == "val_top1" else 1
    values = [sign * row[whole.watched] for row in whole.history]
    assert best == 1 + values.index(min(values))
    assert whole.kept_epoch == best
    wanted = whole.receipt["epochs"][best]["weights_sha256"]
    assert whole.digest == wanted
    final = whole.receipt["final"]
    assert (final["epoch"], final["best_epoch"]) == (best, best)
    assert final["epochs"] == len(whole.history)
    for name in ("weights", "best"):
        arrays, _ = storage.read(folder_of(whole) / f"{name}.safetensors")
        assert storage.digest(arrays) == wanted
    measured = evaluate(whole.model, HELD)
    assert measured.loss == whole.history[best - 1]["val_loss"]
    assert measured.top1 == whole.history[best - 1]["val_top1"]
    assert whole.test is not None
    assert evaluate(whole.model, TEST).metrics == whole.test.metrics
    assert verify(folder_of(whole), None, TRAIN, HELD, TEST).identical


def test_a_folder_changes_nothing(whole: Run) -> None:
    """Without one the same weights are left, out of memory."""
    run = fit(metric=whole.watched)
    assert run.digest == whole.digest
    assert run.receipt["final"] == whole.receipt["final"]


def test_the_last_weights_are_left_on_demand(whole: Run, tmp_path: Path) -> None:
    """With restore_best=False, and without early stopping."""
    run = fit(tmp_path / "run", whole.watched, restore_best=False)
    assert (run.kept_epoch, run.best_epoch) == (len(run.history), whole.best_epoch)
    assert run.digest == run.receipt["epochs"][-1]["weights_sha256"] != whole.digest
    assert ic.load(tmp_path / "run", best=True).digest() == whole.digest
    assert verify(tmp_path / "run", None, TRAIN, HELD, TEST).identical
    plain = make(optimizer=SGD(0.03, 0.9), schedule=Constant()).fit(TRAIN, HELD, epochs=3)
    assert plain.kept_epoch == 3


def test_which_weights_are_left_is_said(tmp_path: Path) -> None:
    """The last line names the epoch, the metric and its value; nothing is said of the last one."""
    shown = StringIO()
    run = fit(progress=Console(file=shown, width=200))
    value = run.history[run.best_epoch - 1]["val_loss"]
    assert shown.getvalue().splitlines()[-1] == (
        f"the weights are those of epoch {run.best_epoch} of {len(run.history)}, the best by "
        f"val_loss ({value:.4f})"
    )
    shown = StringIO()
    fit(progress=Console(file=shown, width=200), restore_best=False)
    assert shown.getvalue().splitlines()[-1].startswith("epoch ")


@pytest.mark.parametrize("behind", [0, 1])
def test_the_best_epoch_may_lie_before_a_resume(whole: Run, tmp_path: Path, behind: int) -> None:
    """Its weights come out of the folder, whole files and all."""
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(out, whole.watched, callbacks=[PowerCut(whole.best_epoch + behind)])
    run = resume(out)
    assert run.digest == whole.digest
    assert run.receipt["final"] == whole.receipt["final"]
    for name in ("weights.safetensors", "best.safetensors"):
        assert (out / name).read_bytes() == (folder_of(whole) / name).read_bytes()
    assert resume(out).digest == whole.digest


@pytest.mark.parametrize("name", ["last.json", "best.safetensors", "receipt.json"])
def test_a_kill_in_the_best_epoch_changes_nothing(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Killed before one of the best epoch's files is replaced, the run comes to the same end."""
    from isoconv.train import files, folder

    real = files.write_bytes
    armed: list[bool] = []

    def write(path: Path, content: bytes) -> None:
        if armed and path.name == name:
            raise RuntimeError("power cut")
        return real(path, content)

    class Arms(Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            if len(run.history) == row["epoch"] == whole.best_epoch - 1:
                armed.append(True)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_bytes", write)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(out, whole.watched, callbacks=[Arms()])
    assert resume(out).receipt["final"] == whole.receipt["final"]
    assert verify(out, None, TRAIN, HELD, TEST).identical


def test_lost_best_weights_are_told_before_the_training_goes_on(whole: Run, tmp_path: Path) -> None:
    """Missing or altered, they are looked for in the kept checkpoints, and then asked for."""
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(out, whole.watched, callbacks=[PowerCut(whole.best_epoch + 1)], keep_checkpoints=True)
    best = out / "best.safetensors"
    arrays, record = storage.read(best)
    storage.write(best, {name: 2 * array for name, array in arrays.items()}, record)
    kept = RunFolder(out).kept_file(whole.best_epoch)
    hidden = kept.rename(tmp_path / "kept")

    class Never(Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            raise AssertionError(f"{run} went on with {row}")

    losses: list[Callable[[], None]] = [lambda: None, best.unlink]
    for lose in losses:
        lose()
        with pytest.raises(CheckpointError, match=r"of epoch \d+, the best so far.*must hold them"):
            resume(out, callbacks=[Never()])
    hidden.rename(kept)
    assert resume(out).digest == whole.digest


def test_without_a_receipt_the_best_weights_are_those_of_the_file(
    whole: Run, tmp_path: Path
) -> None:
    """Their record says what they are; altered ones are refused."""
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(out, whole.watched, callbacks=[PowerCut(whole.best_epoch + 1)])
    (out / "receipt.json").unlink()
    best = out / "best.safetensors"
    content = best.read_bytes()
    arrays, record = storage.read(best)
    storage.write(best, {name: 2 * array for name, array in arrays.items()}, record)
    with pytest.raises(CheckpointError, match=r"the weights in .*best\.safetensors were altered"):
        resume(out)
    best.write_bytes(content)
    run = resume(out)
    assert run.digest == whole.digest
    assert run.receipt == {}


def test_an_interrupt_leaves_the_weights_of_the_moment(whole: Run) -> None:
    """The best ones are restored at the end of a training, not when it is broken off."""

    class Interrupt(Callback):
        def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
            if len(run.history) == row["epoch"] == whole.best_epoch + 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(metric=whole.watched, callbacks=[Interrupt()])
    run: Run = vars(caught.value)["run"]
    assert run.digest == run.receipt["epochs"][-1]["weights_sha256"] != whole.digest


def test_settings_of_early_stopping() -> None:
    """What is restored is a flag, and the metric must be measured."""
    with pytest.raises(ArgumentError, match="restore_best must be True or False; got 'yes'"):
        EarlyStopping(restore_best="yes")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="needs a metric of the history, loss, top1; got"):
        make().fit(TRAIN, epochs=1, early_stopping=EarlyStopping(metric="val_loss"))
    with pytest.raises(ArgumentError, match="must be an EarlyStopping; got 3"):
        make().fit(TRAIN, epochs=1, early_stopping=3)  # type: ignore[arg-type]
    run = make().fit(TRAIN, epochs=2, early_stopping=EarlyStopping(metric="loss"))
    assert run.watched == "loss"


def test_early_stopping_of_ones_own() -> None:
    """A subclass decides; it cannot be kept in a folder."""

    class Never(EarlyStopping):
        def stops(self, history: Sequence[Mapping[str, Any]]) -> bool:
            return len(history) == 2

    stopping = Never(metric="val_loss")
    run = make(network()).fit(TRAIN, HELD, epochs=5, early_stopping=stopping)
    assert len(run.history) == 2
    assert run.early_stopping is stopping


def test_the_result_in_run_json_is_that_of_the_receipt(whole: Run) -> None:
    """Both files say the same of the end."""
    record = json.loads((folder_of(whole) / "run.json").read_text())
    assert record["result"] == whole.receipt["final"]
    assert record["result"]["record_sha256"] == whole.model.describe()["digest"]
