"""Dropout of whole channels and branches, and squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.run.graphs import check, random_arrays

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.operation import Array
from isoconv.nn import functional as F  # noqa: N812  (the field's usual name)

SHAPES = {1: (9, 11), 2: (4, 3, 11), 3: (2, 3, 2, 11)}


def factors(layer: nn.Module, shape: tuple[int, ...], images: int) -> tuple[Array, Array]:
    """What a layer makes of ones in training, and its gradient; as references and kernels do."""
    traced = nn.trace_model(layer, shape, training=True)
    b, x = traced.builder, traced.input
    dy = b.input("dataset", "dy", b.spec(traced.output).shape)
    flows = differentiate(b, {traced.output: dy}, [x])
    graph = b.graph([("y", traced.output), ("dx", flows[x])])
    given = random_arrays(graph, images)
    given["images"], given["dy"] = (np.ones((images, *shape), np.float32) for _ in range(2))
    found = check(graph, given, images)
    return found["y"], found["dx"]


@pytest.mark.parametrize("rank", SHAPES)
def test_channels_are_dropped_whole(rank: int) -> None:
    """Each image's channels by the numbers that dropout has for as many elements."""
    shape, images = SHAPES[rank], 40
    layer = {1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}[rank](0.25)
    y, dx = factors(layer, shape, images)
    np.testing.assert_array_equal(dx, y)
    alone, _ = factors(nn.Dropout(0.25), shape[-1:], images)
    each = alone.reshape(images, *(1,) * rank, shape[-1])
    np.testing.assert_array_equal(y, np.broadcast_to(each, y.shape))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.15 < (alone == 0).mean() < 0.35


def test_images_are_dropped_whole() -> None:
    """Stochastic depth leaves an image or takes all of it; a second layer has its own numbers."""
    y, dx = factors(nn.StochasticDepth(0.25), (3, 2), 200)
    np.testing.assert_array_equal(dx, y)
    kept = y[:, 0, 0]
    np.testing.assert_array_equal(y, np.broadcast_to(kept[:, None, None], y.shape))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.15 < (kept == 0).mean() < 0.35
    twice = nn.Sequential(nn.StochasticDepth(0.25), nn.StochasticDepth(0.25))
    both, _ = factors(twice, (3, 2), 200)
    assert len(np.unique(both)) == 2
    assert 0.3 < (both[:, 0, 0] == 0).mean() < 0.6


@pytest.mark.parametrize(
    "drop", [F.dropout1d, F.dropout2d, F.dropout3d, F.stochastic_depth, F.dropout]
)
def test_nothing_is_dropped_outside_of_training(drop: Callable[..., nn.Tensor]) -> None:
    """In inference, and with a rate of 0, the value itself comes back."""
    shape = SHAPES[int(drop.__name__[-2])] if drop.__name__[-1] == "d" else (3,)
    for training, rate in ((False, 0.5), (True, 0)):
        x = nn.Trace(training=training).images(shape)
        assert drop(x, rate) is x


def test_squeeze_and_excitation() -> None:
    """Its formula in NumPy, with other functions than the usual ones."""
    layer = nn.SqueezeExcitation(2, nn.SiLU(), F.tanh).build((3, 4, 5), seed=1)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    weights = layer.weights
    m = x.mean((1, 2)) @ weights["reduce_weight"] + 0.5
    layer.load_weights(weights | {"reduce_bias": np.full(2, 0.5, np.float32)})
    wanted = x * np.tanh((m / (1 + np.exp(-m))) @ weights["expand_weight"])[:, None, None]
    np.testing.assert_allclose(layer.predict(x, finish="none"), wanted, rtol=1e-5, atol=1e-6)
    assert layer.summary().rows[-1].multiply_adds == 2 * 2 * 5


def test_what_keeps_no_shape() -> None:
    """A function of squeeze-and-excitation that gives another shape, or no tensor, is named."""
    with pytest.raises(ShapeError, match=r"gate must keep the shape \(5,\)") as caught:
        nn.SqueezeExcitation(2, gate=lambda x: F.slice_channels(x, 0, 1)).build((3, 3, 5))
    assert caught.value.argument == "gate"
    with pytest.raises(ArgumentError, match="activation must be a layer or a function; got 'relu'"):
        nn.SqueezeExcitation(2, "relu")  # type: ignore[arg-type]
    assert isinstance(ic.nn.SqueezeExcitation(2).gate, nn.Sigmoid)
