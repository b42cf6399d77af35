"""What layers and functions on arrays say of their shapes, held to what they compute."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from tests.nn.array_calls import CASES
from tests.nn.layers import JOINED, alone, bind, layer_of, public_layers, sections, takes_several

import isoconv as ic
from isoconv import nn

LAYERS = public_layers()
SECTIONS = ["Args", "Input shape", "Output shape", "Source", "Raises", "Example"]
"""In the order in which they stand."""


def documented(value: Any) -> dict[str, str]:
    """The sections of something's own documentation."""
    return sections(inspect.cleandoc(value.__doc__ or ""))


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_layer_is_documented(name: str) -> None:
    """Each layer says its shapes, its dtype and where its formula is from, and has an example."""
    found = documented(LAYERS[name])
    assert list(found) == [each for each in SECTIONS if each in found]
    assert {"Input shape", "Output shape", "Source", "Example"} <= set(found)
    assert "float32" in found["Input shape"] or name == "Sequential"
    assert re.search(r"\b(1[89]|20)\d\d, \"|^    No formula: ", found["Source"]), found["Source"]
    assert re.search(rf"nn\.{name}(2d)?\(", found["Example"])


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_layer_has_the_shapes_that_it_says(name: str) -> None:
    """Axes that are named the same have the same size; others are settings, or products of both."""
    kind = LAYERS[name]
    layer, shape = layer_of(kind) if not takes_several(kind) else (kind(), JOINED)
    model = alone(layer)
    x = nn.Trace(model, training=True).images(shape)
    output = model(x, x) if takes_several(kind) else model(x)
    found = documented(kind)
    sizes = bind(found["Input shape"], shape, {})
    if "``(" in found["Output shape"]:
        bind(found["Output shape"], output.shape, {**vars(layer), **sizes})


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_function_on_arrays_has_the_shapes_that_it_says(name: str) -> None:
    """Each array that it takes and the one that it gives have the axes and the dtype it says."""
    function = getattr(ic, name)
    found = documented(function)
    arrays, settings = CASES[name]
    names = list(inspect.signature(function).parameters)[: len(arrays)]
    lines = dict(re.findall(r"(?m)^    (\w+): (.*)$", found["Input shape"]))
    assert list(lines) == names
    sizes: dict[str, Any] = {"groups": 1}
    for argument, array in zip(names, arrays, strict=True):
        if "``(" in lines[argument]:
            sizes = bind(lines[argument], np.shape(array), sizes)
    result = function(*arrays, **settings)
    bind(found["Output shape"], result.shape, sizes)
    assert f"of the dtype of {names[0]}" in found["Output shape"]
    assert result.dtype == np.asarray(arrays[0]).dtype


@pytest.mark.parametrize(
    ("text", "shape", "known"),
    [
        ("``(H, W, C)``", (8, 8), {}),
        ("``(H', W', filters)``", (8, 8, 3), {"filters": 4}),
        ("``(..., C)``", (8, 3), {"C": 4}),
        ("``(..., C)``", (), {}),
        ("``(H, W, C · multiplier)``", (8, 8, 3), {"C": 3, "multiplier": 2}),
        ("any shape", (8,), {}),
    ],
)
def test_shapes_that_differ_are_found(
    text: str, shape: tuple[int, ...], known: dict[str, int]
) -> None:
    """A documentation of another rank, size or product than what is computed does not pass."""
    with pytest.raises(AssertionError):
        bind(text, shape, known)
