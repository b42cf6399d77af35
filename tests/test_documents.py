"""The documents: their examples run, their links lead somewhere, their programs work."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from scripts import (
    document_cluster,
    document_errors,
    document_layers,
    document_portability,
    document_sources,
)
from scripts.document_commands import commands, documented
from scripts.document_commands import main as write_commands
from typer.main import get_command

import isoconv
import isoconv.cli
import isoconv.nn

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


def test_example_of_the_readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library's example in the README runs as it stands, here on a part of its data."""
    whole = isoconv.data.load_splits("fashion-sample")
    train, validation, test = (data.subset(range(200)) for data in whole.parts.values())
    part = isoconv.data.Splits(train, validation, test)
    monkeypatch.setattr(isoconv.data, "load_splits", lambda _: part)
    monkeypatch.chdir(tmp_path)
    (source,) = (text for _, text in blocks(ROOT / "README.md", "python") if ">>>" not in text)
    names: dict[str, object] = {}
    exec(compile(source, "README.md", "exec"), names)  # noqa: S102
    probabilities = names["probabilities"]
    assert isinstance(probabilities, np.ndarray)
    assert probabilities.shape == (200, 10)


# The command line ---------------------------------------------------------------------------------

PAGE = ROOT / "docs" / "command-line.md"


def command_at(words: list[str]) -> tuple[Any, list[str]]:
    """The command that a line calls, and what is left of the line for it.

    Raises:
        LookupError: no command is called so.
    """
    command: Any = get_command(isoconv.cli.app)
    while hasattr(command, "commands"):
        options = {name for p in command.params for name in p.opts} | {"-h", "--help"}
        if not words or words[0] in options:
            break
        if words[0] not in command.commands:
            # A group may have a command for words that name none.
            usual = getattr(command, "usual", None)
            if usual is None:
                raise LookupError(f"{command.name} has no command {words[0]!r}")
            words = [usual, *words]
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options_of(command: Any) -> set[str]:
    """Everything that begins with a dash and that a command takes."""
    return {"-h", "--help"} | {
        name for p in command.params for name in (*p.opts, *p.secondary_opts) if name[0] == "-"
    }


def wrong_with(line: str, *, whole: bool) -> str:
    """What is wrong with a line that calls isoconv, or "".

    Args:
        line: ``isoconv train pets --epochs 3``.
        whole: whether it is a line that can be typed in, with all that the command needs, or part
            of a sentence, which names a command and perhaps some options.
    """
    words = shlex.split(line, comments=True)[1:]
    try:
        command, rest = command_at(words)
    except LookupError as error:
        return str(error)
    if not whole or {"-h", "--help"} & set(rest):
        unknown = {word.partition("=")[0] for word in rest if word.startswith("-")}
        unknown -= options_of(command)
        return f"{command.name} has no {', '.join(sorted(unknown))}" if unknown else ""
    try:
        # Reads the line as when it is run, and runs nothing.
        command.make_context(command.name, rest)
    except typer.Exit:
        return ""
    except Exception as error:  # noqa: BLE001 - typer's own, of which versions differ
        return f"{line}: {getattr(error, 'message', '') or type(error).__name__}"
    return ""


def documented_calls() -> list[tuple[str, str, bool]]:
    """(place, line, whether it stands whole in a block) of everything that calls isoconv."""
    found = []
    for path in PAGES:
        for number, text in blocks(path, "sh") + blocks(path, "text"):
            text = text.replace("\\\n", "  ")
            for offset, line in enumerate(text.splitlines()):
                call = line.strip().removeprefix("$ ")
                if re.match(r"isoconv( |$)", call):
                    found.append((f"{title(path)}:{number + offset}", call, True))
        for number, kind, line in lines_by_kind(path):
            calls = re.findall(r"`(isoconv(?: [^`]+)?)`", line) if kind == "" else []
            found += [(f"{title(path)}:{number}", call, False) for call in calls]
    for name in MODULES:
        if name.startswith("isoconv.cli"):
            text = Path(str(importlib.import_module(name).__file__)).read_text("utf-8")
            calls = re.findall(r"^ {4,6}(isoconv .*)$", text, re.MULTILINE)
            found += [(name, call, True) for call in calls]
    return found


@pytest.mark.parametrize(("place", "line", "whole"), documented_calls())
def test_commands_exist(place: str, line: str, whole: bool) -> None:
    """Every command and option in the pages and in the help is one of the command line's."""
    assert not wrong_with(line, whole=whole), place


