"""One way in to all data: names, folders, archives and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from isoconv.checks import (
    check_choice,
    check_count,
    check_flag,
    check_kind,
    check_number,
    check_path,
    refusal,
    shown,
    whole,
)
from isoconv.data.batches import ArrayBatches, Batches
from isoconv.data.classes import all_as_one, check_alike, in_all_classes, in_classes
from isoconv.data.dataset import Dataset, dataset_of
from isoconv.data.download import REMOTE
from isoconv.data.fashion import PARTS, load_sample
from isoconv.data.files import SPLITS, Request, Split
from isoconv.data.finding import kind_of, place_of
from isoconv.data.labels import check_counted, present_classes
from isoconv.data.names import KNOWN, SAMPLE
from isoconv.data.reading import Reading
from isoconv.data.refit import as_read
from isoconv.data.samples import sample_digests
from isoconv.data.splits import Splits
from isoconv.data.stratify import held_out
from isoconv.data.tally import counted
from isoconv.errors import ArgumentError, DataError, about, as_given
from isoconv.memory import memory_told
from isoconv.printable import printable
from isoconv.progress import check_progress
from isoconv.wording import either, named, setting

if TYPE_CHECKING:
    from rich.console import Console

__public__ = {"isoconv.data": ["Source", "load", "load_splits"]}

Source = str | Path | Dataset | tuple[Any, Any]
"""A name, a path, a data set, or a pair of arrays (images, labels)."""

HOLD_OUT = 0.1
"""The part of the training samples that validates, or tests, when the source has no such part."""


def load(
    source: Source,
    split: Split | Literal["all"] = "train",
    *,
    size: int | tuple[int, int] | None = None,
    depth: int | None = None,
    reading: Reading | None = None,
    skip_bad: bool = False,
    cache: bool = True,
    progress: bool | Console = True,
    folder: Path | str | None = None,
) -> Dataset:
    """Load one part of a data set, or all of it.

    Args:
        source: one of

            - a name: ``"fashion-sample"``, which comes with the library, or what was fetched before
              with `isoconv.data.fetch`, such as ``"cifar10"``;
            - the path of a folder or file of a kind in ``docs/data.md``: a folder with a subfolder
              of images for each class, an ``.npz`` file with ``images`` and ``labels``, …;
            - a pair of arrays, or a `Dataset`: the training part.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``"all"`` for the samples of all parts.
        size: side, or (height, width), to which a folder's images are scaled and cropped; for
            image folders only. Where the images are of several sizes, or of one that is larger than
            64, and no size is said, they become a square that `Dataset.notes` tells.
        depth: bits of the numbers in picture files of more than 8 bits: 2**depth - 1 is full
            brightness; by default the least of 8, 10, 12, 14 and 16 that holds the numbers of all
            files; for image folders only.
        reading: how a model's pictures were read, in place of `size` and `depth`; bytes that are no
            picture files are brought to its size and channels as if they were.
        skip_bad: of a folder of pictures leave out the files that cannot be read, in place of an
            error; `Dataset.skipped` names them. What there is to guess follows from the others.
        cache: take scaled pictures of a folder from the user's cache, and keep them there; the
            values are the same.
        progress: while a folder's pictures are read for more than a second, show a bar on a
            terminal; False for silence, or a rich Console to show it there. Elsewhere a line tells
            of work that took longer than ten seconds.
        folder: where fetched data sets are kept; by default the user's cache folder.

    Raises:
        ArgumentError: ``split``, ``size`` or ``depth`` is not one of those above, or scales what
            holds no picture files.
        DataError: nothing of this name or kind is known, it has no such part, or the arrays cannot
            be used; of a part to train on, also whole numbers as labels that do not count from 0 or
            leave some out, without names of the classes.
        DataFileError: a file is truncated, corrupt or foreign; the message names it, and of a
            folder of images all such files at once (its `files`, the first 50 in the message); or
            a class has no file left that can be read.
        MissingExtraError: a folder's images are in HEIC, and the extra ``heic`` is not installed.

    Example:
        >>> data = load("fashion-sample", "test")
        >>> len(data), data.image_shape, data.class_names[0]
        (2000, (28, 28, 1), 'T-shirt/top')
    """
    check_choice("split", split, (*SPLITS, "all"))
    folder = None if folder is None else check_path("folder", folder)
    request = _request(_wanted(size, depth, reading), skip_bad, cache, progress)
    present = _splits(source, folder)
    if split == "all":
        return _whole(source, request, folder)
    if split not in present:
        text = f"{_title(source)} has no part {split!r}; it has {', '.join(present)}"
        raise DataError(text, argument="split", value=split)
    with as_given(size=size, depth=depth):
        found = _load(source, (split,), request, folder)
    if split == "train":
        _check_counted(source, found)
    return found[split]


def load_splits(
    source: Source,
    *,
    validation: float = HOLD_OUT,
    test: float = HOLD_OUT,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    depth: int | None = None,
    reading: Reading | None = None,
    skip_bad: bool = False,
    cache: bool = True,
    progress: bool | Console = True,
    folder: Path | str | None = None,
) -> Splits:
    """Load what to train on, what to choose by and what to test with.

    Parts that the source has are taken as they are. One that it lacks is held out of its training
    part, so much of each class, as `Dataset.split` says, but copies of one picture in a class stay
    on one side; the samples depend on `seed` and on which are copies, not on the seed of a
    training. Notes of the source stand with each part.

    Args:
        source: as for `load`.
        validation: fraction of the training part to hold out if there is no validation part; 0 for
            none.
        test: likewise for the test part.
        seed: which samples are held out, if any must be.
        size: as for `load`.
        depth: as for `load`.
        reading: as for `load`.
        skip_bad: as for `load`.
        cache: as for `load`.
        progress: as for `load`.
        folder: as for `load`.

    Raises:
        ArgumentError: as for `load`, or a fraction lies outside 0 ≤ f < 1, leaves nothing to train
            on, or is too small to hold out a sample.
        DataError: as for `load`, or parts that do not belong together.
        DataFileError: as for `load`.
        MissingExtraError: as for `load`.

    Example:
        >>> splits = load_splits("fashion-sample")
        >>> [len(part) for part in splits.parts.values()]
        [9000, 1000, 2000]
    """
    request = _request(_wanted(size, depth, reading), skip_bad, cache, progress)
    folder = None if folder is None else check_path("folder", folder)
    seed = check_count("seed", seed, least=0, below=2**64)
    shares: dict[Split, float] = {
        "test": check_number("test", test, least=0, below=1),
        "validation": check_number("validation", validation, least=0, below=1),
    }
    present = _splits(source, folder)
    if "train" not in present:
        text = f"{_title(source)} has no part to train on; it has {', '.join(present)}"
        raise DataError(text, argument="source", value=source)
    if "validation" not in present and "test" not in present and validation + test >= 1:
        raise ArgumentError(
            "what is held out must leave something to train on, together below 1; got "
            f"{setting('validation', f'{validation:g}')} and {setting('test', f'{test:g}')}",
            argument="validation",
            value=validation,
        )
    with as_given(size=size, depth=depth):
        parts = _load(source, present, request, folder)
    _check_counted(source, parts)
    _check_parts(source, parts)
    lacking = [part for part, share in shares.items() if part not in parts and share]
    if lacking:
        train = parts["train"]
        labels = train.labels if train.classes and not train.of_places else None
        fractions = [shares[part] for part in lacking]
        rest, *held = held_out(labels, len(train), fractions, seed, sample_digests(train))
        for part, numbers in zip(lacking, held, strict=True):
            if not len(numbers):
                raise ArgumentError(
                    f"{setting(part, f'{shares[part]:g}')} must hold out a sample, or be 0 for "
                    f"none; {_title(source)} has {counted(len(train), 'sample')} to train on, of "
                    f"{counted(1 if labels is None else train.classes, 'class', 'classes')}",
                    argument=part,
                    value=shares[part],
                )
            parts[part] = train.subset(numbers)
        parts["train"] = train.subset(rest)
    how = {
        "validation": float(shares["validation"]),
        "test": float(shares["test"]),
        "split_seed": seed,
        "size": None if request.reading.size is None else list(request.reading.size),
        "depth": request.reading.depth,
    }
    return Splits(parts["train"], parts.get("validation"), parts.get("test"), how)


def batches_of(
    source: Source,
    *,
    size: int | tuple[int, int] | None = None,
    depth: int | None = None,
    reading: Reading | None = None,
    skip_bad: bool = False,
    progress: bool | Console = True,
    folder: Path | str | None = None,
) -> Batches:
    """All parts of a source, some images at a time where its kind can do that.

    Args:
        source: as for `load`.
        size: likewise.
        depth: likewise.
        reading: likewise.
        skip_bad: likewise.
        progress: likewise.
        folder: likewise.

    Raises:
        ArgumentError: as `load`.
        DataError: likewise.
        DataFileError: likewise.
        MissingExtraError: likewise.
    """
    request = _request(_wanted(size, depth, reading), skip_bad, False, progress)
    folder = None if folder is None else check_path("folder", folder)
    present = _splits(source, folder)
    with as_given(size=size, depth=depth):
        if isinstance(source, str | Path) and source != SAMPLE:
            path = place_of(source, folder)
            kind = kind_of(path)
            if kind.batches is not None:
                return kind.batches(path, present, request)
        parts = _load(source, present, request, folder, lazily=True)
        return ArrayBatches(matched(_title(source), parts))


def matched(name: str, parts: dict[Split, Dataset]) -> dict[Split, Dataset]:
    """The parts of one source, with the classes of its training part.

    Args:
        name: of the source, for messages.
        parts: that it has.

    Raises:
        DataError: they do not belong together, or numbers that stand for classes leave some out.
    """
    if "train" in parts:
        _check_counted(name, parts)
        _check_parts(name, parts)
    else:
        (one, first), *others = parts.items()
        for other, data in others:
            check_alike(name, first, data, (_part(one), _part(other)))
        parts = dict(zip(parts, in_all_classes(name, [*parts.values()]), strict=True))
    return parts


def load_known(source: Source, classes: frozenset[str], request: Request) -> Dataset:
    """The samples of all parts that are of known classes, whatever other classes came since.

    Args:
        source: as for `load`.
        classes: names of those that are known; they matter for a folder of pictures alone.
        request: what is asked of it besides.

    Raises:
        DataError: as `load`.
    """
    return _whole(source, replace(request, classes=classes), None)


def later_classes(source: str | Path, known: frozenset[str]) -> list[str]:
    """The classes of a source that names them by folders, those that are not known, by name.

    Raises:
        DataError: as `load`.
    """
    if str(source) in KNOWN:
        return []
    path = place_of(source, None)
    return sorted({*kind_of(path).classes(path)} - known)


def _whole(source: Source, request: Request, folder: Path | str | None) -> Dataset:
    """The samples of all parts as those of one data set."""
    present = _splits(source, folder)
    parts = _load(source, present, request, folder)
    return all_as_one([parts[part] for part in present], [_part(part) for part in present])


def _check_counted(source: Source, loaded: dict[Split, Dataset]) -> None:
    """See that class numbers that nobody named count from 0 over all parts, none left out."""
    if not isinstance(source, Dataset) and all(part.numbered for part in loaded.values()):
        check_counted(
            np.concatenate([present_classes(part.labels) for part in loaded.values()]),
            _title(source),
        )


def _check_parts(source: Source, loaded: dict[Split, Dataset]) -> None:
    """Bring the classes of all parts together, and see that their images are of one kind."""
    first = loaded["train"]
    if first.numbered and all(part.numbered for part in loaded.values()):
        names = max((part.class_names for part in loaded.values()), key=len)
        first = loaded["train"] = replace(first, class_names=names)
    for part, data in loaded.items():
        check_alike(_title(source), first, data, (_part("train"), _part(part)))
        if part != "train":
            loaded[part] = replace(
                in_classes(data, first.class_names, f"the training part of {_title(source)}"),
                numbered=first.numbered,
            )


def _part(split: Split) -> str:
    """What a part is called."""
    return f"the {'training' if split == 'train' else split} part"


def _wanted(
    size: int | tuple[int, int] | None, depth: int | None, reading: Reading | None
) -> Reading:
    if reading is not None:
        if size is not None or depth is not None:
            text = "give reading, or size and depth; got both"
            raise ArgumentError(text, argument="reading", value=reading)
        return check_kind("reading", reading, Reading, "a Reading")
    return Reading(_size(size), None, depth)


def _request(reading: Reading, skip_bad: object, cache: object, progress: object) -> Request:
    return Request(
        reading,
        check_flag("skip_bad", skip_bad),
        check_flag("cache", cache),
        check_progress(progress),
    )


def _title(source: Source) -> str:
    if isinstance(source, Dataset):
        return source.name
    return printable(source) if isinstance(source, str | Path) else "a pair of arrays"


def _size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    given = tuple(size) if isinstance(size, tuple | list) else (size, size)
    sides = [number for side in given if (number := whole(side)) is not None and number >= 1]
    if not len(given) == len(sides) == 2 or max(sides) > 8192:
        shape = either("(height, width)", "HEIGHTxWIDTH")
        got = either(shown(size), "x".join(dict.fromkeys(map(str, given))))
        rule = f"be a side or {shape}, whole numbers from 1 to 8192"
        raise refusal("size", rule, size, got=got)
    return sides[0], sides[1]


def _splits(source: Source, folder: Path | str | None) -> tuple[Split, ...]:
    if not isinstance(source, str | Path):
        return ("train",)
    if source == SAMPLE:
        return PARTS
    path = place_of(source, folder)
    return kind_of(path).splits(path)


def _load(
    source: Source,
    splits: Sequence[Split],
    request: Request,
    folder: Path | str | None,
    *,
    lazily: bool = False,
) -> dict[Split, Dataset]:
    """Some of the parts that a source has; as they are read, or left in their file if they can."""
    wanted = request.reading
    if isinstance(source, Dataset):
        loaded: dict[Split, Dataset] = {"train": source}
    elif not isinstance(source, str | Path):
        loaded = {"train": _from_pair(source)}
    elif source == SAMPLE:
        loaded = {split: load_sample(split) for split in splits}
    else:
        path = place_of(source, folder)
        with memory_told(f"reading {printable(path)}"):
            kind = kind_of(path)
            read = kind.lazily if lazily and kind.lazily is not None else kind.read
            loaded = read(path, splits, request)
    remote = isinstance(source, str | Path) and str(source) in REMOTE
    for split, data in loaded.items():
        if remote:
            data = replace(data, name=str(source))
        if not data.paths:
            data = replace(data, paths=tuple(f"{split}/{number}" for number in range(len(data))))
        if data.reading is None and wanted.resolved:
            data = as_read(data, wanted)
        loaded[split] = data
        if wanted.size is not None and data.image_shape[:2] != wanted.size:
            raise ArgumentError(
                f"only folders of images are scaled; {_title(source)} holds images of "
                f"{data.image_shape[:2]}, and they must be {wanted.size}",
                argument="size",
                value=wanted.size,
            )
        read_now = data.reading is not None and not isinstance(source, Dataset)
        if not read_now and wanted.depth is not None and not wanted.resolved:
            raise ArgumentError(
                f"{named('depth')} is for folders of images only; {_title(source)} holds "
                f"{data.images.dtype} values; got {wanted.depth}",
                argument="depth",
                value=wanted.depth,
            )
    return loaded


def _from_pair(source: tuple[Any, Any]) -> Dataset:
    if not isinstance(source, tuple | list) or len(source) != 2:
        text = "data must be a name, a path, a Dataset or a pair (images, labels); got "
        raise DataError(text + shown(source), argument="source", value=source)
    # Where they must be all classes, that is seen to for every kind of source.
    with about("source", source):
        return dataset_of(source[0], source[1], complete=False)
