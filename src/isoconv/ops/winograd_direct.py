"""What Winograd's maps and products are together: a convolution, or one of its gradients."""

from __future__ import annotations

from collections.abc import Callable

from isoconv.graph.ir import Node
from isoconv.graph.operation import Direct
from isoconv.ops.conv import ConvGradInput
from isoconv.ops.geometry import ConvGeometry

MAP_BEHIND = {"winograd_product": "winograd_output",
              "winograd_product_grad_input": "winograd_input_grad"}  # fmt: skip
"""The map that turns a product into what the convolution gives, by the product."""
PRODUCTS = frozenset({*MAP_BEHIND, "winograd_product_grad_weight"})
INTO_COMPONENTS = frozenset({"winograd_input", "winograd_weight", "winograd_output_grad"})
"""The maps from feature maps and kernels to what the products multiply."""

NodeAt = Callable[[int], Node]


def _sources(node_at: NodeAt, index: int) -> tuple[Node, tuple[int, int]]:
    """The map of the first operand of the product before a node, and both operands themselves."""
    one, other = (node_at(i) for i in node_at(node_at(index).inputs[0]).inputs)
    return one, (one.inputs[0], other.inputs[0])


def _geometry(patches: Node) -> ConvGeometry:
    return ConvGeometry((3, 3), (1, 1), patches.attrs.padding, (1, 1))


def convolution(node_at: NodeAt, index: int) -> Direct:
    """``winograd_output`` is the last of a convolution."""
    patches, sources = _sources(node_at, index)
    return Direct("conv", _geometry(patches), sources)


def input_gradient(node_at: NodeAt, index: int) -> Direct:
    """``winograd_input_grad`` is the last of the gradient by the input."""
    node = node_at(index)
    attrs = ConvGradInput(_geometry(node), node.spec.shape[:-1])
    return Direct("conv_grad_input", attrs, _sources(node_at, index)[1])


def weight_gradient(node_at: NodeAt, index: int) -> Direct:
    """``winograd_weight_grad`` is the last of the gradient by the kernel."""
    patches, sources = _sources(node_at, index)
    return Direct("conv_grad_weight", _geometry(patches), sources)
