"""Bad input on the command line: one clear line on standard error, exit code 2, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, succeed

import isoconv as ic
from isoconv.cli.options import augmentation_of, shape_of, size_of
from isoconv.cli.runs import new_run
from isoconv.errors import ArgumentError
from isoconv.nn import models


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a finished run of one epoch."""
    folder = tmp_path_factory.mktemp("place")
    images = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 1), np.uint8)
    np.savez(folder / "data.npz", images=images, labels=np.arange(24) % 2)
    succeed(
        "train", folder / "data.npz", "--model", "lenet5", "--epochs", 1, "--batch-size", 8,
        "--no-report", "--out", folder / "run",
    )  # fmt: skip
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    """A copy of the run to damage."""
    import shutil

    return Path(shutil.copytree(place / "run", tmp_path / "run"))


# Wrong usage


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "fly"),
        (["train"], "DATA"),
        (["train", "x", "--speed", "9"], "--speed"),
        (["train", "x", "--epochs", "many"], "--epochs must be a whole number; got many"),
        (["train", "x", "--epochs", "1.5"], "--epochs must be a whole number; got 1.5"),
        (["train", "x", "--epochs", "0"], "--epochs must be at least 1; got 0"),
        (
            ["train", "x", "--optimizer", "magic"],
            "must be one of sgd, adam, adamw; got magic",
        ),
        (["train", "x", "--lr", "fast"], "--learning-rate / --lr must be a number; got fast"),
        (["train", "x", "--save-every", "-1"], "--save-every must be at least 0; got -1"),
        (["train", "x", "--seed", "1\x1b[2J"], "--seed must be a whole number; got 1\\x1b[2J"),
        (["predict", "run"], "IMAGE"),
        (["evaluate", "run"], "DATA"),
        (["data", "fetch"], "NAME"),
    ],
)
def test_wrong_usage(words: list[str], message: str) -> None:
    """Unknown commands and options, missing and malformed values: one line, with where to look."""
    said = fail(*words)
    assert message in said
    assert "(see isoconv" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "alexnet"],
            "no model is called 'alexnet'; near it: lenet5, small_resnet; there are convnext_tiny",
        ),
        (["--augment", "melt"], "--augment takes crop, flip, shift, rotate, cutout"),
        (["--augment", "flip,flip"], "twice"),
        (["--augment", "flip=3"], "takes no number"),
        (["--augment", "crop=wide"], "--augment needs a number"),
        (["--augment", "crop=1.5"], "--augment crop must be a whole number"),
        (
            ["--augment", "rotate=200"],
            "--augment rotate must be a finite number at least 0 and at most 180",
        ),
        (["--size", "large"], "--size must be a side"),
        (["--optimizer", "adam", "--momentum", "0.9"], "--momentum is a setting of sgd"),
        (["--nesterov"], "--nesterov is a setting of sgd"),
        (["--step-every", "3"], "settings of --schedule step"),
        (["--step-factor", "0.5", "--schedule", "cosine"], "settings of --schedule step"),
        (["--lr", "-1"], "--learning-rate must be"),
        (["--lr", "nan"], "--learning-rate must be"),
        (["--warmup", "-1"], "--warmup must be"),
        (["--label-smoothing", "1"], "--label-smoothing must be"),
        (["--clip-norm", "0"], "--clip-norm must be"),
        (["--early-stopping", "0"], "--early-stopping must be"),
        (["--batch-size", "8", "--shard-size", "9"], "--shard-size must be at most --batch-size"),
        (["--target", "z80"], "--target must be one of"),
    ],
)
def test_bad_settings(place: Path, tmp_path: Path, options: list[str], message: str) -> None:
    """Settings outside their range are refused before anything is written."""
    run = tmp_path / "run"
    assert message in fail("train", place / "data.npz", "--no-report", "--out", run, *options)
    assert not run.exists()


# Data


def test_unknown_data() -> None:
    """Names that are none are answered with those that are."""
    said = fail("train", "fashoin-sample")
    assert "there is no data called 'fashoin-sample'" in said
    assert "fashion-sample" in said


def test_data_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Known but absent data say how to fetch them; unknown ones cannot be fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "isoconv data fetch mnist" in fail("train", "mnist")
    assert "mnist, fashion-mnist, cifar10, cifar100" in fail("data", "fetch", "imagenet")


def test_corrupt_data(tmp_path: Path) -> None:
    """A damaged file is named."""
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 no archive")
    assert str(path) in fail("train", path)


def test_float_targets(tmp_path: Path) -> None:
    """The command line trains classifiers and says so."""
    images = np.zeros((8, 12, 12, 1), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.linspace(0, 1, 8))
    assert "whose labels are whole numbers or names" in fail("train", tmp_path / "a.npz")


