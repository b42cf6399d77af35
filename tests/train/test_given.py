"""What a training is given: its parts, their classes, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.train.small import difference, make, network, noise

from isoconv import nn
from isoconv.data import Dataset, Splits, load_splits
from isoconv.errors import ArgumentError, CheckpointError, DataError
from isoconv.graph.operation import Array
from isoconv.train import Run, Trainer, evaluate, verify
from isoconv.train.given import Given


def named(count: int, seed: int, names: list[str]) -> Dataset:
    """Small random images of two classes that have names."""
    data = noise(count, seed)
    return Dataset.from_arrays(data.images, data.labels, names, name=f"pictures {seed}")


def turned(data: Dataset) -> Dataset:
    """The same data with its classes told in the other order."""
    return Dataset.from_arrays(data.images, 1 - data.labels, data.class_names[::-1], name="turned")


def metrics(run: Run) -> list[dict[str, float]]:
    """The history without what the clock decides."""
    return [
        {name: value for name, value in row.items() if "second" not in name} for row in run.history
    ]


# Parts


def test_splits_are_given_whole(tmp_path: Path) -> None:
    """`Splits` in one piece train as their parts do, and what made them is kept."""
    splits = Splits(noise(28), noise(10, 1), noise(10, 2), {"split_seed": 5})
    run = make().fit(splits, epochs=2, out=tmp_path / "run")
    apart = make().fit(*splits, epochs=2)
    assert run.digest == apart.digest
    assert metrics(run) == metrics(apart)
    assert run.receipt["split"] == {"split_seed": 5}
    assert apart.receipt["split"] == {}
    assert list(run.receipt["data"]) == ["train", "validation", "test"]
    assert verify(tmp_path / "run", None, splits).identical
    found = verify(tmp_path / "run", None, *splits)
    assert not found.different
    assert "receipt.json (isoconv, machine, model.name, split)" in found.notes[0]
    assert make().resume(tmp_path / "run", splits).digest == run.digest
    with pytest.raises(ArgumentError, match="Splits hold all parts; got a validation or test"):
        make().fit(splits, noise(10, 1), epochs=1)
    with pytest.raises(ArgumentError, match="Splits hold all parts"):
        make().fit(splits, test=noise(10, 1), epochs=1)


def test_parts_that_were_split_off_are_given_whole() -> None:
    """What `load_splits` gives goes straight into fit; a part that is unwanted is none."""
    splits = load_splits((noise(60).images, noise(60).labels), validation=0.2, test=0)
    run = make().fit(splits, epochs=1)
    assert {part: row["samples"] for part, row in run.receipt["data"].items()} == {
        "train": 48,
        "validation": 12,
    }
    assert run.receipt["split"]["validation"] == 0.2
    assert run.test is None
    assert run.receipt["final"]["test"] is None


def test_the_test_part_is_measured_once_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the weights that the training leaves; in the receipt it is exact."""
    seen = []
    real = evaluate.__globals__["Evaluator"].run

    def run_(self: Any, weights: dict[str, Array], data: Dataset, **wanted: bool) -> Any:
        seen.append(data.name)
        return real(self, weights, data, **wanted)

    monkeypatch.setattr(evaluate.__globals__["Evaluator"], "run", run_)
    run = make().fit(noise(28), noise(10, 1), noise(12, 2), epochs=2, out=tmp_path / "run")
    assert seen == ["noise 1", "noise 1", "noise 2"]
    assert run.test is not None
    assert run.test.predictions.shape == (12,)
    found = evaluate(run.model, noise(12, 2))
    assert found.metrics == run.test.metrics
    exact = {name: value.hex() for name, value in found.metrics.items()}
    assert run.receipt["final"]["test"] == exact
    assert json.loads((tmp_path / "run" / "run.json").read_text())["result"]["test"] == exact
    assert "test_loss" not in run.history[-1]


