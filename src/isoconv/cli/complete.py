"""What a shell is offered to complete a word with: names of models and data, run folders, files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

__all__ = [
    "data_names",
    "data_sources",
    "model_names",
    "models_and_runs",
    "runs",
    "targets",
    "trained",
]

MOST = 1000
"""Entries of a folder that are looked at while somebody waits behind a key."""


def model_names(incomplete: str) -> list[str]:
    """Ready models.

    Example:
        >>> model_names("le")
        ['lenet5']
    """
    from isoconv.nn.models import MODELS

    return _beginning(incomplete, MODELS)


def data_names(incomplete: str) -> list[str]:
    """Data sets that can be fetched.

    Example:
        >>> data_names("cifar")
        ['cifar10', 'cifar100']
    """
    from isoconv.data.download import REMOTE

    return _beginning(incomplete, REMOTE)


def data_sources(incomplete: str) -> list[str]:
    """Data sets by name, and folders and archives."""
    from isoconv.data.names import CLASS_NAMES

    names = _beginning(incomplete, CLASS_NAMES)
    return [*names, *_paths(incomplete, _is_source)]


def runs(incomplete: str) -> list[str]:
    """Run folders, those in folders too."""
    return _paths(incomplete, _is_run)


def trained(incomplete: str) -> list[str]:
    """Run folders and files of weights."""
    return _paths(incomplete, lambda path: _is_run(path) or path.suffix == ".safetensors")


def models_and_runs(incomplete: str) -> list[str]:
    """Ready models, run folders and files of weights."""
    return [*model_names(incomplete), *trained(incomplete)]


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
    return path.name.endswith((".npz", ".tar.gz")) or (path.is_dir() and not _is_run(path))


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Paths that begin so and are wanted, or lie in a folder that begins so.

    None where there are none: then a shell completes names of files as it does elsewhere.
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
    return found


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
