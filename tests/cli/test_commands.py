"""The command line as a person uses it: what is printed, what is written, how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import DIGEST, call, digest_of, fail, start, succeed

import isoconv as ic
from isoconv import __version__

COMMANDS = (
    "demo", "train", "resume", "report", "evaluate", "predict", "info", "models", "summary", "data",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a finished run."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 96), ("test", 32)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 90, (count, 12, 12, 1), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 * label : 4 * label + 4] += 150
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(folder / "bars.npz", class_names=np.array(["top", "middle", "bottom"]), **arrays)
    for number, name in enumerate(("top", "middle", "bottom")):
        Image.fromarray(arrays["x_test"][number, :, :, 0]).save(folder / f"{name}.png")
    succeed(
        "train", folder / "bars.npz", "--model", "lenet5", "--epochs", 12, "--batch-size", 16,
        "--optimizer", "adam", "--lr", 0.01, "--out", folder / "run",
    )  # fmt: skip
    return folder


# Help


@pytest.mark.parametrize("command", ["", *COMMANDS, "data list", "data fetch"])
def test_help_has_examples(command: str) -> None:
    """Every command's help shows how it is called, a line for each example."""
    text = succeed(*command.split(), "--help")
    assert "Usage: " in text
    examples = re.findall(r"^    isoconv .*$", text, re.MULTILINE)
    assert examples
    if command:
        assert any(line.strip().startswith(f"isoconv {command}") for line in examples)


def test_nothing_asked_shows_help() -> None:
    """Without a command there is help, and all went well."""
    text = succeed()
    assert all(re.search(rf"^  {command} ", text, re.MULTILINE) for command in COMMANDS)
    assert "isoconv data fetch" in succeed("data")


def test_version() -> None:
    """The version in one line."""
    assert succeed("--version") == f"isoconv {__version__}\n"


