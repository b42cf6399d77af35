"""Folders of pictures and masks: which parts there are, and which mask belongs to which picture."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from isoconv.data.files import SPLITS, Failures, Split, bad_file, file_error
from isoconv.data.folders import folders_in, holds_pictures, part_named, pictures_below
from isoconv.errors import DataFileError
from isoconv.printable import listed, printable

IMAGES = ("images", "image", "imgs", "img", "jpegimages")
"""What a folder of pictures may be called, in small or capital letters."""
MASKS = ("masks", "mask", "labels", "annotations", "segmentationclass")
"""What a folder of masks may be called."""
_ENDS = ("_mask", "-mask")
"""What may stand behind a picture's name in that of its mask."""

Roots = tuple[Path, Path]


@dataclass(slots=True)
class Pairs:
    """The pictures of a folder with their masks.

    Attributes:
        files: by part, in the order of the pictures' paths.
        notes: what is left out, a line each.
    """

    files: dict[Split, list[tuple[Path, Path]]]
    notes: list[str]


def mask_parts(path: Path) -> tuple[Split, ...]:
    """The parts of a folder of pictures and masks; none if it is no such folder.

    Raises:
        DataFileError: which folders are meant cannot be told.
    """
    return tuple(_roots(path)) if path.is_dir() else ()


def pairs_in(path: Path, failures: Failures) -> Pairs:
    """List a folder of pictures and masks.

    Args:
        path: of the folder.
        failures: gathers what has no counterpart, and folders that cannot be entered.

    Raises:
        DataFileError: which folders are meant cannot be told, or a part has no pictures.
    """
    files: dict[Split, list[tuple[Path, Path]]] = {}
    notes: list[str] = []
    roots = _roots(path)
    notes += [
        f"{printable(folder.name)} is left out: it has no pictures with masks"
        for folder in folders_in(path)
        if (named := part_named(folder.name)) and named not in roots
    ]
    for part, (images, masks) in roots.items():
        pictures, left = pictures_below(images, failures)
        drawn, beside = pictures_below(masks, failures)
        for folder, lines in ((images, left), (masks, beside)):
            notes += [f"{folder.relative_to(path).as_posix()}: {line}" for line in lines]
        if not pictures and not failures.count:
            raise file_error(images, "pictures", "none")
        files[part] = _paired(_named(pictures, images), _named(drawn, masks), masks, failures)
    return Pairs(files, list(dict.fromkeys(notes)))


def _paired(
    pictures: dict[str, list[Path]],
    masks: dict[str, list[Path]],
    folder: Path,
    failures: Failures,
) -> list[tuple[Path, Path]]:
    """Pictures with the masks of their names; what is alone, or one of several, has failed."""
    for name in list(masks):
        plain = next((name.removesuffix(end) for end in _ENDS if name.endswith(end)), name)
        if name not in pictures and plain in pictures:
            masks.setdefault(plain, []).extend(masks.pop(name))
    found = []
    for name, group in pictures.items():
        own = masks.pop(name, [])
        failures.total += len(group)
        if len(group) == len(own) == 1:
            found.append((group[0], own[0]))
            continue
        for picture in group:
            if len(group) > 1:
                others = listed([printable(each.name) for each in group if each != picture])
                reason = f"one picture of a name is expected; {others} has the same"
            elif own:
                both = listed([printable(each.name) for each in own])
                reason = f"one mask of its name is expected in {printable(folder)}; found {both}"
            else:
                # In the same words for all, so that of many they are said once.
                reason = f"a mask of its name is expected in {printable(folder)}; there is none"
            with failures.gathered(picture):
                raise bad_file(picture, reason)
    for own in masks.values():
        for mask in own:
            failures.total += 1
            with failures.gathered(mask):
                reason = "a picture of its name is expected beside a mask; there is none"
                raise bad_file(mask, reason)
    return found


def _named(files: Collection[Path], folder: Path) -> dict[str, list[Path]]:
    """Files by their paths within a folder, without endings."""
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(file.relative_to(folder).with_suffix("").as_posix(), []).append(file)
    return found


