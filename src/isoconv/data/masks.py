"""Pictures with masks: a class for each of their places, in a folder beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.data.cache import open_cache
from isoconv.data.counting import Counting
from isoconv.data.dataset import Dataset
from isoconv.data.decode import look
from isoconv.data.files import NAMED, Failures, Format, Request, Split, build, file_error
from isoconv.data.mask_files import CLASS_FILES, NO_LABEL, class_file, read_mask
from isoconv.data.mask_folders import mask_parts, pairs_in
from isoconv.data.nearest import taken
from isoconv.data.pictures import decoded, without_holes
from isoconv.data.reading import Reading
from isoconv.data.survey import usual_map_size
from isoconv.data.tally import counted
from isoconv.data.threads import Take, each_in_order
from isoconv.errors import DataFileError, MissingExtraError
from isoconv.memory import check_memory
from isoconv.printable import listed, printable

__all__ = ["MASK_FOLDER"]
__public__ = {"isoconv.data.formats": ["MASK_FOLDER"]}

Array = NDArray[Any]
Pair = tuple[Path, Path]
TWO = frozenset((0, NO_LABEL))
"""The values of masks that have black and white alone."""


@dataclass(frozen=True, slots=True)
class _Classes:
    """What the numbers of masks stand for.

    Attributes:
        names: of the classes.
        number: of the class of each value; -1 for no label.
        named: somebody named the classes.
        notes: what was guessed, a line each.
    """

    names: tuple[str, ...]
    number: Mapping[int, int]
    named: bool
    notes: tuple[str, ...] = ()


def _read(path: Path, splits: Sequence[Split], request: Request) -> dict[Split, Dataset]:
    failures = Failures(path, root=path, skip=request.skip_bad, hint=True)
    given = class_file(path)
    listing = pairs_in(path, failures)
    counting = Counting(request.progress)
    try:
        values, sizes = _values(listing.files, failures, counting)
        _check_agree(path, values, given)
        classes = _classes(values, given, failures)
        if not any(_readable(pairs, failures) for pairs in listing.files.values()):
            raise failures.error()
        # What is left out has no say in what follows from the others.
        files = {part: _readable(pairs, failures) for part, pairs in listing.files.items()}
        own = {part: [picture for picture, _ in pairs] for part, pairs in files.items()}
        needed = splits if request.reading.resolved else tuple(own)
        with open_cache(request.cache) as cache:
            reading, images, notes = decoded(
                own, needed, splits, request, failures, cache, usual_map_size
            )
        failures.raise_any()
        notes = [*listing.notes, *notes, *classes.notes, *_scaled(reading, sizes)]
        found = {}
        for part in splits:
            pairs = _readable(files[part], failures)
            if not pairs:
                raise failures.error(f"the {part} part needs a picture that can be read")
            kept = {picture for picture, _ in pairs}
            pictures = without_holes(images.pop(part), [file in kept for file in own[part]])
            labels = _labels(pairs, pictures.shape[:3], classes, counting)
            if not (labels >= 0).any():
                expected = f"pixels with a label in the masks of the {part} part"
                raise file_error(path, expected, f"{NO_LABEL} alone, which is none")
            found[part] = replace(
                build(path, pictures, labels, classes.names),
                paths=tuple(picture.relative_to(path).as_posix() for picture, _ in pairs),
                reading=reading,
                numbered=not classes.named,
                notes=tuple(notes),
                skipped=failures.skipped(),
            )
    except (DataFileError, MissingExtraError) as error:
        for line in listing.notes:
            error.add_note(line)
        raise
    return found


def _readable(pairs: Sequence[Pair], failures: Failures) -> list[Pair]:
    """Those of which neither the picture nor the mask has failed."""
    there = set(failures.readable([file for pair in pairs for file in pair]))
    return [pair for pair in pairs if there.issuperset(pair)]


def _values(
    files: Mapping[Split, Sequence[Pair]], failures: Failures, counting: Counting
) -> tuple[dict[Path, frozenset[int]], set[tuple[int, int]]]:
    """The numbers that each mask of all parts holds, and the sizes that there are.

    A mask of another size than its picture has failed, as one that cannot be read.
    """
    pairs = [pair for group in files.values() for pair in group]
    found: dict[Path, frozenset[int]] = {}
    sizes: set[tuple[int, int]] = set()

    def work(pair: Pair, take: Take) -> tuple[frozenset[int], tuple[int, int]]:
        picture, mask = pair
        size = look(picture).size
        numbers = read_mask(mask, take)
        if numbers.shape != size:
            expected = f"{size[0]} by {size[1]} pixels, as its picture is"
            raise file_error(mask, expected, f"{numbers.shape[0]} by {numbers.shape[1]}")
        # By counting, for sorting takes long.
        return frozenset(np.flatnonzero(np.bincount(numbers.reshape(-1))).tolist()), size

    with (
        counting.of("looking at masks of", len(pairs)) as step,
        closing(each_in_order(work, pairs)) as results,
    ):
        for (picture, mask), result in results:
            try:
                found[mask], size = result()
                sizes.add(size)
            except (DataFileError, MissingExtraError) as error:
                with failures.gathered(picture if error.path == picture else mask):
                    raise
            step()
    return found, sizes


def _check_agree(
    path: Path, values: Mapping[Path, frozenset[int]], given: Mapping[int, str | None] | None
) -> None:
    """See that 255 is the same in all masks, where no file of names says what it is.

    Raises:
        DataFileError: in some masks it is all that there is beside 0, as an object is, and others
            number their objects.
    """
    if given is not None and (NO_LABEL in given or [*given] != [0, 1]):
        return
    alone = _only_two(values)
    others = {mask: own for mask, own in values.items() if not own <= TWO}
    if not alone or not others:
        return

    def name(mask: Path) -> str:
        return printable(mask.relative_to(path))

    numbered = [
        f"{name(mask)} ({listed([*map(str, sorted(own))])})" for mask, own in others.items()
    ]
    raise file_error(
        path,
        f"masks that agree on what {NO_LABEL} is, a class or no label",
        f"{len(alone)} of 0 and {NO_LABEL} alone, and {len(others)} of other numbers:\n"
        f"  0 and {NO_LABEL} alone: {listed([*map(name, alone)], NAMED)}\n"
        f"  other numbers: {listed(numbered, NAMED)}\n"
        f"write the number of its class in place of {NO_LABEL} where that is an object; where it "
        f'is no label, say so in classes.json: {{"0": "ground", "1": "road", "{NO_LABEL}": null}}',
    )


def _only_two(values: Mapping[Path, frozenset[int]]) -> list[Path]:
    """The masks that hold 255, and nothing else but 0."""
    return [mask for mask, own in values.items() if NO_LABEL in own and own <= TWO]


def _classes(
    values: Mapping[Path, frozenset[int]],
    given: Mapping[int, str | None] | None,
    failures: Failures,
) -> _Classes:
    """What the numbers of these masks stand for.

    What a file of names knows is a class, and 255 is no label unless that has it. Masks of 0 and
    255 alone have two classes, unless more are named. Without names each number is a class.
    """
    seen = frozenset[int]().union(*values.values())
    two = seen == TWO and (given is None or [*given] == [0, 1])
    if two:
        names = ("0", "1") if given is None else tuple(map(str, given.values()))
        note = f"the masks hold 0 and {NO_LABEL} alone: {NO_LABEL} is taken for class {names[1]!r}"
        return _Classes(names, {0: 0, NO_LABEL: 1}, given is not None, (note,))
    if given is not None:
        named = {value: name for value, name in given.items() if name is not None}
        number = {value: place for place, value in enumerate(named)}
        number.setdefault(NO_LABEL, -1)
        for mask, own in values.items():
            unknown = sorted(own - number.keys())
            if unknown:
                with failures.gathered(mask):
                    known = f"numbers that {' or '.join(CLASS_FILES)} names, or {NO_LABEL}"
                    raise file_error(mask, known, listed([*map(str, unknown)]))
        return _Classes(tuple(named.values()), number, True, _unlabelled(values, number))
    most = max(seen - {NO_LABEL}, default=0)
    number = {value: value for value in range(most + 1)}
    number[NO_LABEL] = -1
    names = tuple(map(str, range(most + 1)))
    return _Classes(names, number, False, _unlabelled(values, number))


def _unlabelled(
    values: Mapping[Path, frozenset[int]], number: Mapping[int, int]
) -> tuple[str, ...]:
    """That there are pixels without a label, if so, and masks with nothing else but 0."""
    if number[NO_LABEL] >= 0 or not any(NO_LABEL in own for own in values.values()):
        return ()
    alone = _only_two(values)
    more = f"; {counted(len(alone), 'mask')} with nothing else but 0" if alone else ""
    return (f"pixels of {NO_LABEL} have no label: no loss and no score counts them{more}",)


def _scaled(reading: Reading, sizes: set[tuple[int, int]]) -> list[str]:
    """What is to be told of masks that are brought to a size."""
    if not sizes - {reading.size}:
        return []
    return ["masks are scaled as the pictures are, each pixel with the class of the nearest: none "
            "are mixed"]  # fmt: skip


def _labels(
    pairs: Sequence[Pair], shape: tuple[int, ...], classes: _Classes, counting: Counting
) -> Array:
    """The class of each place, int32 ``(N, H, W)``."""
    needs = {f"{len(pairs):,} masks of {shape[1:]}": 4 * prod(shape)}
    check_memory("the masks", needs, "a smaller size, or fewer pictures")
    labels = np.empty(shape, np.int32)
    table = np.full(max(classes.number) + 1, -1, np.int32)
    for value, number in classes.number.items():
        table[value] = number

    def work(place: int, take: Take) -> None:
        labels[place] = table[taken(read_mask(pairs[place][1], take), (shape[1], shape[2]))]

    with (
        counting.of("reading masks of", len(pairs)) as step,
        closing(each_in_order(work, range(len(pairs)))) as results,
    ):
        for _, result in results:
            result()
            step()
    return labels


MASK_FOLDER = Format(
    "a folder of pictures and masks",
    "`images/NAME.jpg` and `masks/NAME.png`, perhaps below `train`, `val` and `test`, or with "
    "these below",
    mask_parts,
    _read,
)