def test_startup_imports_nothing_heavy() -> None:
    """Help does not wait for the compiler, for arrays or for pictures."""
    program = (
        "import sys; import isoconv.cli\n"
        "heavy = {'numpy', 'llvmlite', 'PIL', 'matplotlib', 'rich', 'pooch', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# Training


def test_train_leaves_a_run_and_a_report(place: Path) -> None:
    """Weights, metrics and the pictures are in the run folder."""
    run = place / "run"
    assert {"run.json", "metrics.jsonl", "weights.safetensors"} <= {p.name for p in run.iterdir()}
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 12
    pictures = ("curves", "confusion", "mistakes", "predictions", "filters")
    for name in pictures:
        assert (run / "report" / f"{name}.png").stat().st_size > 2000
    assert "lenet5 on bars" in (run / "report" / "index.html").read_text("utf-8")


def test_train_prints_results(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line for each epoch, the accuracy, the report and the digest; a folder is found."""
    monkeypatch.chdir(tmp_path)
    command = (
        "train", place / "bars.npz", "--model", "lenet5", "--epochs", 2, "--batch-size", 16,
        "--no-report",
    )  # fmt: skip
    first, second = succeed(*command, "--threads", 1), succeed(*command, "--threads", 2)
    assert re.search(r"^epoch 2/2 .*validation loss", first, re.MULTILINE)
    assert re.search(r"^test accuracy \d+\.\d\d% \(\d+ of 32 images\)$", first, re.MULTILINE)
    assert "run runs/bars-lenet5-1\n" in first
    assert "run runs/bars-lenet5-2\n" in second
    assert "report" not in first
    assert not Path("runs/bars-lenet5-1/report").exists()
    assert digest_of(first) == digest_of(second)


def test_train_settings_reach_the_run(place: Path, tmp_path: Path) -> None:
    """Every option is found in run.json."""
    succeed(
        "train", place / "bars.npz", "--model", "lenet5", "--epochs", 1, "--batch-size", 24,
        "--shard-size", 8, "--seed", 7, "--out", tmp_path / "run", "--optimizer", "sgd",
        "--momentum", 0.5, "--nesterov", "--weight-decay", 0.001, "--schedule", "step",
        "--step-every", 2, "--step-factor", 0.5, "--warmup", 0.5, "--label-smoothing", 0.1,
        "--augment", "flip,crop=2,rotate=7.5", "--clip-norm", 1, "--early-stopping", 3,
        "--no-report",
    )  # fmt: skip
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    settings = description["settings"]
    assert settings["optimizer"]["momentum"] == 0.5
    assert settings["optimizer"]["nesterov"] is True
    assert settings["optimizer"]["weight_decay"] == 0.001
    assert settings["schedule"]["type"] == "WarmUp"
    assert settings["schedule"]["then"]["every"] == 2
    assert settings["loss"]["label_smoothing"] == 0.1
    assert settings["augmentation"]["crop_padding"] == 2
    assert settings["augmentation"]["rotation"] == 7.5
    assert settings["augmentation"]["flip"] is True
    assert (settings["batch_size"], settings["shard_size"]) == (24, 8)
    assert (settings["clip_norm"], settings["seed"]) == (1.0, 7)
    assert settings["early_stopping"]["patience"] == 3


def test_train_on_a_folder_of_images(tmp_path: Path) -> None:
    """Images of several sizes are scaled; names of folders become classes everywhere."""
    rng = np.random.default_rng(1)
    for number in range(24):
        folder = tmp_path / "pets" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        side = 16 + number
        image = rng.integers(0, 100, (side, side, 3), np.uint8) + 100 * np.uint8(number % 2)
        Image.fromarray(image).save(folder / f"{number}.png")
    run = tmp_path / "run"
    succeed("train", tmp_path / "pets", "--model", "lenet5", "--size", 14, "--epochs", 1,
            "--batch-size", 8, "--out", run)  # fmt: skip
    reading = json.loads((run / "run.json").read_text())["record"]["trained_on"]["reading"]
    assert reading == {
        "size": [14, 14], "channels": 3, "depth": 8, "dtype": "uint8", "reduced": True,
        "opacity": "white",
    }  # fmt: skip
    found = json.loads(succeed("predict", run, tmp_path / "pets" / "cat" / "0.png", "--json"))
    assert {entry["name"] for entry in found[0]["classes"]} == {"cat", "dog"}
    assert "cat" in succeed("evaluate", run, tmp_path / "pets")


def test_report_needs_no_matplotlib(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without matplotlib the page is written, with a note on how to get its pictures as files."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = call("train", place / "bars.npz", "--model", "lenet5", "--epochs", 1,
                  "--batch-size", 16, "--out", tmp_path / "run")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "run" / "report").iterdir()] == ["index.html"]
    assert "note: the report's pictures are in the page alone" in result.stderr
    assert "pip install 'isoconv[report]'" in result.stderr
    assert DIGEST.search(result.stdout)


@pytest.mark.slow
def test_interrupt_and_resume(place: Path, tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and the way on; the resumed run ends at the same bits."""
    command = ("train", place / "bars.npz", "--model", "lenet5", "--batch-size", 16,
               "--epochs", 60, "--threads", 1, "--no-report")  # fmt: skip
    process = start(*command, "--out", tmp_path / "a")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert f"go on with: isoconv resume {tmp_path / 'a'}" in said
    unfinished = call("evaluate", tmp_path / "a", place / "bars.npz")
    assert unfinished.exit_code == 2
    assert (
        f"isoconv resume {tmp_path / 'a'}, or take its best epoch so far (--best)"
        in unfinished.stderr
    )
    assert "accuracy" in succeed("evaluate", tmp_path / "a", place / "bars.npz", "--best")
    resumed = succeed("resume", tmp_path / "a", "--no-report")
    assert "epoch 1/60" not in resumed
    through = succeed(*command, "--out", tmp_path / "b")
    assert digest_of(resumed) == digest_of(through)


def test_resume_of_a_finished_run(place: Path) -> None:
    """A finished run is measured again and stays as it is."""
    kept = ("run.json", "metrics.jsonl")
    before = [(place / "run" / name).read_bytes() for name in kept]
    text = succeed("resume", place / "run", "--no-report")
    assert "is finished" in text
    result = json.loads(before[0])["result"]
    assert digest_of(text) == result["weights_sha256"]
    assert [(place / "run" / name).read_bytes() for name in kept] == before


# Using a run


def test_evaluate_agrees_with_training(place: Path) -> None:
    """The figures of the test part are the run's, to the last digit; so are those of validation."""
    run, data = place / "run", place / "bars.npz"
    final = json.loads((run / "run.json").read_text())["result"]["test"]
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    found = json.loads(succeed("evaluate", run, data, "--json"))
    assert found["accuracy"] == float.fromhex(final["top1"])
    assert found["loss"] == float.fromhex(final["loss"])
    assert (found["split"], found["images"], found["trained_on"]) == ("test", 32, 0)
    assert list(found["classes"]) == ["top", "middle", "bottom"]
    found = json.loads(succeed("evaluate", run, data, "--split", "validation", "--json"))
    assert (found["accuracy"], found["loss"]) == (last["val_top1"], last["val_loss"])
    text = succeed("evaluate", place / "run", place / "bars.npz", "--split", "train")
    assert re.search(r"^train accuracy \d+\.\d\d% \(\d+ of 87 images\)$", text, re.MULTILINE)


def test_predict_table(place: Path) -> None:
    """The images' classes with probabilities in falling order."""
    images = [place / f"{name}.png" for name in ("top", "middle", "bottom")]
    text = succeed("predict", place / "run", *images)
    assert text.splitlines()[0].split() == ["image", "class", "probability"]
    assert len(text.splitlines()) == 10
    for path in images:
        line = next(line for line in text.splitlines() if line.startswith(str(path)))
        assert line.split()[-2] == path.stem


def test_predict_json(place: Path) -> None:
    """Probabilities add up to 1, and --top bounds how many there are."""
    found = json.loads(succeed("predict", place / "run", place / "top.png", "--json"))
    assert found[0]["image"] == str(place / "top.png")
    assert sum(entry["probability"] for entry in found[0]["classes"]) == pytest.approx(1)
    one = json.loads(succeed("predict", place / "run", place / "top.png", "--json", "--top", 1))
    assert one[0]["classes"] == found[0]["classes"][:1]


def test_predict_uses_the_normalisation_of_training(place: Path) -> None:
    """A prediction for an image is that of the evaluation that knew the same pixels."""
    trained = ic.load(place / "run")
    measured = ic.evaluate(trained, ic.data.load(place / "bars.npz", "test"))
    found = json.loads(succeed("predict", place / "run", place / "top.png", "--json"))
    by_name = {entry["name"]: entry["probability"] for entry in found[0]["classes"]}
    assert measured.probabilities is not None
    expected = [float(value) for value in measured.probabilities[0]]
    assert [by_name[name] for name in trained.class_names] == expected


@pytest.mark.parametrize("ending", ["jpg", "bmp", "gif", "webp", "tiff", "ppm"])
def test_predict_any_format(place: Path, tmp_path: Path, ending: str) -> None:
    """Coloured images of any format and size are converted to what the model takes."""
    path = tmp_path / f"image.{ending}"
    Image.new("RGB", (50, 31), (200, 10, 90)).save(path)
    assert "top" in succeed("predict", place / "run", path)


# The machine, models and data


def test_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Machine, target, cache and versions; the cache can be cleared."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = succeed("info")
    caches = "kernel cache", "picture cache", str(tmp_path)
    for word in ("processor", "target", "vectors", "core ", *caches, "numpy", "LLVM"):
        assert word in text
    assert "0 kernels" in text
    # Of all packages that some extra asks for, whatever these are.
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    lines = dict(line.split(None, 1) for line in text.splitlines() if line[0] != " ")
    extras = {name: asked for name, asked in project["optional-dependencies"].items()
              if name != "dev"}  # fmt: skip
    asked = [*project["dependencies"], *(each for some in extras.values() for each in some)]
    packages = {re.split(r"[>=\[]", each)[0] for each in asked} - {"isoconv"}
    assert {"numpy", "pyarrow", "ray", "onnx", "starlette"} <= packages
    for name in packages:
        assert lines[name].startswith(version(name))

    def lost(name: str) -> str:
        raise PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lost)
        text = succeed("info")
    assert re.search(
        r"^ray +not installed \(pip install 'isoconv\[cluster\]'\)$", text, re.MULTILINE
    )
    assert re.search(r"^numpy +not installed \(pip install 'isoconv'\)$", text, re.MULTILINE)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.requires", lost)
        assert "isoconv is not installed as a package, which would name them" in succeed("info")
    (tmp_path / "isoconv" / "kernels" / "a.kernel").write_bytes(b"code")
    assert "1 kernels" in succeed("info")
    # Pictures that other tests of this process read may be among them.
    cleared = succeed("info", "--clear-cache")
    assert re.fullmatch(r"removed 1 compiled kernel\nremoved \d+ decoded pictures?\n", cleared)
    assert "0 kernels" in succeed("info")


def test_no_line_of_the_help_is_cut() -> None:
    """What each command does stands there to the end."""
    text = succeed("--help")
    assert "verify    Check a run against its receipt by training again.\n" in text
    assert not any(line.endswith("...") for line in text.splitlines()[1:])


def test_models() -> None:
    """All ready models with their sizes, the smallest first, and for which images those are."""
    result = call("models", "--input", "28x28x1")
    text = result.stdout
    assert result.stderr.startswith("note: for images of 28x28x1 and 10 classes; --input and")
    rows = [line.split() for line in text.splitlines()[1:]]
    assert rows[0] == ["lenet5", "61,706", "416,520"]
    assert {row[0] for row in rows} == {
        "lenet5", "small_resnet", "tinyvgg", "resnet20", "mobilenetv2", "vgg11", "resnet18",
        "vgg11_winograd", "resnet18_winograd", "resnet20_winograd", "convnext_tiny", "densenet121",
        "efficientnet_b0", "efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_large",
        "mobilenet_v3_small", "resnet34", "resnet50", "resnext50_32x4d", "shufflenet_v2_x1_0",
        "squeezenet1_0", "squeezenet1_1", "small_unet", "unet",
    }  # fmt: skip
    assert "small_unet and unet give each pixel a class" in result.stderr


def test_summary() -> None:
    """Layers, shapes and totals."""
    text = succeed("summary", "--model", "lenet5", "--input", "28x28x1")
    assert text.splitlines()[-1].split() == ["total", "61,706", "416,520"]
    assert succeed("summary", "lenet5", "--input", "28x28x1") == text
    assert "got lenet5 and --model vgg11" in fail("summary", "lenet5", "--model", "vgg11")


def test_a_run_is_no_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash is no name of a run folder, for elsewhere it stands for standard output."""
    monkeypatch.chdir(tmp_path)
    for words in (("train", "fashion-sample"), ("demo",)):
        assert "got -, and a run is no stream" in fail(*words, "--out", "-")
    assert list(tmp_path.iterdir()) == []


def test_data_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What comes along and how to fetch the others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = succeed("data", "list")
    assert re.search(r"^fashion-sample +comes with isoconv$", text, re.MULTILINE)
    assert re.search(r"^mnist +isoconv data fetch mnist$", text, re.MULTILINE)
    assert "nothing is to be fetched" in succeed("data", "fetch", "fashion-sample")


# The demo


@pytest.mark.slow
def test_demo_learns(tmp_path: Path) -> None:
    """A shortened demo recognises most photographs, and a second one takes its place."""
    command = ("demo", "--out", tmp_path / "demo", "--epochs", 2)
    text = succeed(*command)
    accuracy = re.search(r"^test accuracy ([\d.]+)%", text, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) > 80
    assert f"report {tmp_path / 'demo' / 'report' / 'index.html'}\n" in text
    assert DIGEST.fullmatch(text.splitlines()[-1])
    (tmp_path / "demo" / "own.txt").write_text("mine")
    again = succeed(*command[:-1], 1, "--no-report")
    assert digest_of(again) != digest_of(text)
    assert not (tmp_path / "demo" / "report").exists()
    assert (tmp_path / "demo" / "own.txt").read_text() == "mine"


@pytest.mark.slow
def test_summary_of_a_published_name_says_that_it_is_untrained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ready model of a published name is said to be untrained, with its shapes; others not.

    It is said whether the published weights are here, too.
    """
    monkeypatch.setattr("isoconv.exchange.published.where", lambda *_: None)
    shown = succeed("summary", "resnet18", "--input", "32x32x3", "--classes", "7")
    assert "untrained, made for images of 32x32x3 and 7 classes" in str(shown)
    wanted = "224x224x3 and 1,000 classes, and not here: isoconv models fetch resnet18"
    assert wanted in str(shown)
    monkeypatch.setattr("isoconv.exchange.published.where", lambda *_: Path("kept/18.pth"))
    assert "1,000 classes, and in kept/18.pth, and not shown" in succeed("summary", "resnet18")
    assert "untrained" not in str(succeed("summary", "lenet5"))


def test_explain_takes_published_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A published name gets as far as for other commands; another word is still none."""
    monkeypatch.setattr("isoconv.exchange.published.where", lambda *_: None)
    assert "models fetch resnet50" in fail("explain", "resnet50", "--image", "none.png")
    assert "did you mean conv" in fail("explain", "cnv")


def test_a_file_of_weights_that_was_cut_is_said_to_be(tmp_path: Path) -> None:
    """What begins as an archive and lacks its end is named as cut off."""
    cut = tmp_path / "cut.pt"
    cut.write_bytes(b"PK\x03\x04" + bytes(600))
    assert "cut off or damaged" in fail("summary", str(cut))


def test_what_is_no_model_is_not_called_damaged_weights(place: Path, tmp_path: Path) -> None:
    """A text in the place of a model is said to be none, and what models are read from."""
    text = tmp_path / "text.txt"
    text.write_text("some words of no model at all")
    said = fail("predict", text, "picture.png")
    assert "is no .safetensors file; a model is that, a run folder, a file of PyTorch's" in said
    assert "header" not in said


def test_a_run_is_named_when_it_begins(place: Path, tmp_path: Path) -> None:
    """Settings that are refused come before a run is named."""
    words = ("train", place / "bars.npz", "--model", "lenet5", "--batch-size", 16)
    result = call(*words, "--shard-size", 32, "--out", tmp_path / "run")
    assert "--shard-size must be at most --batch-size" in result.stderr
    assert "run" not in result.stdout
