"""How good a model is: loss, hits, confusion matrix, in a fixed order of sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from isoconv.arithmetic.sums import partial_sum
from isoconv.cards import Carded
from isoconv.checks import check_flag, check_kind, check_mapping, refusal, shown
from isoconv.data import Dataset
from isoconv.data.classes import in_classes
from isoconv.data.dataset import dataset_of
from isoconv.errors import ArgumentError, DataError, about, as_given
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.nn import Module
from isoconv.nn.images import checked_images
from isoconv.nn.snapshot import whole
from isoconv.run.inference import Predictor
from isoconv.train.graphs import Normalisation, Preparation, build_evaluation
from isoconv.train.losses import (
    LOSSES,
    Loss,
    LossName,
    guessed_loss,
    known_loss,
    targets_for,
)
from isoconv.train.scores import Scores, score
from isoconv.train.shown import evaluation_card

if TYPE_CHECKING:
    from collections.abc import Mapping

__public__ = {"isoconv": ["evaluate"], "isoconv.train": ["Evaluation", "Evaluator", "evaluate"]}

TOGETHER = 1 << 24
"""Logits of the places of images that are measured at a time."""
Data = Dataset | tuple[Any, Any]


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Evaluation(Carded, card=evaluation_card):
    """What a model does with a data set; K classes, N images.

    Attributes:
        loss: mean over the images of `judged_by`.
        top1: part of the images whose class has the greatest logit; None without classes. Of
            labels of places the mean over the images of the part of each one's places.
        top5: part whose class is among the five greatest; None for up to five classes.
        confusion: int64 ``(K, K)``, images of the row's class that were taken for the column's;
            ``(0, 0)`` without classes. Of labels of places it counts places.
        class_accuracy: float64 ``(K,)``, part of each class's images that were recognised; NaN for
            a class without images.
        predictions: int64 ``(N,)``, the class of each image (the first of equals), int32
            ``(N, H, W)`` of each place, or the model's output when there are no classes.
        probabilities: float32 ``(N, K)``; for bce ``(N, …)``, for mse None, and so where nobody
            wanted them.
        class_names: of the images' classes, in the order of their numbers; none where there are
            no classes.
        iou: of labels of places the mean intersection over union (`Scores.iou`) by the confusion,
            0 where there is no label; None of others.
        judged_by: the loss that was measured.
        guessed: nobody said which loss to measure, nor does the model know it.
    """

    loss: float
    top1: float | None
    top5: float | None
    confusion: Array
    class_accuracy: Array
    predictions: Array
    probabilities: Array | None
    class_names: tuple[str, ...] = ()
    iou: float | None = None
    judged_by: Loss = field(default_factory=Loss)
    guessed: bool = False

    @property
    def metrics(self) -> dict[str, float]:
        """Loss, top1, top5 and iou, those that there are."""
        found = {"loss": self.loss, "top1": self.top1, "top5": self.top5, "iou": self.iou}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def of_places(self) -> bool:
        """Whether each place of an image has a class of its own."""
        return bool(self.confusion.size) and self.predictions.ndim > 1

    @property
    def scores(self) -> Scores | None:
        """Precision, recall, intervals and a baseline by the confusion; None without classes.

        Of labels of places these count places as if they were images, and as places of an image
        are alike, intervals by them are too narrow.

        The baseline is the most frequent class of these images; `isoconv.train.score` takes that of
        the training part.
        """
        return score(self.confusion) if self.confusion.size else None


class Evaluator:
    """Measures a model on data sets of one image shape; compiled once.

    Args:
        model: a model.
        preparation: of the images.
        loss: what is measured.
        threads: number of threads; None for one per core.
        target: machine to compile for; None for the one at hand.
        progress: called with (kernels ready, kernels in all).
        graph: what is computed, as `isoconv.train.graphs.build_evaluation` gives it of these; None
            to trace the model here.
        rows: what the graph takes of each image beside the image and its label, of one data set.

    Raises:
        ArgumentError: an argument of another kind.
        ShapeError: images, model or loss do not fit together.
    """

    def __init__(
        self,
        model: Module,
        preparation: Preparation,
        loss: Loss,
        *,
        threads: int | None = None,
        target: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        graph: Graph | None = None,
        rows: Mapping[str, Array] | None = None,
    ) -> None:
        check_kind("model", model, Module, "a Module")
        check_kind("preparation", preparation, Preparation, "a Preparation")
        self.loss = check_kind("loss", loss, Loss, "a Loss")
        if progress is not None and (not callable(progress) or isinstance(progress, type)):
            raise refusal("progress", "be a function or None", progress)
        if graph is None:
            graph = build_evaluation(model, preparation, loss)
        check_kind("graph", graph, Graph, "a Graph, or None")
        self.output: tuple[int, ...] = graph[graph.output("output")].spec.shape
        self._preparation = preparation
        self._rows = {} if rows is None else dict(check_mapping("rows", rows))
        self._predictor = Predictor(graph, threads=threads, target=target, progress=progress)

    def run(
        self,
        weights: Mapping[str, Array],
        data: Dataset,
        *,
        probabilities: bool = True,
        predictions: bool = True,
    ) -> Evaluation:
        """Measure the model with these weights.

        Args:
            weights: parameters and states by name.
            data: images of the shape and dtype of the preparation, with labels.
            probabilities: whether those of the places of all images are wanted, which are large.
            predictions: likewise of their classes.

        Raises:
            DataError: images or labels that do not fit.
            NotEnoughMemoryError: there is no memory for what was said of all places.
        """
        check_kind("data", data, Dataset, "a Dataset")
        check_mapping("weights", weights)
        keep = check_flag("probabilities", probabilities)
        said = check_flag("predictions", predictions)
        counted: _Confusion | None = None
        check_images(data, self._preparation)
        labels = targets_for(data, self.loss, self.output)
        given = {**weights, **self._preparation.constants}
        rows = {"images": data.images, "labels": labels, **self._rows}
        if len(self.output) > 1 and LOSSES[self.loss.name].by_class:
            counted = _Confusion(self.output[-1])
            results = self._of_places(given, rows, counted, keep, said)
        else:
            results = self._predictor.run(given, rows)
        top1, top5 = (_mean(results[k]) if k in results else None for k in ("top1", "top5"))
        output = results["output"]
        confusion, accuracy = np.zeros((0, 0), np.int64), np.zeros(0)
        if LOSSES[self.loss.name].by_class:
            if output.ndim == 2:
                output = output.argmax(axis=-1)
            if counted is None:
                counted = _Confusion(self.output[-1])
                counted.add(labels, output)
            confusion, accuracy = counted.found()
        return Evaluation(
            loss=_mean(results["loss"]),
            top1=top1,
            top5=top5,
            confusion=confusion,
            class_accuracy=accuracy,
            predictions=output,
            probabilities=results.get("probabilities"),
            class_names=data.class_names if confusion.size else (),
            iou=_mean_iou(confusion) if output.ndim > 1 and confusion.size else None,
            judged_by=self.loss,
        )

    def _of_places(
        self,
        given: Mapping[str, Array],
        rows: Mapping[str, Array],
        counted: _Confusion,
        keep: bool,
        say: bool,
    ) -> dict[str, Array]:
        """What comes of images whose places have classes, a few at a time: `output` is the class.

        No image depends on others, so no bit depends on how many go together.
        """
        *sides, classes = self.output
        each, images = prod(sides), len(rows["images"])
        needs = {f"the classes of the places of {images:,} images": 4 * each * images * say}
        if keep:
            needs["and their probabilities"] = 4 * each * classes * images
        check_memory("measuring", needs, "fewer images, or smaller ones")
        said = np.empty((images if say else 0, *sides), np.int32)
        likely = np.empty((images, *self.output), np.float32) if keep else None
        others: dict[str, list[Array]] = {}
        step, same = max(1, TOGETHER // (each * classes)), object()
        for first in range(0, images, step):
            part = slice(first, first + step)
            taken = {name: array[part] for name, array in rows.items()}
            found = self._predictor.run(given, taken, version=same)
            classed = found.pop("output").argmax(axis=-1)
            counted.add(taken["labels"], classed)
            if say:
                said[part] = classed
            shares = found.pop("probabilities", None)
            if likely is not None and shares is not None:
                likely[part] = shares
            for name, values in found.items():
                others.setdefault(name, []).append(values)
        results = {name: np.concatenate(values) for name, values in others.items()}
        results["output"] = said
        if likely is not None:
            results["probabilities"] = likely
        return results

    def close(self) -> None:
        """End the threads."""
        self._predictor.close()

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def evaluate(
    model: Module,
    data: Data,
    *,
    loss: LossName | Loss | None = None,
    label_smoothing: float | None = None,
    normalisation: Normalisation | None = None,
    scale: float | None = None,
    threads: int | None = None,
    target: str | None = None,
    probabilities: bool = True,
) -> Evaluation:
    """Measure a model.

    The data's classes are matched with the model's by name; images must be of the kind that the
    model was trained on, as for ``model.predict``.

    Sums over images are taken in float64 in the order of a reduction (`partial_sum`), so that
    threads and batches change nothing.

    Args:
        model: a built model.
        data: a data set, or images and labels.
        loss: its name, or a `Loss`; None for the one that the model was trained with. A model out
            of a file does not know it: then it is cross-entropy, or what its results suit, and the
            evaluation says that it is ``guessed``.
        label_smoothing: of cross-entropy, which the loss then is; None for what the loss says.
        normalisation: constants per channel; None for those with which the model was trained.
        scale: what each value of the images is to be multiplied with, as for ``model.predict``.
        threads: number of threads; None for one per core.
        target: machine to compile for; None for the one at hand.
        probabilities: False leaves out those of the places of images, which take much memory.

    Raises:
        ArgumentError: the model was not built.
        DataError: images or labels that do not fit, or classes that the model does not know.
        DTypeError: images of another dtype than those that the model was trained on.
        ShapeError: images, model or loss do not fit together.
    """
    check_kind("model", model, Module, "a Module")
    probabilities = check_flag("probabilities", probabilities)
    if normalisation is not None:
        check_kind("normalisation", normalisation, Normalisation, "a Normalisation")
    if model.input_shape is None:
        text = "only a built model can be evaluated: call model.build(input_shape)"
        raise ArgumentError(text, argument="model", value=model)
    given = as_dataset(data, "data", "data")
    with whole:
        # All of one model, whatever other threads load meanwhile.
        weights, shape, known = model.weights, tuple(model.input_shape), known_loss(model)
        dataset = in_classes(given, model.class_names, "the model")
        with as_given({"images": "data"}, data=data):
            images = checked_images(model, dataset.images, scale)
        constants = normalisation_of(model) if normalisation is None else normalisation
    if images is not dataset.images:
        dataset = replace(dataset, images=images)
    dtype = "uint8" if dataset.images.dtype == np.uint8 else "float32"
    preparation = Preparation(shape, dtype, constants)  # type: ignore[arg-type]
    said = _said(loss, label_smoothing)
    judged_by = said or known
    guessed = judged_by is None
    if judged_by is None:
        judged_by = guessed_loss(model, dataset.labels)
    evaluator = Evaluator(model, preparation, judged_by, threads=threads, target=target)
    with evaluator:
        found = evaluator.run(weights, dataset, probabilities=probabilities)
        return replace(found, guessed=guessed)


def _said(loss: LossName | Loss | None, label_smoothing: float | None) -> Loss | None:
    """The loss that a person says; None where nothing is said of it."""
    if isinstance(loss, Loss) and label_smoothing not in (None, loss.label_smoothing):
        rule = f"be left out beside {loss}, which has its own"
        raise refusal("label_smoothing", rule, label_smoothing)
    if isinstance(loss, Loss) or (loss is None and label_smoothing is None):
        return loss
    with as_given({"name": "loss"}):
        name: LossName = "cross_entropy" if loss is None else loss
        return Loss(name, 0.0 if label_smoothing is None else label_smoothing)


def normalisation_of(model: Module) -> Normalisation | None:
    """The constants per channel with which a model was trained, if it was trained with any."""
    return None if model.normalisation is None else Normalisation(*model.normalisation)


def as_dataset(data: Data, argument: str, name: str) -> Dataset:
    """A data set, made from images and labels if need be; of some it may lack classes.

    Args:
        data: as a person gives it.
        argument: what it is called there.
        name: of the data set.

    Raises:
        DataError: arrays that cannot be used.
        ArgumentError: neither a data set nor a pair.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ArgumentError(
            f"{name} must be a Dataset or a pair (images, labels) in one tuple; got "
            f"{shown(data)}{_pair_hint(data)}",
            argument=argument,
            value=data,
        )
    with about(argument, data):
        return dataset_of(data[0], data[1], name=name, complete=False)


