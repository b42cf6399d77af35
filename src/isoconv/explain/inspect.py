"""``isoconv.inspect``: every value and gradient of a network on some images, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isoconv.checks import check_choice, check_flag, check_number
from isoconv.data import Dataset
from isoconv.data.classes import in_classes
from isoconv.errors import ArgumentError, as_given
from isoconv.explain.given import labels_of, pictures
from isoconv.explain.inspection import Inspection
from isoconv.explain.shards import ImageShards
from isoconv.explain.subject import Subject
from isoconv.nn import Module
from isoconv.nn.images import checked_images
from isoconv.train.losses import LOSSES, LossName
from isoconv.train.run import Run

__public__ = {"isoconv": ["inspect"]}


def inspect(
    model: Module | Run | str | Path,
    images: Any,
    labels: Any = None,
    *,
    training: bool = False,
    loss: LossName | None = None,
    label_smoothing: float | None = None,
    shard_size: int | None = None,
    scale: float | None = None,
) -> Inspection:
    """Every intermediate value and gradient of a network on some images, by the name of the layer.

    What other libraries need hooks for. Nothing is computed before it is asked for; then all
    numbers are the bits that a prediction, or a step of training, computes.

    Args:
        model: a built or trained model, a run, or the path of a run folder or of a saved model. A
            run also tells its loss and the size of its shards.
        images: ``(H, W, C)`` or ``(N, H, W, C)``, as for ``model.predict``; a `Dataset`, which
            brings its labels; a picture file or a list of such.
        labels: the class of each image, by name or number, or one for all; None: there is no loss,
            and there are no gradients.
        training: batch normalisation uses the images' own statistics, dropout drops and
            fractional pooling draws its windows, as in training; otherwise all is as in a
            prediction.
        loss: its name, as a `Loss` of `isoconv.train` has it; None for the run's, or bce after a
            sigmoid and cross-entropy otherwise. It is the mean over the images, of the model's
            result as in training; cross-entropy of a softmax at the model's end and bce of a
            sigmoid are of the value before, and a note says so.
        label_smoothing: of the cross-entropy; None for the run's, or 0.
        shard_size: images that are taken at a time, as in training; gradients by weights are added
            over the shards by the tree. None for the run's, or as many as some 256 MiB hold.
        scale: as for ``model.predict``.

    Returns:
        An `Inspection`: layers by name, each with its arrays and statistics.

    Raises:
        ArgumentError: no image, labels that do not fit, a model that was not built.
        CheckpointError: a path where there is no run and no model.
        ShapeError, DTypeError, DataError: images that the model does not take.

    Example:
        >>> import isoconv as ic
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
        >>> x = np.ones((4, 5, 5, 1), np.float32)
        >>> inspection = ic.inspect(model.build((5, 5, 1)), x, labels=[0, 1, 2, 0])
        >>> list(inspection)
        ['0', '1', '2', '3']
        >>> inspection["1"].value.shape, inspection["0"].weight_gradients["weight"].shape
        ((4, 3, 3, 2), (3, 3, 1, 2))
    """
    subject = Subject.of(model)
    model = subject.model
    notes: list[str] = []
    given, given_labels = images, labels
    if isinstance(images, Dataset):
        images = in_classes(images, model.class_names, "the model")
        notes += images.notes
        labels = images.labels if labels is None else labels
        images = images.images
    else:
        images, more = pictures(model, images, "images")
        notes += more
    with as_given(images=given):
        images = checked_images(model, images, scale)
    if not len(images):
        text = "there must be an image to inspect; got none"
        raise ArgumentError(text, argument="images", value=given)
    settings = subject.loss
    if loss is not None:
        check_choice("loss", loss, [*LOSSES])
    kind = loss or (None if settings is None else settings.name)
    if label_smoothing is not None:
        label_smoothing = check_number("label_smoothing", label_smoothing, least=0, below=1)
    else:
        label_smoothing = settings.label_smoothing if settings and kind == settings.name else 0.0
    if labels is not None:
        labels = np.asarray(labels_of(model, labels, len(images), kind, "labels"))
    training = check_flag("training", training)
    size = subject.shard_of(len(images), shard_size, training=training)
    with as_given(images=given, labels=given_labels):
        shards = ImageShards(
            model, images, labels, scale, size, training=training,
            frozen=subject.frozen if training else (), loss=kind,
            label_smoothing=label_smoothing, key=subject.key,
            class_weights=settings.class_weights if settings and kind == settings.name else (),
        )  # fmt: skip
    return Inspection(shards, notes)