def test_a_forged_measurement_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights agree, what they gave on the test part does not."""
    from isoconv.train import metrics as room

    make().fit(noise(28), noise(10, 1), noise(12, 2), epochs=1, out=tmp_path / "run")
    real = room._mean
    monkeypatch.setattr(
        room, "_mean", lambda values: real(values) + (0.25 if len(values) == 12 else 0)
    )
    place = difference(verify(tmp_path / "run", None, noise(28), noise(10, 1), noise(12, 2)))
    assert place.where == "the measurement on the test part"
    assert place.note.startswith('final.test.loss: receipt "0x1.')


def test_without_data_there_is_no_training() -> None:
    """None, a name, and a list that is no pair say what is taken."""
    others: tuple[Any, ...] = (None, "fashion-sample", [noise()])
    for wrong in others:
        with pytest.raises(ArgumentError, match="must be a Dataset or a pair"):
            make().fit(wrong, epochs=1)


# Classes


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    """Parts that tell their classes in another order train and measure the same."""
    train, held, test = (named(28, 0, ["cat", "dog"]), named(10, 1, ["cat", "dog"]),
                         named(10, 2, ["cat", "dog"]))  # fmt: skip
    run = make().fit(train, held, test, epochs=2, out=tmp_path / "run")
    other = make().fit(train, turned(held), turned(test), epochs=2)
    assert metrics(other) == metrics(run)
    assert other.receipt["final"] == run.receipt["final"]
    assert other.receipt["data"] == run.receipt["data"]
    assert run.model.class_names == ("cat", "dog")
    # The order of the run goes before that of what is given later.
    assert verify(tmp_path / "run", None, turned(train), turned(held), turned(test)).identical
    assert make().resume(tmp_path / "run", turned(train), turned(held), turned(test)).digest == (
        run.digest
    )


def test_a_trained_model_keeps_the_order_of_its_classes() -> None:
    """What it is trained on next is told in its own order."""
    train = named(28, 0, ["cat", "dog"])
    runs = []
    for data in (train, turned(train)):
        model = network()
        make(model).fit(train, epochs=1)
        runs.append(make(model).fit(data, epochs=1))
    assert runs[0].digest == runs[1].digest
    assert runs[1].model.class_names == ("cat", "dog")
    with pytest.raises(DataError, match="unknown: 'cow'; the model knows: 'cat', 'dog'"):
        make(runs[0].model).fit(named(28, 0, ["cow", "dog"]), epochs=1)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_unknown_class_is_refused_with_both_lists(part: str) -> None:
    """A class that is not learned cannot be measured."""
    other: dict[str, Any] = {part: named(10, 1, ["cat", "wolf"])}
    with pytest.raises(DataError, match=r"pictures 1: .*unknown: 'wolf'; .*knows: 'cat', 'dog'"):
        make().fit(named(28, 0, ["cat", "dog"]), **other, epochs=1)


def test_a_part_may_lack_classes() -> None:
    """A class without a sample needs no match."""
    held = Dataset.from_arrays(noise(10).images, np.zeros(10, int), ["dog", "never"])
    run = make().fit(named(28, 0, ["cat", "dog"]), held, epochs=1)
    assert run.history[0]["val_top1"] == evaluate(run.model, held).top1


def test_numbers_are_counted_over_all_parts(tmp_path: Path) -> None:
    """Classes that nobody named are as many as the parts have together, in a resume, too."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3))
    held = (noise(10, 1).images, np.arange(10) % 3)
    run = make(model, augmentation=None).fit(noise(28), held, epochs=1, out=tmp_path / "run")
    assert run.model.class_names == ("0", "1", "2")
    again = make(nn.Sequential(nn.Flatten(), nn.Linear(3)), augmentation=None)
    assert again.resume(tmp_path / "run", noise(28), held).digest == run.digest
    assert verify(tmp_path / "run", None, noise(28), held).identical


