"""Going on with a run: only as it began, and whatever differs is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.power_cut import begin
from tests.train.small import make, noise

from isoconv import nn
from isoconv.data import Dataset
from isoconv.errors import CheckpointError
from isoconv.train import Checkpoint, RunFolder, Trainer, plain_settings, session


class Own(nn.Module):
    """A class of a person's own whose text is the same whatever function it uses."""

    def __init__(self, function: Callable[[nn.Tensor], nn.Tensor], rate: float = 0.1) -> None:
        self.first, self.last = nn.Conv2d(3, 3), nn.Linear(2)
        self._function, self._drop = function, nn.Dropout(rate)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """One of two functions between two layers."""
        x = self._function(self.first(x))
        return self.last(self._drop(nn.functional.flatten(x)))


def refused(out: Path, trainer: Trainer, *data: Dataset) -> list[str]:
    """The lines that a refused resume says, of words; nothing in the folder changes."""
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="gone on with as it began only; what diff") as caught:
        trainer.resume(out, *data)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return [" ".join(line.split()) for line in str(caught.value).splitlines()[1:]]


def pictures(count: int = 28, seed: int = 0, folder: str = "pets") -> Dataset:
    """Images that come from files of two classes."""
    data = noise(count, seed)
    names = ("cat", "dog")
    paths = tuple(f"{names[label]}/{n}.png" for n, label in enumerate(data.labels.tolist()))
    return replace(data, class_names=names, numbered=False, paths=paths, name=folder)


# The model


@pytest.mark.parametrize(
    "other",
    [Own(nn.functional.tanh), Own(nn.functional.relu, 0.2)],
    ids=["another function", "another rate of dropout"],
)
def test_another_model_is_refused(tmp_path: Path, other: Own) -> None:
    """What no name, shape or text tells shows in the graph that is trained."""
    out = tmp_path / "run"
    begin(out, noise(), model=Own(nn.functional.relu))
    _, *found = refused(out, make(other), noise())
    assert found[0].split()[0] == "model.graph_sha256"
    assert make(Own(nn.functional.relu)).resume(out, noise()).digest


@pytest.mark.parametrize(
    ("settings", "name", "values"),
    [
        ({"batch_size": 4, "shard_size": None}, "settings.batch_size", ["16", "4"]),
        ({"batch_size": None, "shard_size": 32}, "settings.shard_size", ["8", "32"]),
    ],
)
def test_settings_that_do_not_go_with_those_of_the_run(
    tmp_path: Path, settings: dict[str, Any], name: str, values: list[str]
) -> None:
    """What was given is compared with the run, though beside the rest of the run it makes none."""
    out = tmp_path / "run"
    begin(out, noise(), batch_size=16, shard_size=8)
    _, *found = refused(out, make(**settings), noise())
    assert found == [f"{name} {' '.join(values)}"]


def test_another_layer_is_refused(tmp_path: Path) -> None:
    """A setting of a layer is named with both values."""

    def body(rate: float) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Dropout(rate), nn.Linear(2))

    out = tmp_path / "run"
    begin(out, noise(), model=body(0.1), augmentation=None)
    found = refused(out, make(body(0.2), augmentation=None), noise())
    assert "record.architecture.steps[1].rate 0.1 0.2" in found
    assert 'model.layers[2][1] "Dropout(rate=0.1)" "Dropout(rate=0.2)"' in found


# The data


def test_classes_in_another_order_are_the_same_data(tmp_path: Path) -> None:
    """Labels are matched by name, and the run goes on to the same end."""
    data = pictures()
    whole = make().fit(data, epochs=3)
    begin(tmp_path / "run", data)
    turned = replace(data, labels=1 - data.labels, class_names=("dog", "cat"))
    assert make().resume(tmp_path / "run", turned).digest == whole.digest


