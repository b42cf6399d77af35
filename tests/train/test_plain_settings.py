"""Settings as plain values: all that is kept can be read back, or is refused before it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.small import make, network, noise

from isoconv.data import Augmentation
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.train import EarlyStopping, Trainer, optim, verify
from isoconv.train.learning_rate import Constant, Cosine, OneCycle, Step, WarmUp
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD, Adam, AdamW
from isoconv.train.plain_settings import _versions, check_stored, from_plain, to_plain


@dataclass(frozen=True)
class Halves:
    """A schedule of a person's own: half the rate in every second step."""

    def at(self, step: int, total: int, per_epoch: int = 1) -> float:
        """The factor of a step."""
        return 1.0 if step % 2 == 0 or step * per_epoch > total**2 else 0.5


@dataclass(frozen=True, slots=True)
class Named(SGD):
    """An optimizer of a person's own."""


class Patient(EarlyStopping):
    """Early stopping of a person's own."""


Sgd = type("SGD", (SGD,), {"__doc__": "It has the name of the library's own, and is another one."})


@pytest.mark.parametrize(
    "value",
    [
        SGD(0.1, 0.9, True, 0.01),
        Adam(0.001),
        AdamW(0.01, eps=1e-6),
        Augmentation(flip=True, rotation=5, fill=3),
        Constant(),
        Cosine(0.1),
        OneCycle(0.2),
        Step(3),
        WarmUp(2, WarmUp(1, Step(2))),
        EarlyStopping(3, "val_top1", 0.01, restore_best=False),
        Loss("cross_entropy", 0.1),
        Loss("focal", class_weights=(0.5, 2.0)),
        None,
        "text",
        [1, 2.5, None, True, {"a": [{}]}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_librarys_own_settings_come_back(value: Any) -> None:
    """Through JSON and back they are what they were."""
    check_stored("it", value, "RUN")
    assert from_plain(json.loads(json.dumps(to_plain(value)))) == value


@pytest.mark.parametrize(
    "value",
    [
        Halves(),
        Named(0.1),
        Sgd(0.1),
        WarmUp(2, Halves()),
        lambda x: x,
        {"a": object()},
        float("nan"),
        [1e400],
        10**30,
        1j,
        {"type": "cat"},
        {"type": ["SGD"]},
        {"type": "SGD"},
        b"bytes",
        {1, 2},
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    """The message names the setting, its kind and where it was to be kept."""
    with pytest.raises(ArgumentError, match=rf"it must be .* RUN .*; got {type(value).__name__}"):
        check_stored("it", value, "RUN")


def test_what_holds_itself_is_refused() -> None:
    """A list inside itself has no end."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ArgumentError, match="it must be made of"):
        check_stored("it", endless, "RUN")
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(ArgumentError, match="nested deeper than 250 levels"):
        check_stored("it", deep, "RUN")


@pytest.mark.parametrize(
    ("settings", "name", "kind"),
    [
        ({"schedule": Halves()}, "schedule", "Halves"),
        ({"schedule": WarmUp(1, Halves())}, "schedule", "WarmUp"),
        ({"optimizer": Named(0.1)}, "optimizer", "Named"),
        ({"optimizer": Sgd(0.1)}, "optimizer", "SGD"),
    ],
)
def test_settings_of_ones_own_train_without_a_folder(
    tmp_path: Path, settings: dict[str, Any], name: str, kind: str
) -> None:
    """They do what they say; with a folder they are refused before anything is written."""
    run = make(network(), **{"schedule": None, **settings}).fit(noise(), noise(10, 1), epochs=2)
    assert len(run.history) == 2
    held = run.receipt["settings"][name]
    assert {"cannot be stored": kind} in (held, held.get("then")) or kind == "WarmUp"
    out = tmp_path / "run"
    with pytest.raises(ArgumentError, match=rf"{name} must be .*got {kind}.*without a run folder"):
        make(**settings).fit(noise(), epochs=1, out=out)
    assert not out.exists()


def test_a_schedule_of_ones_own_decides_the_rates() -> None:
    """The rate of an epoch's last step stands in the history."""
    run = make(schedule=Halves(), optimizer=SGD(0.25)).fit(noise(), epochs=1)
    assert run.history[0]["learning_rate"] == 0.125


def test_early_stopping_and_facts_are_looked_at_too(tmp_path: Path) -> None:
    """All that stands in run.json must come back."""
    with pytest.raises(ArgumentError, match=r"early_stopping must be .*got Patient"):
        make().fit(noise(), noise(10, 1), epochs=1, out=tmp_path, early_stopping=Patient())
    with pytest.raises(ArgumentError, match=r"facts\['who'\] must be .*got object"):
        make().fit(noise(), epochs=1, out=tmp_path, facts={"who": object()})
    with pytest.raises(ArgumentError, match="facts must be a dict of plain values; got 'me'"):
        make().fit(noise(), epochs=1, facts="me")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_kept_as_pythons(tmp_path: Path) -> None:
    """A run with them is read back, resumed and verified as with Python's own."""
    numbers: dict[str, Any] = {
        "optimizer": SGD(np.float64(0.125), np.float64(0.5)),
        "schedule": Cosine(np.float64(0.25)),
        "clip_norm": np.float64(1.0),
    }
    plain: dict[str, Any] = {
        "optimizer": SGD(0.125, 0.5),
        "schedule": Cosine(0.25),
        "clip_norm": 1.0,
    }
    facts = {"a": np.int64(3), "b": np.array([1.5, 2.5]), "c": np.str_("x"), "d": np.bool_(True)}
    run = make(**numbers).fit(noise(), epochs=2, out=tmp_path / "run", facts=facts)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["facts"] == {"a": 3, "b": [1.5, 2.5], "c": "x", "d": True}
    assert make(**numbers).settings() == make(**plain).settings()
    assert all(
        type(value) in (float, int, str, bool, dict, type(None))
        for value in make(**numbers).settings().values()
    )
    more: dict[str, Any] = {
        "batch_size": np.int64(8),
        "shard_size": np.uint8(4),
        "seed": np.uint64(2**64 - 1),
    }
    # No annotation promises that they are taken.
    known: Any = np
    stopping = EarlyStopping(
        known.int64(3), "loss", known.float32(0.5), restore_best=known.bool_(False)
    )
    again = make(optimizer=SGD(known.float32(0.5)), **more).fit(
        noise(), epochs=known.int32(1), out=tmp_path / "again", early_stopping=stopping
    )
    assert again.receipt["settings"]["seed"] == 2**64 - 1
    assert again.receipt["settings"]["optimizer"]["learning_rate"] == 0.5
    assert again.receipt["settings"]["early_stopping"]["min_delta"] == 0.5
    assert verify(tmp_path / "again", None, noise()).identical
    for settings in (numbers, plain):
        assert make(**settings).resume(tmp_path / "run", noise()).digest == run.digest
    assert verify(tmp_path / "run", None, noise()).identical


def test_a_trainer_of_a_run_has_its_settings(tmp_path: Path) -> None:
    """All settings come from the folder; the options are free, and others are refused."""
    trainer = make(seed=7, normalise=False, shard_size=2)
    trainer.fit(noise(), epochs=1, out=tmp_path / "run")
    again = Trainer.from_run(network(), tmp_path / "run", threads=1, progress=False)
    assert again.settings() == trainer.settings()
    assert again.threads == 1
    with pytest.raises(ArgumentError, match=r"a run takes threads, .*; got batch_size, sed"):
        Trainer.from_run(network(), tmp_path / "run", batch_size=3, sed=1)
    with pytest.raises(ArgumentError, match="threads must be a whole number"):
        Trainer.from_run(network(), tmp_path / "run", threads=0)
    with pytest.raises(ArgumentError, match="no model is called 'lenet'"):
        Trainer.from_run("lenet", tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("seed"),
            r"run\.json cannot be read: settings\.seed must be there; got nothing",
        ),
        (lambda s: s.update(momentum=1), r"settings\.momentum must not be there"),
        (lambda s: s.update(seed=-1), "seed must be a whole number"),
        (
            lambda s: s.update(optimizer={"type": "Nope"}),
            r"settings\.optimizer\.type must be one of SGD, Adam, AdamW; got 'Nope'",
        ),
        (
            lambda s: s.update(optimizer={"type": "SGD"}),
            r"settings\.optimizer\.learning_rate must be there; got nothing",
        ),
        (
            lambda s: s.update(optimizer={"type": {}}),
            r"settings\.optimizer\.type must be one of SGD, Adam, AdamW; got {}",
        ),
        (lambda s: s.update(loss=None), "cannot be read"),
        (
            lambda s: s.update(schedule={"cannot be stored": "Mine"}),
            r"settings\.schedule must be settings of a kind that can be stored; got 'Mine'",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, change: Callable[[Any], object], message: str
) -> None:
    """An edited run.json is told with what is wrong in it."""
    make().fit(noise(), epochs=1, out=tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    change(record["settings"])
    path.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=message):
        Trainer.from_run(network(), tmp_path / "run")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("settings",), []),
        (("settings", "epochs"), 2.5),
        (("settings", "epochs"), None),
        (("settings", "early_stopping"), {"type": "SGD", "learning_rate": 0.1}),
        (("settings", "early_stopping"), {"type": "EarlyStopping", "patience": 0}),
        (("record",), "text"),
        (("record", "class_names"), [1, 2]),
        (("record", "normalisation"), {"scale": [1], "offset": []}),
        (("facts",), 3),
        (("versions",), None),
        (("keep_checkpoints",), 1),
        (("result",), {"stopped": 3}),
        (("result",), "done"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(
    tmp_path: Path, place: tuple[str, ...], value: Any
) -> None:
    """Whatever of run.json a resume needs has its kind."""
    make().fit(noise(), epochs=1, out=tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    held = record
    for key in place[:-1]:
        held = held[key]
    held[place[-1]] = value
    path.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="run"):
        make().resume(tmp_path / "run", noise())
    held.pop(place[-1])
    path.write_text(json.dumps(record))
    if place != ("result",):
        with pytest.raises(CheckpointError, match="run"):
            make().resume(tmp_path / "run", noise())


def test_public_names_are_the_same() -> None:
    """What settings are called in files is what they are called in Python."""
    for name in ("SGD", "Adam", "AdamW"):
        assert to_plain(getattr(optim, name)(0.1))["type"] == name


def test_the_version_is_that_of_the_code_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was installed: a copy that comes first on the path has a version of its own."""
    monkeypatch.setattr("isoconv.__version__", "9.9")
    assert _versions.__wrapped__()["isoconv"] == "9.9"