def _roots(path: Path) -> dict[Split, Roots]:
    """The folders of pictures and of masks of each part; none if there are no such folders."""
    pair = _pair(path)
    if pair is None:
        parts = {folder: part for folder in folders_in(path) if (part := part_named(folder.name))}
        found = [(part, pair) for folder, part in parts.items() if (pair := _pair(folder))]
        if not found:
            for folder in (path, *parts):
                _check_without_masks(folder)
        return _by_part(path, found)
    images, masks = pair
    named = {
        folder.name: part for folder in folders_in(images) if (part := part_named(folder.name))
    }
    if "train" not in named.values():
        return {"train": pair}
    beside = {folder.name.lower(): folder for folder in folders_in(masks)}
    missing = [name for name in named if name.lower() not in beside]
    if missing:
        expected = f"the folders that {images.name} has, {listed([*named])}"
        raise file_error(masks, expected, f"none called {listed(missing)}")
    return _by_part(
        path, [(part, (images / name, beside[name.lower()])) for name, part in named.items()]
    )


def _by_part(path: Path, found: list[tuple[Split, Roots]]) -> dict[Split, Roots]:
    for part in SPLITS:
        several = [images for named, (images, _) in found if named == part]
        if len(several) > 1:
            names = listed([printable(each.relative_to(path)) for each in several])
            raise file_error(path, f"one folder for the {part} part", names)
    ordered = dict(found)
    return {part: ordered[part] for part in SPLITS if part in ordered}


def _pair(path: Path) -> Roots | None:
    """The folders of pictures and of masks in a folder, if both are there and hold pictures."""
    images, masks, _ = _folders(path)
    masks = [folder for folder in masks if holds_pictures(folder)]
    if not images or not masks:
        return None
    if len(images) > 1 or len(masks) > 1:
        names = listed([repr(folder.name) for folder in (*images, *masks)])
        raise file_error(path, "one folder of pictures and one of masks", names)
    return images[0], masks[0]


def _folders(path: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """The folders in a folder: by their names those of pictures, those of masks, and others."""
    try:
        folders = folders_in(path)
    except DataFileError:
        # Told where the folder is read as one of classes.
        return [], [], []
    images = [folder for folder in folders if folder.name.lower() in IMAGES]
    masks = [folder for folder in folders if folder.name.lower() in MASKS]
    return images, masks, [each for each in folders if each not in {*images, *masks}]


def _check_without_masks(path: Path) -> None:
    """See that a folder called images, without masks beside it, may be meant for a class.

    Raises:
        DataFileError: it stands alone, beside folders for masks that are empty, or beside another
            with most of its names, as pictures and masks have them.
    """
    images, masks, others = _folders(path)
    if not images:
        return
    named = _beside(images[0])
    if masks:
        found = f"none in {listed([each.name for each in masks])}"
        if not holds_pictures(images[0]):
            found += f", nor pictures in {printable(images[0].name)}"
        raise file_error(path, f"masks of the pictures in {printable(images[0].name)}", found)
    wanted = f"the masks of {printable(images[0].name)} in a folder called {' or '.join(MASKS)}"
    if not others and len(images) == 1 and (named or not holds_pictures(images[0])):
        found = "no such folder" if named else "no such folder, nor pictures"
        raise file_error(path, wanted, found)
    for other in others:
        alike = named & _beside(other)
        if 2 * len(alike) > len(named):
            raise file_error(
                path,
                wanted,
                f"{printable(other.name)} with {len(alike)} of its {len(named)} names: if these "
                "are the masks, call it masks; if both are classes, call them otherwise than "
                f"{listed(IMAGES)}",
            )


def _beside(folder: Path) -> set[str]:
    """The names of the pictures in a folder, not of those below it, without endings."""
    pictures, _ = pictures_below(folder, Failures(None))
    return {file.stem for file in pictures if file.parent == folder}
