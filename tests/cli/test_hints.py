"""What the command line says speaks of options and commands, not of Python."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from safetensors.numpy import save_file
from tests.cli.command import call

import isoconv as ic
from isoconv import nn
from isoconv.cli import app
from isoconv.graph.operation import Array
from isoconv.wording import called, either, named, offered, setting, spoken_on_the_command_line

TRAIN = ("--epochs", 1, "--model", "lenet5", "--no-report", "--threads", 1)
PYTHON = re.compile(
    r"\w=\S|isoconv\.\w+|\.astype|\.transpose|in Python|model\.\w+\(|\bNone\b|\bTrue\b|"
    r"\b(learning_rate|weight_decay|clip_norm|label_smoothing|batch_size|shard_size|split_seed|"
    r"skip_bad|patience|rotation|labels\[|layout|Dataset)\b"
)
"""What nobody can type after ``isoconv``."""
BIG = 2**70
OF_TRAIN = {
    "--size": (("--size", 0), ("--size", 9999)),
    "--depth": (("--depth", 4),),
    "--learning-rate": (("--lr", -1), ("--lr", "nan")),
    "--momentum": (
        ("--momentum", 0.5),
        ("--optimizer", "sgd", "--momentum", 2),
        ("--optimizer", "sgd", "--nesterov", "--momentum", 0),
    ),
    "--weight-decay": (("--weight-decay", -1),),
    "--clip-norm": (("--clip-norm", 0),),
    "--label-smoothing": (("--label-smoothing", 2),),
    "--warmup": (("--warmup", -1),),
    "--validation": (
        ("--validation", 1),
        ("--validation", 0.6, "--test", 0.6),
    ),
    "--test": (("--test", "nan"),),
    "--shard-size": (("--shard-size", 64, "--batch-size", 8),),
    "--step-factor": (("--schedule", "step", "--step-factor", -1),),
    "--augment rotate": (("--augment", "rotate=999"),),
    "--augment crop": (("--augment", f"crop={BIG}"),),
    "--seed": (("--seed", BIG),),
    "--split-seed": (("--split-seed", BIG),),
    "--epochs": (("--epochs", 2**40),),
    "--threads": (("--threads", BIG),),
    "--target": (("--target", "nope"),),
    "--early-stopping": (("--early-stopping", 0),),
}
"""Option that a message must name → ways to get it wrong."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and runs of many kinds."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 28, 28, 1)).astype(np.uint8)
    labels = np.arange(40) % 2
    data: dict[str, tuple[Array, Array]] = {
        "bytes": (images, labels),
        "floats": (images / 255.0, labels),
        "whole": (images.astype(np.int64), labels),
        "first": (rng.integers(0, 256, (40, 3, 9, 9)).astype(np.uint8), labels),
        "targets": (images, labels / 2.0),
        "hot": (images, np.eye(2)[labels]),
        "from-1": (images, labels + 1),
        "gaps": (images, labels * 3),
        "two": (np.repeat(images, 2, axis=3), labels),
    }
    for name, (given, numbers) in data.items():
        np.savez(folder / f"{name}.npz", images=given, labels=numbers)
    for name in ("bytes", "floats", "two"):
        trainer = ic.Trainer("lenet5", progress=False, threads=1)
        trainer.fit(ic.data.load_splits(folder / f"{name}.npz"), epochs=1, out=folder / name)
    own = nn.Sequential(nn.Flatten(), nn.Linear(1))
    ic.Trainer(own, loss="mse", progress=False).fit(data["targets"], epochs=1, out=folder / "mse")

    class Own(nn.Module):
        """A class of a person's own."""

        def __init__(self) -> None:
            self.linear = nn.Linear(2)

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return self.linear(nn.functional.flatten(x))

    ic.Trainer(Own(), progress=False).fit(data["bytes"], epochs=1, out=folder / "own")
    save_file({"a": np.zeros(3, np.float32)}, folder / "bare.safetensors")
    Image.fromarray(images[0, :, :, 0]).save(folder / "x.png")
    Image.fromarray(np.full((28, 28), 60000, np.uint16)).save(folder / "deep.tif")
    return folder


OTHERS: dict[str, list[tuple[Any, ...]]] = {
    "train": [(f"{name}.npz", *TRAIN) for name in ("whole", "first", "targets", "hot",
                                                    "from-1", "gaps")],
    "evaluate": [("bytes", "floats.npz"), ("floats", "bytes.npz"), ("bytes", "whole.npz"),
                 ("bytes", "first.npz"), ("mse", "bytes.npz"), ("own", "bytes.npz"),
                 ("floats", "floats.npz", "--scale", 1e-5), ("bytes", "bytes.npz", "--scale", 0)],
    "predict": [("bytes", "deep.tif"), ("floats", "x.png"), ("two", "x.png"), ("mse", "x.png"),
                ("own", "x.png"), ("bare.safetensors", "x.png"), ("bytes", "x.png", "--scale", 0)],
    "resume": [("own",), ("mse",), ("nope",)],
    "verify": [("own",), ("mse",)],
    "bench": [("--model", "own")],
    "summary": [("--model", "own"), ("--model", "bare.safetensors")],
}  # fmt: skip


