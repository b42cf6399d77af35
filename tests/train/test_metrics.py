"""Measurements against plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoconv import nn
from isoconv.data import Dataset, normalisation
from isoconv.errors import ArgumentError, DataError, DTypeError, ShapeError
from isoconv.graph.operation import Array
from isoconv.ops.interpret import interpret
from isoconv.train import Normalisation, Trainer, answers, evaluate
from isoconv.train.losses import Loss
from isoconv.train.metrics import as_dataset, normalisation_of
from isoconv.train.optim import SGD

CLASSES = 7


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Noise with labels; class 6 has no image."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES - 1, 50)
    pixels = rng.integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
    return Dataset.from_arrays(pixels, labels, [str(k) for k in range(CLASSES)])


def linear() -> nn.Sequential:
    """The smallest classifier."""
    return nn.Sequential(nn.Flatten(), nn.Linear(CLASSES)).build((4, 4, 1), seed=2)


def logits_of(model: nn.Sequential, data: Dataset, constants: Normalisation) -> Array:
    """The classifier in float64."""
    weights = {name: array.astype(np.float64) for name, array in model.weights.items()}
    x = data.images * constants.scale.astype(np.float64) + constants.offset
    return x.reshape(len(x), -1) @ weights["1.weight"] + weights["1.bias"]


def test_evaluation_is_what_numpy_says(data: Dataset) -> None:
    """Loss, hits, confusion matrix and accuracy by class, with a class that has no image."""
    model, constants = linear(), Normalisation(*normalisation(data))
    found = evaluate(model, data, normalisation=constants, threads=2)
    logits = logits_of(model, data, constants)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    own = probabilities[np.arange(50), data.labels]
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, probabilities, rtol=1e-4, atol=1e-6)
    assert found.loss == pytest.approx(-np.log(own).mean(), rel=1e-5)
    predictions = logits.argmax(axis=1)
    assert found.predictions.tolist() == predictions.tolist()
    assert found.top1 == (predictions == data.labels).mean()
    ranks = (probabilities > own[:, None]).sum(axis=1)
    assert found.top5 == (ranks < 5).mean()
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (data.labels, predictions), 1)
    assert (found.confusion == confusion).all()
    assert found.confusion.dtype == np.int64
    counts = np.bincount(data.labels, minlength=CLASSES)
    wanted = np.diagonal(confusion)[:6] / counts[:6]
    np.testing.assert_array_equal(found.class_accuracy[:6], wanted)
    assert np.isnan(found.class_accuracy[6])


def test_threads_change_no_bit(data: Dataset) -> None:
    """Loss and probabilities are the same with any number of threads."""
    constants = Normalisation(*normalisation(data))
    one, three = (
        evaluate(linear(), data, normalisation=constants, threads=threads) for threads in (1, 3)
    )
    assert one.loss == three.loss
    assert one.probabilities is not None
    assert three.probabilities is not None
    assert one.probabilities.tobytes() == three.probabilities.tobytes()


def test_a_trained_model_brings_its_normalisation(data: Dataset) -> None:
    """After training the model is measured as the trainer measured it."""
    model = linear()
    run = Trainer(model, optimizer=SGD(0.1), batch_size=16, progress=False).fit(
        data, data, epochs=1
    )
    assert normalisation_of(model) is not None
    assert evaluate(model, data).loss == run.history[-1]["val_loss"]
    assert normalisation_of(linear()) is None


def test_the_data_are_those_of_the_training(data: Dataset) -> None:
    """Classes are matched by name; images of another kind are refused, or scaled on demand."""
    model = linear()
    names = [f"kind {k}" for k in range(CLASSES)]
    named = Dataset.from_arrays(data.images, data.labels, names)
    Trainer(model, batch_size=16, progress=False).fit(named, epochs=1)
    wanted = evaluate(model, named)
    turned = Dataset.from_arrays(data.images, CLASSES - 1 - data.labels, names[::-1])
    assert evaluate(model, turned).loss == wanted.loss
    assert evaluate(model, (data.images, data.labels)).loss == wanted.loss
    with pytest.raises(DataError, match=r"unknown: 'dog'; the model knows: 'kind 0'"):
        evaluate(model, Dataset.from_arrays(data.images[:1], [0], ["dog"]))
    floats = data.images.astype(np.float32)
    with pytest.raises(DTypeError, match="images must be uint8, as those that the model"):
        evaluate(model, (floats, data.labels))
    assert evaluate(model, (floats, data.labels), scale=1).loss == wanted.loss


def test_regression_and_binary(data: Dataset) -> None:
    """Without classes there is a loss, and the outputs are the predictions."""
    targets = np.linspace(0, 1, 50 * CLASSES, dtype=np.float32).reshape(50, CLASSES)
    pair = (data.images.astype(np.float32) / np.float32(255), targets)
    found = evaluate(linear(), pair, loss="mse")
    error = (found.predictions.astype(np.float64) - targets) ** 2
    assert found.loss == pytest.approx(error.mean(), rel=1e-6)
    assert (found.top1, found.top5, found.probabilities) == (None, None, None)
    assert found.confusion.shape == (0, 0)
    found = evaluate(linear(), pair, loss="bce")
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(-found.predictions)), rtol=1e-6)
    p = found.probabilities.astype(np.float64)
    loss = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()
    assert found.loss == pytest.approx(loss, rel=1e-5)


def test_maps_of_classes() -> None:
    """Each place is an answer; those without a label count nowhere, in no image's mean either."""
    draw = np.random.default_rng(2)
    pixels = draw.integers(0, 256, (6, 5, 4, 1)).astype(np.uint8)
    labels = draw.integers(-1, 3, (6, 5, 4))
    labels[5] = -1
    model = nn.Sequential(nn.Conv2d(3, 3, padding=1)).build((5, 4, 1), seed=2)
    constants = Normalisation(np.full(1, 1 / 255, np.float32), np.zeros(1, np.float32))
    found = evaluate(model, (pixels, labels), normalisation=constants)
    assert found.probabilities is not None
    predictions = found.probabilities.argmax(-1)
    assert found.predictions.tolist() == predictions.tolist()
    known = labels >= 0
    counts = np.maximum(known.sum((1, 2)), 1)
    right = ((predictions == labels) & known).sum((1, 2)) / counts
    assert found.top1 == pytest.approx(right.mean(), rel=1e-6)
    own = np.take_along_axis(found.probabilities, np.where(known, labels, 0)[..., None], -1)[..., 0]
    wanted = (np.where(known, -np.log(own), 0).sum((1, 2)) / counts).mean()
    assert found.loss == pytest.approx(wanted, rel=1e-5)
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (labels[known], predictions[known]), 1)
    assert (found.confusion == confusion).all()
    focal = (np.where(known, -np.log(own) * (1 - own) ** 2, 0).sum((1, 2)) / counts).mean()
    given: dict[str, Any] = {"normalisation": constants}
    assert evaluate(model, (pixels, labels), loss="focal", **given).loss == pytest.approx(
        focal, rel=1e-5
    )
    hot = (labels[..., None] == np.arange(3)).astype(float)
    said = found.probabilities * hot.sum(-1, keepdims=True)
    both = (2 * said * hot).sum((1, 2)) + 1
    size = (said + hot).sum((1, 2)) + 1
    assert evaluate(model, (pixels, labels), loss="dice", **given).loss == pytest.approx(
        float((1 - both / size).mean()), rel=1e-5
    )
    with pytest.raises(DataError, match=r"labels must lie in 0 … 2, .*; sample 4 has 3"):
        evaluate(model, (pixels, np.where(np.arange(6)[:, None, None] == 4, 3, labels)))
    with pytest.raises(
        DataError, match=r"each place of the model's result, \(3, 2\); got \(5, 4\)"
    ):
        evaluate(nn.Conv2d(3, 3).build((5, 4, 1)), (pixels, labels), **given)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("of_map", [False, True])