def test_changed_files_are_named(tmp_path: Path) -> None:
    """Each file that is new, gone, moved, of another class or with another picture."""
    data = pictures()
    out = tmp_path / "run"
    begin(out, data, pictures(10, 1, "held"))
    images, labels, paths = data.images.copy(), data.labels.copy(), list(data.paths)
    images[3, 0, 0, 0] ^= 1
    labels[4] = 1 - labels[4]
    paths[5] = "dog/renamed.png"
    paths[6] = "cat/new.png"
    images[6] = 7
    changed = replace(data, images=images, labels=labels, paths=tuple(paths))
    found = refused(out, make(), changed, pictures(10, 1, "held"))
    assert f'data.train.sha256 "{data.digest()}" "{changed.digest()}"' in found
    assert found[-5:] == [
        "cat/6.png (class 'cat') of the train part is not in the data any more",
        "dog/3.png (class 'dog') holds another picture than in training",
        "cat/4.png (class 'dog') was of class 'cat'",
        "dog/renamed.png (class 'dog') was dog/5.png (class 'dog')",
        "cat/new.png (class 'cat') is new",
    ]
    (out / "samples.csv").unlink()
    lines = refused(out, make(), changed, pictures(10, 1, "held"))
    assert lines[-1] == "which samples differ cannot be told, for samples.csv is missing or altered"


def test_many_changed_files_are_counted(tmp_path: Path) -> None:
    """The first twenty are named."""
    begin(tmp_path / "run", pictures())
    lines = refused(tmp_path / "run", make(), pictures(28, 5))
    assert len([line for line in lines if "holds another picture" in line]) == 20
    assert lines[-1] == "… and 8 more"


def test_the_same_pictures_elsewhere_are_refused(tmp_path: Path) -> None:
    """Their order is the same, their paths are not: samples.csv would be another one."""
    data = pictures()
    begin(tmp_path / "run", data)
    moved = replace(data, paths=tuple(f"x/{path}" for path in data.paths))
    found = refused(tmp_path / "run", make(), moved)
    assert [line.split()[0] for line in found[1:2]] == ["samples_sha256"]
    assert "x/cat/0.png (class 'cat') was cat/0.png (class 'cat')" in found


def test_a_part_more_or_less_is_refused(tmp_path: Path) -> None:
    """Validation and test parts are the run's own."""
    out = tmp_path / "run"
    begin(out, noise(), noise(10, 1))
    one = refused(out, make(), noise())
    assert any(line.startswith("data.validation {") and line.endswith("nothing") for line in one)
    other = refused(out, make(), noise(), noise(10, 1), noise(10, 2))
    assert any(line.startswith("data.test nothing {") for line in other)


def test_images_of_another_kind_are_refused(tmp_path: Path) -> None:
    """Floats in place of bytes are other data, and another record of the model."""
    begin(tmp_path / "run", noise())
    floats = Dataset.from_arrays(noise().images.astype(np.float32), noise().labels)
    found = refused(tmp_path / "run", make(), floats)
    assert 'record.trained_on.dtype "uint8" "float32"' in found
    with pytest.raises(CheckpointError, match=r"was trained on other data: .*must be finite"):
        make().resume(tmp_path / "run", (floats.images * np.float32(np.nan), noise().labels))


# Versions and checkpoints


def test_other_versions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is refused for them, and the run says what it began with."""
    whole = make().fit(noise(), epochs=3)
    begin(tmp_path / "run", noise())
    real = plain_settings.versions()
    monkeypatch.setattr(
        "isoconv.train.prepare.versions", lambda: {**real, "numpy": "9.9", "python": "4.0"}
    )
    run = make().resume(tmp_path / "run", noise())
    assert run.digest == whole.digest
    assert run.notes == [
        "nothing is held out: figures are of the images that were learned from",
        f'the run began with numpy "{real["numpy"]}", here is "9.9"',
        f'the run began with python "{real["python"]}", here is "4.0"',
    ]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["versions"] == real


def test_other_arithmetic_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bits would be others."""
    begin(tmp_path / "run", noise())
    monkeypatch.setattr("isoconv.train.prepare.ARITHMETIC_VERSION", 9)
    assert "arithmetic 1 9" in refused(tmp_path / "run", make(), noise())


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    """Its weights are not those of the receipt."""
    for name, seed in (("a", 0), ("b", 1)):
        begin(tmp_path / name, noise(), seed=seed)
    for path in (tmp_path / "b" / "checkpoints").iterdir():
        (tmp_path / "a" / "checkpoints" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="not that of its receipt: its history has other"):
        make().resume(tmp_path / "a", noise())


