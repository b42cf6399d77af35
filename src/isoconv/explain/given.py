"""What a person gives to be explained: pictures, classes, numbers of samples; checked."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.checks import check_array, check_count, shown
from isoconv.errors import ArgumentError
from isoconv.explain.losses import usual_loss
from isoconv.graph.operation import Array
from isoconv.nn import Module
from isoconv.nn.inference import files_as_trained
from isoconv.train.graphs import LossName

__all__ = ["class_number", "key_of", "labels_of", "pictures", "samples_of"]


def pictures(model: Module, image: Any) -> tuple[Array, list[str]]:
    """Images as the model takes them: one image gets an axis, files are read as in training.

    Raises:
        ArgumentError: there is none.
        ShapeError, DTypeError: what is no array of numbers.
        DataFileError: a file that is no picture.
    """
    paths = [image] if isinstance(image, (str, Path)) else image
    listed = isinstance(paths, (list, tuple)) and len(paths) > 0
    if listed and all(isinstance(each, (str, Path)) for each in paths):
        files = files_as_trained(model, paths, None)
        _, images = files.read(files.files)
        files.raise_any()
        return images, [*files.notes()]
    array = check_array("image", image)
    shape = model.input_shape
    if shape is not None and array.shape in (shape, shape[:-1] if shape[-1] == 1 else None):
        array = array[None]
    if not array.ndim or not len(array):
        raise ArgumentError(f"there must be an image to explain; got {shown(image)}")
    return array, []


def class_number(model: Module, label: Any) -> int:
    """The number of a class by its name or number.

    Raises:
        ArgumentError: no class is called so; near names are told.
    """
    if isinstance(label, str):
        names = list(model.class_names)
        if label in names:
            return names.index(label)
        if not (label.isascii() and label.isdecimal()):
            near = difflib.get_close_matches(label, names, n=3) or names[:8]
            hint = f"there are {len(names)}, near it: {', '.join(near)}"
            hint = hint if names else "the model names no classes"
            raise ArgumentError(f"no class is called {shown(label)}; {hint}")
        label = int(label[:20])
    try:
        return check_count("a class", label, least=0, below=2**31)
    except ArgumentError:
        raise ArgumentError(f"a class is given by name or number; got {shown(label)}") from None


def labels_of(model: Module, label: Any, count: int, loss: LossName | None) -> Any:
    """Labels of so many images, as a network takes them.

    Raises:
        ArgumentError: another number of them, or no classes; targets that are not finite, and for
            bce outside 0 … 1.
        ShapeError, DTypeError: float targets that are no array of numbers.
    """
    kind = loss or usual_loss(model)
    if kind != "cross_entropy":
        given: Any = check_array("label", label)
        if given.ndim == 0 or (count == 1 and len(given) != 1):
            given = given[None]
    elif isinstance(label, (list, tuple)) or (isinstance(label, np.ndarray) and label.ndim):
        given = [class_number(model, each) for each in label]
    else:
        given = [class_number(model, label)] * count
    if len(given) != count:
        raise ArgumentError(f"labels must be one for each image; got {len(given)} for {count}")
    if kind != "cross_entropy":
        _check_targets(given, kind)
    return given


def _check_targets(targets: Array, kind: LossName) -> None:
    """That targets are finite in float32, and for bce in 0 … 1; the first image that is wrong."""
    each = targets.reshape(len(targets), -1)
    with np.errstate(over="ignore"):
        wrong, rule = ~np.isfinite(each.astype(np.float32)), "be finite"
    if kind == "bce" and not wrong.any():
        wrong, rule = (each < 0) | (each > 1), "lie in 0 … 1"
    if wrong.any():
        image = int(wrong.any(axis=1).argmax())
        raise ArgumentError(
            f"targets of loss {kind!r} must {rule}; image {image} has "
            f"{float(each[image][wrong[image]][0])}"
        )


def samples_of(samples: Any, count: int) -> Array:
    """Numbers of so many images in their data set.

    Raises:
        ArgumentError: another number of them, or what is no whole number.
    """
    if samples is None:
        return np.arange(count)
    array = check_array("samples", samples, kind_error=ArgumentError, shape_error=ArgumentError)
    if array.ndim != 1 or len(array) != count:
        raise ArgumentError(
            f"samples must be a number for each of the {count} images; got {shown(samples)}"
        )
    return np.array([check_count("samples", each, least=0, below=2**63) for each in array])


def key_of(key: Any) -> tuple[int, int]:
    """Seed and epoch.

    Raises:
        ArgumentError: anything else.
    """
    if not isinstance(key, (tuple, list)) or len(key) != 2:
        raise ArgumentError(f"key must be a seed and an epoch; got {shown(key)}")
    seed, epoch = (check_count("key", each, least=0, below=2**63) for each in key)
    return seed, epoch
