"""What of a layer slides: direct, depthwise, linear and Winograd convolutions, and poolings."""

from __future__ import annotations

import numpy as np
import pytest

from isoconv import nn
from isoconv.explain.network import Network
from isoconv.explain.windows import pooling_of, window_of
from isoconv.graph.operation import operation

LAYERS = [
    nn.Conv2d(4, 3, stride=2, padding=1),
    nn.Conv2d(4, (3, 2), padding="same", groups=2, bias=False),
    nn.Conv2d(4, 3, padding=1, algorithm="winograd"),
    nn.DepthwiseConv2d(3, multiplier=2),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_the_window_gives_the_layer(layer: nn.Module) -> None:
    """Kernel and geometry give the result: the very bits, or nearly so for Winograd."""
    model = nn.Sequential(layer).build((7, 6, 4))
    x = np.random.default_rng(1).normal(size=(2, 7, 6, 4)).astype(np.float32)
    network = Network(model, x)
    sliding = window_of(network, network.layers[0])
    assert sliding is not None
    kernel = network.value(sliding.weight)
    chain = operation("conv").reference(
        sliding.geometry, network.value(sliding.x), kernel, images=2
    )
    found = network.value(sliding.y)
    if sliding.own:
        assert chain.tobytes() == found.tobytes()
    np.testing.assert_allclose(chain, found, rtol=1e-4, atol=1e-5)
    whole = found if sliding.bias is None else found + network.value(sliding.bias)
    assert whole.tobytes() == network.value(sliding.result).tobytes()
    assert (sliding.bias is None) == (not getattr(layer, "bias", True))


def test_linear_layers_have_a_window_of_no_axes() -> None:
    """A linear layer is a kernel with nowhere to slide; an activation is none."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3), nn.ReLU()).build((2, 2, 1))
    network = Network(model, np.ones((1, 2, 2, 1), np.float32))
    linear = window_of(network, network.layer("1"))
    assert linear is not None
    assert linear.geometry.rank == 0
    assert window_of(network, network.layer("2")) is None


def test_poolings_have_a_window() -> None:
    """Max and average pooling; whether padding counts. A global average is a sum, divided."""
    model = nn.Sequential(
        nn.MaxPool2d(2), nn.AvgPool2d(2, padding=1, count_include_pad=True), nn.GlobalAvgPool2d()
    ).build((8, 8, 2))
    network = Network(model, np.ones((1, 8, 8, 2), np.float32))
    found = [pooling_of(network, layer) for layer in network.layers]
    assert [each and (each[0].kernel, each[1]) for each in found] == [
        ((2, 2), False), ((2, 2), True), None,
    ]  # fmt: skip
