"""One way in to all data: names, folders, archives and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from isoconv.data.archive import NPZ
from isoconv.data.cifar import CIFAR
from isoconv.data.dataset import Dataset
from isoconv.data.download import REMOTE, default_folder
from isoconv.data.fashion import load_sample
from isoconv.data.files import SPLITS, Format, Split
from isoconv.data.idx import IDX
from isoconv.data.names import SAMPLE
from isoconv.data.pictures import PICTURES
from isoconv.errors import ArgumentError, DataError, DataFileError

__all__ = ["Source", "Splits", "load", "load_pair"]

Source = str | Path | Dataset | tuple[Any, Any]
"""A name, a path, a data set, or a pair of arrays (images, labels)."""

FORMATS: tuple[Format, ...] = (IDX, CIFAR, NPZ, PICTURES)
HOLD_OUT = 1 / 6
"""The part of the data that tests when the source has no test part: 10,000 of 60,000."""


class Splits(NamedTuple):
    """What to train on and what to test with."""

    train: Dataset
    test: Dataset


def load(
    source: Source,
    split: Split = "train",
    *,
    size: int | tuple[int, int] | None = None,
    folder: Path | str | None = None,
) -> Dataset:
    """Load one part of a data set.

    Args:
        source: one of

            - ``"fashion-sample"``, which comes with the library;
            - ``"mnist"``, ``"fashion-mnist"``, ``"cifar10"`` or ``"cifar100"``, fetched before with
              `isoconv.data.fetch`;
            - a folder of MNIST-style idx files, plain or gzipped;
            - a folder of CIFAR-10 or CIFAR-100 in binary, or the ``tar.gz`` of it;
            - a folder with one subfolder of images for each class, or with such folders below
              ``train`` and ``test`` (or ``val``);
            - an ``.npz`` file with ``images`` and ``labels``, or ``x_train``, ``y_train``,
              ``x_test`` and ``y_test``, and ``class_names`` if there are any;
            - a pair of arrays, or a `Dataset`: the training part.
        split: ``"train"`` or ``"test"``.
        size: side, or (height, width), to which a folder's images are scaled and cropped; for
            image folders only.
        folder: where fetched data sets are kept; by default the user's cache folder.

    Raises:
        ArgumentError: ``split`` or ``size`` is not one of those above.
        DataError: nothing of this name or kind is known, it has no such part, or the arrays cannot
            be used.
        DataFileError: a file is truncated, corrupt or foreign; the message names it.

    Example:
        >>> data = load("fashion-sample", "test")
        >>> len(data), data.image_shape, data.class_names[0]
        (2000, (28, 28, 1), 'T-shirt/top')
    """
    if split not in SPLITS:
        raise ArgumentError(f"split must be 'train' or 'test'; got {split!r}")
    present = _splits(source, folder)
    if split not in present:
        raise DataError(f"{_title(source)} has no part {split!r}; it has {', '.join(present)}")
    return _load(source, split, _size(size), folder)


def load_pair(
    source: Source,
    *,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    folder: Path | str | None = None,
) -> Splits:
    """Load what to train on and what to test with.

    A source without a test part has one sixth of its samples held out by the seed, as
    `Dataset.split` says.

    Args:
        source: as for `load`.
        seed: which samples are held out, if any must be.
        size: as for `load`.
        folder: as for `load`.

    Raises:
        ArgumentError: as for `load`, or there are too few samples to hold one out.
        DataError: as for `load`.
        DataFileError: as for `load`.

    Example:
        >>> pair = load_pair("fashion-sample")
        >>> len(pair.train), len(pair.test)
        (10000, 2000)
    """
    wanted = _size(size)
    present = _splits(source, folder)
    first = _load(source, present[0], wanted, folder)
    if len(present) == 1:
        return Splits(*first.split(HOLD_OUT, seed))
    second = _load(source, "test", wanted, folder)
    if second.class_names != first.class_names:
        first, second = _with_common_classes(first, second, source)
    if second.image_shape != first.image_shape:
        raise DataError(
            f"{_title(source)}: images must have the same height, width and channels in both "
            f"parts; got {first.image_shape} to train on and {second.image_shape} to test with"
        )
    return Splits(first, second)


def _with_common_classes(
    first: Dataset,
    second: Dataset,
    source: Source,
) -> tuple[Dataset, Dataset]:
    # Classes without names are counted from the labels of each part alone, and one of the parts
    # may lack the last ones.
    names = max(first.class_names, second.class_names, key=len)
    numbers = tuple(str(number) for number in range(len(names)))
    if names != numbers or not (first.class_names and second.class_names):
        raise DataError(
            f"{_title(source)}: both parts must have the same classes; got {first.class_names} to "
            f"train on and {second.class_names} to test with"
        )
    return (
        Dataset(first.images, first.labels, names, first.name),
        Dataset(second.images, second.labels, names, second.name),
    )


def _title(source: Source) -> str:
    if isinstance(source, Dataset):
        return source.name
    return str(source) if isinstance(source, str | Path) else "a pair of arrays"


def _size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and 1 <= side <= 8192 for side in sides):
        raise ArgumentError(
            f"size must be a side or (height, width), whole numbers from 1 to 8192; got {size!r}"
        )
    return sides[0], sides[1]


def _splits(source: Source, folder: Path | str | None) -> tuple[Split, ...]:
    if not isinstance(source, str | Path):
        return ("train",)
    if source == SAMPLE:
        return SPLITS
    path = _path(source, folder)
    return _format(path).splits(path)


def _load(
    source: Source,
    split: Split,
    size: tuple[int, int] | None,
    folder: Path | str | None,
) -> Dataset:
    if isinstance(source, Dataset):
        data = source
    elif not isinstance(source, str | Path):
        data = _from_pair(source)
    elif source == SAMPLE:
        data = load_sample(split)
    else:
        path = _path(source, folder)
        data = _format(path).read(path, split, size)
        if str(source) in REMOTE:
            data = Dataset(data.images, data.labels, data.class_names, str(source))
    if size is not None and data.image_shape[:2] != size:
        raise ArgumentError(
            f"size scales folders of images only; {_title(source)} holds images of "
            f"{data.image_shape[:2]} and was to be scaled to {size}"
        )
    return data


def _from_pair(source: tuple[Any, Any]) -> Dataset:
    if not isinstance(source, tuple | list) or len(source) != 2:
        raise DataError(
            f"data must be a name, a path, a Dataset or a pair (images, labels); got "
            f"{type(source).__name__}"
        )
    return Dataset.from_arrays(source[0], source[1])


def _path(source: str | Path, folder: Path | str | None) -> Path:
    """Where the data of this name or path are."""
    if str(source) in REMOTE:
        kept = (Path(folder) if folder is not None else default_folder()) / source
        if not kept.is_dir():
            raise DataError(
                f"{source} has not been fetched into {kept}: run `isoconv data fetch {source}` or "
                f"isoconv.data.fetch({str(source)!r})"
            )
        return kept
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise DataError(f"{source}: there is no such home folder: {error}") from error
    if not path.exists():
        names = ", ".join((SAMPLE, *REMOTE))
        raise DataError(
            f"there is no data called {str(source)!r}: give one of {names}, or the path of a "
            "folder, .npz or tar.gz file"
        )
    return path


def _format(path: Path) -> Format:
    try:
        for kind in FORMATS:
            if kind.splits(path):
                return kind
    except PermissionError as error:
        raise DataFileError(f"{path}: cannot be read: {error}") from error
    kinds = "".join(f"\n  - {kind.summary}" for kind in FORMATS)
    raise DataFileError(f"{path}: expected one of{kinds}\nfound {_contents(path)}")


def _contents(path: Path) -> str:
    if path.is_file():
        return f"a file of {path.stat().st_size} bytes"
    names = sorted(entry.name for entry in path.iterdir())
    if not names:
        return "an empty folder"
    return f"a folder with {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
