"""The documents: their examples run, their links lead somewhere, their programs work."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import isoconv

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "bench/*.md", "src/isoconv/data/sample/*.md")
    for path in ROOT.glob(pattern)
)
MODULES = ["isoconv", *(m.name for m in pkgutil.walk_packages(isoconv.__path__, "isoconv."))]
EXAMPLES = ROOT / "examples"
DOCTEST = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def title(path: Path) -> str:
    """A page's path from the project's root."""
    return path.relative_to(ROOT).as_posix()


def lines_by_kind(path: Path) -> Iterator[tuple[int, str, str]]:
    """(number, kind, line): the kind is a code block's language, "" for text, "```" for fences."""
    language = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            language = "" if language else line.removeprefix("```").strip() or "text"
            yield number, "```", line
        else:
            yield number, language, line


def only(path: Path, wanted: str) -> str:
    """The page with all lines but those of one kind emptied, so that line numbers stay."""
    lines = (line if kind == wanted else "" for _, kind, line in lines_by_kind(path))
    return "\n".join(lines) + "\n"


def blocks(path: Path, wanted: str) -> list[tuple[int, str]]:
    """The code blocks of one language: (first line, text)."""
    found: list[tuple[int, list[str]]] = []
    inside = False
    for number, kind, line in lines_by_kind(path):
        if kind == wanted:
            if not inside:
                found.append((number, []))
            found[-1][1].append(line)
        inside = kind == wanted
    return [(number, "\n".join(lines)) for number, lines in found]


def run_doctest(test: doctest.DocTest) -> None:
    """Run one doctest and fail with what it says."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=DOCTEST)
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    """Every example in the docstrings of a module gives what it says."""
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder().find(module):
        if test.examples:
            run_doctest(test)


@pytest.mark.parametrize("path", PAGES, ids=title)
def test_examples_of_pages(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ``>>>`` of a page gives what stands below it."""
    monkeypatch.chdir(tmp_path)
    text = only(path, "python")
    names = {"__name__": "__main__"}
    run_doctest(doctest.DocTestParser().get_doctest(text, names, title(path), str(path), 0))


@pytest.mark.parametrize("path", PAGES, ids=title)
def test_python_of_pages_is_python(path: Path) -> None:
    """Blocks of Python without a prompt can be parsed, and no prompt stands in another block."""
    for number, text in blocks(path, "python"):
        if ">>> " not in text:
            ast.parse(text, f"{title(path)}:{number}")
    for number, kind, line in lines_by_kind(path):
        assert not (kind != "python" and line.startswith(">>> ")), f"{title(path)}:{number}"


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = (line for line in only(path, "").splitlines() if re.match(r"#+ ", line))
    return {slug(heading.lstrip("#")) for heading in headings}


def links(path: Path) -> Iterator[tuple[int, str]]:
    """Line and target of every link and picture outside code, but for those to the network."""
    text = re.sub(r"`[^`\n]*`", "", only(path, ""))
    # A link's text may run over two lines.
    for match in re.finditer(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", match[1]):
            yield text.count("\n", 0, match.start()) + 1, match[1]


@pytest.mark.parametrize("path", PAGES, ids=title)
def test_links(path: Path) -> None:
    """Every link between the project's files leads to a file, and to a heading if it names one."""
    broken = []
    for line, target in links(path):
        place, _, anchor = target.partition("#")
        goal = (path.parent / place).resolve() if place else path
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            broken.append(f"{title(path)}:{line}: {target}")
    assert not broken


def test_every_page_is_in_the_index() -> None:
    """docs/index.md leads to every page beside it."""
    index = ROOT / "docs" / "index.md"
    targets = {(index.parent / target.partition("#")[0]).resolve() for _, target in links(index)}
    assert {path.resolve() for path in index.parent.glob("*.md")} - {index.resolve()} <= targets


def test_readme_begins_with_its_purpose() -> None:
    """The first line says what the project is for, and the first block shows how to see it."""
    readme = ROOT / "README.md"
    assert readme.read_text("utf-8").startswith("# isoconv trains convolutional networks")
    (_, first), *_ = blocks(readme, "sh")
    assert first.startswith("make demo")


def test_example_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's example in the README runs as it stands, here on a part of its data."""
    whole = isoconv.data.load_pair("fashion-sample")
    part = isoconv.data.Splits(*(data.subset(range(200)) for data in whole))
    monkeypatch.setattr(isoconv.data, "load_pair", lambda _: part)
    (source,) = (text for _, text in blocks(ROOT / "README.md", "python") if ">>>" not in text)
    names: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), names)  # noqa: S102
    probabilities = names["probabilities"]
    assert isinstance(probabilities, np.ndarray)
    assert probabilities.shape == (200, 10)


