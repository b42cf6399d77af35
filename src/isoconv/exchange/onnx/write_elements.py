"""Elementwise operations as operators of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from isoconv.exchange.onnx.writing import Writer, Written, writes
from isoconv.graph.ir import Node
from isoconv.ops import Epsilon

_FLOATS = {"float32": 1, "float64": 11}
"""ONNX's numbers of element types."""
Unary = Callable[[Writer, str, Any], str]
"""``unary(writer, name of x, settings) -> name of the result``."""


def _leading(w: Writer, node: Node) -> Written:
    """The operand of a result's own shape, or what is to be broadcast to it."""
    batched = [i for i in node.inputs if w.fixed(i) is None]
    whole = [i for i in batched if w.graph[i].spec.shape == node.spec.shape]
    if whole and (len(batched) == 1 or len(node.spec.shape) == 1):
        return w.values[whole[0]]
    return w.value(whole[0] if whole else batched[0])


def _operands(w: Writer, node: Node) -> tuple[list[str], Written]:
    like = _leading(w, node)
    if any(len(w.values[i].shape) != len(node.spec.shape)
           for i in node.inputs if w.fixed(i) is None):  # fmt: skip
        like = w.value(next(i for i in node.inputs if w.fixed(i) is None))
    return [w.beside(i, like) for i in node.inputs], like


_SAME = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min",
    "power": "Pow", "neg": "Neg", "abs": "Abs", "sqrt": "Sqrt", "reciprocal": "Reciprocal",
    "exp": "Exp", "log": "Log", "erf": "Erf", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "softsign": "Softsign", "sign": "Sign", "floor": "Floor", "round": "Round",
    "copy": "Identity", "acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh",
    "atan": "Atan", "atanh": "Atanh", "cos": "Cos", "cosh": "Cosh", "sin": "Sin",
    "sinh": "Sinh", "tan": "Tan",
}  # fmt: skip


@writes(*_SAME)
def _same(w: Writer, node: Node) -> Written:
    found = w.bias_of(node)
    if found is not None:
        from isoconv.exchange.onnx.write_layers import convolution

        conv, vector = found
        return convolution(w, conv, vector, w.name_of(node.inputs[1]))
    names, like = _operands(w, node)
    return w.like(w.one(_SAME[node.op], *names), like, node.spec.shape)


@writes("greater", "greater_equal", "equal")
def _compared(w: Writer, node: Node) -> Written:
    names, like = _operands(w, node)
    op = {"greater": "Greater", "greater_equal": "GreaterOrEqual", "equal": "Equal"}[node.op]
    return w.like(
        w.one("Cast", w.one(op, *names), to=_FLOATS[node.spec.dtype]), like, node.spec.shape
    )


@writes("where")
def _where(w: Writer, node: Node) -> Written:
    (condition, *names), like = _operands(w, node)
    holds = w.one("Not", w.one("Equal", condition, w.number(0)))
    return w.like(w.one("Where", holds, *names), like, node.spec.shape)


@writes("relu_grad")
def _where_positive(w: Writer, node: Node) -> Written:
    (y, dy), like = _operands(w, node)
    zero = w.number(0)
    return w.like(w.one("Where", w.one("Greater", y, zero), dy, zero), like, node.spec.shape)


