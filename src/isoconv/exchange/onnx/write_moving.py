"""Operations that move values as operators of ONNX; most only say anew how a value lies."""

from __future__ import annotations

import numpy as np

from isoconv.exchange.onnx.writing import Writer, Written, channels_first, writes
from isoconv.graph.ir import Node
from isoconv.ops import Embed, Padding, Slice

_END = 2**62


@writes("reshape", keeps=True)
def _reshape(w: Writer, node: Node) -> Written:
    x, shape = w.values[node.inputs[0]], node.spec.shape
    if x.flat and x.flat == shape:
        *sides, channels = shape
        return Written(_as(w, x.name, (channels, *sides)), shape, channels_first(len(shape)))
    x = w.value(node.inputs[0])
    rank, own = len(x.shape), len(shape)
    wide = [axis for axis in x.order if x.shape[axis] > 1]
    if rank > 1 and x.order == channels_first(rank) and wide != sorted(wide):
        if own == 1:
            return Written(_as(w, x.name, shape), shape, (0,), x.shape)
        if own > 1 and shape[-1] == x.shape[-1]:
            order = channels_first(own)
            return Written(_as(w, x.name, tuple(shape[a] for a in order)), shape, order)
    if wide != sorted(wide):
        x = w.last(node.inputs[0])
    order = tuple(range(own))
    if len([side for side in shape if side > 1]) <= 1 < own:
        # Elements in one line lie so in any order: that of feature maps costs later ones nothing.
        order = channels_first(own)
    return Written(_as(w, x.name, tuple(shape[a] for a in order)), shape, order)


def _as(w: Writer, name: str, sides: tuple[int, ...]) -> str:
    return w.one("Reshape", name, w.array(np.array([-1, *sides])))


@writes("transpose", keeps=True)
def _transpose(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    order = tuple(node.attrs.axes.index(axis) for axis in x.order)
    return Written(x.name, node.spec.shape, order)


@writes("broadcast")
def _broadcast(w: Writer, node: Node) -> Written:
    x, shape = w.value(node.inputs[0]), node.spec.shape
    if len(x.shape) < len(shape):
        missing = len(shape) - len(x.shape)
        whole = (1,) * missing + x.shape
        x = w.last(node.inputs[0])
        x = Written(_as(w, x.name, whole), whole, tuple(range(len(whole))))
    sides = w.array(np.array([1, *(shape[axis] for axis in x.order)]))
    return Written(w.one("Expand", x.name, sides), shape, x.order)


@writes("concat", keeps=True)
def _concat(w: Writer, node: Node) -> Written:
    first = w.value(next(i for i in node.inputs if w.fixed(i) is None))
    names = [
        w.beside(i, first) if w.fixed(i) is None else w.repeated(i, first.order).name
        for i in node.inputs
    ]
    return Written(w.one("Concat", *names, axis=first.axis(-1)), node.spec.shape, first.order)


def _sliced(w: Writer, node: Node, cuts: dict[int, tuple[int, int]]) -> Written:
    x = w.value(node.inputs[0])
    axes = [*cuts]
    lists = ([cuts[a][0] for a in axes], [cuts[a][1] for a in axes], [x.axis(a) for a in axes])
    name = w.one("Slice", x.name, *(w.array(np.array(each)) for each in lists))
    return Written(name, node.spec.shape, x.order)


@writes("slice_channels", "crop", keeps=True)
def _part(w: Writer, node: Node) -> Written:
    shape = w.graph[node.inputs[0]].spec.shape
    if isinstance(node.attrs, Slice):
        return _sliced(w, node, {len(shape) - 1: (node.attrs.start, node.attrs.stop)})
    pairs: Padding = node.attrs
    cuts = {a: (b, shape[a] - c) for a, (b, c) in enumerate(pairs.pairs)}
    return _sliced(w, node, cuts)


@writes("pad", "embed_channels", keeps=True)
def _padded(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    rank = len(x.shape)
    if isinstance(node.attrs, Embed):
        after = node.attrs.total - node.attrs.start - x.shape[-1]
        pairs = {rank - 1: (node.attrs.start, after)}
    else:
        pairs = dict(enumerate(node.attrs.pairs))
    ends = [[0, *(pairs.get(axis, (0, 0))[end] for axis in x.order)] for end in (0, 1)]
    name = w.one("Pad", x.name, w.array(np.array(ends).reshape(-1)))
    return Written(name, node.spec.shape, x.order)


@writes("take", keeps=True)
def _take(w: Writer, node: Node) -> Written:
    x = w.value(node.inputs[0])
    axis, indices = x.axis(node.attrs.axis), np.array(node.attrs.indices)
    steps = np.unique(np.diff(indices))
    if indices.min() >= 0 and len(steps) == 1 and steps[0] > 0:
        lists = ([indices[0]], [indices[-1] + 1], [axis], [steps[0]])
        name = w.one("Slice", x.name, *(w.array(np.array(each)) for each in lists))
    else:
        name = w.one("Gather", x.name, w.array(np.maximum(indices, 0)), axis=axis)
        if indices.min() < 0:
            sides = [1] * (len(x.shape) + 1)
            sides[axis] = len(indices)
            there = w.array((indices >= 0).reshape(sides))
            name = w.one("Where", there, name, w.number(0))
    return Written(name, node.spec.shape, x.order)


@writes("resample")
def _resample(w: Writer, node: Node) -> Written:
    """A product with a matrix along one axis, which comes last for it."""
    x = w.value(node.inputs[0])
    own = len(x.shape) + node.attrs.axis
    x = w.ordered(x, (*(axis for axis in x.order if axis != own), own))
    matrix = np.zeros((x.shape[own], len(node.attrs.taps)), np.float32)
    for place, taps in enumerate(node.attrs.taps):
        for source, weight in taps:
            matrix[source, place] += np.float32(weight)
    return Written(w.one("MatMul", x.name, w.array(matrix)), node.spec.shape, x.order)