def test_commands_are_found() -> None:
    """The search before finds lines of every kind, and for every command one that can be typed."""
    calls = documented_calls()
    places = {place.partition(":")[0] for place, _, _ in calls}
    assert {"README.md", "docs/command-line.md", "docs/data.md", "docs/receipts.md"} <= places
    assert "isoconv.cli.train" in places
    shown = {" ".join(line.split()[1:]) for place, line, whole in calls
             if whole and place.startswith("docs/command-line.md")}  # fmt: skip
    for command in commands(isoconv.cli.app):
        named = [line for line in shown if f"{line} ".startswith(f"{command.name} ")]
        assert named or not command.name, command.name


@pytest.mark.parametrize(
    ("line", "whole", "said"),
    [
        ("isoconv trian pets", True, "no command 'trian'"),
        ("isoconv trian", False, "no command 'trian'"),
        ("isoconv data fetsh cifar10", True, "no command 'fetsh'"),
        ("isoconv train pets --epoch 3", True, "--epoch"),
        ("isoconv train --epoch", False, "--epoch"),
        ("isoconv train pets --epochs three", True, "--epochs"),
        ("isoconv train", True, ""),
        ("isoconv evaluate runs/pets", True, ""),
        ("isoconv diff a b c", True, "c"),
        ("isoconv --frobnicate", True, "--frobnicate"),
    ],
)
def test_wrong_commands_are_found(line: str, whole: bool, said: str) -> None:
    """A misspelt command or option, a value of another kind, an argument too few or too many."""
    assert wrong_with(line, whole=whole)
    assert said in wrong_with(line, whole=whole)


def test_options_are_those_of_the_commands() -> None:
    """The tables of docs/command-line.md are what the script makes of the command line."""
    text = PAGE.read_text("utf-8")
    assert documented(text, isoconv.cli.app) == text, "run python -m scripts.document_commands"


def test_script_sees_every_option() -> None:
    """The script finds what the command line itself takes: commands, options, arguments, help."""
    found = {command.name: command for command in commands(isoconv.cli.app)}
    assert {"", "train", "data list", "data fetch"} <= set(found)
    waiting: list[tuple[str, Any]] = [("", get_command(isoconv.cli.app))]
    seen = set()
    while waiting:
        name, command = waiting.pop()
        inside = getattr(command, "commands", {})
        waiting += [(f"{name} {word}".strip(), inner) for word, inner in inside.items()]
        if inside and name and name not in found:
            assert options_of(command) == {"-h", "--help"}
            continue
        seen.add(name)
        shown = found[name]
        names = {n for p in shown.parameters if not p.argument for n in p.names}
        # Typer's own are told in words.
        own = {"-h", "--help", *(() if name else ("--install-completion", "--show-completion"))}
        assert own <= options_of(command), name
        assert names == options_of(command) - own, name
        arguments = [p.metavar for p in command.params if p.param_type_name == "argument"]
        assert [p.names[0] for p in shown.parameters if p.argument] == arguments
        assert all(p.meaning for p in shown.parameters), name
        assert shown.summary.endswith(".")
    assert seen == set(found)


def test_page_needs_a_place_for_each_command() -> None:
    """A page without a command's place, with one twice or with one of no command is refused."""
    text = PAGE.read_text("utf-8")
    place = re.search(r"<!-- options diff: begin -->.*<!-- options diff: end -->", text, re.DOTALL)
    assert place is not None
    for wrong in (text.replace(place[0], ""), text + place[0],
                  text.replace("options diff:", "options differ:")):  # fmt: skip
        with pytest.raises(SystemExit, match=r"Lacking|twice"):
            documented(wrong, isoconv.cli.app)


