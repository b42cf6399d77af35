"""The command line, called in this process or started in one of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from isoconv.cli import app

if TYPE_CHECKING:
    from typer.testing import Result

__all__ = ["DIGEST", "call", "digest_of", "fail", "start", "succeed"]

DIGEST = re.compile(r"^weights sha256:([0-9a-f]{64})$", re.MULTILINE)


def digest_of(text: str) -> str:
    """The digest of weights that a command printed."""
    found = DIGEST.search(text)
    assert found is not None, text
    return found[1]


def call(*words: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def succeed(*words: object) -> str:
    """Run a command that must end well, and give back all that it printed, notes included."""
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.output


def fail(*words: object) -> str:
    """Run a command that must end with exit code 2 and one error; gives back its message."""
    result = call(*words)
    assert result.exit_code == 2, result.output
    *notes, error = re.split(r"^error: ", result.stderr, flags=re.MULTILINE)
    assert len(notes) == 1
    assert all(line.startswith("note: ") for line in notes[0].splitlines())
    assert "Traceback" not in result.stderr
    return error


def start(*words: object, **settings: Any) -> subprocess.Popen[str]:
    """Begin a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "isoconv", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )
