"""From a model to the graphs that train and measure it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isoconv.checks import (
    LARGEST_SINGLE,
    check_array,
    check_choice,
    check_flag,
    check_kind,
    check_number,
    check_shape,
    entries,
    refusal,
    settle,
    shown,
)
from isoconv.compile.layout import FlatLayout
from isoconv.data import Augmentation, Dataset
from isoconv.data.labels import classes_hint
from isoconv.errors import ArgumentError, DataError, ShapeError, about
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.nn import Module, Tensor, Trace
from isoconv.nn import losses as nn_losses
from isoconv.nn.activations import softmax
from isoconv.nn.ranking import one_hot
from isoconv.nn.ready import constants_of, normalised
from isoconv.nn.settings import added
from isoconv.ops import Augment, Broadcast, Hits, Lookup, Sum
from isoconv.ops.image import TABLE_COLUMNS
from isoconv.run.training import StepGraph
from isoconv.train.optim import Optimizer

__all__ = [
    "LOSSES",
    "Loss",
    "LossKind",
    "LossName",
    "Measured",
    "Normalisation",
    "Preparation",
    "build_evaluation",
    "build_step",
    "loss_of",
    "measure",
    "step_of",
    "targets_for",
]
__public__ = {"isoconv.train": ["Loss", "Normalisation", "Preparation"]}

Array = NDArray[Any]
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


@dataclass(frozen=True, eq=False, slots=True)
class Normalisation:
    """Constants per channel: an image enters the network as ``image * scale + offset``.

    Attributes:
        scale: float32 ``(C,)``.
        offset: float32 ``(C,)``.

    Raises:
        ArgumentError: other arrays, or numbers that are not finite.
        DTypeError: what is no array of numbers.
    """

    scale: Array
    offset: Array

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            array = check_array(name, getattr(self, name)).astype(np.float32, copy=False)
            if array.ndim != 1 or not np.isfinite(array).all():
                got = shown(array)
                rule = "be finite, one number for each channel"
                raise refusal(name, rule, getattr(self, name), got=got)
            settle(self, **{name: array})

    @property
    def constants(self) -> dict[str, Array]:
        """The arrays by the names that the graphs give them."""
        return constants_of((self.scale, self.offset))


@dataclass(frozen=True, slots=True)
class Preparation:
    """What happens to an image between the data set and the first layer.

    Attributes:
        shape: of an image, ``(H, W, C)``.
        dtype: ``"uint8"`` or ``"float32"``.
        normalisation: constants per channel, or None.
        augmentation: random changes in training, or None.

    Raises:
        ArgumentError: something else.
        ShapeError: a shape that is none.
    """

    shape: tuple[int, ...]
    dtype: DType
    normalisation: Normalisation | None = None
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        settle(self, shape=check_shape("shape", self.shape))
        check_choice("dtype", self.dtype, ("uint8", "float32"))
        if self.normalisation is not None:
            check_kind("normalisation", self.normalisation, Normalisation, "a Normalisation")
        if self.augmentation is not None:
            check_kind("augmentation", self.augmentation, Augmentation, "an Augmentation")

    @property
    def augments(self) -> bool:
        """Whether images are changed at random."""
        return self.augmentation is not None and not self.augmentation.is_identity

    @property
    def constants(self) -> dict[str, Array]:
        """Arrays for the scalar inputs that this adds to a graph."""
        return {} if self.normalisation is None else self.normalisation.constants

    def apply(self, trace: Trace, *, training: bool) -> Tensor:
        """Add the images and what happens to them to a trace.

        Augmented first (in the images' own units), then multiplied by ``scale`` and moved by
        ``offset``, each operation rounded.
        """
        check_kind("trace", trace, Trace, "a Trace")
        training = check_flag("training", training)
        images = trace.input("dataset", "images", self.shape, self.dtype)
        if training and self.augmentation is not None and self.augments:
            table = trace.input("dataset", "augmentation", (len(TABLE_COLUMNS),))
            attrs = Augment(float(self.augmentation.fill), self.augmentation.interpolate)
            images = trace.add("augment", images, table, attrs=attrs)
        return normalised(images, self.normalisation is not None)


@dataclass(frozen=True, slots=True)
class Measured:
    """A traced model with its loss: one number per image for each metric, the loss first.

    Attributes:
        preparation: of its images.
        trace: what it computes.
        output: its result.
        metrics: by name.
    """

    preparation: Preparation
    trace: Trace
    output: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


def measure(
    model: Module,
    preparation: Preparation,
    loss: Loss,
    *,
    training: bool,
    frozen: Collection[str] = (),
) -> Measured:
    """Trace a model behind the preparation of its images, and in front of its loss.

    Args:
        model: the model.
        preparation: of the images.
        loss: behind its result.
        training: as for `isoconv.nn.Trace`.
        frozen: likewise.

    Raises:
        ShapeError, ArgumentError: as `build_step`.
    """
    trace = Trace(model, training=training, frozen=frozen)
    images = preparation.apply(trace, training=training)
    output = model(images)
    contained = LOSSES[loss.name].contains
    last = trace.builder[output.index]
    if last.op == contained and not training:
        # What is measured is the same; only learning would go through it twice.
        output = Tensor(trace, last.inputs[0])
    elif last.op == contained:
        raise ArgumentError(
            f"loss {loss.name!r} contains the {contained}, so the model must give logits; "
            f"remove the {contained} at its end",
            argument="loss",
            value=loss.name,
        )
    if not LOSSES[loss.name].by_class:
        target = trace.input("dataset", "labels", output.shape)
        return Measured(preparation, trace, output, {"loss": loss_of(loss, output, target)})
    if not output.shape:
        raise ShapeError(
            f"loss {loss.name!r} takes one logit per class, shape (..., K); the model gives ()"
        )
    labels = trace.input("dataset", "labels", output.shape[:-1], "int32")
    metrics = {"loss": loss_of(loss, output, labels)}
    for most in (1, 5) if output.shape[-1] > 5 else (1,):
        hits = trace.add("hits", output, labels, attrs=Hits(most))
        of_map = bool(labels.shape)
        metrics[f"top{most}"] = nn_losses.over_labels(hits, output, labels) if of_map else hits
    return Measured(preparation, trace, output, metrics)


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
            return nn_losses.dice(softmax(output), hot)
        case "bce":
            return nn_losses.bce_with_logits(output, labels)
    of_numbers = {"mse": nn_losses.mse, "l1": nn_losses.l1, "smooth_l1": nn_losses.smooth_l1}
    return of_numbers[loss.name](output, labels)


def build_step(
    model: Module,
    preparation: Preparation,
    loss: Loss,
    optimizer: Optimizer,
    clip_norm: float | None = None,
) -> StepGraph:
    """What one step of training computes.

    The loss of a batch is the mean over its N images; its gradient starts from 1/N at every image.

    Args:
        model: whose parameters are learned.
        preparation: of the images.
        loss: what is minimised.
        optimizer: how the parameters follow.
        clip_norm: gradients of a greater global norm are scaled down to it.

    Returns:
        Graphs with the metrics ``loss`` and, of classes, ``top1`` and (of more than 5) ``top5``,
        all as sums over images; of a map a share of its places.

    Raises:
        ShapeError: images, model or loss do not fit together; names the layer.
        ArgumentError: a parameter that the result does not depend on; a model that ends with the
            softmax or sigmoid which the loss contains.

    Example:
        >>> from isoconv import nn
        >>> from isoconv.train.optim import SGD
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(10))
        >>> step = build_step(model, Preparation((4, 4, 1), "uint8"), Loss(), SGD(0.1))
        >>> step.metrics, step.hyper
        (('loss', 'top1', 'top5'), ('learning_rate',))
    """
    return step_of(measure(model, preparation, loss, training=True), optimizer, clip_norm)


def step_of(
    measured: Measured,
    optimizer: Optimizer,
    clip_norm: float | None = None,
    groups: Sequence[Sequence[str]] | None = None,
) -> StepGraph:
    """What one step of training computes, of a model that was traced in training.

    Of parameters that learn nothing no gradient is taken; they stand among the states, which no
    optimizer changes.

    Args:
        measured: the traced model.
        optimizer: how the parameters follow.
        clip_norm: as for `build_step`.
        groups: the parameters that learn, each group at a rate of its own; None for all at one.

    Raises:
        ArgumentError: as `build_step`.
    """
    trace, b = measured.trace, measured.trace.builder
    groups = [tuple(trace.parameters)] if groups is None else groups
    inverse = b.input("scalar", "inverse_batch", ())
    seed = b.add("broadcast", inverse, attrs=Broadcast((), batched=True, source_batched=False))
    shapes = {name: trace.parameters[name].shape for group in groups for name in group}
    places = {
        name: b.input("parameter", name, spec.shape, trace.dtype)
        for name, spec in trace.parameters.items()
        if name in shapes
    }
    gradients = differentiate(b, {measured.metrics["loss"].index: seed}, list(places.values()))
    idle = [name for name, place in places.items() if place not in gradients]
    if idle:
        raise ArgumentError(
            f"every parameter must take part in the model's result; {', '.join(idle)} do not",
            argument="model",
            value=idle,
        )
    outputs = {f"grad:{name}": gradients[place] for name, place in places.items()}
    updates = trace.state_updates()
    outputs |= {f"state:{name}": index for name, index in updates.items()}
    for name, value in measured.metrics.items():
        outputs[f"metric:{name}"] = b.add("sum", value.index, attrs=Sum(0, False))
    sizes = [FlatLayout({name: shapes[name] for name in group}).size for group in groups]
    return StepGraph(
        shard=b.graph(_apart(b, outputs)),
        updates=tuple(optimizer.update_graph(size, clip_norm is not None) for size in sizes),
        size=FlatLayout(shapes).size,
        parameters=shapes,
        states={
            **{name: spec.shape for name, spec in trace.states.items()},
            **{name: p.shape for name, p in trace.parameters.items() if name not in shapes},
        },
        momenta={name: spec.momentum for name, spec in trace.states.items() if name in updates},
        slots=optimizer.slots,
        hyper=optimizer.hyper,
        metrics=tuple(measured.metrics),
        clip_norm=clip_norm,
        constants=measured.preparation.constants,
    )


def build_evaluation(model: Module, preparation: Preparation, loss: Loss) -> Graph:
    """What measures a model: per image its output, its probabilities and the metrics.

    A softmax or sigmoid at the model's end that the loss contains counts once: the output is what
    it is taken of.

    Returns:
        A graph with the batched outputs ``output``, ``probabilities`` (softmax of classes, sigmoid
        for bce, none of other targets) and the metrics of `build_step`.

    Raises:
        ShapeError: images, model or loss do not fit together; names the layer.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3))
        >>> graph = build_evaluation(model, Preparation((4, 4, 1), "uint8"), Loss())
        >>> [name for name, _ in graph.outputs]
        ['output', 'probabilities', 'loss', 'top1']
    """
    measured = measure(model, preparation, loss, training=False)
    b, output = measured.trace.builder, measured.output.index
    outputs = {"output": output}
    if contained := LOSSES[loss.name].contains:
        outputs["probabilities"] = b.add(contained, output)
    outputs |= {name: value.index for name, value in measured.metrics.items()}
    return b.graph(_apart(b, outputs))


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
    wrong = ((labels < (-1 if sides else 0)) | (labels >= classes)).reshape(len(labels), -1)
    if wrong.any():
        sample = int(wrong.any(axis=1).argmax())
        number = int(labels[sample].reshape(-1)[wrong[sample]][0])
        raise DataError(
            f"{data.name}: labels must lie in 0 … {classes - 1}, the model has {classes} outputs; "
            f"sample {sample} has {number}"
        )
    return np.ascontiguousarray(labels, np.int32)


def _apart(b: GraphBuilder, outputs: Mapping[str, int]) -> list[tuple[str, int]]:
    """Outputs with a node each, where several ask for the same value."""
    taken: set[int] = set()
    apart = []
    for name, index in outputs.items():
        while index in taken:
            index = b.copy(index)
        taken.add(index)
        apart.append((name, index))
    return apart
