"""Images with labels, checked once, in memory or in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoconv.cards import Carded
from isoconv.checks import (
    LARGEST_SINGLE,
    check_array,
    check_count,
    check_kind,
    check_number,
    check_text,
    refusal,
    shown,
)
from isoconv.data.checked import (
    asked_for,
    check_names,
    checked_images,
    finite_float32,
    frozen,
    given_array,
    listed_names,
)
from isoconv.data.labels import (
    MAX_CLASSES,
    class_labels,
    classes_hint,
    label_array,
    label_counts,
    place_labels,
)
from isoconv.data.passes import head_of, known_of, little
from isoconv.data.reading import Reading
from isoconv.data.shown import dataset_card
from isoconv.data.skipped import Skipped
from isoconv.data.stratify import held_out
from isoconv.errors import ArgumentError, DataError, DataFileError
from isoconv.rows import Array, Rows, chunks, rows_behind, taken

__public__ = {"isoconv.data": ["Dataset", "normalisation"]}

DIGEST_VERSION = 2
"""Of `Dataset.digest`."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset(Carded, card=dataset_card):
    """Images with labels. Make one with `from_arrays`, which checks, or with `isoconv.data.load`.

    Attributes:
        images: uint8 or float32 ``(N, H, W, C)``, C-contiguous, not writable. Of a packed data set
            they are `Rows` of its file, which are read when they are asked for: a few by their
            numbers, all of them by ``numpy.asarray``.
        labels: int32 ``(N,)`` class numbers, int32 ``(N, H, W)`` class numbers of all places (-1
            where there is none), or float32 targets ``(N, ...)``; not writable. Class numbers of
            places are `Rows`, too, where the images are.
        class_names: one name for each class; empty for float targets, and for labels of places
            whose classes nobody named.
        name: for messages and receipts.
        paths: where each sample stands in its source: the path of a picture within its folder, or
            part and number; empty when nobody said.
        reading: how picture files became these images, or None if they come from elsewhere.
        numbered: the class names are mere numbers, for nobody named the classes.
        notes: what was left out, guessed or scaled while the source was read, a line each.
        skipped: the files of the source that cannot be read and were left out, as was asked for.
    """

    images: Array
    labels: Array
    class_names: tuple[str, ...]
    name: str = "data"
    paths: tuple[str, ...] = ()
    reading: Reading | None = None
    numbered: bool = False
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        made = isinstance(images, np.ndarray | Rows) and images.ndim == 4
        made = made and images.dtype.name in ("uint8", "float32")
        if not made or not isinstance(labels, np.ndarray | Rows):
            raise DataError(
                "a Dataset holds images (N, H, W, C) of uint8 or float32 and labels; "
                f"Dataset.from_arrays makes one of other arrays; got {shown(images)}, "
                f"{shown(labels)}",
                argument="labels" if made else "images",
                value=labels if made else images,
            )
        if not isinstance(self.class_names, tuple) or not isinstance(self.name, str):
            raise DataError(
                "a Dataset has a tuple of class names and a name; got "
                f"{shown(self.class_names)}, {shown(self.name)}",
                argument="name" if isinstance(self.class_names, tuple) else "class_names",
                value=self.name if isinstance(self.class_names, tuple) else self.class_names,
            )

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike,
        labels: ArrayLike,
        class_names: Sequence[str] | None = None,
        name: str = "data",
        *,
        layout: Literal["channels_last"] | None = None,
    ) -> Dataset:
        """Check a pair of arrays and make a data set of it.

        Arrays of the right kind are not copied.

        Args:
            images: ``(N, H, W, C)``, or ``(N, H, W)`` for one channel; uint8, or float16, float32
                or float64, which become float32.
            labels: ``(N,)`` class numbers, counted from 0 (True is 1), or texts, the names of the
                classes, which are numbered in the order of their characters; or the class number
                of each place of an image, ``(N, H, W)``, -1 where there is none; or float targets
                ``(N, …)`` for regression. Columns of tables are taken as NumPy makes arrays of
                them.
            class_names: one for each class; by default the texts among the labels, or ``"0"``,
                ``"1"``, … up to the largest label, of which none may then be left out; of labels of
                places none.
            name: for messages and receipts.
            layout: ``"channels_last"`` says that images whose shape looks like ``(N, C, H, W)``
                are ``(N, H, W, C)`` all the same.

        Raises:
            DataError: the arrays are empty, of another rank, dtype or length, look as if their
                channels came first, an image holds NaN or infinity, a label lies out of range (the
                message names the first such sample), whole numbers do not count from 0 or leave
                some out and nobody names the classes, or two classes have one name.

        Example:
            >>> import numpy as np
            >>> data = Dataset.from_arrays(np.zeros((2, 4, 4), np.uint8), ["dog", "cat"])
            >>> data.images.shape, data.class_names, data.labels.tolist()
            ((2, 4, 4, 1), ('cat', 'dog'), [1, 0])
        """
        return dataset_of(images, labels, class_names, name, layout)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def classes(self) -> int:
        """Number of classes that have names; 0 for float targets, or where nobody named them."""
        return len(self.class_names)

    @property
    def of_places(self) -> bool:
        """Whether each place of an image has a class of its own."""
        return self.labels.ndim > 1 and self.labels.dtype.kind == "i"

    def class_counts(self) -> Array:
        """How many samples there are of each class that has a name, or places, int64 ``(K,)``."""
        found = np.zeros(self.classes, np.int64)
        if self.classes:
            counts = label_counts(self.labels)[1:]
            found[: len(counts)] = counts
        return found

    @property
    def has_maps(self) -> bool:
        """Whether a label is of places of its image: it would have to move with that."""
        return self.labels.ndim > 2 and self.labels.shape[1:3] == self.images.shape[1:3]

    @property
    def has_line_ends(self) -> bool:
        """Whether a class name has a line end in it, so that versions of the digest differ."""
        return any("\n" in name for name in self.class_names)

    def digest(self, version: int = DIGEST_VERSION) -> str:
        r"""SHA-256 of the decoded data, as 64 hexadecimal digits.

        Over, in this order: the line ``images <dtype> <N>x<H>x<W>x<C>\n``, the images' values
        row-major and little-endian, the line ``labels <dtype> <N>[x…]\n``, the labels' values,
        the line ``classes <K>\n`` and each class name in UTF-8 (bytes of a folder's name that are
        no UTF-8 as they are), followed by a newline. The name of the data set takes no part: the
        same data from another file has the same digest.

        Where a class name has a line end in it, the last lines are instead
        ``classes <K> by length\n`` and for each name ``<bytes>\n``, the name and a newline: else
        the names ``"a\nb", "c"`` would have the digest of ``"a", "b\nc"``, as version 1 gave it.

        Args:
            version: 2, or 1 for that of earlier versions of isoconv. For data without such a name
                both are the same.

        Raises:
            ArgumentError: another version.

        Example:
            >>> Dataset.from_arrays([[[0.5]]], [0]).digest()[:16]
            'a26dfec070666f19'
        """
        version = check_count("version", version, most=DIGEST_VERSION)
        sha = known_of(self.images, "digest").copy()
        sha.update(head_of("labels", self.labels))
        for part in chunks(self.labels):
            sha.update(little(part))
        names = [name.encode("utf-8", "surrogateescape") for name in self.class_names]
        by_length = version > 1 and self.has_line_ends
        sha.update(f"classes {len(names)}{' by length' if by_length else ''}\n".encode())
        for name in names:
            sha.update(b"%d\n%b\n" % (len(name), name) if by_length else name + b"\n")
        return str(sha.hexdigest())

    def subset(self, indices: ArrayLike) -> Dataset:
        """The samples of these numbers, in this order; a number may stand more than once.

        Raises:
            ArgumentError: the indices are no whole numbers, are none at all, or lie out of range.
        """
        error = ArgumentError
        wanted = check_array("indices", indices, kind_error=error, shape_error=error)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu" or not len(wanted):
            got = f"dtype {wanted.dtype}, shape {wanted.shape}"
            raise refusal("indices", "be a list of at least one whole number", indices, got=got)
        wrong = (wanted < 0) | (wanted >= len(self))
        if wrong.any():
            got = f"{int(wanted[wrong.argmax()])}"
            raise refusal("indices", f"lie in 0 … {len(self) - 1}", indices, got=got)
        return replace(
            self,
            images=_some(self.name, self.images, wanted),
            labels=_some(self.name, self.labels, wanted),
            paths=tuple(self.paths[place] for place in wanted.tolist()) if self.paths else (),
        )

    def split(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Hold out a part of each class: returns (the rest, the held-out part).

        Of a class of k samples, ``floor(k * fraction + 1/2)`` are held out, at least one of two or
        more, and never all: the first of the random order of (seed, purpose SPLITS, epoch 0,
        stream: the class). Without classes all samples are taken for one, with those of places too;
        copies of one picture
        are samples like others. Both parts keep the samples in their first order.

        Args:
            fraction: of the samples to hold out, between 0 and 1.
            seed: 0 ≤ seed < 2**64.

        Raises:
            ArgumentError: the fraction lies out of range, or one of the parts would be empty.
        """
        fraction = check_number("fraction", fraction, above=0, below=1)
        seed = check_count("seed", seed, least=0, below=2**64)
        labels = self.labels if self.class_names and not self.of_places else None
        rest, held = held_out(labels, len(self), (fraction,), seed)
        if not len(held):
            raise ArgumentError(
                f"both parts of a split need a sample: fraction {fraction} of {len(self)} samples",
                argument="fraction",
                value=fraction,
            )
        return self.subset(rest), self.subset(held)

    def statistics(self) -> tuple[Array, Array]:
        """Mean and standard deviation of each channel.

        In units of full brightness: uint8 values count as ``value / 255``, float values as they
        are. ``mean = S1 / n`` and ``std = sqrt((n * S2 - S1**2) / n**2)`` with the sums S1 of the
        values and S2 of their squares over all n values of the channel. The sums are exact
        integers (float32 values are integers times a power of two); each quotient is rounded once
        to float64.

        Returns:
            float64 ``(C,)`` twice.

        Example:
            >>> import numpy as np
            >>> images = np.array([[[0, 255]], [[0, 255]]], np.uint8)
            >>> Dataset.from_arrays(images, [0, 1]).statistics()
            (array([0.5]), array([0.5]))
        """
        channels = self.images.shape[-1]
        count = self.images.size // channels
        unit = 255 if self.images.dtype == np.uint8 else 1
        means, variances = np.empty(channels), np.empty(channels)
        for channel, (first, second) in enumerate(known_of(self.images, "sums")):
            means[channel] = float(first / (count * unit))
            variances[channel] = float((count * second - first * first) / (count * unit) ** 2)
        return means, np.sqrt(variances)


def dataset_of(
    images: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str] | None = None,
    name: str = "data",
    layout: Literal["channels_last"] | None = None,
    *,
    complete: bool = True,
) -> Dataset:
    """`Dataset.from_arrays`, also for a part of some data that may lack classes.

    Args:
        images: as there.
        labels: likewise.
        class_names: likewise.
        name: likewise.
        layout: likewise.
        complete: False for a part whose classes are matched with those of another one.

    Raises:
        DataError: as there.

    Example:
        >>> dataset_of(np.zeros((2, 4, 4), np.uint8), [0, 2], complete=False).class_names
        ('0', '1', '2')
    """
    name = check_text("name", name)
    try:
        return _dataset_of(images, labels, class_names, name, layout, complete)
    except DataFileError:
        # Of images or labels that stay in their file, which it names.
        raise
    except DataError as error:
        error.within(name, given={"images": images, "labels": labels, "class_names": class_names})
        raise


def _dataset_of(
    images: object,
    labels: object,
    given_names: object,
    name: str,
    layout: Literal["channels_last"] | None,
    complete: bool,
) -> Dataset:
    class_names = listed_names(given_names)
    if rows_behind(images) is not None:
        # Whoever put them into a file has checked them.
        return labelled(cast(Array, images), labels, class_names, name, complete=complete)
    pictures = checked_images(given_array("images", images), name, layout)
    return labelled(pictures, labels, class_names, name, complete=complete)


def labelled(
    pictures: Array,
    labels: object,
    class_names: Sequence[Any] | None,
    name: str,
    *,
    complete: bool = False,
) -> Dataset:
    """A data set of images that were checked already, and of labels that are checked here.

    Args:
        pictures: uint8 or finite float32 ``(N, H, W, C)``.
        labels: as of `Dataset.from_arrays`, or rows of class numbers of places.
        class_names: likewise.
        name: likewise.
        complete: as of `dataset_of`.

    Raises:
        DataError: as there.
    """
    targets = cast(Array, labels) if isinstance(labels, Rows) else label_array(labels)
    if targets.ndim == 0 or len(targets) != len(pictures):
        raise DataError(
            f"there must be one label for each image; got {len(pictures)} images and "
            f"labels of shape {targets.shape}",
            argument="labels",
        )
    if targets.dtype.kind in "biu" and targets.shape == pictures.shape[:3]:
        names = tuple(map(str, class_names or ()))
        check_names(names)
        places = place_labels(targets, len(names) or MAX_CLASSES)
        return Dataset(frozen(pictures), frozen(places), names, name)
    if targets.dtype.kind == "f":
        if class_names:
            raise DataError(
                f"class names need labels that are whole numbers or texts; got "
                f"{targets.dtype} targets{classes_hint(targets)}",
                argument="class_names",
            )
        targets = finite_float32(targets, name, "targets", "labels")
        return Dataset(frozen(pictures), frozen(targets), (), name)
    numbers, names = class_labels(targets, class_names, complete=complete)
    check_names(names)
    numbered = class_names is None and targets.dtype.kind != "O"
    return Dataset(frozen(pictures), frozen(numbers), names, name, numbered=numbered)


def normalisation(dataset: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Constants that bring each channel to mean 0 and standard deviation 1.

    ``x * scale + offset = (x / unit - mean) / std`` with ``unit`` 255 for uint8 images and 1 for
    float ones: ``scale = 1 / (unit * std)`` and ``offset = -mean / std``, computed in float64 and
    rounded to float32. A channel that is the same everywhere has ``std = 0``; 1 stands in for it.

    Returns:
        scale and offset, float32 ``(C,)`` each.

    Raises:
        DataError: the values of a channel lie so close together that float32 has no such constants.

    Example:
        >>> import numpy as np
        >>> data = Dataset.from_arrays(np.array([[[0, 255]]], np.uint8), [0])
        >>> scale, offset = normalisation(data)
        >>> [float(value * scale[0] + offset[0]) for value in (0, 255)]
        [-1.0, 1.0]
    """
    mean, std = check_kind("dataset", dataset, Dataset, "a Dataset").statistics()
    unit = 255.0 if dataset.images.dtype == np.uint8 else 1.0
    width = np.where(std > 0, std, 1.0)
    scale, offset = 1.0 / (unit * width), -mean / width
    beyond = np.maximum(np.abs(scale), np.abs(offset)) > LARGEST_SINGLE
    if beyond.any():
        channel = int(beyond.argmax())
        raise DataError(
            f"{dataset.name}: images must spread far enough to be normalised in float32; channel "
            f"{channel} has a standard deviation of {width[channel]:.3g} about its mean "
            f"{mean[channel]:.3g}: give them in a unit in which the numbers are larger"
        )
    return scale.astype(np.float32), offset.astype(np.float32)


def _some(name: str, array: Array, places: Array) -> Array:
    """Some images or labels: a copy, or no more than their numbers where they lie in a file."""
    if rows_behind(array) is not None:
        return taken(array, places)
    return frozen(taken(asked_for(name, array, len(places)), places))
