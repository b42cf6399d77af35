"""From a model to the graphs that train and measure it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from isoconv.checks import (
    check_array,
    check_choice,
    check_flag,
    check_kind,
    check_shape,
    refusal,
    settle,
    shown,
)
from isoconv.compile.layout import FlatLayout
from isoconv.data import Augmentation
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.nn import Module, Tensor, Trace
from isoconv.nn import losses as nn_losses
from isoconv.nn.ready import constants_of, normalised
from isoconv.ops import Augment, Broadcast, Hits, Sum
from isoconv.ops.image import TABLE_COLUMNS
from isoconv.run.step import StepGraph
from isoconv.train.losses import LOSSES, Loss, loss_of
from isoconv.train.optim import Optimizer

__public__ = {"isoconv.train": ["Normalisation", "Preparation"]}


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
            attrs = Augment(float(self.augmentation.fill), self.augmentation.interpolate)
            images = trace.add("augment", images, self._table(trace), attrs=attrs)
        return normalised(images, self.normalisation is not None)

    def labels(self, trace: Trace, shape: tuple[int, ...], *, training: bool) -> Tensor:
        """Add class numbers to a trace; those of places go with the places of their image.

        What comes from outside an image, or is covered, has no label: -1.

        Args:
            trace: of the images.
            shape: of the labels of one image, ``()`` or ``(H, W)``.
            training: whether images are changed at random.
        """
        check_kind("trace", trace, Trace, "a Trace")
        training = check_flag("training", training)
        labels = trace.input("dataset", "labels", shape, "int32")
        if training and self.augments and shape:
            return trace.add("augment", labels, self._table(trace), attrs=Augment(-1.0))
        return labels

    @staticmethod
    def _table(trace: Trace) -> Tensor:
        """The random choices of each image."""
        return trace.input("dataset", "augmentation", (len(TABLE_COLUMNS),))


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
    labels = preparation.labels(trace, output.shape[:-1], training=training)
    metrics = {"loss": loss_of(loss, output, labels)}
    for most in (1, 5) if output.shape[-1] > 5 else (1,):
        hits = trace.add("hits", output, labels, attrs=Hits(most))
        of_map = bool(labels.shape)
        metrics[f"top{most}"] = nn_losses.over_labels(hits, output, labels) if of_map else hits
    return Measured(preparation, trace, output, metrics)


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
