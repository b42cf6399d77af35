"""Networks as graphs of named layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.nn.architecture import architecture_of, model_of

SHARED = nn.Conv2d(3, 1, bias=False)


def branching() -> nn.Network:
    """A network whose layers are read twice, stand in two steps, and are left unread."""
    return nn.Network(
        (
            ("layer1.0.conv", nn.Conv2d(3, 3, padding=1), "image"),
            ("norm", nn.BatchNorm(), "layer1.0.conv"),
            ("once", SHARED, "norm"),
            ("twice", SHARED, "once"),
            ("shift", nn.Constant((3,)), "image"),
            ("product", nn.Multiply(), "twice", "shift"),
            ("sum", nn.Add(), "product", "norm"),
            ("unread", nn.Sigmoid(), "sum"),
        ),
        ("image",),
        "sum",
    )


def test_layers_read_what_they_name() -> None:
    """A network computes what its layers do one by one; weights have the names of its steps."""
    model = branching().build((6, 5, 3), seed=4)
    assert sorted(model.parameters()) == [
        "layer1.0.conv.bias", "layer1.0.conv.weight", "norm.bias", "norm.weight", "once.weight",
        "shift.value",
    ]  # fmt: skip
    weights = {**model.weights, "shift.value": np.array([2, -1, 0.5], np.float32)}
    model.load_weights(weights)
    images = np.random.RandomState(0).randn(2, 6, 5, 3).astype(np.float32)
    norm = nn.Sequential(nn.Conv2d(3, 3, padding=1), nn.BatchNorm()).build((6, 5, 3))
    names = {"layer1.0.conv": "0", "norm": "1"}
    norm.load_weights(
        {f"{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in weights.items()
         if k.rpartition(".")[0] in names}
    )  # fmt: skip
    first = norm.predict(images, finish="none")
    once = nn.Conv2d(3, 1, bias=False).build((6, 5, 3))
    once.load_weights({"weight": weights["once.weight"]})
    twice = once.predict(once.predict(first, finish="none"), finish="none")
    wanted = twice * weights["shift.value"] + first
    assert np.array_equal(model.predict(images, finish="none"), wanted)


def test_a_linear_layer_of_what_is_no_image() -> None:
    """A state that a network begins with is the same for each image, and its product is learned."""
    steps = (
        ("start", nn.Constant((3,)), "image"), ("next", nn.Linear(2), "start"),
        ("flat", nn.Flatten(), "image"), ("own", nn.Linear(2), "flat"),
        ("sum", nn.Add(), "own", "next"),
    )  # fmt: skip
    model = nn.Network(steps, ("image",), "sum").build((2, 2, 1), seed=1)
    weights = {**model.weights, "start.value": np.array([1, -2, 3], np.float32)}
    model.load_weights(weights)
    images = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    found = model.predict(images, finish="none")
    beside = weights["start.value"] @ weights["next.weight"] + weights["next.bias"]
    wanted = images.reshape(2, 4) @ weights["own.weight"] + weights["own.bias"] + beside
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    data = ic.data.Dataset.from_arrays(images, np.array([0, 1]))
    before = model.weights
    ic.Trainer(model).fit(data, epochs=1)
    changed = {name for name, a in model.weights.items() if not np.array_equal(a, before[name])}
    assert changed == {*before}


def test_networks_are_stored(tmp_path: Any) -> None:
    """A network goes into a file and comes back with its names, its shared layer and its bits."""
    model = branching().build((6, 5, 3), seed=4)
    file = tmp_path / "network.safetensors"
    model.save(file)
    back = ic.load(file)
    assert back.describe() == model.describe()
    images = np.ones((1, 6, 5, 3), np.float32)
    assert np.array_equal(model.predict(images), back.predict(images))
    assert [row.name for row in back.summary().rows][:3] == ["layer1.0.conv", "norm", "once"]


CONV = nn.Conv2d(3, 1)
WRONG: list[tuple[tuple[Any, ...], str, str]] = [
    (((),), "steps", "be a list with at least one entry; got ()"),
    (((("a", CONV, "x"),), ()), "inputs", "be a list with at least one entry; got ()"),
    (((("a", CONV, "x"),), ("x", "z")), "inputs[1]", "be read by a step; got 'z'"),
    (((("a", CONV, "x"),), ("x", "x")), "inputs[1]", "have a name of its own; got 'x'"),
    (((("b", CONV, "x"), ("a", CONV)),), "steps[1]", "be a name, a layer, and names of"),
    (((("", CONV, "x"),),), "steps[0]", "have a name of its own; got ''"),
    (((("x", CONV, "x"),),), "steps[0]", "have a name of its own; got 'x'"),
    (((("a", len, "x"),),), "steps[0]", "have a layer behind its name; got <built-in"),
    (((("a", CONV, "x", "y"),),), "steps[0]", "'a', must read inputs and steps before it; got 'y'"),
    # A cycle is a step that reads a later one.
    (((("a", CONV, "b"), ("b", CONV, "x")),), "steps[0]", "steps before it; got 'b'"),
    (((("a", CONV, "x", "a"),),), "steps[0]", "steps before it; got 'a'"),
    (((("a", CONV, "x"),), ("x",), "b"), "output", "be the name of a step or of an input; got 'b'"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "argument", "text"), WRONG)
def test_graphs_that_are_none_are_refused(given: Any, argument: str, text: str) -> None:
    """Names that are missing, doubled or unknown, and cycles, are refused with their place."""
    with pytest.raises(ArgumentError, match=r".") as caught:
        nn.Network(*given)
    assert text in str(caught.value)
    assert caught.value.argument == argument


def test_records_of_strangers_are_held_to_it() -> None:
    """A record whose graph has a cycle is refused as a file that cannot be read."""
    steps = (("a", nn.ReLU(), "x"), ("b", nn.Add(), "x", "a"), ("c", nn.ReLU(), "b"))
    plain = architecture_of(nn.Network(steps))
    assert plain is not None
    assert type(model_of(plain, "a file")) is nn.Network
    plain["steps"][1][3] = "c"
    with pytest.raises(CheckpointError, match="must read inputs and steps before it; got 'c'"):
        model_of(plain, "a file")


def test_as_many_values_as_inputs() -> None:
    """A network of two inputs is used inside another model, with two values."""

    class Outer(nn.Module):
        def __init__(self) -> None:
            self.inner = nn.Network((("sum", nn.Add(), "a", "b"),), ("a", "b"))

        def forward(self, x: nn.Tensor) -> nn.Tensor:
            return self.inner(x, x)

    model = Outer().build((2,))
    assert model.predict(np.array([[1, 2]], np.float32), finish="none").tolist() == [[2.0, 4.0]]
    with pytest.raises(ArgumentError, match="the network takes 2 inputs, a, b; got 1"):
        model.inner.build((2,))
