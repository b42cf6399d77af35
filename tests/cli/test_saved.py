"""Models wherever they are kept: run folders, saved files and checkpoints give the same answers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, succeed

import isoconv as ic
from isoconv import nn
from isoconv.cli.options import scale_of
from isoconv.graph.operation import Array
from isoconv.run import ceilings
from isoconv.train.losses import LossName

NAMES = ("one", "two", "three")


def bars(count: int, seed: int) -> tuple[Array, Array]:
    """Images with a bright band at one of three places, not too easy to see."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 160, (count, 12, 12, 1), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 40
    return images, labels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on bytes and on floats of 0 to 1, and pictures."""
    folder = tmp_path_factory.mktemp("a place")
    arrays: dict[str, Any] = {}
    for part, count, seed in (("train", 90, 0), ("test", 45, 1)):
        images, labels = bars(count, seed)
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    floats = {
        name: a.astype(np.float32) / np.float32(255) if name.startswith("x") else a
        for name, a in arrays.items()
    }
    np.savez(folder / "bytes.npz", class_names=np.array(NAMES), **arrays)
    np.savez(folder / "floats.npz", class_names=np.array(NAMES), **floats)
    for label, name in enumerate(NAMES):
        Image.fromarray(arrays["x_test"][label, ..., 0]).save(folder / f"{name}.png")
    for name in ("bytes", "floats"):
        succeed(
            "train", folder / f"{name}.npz", "--model", "lenet5", "--epochs", 4,
            "--batch-size", 16, "--label-smoothing", 0.1, "--keep-checkpoints", "--no-report",
            "--out", folder / name,
        )  # fmt: skip
    return folder


def pictures(place: Path) -> list[Path]:
    """Paths of the pictures, a class each."""
    return [place / f"{name}.png" for name in NAMES]


def shown(said: str, model: nn.Module) -> Array:
    """The probabilities in what ``predict --json`` printed, in the order of the classes."""
    rows = [{c["name"]: c["probability"] for c in entry["classes"]} for entry in json.loads(said)]
    return np.array([[row[name] for name in model.class_names] for row in rows])


def test_python_and_the_command_line_agree(place: Path) -> None:
    """A run that Python loads has exactly the accuracy and probabilities that commands show."""
    data = ic.data.load(place / "bytes.npz", "test")
    model = ic.load(place / "bytes")
    said = json.loads(succeed("evaluate", place / "bytes", place / "bytes.npz", "--json"))
    measured = ic.evaluate(model, data, label_smoothing=0.1)
    assert (said["accuracy"], said["loss"]) == (measured.top1, measured.loss)
    assert said["model_sha256"] == model.describe()["digest"]
    hits = (model.predict(data.images).argmax(axis=1) == data.labels).mean()
    assert said["accuracy"] == hits
    assert 0.4 < hits < 1
    probabilities = shown(succeed("predict", place / "bytes", *pictures(place), "--json"), model)
    wanted = model.predict(data.images[:3])
    assert probabilities.tolist() == wanted.astype(np.float64).tolist()
    assert model.predict_files(pictures(place)).tobytes() == wanted.tobytes()


def test_the_loss_says_that_labels_were_smoothed(place: Path, tmp_path: Path) -> None:
    """A run's loss is that of its training; a file that was taken out of it knows nothing of it."""
    of_run = succeed("evaluate", place / "bytes", place / "bytes.npz")
    assert re.search(r"^test loss \d\.\d{4} \(label smoothing 0\.1\)$", of_run, re.MULTILINE)
    weights = place / "bytes" / "weights.safetensors"
    assert succeed("evaluate", weights, place / "bytes.npz") == of_run
    alone = shutil.copy(weights, tmp_path)
    of_file = succeed("evaluate", alone, place / "bytes.npz")
    assert re.search(
        r"^all loss \d\.\d{4} \(cross-entropy: a guess, for the file ", of_file, re.MULTILINE
    )


@pytest.mark.parametrize("kind", ["saved", "weights", "best", "kept", "last"])
@pytest.mark.parametrize("where", ["in the run", "elsewhere"])
def test_files_are_models(place: Path, tmp_path: Path, kind: str, where: str) -> None:
    """Where a run is asked for, a saved model or a checkpoint does, too."""
    run = place / "bytes"
    model = ic.load(run)
    if kind == "saved":
        path = tmp_path / "model.safetensors"
        model.save(path)
    elif kind in ("weights", "best"):
        path = run / f"{kind}.safetensors"
    else:
        pattern = "epoch-00002*" if kind == "kept" else "last-*.safetensors"
        (path,) = (run / "checkpoints").glob(pattern)
    if where == "elsewhere":
        (tmp_path / "elsewhere").mkdir()
        path = Path(shutil.copy(path, tmp_path / "elsewhere"))
    wanted: dict[str, dict[str, Any]] = {"best": {"best": True}, "kept": {"epoch": 2}}
    model = ic.load(run, **wanted.get(kind, {}))
    probabilities = shown(succeed("predict", path, *pictures(place), "--json"), model)
    expected = model.predict_files(pictures(place)).astype(np.float64)
    assert probabilities.tolist() == expected.tolist()
    known = where == "in the run" and kind != "saved"
    said = json.loads(succeed("evaluate", path, place / "bytes.npz", "--json"))
    data = ic.data.load(place / "bytes.npz", "test" if known else "all")
    measured = ic.evaluate(model, data, label_smoothing=0.1 if known else 0)
    assert (said["accuracy"], said["loss"]) == (measured.top1, measured.loss)
    assert (said["images"], said["trained_on"]) == ((45, 0) if known else (135, None))
    first = succeed("evaluate", path, place / "bytes.npz").splitlines()[0]
    assert first == (
        "measured: the test part, 45 of 135 images; 0 of 45 were trained on"
        if known
        else "measured: all 135 images; whether any of them were trained on cannot be told: "
        f"{path} lies outside of its run's folder"
    )


