"""What a message tells a person to give: in Python a setting, on the command line an option.

The command line says that it is the one who speaks, and which options there are; messages are then
made in its words, wherever they end up: in an error, a note, a file of a run, a report.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

# Of the process, for threads that read files make messages as well.
_speakers: list[Mapping[str, str]] = []


@contextmanager
def spoken_on_the_command_line(options: Mapping[str, str]) -> Iterator[None]:
    """Within the block messages speak of options and commands, not of Python.

    Args:
        options: of the command at hand, by the setting that each is.

    Example:
        >>> with spoken_on_the_command_line({"clip_norm": "--clip-norm"}):
        ...     print(setting("clip_norm", "1.0"), named("clip_norm"), named("batch_size"))
        --clip-norm 1.0 --clip-norm batch_size
    """
    _speakers.append(options)
    try:
        yield
    finally:
        _speakers.pop()


def spoken_options() -> Mapping[str, str] | None:
    """The options of the command line that speaks; None where messages speak of Python."""
    return _speakers[-1] if _speakers else None


@contextmanager
def called(**options: str) -> Iterator[None]:
    """Within the block settings come from options of other names; without a command line nothing.

    Example:
        >>> with spoken_on_the_command_line({"epochs": "--epochs"}), called(epochs="--warmup"):
        ...     print(named("epochs"))
        --warmup
        >>> with called(epochs="--warmup"):
        ...     print(named("epochs"))
        epochs
    """
    if not _speakers:
        yield
        return
    with spoken_on_the_command_line({**_speakers[-1], **options}):
        yield


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


def named(name: str) -> str:
    """A setting as a person knows it: the option that it is, where it is one."""
    return _speakers[-1].get(name, name) if _speakers else name


def offered(name: str) -> bool:
    """Whether a person can give a setting: in Python always, otherwise if the command has it."""
    return not _speakers or name in _speakers[-1]


def setting(name: str, value: str, option: str | None = None) -> str:
    """A setting with its value; `option` is how the command line writes the value, if otherwise.

    Example:
        >>> setting("skip_bad", "True", ""), setting("size", "(height, width)", "HEIGHTxWIDTH")
        ('skip_bad=True', 'size=(height, width)')
        >>> with spoken_on_the_command_line({"skip_bad": "--skip-bad"}):
        ...     print(setting("skip_bad", "True", ""), "or", setting("depth", "12"))
        --skip-bad or depth 12
    """
    return either(
        f"{name}={value}", f"{named(name)} {value if option is None else option}".rstrip()
    )


def spelled_near(name: object, known: Iterable[str], kind: str = "there are") -> str:
    """Which names there are, behind those that one was meant for by its spelling.

    Args:
        name: that is none of them.
        known: those that there are.
        kind: words before them.

    Example:
        >>> spelled_near("reznet18", ["lenet5", "resnet18"])
        'near it: resnet18; there are lenet5, resnet18'
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(str(name)[:100], names, n=3)
    told = f"{kind} {', '.join(names)}"
    return f"near it: {', '.join(near)}; {told}" if near else told