def test_script_writes_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the marks everything is made anew, and nothing else is touched."""
    text = PAGE.read_text("utf-8")
    page = tmp_path / "page.md"
    page.write_text(text.replace("Take the weights", "Forget the weights"), "utf-8")
    monkeypatch.setattr("scripts.document_commands.PAGE", page)
    write_commands()
    assert page.read_text("utf-8") == text


# Tables ----------------------------------------------------------------------------------------


def cells_of(page: Path, head: str) -> list[list[str]]:
    """The rows of the table whose first column is headed so, cell by cell."""
    lines = page.read_text("utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(f"| {head} |")) + 2
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def test_rows_of_portability() -> None:
    """The tables of docs/portability.md are what the script makes of the tests."""
    page = ROOT / "docs" / "portability.md"
    text = page.read_text("utf-8")
    assert document_portability.documented(text) == text, (
        "run python -m scripts.document_portability"
    )
    trained_and_predicted, *_ = document_portability.modules()
    named = trained_and_predicted.CASES
    first_cells = [row[0] for row in cells_of(page, "case")]
    assert set(re.findall(r"`([^`]+)`", " ".join(first_cells))) == set(named)
    varied = " ".join(row[1] for row in cells_of(page, "what holds")[1:])
    assert all(f"`{case}`" in varied for case in named)


def test_every_test_of_portability_is_a_row() -> None:
    """Files and tests of portability, all of them, are found by the script."""
    shown = {module.__name__.rpartition(".")[2] for module in document_portability.modules()}
    assert shown == {path.stem for path in (ROOT / "tests" / "portability").glob("test_*.py")}
    for module in document_portability.modules():
        text = Path(str(module.__file__)).read_text("utf-8")
        found = [function.__name__ for function in document_portability.tests_of(module)]
        assert found == re.findall(r"^def (test_\w+)", text, re.MULTILINE)
        assert found


def test_tables_of_layers_functions_and_models() -> None:
    """docs/networks.md has what is public in isoconv.nn, as `python -m scripts.document_layers`."""
    page = document_layers.PAGE.read_text("utf-8")
    assert document_layers.documented(page) == page
    listed = {name for name, _ in document_layers.kinds()} | set(isoconv.nn.functional.__all__)
    assert len(listed) > 60
    assert all(f"`{name}`" in page for name in (*listed, *isoconv.nn.models.MODELS))


def squeezed(text: str) -> str:
    """A text without what sets words apart, so that ``StepSchedule`` is a step schedule."""
    return re.sub(r"[\s_-]+", "", text.lower())


GLOSSARY = ROOT / "docs" / "glossary.md"
TABLES = [
    re.findall(r"^\| ([^|]+) \|", rows, re.MULTILINE)[2:]
    for rows in re.findall(r"(?:^\| .*\n)+", GLOSSARY.read_text("utf-8"), re.MULTILINE)
]
WORDS = list(chain.from_iterable(TABLES))


@pytest.fixture(scope="module")
def used() -> str:
    """All names and words of the code and the pages but the glossary's."""
    files = [*(ROOT / "src").rglob("*.py"), *(page for page in PAGES if page != GLOSSARY)]
    return squeezed(" ".join(f"{path.name} {path.read_text('utf-8')}" for path in files))


@pytest.mark.parametrize("word", WORDS)
def test_words_of_the_glossary_are_used(word: str, used: str) -> None:
    """What the glossary explains is called so somewhere else."""
    found = squeezed(word) in used
    assert found, f"nothing else says {word!r}"


def test_glossary_is_in_order() -> None:
    """Each table of the glossary has its words in order, and no word stands twice."""
    assert len(TABLES) == 5
    assert len(set(WORDS)) == len(WORDS) > 60
    assert [sorted(words, key=str.lower) for words in TABLES] == TABLES


def test_table_of_sources() -> None:
    """docs/data.md has every name and kind of data, as `python -m scripts.document_sources`."""
    page = document_sources.PAGE.read_text("utf-8")
    assert document_sources.documented(page) == page
    assert len(list(document_sources.rows())) >= 10


def test_tables_of_clusters() -> None:
    """docs/cluster.md has the model's speeds, as `python -m scripts.document_cluster`."""
    page = document_cluster.PAGE.read_text("utf-8")
    assert document_cluster.documented(page) == page
    assert len(list(document_cluster.works())) == 4


def test_page_of_errors() -> None:
    """docs/errors.md has the tree and all fields, as `python -m scripts.document_errors`."""
    page = document_errors.PAGE.read_text("utf-8")
    assert document_errors.documented(page) == page
    assert [name for name, *_ in document_errors.rows()][:2] == ["`layer`", "`operation`"]


def test_families_of_kernels() -> None:
    """docs/engine.md names every file of compile/ that holds a kernel; each file is there."""
    folder = ROOT / "src" / "isoconv"
    named: set[Path] = set()
    for *_, files in cells_of(ROOT / "docs" / "engine.md", "family"):
        for pattern in re.findall(r"`([^`]+)`", files):
            found = set(folder.glob(pattern))
            assert found, pattern
            named |= found
    kernels = {
        path
        for path in (folder / "compile").rglob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Spec")
        and any(isinstance(inner, ast.FunctionDef) and inner.name == "emit" for inner in node.body)
    } - {folder / "compile" / "native" / "build.py"}  # fmt: skip
    assert kernels <= named


# Programs --------------------------------------------------------------------------------------


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
    options = ("pets", "--size", "16", "--epochs", "20", "--save", "pets.safetensors")
    said = run_example("train_your_images.py", *options, folder=tmp_path)
    assert "20 images to train on, 2 to choose by, 2 to test with" in said
    assert "accuracy on the test images: 100.00%" in said
    assert (tmp_path / "pets.safetensors").is_file()


def test_every_example_is_tested() -> None:
    """No program of examples/ is left out here."""
    tested = {"notes_by_hand.py", "residual_network.py", "train_your_images.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
