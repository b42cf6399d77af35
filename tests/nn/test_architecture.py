"""Architectures as plain values: whatever the library offers comes back from its record whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.nn.layers import alone, layer_of, public_layers, takes_several

import isoconv as ic
from isoconv import nn
from isoconv.errors import CheckpointError
from isoconv.nn import functional, models
from isoconv.nn.architecture import architecture_of, model_of, own_class
from isoconv.nn.inference import inference_graph

JOINING = sorted(name for name, kind in public_layers().items() if takes_several(kind))
LAYERS = sorted(set(public_layers()) - set(JOINING))


def there_and_back(model: nn.Module) -> nn.Module:
    """The model of a model's record, which goes through JSON as in a file."""
    plain = architecture_of(model)
    assert plain is not None, own_class(model)
    made = model_of(json.loads(json.dumps(plain)), "a file")
    assert architecture_of(made) == plain
    return made


def same(model: nn.Module, shape: tuple[int, ...]) -> None:
    """See that a model and that of its record draw the same weights and compute the same."""
    made = there_and_back(model)
    assert type(made) is type(model)
    model.build(shape, seed=3, fresh=True)
    made.build(shape, seed=3)
    assert made.digest() == model.digest()
    assert list(made.weights) == list(model.weights)
    graphs = [inference_graph(one, shape, "float32", "none") for one in (model, made)]
    assert graphs[0] == graphs[1]
    traced = [nn.trace_model(one, shape, training=True) for one in (model, made)]
    outputs = [one.builder.graph([("y", one.output)]) for one in traced]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_comes_back(name: str) -> None:
    """Every setting of every public layer is in the record."""
    layer, shape = layer_of(public_layers()[name])
    assert type(layer).__name__ == name
    same(alone(layer), shape)


@pytest.mark.parametrize("name", JOINING)
def test_joining_layers_come_back(name: str) -> None:
    """Layers of several tensors have no settings; their record is their name."""
    layer = getattr(nn, name)()
    assert architecture_of(layer) == {"type": name}
    assert type(there_and_back(layer)) is type(layer)


@pytest.mark.parametrize("name", LAYERS)
def test_no_setting_is_by_default(name: str) -> None:
    """Each setting that is tried differs from its default, so that a lost one would be seen."""
    layer, _ = layer_of(public_layers()[name])
    fields = getattr(type(layer), "__dataclass_fields__", {})
    usual = [key for key, field in fields.items() if getattr(layer, key) == field.default]
    # The other algorithm, and other modes of padding, take fewer settings of the rest.
    assert usual == {
        "Conv2d": ["algorithm"],
        "Pad": ["mode"],
        "FractionalMaxPool2d": ["output_size"],
        "FractionalMaxPool3d": ["output_size"],
        "Resize": ["size", "policy"],
        "Upsample": ["size"],
    }.get(name, [])


@pytest.mark.parametrize("algorithm", ["winograd", "direct"])
def test_the_algorithm_comes_back(algorithm: str) -> None:
    """Winograd's convolution has other bits, and a record says which it is."""
    same(nn.Conv2d(4, 3, padding=1, algorithm=algorithm), (8, 8, 3))


@pytest.mark.parametrize("kind", ["FractionalMaxPool2d", "FractionalMaxPool3d"])
def test_an_offset_comes_back(kind: str) -> None:
    """Drawn or a number; records from before windows were drawn hold the number."""
    shape = (*(9, 8, 6)[: int(kind[-2])], 2)
    same(getattr(nn, kind)(2, 3), shape)
    plain = {"type": kind, "kernel_size": 2, "output_size": 3, "output_ratio": None, "offset": 0.5}
    traced = nn.trace_model(model_of(plain, "a file"), shape, training=True)
    met = {traced.builder[i].op for i in range(traced.output + 1)}
    assert met == {"input", "take", "max_pool"}