@writes("batch_norm")
def _batch_norm(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    arrays = [w.fixed(i) for i in node.inputs[1:]]
    inverse = w.graph[node.inputs[2]]
    plain = isinstance(inverse.attrs, Epsilon) and all(array is not None for array in arrays)
    if plain and x.order[0] == len(x.shape) - 1:
        mean, _, gamma, beta = node.inputs[1:]
        indices = (gamma, beta, mean, inverse.inputs[0])
        names = [w.array(w.fixed(i), w.name_of(i, state=True)) for i in indices]
        y = w.one("BatchNormalization", x.name, *names, epsilon=float(inverse.attrs.eps))
        return w.like(y, x)
    middle, inv, factor, more = (w.beside(i, x) for i in node.inputs[1:])
    y = w.one("Mul", w.one("Sub", x.name, middle), inv)
    return w.like(w.one("Add", w.one("Mul", y, factor), more), x)


@writes("group_norm")
def _group_norm(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    mean, inv = (w.beside(i, x) for i in node.inputs[1:])
    return w.like(w.one("Mul", w.one("Sub", x.name, mean), inv), x)


def _unary(name: str) -> Callable[[Unary], Unary]:
    def enter(rule: Unary) -> Unary:
        @writes(name)
        def write(w: Writer, node: Node) -> Written:
            x = w.values[node.inputs[0]]
            return w.like(rule(w, x.name, node.attrs), x)

        return rule

    return enter


@_unary("square")
def _square(w: Writer, x: str, _: Any) -> str:
    return w.one("Mul", x, x)


@_unary("scale")
def _scale(w: Writer, x: str, attrs: Any) -> str:
    return w.one("Mul", x, w.number(attrs.value))


@_unary("offset")
def _offset(w: Writer, x: str, attrs: Any) -> str:
    return w.one("Add", x, w.number(attrs.value))


@_unary("raised")
def _raised(w: Writer, x: str, attrs: Any) -> str:
    return w.one("Pow", x, w.number(attrs.value))


@_unary("full_like")
def _full_like(w: Writer, x: str, attrs: Any) -> str:
    return w.one("Expand", w.number(attrs.value), w.one("Shape", x))


@_unary("expm1")
def _expm1(w: Writer, x: str, _: Any) -> str:
    return w.one("Sub", w.one("Exp", x), w.number(1))


@_unary("log1p")
def _log1p(w: Writer, x: str, _: Any) -> str:
    return w.one("Log", w.one("Add", x, w.number(1)))


@_unary("convert")
def _convert(w: Writer, x: str, attrs: Any) -> str:
    return w.one("Cast", x, to=_FLOATS[attrs.dtype])


@_unary("inverse_std")
def _inverse_std(w: Writer, x: str, attrs: Any) -> str:
    return w.one("Reciprocal", w.one("Sqrt", w.one("Add", x, w.number(attrs.eps))))


@_unary("leaky_relu")
def _leaky_relu(w: Writer, x: str, attrs: Any) -> str:
    return w.one("LeakyRelu", x, alpha=float(attrs.slope))


@_unary("clip")
def _clip(w: Writer, x: str, attrs: Any) -> str:
    bounds = [w.number(b) if math.isfinite(b) else "" for b in (attrs.minimum, attrs.maximum)]
    return w.one("Clip", x, *bounds)


@_unary("hardswish")
def _hardswish(w: Writer, x: str, _: Any) -> str:
    if w.opset >= 14:
        return w.one("HardSwish", x)
    gate = w.one("Clip", w.one("Add", x, w.number(3)), w.number(0), w.number(6))
    return w.one("Mul", x, w.one("Mul", gate, w.number(1 / 6)))


@_unary("silu")
def _silu(w: Writer, x: str, _: Any) -> str:
    return w.one("Mul", x, w.one("Sigmoid", x))


@_unary("gelu")
def _gelu(w: Writer, x: str, _: Any) -> str:
    if w.opset >= 20:
        return w.one("Gelu", x)
    bell = w.one("Erf", w.one("Mul", x, w.number(math.sqrt(0.5))))
    return w.one("Mul", w.one("Mul", x, w.number(0.5)), w.one("Add", bell, w.number(1)))


@_unary("gelu_tanh")
def _gelu_tanh(w: Writer, x: str, _: Any) -> str:
    if w.opset >= 20:
        return w.one("Gelu", x, approximate="tanh")
    cube = w.one("Mul", w.one("Mul", x, w.one("Mul", x, x)), w.number(0.044715))
    inner = w.one("Mul", w.one("Add", x, cube), w.number(2 * math.sqrt(2 / math.pi)))
    return w.one("Mul", x, w.one("Sigmoid", inner))


@_unary("mish")
def _mish(w: Writer, x: str, _: Any) -> str:
    return w.one("Mul", x, w.one("Tanh", w.one("Softplus", x)))


@_unary("softplus")
def _softplus(w: Writer, x: str, attrs: Any) -> str:
    beta = w.number(attrs.beta)
    return w.one("Div", w.one("Softplus", w.one("Mul", x, beta)), beta)


@_unary("elu")
def _elu(w: Writer, x: str, attrs: Any) -> str:
    above, below, rate = (float(v) for v in (attrs.above, attrs.below, attrs.rate))
    if rate == 1 and above == 1:
        return w.one("Elu", x, alpha=below)
    if rate == 1:
        return w.one("Selu", x, alpha=below / above, gamma=above)
    if above == 1 and np.float32(below * rate) == 1:
        return w.one("Celu", x, alpha=below)
    zero = w.number(0)
    up = w.one("Mul", w.one("Max", x, zero), w.number(above))
    power = w.one("Exp", w.one("Mul", w.one("Min", x, zero), w.number(rate)))
    return w.one("Add", up, w.one("Mul", w.one("Sub", power, w.number(1)), w.number(below)))
