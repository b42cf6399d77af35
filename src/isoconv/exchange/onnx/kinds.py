"""Kinds of elements of the values of an ONNX graph: layers compute with floats, and ONNX cuts off.

Whole numbers are floats here, which hold them up to 2^24. What an operator makes of them is the
same where it adds, multiplies or compares; a quotient is cut off, and few bits wrap around.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from isoconv.exchange.onnx.reader import Node
from isoconv.exchange.onnx.tensors import KINDS

NARROW = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16}
"""Kinds of whole numbers whose sums and products wrap around early, with their bits."""
_OF_BYTES = {"QuantizeLinear": 2, "QLinearConv": 7, "QLinearMatMul": 7}
"""Which input says the kind of a quantised result."""
_ALWAYS = {
    "ArgMax": "int64", "ArgMin": "int64", "Shape": "int64", "Size": "int64",
    "Equal": "bool", "Greater": "bool", "GreaterOrEqual": "bool", "Less": "bool",
    "LessOrEqual": "bool", "Not": "bool", "And": "bool", "Or": "bool", "Xor": "bool",
    "IsInf": "bool", "IsNaN": "bool", "DynamicQuantizeLinear": "uint8", "ConvInteger": "int32",
    "MatMulInteger": "int32", "DequantizeLinear": "float32",
}  # fmt: skip
"""The kind of an operator's first result, whatever it reads."""
_LATER = {
    "TopK": ("int64",), "MaxPool": ("int64",), "DynamicQuantizeLinear": ("float32", "uint8"),
}  # fmt: skip
"""The kinds of an operator's further results, where they are not that of the first."""


def is_whole(kind: str) -> bool:
    """Whether elements of a kind are whole numbers.

    Example:
        >>> is_whole("uint8"), is_whole("float16"), is_whole("bool")
        (True, False, False)
    """
    return kind.startswith(("int", "uint"))


def kinds_given(node: Node, kind_of: Callable[[str], str]) -> Mapping[str, str]:
    """The kinds of a node's results.

    Args:
        node: of the graph.
        kind_of: the kind of what it reads, by name.
    """
    operator, inputs = node.operator, node.inputs
    place = _OF_BYTES.get(operator, 1 if operator == "Where" else 0)
    if operator == "Cast":
        first = KINDS.get(node.attributes.get("to", 0), "float32")
    elif operator in _ALWAYS:
        first = _ALWAYS[operator]
    elif len(inputs) > place and inputs[place]:
        first = kind_of(inputs[place])
    else:
        first = "uint8" if operator == "QuantizeLinear" else "float32"
    later = _LATER.get(operator, ())
    kinds = (first, *later, *(first,) * len(node.outputs))
    return {name: kind for name, kind in zip(node.outputs, kinds, strict=False) if name}
