"""A model on some images: values and gradients are those of predictions and of training."""

from __future__ import annotations

import numpy as np
import pytest

from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.explain.inspect import inspect
from isoconv.explain.network import Network
from isoconv.explain.numbers import explain
from isoconv.graph.values import evaluate
from isoconv.nn.models import MODELS, create
from isoconv.train.losses import LossName


def images(shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    """Some images."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(count, *shape)).astype(np.float32)


SMALL = {"lenet5", "mobilenetv2", "resnet20", "resnet20_winograd", "small_resnet", "tinyvgg",
         "vgg11"}  # fmt: skip
"""Models with the layers that many of the larger ones are made of."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name if name in SMALL else pytest.param(name, marks=pytest.mark.exhaustive)
        for name in sorted(MODELS)
    ],
)
def test_results_are_those_of_a_prediction(name: str) -> None:
    """The last value is what `predict` gives, bit for bit."""
    shape = (32, 32, 3)
    model = create(name, 10).build(shape)
    network = Network(model, images(shape, 1))
    assert network.value(network.finished).tobytes() == model.predict(network.images).tobytes()


def test_every_element_by_its_terms() -> None:
    """Of every node, forward and backward, some elements by their terms."""
    model = nn.Sequential(
        nn.Conv2d(4, 3, padding=1), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(3),
    ).build((8, 8, 2))  # fmt: skip
    network = Network(model, images((8, 8, 2)), [0, 2])
    rng = np.random.default_rng(6)
    flow = network.flow()
    seen = 0
    assert network.loss is not None
    for index in {*network.layers[0].nodes, network.output, network.loss, *flow.nodes.values()}:
        if network.node(index).op == "input":
            continue
        value = network.value(index)
        for flat in rng.integers(0, value.size, 4):
            place = tuple(int(i) for i in np.unravel_index(flat, value.shape))
            term = network.terms(index, place)
            found = evaluate(term, network.operands(index), value.dtype)
            assert np.asarray(found).tobytes() == value[place].tobytes()
            seen += 1
    assert seen > 40


def test_an_unknown_layer_is_told_with_its_neighbours() -> None:
    """The message names layers that are near."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((5, 5, 1))
    network = Network(model, images((5, 5, 1)))
    with pytest.raises(ArgumentError, match=r"no layer is called '11'; there are 3, near it: 1"):
        network.layer("11")


def test_labels_are_looked_at() -> None:
    """Labels beyond the classes, and as many as images."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((2, 2, 1))
    for labels, text in (([0, 3], r"0 … 2; got \[0, 3\]"), ([0], "each of the 2 images")):
        with pytest.raises(ArgumentError, match=text):
            Network(model, images((2, 2, 1)), labels)


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_targets_are_looked_at(loss: LossName) -> None:
    """Numbers that are not finite, and for bce those that are no probabilities, are refused."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((2, 2, 1))
    wrong = [(np.nan, "be finite"), (np.inf, "be finite"), (1e300, "be finite")]
    if loss == "bce":
        wrong += [(-3, r"lie in 0 … 1; image 1 has -3\.0"), (2, r"lie in 0 … 1; image 1 has 2\.0")]
    for value, text in wrong:
        targets = [[0, 0, 1], [1, value, 0]]
        with pytest.raises(ArgumentError, match=f"targets of loss '{loss}' must {text}"):
            explain(model, images((2, 2, 1)), loss=loss, label=targets)
        with pytest.raises(ArgumentError, match=f"targets of loss '{loss}' must {text}"):
            inspect(model, images((2, 2, 1)), targets, loss=loss)


def test_a_sigmoid_at_the_end_is_judged_by_bce() -> None:
    """Where nobody names a loss; a target for each image is enough where there is one result."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1), nn.Sigmoid()).build((2, 2, 1))
    x, y = images((2, 2, 1)), [1, 0.25]
    told = explain(model, x, ("loss", 1), label=y)
    seen = inspect(model, x, y)
    p = model.predict(x)[:, 0].astype(np.float64)
    wanted = -(np.array(y) * np.log(p) + (1 - np.array(y)) * np.log(1 - p))
    assert told.kind == "bce"
    assert seen.losses is not None
    np.testing.assert_allclose(seen.losses, wanted, 1e-6)
    assert told.value == seen.losses[1]
