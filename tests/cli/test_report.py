"""``isoconv report``, and what a run keeps of how it was started."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, succeed

from isoconv.cli.typed import command_line, typed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes and a run on them that has no report."""
    root = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    for number in range(40):
        folder = root / "my pets" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 100, (16, 16, 3), np.uint8) + 100 * np.uint8(number % 2)
        Image.fromarray(image).save(folder / f"IMG_{number:04}.png")
    before = Path.cwd()
    os.chdir(root)
    try:
        succeed("train", root / "my pets", "--model", "lenet5", "--epochs", 2, "--batch-size", 8,
                "--test", 0.25, "--no-report", "--out", "run")  # fmt: skip
    finally:
        os.chdir(before)
    return root


def text_of(run: Path) -> str:
    """The text of a run's page."""
    page = (run / "report" / "index.html").read_text("utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))


def test_a_run_keeps_how_it_was_started(place: Path) -> None:
    """Command and date are in run.json, with paths from where it was typed, and nowhere else."""
    facts = json.loads((place / "run" / "run.json").read_text())["facts"]
    assert facts["command"] == (
        "isoconv train 'my pets' --model lenet5 --epochs 2 --batch-size 8 --test 0.25 --no-report "
        "--out run"
    )
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", facts["started"])
    receipt = (place / "run" / "receipt.json").read_text()
    assert "--no-report" not in receipt
    assert facts["started"] not in receipt


def test_report_of_a_run_without_one(place: Path) -> None:
    """The page is made for a run that has none, with the names of files below the mistakes."""
    assert not (place / "run" / "report").exists()
    said = succeed("report", place / "run")
    assert f"report {place / 'run' / 'report' / 'index.html'}\n" in said
    assert re.search(r"^test accuracy \d+\.\d\d% \(\d+ of 10 images\)$", said, re.MULTILINE)
    text = text_of(place / "run")
    assert "lenet5 on my pets" in text
    assert re.search(r"(cat|dog)/IMG_00\d\d\.png", text)
    assert "isoconv train &#x27;my pets&#x27; --model lenet5" in text
    assert "kept weightsthose of epoch 2" in text


def test_report_as_json(place: Path) -> None:
    """What was measured and where the page is, for programs."""
    result = call("report", place / "run", "--json")
    found = json.loads(result.stdout)
    assert found["report"] == str(place / "run" / "report" / "index.html")
    assert (found["part"], found["images"]) == ("test", 10)
    assert found["accuracy_interval_95"][0] <= found["accuracy"] <= 1


@pytest.mark.slow
def test_report_of_the_best_epoch(place: Path, tmp_path: Path) -> None:
    """With --best the page says whose weights were measured, where they are not those kept."""
    run = tmp_path / "run"
    succeed("train", place / "my pets", "--model", "lenet5", "--epochs", 3, "--batch-size", 8,
            "--lr", 0.5, "--schedule", "constant", "--no-report", "--out", run)  # fmt: skip
    best = json.loads((run / "run.json").read_text())["result"]["best_epoch"]
    assert best < 3
    succeed("report", run, "--best")
    said = (
        f"Measured with the weights of epoch {best}, not with those that the run left, of epoch 3."
    )
    assert said in text_of(run)
    succeed("report", run)
    assert f"weights of epoch 3; lowest validation loss: epoch {best}" in text_of(run)


@pytest.mark.slow
def test_report_is_that_of_the_training(place: Path, tmp_path: Path) -> None:
    """A report made later is the same, byte by byte, as the one that the training made."""
    run = tmp_path / "run"
    succeed("train", place / "my pets", "--model", "lenet5", "--epochs", 1, "--batch-size", 8,
            "--out", run)  # fmt: skip
    page = run / "report" / "index.html"
    first = page.read_bytes()
    shutil.rmtree(run / "report")
    succeed("report", run)
    assert page.read_bytes() == first


@pytest.mark.slow
def test_report_without_data(place: Path, tmp_path: Path) -> None:
    """Where the data are gone, the error says what to give."""
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    description = json.loads((run / "run.json").read_text())
    description["facts"]["data"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(description))
    assert "say with --data where they are now" in fail("report", run)
    succeed("report", run, "--data", place / "my pets")
    assert "is no folder" in fail("report", tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), ""),
        (("train", "pets"), "isoconv train pets"),
        (("train", "my pets", "--lr", "0.1"), "isoconv train 'my pets' --lr 0.1"),
        (("train", "HERE/a b", "--out=HERE/run"), "isoconv train 'a b' --out=run"),
        (("train", "HOME/a b", "--out=HOME/run"), "isoconv train ~/'a b' --out=HOME/run"),
        (("train", "/else/where"), "isoconv train /else/where"),
        (("predict", "run", "--", "-a.png"), "isoconv predict run -- -a.png"),
        (("train", "$(rm x)"), "isoconv train '$(rm x)'"),
    ],
)
def test_command_lines(
    words: tuple[str, ...], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command can be pasted into a shell, and its paths say little of the machine."""
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here, home):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))

    def placed(text: str) -> str:
        return text.replace("HERE", str(here)).replace("HOME", str(home))

    with typed([placed(word) for word in words]):
        assert command_line() == placed(wanted)
    assert command_line() == ""


def test_no_report_is_made_of_other_data(place: Path, tmp_path: Path) -> None:
    """Figures on data that changed would be others than the run's, and are refused."""
    shutil.copytree(place / "my pets", tmp_path / "pets")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "pets" / "cat" / "IMG_0000.png")
    assert "the data are others than those" in fail(
        "report", place / "run", "--data", tmp_path / "pets"
    )


@pytest.mark.slow
def test_the_page_links_to_the_explorer(place: Path, tmp_path: Path) -> None:
    """With --explore, by a path from the report's folder to the file that lies in the run's."""
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    succeed("report", run, "--explore")
    page = run / "report" / "index.html"
    link = re.search(r'href="([^"#:]*explore\.html)"', page.read_text("utf-8"))
    assert link is not None
    linked = (page.parent / link[1]).resolve()
    assert linked == (run / "explore.html").resolve()
    assert linked.is_file()
    assert "Every number" in text_of(run)
    succeed("report", run)
    assert "explore.html" not in page.read_text("utf-8")
