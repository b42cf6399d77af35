"""What is checked of arrays that people give as images, and of the names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import numpy as np

from isoconv.checks import check_array, check_text, refusal, whole
from isoconv.errors import DataError
from isoconv.memory import check_memory
from isoconv.rows import Array, rows_behind
from isoconv.wording import either


def looks_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether an image's shape is more likely (C, H, W) than (H, W, C).

    Example:
        >>> looks_channels_first((3, 32, 32)), looks_channels_first((32, 32, 3))
        (True, False)
    """
    few = (1, 3, 4)
    return len(shape) == 3 and shape[0] in few and shape[2] not in few and min(shape[1:]) > 4


def listed_names(class_names: object) -> Sequence[Any] | None:
    """Class names as a list, whatever they are; None for none."""
    listed = class_names.tolist() if isinstance(class_names, np.ndarray) else class_names
    if listed is None:
        return None
    if not isinstance(listed, (list, tuple)) or not all(
        isinstance(each, str) or whole(each) is not None for each in listed
    ):
        raise refusal("class_names", "be a list of names", class_names, DataError)
    return listed


def given_array(name: str, given: object) -> Array:
    """What a person gives for an array, as one.

    Args:
        name: of the argument.
        given: anything that NumPy makes an array of.

    Raises:
        DataError: it is none.
    """
    return check_array(name, given, kind_error=DataError, shape_error=DataError)


def asked_for(name: str, array: Array, samples: int | None = None, itemsize: int = 0) -> Array:
    """An array of which a copy is to be made, of so many samples, once there is memory for it."""
    count = len(array) if samples is None else samples
    each = prod(array.shape[1:]) * (itemsize or array.itemsize)
    needs = {f"a copy of {count:,} samples of shape {array.shape[1:]}": count * each}
    check_memory(name, needs, "fewer or smaller images")
    return array


def frozen(array: Array) -> Array:
    """An array in memory that a data set holds: C-contiguous, and not writable through it.

    Raises:
        NotEnoughMemoryError: it has to be copied, and there is no memory for that.
    """
    if rows_behind(array) is not None:
        return array
    if not array.flags.c_contiguous:
        asked_for("a data set", array)
    # A view, so that the caller's own array stays writable.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def finite_float32(array: Array, name: str, what: str, argument: str, first: int = 0) -> Array:
    """Floats as float32, each of them finite; float32 is not copied.

    Args:
        array: floats ``(N, …)``.
        name: of the data, for a lack of memory.
        what: the numbers are, for the message: "images".
        argument: that they came as.
        first: number of the first sample.

    Raises:
        DataError: one is not finite; names the sample.
        NotEnoughMemoryError: there is no memory for a copy.
    """
    if array.dtype != np.float32:
        asked_for(name, array, itemsize=4)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32, copy=False)
    for start in range(0, len(narrow), 256):
        finite = np.isfinite(narrow[start : start + 256])
        if not finite.all():
            sample = start + int(np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1))[0])
            values = narrow[sample].reshape(-1)
            value = float(values[~np.isfinite(values)][0])
            raise DataError(
                f"{what} must be finite float32; sample {first + sample} holds {value}",
                argument=argument,
                row=first + sample,
            )
    return narrow


def checked_images(
    images: Array, name: str, layout: Literal["channels_last"] | None = None
) -> Array:
    """Images as a data set holds them: uint8 or finite float32 ``(N, H, W, C)``.

    Args:
        images: as a person gives them.
        name: of the data, for a lack of memory.
        layout: as of `Dataset.from_arrays`.

    Raises:
        DataError: another rank or dtype, none at all, channels that look as if they came first, or
            a number that is not finite.
        NotEnoughMemoryError: there is no memory for a copy.
    """
    if layout is not None and check_text("layout", layout) != "channels_last":
        raise refusal("layout", "be 'channels_last' or None", layout)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4:
        got = f"shape {images.shape}"
        raise refusal("images", "have axes (N, H, W, C) or (N, H, W)", images, DataError, got)
    if not images.size:
        raise DataError(
            f"there must be at least one image; got shape {images.shape}",
            argument="images",
        )
    if layout is None and looks_channels_first(images.shape[1:]):
        raise DataError(
            f"images must have axes (N, H, W, C); shape {images.shape} looks like "
            "(N, C, H, W): "
            + either(
                "give images.transpose(0, 2, 3, 1), or say layout='channels_last' if it is "
                "(N, H, W, C) all the same",
                "the channels are to be stored last",
            ),
            argument="images",
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise DataError(
            f"images must be uint8 or float32; got {images.dtype} (whole numbers from 0 to "
            f"255 {either('become images by .astype(numpy.uint8)', 'are to be stored as uint8')})",
            argument="images",
        )
    return finite_float32(images, name, "images", "images")


def check_names(names: Sequence[str]) -> None:
    """See that classes are told apart by their names, which go into digests and files.

    Raises:
        DataError: two have one name, or a name is no text.
    """
    seen: set[str] = set()
    for class_name in names:
        if class_name in seen:
            raise DataError(
                f"class names must differ; got {class_name!r} more than once",
                argument="class_names",
            )
        seen.add(class_name)
        try:
            # Names of folders need not be text: their odd bytes are surrogates in Python.
            class_name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise DataError(
                f"class names must be text; got {class_name!r}",
                argument="class_names",
            ) from error
