"""Convolutions, poolings, sums, normalisation along rows and products as operators of ONNX."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from isoconv.checks import refusal
from isoconv.exchange.onnx.writing import Writer, Written, channels_first, writes
from isoconv.graph.ir import Node
from isoconv.graph.operation import Array
from isoconv.ops import ConvGeometry, ConvGradInput, WindowGeometry

# -- convolutions ----------------------------------------------------------------------------


def convolution(w: Writer, node: Node, bias: Array | None = None, name: str = "") -> Written:
    """A convolution, a transposed one or a linear layer, with its bias.

    Args:
        w: what is written.
        node: of the convolution.
        bias: a number for each channel of the result; None for none.
        name: of the bias.
    """
    x, weight = node.inputs
    array = w.fixed(weight)
    if array is None:
        array = np.zeros(0, np.float32)
    geometry = getattr(node.attrs, "geometry", node.attrs)
    if geometry.rank == 0:
        return _linear(w, node, array, bias, name)
    own = w.name_of(weight)
    if geometry.flip:
        array = np.flip(array, tuple(range(geometry.rank)))
    kernel = tuple(range(geometry.rank))
    transposed = isinstance(node.attrs, ConvGradInput)
    # (O, C / G, k...) of ours, (k..., C / G, O): of a transposed one these are its input's.
    axes = (geometry.rank + 1, geometry.rank, *kernel)
    inputs = [w.first(x).name, w.array(array.transpose(axes), own)]
    if bias is not None:
        inputs.append(w.array(bias, name))
    settings = moves(geometry)
    if transposed:
        sides = w.graph[x].spec.shape[:-1]
        settings["output_padding"] = [
            whole - ((side - 1) * s + d * (k - 1) + 1 - before - after)
            for whole, side, s, d, k, (before, after) in zip(
                node.attrs.sides, sides, geometry.stride, geometry.dilation, geometry.kernel,
                geometry.padding, strict=True,
            )
        ]  # fmt: skip
    y = w.one("ConvTranspose" if transposed else "Conv", *inputs, **settings)
    return Written(y, node.spec.shape, channels_first(len(node.spec.shape)))


def moves(geometry: ConvGeometry) -> dict[str, Any]:
    """How a kernel moves, as settings of an operator."""
    return {
        "kernel_shape": list(geometry.kernel), "strides": list(geometry.stride),
        "dilations": list(geometry.dilation), "group": geometry.groups, "pads": _pads(geometry),
    }  # fmt: skip


def _pads(geometry: Any) -> list[int]:
    return [pair[end] for end in (0, 1) for pair in geometry.padding]


def _linear(w: Writer, node: Node, array: Array, bias: Array | None, name: str) -> Written:
    x = w.values[node.inputs[0]]
    if isinstance(node.attrs, ConvGradInput):
        array, x = array.T, w.value(node.inputs[0])
    if x.flat:
        # The rows of the weights in the order of a map whose channels come first.
        rows = array.reshape(*x.flat, -1)
        rank = len(x.flat)
        array = rows.transpose(*channels_first(rank), rank).reshape(-1, array.shape[-1])
    inputs = [x.name, w.array(array.T, w.name_of(node.inputs[1]))]
    if bias is not None:
        inputs.append(w.array(bias, name))
    return Written(w.one("Gemm", *inputs, transB=1), node.spec.shape, (0,))


@writes("conv", "conv_grad_input")
def _conv(w: Writer, node: Node) -> Written:
    return convolution(w, node)


@writes("matmul")
def _matmul(w: Writer, node: Node) -> Written:
    names = []
    for index in node.inputs:
        array = w.fixed(index)
        names.append(w.last(index).name if array is None else w.array(array, w.name_of(index)))
    return Written(w.one("MatMul", *names), node.spec.shape, tuple(range(len(node.spec.shape))))


# -- poolings --------------------------------------------------------------------------------


@writes("max_pool", keeps=True)
def _max_pool(w: Writer, node: Node) -> Written:
    x = w.first(node.inputs[0])
    y = w.one("MaxPool", x.name, **_window(node.attrs))
    return Written(y, node.spec.shape, x.order)


@writes("max_pool_places")
def _max_pool_places(w: Writer, node: Node) -> Written:
    """ONNX numbers all elements of all images; here those of a channel's map are numbered."""
    x = w.first(node.inputs[0])
    _, places = w.node("MaxPool", [x.name], 2, **_window(node.attrs))
    numbers = w.one("Cast", places, to=11)
    within = w.one("Cast", w.one("Sub", numbers, _before(w, x, x.shape[:-1])), to=1)
    w.places[within] = places, x.shape[:-1]
    return Written(within, node.spec.shape, x.order)


def _before(w: Writer, x: Written, sides: tuple[int, ...]) -> str:
    """How many elements lie before each channel of each image, in maps of these sides; doubles."""
    size, channels, ones = prod(sides), x.shape[-1], (1,) * len(sides)
    zero, one = w.array(np.array(0)), w.array(np.array(1))
    images = w.one("Range", zero, w.one("Gather", w.one("Shape", x.name), zero), one)
    images = w.one("Reshape", images, w.array(np.array([-1, 1, *ones])))
    images = w.one("Mul", images, w.array(np.array(channels * size)))
    first = w.array((np.arange(channels) * size).reshape(channels, *ones))
    return w.one("Cast", w.one("Add", images, first), to=11)


