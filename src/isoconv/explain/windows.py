"""What of a layer slides: where its input, kernel, result and bias stand, and how they meet.

Direct convolutions, depthwise ones and linear layers (rank 0) are chains over a window as they
stand. A Winograd convolution is the same sum in another arithmetic: here it has the window that it
stands for, marked as not its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.explain.network import Layer, Network
from isoconv.graph.operation import Direct, operation
from isoconv.ops import AvgPool, ConvGeometry, WindowGeometry


@dataclass(frozen=True, slots=True)
class Sliding:
    """A convolution of a network.

    Attributes:
        x: position of what the kernel slides over, ``(N, spatial..., C)``.
        weight: position of the kernel, ``(kernel..., C / groups, O)``.
        y: position of the result before the bias.
        bias: position of the bias, or None.
        result: position of the result with the bias; y where there is none.
        geometry: how the kernel moves.
        own: whether the chain over the window is the engine's own arithmetic.
    """

    x: int
    weight: int
    y: int
    bias: int | None
    result: int
    geometry: ConvGeometry
    own: bool


def window_of(network: Network, layer: Layer) -> Sliding | None:
    """The convolution that a layer is; None for a layer that is none.

    Args:
        network: the network.
        layer: one of its layers.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3, algorithm="winograd")).build((5, 5, 1))
        >>> network = Network(model, np.ones((1, 5, 5, 1), np.float32))
        >>> sliding = window_of(network, network.layers[0])
        >>> sliding.geometry.kernel, sliding.own
        ((3, 3), False)
    """
    if layer.root is None:
        return None
    root = network.node(layer.root)
    direct = direct_of(network, layer.root)
    own = direct is None
    geometry, operands = (
        (root.attrs, root.inputs) if direct is None else (direct.attrs, direct.operands)
    )
    if not isinstance(geometry, ConvGeometry):
        return None
    x, weight = operands
    bias, result = None, layer.root
    for index in layer.nodes:
        node = network.node(index)
        if node.op == "add" and layer.root in node.inputs:
            others = [i for i in node.inputs if i in layer.parameters.values()]
            if others:
                bias, result = others[0], index
    return Sliding(x, weight, layer.root, bias, result, geometry, own)


def pooling_of(network: Network, layer: Layer) -> tuple[WindowGeometry, bool] | None:
    """The window of a pooling layer, and whether padding counts; None for other layers."""
    attrs = None if layer.root is None else network.node(layer.root).attrs
    if isinstance(attrs, AvgPool):
        return attrs.window, attrs.count_include_pad
    return (attrs, False) if isinstance(attrs, WindowGeometry) else None


def direct_of(network: Network, index: int) -> Direct | None:
    """What the last of Winograd's maps stands for; None for other nodes.

    Args:
        network: the network.
        index: position of a node.
    """
    stands_for = operation(network.node(index).op).stands_for
    return None if stands_for is None else stands_for(network.node, index)
