"""Networks that others published: the names of their arrays, and what they give."""

from __future__ import annotations

import inspect
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.exchange.published import SIDE, digest, images, values

from isoconv import exchange
from isoconv.errors import DataWarning
from isoconv.exchange.torch_settings import constructor, settings_of
from isoconv.exchange.torch_weights import ready_model, shapes_of
from isoconv.nn import models
from isoconv.nn.models.published import PUBLISHED

KNOWN: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("published.json").read_text("utf-8")
)
"""From torchvision and timm, see `make_published`."""
SHAPE = (SIDE, SIDE, 3)
QUICK = ("squeezenet1_1", "mobilenet_v3_small")


@pytest.mark.parametrize("name", KNOWN)
def test_names_and_shapes(name: str) -> None:
    """Every array of torchvision's and timm's network has a place, and no other."""
    model = models.create(name, 10, SHAPE)
    found = {layout: digest(shapes_of(model, SHAPE, layout)) for layout in KNOWN[name]["names"]}
    assert found == KNOWN[name]["names"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layout"),
    [
        pytest.param(name, layout, marks=[] if name in QUICK else pytest.mark.exhaustive)
        for name, entry in KNOWN.items()
        for layout in entry["results"]
    ],
)
def test_results(name: str, layout: str) -> None:
    """With the same weights a network gives what PyTorch's of the same settings gives."""
    model = models.ALL_MODELS[name](10, SHAPE, **settings_of(name, layout)[0])
    weights = {each: values(each, shape) for each, shape in shapes_of(model, SHAPE, layout).items()}
    exchange.load_into(model, weights, layout, input_shape=SHAPE)
    found = model.predict(images(), finish="none")[0]
    wanted = np.array(KNOWN[name]["results"][layout])
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("name", "layout", "told"),
    [
        ("mobilenet_v3_small", "timm", "adds 1e-05 to variances, and this model adds 0.001 "),
        ("efficientnet_b0", "efficientnet_pytorch", "adds 0.001 to variances and pads as TensorFl"),
        ("efficientnet_b0", "timm", ""),
        ("mobilenet_v3_small", "torchvision", ""),
    ],
)
def test_a_network_of_other_settings_is_told(name: str, layout: str, told: str) -> None:
    """Weights of other constants than the model's are taken with a warning that says how to."""
    model = models.create(name, 10, SHAPE)
    weights = {each: values(each, shape) for each, shape in shapes_of(model, SHAPE, layout).items()}
    seen = pytest.warns(DataWarning, match=rf"{told}.*nn\.models\.{name}\(…, eps=")
    with seen if told else nullcontext():
        exchange.load_into(model, weights, layout, input_shape=SHAPE)
    model = models.ALL_MODELS[name](10, SHAPE, **settings_of(name, layout)[0])
    exchange.load_into(model, weights, layout, input_shape=SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_lite0"])
def test_names_that_several_networks_share(name: str) -> None:
    """A file's names do not tell timm's networks of TensorFlow apart: the usual one, and a word."""
    usual, other = settings_of(name, "timm")
    model = models.ALL_MODELS[name](10, (224, 224, 3), **usual)
    weights = {n: values(n, s) for n, s in shapes_of(model, (224, 224, 3), "timm").items()}
    with pytest.warns(
        DataWarning, match="names do not tell which of timm's networks it is"
    ) as told:
        found = ready_model(weights)
    assert len(told) == 1
    assert constructor(name, other) in str(told[0].message)
    expected = exchange.load_into(model, weights, "timm", input_shape=(224, 224, 3))
    assert found.describe() == expected.describe()
    assert [each.line() for _, each in found.named_modules()] == [
        each.line() for _, each in expected.named_modules()
    ]


def test_settings_of_published_files() -> None:
    """Each published file is of a network of its layout, by settings that its model takes."""
    for entry in PUBLISHED.values():
        known = settings_of(entry.model, entry.layout)
        usual = inspect.signature(models.ALL_MODELS[entry.model]).parameters
        assert {key: entry.settings.get(key, usual[key].default) for key in known[0]} in known
        assert {*entry.settings} <= {*usual}
