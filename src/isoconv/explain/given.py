"""What a person gives to be explained: pictures, classes, numbers of samples; checked."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.checks import check_array, check_count, entries, refusal, shown, whole
from isoconv.errors import ArgumentError, about
from isoconv.explain.losses import usual_loss
from isoconv.graph.operation import Array
from isoconv.nn import Module
from isoconv.nn.inference import files_as_trained
from isoconv.train.losses import LOSSES, LossName


def pictures(model: Module, image: Any, argument: str = "image") -> tuple[Array, list[str]]:
    """Images as the model takes them: one image gets an axis, files are read as in training.

    Args:
        model: a built model.
        image: as a person gives it.
        argument: what it is called there.

    Raises:
        ArgumentError: there is none.
        ShapeError, DTypeError: what is no array of numbers.
        DataFileError: a file that is no picture.
    """
    paths = [image] if isinstance(image, (str, Path)) else image
    listed = isinstance(paths, (list, tuple)) and len(paths) > 0
    if listed and all(isinstance(each, (str, Path)) for each in paths):
        with about(argument, image):
            files = files_as_trained(model, paths, None)
            _, images = files.read(files.files)
            files.raise_any()
        return images, [*files.notes()]
    with about(argument, image):
        array = check_array("image", image)
    shape = model.input_shape
    if shape is not None and array.shape in (shape, shape[:-1] if shape[-1] == 1 else None):
        array = array[None]
    if not array.ndim or not len(array):
        text = f"there must be an image to explain; got {shown(image)}"
        raise ArgumentError(text, argument=argument, value=image)
    return array, []


def class_number(model: Module, label: Any, argument: str = "label") -> int:
    """The number of a class by its name or number.

    Args:
        model: may have names for its classes.
        label: as a person gives it.
        argument: what it is called there.

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
            text = f"no class is called {shown(label)}; {hint}"
            raise ArgumentError(text, argument=argument, value=label)
        label = int(label[:20])
    number = whole(label)
    if number is None or not 0 <= number < 2**31:
        text = f"a class is given by name or number; got {shown(label)}"
        raise ArgumentError(text, argument=argument, value=label)
    return number


def labels_of(
    model: Module, label: Any, count: int, loss: LossName | None, argument: str = "label"
) -> Any:
    """Labels of so many images, as a network takes them.

    Args:
        model: may have names for its classes.
        label: as a person gives it.
        count: of images.
        loss: its name; None for the model's usual one.
        argument: what the labels are called by the person.

    Raises:
        ArgumentError: another number of them, or no classes; targets that are not finite, and for
            bce outside 0 … 1.
        ShapeError, DTypeError: float targets that are no array of numbers.
    """
    kind = loss or usual_loss(model)
    by_class = LOSSES[kind].by_class
    if not by_class:
        with about(argument, label):
            given: Any = check_array("label", label)
        if given.ndim == 0 or (count == 1 and len(given) != 1):
            given = given[None]
    elif isinstance(label, (list, tuple)) or (isinstance(label, np.ndarray) and label.ndim):
        given = [class_number(model, each, name) for name, each in entries(argument, label).items()]
    else:
        given = [class_number(model, label, argument)] * count
    with about(argument, label):
        if len(given) != count:
            raise ArgumentError(f"labels must be one for each image; got {len(given)} for {count}")
        if not by_class:
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
            f"{float(each[image][wrong[image]][0])}",
            row=image,
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
        raise refusal("samples", f"be a number for each of the {count} images", samples)
    each = entries("samples", array).items()
    return np.array([check_count(name, number, least=0, below=2**63) for name, number in each])


def key_of(key: Any) -> tuple[int, int]:
    """Seed and epoch.

    Raises:
        ArgumentError: anything else.
    """
    if not isinstance(key, (tuple, list)) or len(key) != 2:
        raise refusal("key", "be a seed and an epoch", key)
    each = entries("key", key).items()
    seed, epoch = (check_count(name, number, least=0, below=2**63) for name, number in each)
    return seed, epoch
