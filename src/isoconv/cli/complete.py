"""What a shell is offered to complete a word with: names of models and data, run folders, files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from isoconv.cli.table import print_alone, say
from isoconv.errors import ArgumentError
from isoconv.printable import printable

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
"""Those that can be completed in."""
_SIGNS = re.compile(r"""[\s'"\\$`*?\[\](){};&|<>!#]""")
MOST = 1000
"""Entries of a folder that are looked at while somebody waits behind a key."""


def complete_in(words: Sequence[str], name: str) -> bool:
    """Do what ``--install-completion SHELL`` and ``--show-completion SHELL`` ask for.

    Typer knows both options for the shell at hand alone, and would leave out the one that is named.

    Args:
        words: of the command line.
        name: of the command.

    Returns:
        Whether that was asked for; without a shell it is typer's.

    Raises:
        ArgumentError: a shell that is not known.

    Example:
        >>> complete_in(["--show-completion"], "isoconv")
        False
    """
    option, joint, shell = words[0].partition("=") if words else ("", "", "")
    if option not in ("--install-completion", "--show-completion"):
        return False
    given = [*([shell] if joint else []), *words[1:]]
    if not given:
        return False
    if len(given) > 1 or given[0] not in SHELLS:
        raise ArgumentError(
            f"{option} takes one of {', '.join(SHELLS)}, or nothing for the shell at hand; got "
            f"{' '.join(map(printable, given))}"
        )
    from typer.completion import get_completion_script, install  # type: ignore[attr-defined]

    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    if option == "--show-completion":
        script = get_completion_script(prog_name=name, complete_var=variable, shell=given[0])
        print_alone(f"{script}\n")
    else:
        _, path = install(shell=given[0], prog_name=name, complete_var=variable)
        say(f"completion for {given[0]} installed in {path}; a new {given[0]} has it")
    return True


def model_names(incomplete: str) -> list[str]:
    """Ready models.

    Example:
        >>> model_names("le")
        ['lenet5']
    """
    from isoconv.nn.models import ALL_MODELS

    return _beginning(incomplete, ALL_MODELS)


def data_names(incomplete: str) -> list[str]:
    """Data sets that can be fetched.

    Example:
        >>> data_names("cifar")
        ['cifar10', 'cifar100']
    """
    from isoconv.data.download import REMOTE

    return _beginning(incomplete, REMOTE)


def published_names(incomplete: str) -> list[str]:
    """Ready models of which there are published weights.

    Example:
        >>> published_names("shuffle")
        ['shufflenet_v2_x1_0']
    """
    from isoconv.nn.models.published import PUBLISHED

    return _beginning(incomplete, PUBLISHED)


def data_sources(incomplete: str) -> list[str]:
    """Data sets by name, and folders and archives."""
    from isoconv.data.names import KNOWN

    names = _beginning(incomplete, KNOWN)
    return [*names, *_paths(incomplete, _is_source)]


def runs(incomplete: str) -> list[str]:
    """Run folders, those in folders too."""
    return _paths(incomplete, _is_run)


def trained(incomplete: str) -> list[str]:
    """Run folders, files that models are read from, and models known by name."""
    from isoconv.train.sources import KINDS, known_names

    endings = {".safetensors", *(ending for kind in KINDS for ending in kind.endings)}
    files = _paths(incomplete, lambda path: _is_run(path) or path.suffix in endings)
    return [*_beginning(incomplete, known_names()), *files]


def models_and_runs(incomplete: str) -> list[str]:
    """Ready models, run folders and files of weights."""
    return [*dict.fromkeys((*model_names(incomplete), *trained(incomplete)))]


def targets(incomplete: str) -> list[str]:
    """Machines to compile for.

    Example:
        >>> targets("avx")
        ['avx512', 'avx2']
    """
    from isoconv.compile.target import TARGETS

    return _beginning(incomplete, TARGETS)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file()


def _is_source(path: Path) -> bool:
    from isoconv.data.formats import ENDINGS

    return path.name.lower().endswith(ENDINGS) or (path.is_dir() and not _is_run(path))


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Paths that begin so and are wanted, or lie in a folder that begins so.

    None where there are none: then a shell completes names of files as it does elsewhere. So it is
    where a name has blanks or signs that a shell would take apart, which it alone knows to quote.
    """
    head, name = os.path.split(incomplete)
    found = []
    for path in _entries(Path(head).expanduser(), name):
        # As it was begun, with its "./" and "~".
        shown = incomplete.removesuffix(name) + path.name
        if wanted(path):
            found.append(shown)
        elif path.is_dir():
            inside = (each for each in _entries(path, "") if _is_run(each) and wanted(each))
            found += [f"{shown}/{each.name}" for each in inside]
    return [] if any(map(_SIGNS.search, found)) else found


def _entries(folder: Path, beginning: str) -> list[Path]:
    """What a folder holds that begins so, without what is hidden, in order."""
    try:
        names = [entry.name for entry in islice(os.scandir(folder), MOST)]
    except OSError:
        return []
    hidden = beginning.startswith(".")
    return [
        folder / name
        for name in sorted(names)
        if name.startswith(beginning) and (hidden or not name.startswith("."))
    ]
