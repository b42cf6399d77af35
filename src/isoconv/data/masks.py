"""Pictures with masks: a class for each of their places, in a folder beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from isoconv.data.batches import Batches
from isoconv.data.cache import open_cache
from isoconv.data.counting import Counting
from isoconv.data.dataset import Dataset
from isoconv.data.decode import look
from isoconv.data.files import NAMED, Failures, Format, Request, Split, build, file_error
from isoconv.data.labels import present_classes
from isoconv.data.mask_files import CLASS_FILES, NO_LABEL, class_file, read_mask
from isoconv.data.mask_folders import mask_parts, pairs_in
from isoconv.data.nearest import taken
from isoconv.data.pictures import decoded, noted, without_holes
from isoconv.data.reading import Reading
from isoconv.data.survey import usual_map_size
from isoconv.data.tally import counted
from isoconv.data.threads import Take, each_in_order
from isoconv.errors import DataFileError, MissingExtraError
from isoconv.memory import check_memory
from isoconv.printable import listed, printable
from isoconv.rows import Array

__public__ = {"isoconv.data.formats": ["MASK_FOLDER"]}

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


class MaskFolder:
    """A folder of pictures and masks that was looked through.

    Args:
        path: of the folder.
        request: what is asked of it.

    Attributes:
        failures: what cannot be read.
        notes: what is left out, a line each.
        own: the pictures of each part, those of which neither they nor their masks have failed.

    Raises:
        DataFileError: which folders are meant cannot be told, the masks do not agree on what 255
            is, or nothing can be read.
        MissingExtraError: an optional dependency would read what there is.
    """

    def __init__(self, path: Path, request: Request) -> None:
        self._path = path
        self.failures = Failures(path, root=path, skip=request.skip_bad, hint=True)
        given = class_file(path)
        listing = pairs_in(path, self.failures)
        self.notes = listing.notes
        self._counting = Counting(request.progress)
        with noted(self.notes):
            values, self._sizes = _values(listing.files, self.failures, self._counting)
            _check_agree(path, values, given)
            self._classes = _classes(values, given, self.failures)
            if not any(_readable(pairs, self.failures) for pairs in listing.files.values()):
                raise self.failures.error()
        # What is left out has no say in what follows from the others.
        self._files = {
            part: _readable(pairs, self.failures) for part, pairs in listing.files.items()
        }
        self.own = {part: [picture for picture, _ in pairs] for part, pairs in self._files.items()}

    def data(
        self,
        part: Split,
        images: Array,
        reading: Reading,
        notes: Sequence[str],
        labels_of: Callable[[Masks], Array],
    ) -> Dataset:
        """A part, once its pictures were read.

        Args:
            part: which.
            images: of its pictures that can be read, in their order.
            reading: how they were.
            notes: what is to be told of them.
            labels_of: the class of each place, of the masks.

        Raises:
            DataFileError: nothing of it can be read, or no place has a label.
        """
        pairs = _readable(self._files[part], self.failures)
        if not pairs:
            raise self.failures.error(f"the {part} part needs a picture that can be read")
        classes = self._classes
        labels = labels_of(Masks([mask for _, mask in pairs], images.shape[1:3], classes.number,
                                 self._counting))  # fmt: skip
        if not len(present_classes(labels)):
            expected = f"pixels with a label in the masks of the {part} part"
            raise file_error(self._path, expected, f"{NO_LABEL} alone, which is none")
        return replace(
            build(self._path, images, labels, classes.names),
            paths=tuple(picture.relative_to(self._path).as_posix() for picture, _ in pairs),
            reading=reading,
            numbered=not classes.named,
            notes=(*self.notes, *notes, *classes.notes, *_scaled(reading, self._sizes)),
            skipped=self.failures.skipped(),
        )


def _read(path: Path, splits: Sequence[Split], request: Request) -> dict[Split, Dataset]:
    folder = MaskFolder(path, request)
    own, failures = folder.own, folder.failures
    with noted(folder.notes):
        needed = splits if request.reading.resolved else tuple(own)
        with open_cache(request.cache) as cache:
            reading, images, notes = decoded(
                own, needed, splits, request, failures, cache, usual_map_size
            )
        failures.raise_any()
        found = {}
        for part in splits:
            kept = {*failures.readable(own[part])}
            pictures = without_holes(images.pop(part), [file in kept for file in own[part]])
            found[part] = folder.data(part, pictures, reading, notes, Masks.all)
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


@dataclass(frozen=True, slots=True)
class Masks:
    """Mask files that are read as the classes of places.

    Attributes:
        files: theirs.
        size: height and width to which they are brought.
        number: of the class of each value in them; -1 for no label.
        counting: shows how many were read.
    """

    files: Sequence[Path]
    size: tuple[int, int]
    number: Mapping[int, int]
    counting: Counting

    def all(self) -> Array:
        """The class of each place, int32 ``(N, H, W)``.

        Raises:
            DataFileError: a file cannot be read.
            NotEnoughMemoryError: there is no memory for them.
        """
        shape = (len(self.files), *self.size)
        needs = {f"{len(self.files):,} masks of {self.size}": 4 * prod(shape)}
        check_memory("the masks", needs, "a smaller size, or fewer pictures")
        labels = np.empty(shape, np.int32)
        table = np.full(max(self.number) + 1, -1, np.int32)
        for value, number in self.number.items():
            table[value] = number

        def work(place: int, take: Take) -> None:
            labels[place] = table[taken(read_mask(self.files[place], take), self.size)]

        with (
            self.counting.of("reading masks of", len(self.files)) as step,
            closing(each_in_order(work, range(len(self.files)))) as results,
        ):
            for _, result in results:
                result()
                step()
        return labels


def _batches(path: Path, splits: Sequence[Split], request: Request) -> Batches:
    # A folder that is loaded needs none of it.
    from isoconv.data.mask_batches import MaskBatches

    return MaskBatches(path, splits, request)


MASK_FOLDER = Format(
    "a folder of pictures and masks",
    "`images/NAME.jpg` and `masks/NAME.png`, perhaps below `train`, `val` and `test`, or with "
    "these below",
    mask_parts,
    _read,
    batches=_batches,
)
