"""Runs that are gone on with up to more epochs, exactly, and in their receipts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.train.power_cut import PowerCut, begin
from tests.train.small import difference, make, noise

from isoconv import load
from isoconv.errors import ArgumentError, CheckpointError, DataWarning
from isoconv.train import (
    Callback,
    Checkpoint,
    EarlyStopping,
    Receipt,
    Run,
    RunFolder,
    diff,
    session,
    verify,
)
from isoconv.train.layout import RUN
from isoconv.train.learning_rate import Constant, Cosine
from isoconv.train.receipt import receipt_digest
from isoconv.train.stretches import Stretch, Stretches

PARTS = noise(28), noise(10, 1), noise(8, 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs."""
    out = tmp_path_factory.mktemp("stretches") / "run"
    make(schedule=Cosine()).fit(*PARTS, epochs=3, out=out)
    return out


@pytest.fixture(scope="module")
def longer(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, gone on with up to five."""
    out = tmp_path_factory.mktemp("longer") / "run"
    shutil.copytree(finished, out)
    make(schedule=Cosine()).resume(out, *PARTS, epochs=5)
    return out


def digest(out: Path) -> str:
    """All that is compared of a receipt."""
    return str(Receipt.read(out).content["digest"])


def stretches(out: Path) -> list[tuple[int, ...]]:
    """What run.json and the receipt both say."""
    (settings,) = {
        json.dumps(json.loads((out / name).read_text())["settings"])
        for name in ("run.json", "receipt.json")
    }
    rows = Stretches.of(json.loads(settings)).rows
    return [(row.after, row.until) for row in rows]


def test_a_stretch_has_a_schedule_of_its_own(finished: Path, longer: Path) -> None:
    """The first epochs stay as they were; the further ones begin with the schedule's start."""
    before, after = Receipt.read(finished), Receipt.read(longer)
    assert after.entries[:4] == before.entries
    assert stretches(longer) == [(0, 3), (3, 5)]
    assert "stretches" not in before.settings
    rates = [row["learning_rate"] for row in after.history]
    steps, rate = 4, 0.01
    for epoch, place, total in ((1, 4, 12), (2, 8, 12), (3, 12, 12), (4, 4, 8), (5, 8, 8)):
        assert rates[epoch - 1] == rate * Cosine().at(place - 1, total, steps)
    assert after.content["final"]["epochs"] == 5


def test_it_is_another_run_than_one_from_the_beginning(longer: Path, tmp_path: Path) -> None:
    """Diff names the stretches, and the first epoch already is another one."""
    run = make(schedule=Cosine()).fit(*PARTS, epochs=5, out=tmp_path / "five")
    assert not any("gone on with" in note for note in run.notes)
    found = diff(longer, tmp_path / "five")
    assert any(line.startswith("settings.stretches: A [{") for line in found.head)
    assert found.place is not None
    assert found.place.epoch == 1
    assert found.place.metric == "learning_rate" or found.place.step is not None


def test_verify_reproduces_it(longer: Path) -> None:
    """All of it, and each stretch by itself from the state that was kept between them."""
    found = verify(longer, None, *PARTS)
    assert found.identical
    assert "checkpoints/epoch-00003.safetensors" in found.compared
    assert not verify(longer, None, *PARTS, epochs=(4, 5)).different
    with pytest.raises(CheckpointError, match="no checkpoint of the state after epoch 2"):
        verify(longer, None, *PARTS, epochs=(3, 5))


@pytest.mark.parametrize("row", [{"after": 3, "until": 6}, {"after": 2, "until": 5}])
def test_another_stretch_is_found(longer: Path, tmp_path: Path, row: dict[str, int]) -> None:
    """A receipt that was made anew with other stretches is not what is computed."""
    out = tmp_path / "run"
    shutil.copytree(longer, out)
    content = json.loads((out / "receipt.json").read_text())
    content["settings"]["stretches"][1] = row
    content["settings"]["epochs"] = row["until"]
    content["final"]["stopped"] = "" if row["until"] == 5 else "enough"
    content["digest"] = receipt_digest(content)
    (out / "receipt.json").write_text(json.dumps(content))
    (out / "run.json").unlink()
    found = verify(out, None, *PARTS)
    assert found.different
    assert difference(found).epoch == (4 if row["until"] == 6 else 3)


def test_the_end_so_far_stays_at_hand(finished: Path, longer: Path) -> None:
    """What the run had come to is its state after that epoch, and can be loaded."""
    assert load(longer, epoch=3).digest() == load(finished).digest() != load(longer).digest()
    assert not (longer / "checkpoints" / "epoch-00004.safetensors").exists()


def test_a_note_says_so(longer: Path) -> None:
    """Whoever has the run in hand is told, then and whenever it is asked for again."""
    run = make(schedule=Cosine()).resume(longer, *PARTS)
    (note,) = [note for note in run.notes if "gone on with" in note]
    assert note == (
        "the run was to have 3 epochs and was gone on with after 3 up to 5: the schedule begins "
        "anew with each stretch, so these are not the weights of a run of 5 epochs from its start"
    )


@pytest.mark.parametrize("epochs", [None, 5])
def test_killed_in_its_second_stretch(
    finished: Path, longer: Path, tmp_path: Path, epochs: int | None
) -> None:
    """With or without saying it again, it goes on to the end of the stretch, to the same bits."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)

    cut(out, 5, 4)
    assert Receipt.read(out).content["final"] is None
    with pytest.warns(DataWarning, match="these are the weights of epoch 3, those of its earlier"):
        assert load(out).digest() == load(finished).digest()
    found = verify(out, None, *PARTS)
    assert not found.different
    assert "weights.safetensors" in found.compared
    make(schedule=Cosine()).resume(out, *PARTS, epochs=epochs)
    assert load(out).digest() == load(longer).digest()
    assert "earlier" not in json.loads((out / "run.json").read_text())
    assert digest(out) == digest(longer)
    assert verify(out, None, *PARTS).identical


def test_a_run_that_is_not_at_its_end_comes_to_it_first(longer: Path, tmp_path: Path) -> None:
    """Interrupted in its first stretch, it becomes the same run as one that had ended."""
    begin(tmp_path / "run", *PARTS, schedule=Cosine())
    make(schedule=Cosine()).resume(tmp_path / "run", *PARTS, epochs=5)
    assert digest(tmp_path / "run") == digest(longer)
    assert (tmp_path / "run" / "checkpoints" / "epoch-00003.safetensors").exists()


def test_a_third_stretch_and_one_that_never_begins(longer: Path, tmp_path: Path) -> None:
    """A run can be gone on with again; further epochs may be asked for before any was trained."""
    shutil.copytree(longer, tmp_path / "run")
    make(schedule=Cosine()).resume(tmp_path / "run", *PARTS, epochs=6)
    assert stretches(tmp_path / "run") == [(0, 3), (3, 5), (5, 6)]
    assert verify(tmp_path / "run", None, *PARTS).identical
    begin(tmp_path / "other", *PARTS, schedule=Cosine())
    for epochs in (5, 6):
        cut = make(schedule=Cosine(), callbacks=[PowerCut()])
        with pytest.raises(RuntimeError, match="power cut"):
            cut.resume(tmp_path / "other", *PARTS, epochs=epochs)
    make(schedule=Cosine()).resume(tmp_path / "other", *PARTS)
    assert digest(tmp_path / "other") == digest(tmp_path / "run")


@pytest.mark.slow
def test_early_stopping_and_stretches(tmp_path: Path) -> None:
    """A run that early stopping ended goes on; its patience begins anew; the best epoch stays."""
    out = tmp_path / "run"
    stopping = EarlyStopping(2, "val_loss", min_delta=10.0)
    trainer = make(schedule=Constant())
    assert trainer.fit(*PARTS, epochs=6, out=out, early_stopping=stopping).stopped
    assert Receipt.read(out).epochs == 3
    run = make(schedule=Constant()).resume(out, *PARTS, epochs=9)
    assert stretches(out) == [(0, 6), (3, 9)]
    # Never better by 10: the first epoch of a stretch is its best, and two more are waited for.
    assert len(run.history) == 6
    assert run.stopped == stopping.reason
    assert run.best_epoch == min(run.history, key=lambda row: row["val_loss"])["epoch"]
    assert verify(out, None, *PARTS).identical
    again = make(schedule=Constant()).resume(out, *PARTS)
    assert len(again.history) == 6
    # What it did not come to can be asked for again, as a stretch of its own.
    make(schedule=Constant()).resume(out, *PARTS, epochs=9)
    assert stretches(out) == [(0, 6), (3, 9), (6, 9)]
    assert verify(out, None, *PARTS).identical


def test_what_cannot_be_asked_for(finished: Path, longer: Path) -> None:
    """Fewer epochs than there are, or are to be; as many as there are change nothing."""
    trainer = make(schedule=Cosine())
    before = {path: path.read_bytes() for path in longer.rglob("*") if path.is_file()}
    with pytest.raises(ArgumentError, match="at least the 5 that the run has; got 4"):
        trainer.resume(longer, *PARTS, epochs=4)
    with pytest.raises(ArgumentError, match="epochs must be a whole number"):
        trainer.resume(longer, *PARTS, epochs=0)
    assert len(trainer.resume(longer, *PARTS, epochs=5).history) == 5
    assert {path: path.read_bytes() for path in longer.rglob("*") if path.is_file()} == before
    assert len(trainer.resume(finished, *PARTS).history) == 3


class Cut(Callback):
    """Ends everything after an epoch, as a kill does."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """The end."""
        if row["epoch"] == self.epoch:
            raise RuntimeError(f"cut in {run}")


class Killed(Callback):
    """Ends everything before the first step."""

    def on_train_begin(self, run: Run) -> None:
        """The end."""
        raise RuntimeError(f"killed in {run}")


def cut(out: Path, epochs: int, where: int, *, schedule: None = None) -> None:
    """A run that is asked for so many epochs, and ends before it has them."""
    callback = Cut(where) if where else Killed()
    with pytest.raises(RuntimeError, match=r"cut in|killed in"):
        make(schedule=schedule or Cosine(), callbacks=[callback]).resume(out, *PARTS, epochs=epochs)


@pytest.mark.parametrize(
    ("where", "fewer", "rows", "same"),
    [
        # Nothing was trained of the stretch: it is another one, or none.
        (0, 5, [(0, 3), (3, 5)], "longer"),
        (0, 3, [(0, 3)], "finished"),
        # What was trained of it was trained by its schedule.
        (4, 4, [(0, 3), (3, 20)], ""),
        (4, 5, [(0, 3), (3, 20), (4, 5)], ""),
    ],
)
def test_fewer_than_were_asked_for(
    finished: Path,
    longer: Path,
    tmp_path: Path,
    where: int,
    fewer: int,
    rows: list[tuple[int, ...]],
    same: str,
) -> None:
    """As soon as it is interrupted, a run can be told another end, down to what it has."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    cut(out, 20, where)
    make(schedule=Cosine()).resume(out, *PARTS, epochs=fewer)
    assert stretches(out) == rows
    assert Receipt.read(out).epochs == Receipt.read(out).planned == fewer
    assert verify(out, None, *PARTS).identical
    whole = {"longer": longer, "finished": finished}.get(same)
    if whole is not None:
        assert digest(out) == digest(whole)
    with pytest.raises(ArgumentError, match=f"at least the {fewer} that the run has; got 2"):
        make(schedule=Cosine()).resume(out, *PARTS, epochs=2)
    # And it can be gone on with again.
    make(schedule=Cosine()).resume(out, *PARTS, epochs=6)
    assert verify(out, None, *PARTS).identical


def test_what_was_asked_for_later_is_kept(finished: Path, tmp_path: Path) -> None:
    """Each wish for other epochs with the facts of who had it, and none that changes nothing."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    trainer = make(schedule=Cosine())
    for epochs, command in ((3, "a"), (4, "b"), (None, "c"), (4, "d"), (5, "e")):
        trainer.resume(out, *PARTS, epochs=epochs, facts={"command": command})
    described = json.loads((out / "run.json").read_text())
    assert described["further"] == [
        {"epochs": 4, "facts": {"command": "b"}},
        {"epochs": 5, "facts": {"command": "e"}},
    ]
    found = verify(out, None, *PARTS)
    assert found.identical
    assert "further" in next(note for note in found.notes if note.startswith("not covered"))
    wrong: tuple[tuple[Any, str], ...] = (
        (3, "must be a dict of plain"),
        ({"a": object()}, "to be kept in"),
    )
    for facts, message in wrong:
        with pytest.raises(ArgumentError, match=message):
            trainer.resume(out, *PARTS, epochs=9, facts=facts)


def test_fewer_in_the_first_stretch(tmp_path: Path) -> None:
    """A run that never ended is told another end in the same way."""
    begin(tmp_path / "run", *PARTS, schedule=Cosine())
    run = make(schedule=Cosine()).resume(tmp_path / "run", *PARTS, epochs=1)
    assert stretches(tmp_path / "run") == [(0, 3)]
    assert [row["epoch"] for row in run.history] == [1]
    assert [note for note in run.notes if "schedule" in note] == [
        "the run was to have 3 epochs, and then was to have 1: the last schedule does not come to "
        "its end, so these are not the weights of a run of 1 epoch from its start"
    ]
    assert verify(tmp_path / "run", None, *PARTS).identical


def test_fewer_after_more_were_asked_for(tmp_path: Path) -> None:
    """A stretch that never began goes, and the one before keeps the end that it was to have."""
    begin(tmp_path / "run", *PARTS, schedule=Cosine())
    cut(tmp_path / "run", 5, 2)
    for epochs, rows in ((4, [(0, 3), (3, 4)]), (3, [(0, 3)])):
        out = tmp_path / str(epochs)
        shutil.copytree(tmp_path / "run", out)
        make(schedule=Cosine()).resume(out, *PARTS, epochs=epochs)
        assert stretches(out) == rows
        assert verify(out, None, *PARTS).identical


def test_the_epoch_under_way_comes_to_its_end(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an epoch, the least is the end of that."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    monkeypatch.setattr(session, "CALL_SECONDS", 0.0)
    save = RunFolder.save

    def then_end(folder: RunFolder, checkpoint: Checkpoint) -> None:
        save(folder, checkpoint)
        if checkpoint.step:
            raise RuntimeError("cut in its first step")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", then_end)
        with pytest.raises(RuntimeError, match="cut in"):
            make(schedule=Cosine(), save_every=0).resume(out, *PARTS, epochs=20)
    with pytest.raises(ArgumentError, match="at least the 4 that the run has; got 3"):
        make(schedule=Cosine()).resume(out, *PARTS, epochs=3)
    make(schedule=Cosine()).resume(out, *PARTS, epochs=5)
    assert stretches(out) == [(0, 3), (3, 20), (4, 5)]
    assert verify(out, None, *PARTS).identical


def test_weights_of_somebody_else_are_not_taken_for_the_run_s(
    finished: Path, longer: Path, tmp_path: Path
) -> None:
    """What is to stay must be what the run has come to; what run.json says of it is compared."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    shutil.copy(longer / "weights.safetensors", out / "weights.safetensors")
    with pytest.raises(CheckpointError, match="must hold what the run has come to"):
        make(schedule=Cosine()).resume(out, *PARTS, epochs=5)
    shutil.copy(finished / "weights.safetensors", out / "weights.safetensors")
    cut(out, 5, 4)
    content = json.loads((out / "run.json").read_text())
    content["earlier"]["epoch"] = 2
    (out / "run.json").write_text(json.dumps(content))
    assert "earlier.epoch: epoch 2 was no end" in str(verify(out, None, *PARTS))
    content["earlier"]["epoch"] = 3
    (out / "run.json").write_text(json.dumps(content))
    shutil.copy(longer / "weights.safetensors", out / "weights.safetensors")
    assert "weights.safetensors (epoch 3)" in str(verify(out, None, *PARTS))
    with pytest.raises(CheckpointError, match="a finished run is not trained over"):
        make(schedule=Cosine()).resume(out, *PARTS)


def test_without_a_receipt(finished: Path, tmp_path: Path) -> None:
    """A run whose receipt was deleted goes on without one."""
    shutil.copytree(finished, tmp_path / "run")
    for name in ("receipt.json", "steps.jsonl"):
        (tmp_path / "run" / name).unlink()
    run = make(schedule=Cosine()).resume(tmp_path / "run", *PARTS, epochs=5)
    assert len(run.history) == 5
    assert not (tmp_path / "run" / "receipt.json").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, 3), (3, 5)], "settings.stretches.0."),
        ([(0, 3), (4, 5)], "settings.stretches.1."),
        ([(0, 3), (0, 5)], "settings.stretches.1."),
        ([(0, 3), (3, 3)], "settings.stretches.1."),
        ([(0, 3), (3, 4)], "epochs"),
        ([(0, 5)], "stretches"),
    ],
)
def test_stretches_that_make_no_sense(
    longer: Path, rows: list[tuple[int, ...]], message: str
) -> None:
    """The schema refuses them, wherever they stand."""
    content = json.loads((longer / "run.json").read_text())
    assert list(RUN.faults(content, "")) == []
    content["settings"]["stretches"] = [{"after": a, "until": u} for a, u in rows]
    faults = [str(fault) for fault in RUN.faults(content, "")]
    assert faults
    assert message.replace(".0.", "[0]").replace(".1.", "[1]") in faults[0]


def test_stretches_as_values() -> None:
    """Which stretch an epoch is in, and what they become."""
    found = Stretches.single(10).extended(7, 20)
    assert found.rows == (Stretch(0, 10), Stretch(7, 20))
    assert [found.at(epoch).after for epoch in (0, 6, 7, 19)] == [0, 0, 7, 7]
    assert (found.epochs, found.starts) == (20, frozenset({7}))
    assert Stretches.of(found.plain()) == found
    assert Stretches.single(10).may_become(found, 7)
    assert not Stretches.single(10).may_become(found, 6)
    assert not Stretches.single(10).may_become(Stretches.single(10), 10)
