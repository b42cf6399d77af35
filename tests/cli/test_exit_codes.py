"""How commands end: 1 stands for "different" alone, every error ends with 2, Ctrl-C with 130."""

from __future__ import annotations

import ast
import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import call, fail, start

import isoconv
import isoconv.__main__ as entry
from isoconv.cli.errors import (
    DIFFERENT,
    EXIT_CODES,
    HUNG_UP,
    INTERRUPTED,
    TERMINATED,
    UNREAD,
    WRONG,
)
from isoconv.signals import ended_by_exception

COMMANDS = Path(isoconv.__file__).parent / "cli"
PROGRAM = [sys.executable, "-c", "from isoconv.cli import main; main()"]


def test_the_codes_are_these() -> None:
    """No two meanings of one code, and none that Python or the shell gives a meaning of its own."""
    assert [*EXIT_CODES] == [0, DIFFERENT, WRONG, HUNG_UP, INTERRUPTED, TERMINATED]
    assert [*EXIT_CODES] == [0, 1, 2, 129, 130, 143]


def test_only_a_difference_ends_with_1() -> None:
    """No command leaves with a code but `verify`, `diff` and `predict`, and these with 1."""
    leaving: dict[str, Any] = {}
    for path in COMMANDS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.Exit", "sys.exit"):
                leaving.setdefault(path.stem, []).append(ast.unparse(node))
    assert leaving.pop("verify") == leaving.pop("diff") == ["typer.Exit(DIFFERENT)"]
    assert leaving.pop("predict") == ["typer.Exit(UNREAD)"]
    every = "typer.Exit(WRONG if done.lost == done.rows else UNREAD)"
    assert leaving.pop("predict_out") == [every]
    assert UNREAD == DIFFERENT == 1
    assert [*leaving] == ["errors"]


def raising(error: BaseException) -> Callable[..., None]:
    """A function that fails."""

    def broken(*_: object) -> None:
        raise error

    return broken


@pytest.mark.parametrize("words", [["models"], ["--debug", "models"], ["models", "--debug"]])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ZeroDivisionError("by nothing"), "a fault of isoconv itself: ZeroDivisionError: by noth"),
        (KeyError("record"), "a fault of isoconv itself: KeyError: 'record'"),
        (RecursionError("too deep"), "a fault of isoconv itself: RecursionError: too deep"),
        (EOFError(), "a fault of isoconv itself: EOFError: "),
        (AssertionError(), "a fault of isoconv itself: AssertionError: "),
        (MemoryError("Unable to allocate 8 TiB"), "there was not enough memory for this: Unable"),
        (MemoryError(), "there was not enough memory for this"),
        (PermissionError(13, "Permission denied", "x"), "[Errno 13] Permission denied: 'x'"),
        (isoconv.errors.CheckpointError("no run"), "no run"),
        (isoconv.errors.GraphError("no graph"), "no graph"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, words: list[str], error: Exception, message: str
) -> None:
    """Faults and, with --debug, all errors show where they arose; then comes the line."""
    monkeypatch.setattr("isoconv.cli.models.shape_of", raising(error))
    result = call(*words)
    assert result.exit_code == WRONG
    before, _, last = result.stderr.rpartition("error: ")
    assert last.startswith(message)
    shown = "--debug" in words or "fault" in message
    assert ("Traceback" in before) is shown
    assert (f"{type(error).__name__}" in before) is shown


@pytest.mark.parametrize("words", [["fly"], ["--fly"], ["models", "--fly"], ["verify"], ["diff"]])
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    """Also with --debug, in whose place no traceback helps."""
    fail(*words)
    fail("--debug", *words)