def test_a_file_in_the_folder_of_another_run(place: Path, tmp_path: Path) -> None:
    """What lies in a run folder and is not of that run is not taken for it."""
    run = tmp_path / "run"
    shutil.copytree(place / "floats", run)
    path = shutil.copy(place / "bytes" / "weights.safetensors", run / "mine.safetensors")
    first = succeed("evaluate", path, place / "bytes.npz").splitlines()[0]
    assert first.endswith(f"cannot be told: {path} lies outside of its run's folder")
    (run / "run.json").write_text("{")
    assert succeed("evaluate", path, place / "bytes.npz").splitlines()[0] == first


def test_without_the_list_of_samples(place: Path, tmp_path: Path) -> None:
    """A run whose list is gone or was altered cannot tell what it was trained on, and says so."""
    run = tmp_path / "run"
    shutil.copytree(place / "bytes", run)
    with (run / "samples.csv").open("a") as file:
        file.write("train,one,00,x\n")
    why = f"{run / 'samples.csv'} is missing or was altered"
    first = succeed("evaluate", run, place / "bytes.npz").splitlines()[0]
    assert first.endswith(f"cannot be told: {why}")
    (run / "samples.csv").unlink()
    assert why in fail("evaluate", run, place / "bytes.npz", "--split", "train")


def test_a_part_without_the_rest(place: Path, tmp_path: Path) -> None:
    """The held-out files alone are enough to measure the part that they are."""
    with np.load(place / "bytes.npz") as arrays:
        own = {name: arrays[name] for name in ("x_test", "y_test", "class_names")}
        some = {**own, "x_train": arrays["x_train"][:9], "y_train": arrays["y_train"][:9]}
    np.savez(tmp_path / "some.npz", **some)
    wanted = succeed("evaluate", place / "bytes", place / "bytes.npz").splitlines()
    said = succeed("evaluate", place / "bytes", tmp_path / "some.npz", "--split", "test")
    assert said.splitlines()[0] == (
        "measured: the test part, 45 of 54 images; 0 of 45 were trained on"
    )
    assert said.splitlines()[1:] == wanted[1:]
    assert "lacks some" in fail(
        "evaluate", place / "bytes", tmp_path / "some.npz", "--split", "train"
    )


def test_scaled_images_are_known_again(place: Path, tmp_path: Path) -> None:
    """Which images were trained on is told whatever unit they come in, if it can be told."""
    for run, data, scale in (("bytes", "floats", "255"), ("floats", "bytes", "1/255")):
        own = json.loads(succeed("evaluate", place / run, place / f"{run}.npz", "--json"))
        words = ("evaluate", place / run, place / f"{data}.npz", "--scale", scale, "--json")
        found = json.loads(succeed(*words))
        assert (found["split"], found["trained_on"]) == ("test", 0)
        assert found == {**own, "data": f"{data}.npz"}
        assert json.loads(succeed(*words, "--split", "all"))["trained_on"] == 81
    with np.load(place / "bytes.npz") as arrays:
        odd = {name: arrays[name] for name in arrays if name.startswith("y")}
        for part in ("train", "test"):
            odd[f"x_{part}"] = arrays[f"x_{part}"].astype(np.float32) * np.float32(1 / 255)
    np.savez(tmp_path / "odd.npz", **odd)
    said = succeed("evaluate", place / "bytes", tmp_path / "odd.npz", "--scale", "255")
    assert "cannot be told: scaled images need not be the same to the last bit" in said


def test_what_a_file_cannot_tell(place: Path, tmp_path: Path) -> None:
    """The best epoch and the parts belong to a run folder; hints speak of options."""
    path = place / "bytes" / "weights.safetensors"
    said = fail("predict", path, place / "one.png", "--best")
    assert "choose within a run folder" in said
    alone = shutil.copy(path, tmp_path)
    said = fail("evaluate", alone, place / "bytes.npz", "--split", "test")
    assert f"{alone} lies outside of its run's folder (leave --split out to measure all)" in said


