"""Networks that others published: the names of their arrays, and what they give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.exchange.published import SIDE, digest, images, values

from isoconv import exchange, nn
from isoconv.exchange.torch_weights import shapes_of

KNOWN: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("published.json").read_text("utf-8")
)
"""From torchvision and timm, see `make_published`."""
SHAPE = (SIDE, SIDE, 3)
QUICK = ("squeezenet1_1",)


@pytest.mark.parametrize("name", KNOWN)
def test_names_and_shapes(name: str) -> None:
    """Every array of torchvision's and timm's network has a place, and no other."""
    model = nn.models.create(name, 10, SHAPE)
    found = {layout: digest(shapes_of(model, SHAPE, layout)) for layout in KNOWN[name]["names"]}
    assert found == KNOWN[name]["names"]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.exhaustive) for n in KNOWN]
)
def test_results(name: str) -> None:
    """With the same weights a network gives what PyTorch's gives."""
    layout = KNOWN[name]["layout"]
    model = nn.models.create(name, 10, SHAPE)
    weights = {each: values(each, shape) for each, shape in shapes_of(model, SHAPE, layout).items()}
    exchange.load_into(model, weights, layout, input_shape=SHAPE)
    found = model.predict(images(), finish="none")[0]
    wanted = np.array(KNOWN[name]["result"])
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
