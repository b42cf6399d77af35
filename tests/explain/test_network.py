"""A model on some images: values and gradients are those of predictions and of training."""

from __future__ import annotations

import numpy as np
import pytest

from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.explain.network import Network
from isoconv.graph.values import evaluate
from isoconv.nn.models import MODELS, create


def images(shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    """Some images."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", sorted(MODELS))
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