@pytest.mark.parametrize("place", ["isoconv.cli.main", "isoconv.cli.errors._options_of"])
def test_an_early_interrupt_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """Also while the command line is loaded, and before a command is looked for."""
    monkeypatch.setattr("sys.argv", ["isoconv", "info"])
    monkeypatch.setattr(place, raising(KeyboardInterrupt()))
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert caught.value.code == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interrupt_in_code_made_of_text_ends_with_130(tmp_path: Path) -> None:
    """As while a dataclass is made: Python would end a module by the signal itself."""
    (tmp_path / "pressed.py").write_text(
        "import isoconv.__main__ as entry, isoconv.cli as cli\n"
        "cli.main = lambda: exec('raise KeyboardInterrupt')\n"
        "entry.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pressed"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "interrupted\n")


def test_what_a_library_makes_of_being_asked_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain interrupt, as Ray does: the code and the word are those of the signal."""

    def asked(*_: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt

    monkeypatch.setattr("isoconv.cli.models.shape_of", asked)
    with ended_by_exception():
        result = call("models")
    assert (result.exit_code, result.stderr) == (TERMINATED, "asked to end (SIGTERM)\n")


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C anywhere ends with a word."""
    monkeypatch.setattr("isoconv.cli.models.shape_of", raising(KeyboardInterrupt()))
    result = call("models")
    assert (result.exit_code, result.stderr) == (INTERRUPTED, "interrupted\n")


@pytest.mark.parametrize("words", [["info"], ["--help"], ["verify", "--help"], ["--version"]])
def test_output_that_nobody_takes_ends_with_2(words: list[str]) -> None:
    """A reader that is gone: not 1, which Python and typer make of it, and not a word."""
    process = start(*words)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), said) == (WRONG, "")


@pytest.mark.slow
def test_output_that_cannot_be_written_ends_with_2() -> None:
    """A full disk is told, and standard error that is closed takes no code away."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "models"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == WRONG
        assert "error: " in done.stderr
        assert done.stderr.endswith("No space left on device\n")
        for words, code in ((["fly"], WRONG), (["models"], 0)):
            ended = subprocess.run(
                [*PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=full, check=False
            )
            assert ended.returncode == code


UNBUFFERED = ("", "1")
"""What PYTHONUNBUFFERED may be."""


@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [(["models"], ""), (["models", "--json"], "1"), (["--help"], "1"), (["--version"], "")],
)
def test_without_standard_output_a_command_ends_with_2(words: list[str], unbuffered: str) -> None:
    """A process that was started with it closed prints nowhere, and says so."""
    done = subprocess.run(
        [*PROGRAM, *words],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        preexec_fn=lambda: os.close(1),
    )
    assert done.returncode == WRONG
    *notes, last = done.stderr.splitlines()
    assert last == "error: standard output is closed, so that nothing can be printed"
    assert all(line.startswith("note: ") for line in notes)


@pytest.mark.parametrize("unbuffered", UNBUFFERED)
@pytest.mark.parametrize("words", [["models", "--json"], ["--help"]])
def test_output_that_is_cut_ends_with_2(tmp_path: Path, words: list[str], unbuffered: str) -> None:
    """A disk that becomes full in the middle of what is printed, however Python buffers it."""
    path = tmp_path / "output"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    with path.open("wb") as file:
        done = subprocess.run(
            [*PROGRAM, *words],
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=limit,
        )
    assert path.stat().st_size <= 100
    assert done.returncode == WRONG
    assert done.stderr.endswith("File too large\n")


@pytest.mark.parametrize("unbuffered", UNBUFFERED)
def test_output_arrives_whole_and_at_once(unbuffered: str) -> None:
    """All of it, in UTF-8, also in a pipe that takes a little at a time."""
    program = (
        "from isoconv.cli.output import whole_output; whole_output()\n"
        "from isoconv.cli.table import print_alone\n"
        "print_alone('\\u00e4' * 300_000)\nimport os; os._exit(0)\n"
    )
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=env
    ) as process:
        said = b""
        assert process.stdout is not None
        while piece := os.read(process.stdout.fileno(), 1000):
            said += piece
    assert process.returncode == 0
    assert said.decode() == "\u00e4" * 300_000
