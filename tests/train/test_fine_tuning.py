"""Trainings that begin from another model: what is taken over, new and frozen, to which bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.train.small import difference, folder_of, without_times

import isoconv as ic
from isoconv import nn
from isoconv.data import Dataset, Splits
from isoconv.errors import ArgumentError, CheckpointError, NotEnoughMemoryError, ShapeError
from isoconv.nn import Module
from isoconv.nn.architecture import model_of
from isoconv.nn.schema import Fields
from isoconv.run.training import TrainingEngine
from isoconv.train import Callback, Interrupted, Run, Trainer, once, verify
from isoconv.train.freezing import frozen_layers
from isoconv.train.receipt import receipt_digest
from isoconv.train.settings import SETTINGS

FROZEN = ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var")


def data(names: str, count: int = 30, seed: int = 0) -> Dataset:
    """Images of a class for each letter: a bright bar, in another row for each."""
    pixels = np.random.default_rng(seed).integers(0, 128, (count, 6, 6, 1)).astype(np.uint8)
    labels = np.arange(count) % len(names)
    pixels[np.arange(count), labels] += 120
    return Dataset.from_arrays(pixels, labels, list(names), name=f"bars {names}")


SPLITS = Splits(data("abc"), data("abc", 12, 1), data("abc", 9, 2))


def network() -> nn.Sequential:
    """Two convolutions with statistics, dropout before the second one and before the head."""
    return nn.Sequential(
        nn.Conv2d(3, 3), nn.BatchNorm2d(), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 3),
        nn.BatchNorm2d(), nn.GlobalAvgPool2d(), nn.Dropout(0.3), nn.Linear(4),
    )  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learned four other classes, in a file."""
    file = tmp_path_factory.mktemp("start") / "four.safetensors"
    model = network()
    Trainer(model, batch_size=8, progress=False).fit(data("wxyz", 24, 5), epochs=1)
    model.save(file)
    return file


def tune(start: Path | Module, out: Path | None = None, epochs: int = 2, **settings: Any) -> Run:
    """A short training that begins from it."""
    settings = {"batch_size": 8, "shard_size": 4, "progress": False, **settings}
    return Trainer(start=start, **settings).fit(SPLITS, epochs=epochs, out=out)


