"""Folders of pictures: which parts and classes there are, and what lies beside and is left out."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from isoconv.data.files import SPLITS, Failures, Split, bad_file, file_error
from isoconv.data.opening import ENDINGS
from isoconv.data.tally import counted
from isoconv.errors import DataFileError
from isoconv.printable import listed, printable

NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folder of a part may be called, in small or capital letters."""

_LOOKED_AT = 200
"""Folders beside a data set that are looked into for pictures."""
_KINDS = 10
"""Kinds of skipped files that a note names."""
_HIDDEN = "hidden"
_LINK = "linked folder"
_BROKEN = "broken link"
_SPECIAL = "pipe, device or socket"
_NAMED = "folder without pictures that is named like one"


@dataclass(slots=True)
class Listing:
    """The picture files of a folder.

    Attributes:
        files: by part and class, in the order of their paths.
        notes: what is left out or taken for something, a line each.
    """

    files: dict[Split, dict[str, list[Path]]]
    notes: list[str]

    @property
    def own(self) -> dict[Split, list[Path]]:
        """The files of each part, class by class."""
        return {
            part: [file for group in classes.values() for file in group]
            for part, classes in self.files.items()
        }


@dataclass(slots=True)
class _Found:
    """What lies in one folder, each kind in the order of names.

    Attributes:
        folders: and links to folders.
        links: those of the folders that are links.
        pictures: files with the ending of a picture.
        skipped: everything else, by kind.
    """

    folders: list[Path] = field(default_factory=list)
    links: set[Path] = field(default_factory=set)
    pictures: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def parts_of(path: Path) -> tuple[Split, ...]:
    """The parts of a folder of pictures; none if it is no such folder.

    Raises:
        DataFileError: which folders are parts cannot be told, or the folder cannot be entered.
    """
    if not path.is_dir():
        return ()
    roots, _ = _roots(path)
    within = (folder for root in roots.values() for folder in _entered(root).folders)
    return tuple(roots) if any(holds_pictures(folder) for folder in within) else ()


@dataclass(frozen=True, slots=True)
class OnlyClass:
    """What a folder of pictures is that has one class alone.

    Attributes:
        name: of the class.
        hint: at the folder above, where several folders with pictures lie in it; "" otherwise.
        notes: as a `Listing` has them.
    """

    name: str
    hint: str
    notes: Sequence[str]


def only_class(path: Path) -> OnlyClass | None:
    """What a folder of pictures is that has one class alone.

    Args:
        path: of the folder; may be anything else as well.

    Returns:
        None where there are several classes, or none, or one without pictures.
    """
    try:
        listing = list_folder(path, Failures(path, root=path)) if parts_of(path) else None
    except DataFileError:
        # Told when the folder is read.
        return None
    names = {name for classes in listing.files.values() for name in classes} if listing else set()
    if listing is None or len(names) != 1:
        return None
    above = Path(os.path.abspath(path)).parent  # noqa: PTH100 - a link lies where it lies.
    folders: list[Path] = []
    with suppress(DataFileError):
        folders = _entered(above).folders
    beside = sum(map(_seems_class, folders[:_LOOKED_AT]))
    least = "at least " if len(folders) > _LOOKED_AT else ""
    hint = f"the folder above, {printable(above)}, has {least}{beside} folders with pictures"
    return OnlyClass(names.pop(), hint if beside > 1 else "", listing.notes)


def _seems_class(folder: Path) -> bool:
    """Whether pictures lie in a folder or just below; nobody waits for a walk through a disk."""
    with suppress(DataFileError):
        found = _entered(folder)
        if found.pictures:
            return True
        for inner in found.folders[:_LOOKED_AT]:
            with suppress(DataFileError):
                if _entered(inner).pictures:
                    return True
    return False


def classes_in(path: Path) -> set[str]:
    """The names of the folders that are taken for classes; none if there are no parts.

    Raises:
        DataFileError: as `parts_of`.
    """
    roots = _roots(path)[0].values() if parts_of(path) else ()
    return {folder.name for root in roots for folder in _entered(root).folders}