def test_images_too_small_for_the_model(tmp_path: Path) -> None:
    """The message names the layer; no run is left behind."""
    images = np.zeros((8, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(8) % 2)
    run = tmp_path / "run"
    said = fail("train", tmp_path / "a.npz", "--model", "lenet5", "--out", run)
    assert "kernel" in said
    assert not run.exists()


def test_folder_that_holds_a_run(place: Path) -> None:
    """A run is never overwritten."""
    before = (place / "run" / "run.json").read_bytes()
    said = fail("train", place / "data.npz", "--model", "lenet5", "--out", place / "run")
    assert "holds a run already" in said
    assert (place / "run" / "run.json").read_bytes() == before


def test_demo_touches_no_other_folder(place: Path, tmp_path: Path) -> None:
    """The demo replaces an earlier demo and nothing else."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "best.safetensors").write_text("dear")
    before = {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file()}
    assert "holds best.safetensors" in fail("demo", "--out", tmp_path / "models")
    assert "earlier demo" in fail("demo", "--out", place / "run")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["best.safetensors"]
    assert before == {path: path.read_bytes() for path in before}


def test_folder_that_cannot_be_made(place: Path, tmp_path: Path) -> None:
    """A file where the run folder should be is no reason for a traceback."""
    (tmp_path / "file").write_text("")
    run = tmp_path / "file" / "run"
    assert "file" in fail("train", place / "data.npz", "--model", "lenet5", "--out", run)


# Runs


@pytest.mark.parametrize("command", ["resume", "evaluate", "predict"])
def test_missing_run(place: Path, tmp_path: Path, command: str) -> None:
    """A folder that is not there, or holds no run, is named."""
    more = {"resume": [], "evaluate": [place / "data.npz"], "predict": [place / "a.png"]}[command]
    gone = "is no folder" if command == "resume" else "there is no run and no saved model"
    for path, message in ((tmp_path / "none", gone), (tmp_path, "a run is a folder with run.json")):
        said = fail(command, path, *more)
        assert message in said
        assert str(path) in said


def test_corrupt_description(place: Path, copy: Path) -> None:
    """A run.json that is no JSON, or lacks what is needed, is named."""
    (copy / "run.json").write_text("{")
    assert "run.json cannot be read" in fail("evaluate", copy, place / "data.npz")
    (copy / "run.json").write_text('{"format": 1, "facts": {"model": "lenet5"}}')
    assert "run.json must be of format 2" in fail("evaluate", copy, place / "data.npz")


@pytest.mark.parametrize(
    "missing", ["record", "settings", "data", "split", "samples_sha256", "model"]
)
def test_incomplete_description(place: Path, copy: Path, missing: str) -> None:
    """Anything that run.json lacks is an error of that file, for what needs it."""
    description = json.loads((copy / "run.json").read_text())
    del description[missing]
    (copy / "run.json").write_text(json.dumps(description))
    said = fail("resume", copy)
    assert "cannot be read" in said
    assert missing in said
    if missing in ("record", "settings", "samples_sha256"):
        said = fail("evaluate", copy, place / "data.npz")
        assert f"run.json cannot be read: {missing} must be there; got nothing" in said


@pytest.mark.slow
def test_run_of_a_program(place: Path, tmp_path: Path) -> None:
    """A run that was made in Python is measured; where its data are needs to be said."""
    data, run = place / "data.npz", tmp_path / "run"
    trainer = ic.Trainer(ic.nn.models.create("lenet5", 2, (12, 12, 1)), progress=False)
    trainer.fit(ic.data.load_splits(data), epochs=1, out=run)
    assert "the test part, 2 of 24 images" in succeed("evaluate", run, data)
    for command in ("resume", "verify"):
        assert "does not say where its data are; say it with --data" in fail(command, run)
        succeed(command, run, "--data", data)
    with np.load(data) as arrays:
        pair = arrays["images"], arrays["labels"]
    trainer = ic.Trainer(ic.nn.models.create("lenet5", 2, (12, 12, 1)), progress=False)
    trainer.fit(pair, epochs=1, out=tmp_path / "of arrays")
    for command in ("resume", "verify"):
        said = fail(command, tmp_path / "of arrays", "--data", data)
        assert "was not made by `isoconv train` or `isoconv demo`: how its data were split" in said


def test_weights_of_another_model(place: Path, copy: Path) -> None:
    """A whole model that is not the run's is not taken for it."""
    other = models.create("tinyvgg", 2, (12, 12, 1)).build((12, 12, 1))
    other.save(copy / "weights.safetensors")
    for command, data in (("evaluate", place / "data.npz"), ("predict", place / "a.png")):
        said = fail(command, copy, data)
        assert "weights.safetensors does not hold the model of the run" in said
        assert f"isoconv verify {copy}" in said


def test_corrupt_weights(place: Path, copy: Path) -> None:
    """Weights that are no safetensors are named."""
    (copy / "weights.safetensors").write_bytes(b"\0" * 40)
    assert "weights.safetensors" in fail("evaluate", copy, place / "data.npz")


def test_corrupt_checkpoint(copy: Path) -> None:
    """A damaged checkpoint is not gone on with."""
    path = next((copy / "checkpoints").glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "is damaged" in fail("resume", copy)


def test_resume_with_other_data(copy: Path, tmp_path: Path) -> None:
    """A run goes on with its own data only."""
    images = np.ones((24, 12, 12, 1), np.uint8)
    np.savez(tmp_path / "other.npz", images=images, labels=np.arange(24) % 2)
    said = fail("resume", copy, "--data", tmp_path / "other.npz")
    assert "can be gone on with as it began only" in said
    assert "holds another picture than in training" in said


def test_evaluate_on_other_images(place: Path, tmp_path: Path) -> None:
    """Images of another shape and more classes than were learned are refused."""
    images = np.ones((12, 9, 9, 1), np.uint8)
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(12) % 2)
    assert "images of (9, 9), and they must be (12, 12)" in fail(
        "evaluate", place / "run", tmp_path / "small.npz"
    )
    images = np.ones((12, 12, 12, 1), np.uint8)
    np.savez(tmp_path / "more.npz", images=images, labels=np.arange(12) % 4)
    said = fail("evaluate", place / "run", tmp_path / "more.npz")
    assert "labels are numbers of the 2 classes of the run, 0 … 1; got 3 ('0', '1')" in said


def test_evaluate_images_that_no_file_holds(tmp_path: Path) -> None:
    """Images of other than 1 or 3 channels are measured, and no picture file is predicted for."""
    images = np.random.default_rng(1).integers(0, 256, (24, 12, 12, 2), np.uint8)
    np.savez(tmp_path / "two.npz", images=images, labels=np.arange(24) % 2)
    succeed("train", tmp_path / "two.npz", "--model", "lenet5", "--epochs", 1, "--no-report",
            "--out", tmp_path / "run")  # fmt: skip
    said = succeed("evaluate", tmp_path / "run", tmp_path / "two.npz")
    assert said.startswith("measured: the test part, 2 of 24 images; 0 of 2 were trained on")
    assert "the model takes (12, 12, 2)" in fail("predict", tmp_path / "run", "a.png")


# Images


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"not an image at all"])
def test_corrupt_image(place: Path, tmp_path: Path, content: bytes) -> None:
    """A damaged image is named, and the others are answered for."""
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("L", (12, 12)).save(good)
    bad.write_bytes(content)
    result = call("predict", place / "run", good, bad)
    assert result.exit_code == 1
    wanted = "not a whole image" if content else "empty (0 bytes)"
    assert f"\n  {bad}: {wanted}" in result.stderr
    assert str(good) in result.stdout
    assert str(bad) in fail("predict", place / "run", bad)
    assert str(tmp_path / "gone.png") in fail("predict", place / "run", tmp_path / "gone.png")


