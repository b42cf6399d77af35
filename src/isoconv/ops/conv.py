r"""Convolution, its gradient by the input and its gradient by the kernel.

With input channels :math:`c`, kernel positions :math:`m` and offset :math:`m D` (the notes'
worked example: cross-correlation), or :math:`(K - 1 - m) D` with `flip` (the notes' formula):

.. math:: y(p, o) = \sum_m \sum_c x(p S - P + \mathrm{offset}(m), c) \, w(m, c, o)

Each element of each result is one chain of fused multiply-adds that starts at +0.0. The three
operations are one another's gradients, so that derivatives of every order exist. Rank 0, a kernel
with no axes, is the linear layer; `conv_grad_input` used forward is the transposed convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from isoconv.arithmetic.fma import fma
from isoconv.errors import ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Chain, Element
from isoconv.ops.check import (
    in_operation,
    require_batched,
    require_float,
    require_unbatched,
    shape_error,
)
from isoconv.ops.geometry import ConvGeometry
from isoconv.ops.reach import convolved, transposed
from isoconv.ops.window import at, covered, kernel_positions, met_by, offsets, read, take

__public__ = {"isoconv.ops": ["[A-Z]*"]}


def _check_kernel(op: str, geometry: ConvGeometry, **specs: TensorSpec) -> None:
    """The rules for ``w (kernel..., C / groups, O)`` alone."""
    w, groups = specs["w"], geometry.groups
    if len(w.shape) != geometry.rank + 2 or w.shape[: geometry.rank] != geometry.kernel:
        rule = f"w must have shape (kernel..., C / groups, O) with kernel {geometry.kernel}"
        raise shape_error(op, rule, **specs)
    if w.shape[-1] % groups:
        rule = f"groups must divide the output channels: {w.shape[-1]} % {groups} != 0"
        raise shape_error(op, rule, **specs)


def _check_image(op: str, name: str, geometry: ConvGeometry, **specs: TensorSpec) -> None:
    if len(specs[name].shape) != geometry.rank + 1:
        rule = f"{name} must have {geometry.rank} spatial axes and one of channels"
        raise shape_error(op, rule, **specs)


def _output_sides(op: str, geometry: ConvGeometry, **specs: TensorSpec) -> tuple[int, ...]:
    try:
        return geometry.output_sides(specs["x"].shape[:-1])
    except ShapeError as error:
        in_operation(error, op, **specs)
        raise


# -- conv ------------------------------------------------------------------------------------


def _infer_conv(attrs: ConvGeometry, x: TensorSpec, w: TensorSpec) -> TensorSpec:
    require_float("conv", x=x, w=w)
    require_batched("conv", x=x)
    require_unbatched("conv", w=w)
    _check_image("conv", "x", attrs, x=x, w=w)
    _check_kernel("conv", attrs, x=x, w=w)
    if x.shape[-1] != w.shape[-2] * attrs.groups:
        rule = (
            f"the input channels must be those of the kernel times groups: "
            f"{x.shape[-1]} != {w.shape[-2]} * {attrs.groups}"
        )
        raise shape_error("conv", rule, x=x, w=w)
    sides = _output_sides("conv", attrs, x=x, w=w)
    return TensorSpec((*sides, w.shape[-1]), x.dtype)


def _gradient_conv(b: GraphBuilder, node: int, dy: int) -> Flows:
    x, w = b[node].inputs
    geometry = b[node].attrs
    by_input = ConvGradInput(geometry, b.spec(x).shape[:-1])
    return (
        b.add("conv_grad_input", dy, w, attrs=by_input),
        b.add("conv_grad_weight", x, dy, attrs=geometry),
    )


def _conv(attrs: ConvGeometry, x: Array, w: Array, *, images: int) -> Array:
    """Chain over (kernel position, input channel of the group)."""
    outputs = attrs.output_sides(x.shape[1:-1])
    inner, filters = w.shape[-2], w.shape[-1] // attrs.groups
    y = np.zeros((images, *outputs, attrs.groups, filters), x.dtype)
    for position in kernel_positions(attrs.kernel):
        patch = take(x, covered(attrs, position, outputs))
        patch = patch.reshape((*patch.shape[:-1], attrs.groups, inner))
        rows = w[position].reshape((inner, attrs.groups, filters))
        for channel in range(inner):
            y = fma(patch[..., channel, None], rows[channel], y)
    return y.reshape((images, *outputs, w.shape[-1]))


def _terms_conv(asked: Asked) -> Chain:
    geometry, (x, w) = asked.attrs, asked.operands
    *place, channel = asked.place
    inner, filters = w.shape[-2], w.shape[-1] // geometry.groups
    first = channel // filters * inner
    return Chain(
        tuple(
            (
                read(0, x, asked.image, (*at(geometry, m, place), first + c)),
                Element(1, (*m, c, channel)),
            )
            for m in kernel_positions(geometry.kernel)
            for c in range(inner)
        )
    )


register(
    name="conv",
    attrs=ConvGeometry,
    summary="y[p, o] = sum over kernel positions m, channels c of x[pS - P + mD, c] w[m, c, o].",
    infer=_infer_conv,
    gradient=_gradient_conv,
    reference=_conv,
    epilogue=True,
    terms=_terms_conv,
    kernels="contraction",
    heavy=True,
    multiply_adds=lambda y, _, w: y.size * prod(w.shape[:-1]),
    reads=convolved,
)


# -- conv_grad_input -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConvGradInput:
    """A convolution run backwards: its gradient by the input, or a transposed convolution.

    Attributes:
        geometry: of the forward convolution.
        sides: sizes of the forward input per axis, which stride may leave open.
    """

    geometry: ConvGeometry
    sides: tuple[int, ...]


def _infer_grad_input(attrs: ConvGradInput, dy: TensorSpec, w: TensorSpec) -> TensorSpec:
    op, geometry = "conv_grad_input", attrs.geometry
    require_float(op, dy=dy, w=w)
    require_batched(op, dy=dy)
    require_unbatched(op, w=w)
    _check_image(op, "dy", geometry, dy=dy, w=w)
    _check_kernel(op, geometry, dy=dy, w=w)
    outputs = geometry.output_sides(attrs.sides)
    if dy.shape != (*outputs, w.shape[-1]):
        rule = f"dy must have the shape of the convolution's result, {(*outputs, w.shape[-1])}"
        raise shape_error(op, rule, dy=dy, w=w)
    return TensorSpec((*attrs.sides, w.shape[-2] * geometry.groups), dy.dtype)


def _gradient_grad_input(b: GraphBuilder, node: int, ddx: int) -> Flows:
    dy, w = b[node].inputs
    geometry = b[node].attrs.geometry
    return (
        b.add("conv", ddx, w, attrs=geometry),
        b.add("conv_grad_weight", ddx, dy, attrs=geometry),
    )


def _grad_input(attrs: ConvGradInput, dy: Array, w: Array, *, images: int) -> Array:
    """Chain over (kernel position, output channel of the group), where the stride meets."""
    geometry, groups = attrs.geometry, attrs.geometry.groups
    inner, filters = w.shape[-2], w.shape[-1] // groups
    dx = np.zeros((images, *attrs.sides, groups, inner), dy.dtype)
    for position in kernel_positions(geometry.kernel):
        shifts = [
            before - offset
            for (before, _), offset in zip(
                geometry.padding, offsets(geometry, position), strict=True
            )
        ]
        # The inputs h with (h + P - offset) divisible by the stride, and their outputs.
        inputs = [
            np.arange(-shift % stride, side, stride, dtype=np.int64)
            for shift, stride, side in zip(shifts, geometry.stride, attrs.sides, strict=True)
        ]
        outputs = [
            (h + shift) // stride
            for h, shift, stride in zip(inputs, shifts, geometry.stride, strict=True)
        ]
        met = take(dy, outputs)
        met = met.reshape((*met.shape[:-1], groups, filters))
        rows = w[position].reshape((inner, groups, filters))
        at = np.ix_(np.arange(images), *inputs)
        chain = dx[at]
        for channel in range(filters):
            chain = fma(met[..., channel, None], rows[..., channel].T, chain)
        dx[at] = chain
    return dx.reshape((images, *attrs.sides, groups * inner))


def _terms_grad_input(asked: Asked) -> Chain:
    geometry, (dy, w) = asked.attrs.geometry, asked.operands
    *place, channel = asked.place
    inner, filters = w.shape[-2], w.shape[-1] // geometry.groups
    group, c = divmod(channel, inner)
    return Chain(
        tuple(
            (
                read(0, dy, asked.image, (*output, o)),
                Element(1, (*m, c, o)),
            )
            for m in kernel_positions(geometry.kernel)
            for output in met_by(geometry, m, place)
            for o in range(group * filters, (group + 1) * filters)
        )
    )


register(
    name="conv_grad_input",
    attrs=ConvGradInput,
    summary="dx[i, c] = sum over m, o with pS - P + mD = i of dy[p, o] w[m, c, o]: of a "
    "convolution the gradient by its input, or a transposed convolution of dy.",
    infer=_infer_grad_input,
    gradient=_gradient_grad_input,
    reference=_grad_input,
    epilogue=True,
    terms=_terms_grad_input,
    kernels="contraction",
    heavy=True,
    multiply_adds=lambda _, dy, w: dy.size * prod(w.shape[:-1]),
    reads=transposed,
)


# -- conv_grad_weight ------------------------------------------------------------------------


def _infer_grad_weight(attrs: ConvGeometry, x: TensorSpec, dy: TensorSpec) -> TensorSpec:
    op = "conv_grad_weight"
    require_float(op, x=x, dy=dy)
    require_batched(op, x=x, dy=dy)
    _check_image(op, "x", attrs, x=x, dy=dy)
    _check_image(op, "dy", attrs, x=x, dy=dy)
    outputs = _output_sides(op, attrs, x=x, dy=dy)
    if dy.shape[:-1] != outputs:
        rule = f"dy must have the convolution's output sizes, {outputs}"
        raise shape_error(op, rule, x=x, dy=dy)
    channels, filters = x.shape[-1], dy.shape[-1]
    if channels % attrs.groups or filters % attrs.groups:
        rule = f"groups {attrs.groups} must divide the channels {channels} and {filters}"
        raise shape_error(op, rule, x=x, dy=dy)
    shape = (*attrs.kernel, channels // attrs.groups, filters)
    return TensorSpec(shape, x.dtype, batched=False)


def _gradient_grad_weight(b: GraphBuilder, node: int, ddw: int) -> Flows:
    x, dy = b[node].inputs
    geometry = b[node].attrs
    by_input = ConvGradInput(geometry, b.spec(x).shape[:-1])
    return (
        b.add("conv_grad_input", dy, ddw, attrs=by_input),
        b.add("conv", x, ddw, attrs=geometry),
    )


def _grad_weight(attrs: ConvGeometry, x: Array, dy: Array, *, images: int) -> Array:  # noqa: ARG001
    """Chain over (image, output position row-major)."""
    groups = attrs.groups
    outputs, inner, filters = dy.shape[1:-1], x.shape[-1] // groups, dy.shape[-1] // groups
    # One row for each link of the chain: (image and output position, kernel position, channel).
    patches = np.stack(
        [take(x, covered(attrs, m, outputs)) for m in kernel_positions(attrs.kernel)], axis=-2
    )
    places = patches.shape[-2]
    rows = patches.reshape((-1, places, groups, inner)).transpose(0, 1, 3, 2)
    columns = dy.reshape((-1, groups, filters))
    dw = np.zeros((places, inner, groups, filters), x.dtype)
    for row, column in zip(rows, columns, strict=True):
        dw = fma(row[..., None], column, dw)
    return dw.reshape((*attrs.kernel, inner, groups * filters))


def _terms_grad_weight(asked: Asked) -> Chain:
    geometry, (x, dy) = asked.attrs, asked.operands
    *m, c, o = asked.place
    inner, filters = asked.result.shape[-2], dy.shape[-1] // geometry.groups
    channel = o // filters * inner + c
    return Chain(
        tuple(
            (
                read(0, x, (image,), (*at(geometry, m, place), channel)),
                Element(1, (image, *place, o)),
            )
            for image in range(asked.images)
            for place in kernel_positions(dy.shape[:-1])
        )
    )


register(
    name="conv_grad_weight",
    attrs=ConvGeometry,
    summary="dw[m, c, o] = sum over images n, positions p of x[n, pS - P + mD, c] dy[n, p, o].",
    infer=_infer_grad_weight,
    gradient=_gradient_grad_weight,
    reference=_grad_weight,
    terms=_terms_grad_weight,
    kernels="contraction",
)