def folders_in(path: Path) -> list[Path]:
    """The folders in a folder, links to such among them, but for hidden ones.

    Raises:
        DataFileError: it cannot be entered.
    """
    return _entered(path).folders


def part_named(name: str) -> Split | None:
    """The part that a folder of this name holds; None for another name.

    Example:
        >>> part_named("Val"), part_named("cats")
        ('validation', None)
    """
    return next((part for part, names in NAMES.items() if name.lower() in names), None)


def list_folder(path: Path, failures: Failures, classes: Collection[str] | None = None) -> Listing:
    """List the files of a folder of pictures.

    Args:
        path: of the folder.
        failures: gathers folders that cannot be entered.
        classes: that are wanted; None for all.

    Raises:
        DataFileError: which folders are parts cannot be told, or a class has no pictures.
    """
    roots, notes = _roots(path)
    skipped: Counter[str] = Counter()
    outer = _entered(path)
    # Below `path` lie parts or classes; either way pictures there belong to none.
    beside = list(outer.pictures)
    skipped[_HIDDEN] += outer.skipped[_HIDDEN]
    files: dict[Split, dict[str, list[Path]]] = {}
    empty: list[Path] = []
    for part, root in roots.items():
        inner = _entered(root)
        if root != path:
            beside += inner.pictures
            skipped[_HIDDEN] += inner.skipped[_HIDDEN]
        files[part] = {}
        for folder in inner.folders:
            if classes is not None and folder.name not in classes:
                continue
            before = failures.count
            pictures = _pictures(folder, skipped, failures)
            if not pictures and failures.count == before:
                empty.append(folder)
            files[part][folder.name] = pictures
    if empty:
        error = _without_pictures(path, empty)
        for line in notes + _skipped(skipped):
            error.add_note(line)
        raise error
    notes += _alike(files)
    if beside:
        notes.append(
            f"{counted(len(beside), 'picture')} beside the folders of classes left out: "
            f"{listed([printable(each.relative_to(path)) for each in beside])}"
        )
    return Listing(files, notes + _skipped(skipped))


def pictures_below(folder: Path, failures: Failures) -> tuple[list[Path], list[str]]:
    """The pictures in a folder and below it, by their endings, and what is left alone, a line each.

    Args:
        folder: is there.
        failures: gathers folders that cannot be entered.
    """
    skipped: Counter[str] = Counter()
    return _pictures(folder, skipped, failures), _skipped(skipped)


def _entered(folder: Path) -> _Found:
    """What lies in a folder.

    Raises:
        DataFileError: it cannot be entered.
    """
    found = _Found()
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise bad_file(folder, f"cannot be entered: {error.strerror}") from error
    for entry in ordered:
        path = folder / entry.name
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError as error:
            # What nobody may look at is named when it cannot be read. A loop leads to nothing.
            is_folder, is_file = False, error.errno != errno.ELOOP
        if entry.name.startswith("."):
            found.skipped[_HIDDEN] += 1
        elif is_folder:
            found.folders.append(path)
            if entry.is_symlink():
                found.links.add(path)
        elif not is_file:
            # Not Path.exists, which raises errors where a path is too long.
            lost = entry.is_symlink() and not os.path.exists(path)  # noqa: PTH110
            found.skipped[_BROKEN if lost else _SPECIAL] += 1
        elif path.suffix.lower() in ENDINGS:
            found.pictures.append(path)
        else:
            found.skipped[printable(path.suffix.lower()) or "without ending"] += 1
    return found


