"""Convolutions and matrix products of ONNX as layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from isoconv.exchange.onnx.arithmetic import applied, joined
from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.layouts import Layout, flat, in_order, of_shape, row
from isoconv.graph.operation import Array
from isoconv.nn import (
    Add,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Linear,
    MatMul,
    Module,
)
from isoconv.nn.functional import multiply
from isoconv.ops.geometry import same_padding

if TYPE_CHECKING:
    from isoconv.nn.settings import PaddingSetting, PerAxis

_CONVOLUTIONS = (Conv1d, Conv2d, Conv3d)
_TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)


def channels_last(sizes: Sequence[int]) -> Layout:
    """Feature maps of this shape in ONNX, as layers give them."""
    return of_shape(sizes, (*range(2, len(sizes)), 1))


def per_axis(values: Sequence[int]) -> PerAxis:
    """One number where all are the same."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def padding_of(
    use: Use,
    sides: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """Padding before and after, for each axis.

    Raises:
        NodeError: it is of an unknown kind, or negative.
    """
    rank = len(sides)
    auto = use.setting("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pairs = [
            same_padding(*each) for each in zip(sides, kernel, strides, dilations, strict=True)
        ]
        # The odd one comes after, or before.
        return tuple(pair if auto == "SAME_UPPER" else pair[::-1] for pair in pairs)
    if auto not in ("NOTSET", "VALID"):
        raise NodeError(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER; got {auto}")
    pads = use.counts("pads", 2 * rank, 0)
    if min(pads) < 0:
        raise NodeError(f"pads must not be negative; got {list(pads)}")
    return (
        tuple(zip(pads[:rank], pads[rank:], strict=True)) if auto == "NOTSET" else ((0, 0),) * rank
    )


def padding_setting(use: Use, pairs: Sequence[tuple[int, int]]) -> PaddingSetting:
    """As a person would write it: "same" goes along with images of other sides."""
    auto = use.setting("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        return "same" if auto == "SAME_UPPER" else "same_lower"
    return symmetric(pairs)


def symmetric(pairs: Sequence[tuple[int, int]]) -> PaddingSetting:
    """One number, or one for each axis, where before and after are the same."""
    if all(before == after for before, after in pairs):
        return per_axis([before for before, _ in pairs])
    return tuple(pairs)


@converts("Conv")
def _conv(use: Use) -> Sequence[Given]:
    """``W`` is ``(O, C / groups, kernel...)``; here it is ``(kernel..., C / groups, O)``."""
    weight, bias = use.array(1, "weights"), use.optional(2, "a bias")
    return [convolved(use, weight, bias, _CONVOLUTIONS)]


def convolved(
    use: Use,
    weight: Array,
    bias: Array | None,
    kinds: Sequence[Callable[..., Module]],
    *,
    x: Value | None = None,
    place: int = 1,
    arrays: Mapping[str, Array] | None = None,
    **settings: Any,
) -> Value:
    """A convolution.

    Args:
        use: the node.
        weight: ``(O, C / groups, kernel...)``.
        bias: of each filter, or None.
        kinds: the layers of one to three axes.
        x: what is convolved; None for the first input.
        place: of the weights among the inputs.
        arrays: what the layer has beside weight and bias.
        **settings: that it has beside those of a convolution.

    Raises:
        NodeError: shapes or settings that do not fit.
    """
    x = use.maps(use.value() if x is None else x)
    rank = len(x.sizes) - 2
    if not 1 <= rank <= 3 or weight.ndim != rank + 2:
        raise NodeError(
            f"it must slide along 1 to 3 axes with weights (O, C / groups, kernel...); got an "
            f"input {list(x.sizes)} and weights {list(weight.shape)}"
        )
    kernel = weight.shape[2:]
    if use.counts("kernel_shape", rank, 0) not in ((0,) * rank, kernel):
        raise NodeError(f"kernel_shape must be that of the weights, {list(kernel)}")
    groups, channels = use.setting("group", 1), x.sizes[1]
    if groups > 0 and not channels % groups and weight.shape[1] * groups != channels:
        raise NodeError(
            f"its weights {list(weight.shape)} with group={groups} must read "
            f"{weight.shape[1] * groups} channels; got {channels}, of an input {list(x.sizes)}"
        )
    if groups < 1 or weight.shape[1] * groups != channels or weight.shape[0] % groups:
        raise NodeError(
            f"groups must divide channels and filters: group={groups}, channels {channels}, "
            f"weights {list(weight.shape)}"
        )
    strides, dilations = use.counts("strides", rank, 1), use.counts("dilations", rank, 1)
    pairs = padding_of(use, x.sizes[2:], kernel, strides, dilations)
    layer = kinds[rank - 1](
        weight.shape[0],
        per_axis(kernel),
        stride=per_axis(strides),
        padding=padding_setting(use, pairs),
        dilation=per_axis(dilations),
        groups=groups,
        bias=bias is not None,
        **settings,
    )
    sides = [
        (side + before + after - d * (k - 1) - 1) // s + 1
        for side, (before, after), k, s, d in zip(
            x.sizes[2:], pairs, kernel, strides, dilations, strict=True
        )
    ]
    if min(sides) < 1:
        raise NodeError(
            f"the kernel must fit into its input {list(x.sizes)}; its sides are {kernel}"
        )
    held = {"weight": np.moveaxis(weight, (0, 1), (-1, -2)), **(arrays or {})}
    if bias is not None:
        held["bias"] = bias
    layout = channels_last((1, weight.shape[0], *sides))
    return use.layer(layer, [x], layout, name=use.name(place), **held)


@converts("ConvTranspose")
def _transposed(use: Use) -> Sequence[Given]:
    """``W`` is ``(C, O / groups, kernel...)``; here it is ``(kernel..., O / groups, C)``."""
    weight, bias = use.array(1, "weights"), use.optional(2, "a bias")
    x = use.maps(use.value())
    rank = len(x.sizes) - 2
    groups = use.setting("group", 1)
    if not 1 <= rank <= 3 or weight.ndim != rank + 2 or weight.shape[0] != x.sizes[1]:
        raise NodeError(
            f"it must slide along 1 to 3 axes with weights (C, O / groups, kernel...); got an "
            f"input {list(x.sizes)} and weights {list(weight.shape)}"
        )
    kernel, sides = weight.shape[2:], x.sizes[2:]
    strides, dilations = use.counts("strides", rank, 1), use.counts("dilations", rank, 1)
    more = list(use.counts("output_padding", rank, 0))
    # What comes out without padding.
    full = [
        s * (side - 1) + d * (k - 1) + 1
        for side, k, s, d in zip(sides, kernel, strides, dilations, strict=True)
    ]
    auto, wanted = use.setting("auto_pad", "NOTSET"), use.counts("output_shape", rank, 0)
    if auto.startswith("SAME") and not any(wanted):
        wanted = tuple(side * s for side, s in zip(sides, strides, strict=True))
    if any(wanted):
        pairs = []
        for axis in range(rank):
            total = full[axis] + more[axis] - wanted[axis]
            # Sides that are missing come behind.
            more[axis] += max(0, -total)
            half = max(0, total) // 2
            pair = (half, max(0, total) - half)
            pairs.append(pair if auto == "SAME_UPPER" else pair[::-1])
    else:
        pairs = list(padding_of(use, sides, kernel, strides, dilations))
    layer = _TRANSPOSED[rank - 1](
        weight.shape[1] * groups,
        per_axis(kernel),
        stride=per_axis(strides),
        padding=symmetric(pairs),
        output_padding=per_axis(more),
        dilation=per_axis(dilations),
        groups=groups,
        bias=bias is not None,
    )
    out = [
        whole + extra - before - after
        for whole, extra, (before, after) in zip(full, more, pairs, strict=True)
    ]
    if min(out) < 1:
        raise NodeError(f"its result must have sides; got {out}")
    arrays = {"weight": weight.transpose(*range(2, rank + 2), 1, 0)}
    if bias is not None:
        arrays["bias"] = bias
    layout = channels_last((1, weight.shape[1] * groups, *out))
    return [use.layer(layer, [x], layout, name=use.name(1), **arrays)]


@converts("Gemm")
def _gemm(use: Use) -> Sequence[Given]:
    """``alpha · A · B + beta · C``, with A ``(M, K)`` and B ``(K, O)``, or transposed."""
    x, other = use.value(), use.given(1)
    if len(x.sizes) != 2 or other is None or len(other.sizes) != 2:
        raise NodeError("A and B must have two axes")
    if use.setting("transA", 0):
        x = Value(x.name, x.layout.transposed((1, 0)))
    scale, share = use.setting("alpha", 1.0), use.setting("beta", 1.0)
    shift = use.given(2)
    if isinstance(shift, Fixed) and share != 1.0:
        shift, share = Fixed(shift.array * np.float32(share), shift.name), 1.0
    if not isinstance(other, Fixed):
        if use.setting("transB", 0):
            other = Value(other.name, other.layout.transposed((1, 0)))
        y = of_both(use, x, other)
        if scale != 1.0:
            y = applied(use, y, multiply, scale)
        return [_shifted(use, y, shift, share)]
    weight = other.array.T if use.setting("transB", 0) else other.array
    if scale != 1.0:
        weight = weight * np.float32(scale)
    if isinstance(shift, Fixed) and shift.array.size in (1, weight.shape[1]) and (
        shift.array.size == 1 or shift.array.shape[-1] == shift.array.size
    ):  # fmt: skip
        return [product(use, x, weight, shift.array)]
    return [_shifted(use, product(use, x, weight, None), shift, share)]


def _shifted(use: Use, y: Value, shift: Given | None, share: float) -> Value:
    """What is added to a product."""
    if shift is None:
        return y
    if share != 1.0 and isinstance(shift, Value):
        shift = applied(use, shift, multiply, share)
    return joined(use, (y, shift), Add())


@converts("MatMul")
def _matmul(use: Use) -> Sequence[Given]:
    """A product with a matrix of the file is a linear layer, if training is to change it."""
    x, other = use.value(), use.given(1)
    learned = isinstance(other, Fixed) and (bool(other.name) or not use.into.own)
    if isinstance(other, Fixed) and other.array.ndim == 2 and learned:
        return [product(use, x, other.array, None)]
    return [of_both(use, x, use.value(1))]


@converts("Einsum", since=12)
def _einsum(use: Use) -> Sequence[Given]:
    """Two factors: letters of both are those of a batch or summed over, others go to the result."""
    equation = use.setting("equation", "").replace(" ", "")
    left, _, result = equation.partition("->")
    first, _, second = left.partition(",")
    terms = (first, second, result)
    shared = set(first) & set(second)
    if not all(term.isalpha() and len(set(term)) == len(term) for term in terms) or set(
        result
    ) | shared != set(first) | set(second):
        rule = "be a product of two, each letter once in a factor, and in the other or the result"
        raise NodeError(f"equation must {rule}; got {equation!r}")
    a, b = use.value(), use.given(1)
    if b is None or (len(first), len(second)) != (len(a.sizes), len(b.sizes)):
        raise NodeError(f"equation {equation!r} must name each axis of its two inputs")
    sides = {**dict(zip(second, b.sizes, strict=True)), **dict(zip(first, a.sizes, strict=True))}
    batch, inner = ([c for c in first if c in shared and (c in result) == kept] for kept in (1, 0))
    rows, columns = ([c for c in term if c not in shared] for term in (first, second))
    m, k, n = (prod(sides[c] for c in letters) for letters in (rows, inner, columns))
    shape = [sides[c] for c in batch]
    a = Value(a.name, a.layout.transposed([first.index(c) for c in (*batch, *rows, *inner)]))
    a = use.into.reshaped(a, [*shape, m, k])
    order = [second.index(c) for c in (*batch, *inner, *columns)]
    if isinstance(b, Fixed) and not batch:
        y = product(use, a, b.array.transpose(order).reshape(-1, n), None)
    else:
        other = use.value(1)
        other = Value(other.name, other.layout.transposed(order))
        y = of_both(use, a, use.into.reshaped(other, [*shape, k, n]))
    found = [*batch, *rows, *columns]
    y = use.into.reshaped(y, [sides[c] for c in found])
    return [Value(y.name, y.layout.transposed([found.index(c) for c in result]))]


def of_both(use: Use, a: Value, b: Value) -> Value:
    """The product of two values, as NumPy has it: their last two axes are matrices.

    Raises:
        NodeError: the shapes do not fit.
    """
    flat_a, flat_b = len(a.sizes) == 1, len(b.sizes) == 1
    a = use.into.reshaped(a, (1, *a.sizes)) if flat_a else a
    b = use.into.reshaped(b, (*b.sizes, 1)) if flat_b else b
    (*before, rows, inner), (*others, again, columns) = a.sizes, b.sizes
    try:
        batch = np.broadcast_shapes(tuple(before), tuple(others))
    except ValueError:
        batch = None
    if inner != again or batch is None:
        raise NodeError(f"a product's shapes must fit; got {list(a.sizes)} and {list(b.sizes)}")
    a = use.into.reshaped(a, (*(1,) * (len(batch) - len(before)), *a.sizes))
    b = use.into.reshaped(b, (*(1,) * (len(batch) - len(others)), *b.sizes))
    # An image axis of both has one element, and the tensors have none.
    first = next((n for n, side in enumerate(batch) if side > 1), len(batch))
    order = range(first, len(batch) + 2)
    a, b = (use.into.lying(each, each.layout.lying(order)) for each in (a, b))
    axes = tuple(row(side) for side in (*batch, rows, columns))
    y = use.layer(MatMul(), [a, b], Layout(axes, tuple(axes[n] for n in order)))
    if flat_a or flat_b:
        kept = [*batch, *(() if flat_a else (rows,)), *(() if flat_b else (columns,))]
        y = use.into.reshaped(y, kept)
    return y


def product(use: Use, x: Value, weight: Array, bias: Array | None) -> Value:
    """The last axis of a value times ``(K, O)``.

    Raises:
        NodeError: the shapes do not fit.
    """
    outputs = weight.shape[-1]
    x, weight, layout = by_rows(use, x, weight)
    if bias is not None:
        if bias.size not in (1, outputs) or (bias.size > 1 and bias.shape[-1] != outputs):
            raise NodeError(f"C must have one number for each of {outputs}; got {list(bias.shape)}")
        bias = np.broadcast_to(bias.reshape(-1), (outputs,))
    arrays = {} if bias is None else {"bias": bias}
    if len(layout.memory) == 1:
        layer: Linear | Conv1d = Linear(outputs, bias=bias is not None)
    else:
        # A product for each row is a convolution with a kernel of one element.
        weight, layer = weight[None], Conv1d(outputs, 1, bias=bias is not None)
    return use.layer(layer, [x], layout, name=use.name(1), weight=weight, **arrays)


def by_rows(use: Use, x: Value, weight: Array) -> tuple[Value, Array, Layout]:
    """A value as rows of its last axis, a matrix ``(K, O)`` for them, the layout of their product.

    Raises:
        NodeError: the shapes do not fit.
    """
    sizes, (inputs, outputs) = x.sizes, weight.shape
    if not sizes or sizes[-1] != inputs:
        raise NodeError(
            f"a product's inner sides must be equal; got {list(sizes)} and {list(weight.shape)}"
        )
    held = set(x.layout.axes[-1])
    # As the elements lie: the rows of the weights are put in their order.
    inner = tuple(factor for factor in flat(x.layout.memory) if factor in held)
    out = row(outputs)
    weight = in_order(weight, (x.layout.axes[-1], out), (inner, out))
    rows = [axis for axis in x.layout.order() if axis != len(sizes) - 1]
    lead = (flat(x.layout.axes[axis] for axis in rows),) if rows else ()
    layout = Layout((*x.layout.axes[:-1], out), (*lead, out))
    return use.into.lying(x, (*lead, inner)), weight, layout
