"""What was typed to start a command, as a person would type it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_WORDS: ContextVar[tuple[str, ...]] = ContextVar("words of the command line", default=())


@contextmanager
def typed(words: Sequence[str]) -> Iterator[None]:
    """Remember the words behind ``isoconv`` within a block."""
    token = _WORDS.set(tuple(words))
    try:
        yield
    finally:
        _WORDS.reset(token)


def command_line() -> str:
    """The command that runs, for a shell; "" where none was typed.

    Paths below the working folder or the home folder are told from there, so that the line says
    little of the machine.

    Example:
        >>> with typed(["train", "my pets", "--out=runs/pets"]):
        ...     command_line()
        "isoconv train 'my pets' --out=runs/pets"
    """
    words = _WORDS.get()
    return " ".join(["isoconv", *map(_word, words)]) if words else ""


def _word(word: str) -> str:
    before, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value)
    if not path.is_absolute():
        return shlex.quote(word)
    short = shlex.quote(value)
    try:
        if path.is_relative_to(Path.cwd()):
            short = shlex.quote(str(path.relative_to(Path.cwd())))
        elif not equals and path.is_relative_to(Path.home()):
            # Without quotes, so that the shell puts the home folder in its place.
            short = f"~/{shlex.quote(str(path.relative_to(Path.home())))}"
    except (OSError, RuntimeError):
        # There is no working folder any more, or nobody's home.
        pass
    return f"{before}{equals}{short}"