def test_notes_on_the_data_are_counted_where_a_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were told when it began; none is lost, and warnings are told in full again."""
    data = replace(noise(28), notes=("left out beside the classes: a", "skipped: 3 .txt"))
    trainer = make(progress=True)
    run = trainer.fit(data, data, epochs=1, out=tmp_path / "run")
    said = capsys.readouterr().out
    assert all(said.count(note) == 1 for note in data.notes)
    again = make(progress=True).resume(tmp_path / "run", data, data)
    said = capsys.readouterr().out
    assert not any(note in said for note in data.notes)
    assert "2 notes on the data, as when a run on them begins: `run.notes` has them" in said
    assert "28 of the 28 samples of the validation part are also in the training part" in said
    assert again.notes[:2] == run.notes[:2] == [*data.notes]


def test_labels_that_do_not_count_are_those_of_all_parts() -> None:
    """The message blames no part alone, and tells what each of them has."""
    images = noise(30).images
    with pytest.raises(DataError) as caught:
        make().fit((images, np.arange(30) % 5 + 1), (images, np.arange(30) % 5 + 2), epochs=1)
    assert str(caught.value).startswith("all parts together (")
    assert "data 1 … 5, " in str(caught.value)
    assert "data 2 … 6): whole numbers as labels must count" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (np.arange(28) % 5 * 1.0, "give labels.astype(int) if they are classes"),
        (np.eye(4)[np.arange(28) % 4], "give labels.argmax(axis=1) if they are classes"),
        (np.arange(28) / 8, None),
    ],
)
def test_floats_for_a_ready_model(labels: Array, hint: str | None) -> None:
    """Where they look like classes, what makes classes of them is said."""
    with pytest.raises(ArgumentError, match="a ready model tells classes apart") as caught:
        Trainer(progress=False).fit((noise(28).images, labels), epochs=1)
    assert (hint or "float targets: give a Module") in str(caught.value)
    assert ("if they are classes" in str(caught.value)) == (hint is not None)


def test_one_class_alone_is_refused() -> None:
    """There is nothing to tell apart; of the other parts one class is enough."""
    alone = Dataset.from_arrays(noise().images, np.ones(28, int), ["cat", "dog"], name="dogs")
    with pytest.raises(DataError, match=r"dogs: there must be two classes or more.*got one, 'dog'"):
        make().fit(alone, epochs=1)
    run = make().fit(named(28, 0, ["cat", "dog"]), alone, epochs=1)
    assert 0 <= run.history[0]["val_top1"] <= 1
    targets = (noise().images, np.zeros(28, np.float32))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(1))
    assert make(flat, loss="mse", augmentation=None).fit(targets, epochs=1).history


def test_each_class_needs_an_output() -> None:
    """More classes than outputs are refused, fewer are told."""
    three = Dataset.from_arrays(noise().images, noise().labels, ["cat", "dog", "cow"])
    with pytest.raises(DataError, match="got 3 classes, the model has 2 outputs"):
        make().fit(three, epochs=1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(5))
    run = make(model, augmentation=None).fit(three, epochs=1)
    assert "the model has 5 outputs, data has 3 classes: nothing is learned for the others" in (
        run.notes
    )
    fitting = make(nn.Sequential(nn.Flatten(), nn.Linear(5)))
    assert fitting.fit(noise(), noise(9, 1), epochs=1).notes == []


def test_other_classes_are_refused_in_a_resume(tmp_path: Path) -> None:
    """A run's own classes are told."""
    data = named(28, 0, ["cat", "dog"])
    make().fit(data, epochs=1, out=tmp_path / "run")
    other = named(28, 0, ["cat", "wolf"])
    for again in (
        lambda: make().resume(tmp_path / "run", other),
        lambda: verify(tmp_path / "run", None, other),
    ):
        with pytest.raises(CheckpointError, match=r"other data.*unknown: 'wolf'; the run knows"):
            again()


# Warnings


def test_what_a_person_should_know_is_said() -> None:
    """Notes of the data, few samples, samples in two parts: in the run, and on the console."""
    rare = replace(
        Dataset.from_arrays(noise(11, 1).images, [0] * 10 + [1], ["cat", "dog"]),
        notes=("2 files are no pictures and were left out",),
    )
    train = named(28, 0, ["cat", "dog"])
    shown = StringIO()
    trainer = make(progress=Console(file=shown, width=200))
    run = trainer.fit(train, rare, train.subset([3, 4, 5, 6]), epochs=1)
    assert run.notes == [
        "2 files are no pictures and were left out",
        "1 class with fewer than 2 samples in the validation part: dog (1); figures of such a "
        "class mean little",
        "4 of the 4 samples of the test part are also in the training part: figures on them are "
        "too good",
    ]
    lines = shown.getvalue().splitlines()
    kinds = ("note", "warning", "warning")
    assert lines[:3] == [f"{kind}: {note}" for kind, note in zip(kinds, run.notes, strict=True)]
    assert lines[3].startswith("epoch 1/1")
    assert make().fit(train, named(10, 1, ["cat", "dog"]), epochs=1).notes == []


def test_silence_keeps_the_notes() -> None:
    """Without progress nothing is shown, and the run still has them."""
    run = make().fit(noise(), noise(4), epochs=1)
    assert len(run.notes) == 1
    assert "4 of the 4 samples of the validation part are also in the training part" in run.notes[0]


def test_the_parts_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of each image is taken once for the list of samples and for the warnings."""
    from isoconv.data import samples

    seen = []
    real = samples.sample_digests

    def noted(data: Dataset) -> Any:
        seen.append(data)
        return real(data)

    monkeypatch.setattr(samples, "sample_digests", noted)
    given = Given(noise(), noise(10, 1), noise(10, 2))
    assert given.warnings == []
    assert len(seen) == 3


def test_images_of_a_trained_model_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    """samples.csv has each sample's part, class, digest and path."""
    train = replace(named(28, 0, ["cat", "dog"]), paths=tuple(f"a/{n}.png" for n in range(28)))
    Trainer(network(), progress=False).fit(
        train, named(10, 1, ["cat", "dog"]), epochs=1, out=tmp_path / "run"
    )
    lines = (tmp_path / "run" / "samples.csv").read_text().splitlines()
    assert lines[2].split(",")[::3] == ["train", "a/1.png"]
    assert lines[2].split(",")[1] == "dog"
    assert lines[-1].split(",")[::3] == ["validation", "9"]
    assert len({line.split(",")[2] for line in lines[1:]}) == 38