# How errors are shown


@pytest.mark.slow
def test_errors_of_a_process(tmp_path: Path) -> None:
    """The real entry point: one line on standard error, nothing else, no colours in a pipe."""
    program = "from isoconv.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "resume", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: a run is a folder with run.json and checkpoints; {tmp_path} has no run.json\n"
    )


# Values


def test_written_values() -> None:
    """How shapes, sizes and augmentations are written."""
    assert shape_of(" 32x32x3 ") == (32, 32, 3)
    assert size_of(None) is None
    assert augmentation_of(None) is None
    assert augmentation_of("none") is None
    changes = augmentation_of("crop, flip,shift=1,cutout")
    assert changes is not None
    assert (changes.crop_padding, changes.flip, changes.shift, changes.cutout) == (4, True, 1, 8)
    for text in ("32x32", "0x3x1", "axbxc", "1x2x3x4", "-1x2x3"):
        with pytest.raises(ArgumentError, match="--input"):
            shape_of(text)


def test_a_new_run_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Names are made of the data's and the model's, with the first number that nobody has."""
    monkeypatch.chdir(tmp_path)
    Path("runs/cifar10-vgg11-1").mkdir(parents=True)
    with new_run(None, "a/b/cifar10", "vgg11") as one, new_run(None, "cifar10", "vgg11") as other:
        assert one.path == Path("runs/cifar10-vgg11-2")
        assert other.path == Path("runs/cifar10-vgg11-3")
        with new_run(None, "...", "vgg11") as third:
            assert third.path == Path("runs/data-vgg11-1")
    # Nothing came of any of them.
    assert [path.name for path in Path("runs").iterdir()] == ["cifar10-vgg11-1"]