@pytest.mark.parametrize("name", models.MODELS)
def test_every_ready_model_comes_back(name: str) -> None:
    """All ready models are made of layers that have a record."""
    shape = (32, 32, 3)
    made = there_and_back(models.create(name, 7, shape))
    one, other = (
        nn.trace_model(model, shape, training=True)
        for model in (models.create(name, 7, shape), made)
    )
    assert one.builder.graph([("y", one.output)]) == other.builder.graph([("y", other.output)])
    assert one.trace.shapes == other.trace.shapes


@pytest.mark.parametrize("name", sorted(functional.__all__))
def test_every_function_comes_back(name: str) -> None:
    """A function of the library is kept by its name, the same object."""
    function: Callable[..., Any] = getattr(functional, name)
    made = there_and_back(nn.Sequential(function))
    assert made[0] is function  # type: ignore[index]


def test_shared_layers_stay_shared() -> None:
    """A layer in two places is one layer afterwards, however deep it lies."""
    conv = nn.Conv2d(3, 3, padding=1)
    block = nn.Sequential(conv, nn.BatchNorm2d())
    model = nn.Sequential(block, nn.Residual(block), nn.Sequential(conv, nn.ReLU()))
    made = there_and_back(model)
    assert made[0] is made[1].body  # type: ignore[index]
    assert made[0][0] is made[2][0]  # type: ignore[index]
    assert made[2][1] is not made[0][1]  # type: ignore[index]
    same(model, (6, 6, 3))
    assert len(model.weights) == 6


# What has no record


class Scaled(nn.Module):
    """A person's own layer."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The input times a number."""
        return self._factor * x


@dataclass(repr=False)
class Gain(nn.Module):
    """A person's own layer with fields, as the library's have."""

    factor: float = 2.0

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """The input times a number."""
        return self.factor * x


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (Scaled(3.0), "the class Scaled"),
        (Gain(3.0), "the class Gain"),
        (lambda x: 2 * x, "the function <lambda>"),
        (nn.Residual(Scaled(2)), "the class Scaled"),
    ],
    ids=["class", "fields", "function", "inside"],
)
def test_own_classes_have_no_record(step: Any, why: str) -> None:
    """Neither a class nor a function of one's own is ever taken for one of the library's."""
    model = nn.Sequential(nn.ReLU(), step)
    assert architecture_of(model) is None
    assert own_class(model) == why


def test_own_classes_of_a_library_name() -> None:
    """A class counts by itself, not by its name; so does what was put on a layer beside it."""
    named = type("ReLU", (Scaled,), {})(2.0)
    assert own_class(nn.Sequential(named)) == "the class ReLU"
    layer = nn.Conv2d(4, 3)
    layer.scale = 2.0
    assert own_class(layer) == "the attribute 'scale' of a Conv2d"
    sub = type("Conv2d", (nn.Conv2d,), {})(4, 3)
    assert own_class(sub) == "the class Conv2d"


@pytest.mark.parametrize("kind", [Scaled, Gain])
def test_a_layer_without_a_record_would_be_noticed(
    kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that joins the public names is tried, and has a record if its settings are fields."""
    monkeypatch.setattr(nn, "__all__", [*nn.__all__, kind.__name__])
    monkeypatch.setattr(nn, kind.__name__, kind, raising=False)
    assert public_layers()[kind.__name__] is kind
    ic.nn.architecture._types.cache_clear()
    try:
        if kind is Gain:
            same(Gain(3.0), (4, 4, 1))
        else:
            # Its setting is no field, so no record could hold it.
            with pytest.raises((AssertionError, TypeError, CheckpointError)):
                same(Scaled(3.0), (4, 4, 1))
    finally:
        ic.nn.architecture._types.cache_clear()


def test_numbers_of_numpy() -> None:
    """A setting that is a number of NumPy is kept as the number that it is, to the last digit."""
    layer = nn.LeakyReLU(np.float32(0.3))  # type: ignore[arg-type]
    assert architecture_of(layer) == {"type": "LeakyReLU", "slope": 0.30000001192092896}
    same(layer, (9, 9, 2))