def _pair_hint(given: object) -> str:
    if isinstance(given, str | PathLike):
        return ": isoconv.data.load_splits reads files and folders"
    return ": give (images, labels) as one argument" if isinstance(given, np.ndarray) else ""


def check_images(data: Dataset, preparation: Preparation) -> None:
    """See that a data set's images are those that a model was prepared for.

    Raises:
        DataError: they are not.
    """
    if data.image_shape != preparation.shape or data.images.dtype != preparation.dtype:
        raise DataError(
            f"{data.name}: images must be {preparation.dtype} of shape {preparation.shape}; got "
            f"{data.images.dtype} of shape {data.image_shape}"
        )


def _mean(values: Array) -> float:
    return float(partial_sum(values.astype(np.float64))) / len(values)


def _mean_iou(confusion: Array) -> float:
    return score(confusion).iou if confusion.any() else 0.0


class _Confusion:
    """How often each class was taken for each, of images or of places that come some at a time.

    Args:
        classes: how many there are.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._pairs = np.zeros(classes * classes, np.int64)
        self._labels = np.zeros(classes, np.int64)

    def add(self, labels: Array, predictions: Array) -> None:
        """Some more, in whole numbers, so that the order of counting does not matter."""
        known = labels >= 0
        own, said = labels[known], predictions[known]
        pairs = own.astype(np.int64) * self._classes + said
        self._pairs += np.bincount(pairs, minlength=len(self._pairs))
        self._labels += np.bincount(own, minlength=self._classes)

    def found(self) -> tuple[Array, Array]:
        """The table, and the share of each class that was recognised."""
        confusion = self._pairs.reshape(self._classes, self._classes)
        hits, known = np.diagonal(confusion), np.maximum(self._labels, 1)
        return confusion, np.where(self._labels > 0, hits / known, np.nan)
