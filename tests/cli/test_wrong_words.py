"""Words of a command line that cannot be meant so, and runs that lack a file: what is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import fail, succeed

from isoconv import memory


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, and its data."""
    place = tmp_path_factory.mktemp("words")
    labels = np.arange(40) % 2
    images = (labels[:, None, None] * 150 + np.zeros((40, 16, 16))).astype(np.uint8)
    np.savez(place / "data.npz", images=images, labels=labels)
    succeed(
        "train", place / "data.npz", "--model", "lenet5", "--epochs", 1, "--batch-size", 16,
        "--out", place / "run", "--no-report",
    )  # fmt: skip
    return place


@pytest.fixture
def run(place: Path, tmp_path: Path) -> Path:
    """A copy of the run to spoil."""
    return shutil.copytree(place / "run", tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-memory", "info"), "--max-memory needs a size, such as 2GiB; got 'info'"),
        (("info", "--max-memory"), "--max-memory needs a size, such as 2GiB; got nothing"),
        (("info", "--max-memory", "0"), "--max-memory must be more than nothing, such as 2GiB"),
        (("info", "--max-memory=much"), "--max-memory: a size of memory must be written such as"),
        (("resume", "x", "--save-every", "nan"), "--save-every must be at least 0; got nan"),
        (("resume", "x", "--save-every", "-1"), "--save-every must be at least 0; got -1"),
    ],
)
def test_options(words: tuple[str, ...], message: str) -> None:
    """A value that is missing is not the next word; one that makes no sense is named as typed."""
    assert message in " ".join(fail(*words).split())
    assert memory.set_limit(None) is None


def test_help_calls_values_what_they_are() -> None:
    """As the documents do: no option shows the name of a Python type."""
    text = succeed("train", "--help") + succeed("resume", "--help") + succeed("--help")
    assert "--epochs <whole number>" in text
    assert "--learning-rate, --lr <number>" in text
    assert "--out <path>" in text
    options = text.partition("Options:")[2]
    assert not any(word in options for word in ("range>", "<int>", "<float>"))


def test_a_checkpoint_that_never_comes(run: Path) -> None:
    """Seconds without an end are refused by the option's name."""
    said = fail("resume", run, "--save-every", "inf")
    assert "--save-every must be a finite number at least 0; got inf" in said


def test_a_limit_that_python_alone_exceeds(place: Path) -> None:
    """Then no file is to blame, and what the process holds is said."""
    said = " ".join(fail("train", place / "data.npz", "--max-memory", "1MiB").split())
    assert "of the 1.0 MiB that are allowed, for this process holds" in said


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_run_needs_a_folder_of_its_own(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    """Nothing is trained into the current folder, nor into one around it."""
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    for words in (("train", place / "data.npz"), ("demo",)):
        assert "--out must be a folder of the run's own" in fail(*words, "--out", out)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "inside"]


@pytest.mark.parametrize("command", ["train", "demo"])
def test_a_name_that_is_too_long(place: Path, tmp_path: Path, command: str) -> None:
    """The folder that cannot be made is named, and nothing is said of what was saved before."""
    data = [place / "data.npz"] if command == "train" else []
    for out in (tmp_path / ("x" * 300), tmp_path / ("x" * 300) / "run"):
        said = fail(command, *data, "--out", out)
        assert f"{out} cannot be written (File name too long)" in said.replace("\n", "")
        assert "saved before" not in said


def test_runs_that_lack_something(run: Path, tmp_path: Path) -> None:
    """Each says what is missing, and what can be done all the same."""
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(run / "receipt.json", alone)
    assert "has no run.json, which would say where its data are" in fail("verify", alone)
    said = fail("verify", alone / "receipt.json")
    assert "is a file: give the folder that it lies in" in said
    assert "alone is not there" in fail("verify", tmp_path / "nowhere" / "alone")
    shutil.rmtree(run / "checkpoints")
    said = fail("resume", run)
    assert "last.json is not there, so the run cannot be gone on with" in said
    assert "its weights are there, to evaluate and predict with (weights.safetensors" in said


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "{run}", ""), ("predict", "", "x.png"), ("train", ""),
        ("evaluate", "{run}", ""), ("resume", "{run}", "--data", ""),
        ("resume", "{run}", "--data="), ("verify", "--", ""),
        ("summary", ""), ("train", "x", "--out", ""), ("--max-memory", "", "info"),
    ],
)  # fmt: skip
def test_an_empty_word(run: Path, words: tuple[str, ...]) -> None:
    """Such as a shell makes of a variable that is not set: it is not the current folder."""
    said = fail(*(word.format(run=run) for word in words))
    assert "may be empty; got " in said or "--max-memory needs a size" in said


def test_data_that_were_moved(run: Path) -> None:
    """Where they are now is asked for; the run may be anywhere."""
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace("data.npz", "gone.npz"))
    for command in ("resume", "verify"):
        said = fail(command, run)
        assert "say with --data where they are now (the run itself may be anywhere)" in said
