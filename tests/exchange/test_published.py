"""Networks that others published: the names of their arrays, and what they give."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.exchange.published import SIDE, digest, images, values

from isoconv import exchange, nn
from isoconv.errors import DataWarning
from isoconv.exchange.torch_weights import shapes_of

KNOWN: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("published.json").read_text("utf-8")
)
"""From torchvision and timm, see `make_published`."""
SHAPE = (SIDE, SIDE, 3)
QUICK = ("squeezenet1_1", "mobilenet_v3_small")


@pytest.mark.parametrize("name", KNOWN)
def test_names_and_shapes(name: str) -> None:
    """Every array of torchvision's and timm's network has a place, and no other."""
    model = nn.models.create(name, 10, SHAPE)
    found = {layout: digest(shapes_of(model, SHAPE, layout)) for layout in KNOWN[name]["names"]}
    assert found == KNOWN[name]["names"]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        pytest.param(name, layout, marks=[] if name in QUICK else pytest.mark.exhaustive)
        for name, entry in KNOWN.items()
        for layout in entry["results"]
    ],
)
def test_results(name: str, layout: str) -> None:
    """With the same weights a network gives what PyTorch's gives, unless a warning says why not."""
    model = nn.models.create(name, 10, SHAPE)
    weights = {each: values(each, shape) for each, shape in shapes_of(model, SHAPE, layout).items()}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DataWarning)
        exchange.load_into(model, weights, layout, input_shape=SHAPE)
    found = model.predict(images(), finish="none")[0]
    wanted = np.array(KNOWN[name]["results"][layout])
    furthest = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert [str(each.message).split(" where")[0] for each in told] == (
        ["the network whose names these are (timm's) adds 1e-05 to variances"]
        if furthest > 1e-4
        else []
    )