def documented_commands() -> list[tuple[str, list[str], set[str]]]:
    """(place, subcommands, options) of every line that calls isoconv in the pages."""
    names = {"data", "demo", "evaluate", "fetch", "info", "predict", "resume", "train",
             "verify", "diff"}  # fmt: skip
    found = []
    for path in PAGES:
        for number, text in blocks(path, "sh"):
            for offset, line in enumerate(text.splitlines()):
                words = line.split()
                if words[:1] == ["isoconv"]:
                    count = 1 if words[1] != "data" else 2
                    commands = [word for word in words[1 : 1 + count] if word in names]
                    options = {word for word in words if word.startswith("--")}
                    found.append((f"{title(path)}:{number + offset}", commands, options))
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    options = set(re.findall(r"^\| `(--[a-z-]+)` \|", page, re.MULTILINE))
    return [*found, ("docs/command-line.md", ["train"], options), ("README.md", ["demo"], set())]


@pytest.mark.parametrize(("place", "commands", "options"), documented_commands())
def test_commands_exist(
    place: str,
    commands: list[str],
    options: set[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command and option in the pages is one of the command line's."""
    from isoconv.cli import main

    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "argv", ["isoconv", *commands, "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code in (0, None), f"{place}: {said.err}"
    lacking = {option for option in options if option not in said.out}
    assert not lacking, f"{place}: isoconv {' '.join(commands)} has no {', '.join(sorted(lacking))}"


def run_example(name: str, *arguments: str, folder: Path) -> str:
    """Run a program of examples/ in a folder; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_notes_by_hand(tmp_path: Path) -> None:
    """The worked examples are printed."""
    said = run_example("notes_by_hand.py", folder=tmp_path)
    assert "[ 103. 1234. 2040.]" in said
    assert "[[5421. 6532.]" in said
    assert "[[4.25 3.  ]" in said
    assert "I = 28, K = 5, P = 2, S = 1: 28" in said


def test_residual_network(tmp_path: Path) -> None:
    """A small network of blocks trains and gives its digest."""
    options = ("--images", "256", "--epochs", "1", "--widths", "4", "8")
    said = run_example("residual_network.py", *options, folder=tmp_path)
    assert re.search(r"^weights sha256:[0-9a-f]{64}$", said, re.MULTILINE)


def test_train_your_images(tmp_path: Path) -> None:
    """Two classes that differ in brightness are learned from files, and the model is saved."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("dark", "light")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for picture in range(12):
            pixels = random.integers(0, 100, (20, 24, 3)) + 150 * number
            file = tmp_path / "pets" / name / f"{picture}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    options = ("pets", "--size", "16", "--epochs", "2", "--save", "pets.safetensors")
    said = run_example("train_your_images.py", *options, folder=tmp_path)
    assert "20 images to train on, 4 to measure with" in said
    assert "accuracy on held-out images: 100.00%" in said
    assert (tmp_path / "pets.safetensors").is_file()


def test_every_example_is_tested() -> None:
    """No program of examples/ is left out here."""
    tested = {"notes_by_hand.py", "residual_network.py", "train_your_images.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
