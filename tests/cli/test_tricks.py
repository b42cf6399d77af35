"""Names of strangers reach a terminal escaped, in whatever is printed; options for all commands."""

from __future__ import annotations

import ast
import json
import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, start, succeed

import isoconv.cli
from isoconv import memory
from isoconv.data import load
from isoconv.report import markup

if TYPE_CHECKING:
    from typer.testing import Result

CLEAR, TURN, LATIN = "\x1b[2J", "\u202e", os.fsdecode(b"\xe9")
NAMES = (f"a{CLEAR}", f"b\n{TURN}c", f"c{LATIN}\x9b31m")
QUICK = ("--model", "lenet5", "--epochs", 1, "--batch-size", 8, "--size", 28)


def tricks_in(text: str) -> list[str]:
    """Characters that control a terminal or cannot be seen; ends of lines apart."""
    return [each for each in text if each != "\n" and unicodedata.category(each)[0] in "C"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, Result]:
    """Pictures in classes of such names, in a folder of such a name, and a run on them."""
    root = tmp_path_factory.mktemp("tricks")
    data = root / f"pets{CLEAR}\n{TURN}"
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        (data / name).mkdir(parents=True)
        for picture in range(8):
            pixels = rng.integers(0, 80, (28, 28)).astype(np.uint8) + 80 * number
            Image.fromarray(pixels).save(data / name / f"{picture}{CLEAR}\n.png")
    (data / NAMES[0] / f".hidden{CLEAR}").touch()
    (data / f"lost{CLEAR}.png").write_bytes(b"")
    said = call("train", data, *QUICK, "--out", root / f"run{CLEAR}\n")
    assert said.exit_code == 0, said.output
    return root, data, root / f"run{CLEAR}\n", said


def test_training(place: tuple[Path, Path, Path, Result]) -> None:
    """Notes, the line of the data, the run's folder and its page."""
    said = place[3]
    assert not tricks_in(said.output)
    assert "pets\\x1b[2J\\n\\u202e" in said.stdout
    assert said.stdout.count("/run\\x1b[2J\\n") == 3
    assert "note: skipped: 1 hidden" in said.output
    assert "lost\\x1b[2J.png" in said.output


@pytest.mark.slow
def test_a_process_of_its_own(place: tuple[Path, Path, Path, Result]) -> None:
    """The same on real streams, whatever rich makes of them."""
    _, data, run, _ = place
    process = start("evaluate", run, data)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not tricks_in(out + err)
    assert "a\\x1b[2J" in out


def test_predictions(place: tuple[Path, Path, Path, Result]) -> None:
    """Paths and classes in a table; in JSON they are escaped as JSON does it, and come back."""
    _, data, run, _ = place
    file = next((data / NAMES[0]).glob("[0-9]*"))
    said = succeed("predict", run, file)
    assert not tricks_in(said)
    assert "\\x1b[2J\\n.png" in said
    found = call("predict", run, file, "--json").stdout
    assert not tricks_in(found)
    (entry,) = json.loads(found)
    assert entry["image"] == str(file)
    assert {each["name"] for each in entry["classes"]} == set(NAMES)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "RUN", f"gone{CLEAR}\n.png"),
        ("predict", f"gone{CLEAR}", "x.png"),
        ("evaluate", "RUN", f"gone{TURN}"),
        ("train", f"gone{CLEAR}\n{TURN}"),
        ("train", "fashion-sample", "--model", f"x{CLEAR}"),
        ("train", "fashion-sample", "--augment", f"x{CLEAR}"),
        (f"x{CLEAR}",),
        ("train", f"--x{CLEAR}"),
        ("resume", f"gone{CLEAR}\n"),
        ("verify", f"gone{CLEAR}\n", "fashion-sample"),
        ("diff", f"gone{CLEAR}", f"gone{TURN}"),
        ("summary", f"gone{CLEAR}.safetensors"),
        ("data", "fetch", f"x{CLEAR}"),
        ("--max-memory", f"x{CLEAR}", "info"),
    ],
)
def test_errors(place: tuple[Path, Path, Path, Result], words: tuple[str, ...]) -> None:
    """Whatever is wrong, what was given is quoted without what a terminal would obey."""
    given = [str(place[2]) if word == "RUN" else word for word in words]
    said = fail(*given)
    assert not tricks_in(said)


def test_broken_pictures(place: tuple[Path, Path, Path, Result], tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    file = tmp_path / f"bad{CLEAR}\n{TURN}.png"
    file.write_bytes(b"no picture")
    said = fail("predict", place[2], file)
    assert "bad\\x1b[2J\\n\\u202e.png: not a whole image" in said


def test_the_page_of_a_run(place: tuple[Path, Path, Path, Result]) -> None:
    """Names in the report are escaped as text and as HTML."""
    (file,) = place[2].rglob("*.html")
    text = file.read_text("utf-8")
    assert not tricks_in(text)
    assert "<script" not in markup.text("<script>\x1b")


def test_all_that_is_printed_goes_through_one_door() -> None:
    """No command writes on standard output but by `say`, which escapes."""
    found = []
    for path in Path(isoconv.cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in ("echo", "secho", "write"):
                found.append(f"{path.name}: {ast.unparse(called)}")
            if isinstance(called, ast.Name) and called.id == "print":
                found.append(f"{path.name}: print")
    assert sorted(set(found)) == ["table.py: typer.echo", "table.py: typer.secho"]


@pytest.mark.slow
def test_memory_that_may_be_taken(place: tuple[Path, Path, Path, Result], tmp_path: Path) -> None:
    """--max-memory, wherever it stands, refuses what needs more, and is gone afterwards."""
    file = tmp_path / "x.npz"
    images = np.zeros((200, 256, 256, 4), np.uint8)
    np.savez_compressed(file, images=images, labels=[0, 1] * 100)
    for words in (
        ("--max-memory", "1MiB", "train", file),
        ("train", file, "--max-memory=1MiB"),
        ("train", "--max-memory", "1 MiB", file),
    ):
        said = fail(*words)
        assert "needs at least 50.0 MiB of memory, and there are 0 bytes of the 1.0 MiB" in said
    assert memory.set_limit(None) is None
    assert len(load(file)) == 200


def test_paths_that_begin_with_a_dash(
    place: tuple[Path, Path, Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are taken for options; the error says how to write them."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28)).save("-photo.png")
    Image.new("L", (28, 28)).save("--photo.png")
    for name in ("-photo.png", "--photo.png"):
        said = fail("predict", place[2], name)
        assert f"a path that begins with a dash goes behind -- or is written ./{name}" in said
        for words in (("--", name), (f"./{name}",)):
            assert re.search(r"photo\.png", succeed("predict", place[2], *words))
    assert "dash" not in fail("predict", place[2], "--photos")
