"""``--json``: every command has it, and standard output is then one JSON document alone."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
from tests.cli.command import call, start
from typer.main import Typer

from isoconv.cli import app
from isoconv.cli.options import AsJson
from isoconv.data import pack

EXEMPT = {"completion": "prints a script for a shell, for which JSON would be no use"}
"""Command → why it has no ``--json``."""
LASTING = dict.fromkeys(
    ("serve", "view"), "serves until it is ended; tests/serve has it as a process"
)
"""Command → why it does not end by itself."""


def commands(
    group: Typer = app, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """Every command's words and function."""
    for entry in group.registered_commands:
        assert entry.callback is not None
        yield (*prefix, entry.name or entry.callback.__name__), entry.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        assert inner.name is not None
        yield from commands(inner.typer_instance, (*prefix, inner.name))


COMMANDS = {" ".join(words): function for words, function in commands()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright and dark images, and a run on them that was made with ``--json``."""
    place = tmp_path_factory.mktemp("json")
    labels = np.arange(60) % 2
    noise = np.random.default_rng(0).integers(0, 60, (60, 16, 16))
    images = (labels[:, None, None] * 150 + noise).astype(np.uint8)
    np.savez(place / "data.npz", images=images, labels=labels, class_names=["dark", "bright"])
    from PIL import Image

    Image.fromarray(images[0]).save(place / "a.png")
    result = call(
        "train", place / "data.npz", "--model", "lenet5", "--epochs", 2, "--batch-size", 16,
        "--out", place / "run", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (place / "said.json").write_text(result.stdout)
    (place / "said.txt").write_text(result.stderr)
    pack(place / "data.npz", place / "checked.pack", progress=False)
    return place


def words_for(place: Path) -> dict[str, tuple[Any, ...]]:
    """A call of each command that ends well."""
    run, data = place / "run", place / "data.npz"
    return {
        "demo": ("--epochs", 1, "--no-report", "--out", place / "demo"),
        "train": (data, "--model", "lenet5", "--epochs", 1, "--out", place / "new", "--no-report"),
        "resume": (run, "--no-report"),
        "evaluate": (run, data),
        "inspect": (run,),
        "predict": (run, place / "a.png"),
        "export": (run, place / "run.onnx"),
        "verify": (run,),
        "diff": (run, run),
        "info": (),
        "models": ("--input", "16x16x1"),
        "models list": (),
        "models fetch": ("efficientnet_lite0",),
        "summary": ("--model", run),
        "bench": ("--model", run, "--turns", 1, "--batch-size", 2, "--inference"),
        "data list": (),
        "data fetch": ("fashion-sample",),
        "data show": (data,),
        "data pack": (data, place / "data.pack"),
        "data check": (place / "checked.pack",),
        "report": (run,),
        "explain number": (run, "--image", place / "a.png"),
        "explain conv": (),
        "explain conv-transpose": (),
        "explain max": (),
        "explain average": (),
        "explain global": (),
    }


def test_every_command_has_it() -> None:
    """A command without the option must say here why."""
    without = [
        name
        for name, function in COMMANDS.items()
        if not any(
            parameter.annotation in (AsJson, "AsJson")
            for parameter in inspect.signature(function).parameters.values()
        )
    ]
    assert sorted(without) == sorted(name for name in EXEMPT if name in COMMANDS)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(EXEMPT) - set(LASTING)))
def test_standard_output_is_one_document(place: Path, name: str) -> None:
    """Whatever is said besides goes to standard error, and the exit code is as ever."""
    result = call(*name.split(), *words_for(place)[name], "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values
    # What JSON does not have is not in it either.
    json.loads(result.stdout, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("words", "work"),
    [
        (("train", "data.npz", "--model", "lenet5", "--epochs", 1, "--no-report", "--out", "talk"),
         "isoconv.train.Trainer.fit"),
        (("verify", "run"), "isoconv.train.verify"),
        (("predict", "run", "a.png", "--out", "a.csv"), "isoconv.batch.predicting.predict_into"),
    ],
    ids=["train", "verify", "predict"],
)  # fmt: skip
def test_a_library_that_talks(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[Any, ...], work: str
) -> None:
    """As Ray does of a node that is lost: that is not in the document."""
    owner, _, name = work.rpartition(".")
    real = getattr(resolve_name(owner), name)

    def talking(*given: Any, **named: Any) -> Any:
        print("(raylet) a node is dead")  # noqa: T201
        return real(*given, **named)

    monkeypatch.setattr(work, talking)
    monkeypatch.chdir(place)
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)
    assert "(raylet) a node is dead\n" in result.stderr


def test_a_training(place: Path) -> None:
    """Its result has the folder, the digest, accuracy, each epoch and notes; the rest is told."""
    values = json.loads((place / "said.json").read_text())
    described = json.loads((place / "run" / "run.json").read_text())
    rows = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    assert values["run"] == str(place / "run")
    assert values["weights_sha256"] == described["result"]["weights_sha256"]
    assert values["history"] == rows
    assert (values["epochs"], values["stopped"]) == (2, None)
    assert values["measured"]["part"] == "test"
    assert values["measured"]["images"] == 6
    assert values["measured"]["accuracy"] == float.fromhex(described["result"]["test"]["top1"])
    assert values["report"] == str(place / "run" / "report" / "index.html")
    assert isinstance(values["notes"], list)
    assert values["skipped"] == []
    said = (place / "said.txt").read_text()
    assert "epoch 1/2" in said
    assert "epoch 2/2" in said
    assert values["weights_sha256"] in said
    again = json.loads(call("resume", place / "run", "--no-report", "--json").stdout)
    for name in ("weights_sha256", "history", "measured", "settings"):
        assert again[name] == values[name]


@pytest.mark.slow
def test_without_it_nothing_changes(place: Path) -> None:
    """The next command in the same process prints on standard output again."""
    assert call("models", "--json").stdout.startswith("{")
    assert call("models").stdout.startswith("name")


def test_differences(place: Path) -> None:
    """What differs is told, and exit code 1 with it."""
    words = ("train", place / "data.npz", "--model", "lenet5", "--epochs", 1, "--batch-size", 16)
    assert call(*words, "--seed", 1, "--out", place / "other", "--no-report").exit_code == 0
    result = call("diff", place / "run", place / "other", "--json")
    assert result.exit_code == 1
    values = json.loads(result.stdout)
    assert (values["different"], values["identical"]) == (True, False)
    assert any(line.startswith("settings.seed") for line in values["settings_that_differ"])
    assert values["difference"]["epoch"] == 0


def test_skipped_files(place: Path) -> None:
    """Files that cannot be read and were left out are named with the reason."""
    from PIL import Image

    for name, level in (("dark", 30), ("bright", 200)):
        folder = place / "pets" / name
        folder.mkdir(parents=True)
        for number in range(6):
            Image.new("L", (16, 16), level + number).save(folder / f"{number}.png")
    (place / "pets" / "dark" / "bad.png").write_bytes(b"no picture")
    words = ("--skip-bad", "--json")
    result = call("evaluate", place / "run", place / "pets", *words)
    assert result.exit_code == 0, result.output
    (skipped,) = json.loads(result.stdout)["skipped"]
    assert skipped["path"] == "dark/bad.png"
    assert skipped["reason"]
    options = ("--model", "lenet5", "--epochs", 1, "--batch-size", 4, "--no-report")
    result = call("train", place / "pets", *options, "--out", place / "pets run", *words)
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["skipped"] == [skipped]
    assert any("bad.png" in note for note in values["notes"])


@pytest.mark.slow
def test_in_a_process_of_its_own(place: Path) -> None:
    """Through pipes, as programs read it; an error is text on standard error, and no document."""
    process = start("evaluate", place / "run", place / "data.npz", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["images"] == 6
    process = start("evaluate", place / "nowhere", place / "data.npz", "--json")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: ")