def _walk(folder: Path) -> Iterator[tuple[Path, _Found | DataFileError]]:
    """A folder and those below it with what they hold, or the error of one that stays shut."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            found = _entered(here)
        except DataFileError as error:
            yield here, error
            continue
        if here.suffix.lower() in ENDINGS and not (found.folders or found.pictures):
            found.skipped[_NAMED] += 1
        # A link may lead back to where it lies.
        if found.links:
            found.skipped[_LINK] += len(found.links)
        waiting += (inner for inner in found.folders if inner not in found.links)
        yield here, found


def holds_pictures(folder: Path) -> bool:
    """Whether there are pictures in a folder or below it, by their endings."""
    # So may a folder that stays shut, which is named when the files are listed.
    return any(isinstance(found, DataFileError) or found.pictures for _, found in _walk(folder))


def _pictures(folder: Path, skipped: Counter[str], failures: Failures) -> list[Path]:
    """The picture files in a folder and below it, in the order of their paths."""
    pictures: list[Path] = []
    for here, found in _walk(folder):
        if isinstance(found, DataFileError):
            failures.total += 1
            with failures.gathered(here):
                raise found
        else:
            pictures += found.pictures
            skipped.update(found.skipped)
    return sorted(pictures)


def _roots(path: Path) -> tuple[dict[Split, Path], list[str]]:
    """The folder that holds the class folders of each part, and what is to be told of it."""
    folders = _entered(path).folders
    named: dict[Split, list[Path]] = {}
    flat: list[Path] = []
    others: list[Path] = []
    for folder in folders:
        part = part_named(folder.name)
        if part is None:
            others.append(folder)
        elif _entered(folder).folders:
            named.setdefault(part, []).append(folder)
        else:
            flat.append(folder)
    if "train" in named or (named and not others):
        return _as_parts(path, named, flat, others)
    if not others and any(holds_pictures(folder) for folder in flat):
        raise file_error(
            path,
            f"folders of classes below {listed([each.name for each in flat])}",
            "no folders: without classes there is nothing to learn",
        )
    return _as_classes(path, [*flat, *(each for group in named.values() for each in group)], others)


def _as_parts(
    path: Path, named: dict[Split, list[Path]], flat: list[Path], others: list[Path]
) -> tuple[dict[Split, Path], list[str]]:
    for part, several in named.items():
        if len(several) > 1:
            names = listed([repr(folder.name) for folder in several])
            raise file_error(path, f"one folder for the {part} part", names)
    notes = []
    for folder in flat:
        if folder.name.lower() in NAMES["train"]:
            raise file_error(folder, "folders of classes", "none")
        notes.append(f"the folder {folder.name!r} is left out: it holds no folders of classes")
    if others:
        names = listed([repr(folder.name) for folder in others])
        notes.append(f"left out beside the folders of parts: {names}")
    return {part: named[part][0] for part in SPLITS if part in named}, notes


def _as_classes(
    path: Path, parts: list[Path], others: list[Path]
) -> tuple[dict[Split, Path], list[str]]:
    names = {folder.name for folder in others}
    for folder in parts:
        shared = sorted(names & {inner.name for inner in _entered(folder).folders})
        if shared:
            raise file_error(
                path,
                "folders of classes, or folders of parts with a folder 'train' among them",
                f"{folder.name!r} beside classes that it holds itself ({listed(shared)})",
            )
    notes = []
    if parts:
        names_of_parts = listed([repr(folder.name) for folder in parts])
        notes.append(
            f"taken for classes, for there is no folder 'train' with classes: {names_of_parts}"
        )
    return ({"train": path} if others else {}), notes


def _alike(files: dict[Split, dict[str, list[Path]]]) -> list[str]:
    """A note of classes whose names differ in capital letters alone."""
    by_name: dict[str, set[str]] = {}
    for classes in files.values():
        for name in classes:
            by_name.setdefault(name.casefold(), set()).add(name)
    alike = [", ".join(map(repr, sorted(names))) for names in by_name.values() if len(names) > 1]
    return [f"classes of their own, though their names differ in case alone: {names}"
            for names in alike]  # fmt: skip


def _without_pictures(path: Path, empty: list[Path]) -> DataFileError:
    endings = ", ".join(sorted(ENDINGS))
    names = listed([printable(folder.relative_to(path)) for folder in empty])
    return file_error(path, f"pictures in every folder of a class ({endings})", f"none in {names}")


def _skipped(skipped: Counter[str]) -> list[str]:
    kinds = [f"{count} {kind}" for kind, count in skipped.most_common() if count]
    if not kinds:
        return []
    return [f"skipped: {listed(kinds, _KINDS)}"]