def test_scale(place: Path, tmp_path: Path) -> None:
    """Images of another range are refused with the option that helps, and then it does."""
    said = fail("evaluate", place / "bytes", place / "floats.npz")
    assert "must be uint8, as those that the model was trained on; got float32" in said
    assert "--scale 255 brings" in said
    assert "scale=" not in said
    said = fail("evaluate", place / "floats", place / "bytes.npz")
    assert "--scale 1/255 brings" in said
    data = ic.data.load(place / "bytes.npz", "test")
    model = ic.load(place / "floats")
    found = json.loads(
        succeed("evaluate", place / "floats", place / "bytes.npz", "--scale", "1/255", "--json")
    )
    wanted = ic.evaluate(model, data, label_smoothing=0.1, scale=1 / 255)
    assert (found["accuracy"], found["loss"]) == (wanted.top1, wanted.loss)
    said = fail("predict", place / "floats", *pictures(place))
    assert "such as --scale 1/255" in said
    words = ("predict", place / "floats", *pictures(place), "--json")
    probabilities = shown(succeed(*words, "--scale", "1/255"), model)
    expected = model.predict(data.images[:3], scale=1 / 255).astype(np.float64)
    assert probabilities.tolist() == expected.tolist()
    warned = call(*words, "--scale", "2")
    assert warned.exit_code == 0
    assert warned.stderr.count("note: the images hold values from ") == 1
    assert "(--scale multiplies them, --scale 1 says" in warned.stderr
    for wrong in ("much", "1/0", " "):
        assert "must be a number or a fraction such as 1/255" in fail(*words, "--scale", wrong)
    assert "scale must be a finite number above 0" in fail(*words, "--scale", "-1")


def test_a_scale_is_a_number_or_a_fraction() -> None:
    """What stands behind --scale."""
    assert scale_of("1/255") == 1 / 255
    assert scale_of("0.5") == 0.5


@pytest.mark.parametrize(
    ("loss", "gives"),
    [("l1", "numbers"), ("bce", "a probability for each output")],
)
def test_no_classifier(place: Path, tmp_path: Path, loss: LossName, gives: str) -> None:
    """A model of another loss is not measured as if it had one class for each image."""
    images, numbers = bars(12, 0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1 if loss == "l1" else 3))
    if loss == "l1":
        targets: Array = numbers.astype(np.float32)[:, None] / 2
    else:
        targets = np.eye(3, dtype=np.float32)[numbers]
    trainer = ic.Trainer(model, loss=loss, batch_size=4, progress=False)
    trainer.fit((images, targets), epochs=1, out=tmp_path / "run")
    for words in (("evaluate", place / "bytes.npz"), ("predict", place / "one.png")):
        said = fail(words[0], tmp_path / "run", *words[1:])
        assert f"gives {gives}" in said
        assert "a program can use it" in said


def test_a_person_s_own_class(place: Path, tmp_path: Path) -> None:
    """A model of one's own class is refused, and who can use it is said."""

    class Own(nn.Sequential):
        """A class that no file holds."""

    model = Own(nn.Flatten(), nn.Linear(3)).build((12, 12, 1))
    model.save(tmp_path / "own.safetensors")
    said = fail("predict", tmp_path / "own.safetensors", place / "one.png")
    assert "a person's own class, which is not stored: only a program that has this class" in said


# Layers and times


def test_summary_of_a_trained_model(place: Path, tmp_path: Path) -> None:
    """Layers of a run and of a saved model, what it was trained on, and its digest."""
    model = ic.load(place / "bytes")
    model.save(tmp_path / "model.safetensors")
    said = succeed("summary", "--model", place / "bytes")
    assert said == succeed("summary", "--model", tmp_path / "model.safetensors")
    assert said.startswith(str(model.summary()))
    assert model.trained_on is not None
    assert said.splitlines()[-3:] == [
        f"trained on images of 12x12x1, uint8 from {model.trained_on.low:g} to "
        f"{model.trained_on.high:g}",
        "3 classes: one, two, three",
        f"weights sha256:{model.digest()}",
    ]
    assert "that of the model, 12x12x1; got 9x9x1" in fail(
        "summary", "--model", place / "bytes", "--input", "9x9x1"
    )
    assert "--classes is for ready models" in fail(
        "summary", "--model", place / "bytes", "--classes", 3
    )


@pytest.mark.slow
def test_bench_of_a_trained_model(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder and a saved model are timed with their own shape."""
    monkeypatch.setattr(ceilings, "_STREAM_BYTES", 2**16)
    ic.load(place / "bytes").save(tmp_path / "model.safetensors")
    quick = ("--batch-size", 4, "--turns", 1, "--threads", 1, "--rows", 2)
    for path in (place / "bytes", tmp_path / "model.safetensors"):
        for way in ("--inference", "--training"):
            assert "4 images in" in succeed("bench", "--model", path, *quick, way)


def test_a_folder_of_a_model_s_name(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ready model's name means the model; a path is written as one."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "bytes", tmp_path / "tinyvgg")
    assert "trained on" not in succeed("summary", "--model", "tinyvgg")
    assert "trained on images of 12x12x1" in succeed("summary", "--model", "./tinyvgg")
    assert "there is no run and no saved model at nothing" in fail(
        "summary", "--model", "./nothing"
    )
    assert "no model is called 'nothing'" in fail("summary", "--model", "nothing")