def test_weights_of_classes(loss: Any, of_map: bool) -> None:
    """Settings of a loss give what `nn.functional` gives for a tensor of them; dice has none."""
    draw = np.random.default_rng(3)
    pixels = draw.random((4, 3, 2, 1)).astype(np.float32)
    weights = (0.25, 2.0, 0.0)
    labels = draw.integers(-1, 3, (4, 3, 2)) if of_map else draw.integers(0, 3, 4)
    layers = (nn.Conv2d(3, 1),) if of_map else (nn.Flatten(), nn.Linear(3))
    model = nn.Sequential(*layers).build((3, 2, 1), seed=4)
    shape = labels.shape[1:]
    trace = nn.Trace(model)
    output = model(trace.images((3, 2, 1)))
    given = trace.input("dataset", "labels", shape, "int32")
    weight = trace.input("parameter", "weight", (3,))
    function = getattr(nn.functional, loss)
    graph = trace.builder.graph([("y", function(output, given, weight=weight).index)])
    arrays = {"images": pixels, "labels": labels.astype(np.int32), **model.weights,
              "weight": np.array(weights, np.float32)}  # fmt: skip
    wanted = interpret(graph, arrays, 4)["y"]
    judged = Loss(loss, class_weights=weights)
    found = evaluate(model, (pixels, labels), loss=judged)
    assert found.loss == pytest.approx(wanted.astype(float).mean(), rel=1e-6)
    for wrong, rule in (
        (lambda: Loss("dice", class_weights=weights), "class_weights must be none with loss"),
        (lambda: Loss(class_weights=(1.0, -1.0)), r"class_weights\[1\] must be .* at least 0"),
        (lambda: evaluate(model, (pixels, labels), loss=Loss(loss, class_weights=(1.0,))),
         "class_weights must be one for each of the 3 classes"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=rule):
            wrong()


@pytest.mark.parametrize(
    ("loss", "of"),
    [("l1", lambda d: d), ("smooth_l1", lambda d: np.where(d < 1, d * d / 2, d - 0.5))],
)
def test_losses_of_numbers(data: Dataset, loss: Any, of: Callable[[Array], Array]) -> None:
    """The mean over the images of what the difference gives."""
    targets = np.linspace(-3, 3, 50 * CLASSES, dtype=np.float32).reshape(50, CLASSES)
    found = evaluate(linear(), (data.images.astype(np.float32), targets), loss=loss)
    wanted = of(np.abs(found.predictions.astype(np.float64) - targets)).mean()
    assert found.loss == pytest.approx(wanted, rel=1e-5)
    assert found.probabilities is None


def test_what_does_not_fit_is_named(data: Dataset) -> None:
    """An unbuilt model, other images, labels out of range."""
    with pytest.raises(ArgumentError, match="only a built model can be evaluated"):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(2)), data)
    small = Dataset.from_arrays(np.zeros((2, 3, 3, 1), np.uint8), [0, 1])
    with pytest.raises(ShapeError, match=r"images must have shape \(N, 4, 4, 1\).*got \(2, 3"):
        evaluate(linear(), small)
    for other in ((16, 1, 1), (2, 8, 1), (1, 4, 4), (4, 1, 4), (16, 1)):
        images = data.images.reshape(50, *other)
        with pytest.raises(ShapeError, match=r"images must have shape \(N, 4, 4, 1\).*; got \(50"):
            evaluate(linear(), (images, data.labels))
    with pytest.raises(DataError, match="the model has 7 outputs; sample 0 has 7"):
        evaluate(linear(), (data.images, data.labels * 0 + 7))


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (
            np.zeros((6, 4, 4), np.uint8),
            r"uint8 array of shape \(6, 4, 4\): give \(images, labels\)",
        ),
        ("pets", "'pets': isoconv.data.load_splits reads files and folders"),
        (Path("pets"), r"PosixPath\('pets'\): isoconv.data.load_splits reads"),
        ((1,), r"\(1,\)$"),
        (None, "None$"),
    ],
)
def test_data_that_are_none(given: Any, got: str) -> None:
    """What was given is shown, and what was meant, perhaps."""
    with pytest.raises(ArgumentError, match=rf"pair \(images, labels\) in one tuple; got {got}"):
        as_dataset(given, "data", "data")


def test_places_are_not_called_images() -> None:
    """Of labels of places the accuracy has no interval, and nobody is told single answers."""
    images = np.arange(96, dtype=np.uint8).reshape(6, 4, 4, 1)
    data = Dataset.from_arrays(images, np.arange(96).reshape(6, 4, 4) % 2)
    measured = evaluate(nn.Sequential(nn.Conv2d(2, 1)).build((4, 4, 1)), data)
    assert measured.of_places
    assert f"{100 * (measured.top1 or 0):.2f}% of each image's places in the mean" in repr(measured)
    assert "interval" not in repr(measured)
    with pytest.raises(ArgumentError, match="must be of one class for each image"):
        answers(data, measured)