def test_a_checkpoint_that_is_behind_a_finished_run_is_refused(tmp_path: Path) -> None:
    """A finished run is not trained on from an older checkpoint that somebody put back."""
    out = tmp_path / "run"
    make().fit(noise(), epochs=3, out=out)
    begin(tmp_path / "begun", noise())
    for path in (tmp_path / "begun" / "checkpoints").iterdir():
        (out / "checkpoints" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="ended after epoch 3; the checkpoint stands after 1"):
        make().resume(out, noise())


def test_facts_are_kept(tmp_path: Path) -> None:
    """What fit was told to keep is there after a resume, as is every other line of run.json."""
    facts = {"model": "mine", "who": {"name": "me", "runs": [1, 2]}}
    begin(tmp_path / "run", noise(), facts=facts)
    before = json.loads((tmp_path / "run" / "run.json").read_text())
    run = make().resume(tmp_path / "run", noise())
    after = json.loads((tmp_path / "run" / "run.json").read_text())
    assert after.pop("result") == run.receipt["final"]
    assert after == before
    assert after["facts"] == facts
    assert run.receipt["model"]["name"] == "mine"


# Checkpoints within an epoch, and finished runs


@pytest.fixture
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stands within its second epoch."""
    out = tmp_path / "run"
    save = RunFolder.save

    def cut(folder: RunFolder, checkpoint: Checkpoint) -> None:
        save(folder, checkpoint)
        if (checkpoint.epoch, checkpoint.step) == (1, 2):
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", cut)
        patch.setattr(session, "CALL_SECONDS", 0.0)
        patch.setattr(session, "SHARE", 0)
        trainer = make(save_every=0)
        with pytest.raises(RuntimeError, match="power cut"):
            trainer.fit(noise(), epochs=3, out=out)
    return out


def test_a_run_is_gone_on_with_from_within_an_epoch(within: Path, tmp_path: Path) -> None:
    """To the receipt that it would have had anyway."""
    whole = make().fit(noise(), epochs=3, out=tmp_path / "whole")
    assert len(json.loads((within / "receipt.json").read_text())["within"]) == 2
    run = make().resume(within, noise())
    assert run.digest == whole.digest
    assert "within" not in run.receipt
    assert run.receipt["digest"] == whole.receipt["digest"]


@pytest.mark.parametrize("what", ["weights", "vectors", "losses", "sums", "seconds"])
def test_a_checkpoint_within_an_epoch_is_covered_by_the_receipt(within: Path, what: str) -> None:
    """What decides a bit is refused where it was altered; what the clock says is not."""
    folder = RunFolder(within)
    shapes = {name: array.shape for name, array in folder.load_last().parameters.items()}
    states = {name: array.shape for name, array in folder.load_last().states.items()}
    stand = folder.load(shapes, states, ("mean", "square"))
    first = next(iter(shapes))
    changes: dict[str, dict[str, Any]] = {
        "weights": {"parameters": {**stand.parameters, first: stand.parameters[first] + 1}},
        "vectors": {"slots": {s: {n: a + 1 for n, a in v.items()} for s, v in stand.slots.items()}},
        "losses": {"losses": [loss + 1 for loss in stand.losses]},
        "sums": {"sums": {name: value + 1 for name, value in stand.sums.items()}},
        "seconds": {"seconds": 1.0},
    }
    folder.describes(json.loads((within / "run.json").read_text())["record"])
    folder.save(replace(stand, **changes[what]))
    if what == "seconds":
        assert make().resume(within, noise()).digest
        return
    with pytest.raises(CheckpointError, match="was altered"):
        make().resume(within, noise())


def test_a_finished_run_is_never_trained_over(tmp_path: Path, within: Path) -> None:
    """However its texts are made to look unfinished, with an older checkpoint in its place."""
    out = tmp_path / "whole"
    make().fit(noise(), epochs=3, out=out)
    wanted = (out / "weights.safetensors").read_bytes()
    shutil.rmtree(out / "checkpoints")
    shutil.copytree(within / "checkpoints", out / "checkpoints")
    description = json.loads((out / "run.json").read_text())
    for gone in ((), ("run.json",), ("run.json", "receipt.json")):
        if "run.json" in gone:
            del description["result"]
            (out / "run.json").write_text(json.dumps(description))
            description["result"] = {}
        if "receipt.json" in gone:
            (out / "receipt.json").unlink()
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        with pytest.raises(CheckpointError):
            make().resume(out, noise())
        assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert (out / "weights.safetensors").read_bytes() == wanted