class Stop(Callback):
    """Interrupts after the first epoch."""

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:  # noqa: ARG002
        """As Ctrl-C does."""
        if row["epoch"] == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("settings", "unchanged"),
    [
        ({}, (*FROZEN, *(name.replace("0.", "4.").replace("1.", "5.") for name in FROZEN))),
        ({"freeze": 2, "backbone_lr": 0.01, "clip_norm": 0.1}, FROZEN),
        (
            {"freeze": ["1", "4"], "augmentation": ic.data.Augmentation(flip=True)},
            (*FROZEN[2:], "4.weight", "4.bias"),
        ),
        ({"backbone_lr": 0.01}, ()),
    ],
    ids=["the head", "two rates behind frozen layers", "by name", "two rates"],
)
def test_the_same_bits_on_every_way(
    settings: dict[str, Any],
    unchanged: tuple[str, ...],
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads, what is computed once, a resume and a verification change none of them."""
    settings = {"seed": 3, **settings}
    run = tune(start, tmp_path / "run", threads=1, **settings)
    taken, learned = ic.load(start).weights, run.model.weights
    own = run.description["model"]
    for name, array in learned.items():
        assert (array.tobytes() == taken[name].tobytes()) is (name in unchanged), name
        assert (name in own["states"]) is (name in unchanged or "running" in name)
    assert verify(tmp_path / "run", None, SPLITS, threads=2, progress=False).identical
    with pytest.raises(Interrupted):
        tune(start, tmp_path / "cut", callbacks=[Stop()], **settings)
    usual: dict[str, Any] = {"batch_size": 8, "shard_size": 4, "progress": False}
    bare = model_of(run.description["record"]["architecture"], "run.json")
    for again in (
        Trainer.from_run(bare, tmp_path / "cut", progress=False),
        Trainer(start=start, **usual, **settings),
    ):
        assert again.resume(tmp_path / "cut", SPLITS).digest == run.digest
    monkeypatch.setattr(once, "cut_behind", lambda *_: None)
    anew = tune(start, threads=2, **settings)
    assert without_times(anew.history) == without_times(run.history)
    assert (anew.digest, anew.test.loss) == (run.digest, run.test.loss)
    receipt = [folder_of(run) / "receipt.json", tmp_path / "cut" / "receipt.json"]
    assert len({json.loads(path.read_text())["digest"] for path in receipt}) == 1


def test_what_frozen_layers_give_is_computed_once(
    start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps see no picture; without memory for that they do, and a person is told."""
    seen: list[set[str]] = []
    engine = TrainingEngine

    def watched(step: Any, arrays: Any, **settings: Any) -> Any:
        seen.append(set(arrays))
        return engine(step, arrays, **settings)

    said = StringIO()
    shown: dict[str, Any] = {"executor": watched, "progress": Console(file=said, width=200)}
    kept = tune(start, **shown).digest

    def full(*_: object, **__: object) -> None:
        raise NotEnoughMemoryError("nothing is left")

    monkeypatch.setattr(once, "check_memory", full)
    assert tune(start, **shown).digest == kept
    assert seen == [{"labels", "cut:0"}, {"labels", "images"}]
    lines = said.getvalue()
    assert "what the frozen layers give for the training data is computed once" in lines
    assert "note: the frozen layers work anew in each epoch: nothing is left" in lines
    assert "frozen with their statistics: 4 of 5 layers: '0', '1', '4', '5'" in lines
    assert "12 arrays taken over; the head, layer '8', is new, for 3 results" in lines


def test_one_data_set_may_be_both_parts(start: Path) -> None:
    """What is learned from may be measured, too: frozen layers work for each of the two graphs."""
    settings: dict[str, Any] = {"batch_size": 8, "shard_size": 4, "progress": False}
    images = data("abc")
    once, again = (
        Trainer(start=start, **settings).fit(images, other, epochs=1).history
        for other in (images, data("abc"))
    )
    assert once[0]["val_loss"] == again[0]["val_loss"]


def test_the_head_stays_for_the_same_classes(start: Path) -> None:
    """Whatever their order; they are numbered as the model has them, and it stays as it was."""
    model = ic.load(start)
    before = model.digest()
    run = Trainer(start=model, freeze="all", progress=False).fit(data("zxyw", 24), epochs=1)
    assert run.model.class_names == ("w", "x", "y", "z")
    assert run.receipt["from"]["new"] == []
    assert run.receipt["from"]["weights_sha256"] == before == model.digest()
    assert run.model.weights["8.weight"].tobytes() != model.weights["8.weight"].tobytes()
    constants = run.model.normalisation, model.normalisation
    assert all(np.array_equal(*pair) for pair in zip(*constants, strict=True))  # type: ignore[arg-type]
    assert run.description["settings"]["normalise"] == "keep"


def test_what_tells_the_places_of_an_image_goes_on_too() -> None:
    """A network with a class for each place has a head like any other."""
    pixels = data("abc", 8).images
    model = nn.Sequential(nn.Conv2d(4, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1)).build((6, 6, 1))
    maps = Dataset.from_arrays(pixels, (pixels[..., 0] // 90).astype(np.int32))
    run = Trainer(start=model, progress=False, normalise=False).fit(maps, epochs=1)
    assert run.receipt["from"]["new"] == ["2.weight", "2.bias"]
    assert run.model.predict(pixels).shape == (8, 6, 6, 3)
    assert run.model.weights["0.weight"].tobytes() == model.weights["0.weight"].tobytes()


def test_a_softmax_at_the_end_is_left_out(start: Path) -> None:
    """The loss contains it, and predictions put it there; so the bits are those without it."""
    plain = ic.load(start)
    ended = nn.Sequential(plain, nn.Softmax()).build((6, 6, 1))
    for name in ("normalisation", "trained_on", "class_names"):
        setattr(ended, name, getattr(plain, name))
    one, other = tune(plain), tune(ended)
    assert one.model.weights["8.bias"].tobytes() == other.model.weights["0.8.bias"].tobytes()
    images = SPLITS.parts["test"].images
    assert one.model.predict(images).tobytes() == other.model.predict(images).tobytes()


def test_what_a_receipt_says_of_the_start_is_verified(start: Path, tmp_path: Path) -> None:
    """Other weights than were taken over, or a head that the seed does not give, are named."""
    run = tune(start, tmp_path / "run", keep_checkpoints=True)
    receipt = json.loads((tmp_path / "run" / "receipt.json").read_text())
    assert sorted(receipt["from"]) == ["digest", "new", "taken_sha256", "weights_sha256"]
    assert receipt["from"]["new"] == ["8.weight", "8.bias"]
    assert receipt["start"] == "given"
    facts = run.description["facts"]["from"]
    assert facts["model"] == str(start)

    def signed(**changed: Any) -> str:
        found = {**receipt, "from": {**receipt["from"], **changed}}
        found["digest"] = receipt_digest(found)
        for name in ("receipt.json", "run.json"):
            path = tmp_path / "run" / name
            content = found if name == "receipt.json" else json.loads(path.read_text())
            path.write_text(json.dumps({**content, "from": found["from"]}))
        checked = verify(tmp_path / "run", None, SPLITS, epochs=(2, 2), progress=False)
        return str(difference(checked).note)

    assert "from.taken_sha256: receipt" in signed(taken_sha256="0" * 64)
    assert "from.taken_sha256: receipt" in signed(new=["8.weight"])
    with pytest.raises(CheckpointError, match=r"from.new must be a list"):
        signed(new=3)


def test_a_start_that_is_another_by_now_is_named(start: Path, tmp_path: Path) -> None:
    """Where a run is gone on with from its model, that must be the one of then, and be there."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(start.read_bytes())
    settings: dict[str, Any] = {"batch_size": 8, "shard_size": 4, "progress": False}
    run = tune(file, tmp_path / "run")
    again = Trainer(start=file, freeze="all", **settings)
    run.model.save(file)
    told = r"as it began only; what differs:\n(.*\n)*from.weights_sha256 "
    with pytest.raises(CheckpointError, match=told):
        again.resume(tmp_path / "run", SPLITS)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"there is no .* at .*model.safetensors"):
        again.resume(tmp_path / "run", SPLITS)
    assert verify(tmp_path / "run", None, SPLITS, progress=False).identical


def test_layers_without_weights_go_with_what_follows() -> None:
    """Dropout between frozen layers is off, before a layer that learns it is on."""
    model = network()
    trace = nn.trace_model(model, (6, 6, 1), training=True).trace
    assert frozen_layers(model, trace, "all") == {*"01234567"} - {"6", "7"}
    assert frozen_layers(model, trace, ("1",)) == {"1"}
    assert frozen_layers(model, trace, 3) == {"0", "1", "2", "3", "4"}
    whole = nn.Sequential(nn.Sequential(*model.steps[:4]), nn.Sequential(*model.steps[4:]))
    inner = nn.trace_model(whole, (6, 6, 1), training=True).trace
    assert frozen_layers(whole, inner, ("0",)) == {"0", "0.0", "0.1"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"freeze": ["9", "body"]}, r"freeze must name layers with weights, of '0', '1', '4', '5',"
                                    r" '8'; got '9', 'body'"),
        ({"freeze": ["2"]}, r"freeze must name layers with weights, .* got '2'"),
        ({"freeze": 5}, "freeze must leave a layer that learns, of the 5 with weights; got 5"),
        ({"freeze": 0}, "freeze must be .*at least 1; got 0"),
        ({"freeze": " , "}, "freeze must be 'all', 'none', a number of layers or names of layers"),
        ({"freeze": [""]}, "freeze must be 'all', 'none', a number of layers or names of layers"),
        ({"freeze": []}, "freeze must be 'all', 'none', a number of layers or names of layers"),
        ({"freeze": True}, "freeze must be 'all', 'none', a number"),
        ({"freeze": "all", "backbone_lr": 0.1}, "backbone_lr must be for layers that learn before"),
        ({"freeze": ["8"], "backbone_lr": 0.1}, "backbone_lr must be for layers that learn before"),
        ({"backbone_lr": 0.0}, "backbone_lr must be .*above 0 .*; got 0.0"),
        ({"model": "lenet5"}, "start brings a model of its own: leave model out; got both"),
        ({"start": 3}, "start must be a Module, or the path or name of a model; got 3"),
        ({"start": nn.Linear(2)}, "start must have weights; this model was not built"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(settings: dict[str, Any], said: str, start: Path) -> None:
    """Before anything is trained, with the rule, the argument and the value."""
    with pytest.raises(ArgumentError, match=said) as caught:
        Trainer(**{"start": start, "progress": False, **settings}).fit(SPLITS, epochs=1)
    assert caught.value.argument in {*SETTINGS}


def test_images_that_the_model_does_not_take_are_refused(start: Path) -> None:
    """Of other channels at once; of another size where a layer before the head minds."""
    colours = np.zeros((4, 6, 6, 3), np.uint8), [0, 1, 0, 1]
    with pytest.raises(ShapeError, match=r"takes images of shape \(6, 6, 1\); .*\(6, 6, 3\)"):
        Trainer(start=start, progress=False).fit(colours, epochs=1)
    large = np.zeros((4, 8, 9, 1), np.uint8), [0, 1, 2, 1]
    assert Trainer(start=start, progress=False).fit(large, epochs=1).model.input_shape == (8, 9, 1)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3), nn.Linear(2)).build((6, 6, 1))
    with pytest.raises(ShapeError, match=r"'1.weight' would have shape \(72, 3\); it has \(36, 3"):
        Trainer(start=flat, progress=False).fit(large, epochs=1)
    behind = nn.Sequential(nn.Flatten(), nn.Linear(2), nn.LayerNorm()).build((6, 6, 1))
    run = Trainer(start=behind, progress=False).fit(large, epochs=1)
    assert run.receipt["from"]["new"] == ["1.weight", "1.bias", "2.weight", "2.bias"]


def test_freezing_stands_in_files_only_where_it_is_said() -> None:
    """So that runs that were made before there was this are as they were."""
    plain = Trainer(network(), progress=False).settings()
    assert not {"freeze", "backbone_lr", "start"} & set(plain)
    schema = Fields({"freeze": SETTINGS["freeze"].schema("freeze")})
    good: list[Any] = ["all", "none", 3, ["0", "1"]]
    for value in good:
        assert not [*schema.faults({"freeze": value}, "")]
    bad: list[Any] = ["some", 0, [], [1], None]
    for value in bad:
        (fault,) = schema.faults({"freeze": value}, "")
        assert fault.rule.startswith("be one of 'all', 'none', or be a whole number")


@pytest.mark.parametrize("settings", [{"freeze": "all"}, {"freeze": 1}, {"backbone_lr": 0.1}])
def test_nothing_is_held_back_that_never_learned(settings: dict[str, Any]) -> None:
    """Freezing, or a rate of its own before the head, needs a model to begin from."""
    with pytest.raises(ArgumentError, match="have learned nothing") as caught:
        Trainer("lenet5", progress=False, **settings).fit(data("xy"), epochs=1)
    assert caught.value.argument == next(iter(settings))


def test_a_built_model_that_never_learned_is_not_frozen_without_a_word() -> None:
    """With the seed's own weights it is refused; with others it is said, unless it was trained."""
    fresh = network().build((6, 6, 1))
    with pytest.raises(ArgumentError, match="freeze must be left out: the model's weights are"):
        Trainer(fresh, freeze=1, batch_size=8, progress=False).fit(SPLITS, epochs=1)
    other = network().build((6, 6, 1), seed=5)
    for settings in ({"start": other}, {"model": other, "freeze": 1}):
        trainer = Trainer(batch_size=8, progress=False, **settings)
        notes = trainer.fit(SPLITS, epochs=1).notes
        assert any("knows of no training" in line for line in notes)
    trained = Trainer(other, freeze=1, batch_size=8, progress=False).fit(SPLITS, epochs=1)
    assert not any("knows of no training" in line for line in trained.notes)
