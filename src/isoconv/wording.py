"""What a message tells a person to give: in Python a setting, on the command line an option.

The command line says once that it is the one who speaks; messages are then made in its words,
wherever they end up: in an error, a note, a file of a run, a report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["either", "setting", "spoken_on_the_command_line"]

# Of the process, for threads that read files make messages as well.
_speakers: list[str] = []


@contextmanager
def spoken_on_the_command_line() -> Iterator[None]:
    """Within the block messages speak of options and commands, not of Python.

    Example:
        >>> with spoken_on_the_command_line():
        ...     print(setting("clip_norm", "1.0"))
        --clip-norm 1.0
    """
    _speakers.append("the command line")
    try:
        yield
    finally:
        _speakers.pop()


def either(python: str, command: str) -> str:
    """What a person is to write, for whoever reads the message.

    Args:
        python: as it is written in Python.
        command: as it is written on the command line.

    Example:
        >>> either("isoconv.data.fetch('mnist')", "isoconv data fetch mnist")
        "isoconv.data.fetch('mnist')"
    """
    return command if _speakers else python


def setting(name: str, value: str, option: str | None = None) -> str:
    """A setting with its value; `option` is how the command line writes the value, if otherwise.

    Example:
        >>> setting("skip_bad", "True", ""), setting("size", "(height, width)", "HEIGHTxWIDTH")
        ('skip_bad=True', 'size=(height, width)')
        >>> with spoken_on_the_command_line():
        ...     print(setting("skip_bad", "True", ""), setting("depth", "…"))
        --skip-bad --depth …
    """
    written = value if option is None else option
    return either(f"{name}={value}", f"--{name.replace('_', '-')} {written}".rstrip())
