"""What is minimised: the losses, what is true of each, and the labels that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from isoconv.checks import LARGEST_SINGLE, check_choice, check_number, entries, refusal, settle
from isoconv.data import Dataset
from isoconv.data.labels import classes_hint, first_outside
from isoconv.errors import ArgumentError, DataError, ShapeError, about
from isoconv.graph.operation import Array
from isoconv.nn import Module, Tensor
from isoconv.nn import losses as nn_losses
from isoconv.nn.activations import softmax
from isoconv.nn.ranking import one_hot
from isoconv.nn.reduction import reduce
from isoconv.nn.settings import added
from isoconv.ops import Lookup
from isoconv.rows import rows_behind

__public__ = {"isoconv.train": ["Loss"]}

LossName = Literal["cross_entropy", "focal", "dice", "mse", "l1", "smooth_l1", "bce"]


@dataclass(frozen=True, slots=True)
class LossKind:
    """What is true of a loss, whoever asks.

    Attributes:
        title: in words.
        unit: of its values, in words; "" for none.
        contains: the activation that it contains, and that a prediction then puts behind the
            model's result; "" for none.
        by_class: its labels are class numbers; otherwise targets of the shape of the result.
    """

    title: str
    unit: str = ""
    contains: str = ""
    by_class: bool = False


LOSSES: Mapping[str, LossKind] = {
    "cross_entropy": LossKind("cross-entropy", "nats per image", "softmax", by_class=True),
    "focal": LossKind("focal loss", "", "softmax", by_class=True),
    "dice": LossKind("Dice loss", "", "softmax", by_class=True),
    "mse": LossKind("mean squared error"),
    "l1": LossKind("mean absolute error"),
    "smooth_l1": LossKind("smooth L1 loss"),
    "bce": LossKind("binary cross-entropy", "nats per output", "sigmoid"),
}
"""Every loss by its name."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What is minimised.

    Args:
        name: ``"cross_entropy"``, ``"focal"`` or ``"dice"`` (class numbers as labels, one for each
            image or for each place of a map), ``"mse"``, ``"l1"`` or ``"smooth_l1"`` (float
            targets) or ``"bce"`` (binary cross-entropy of logits; targets from 0 to 1).
        label_smoothing: share of the uniform distribution in cross-entropy, 0 to below 1.
        class_weights: factors of the loss by class, for cross-entropy and focal loss: numbers of at
            least 0; none for 1. The mean over images and places does not know of them.

    Raises:
        ArgumentError: a setting outside its range, or one that the loss does not have.

    Example:
        >>> Loss("cross_entropy", 0.1).label_smoothing
        0.1
    """

    name: LossName = "cross_entropy"
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = added(())

    def __post_init__(self) -> None:
        smoothing = check_number("label_smoothing", self.label_smoothing, least=0, below=1)
        with about("name", self.name):
            settle(self, name=check_choice("loss", self.name, [*LOSSES]), label_smoothing=smoothing)
        if self.label_smoothing and self.name != "cross_entropy":
            raise ArgumentError(
                f"label_smoothing belongs to cross_entropy; got loss={self.name!r}, "
                f"label_smoothing={self.label_smoothing!r}",
                argument="label_smoothing",
                value=self.label_smoothing,
            )
        if not isinstance(self.class_weights, (tuple, list)):
            raise refusal("class_weights", "be a tuple of numbers", self.class_weights)
        weights = tuple(
            float(check_number(place, value, least=0, most=LARGEST_SINGLE))
            for place, value in entries("class_weights", self.class_weights).items()
        )
        settle(self, class_weights=weights)
        if weights and self.name not in ("cross_entropy", "focal"):
            raise refusal("class_weights", f"be none with loss {self.name!r}", weights)

    @property
    def words(self) -> str:
        """All of it in words."""
        told = [LOSSES[self.name].title]
        if self.label_smoothing:
            told.append(f"label smoothing {self.label_smoothing:g}")
        if self.class_weights:
            told.append(f"classes weighted {', '.join(f'{w:g}' for w in self.class_weights)}")
        return ", ".join(told)


def note_loss(model: Module, loss: Loss | None) -> None:
    """Leave with a model what it was trained with; copies know it too, files do not."""
    model.__dict__["_minimised"] = loss


def known_loss(model: Module) -> Loss | None:
    """What a model was trained with, of one that was trained here or read from a run folder."""
    found: Loss | None = model.__dict__.get("_minimised")
    return found


def guessed_loss(model: Module, labels: Array) -> Loss:
    """What is measured with where the model does not know it: what its results and labels suit.

    Example:
        >>> from isoconv import nn
        >>> guessed_loss(nn.Sequential(nn.Flatten(), nn.Linear(2)), np.int32([0, 1])).name
        'cross_entropy'
    """
    if model.finish == "sigmoid":
        return Loss("bce")
    numbers = model.finish == "none" and labels.dtype.kind not in "iu"
    return Loss("mse" if numbers else "cross_entropy")


def loss_of(loss: Loss, output: Tensor, labels: Tensor) -> Tensor:
    """The loss of each image.

    Args:
        loss: which one.
        output: of the model; logits where the loss contains an activation.
        labels: class numbers, int32, or targets of the shape of the output.
    """
    if loss.class_weights:
        classes = output.shape[-1]
        if len(loss.class_weights) != classes:
            rule = f"be one for each of the {classes} classes"
            raise refusal("class_weights", rule, loss.class_weights)
        smoothed = loss.name == "cross_entropy"
        each = (
            nn_losses.surprise(output, labels, loss.label_smoothing)
            if smoothed
            else nn_losses.focused(output, labels)
        )
        attrs = Lookup(loss.class_weights, output.dtype)
        share = output.trace.add("lookup", labels, attrs=attrs)
        return nn_losses.over_labels(each, output, labels, share)
    match loss.name:
        case "cross_entropy":
            return nn_losses.cross_entropy(output, labels, loss.label_smoothing)
        case "focal":
            return nn_losses.focal(output, labels)
        case "dice":
            hot = one_hot(labels, output.shape[-1])
            given = softmax(output)
            if labels.shape:
                # What is said of a place without a label counts for nothing.
                known = reduce(hot, "sum", -1, keepdims=True)
                given = given * known
            return nn_losses.dice(given, hot)
        case "bce":
            return nn_losses.bce_with_logits(output, labels)
    of_numbers = {"mse": nn_losses.mse, "l1": nn_losses.l1, "smooth_l1": nn_losses.smooth_l1}
    return of_numbers[loss.name](output, labels)


def targets_for(data: Dataset, loss: Loss, output: tuple[int, ...]) -> Array:
    """A data set's labels as the loss takes them.

    Args:
        data: the data set.
        loss: the loss.
        output: shape of the model's result for one image.

    Returns:
        int32 ``(N, *output[:-1])`` of classes, otherwise float32 ``(N, *output)``.

    Raises:
        DataError: labels of the wrong kind or shape, or out of range; names the first such sample.
        ShapeError: a map of logits for images with one class each.
    """
    labels = data.labels
    if LOSSES[loss.name].by_class:
        return _class_numbers(data, loss, output)
    if labels.dtype.kind in "iu" and loss.name == "bce" and output in {(), (1,)}:
        labels = labels.astype(np.float32)
    if labels.dtype.kind in "iu":
        raise DataError(
            f"{data.name}: loss {loss.name!r} takes float targets of the shape of the model's "
            f"result, {output}; got class numbers"
        )
    if labels.shape[1:] != output and labels[0].size == 1 and output == (1,):
        labels = labels.reshape(-1, 1)
    if labels.shape[1:] != output:
        raise DataError(
            f"{data.name}: targets must have the shape of the model's result, {output}; "
            f"got {labels.shape[1:]}"
        )
    if loss.name == "bce":
        wrong = ((labels < 0) | (labels > 1)).reshape(len(labels), -1)
        if wrong.any():
            sample = int(wrong.any(axis=1).argmax())
            value = float(labels.reshape(len(labels), -1)[sample][wrong[sample]][0])
            raise DataError(
                f"{data.name}: targets of loss 'bce' must lie in 0 … 1; sample {sample} has {value}"
            )
    return np.ascontiguousarray(labels, np.float32)


def _class_numbers(data: Dataset, loss: Loss, output: tuple[int, ...]) -> Array:
    labels, (*sides, classes) = data.labels, output
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{data.name}: loss {loss.name!r} takes classes as labels; got float targets of "
            f"shape {labels.shape}{classes_hint(labels)}; numbers are learned with "
            "loss='mse' or loss='bce'"
        )
    if sides and labels.ndim == 1:
        raise ShapeError(
            f"loss {loss.name!r} takes one logit per class, shape (K,), for one label per image; "
            f"the model gives {output}"
        )
    if labels.shape[1:] != (*sides,):
        raise DataError(
            f"{data.name}: labels must be one for each place of the model's result, {(*sides,)}; "
            f"got {labels.shape[1:]}"
        )
    # A place of a map may have no label.
    found = first_outside(labels, -1 if sides else 0, classes)
    if found is not None:
        sample, number = found
        raise DataError(
            f"{data.name}: labels must lie in 0 … {classes - 1}, the model has {classes} outputs; "
            f"sample {sample} has {number}"
        )
    return labels if rows_behind(labels) is not None else np.ascontiguousarray(labels, np.int32)
