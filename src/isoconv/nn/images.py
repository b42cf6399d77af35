"""Images as a person gives them, checked and made what a model takes; warnings of odd ones."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from os import sep
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoconv.checks import check_array, check_number, refusal
from isoconv.data.passes import extremes
from isoconv.data.pictures import check_no_paths
from isoconv.data.scaling import scaled
from isoconv.errors import ArgumentError, DataError, DataWarning, DTypeError, ShapeError, as_given
from isoconv.graph.operation import Array
from isoconv.nn.record import TrainedOn
from isoconv.rows import rows_behind
from isoconv.wording import either, setting

if TYPE_CHECKING:
    from isoconv.nn.module import Module

_PACKAGE = f"{Path(__file__).parents[1]}{sep}"


def not_built(model: Module) -> ArgumentError:
    """The error of a model without weights."""
    text = "only a built or trained model predicts: call model.build(input_shape)"
    return ArgumentError(text, argument="model", value=model)


def checked_images(model: Module, images: Array, scale: float | None = None) -> Array:
    """Images as the model takes them; a missing channel axis is added.

    Args:
        model: a built model.
        images: as a person gives them.
        scale: what each value is to be multiplied with; None for images of the very kind that the
            model was trained on.

    Raises:
        ArgumentError: the model was not built, or a scale that is no finite number above 0.
        ShapeError: another shape than the model was built for.
        DTypeError: neither uint8 nor floating point, not what the model was trained on, or with
            masked elements.
        DataError: a value is not finite; the first such image is named.
    """
    shape = model.input_shape
    if shape is None:
        raise not_built(model)
    if type(images) is not np.ndarray and rows_behind(images) is None:
        check_no_paths(images)
        with as_given(images=images):
            return checked_images(model, check_array("images", images), scale)
    if images.shape[1:] != shape and images.shape[1:] == shape[:-1] and shape[-1] == 1:
        images = images[..., None]
    if images.shape[1:] != shape:
        raise ShapeError(_other_shape(images.shape, shape), argument="images", value=images)
    if scale is not None:
        images = _scaled(images, scale)
    trained = model.trained_on
    if images.dtype == np.uint8:
        if trained is not None and scale is None:
            if trained.dtype != "uint8":
                raise _other_dtype(images, trained)
            if images.size:
                _check_bytes(images, trained)
        return images if rows_behind(images) is not None else np.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise DTypeError(
            f"images must be uint8 or floating point; got {images.dtype} (whole numbers from 0 to "
            f"255 {either('become images by .astype(numpy.uint8)', 'are to be stored as uint8')})",
            argument="images",
            value=images,
        )
    if rows_behind(images) is None and not (
        images.dtype == np.float32 and images.flags.c_contiguous
    ):
        images = _float32(images)
    if images.size:
        low, high = _extremes(images)
        if not (isfinite(low) and isfinite(high)):
            finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
            first = int(np.argmin(finite))
            text = f"images must be finite; image {first} holds NaN or infinity"
            raise DataError(text, argument="images", value=images, row=first)
        if trained is not None and scale != 1:
            if trained.dtype != "float32" and scale is None:
                raise _other_dtype(images, trained)
            _check_range(low, high, trained)
    return images


def _other_shape(given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    text = (
        f"images must have shape (N, {', '.join(map(str, shape))}), as the model was built; got "
        f"{given}"
    )
    if given in (shape, shape[:-1] if shape[-1] == 1 else None):
        return f"{text}: one image is images[None]"
    if len(given) == 4 and (*given[2:], given[1]) == shape:
        return f"{text}: channels come last here, images.transpose(0, 2, 3, 1)"
    return text


def _scaled(images: Array, scale: float) -> Array:
    scale = check_number("scale", scale, above=0)
    return images if scale == 1 and images.dtype == np.uint8 else scaled(images, scale)


def _float32(images: Array) -> Array:
    """The same numbers as contiguous float32; what is too great for it becomes infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(images, np.float32)


def _other_dtype(images: Array, trained: TrainedOn) -> DTypeError:
    if trained.dtype == "uint8":
        hint = (
            f"{setting('scale', '255')} brings floats of 0 to 1 to its units, "
            f"{setting('scale', '1')} says that these are in its units already"
        )
        values = f"{images.dtype} from {float(images.min()):g} to {float(images.max()):g}"
    else:
        hint = (
            f"its images held {trained.low:g} to {trained.high:g}: {setting('scale', '1/255')} "
            f"brings bytes to 0 to 1, {setting('scale', '1')} takes them as they are"
        )
        values = str(images.dtype)
    rule = f"be {trained.dtype}, as those that the model was trained on"
    return refusal("images", rule, images, DTypeError, f"{values}: {hint}")


FAR = 1.0
"""Widths of the range in training by which images may lie outside of it without a warning."""
NARROW = 1 / 12
"""Part of the range in training that images must span, all together, without a warning."""


def _check_range(low: float, high: float, trained: TrainedOn) -> None:
    """Warn of images whose values are far from those in training."""
    width = trained.high - trained.low
    far = low < trained.low - FAR * width or high > trained.high + FAR * width
    if width > 0 and (far or high - low < NARROW * width):
        _warn_of_range(low, high, trained)


def _check_bytes(images: Array, trained: TrainedOn) -> None:
    """The same for bytes, of which mostly one in the middle tells: the quickest way to pass."""
    low, high = trained.low, trained.high
    if rows_behind(images) is not None:
        check_greatest(images, trained)
        return
    middle = images.item(images.size // 2)
    if middle - low < NARROW * (high - low) or high + FAR * (high - low) < 255:
        check_greatest(images, trained)


def check_greatest(images: Array, trained: TrainedOn) -> None:
    """The same by the greatest value alone, for bytes and pictures, which begin near 0."""
    packed = rows_behind(images) is not None
    high = _extremes(images)[1] if packed else images.item(images.argmax())
    width = trained.high - trained.low
    if width > 0 and (high > trained.high + FAR * width or high - trained.low < NARROW * width):
        _warn_of_range(_extremes(images)[0], high, trained)


def _extremes(images: Array) -> tuple[float, float]:
    """The least and the greatest value.

    By their places, which takes a third of the time of `min` and `max`, and the time of a
    prediction shows it. An infinity is one of the two, and a NaN counts as both.
    """
    if rows_behind(images) is not None:
        return extremes(images)
    return images.item(images.argmin()), images.item(images.argmax())


def _warn_of_range(low: float, high: float, trained: TrainedOn) -> None:
    warn_outside(
        f"the images hold values from {low:g} to {high:g}, those in training held "
        f"{trained.low:g} to {trained.high:g}: results mean little if they are scaled in "
        f"another way ({setting('scale', '…', '')} multiplies them, {setting('scale', '1')} says "
        "that they are meant so)"
    )


_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


@contextmanager
def warnings_told() -> Iterator[list[str]]:
    """Within, what would be a warning is a line of this list, in this thread alone."""
    lines: list[str] = []
    before = _heard.set(lines)
    try:
        yield lines
    finally:
        _heard.reset(before)


def warn_outside(text: str) -> None:
    """A warning at the place in a person's own code."""
    heard = _heard.get()
    if heard is not None:
        heard.append(text)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, DataWarning, stacklevel=level)