def said(place: Path, monkeypatch: pytest.MonkeyPatch, *words: Any) -> tuple[int, str]:
    """All that a command says where something is wrong, or is to be told."""
    monkeypatch.chdir(place)
    result = call(*words)
    lines = [line for line in result.stdout.splitlines() if re.match("note|warning", line)]
    return result.exit_code, "\n".join([*lines, result.stderr])


@pytest.mark.parametrize(
    ("option", "words"), [(name, words) for name, all_ in OF_TRAIN.items() for words in all_]
)
def test_settings_are_options(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    option: str,
    words: tuple[float | str, ...],
) -> None:
    """What is wrong with an option is told under the name that it has on the command line."""
    out = ("--out", tmp_path / "run")
    code, text = said(place, monkeypatch, "train", "bytes.npz", *TRAIN, *out, *words)
    assert code == 2
    assert option in text
    assert not PYTHON.search(text), PYTHON.search(text)


@pytest.mark.parametrize(
    ("command", "words"), [(name, words) for name, all_ in OTHERS.items() for words in all_]
)
def test_hints_are_options(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: tuple[float | str, ...]
) -> None:
    """No hint speaks of Python, and each option that is named is one of this command."""
    _, text = said(place, monkeypatch, command, *words)
    assert text.strip()
    assert not PYTHON.search(text), PYTHON.search(text)
    group: Any = typer.main.get_command(app)
    known = {option for one in group.commands[command].params
             for option in one.opts}  # fmt: skip
    assert set(re.findall(r"(?<!isoconv )--[a-z-]+", text)) <= known


def test_data_that_were_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that fetches them is named, and no function."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = call("train", "cifar10").stderr
    assert "run `isoconv data fetch cifar10`" in text
    assert not PYTHON.search(text)


def test_the_same_in_python(place: Path) -> None:
    """In Python the same messages speak of Python, also after the command line has spoken."""
    with pytest.raises(ic.errors.ArgumentError, match="learning_rate must be a finite number"):
        ic.optim.SGD(-1)
    with pytest.raises(ic.errors.DataError, match=r"\.astype\(numpy\.uint8\)"):
        ic.data.load(place / "whole.npz")
    with pytest.raises(ic.errors.DTypeError, match="scale=1/255 brings bytes to 0 to 1"):
        ic.load(place / "floats").predict(np.zeros((1, 28, 28, 1), np.uint8))


def test_what_a_run_keeps_is_in_the_words_of_the_command_line(place: Path, tmp_path: Path) -> None:
    """A note that is kept and shown later speaks of options as well."""
    for name in ("a", "b"):
        for number in range(9):
            (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
            values = np.full((28, 28), 1000 + number, np.uint16)
            Image.fromarray(values).save(tmp_path / "pets" / name / f"{number}.tif")
    text = call("train", tmp_path / "pets", *TRAIN, "--out", tmp_path / "run").output
    assert "--depth says otherwise" in text
    assert not PYTHON.search("\n".join(re.findall("^note.*", text, re.MULTILINE)))


def test_wording() -> None:
    """A setting is an option if the command has it; other names last as long as their block."""
    assert (either("a", "b"), named("size"), offered("size")) == ("a", "size", True)
    with spoken_on_the_command_line({"size": "--size", "seed": "--seed"}):
        assert (either("a", "b"), named("size"), offered("depth")) == ("b", "--size", False)
        with called(seed="--split-seed"):
            assert setting("seed", "3") == "--split-seed 3"
        assert setting("seed", "3") == "--seed 3"
        assert setting("depth", "12") == "depth 12"
    with called(seed="--split-seed"):
        assert setting("seed", "3") == "seed=3"
    assert setting("seed", "3") == "seed=3"


SETTINGS = "scale|size|depth|best|clip_norm|validation|test|skip_bad|momentum"
SPELLED = re.compile(rf"(?<![-\w])({SETTINGS})=(…|True|\d|\(|$)|isoconv\.data\.fetch")


@pytest.mark.slow
def test_no_message_spells_a_setting() -> None:
    """What is an option somewhere is written by `wording.setting`, never out of hand."""
    found = []
    for path in sorted(Path(ic.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("either", "setting"):
                apart |= {id(inner) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and " " in text and id(node) not in apart:
                found += [f"{path.name}: {text}" for _ in SPELLED.findall(text)]
    assert found == []
