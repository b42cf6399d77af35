"""Where ``isoconv predict`` writes masks: as the pictures lie, and never over anything."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from isoconv.cli.errors import note
from isoconv.cli.inputs import STANDARD_INPUT, Inputs
from isoconv.errors import ArgumentError
from isoconv.printable import printable

MASKS, OVERLAYS = "masks", "overlays"
"""Folders of what is written."""
TABLES = (".csv", ".jsonl", ".parquet")

Places = Mapping[Path, tuple[Path, Path]]


@contextmanager
def mask_places(inputs: Inputs, out: Path | None) -> Iterator[Places]:
    """Where the mask of each picture goes, and the picture with its colours; within, nobody else's.

    In ``masks/`` and ``overlays/`` are the folders that the pictures lie in, from the one that they
    have in common on.

    Args:
        inputs: the pictures.
        out: folder to write into; None for none.

    Raises:
        ArgumentError: something is there already: a person's own masks may be of these names; or
            it is a file, or is to be a table.
        CheckpointError: another process writes masks there; or it cannot be written.
    """
    from isoconv.train.hold import Hold

    if out is None:
        yield {}
        return
    is_table = out.suffix.lower() in TABLES
    if is_table or (os.path.lexists(out) and not out.is_dir()):
        why = "tables are for models of classes" if is_table else "it is there, and is none"
        raise ArgumentError(
            f"--out must be a folder, with a model of masks; got {printable(out)}: {why}",
            argument="out",
            value=out,
        )
    hold = Hold(out, "writes masks")
    try:
        yield _places(inputs, out)
    finally:
        hold.release()
        with suppress(OSError):
            # Empty, it is of no use to anybody.
            out.rmdir()


def _places(inputs: Inputs, out: Path) -> Places:
    found: dict[Path, tuple[Path, Path]] = {}
    for path, name in _names(inputs).items():
        found[path] = out / MASKS / f"{name}.png", out / OVERLAYS / f"{name}.png"
        for place in found[path]:
            if os.path.lexists(place):
                raise _is_there(place)
    return found


def _names(inputs: Inputs) -> dict[Path, str]:
    """The pictures with the names of their masks, without ending.

    Those whose names differ by their endings alone keep them.
    """
    folders = [os.path.abspath(folder) for folder in inputs.folders]  # noqa: PTH100 - no links
    common = os.path.commonpath(folders) if folders else ""
    own: dict[Path, str] = {}
    for path in dict.fromkeys(inputs.files):
        known = inputs.name(path) == STANDARD_INPUT
        own[path] = "picture.png" if known else os.path.relpath(path, common)
    # Where capital letters do not count, names that differ by them alone are one.
    alike: dict[str, list[Path]] = {}
    for path, name in own.items():
        alike.setdefault(_stem(name).casefold(), []).append(path)
    taken: set[str] = set()
    found: dict[Path, str] = {}
    for path, name in own.items():
        stem = _stem(name)
        name = wanted = stem if len(alike[stem.casefold()]) == 1 else name
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name.casefold())
        found[path] = name
    firsts = [group[0] for group in alike.values() if len(group) > 1]
    if firsts:
        _tell_of_alike(firsts, found)
    return found


def _tell_of_alike(firsts: Sequence[Path], names: Mapping[Path, str]) -> None:
    others = f" and {len(firsts) - 1:,} others" if len(firsts) > 1 else ""
    note(
        f"there are pictures called as {printable(firsts[0])}{others} but for the ending, which is "
        f"part of the names of their masks: {printable(names[firsts[0]])}.png"
    )


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 - of a million names, without a Path for each


def _is_there(place: Path) -> ArgumentError:
    return ArgumentError(
        f"--out must be a folder in which nothing is written over; {printable(place)} is there "
        "already",
        argument="out",
        value=place,
    )


def write_new(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, where there is none of its name.

    Raises:
        ArgumentError: something is there, which stays.
        CheckpointError: it cannot be written.
    """
    from isoconv import files
    from isoconv.train.files import cannot_be_written

    try:
        files.write_new(path, content)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as error:
        raise cannot_be_written(path, error) from error