@writes("max_unpool")
def _max_unpool(w: Writer, node: Node) -> Written:
    """ONNX numbers all elements of all images, and has no number for a value that goes nowhere.

    Where there may be such ones, they go to rows behind the last, which are cut off.
    """
    source, numbers = node.inputs
    x, sides = w.first(source), node.attrs.sides
    places = w.beside(numbers, x)
    counted, pooled = w.places.get(places, ("", ()))
    inside = bool(counted) and prod(pooled) <= prod(sides)
    whole = sides if inside else (sides[0] + 1, *sides[1:])
    if counted and pooled == sides:
        places = counted
    else:
        if not inside:
            end = w.number(prod(sides))
            there = (w.one("GreaterOrEqual", places, w.number(0)), w.one("Less", places, end))
            places = w.one("Where", w.one("And", *there), places, end)
        places = w.one("Add", w.one("Cast", places, to=11), _before(w, x, whole))
        places = w.one("Cast", places, to=7)
    y = w.one("MaxUnpool", x.name, places, **_unpooling(x.shape[:-1], whole))
    if not inside:
        y = w.one("Slice", y, *(w.array(np.array([n])) for n in (0, sides[0], 2)))
    return Written(y, node.spec.shape, x.order)


def _unpooling(sides: tuple[int, ...], whole: tuple[int, ...]) -> dict[str, list[int]]:
    """A window from which these sides follow: ``(side - 1)·stride + kernel - 2·pad``."""
    strides = [max(1, end // side) for side, end in zip(sides, whole, strict=True)]
    kernel = [end - (side - 1) * s for side, end, s in zip(sides, whole, strides, strict=True)]
    pads = [max(0, (2 - k) // 2) for k in kernel]
    kernel = [k + 2 * pad for k, pad in zip(kernel, pads, strict=True)]
    return {"kernel_shape": kernel, "strides": strides, "pads": pads * 2}


@writes("avg_pool")
def _avg_pool(w: Writer, node: Node) -> Written:
    settings = _window(node.attrs.window)
    if "dilations" in settings and w.opset < 19:
        rule = f"be at least 19 for averages over dilated windows, as of {node.name!r}"
        raise refusal("opset", rule, w.opset)
    x = w.first(node.inputs[0])
    y = w.one(
        "AveragePool", x.name, count_include_pad=int(node.attrs.count_include_pad), **settings
    )
    return Written(y, node.spec.shape, x.order)


def _window(window: WindowGeometry) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "kernel_shape": list(window.kernel), "strides": list(window.stride),
        "pads": _pads(window), "ceil_mode": int(window.ceil_mode),
    }  # fmt: skip
    if any(step != 1 for step in window.dilation):
        settings["dilations"] = list(window.dilation)
    return settings


# -- sums ------------------------------------------------------------------------------------


@writes("sum", "sum_axes")
def _sum(w: Writer, node: Node) -> Written:
    return _reduced(w, node, "ReduceSum")


def _reduced(w: Writer, node: Node, op: str) -> Written:
    x = w.value(node.inputs[0])
    kept = node.attrs.kept(len(x.shape))
    axes = sorted(x.axis(own) for own in range(len(x.shape)) if own not in kept)
    name = x.name
    if axes:
        if op == "ReduceSum" or w.opset >= 18:
            name = w.one(op, x.name, w.array(np.array(axes)), keepdims=0)
        else:
            name = w.one(op, x.name, axes=axes, keepdims=0)
    order = tuple(kept.index(own) for own in x.order if own in kept)
    return Written(name, node.spec.shape, order)


@writes("divide_by_count")
def _mean(w: Writer, node: Node) -> Written:
    source = node.inputs[0]
    if source not in w.values:
        summed = w.at(source)
        whole = w.graph[summed.inputs[0]].spec
        if node.attrs.size == whole.size // prod(summed.spec.shape):
            return _reduced(w, summed, "ReduceMean")
        w.values[source] = _sum(w, summed)
    x = w.values[source]
    return w.like(w.one("Div", x.name, w.number(node.attrs.size)), x)


# -- rows ------------------------------------------------------------------------------------


@writes("softmax", "log_softmax")
def _softmax(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    op = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[node.op]
    return w.like(w.one(op, x.name, axis=x.axis(-1)), x)


@writes("layer_norm")
def _layer_norm(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    axis = x.axis(-1)

    def mean(name: str) -> str:
        if w.opset >= 18:
            return w.one("ReduceMean", name, w.array(np.array([axis])), keepdims=1)
        return w.one("ReduceMean", name, axes=[axis], keepdims=1)

    centred = w.one("Sub", x.name, mean(x.name))
    spread = w.one("Add", mean(w.one("Mul", centred, centred)), w.number(node.attrs.eps))
    inverse = w.one("Reciprocal", w.one("Sqrt", spread))
    return w.like(w.one("Mul", centred, inverse), x)


@writes("top_k")
def _top_k(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    count = w.array(np.array([node.attrs.k]))
    values, places = w.node("TopK", [x.name, count], 2, axis=x.axis(-1))
    name = w.one("Cast", places, to=1) if node.attrs.places else values
    return w.like(name, x, node.spec.shape)


@writes("one_hot")
def _one_hot(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    rank = len(x.shape)
    column = w.one("Unsqueeze", x.name, w.array(np.array([rank + 1])))
    numbers = w.array(np.arange(node.attrs.classes, dtype=np.float32))
    equal = w.one("Equal", column, numbers)
    return Written(w.one("Cast", equal, to=1), node.spec.shape, (*x.order, rank))
