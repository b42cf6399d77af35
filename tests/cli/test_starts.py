"""A training that fails at its start leaves nothing, and what is printed as a command is one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.command import call, fail

import isoconv
from isoconv.train.progress import Reporter

RUN = "Ann's 2nd run"
"""A name that a shell takes apart unless it is quoted."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file of small images, and broken ones beside it."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    images = rng.integers(0, 256, (40, 12, 12, 1), np.uint8)
    np.savez(folder / "good.npz", images=images, labels=np.arange(40) % 2)
    np.savez(folder / "floats.npz", images=images, labels=np.linspace(0, 1, 40))
    np.savez(folder / "one.npz", images=images, labels=np.zeros(40, np.int64))
    np.savez(folder / "small.npz", images=images[:, :4, :4], labels=np.arange(40) % 2)
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    return folder


def train(
    data: Path, run: Path | str, *options: object, file: str = "good.npz"
) -> tuple[object, ...]:
    """The words of a quick training."""
    return ("train", data / file, "--model", "lenet5", "--epochs", 1, "--batch-size", 8,
            "--no-report", "--out", run, *options)  # fmt: skip


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("good.npz", ("--model", "alexnet"), "no model is called"),
        ("good.npz", ("--lr", "nan"), "--learning-rate"),
        ("good.npz", ("--augment", "melt"), "--augment takes"),
        ("good.npz", ("--shard-size", 9), "--shard-size"),
        ("good.npz", ("--target", "z80"), "target must be one of"),
        ("good.npz", ("--size", 5), "only folders of images are scaled"),
        ("good.npz", ("--validation", 0.6, "--test", 0.5), "together below 1"),
        ("good.npz", ("--clip-norm", 0), "--clip-norm"),
        ("good.npz", ("--optimizer", "sgd", "--lr", 1e30), "must stay finite"),
        ("floats.npz", (), "labels are whole numbers or names"),
        ("one.npz", (), "two classes or more"),
        ("small.npz", (), "kernel"),
        ("broken.npz", (), "broken.npz"),
        ("nothing.npz", (), "there is no data called"),
    ],
)
def test_a_failed_start_leaves_nothing(
    data: Path, tmp_path: Path, file: str, options: tuple[float | str, ...], message: str
) -> None:
    """Whatever was wrong, the corrected command with the same folder works."""
    run = tmp_path / RUN
    before = set(tmp_path.rglob("*"))
    assert message in fail(*train(data, run, *options, file=file))
    assert set(tmp_path.rglob("*")) == before
    result = call(*train(data, run))
    assert result.exit_code == 0, result.output
    assert f"run {run}\n" in result.stdout


def test_a_person_s_own_files_stay(data: Path, tmp_path: Path) -> None:
    """A folder that was there, and what was in it, is there after a failed start."""
    run = tmp_path / RUN
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    fail(*train(data, run, "--optimizer", "sgd", "--lr", 1e30))
    assert [path.name for path in run.iterdir()] == ["notes.txt"]
    assert (run / "notes.txt").read_text() == "mine"
    assert call(*train(data, run)).exit_code == 0
    assert (run / "notes.txt").read_text() == "mine"


def test_a_failed_start_takes_no_number(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out the next training gets the folder that the failed one would have had."""
    monkeypatch.chdir(tmp_path)
    words = train(data, "")[:-2]
    fail(*words, "--optimizer", "sgd", "--lr", 1e30)
    assert "run runs/good-lenet5-1\n" in call(*words).stdout


def test_an_earlier_run_is_said_before_the_data_are_read(data: Path, tmp_path: Path) -> None:
    """A taken folder costs no waiting, and nothing is announced."""
    assert call(*train(data, tmp_path / RUN)).exit_code == 0
    result = call(*train(data, tmp_path / RUN, file="nothing.npz"))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "holds a run already" in result.stderr


def test_a_loss_that_is_not_finite_says_what_to_try(data: Path, tmp_path: Path) -> None:
    """The advice is in options of the command line."""
    said = fail(*train(data, tmp_path / RUN, "--optimizer", "sgd", "--lr", 1e30))
    assert "--clip-norm 1.0" in said
    assert "clip_norm=" not in said


# Commands that are printed


def printed(said: str) -> list[str]:
    """The command in a message, as a shell would read it; quoted words may hold anything."""
    found = re.search(r"isoconv [a-z]+(?: (?:'[^']*'|\"'\"|[^\s',;()])+)+", said)
    assert found is not None, said
    return shlex.split(found[0])[1:]


def test_printed_commands_can_be_pasted(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be typed next works as it stands, with blanks and quotes in the path."""
    run = tmp_path / RUN
    end_epoch = Reporter.end_epoch

    def interrupted(self: Reporter, row: Mapping[str, Any], epochs: int, *more: Any) -> None:
        end_epoch(self, row, epochs, *more)
        raise KeyboardInterrupt

    monkeypatch.setattr(Reporter, "end_epoch", interrupted)
    words = train(data, run, "--epochs", 2)
    result = call(*words)
    assert result.exit_code == 130
    monkeypatch.undo()
    resume = ["resume", str(run)]
    assert printed(result.stderr) == resume
    assert printed(fail(*words)) == resume
    assert printed(fail("evaluate", run, data / "good.npz")) == resume
    assert call(*printed(result.stderr), "--no-report").exit_code == 0
    other = isoconv.nn.Sequential(isoconv.nn.Flatten(), isoconv.nn.Linear(2)).build((12, 12, 1))
    other.save(run / "weights.safetensors")
    verify = printed(fail("predict", run, "a.png"))
    assert verify == ["verify", str(run)]
    assert call(*verify).exit_code == 1


def test_a_run_whose_name_looks_like_an_option(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that begins with a dash is printed so that it is no option."""
    monkeypatch.chdir(tmp_path)
    words = train(data, "unused")[:-2]
    assert call(*words, "--out=-run").exit_code == 0
    resume = printed(fail(*words, "--out=-run"))
    assert resume == ["resume", "./-run"]
    assert call(*resume, "--no-report").exit_code == 0


def test_a_fetched_folder_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way to train on data in a folder of one's own."""
    place = tmp_path / "Ann's data" / "mnist"
    monkeypatch.setattr(isoconv.data, "fetch", lambda *_: place)
    result = call("data", "fetch", "mnist", "--folder", place.parent)
    assert result.exit_code == 0, result.output
    assert printed(result.stdout.splitlines()[-1]) == ["train", str(place)]


def test_every_printed_path_is_quoted() -> None:
    """In the source no command takes a value as it is, but for names that are known."""
    known = {"{name}", "{source}"}
    root = Path(isoconv.__file__).parent
    found = [
        (path.name, match[0])
        for path in sorted(root.rglob("*.py"))
        for match in re.finditer(r"\bisoconv [a-z]+(?: [a-z]+)? (\{[^}]*\})", path.read_text())
        if match[1] not in known and not match[1].startswith("{as_word(")
    ]
    assert found == []
