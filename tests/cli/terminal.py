"""Commands on a terminal of so many columns, driven through a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["on_a_terminal", "plain"]

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    *words: object, columns: int = 80, cwd: Path | None = None, shown: str = "both"
) -> tuple[int, str]:
    """Run a command to its end; gives its exit code and what the terminal was sent.

    Args:
        words: of the command.
        columns: of the terminal.
        cwd: where it runs.
        shown: what goes to the terminal, "stderr" or "both"; the rest is thrown away.
    """
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", "from isoconv.cli import main; main()", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if shown == "stderr" else its,
            stderr=its,
            cwd=cwd,
            env={**os.environ, "COLUMNS": str(columns), "LINES": "50", "TERM": "xterm"},
        )
    finally:
        os.close(its)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:
            # Nobody has it open any more.
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    return process.wait(), b"".join(pieces).decode("utf-8", "replace")


def plain(sent: str) -> str:
    """The same without colours and movements of the cursor, with one kind of line end."""
    return _CONTROL.sub("", sent).replace("\r\n", "\n")
