"""One mask: a picture file whose numbers are classes, as they stand in it; and their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.data.decode import stored_unit
from isoconv.data.files import bad_file, file_error
from isoconv.data.labels import MAX_CLASSES
from isoconv.data.opening import opened
from isoconv.data.threads import Take, freely
from isoconv.files import is_regular, read_file
from isoconv.printable import listed, printable

NO_LABEL = 255
"""The value of a pixel without a label."""
CLASS_FILES = ("classes.txt", "classes.json")
"""Files that name the classes, beside the folders."""

_LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
_NUMBERS = ("1", "L", "P", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes in which a pixel is one number: a gray value, or a place in a palette."""
_LONGEST = 1 << 20


def read_mask(path: Path, take: Take = freely) -> NDArray[Any]:
    """The numbers of a mask, unsigned integers ``(H, W)``: gray values, or places in a palette.

    Args:
        path: of a PNG, GIF, BMP or TIFF file.
        take: asks for memory before pixels take it.

    Raises:
        DataFileError: it is missing, damaged, too large, of a format that changes numbers, or of
            colours.
    """
    with opened(path, take) as picture:
        image = picture.image
        if image.format not in _LOSSLESS:
            raise bad_file(
                path,
                f"masks must be PNG files (GIF, BMP and TIFF will do), which keep the number of "
                f"each pixel; this is {image.format}"
                + (
                    ", which blurs them, so that a border between two classes becomes others: "
                    "make the masks anew as PNG, for to convert these keeps what was blurred"
                    if image.format in ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF", "HEIF")
                    else ""
                ),
            )
        if image.mode not in _NUMBERS:
            expected = "one number for each pixel, gray or with a palette"
            raise file_error(path, expected, f"{image.mode}: colours are no class numbers")
        unit = stored_unit(image)
        picture.load(image)
        return np.asarray(picture.upright(image, image)).astype(np.uint16) // unit


def class_file(folder: Path) -> dict[int, str | None] | None:
    """The names of the classes by the number that stands for each in the masks; None for no file.

    ``classes.txt`` has a name a line, of 0, 1, …; ``classes.json`` has a list of them, or an object
    with the name of each number. There 255 may be null, None here: it has no label.

    Raises:
        DataFileError: there are both files, or one that cannot be read.
    """
    found = [folder / name for name in CLASS_FILES if is_regular(folder / name)]
    if not found:
        return None
    if len(found) > 1:
        raise file_error(folder, "one file with the names of classes", listed([*CLASS_FILES]))
    (path,) = found
    try:
        text = read_file(path, _LONGEST).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise bad_file(path, f"cannot be read: {error}") from error
    names = _from_json(path, text) if path.suffix == ".json" else _from_lines(path, text)
    count = len([name for name in names.values() if name is not None])
    if not 0 < count <= MAX_CLASSES:
        raise file_error(path, f"1 to {MAX_CLASSES} names of classes", f"{count}")
    seen: set[str] = set()
    for name in names.values():
        if name is None:
            continue
        if name in seen:
            raise file_error(path, "names that differ", f"{printable(name)!r} more than once")
        seen.add(name)
    return names


def _from_lines(path: Path, text: str) -> dict[int, str | None]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        empty = f"line {lines.index('') + 1} is empty"
        raise file_error(path, "a name on each line, of the classes 0, 1, …", empty)
    return dict(enumerate(lines))


def _from_json(path: Path, text: str) -> dict[int, str | None]:
    # Twice the same key would be lost in a dict.
    try:
        found = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise bad_file(path, f"cannot be read as JSON: {printable(str(error))}") from error
    expected = 'a list of names, or an object such as {"0": "ground", "1": "tree"}'
    if not isinstance(found, list) or not found:
        raise file_error(path, expected, "something else")
    if all(isinstance(each, str) for each in found):
        pairs: list[tuple[Any, Any]] = list(enumerate(found))
    else:
        pairs = [each if isinstance(each, tuple) else (None, None) for each in found]
    names: dict[int, str | None] = {}
    for key, name in pairs:
        number = int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 6 else key
        said = name.strip() if isinstance(name, str) else name
        unlabelled = said is None and number == NO_LABEL
        if not isinstance(number, int) or not (unlabelled or (isinstance(said, str) and said)):
            raise file_error(path, expected, "something else")
        if not 0 <= number < MAX_CLASSES or number in names:
            rule = f"each number once, from 0 to {MAX_CLASSES - 1}"
            raise file_error(path, rule, f"{number}")
        names[number] = said
    return dict(sorted(names.items()))
