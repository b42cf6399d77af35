"""The 16 contractions of Winograd's convolution, one for each place of its patches.

Forwards and backwards, chains of fused multiply-adds from +0.0 as in ``ops.conv``; the three are
one another's gradients.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from isoconv.arithmetic.fma import fma
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Chain, Element
from isoconv.ops.check import require_batched, require_float, require_unbatched, shape_error

PLACES = 16
"""Places in a patch of four by four."""


def _check_product(op: str, components: str, side: int, **specs: TensorSpec) -> None:
    """Components ``(16, rows, columns, K)`` and kernels ``u (16, C, O)``, K at this axis of u."""
    require_float(op, **specs)
    require_batched(op, **{components: specs[components]})
    require_unbatched(op, u=specs["u"])
    given, u = specs[components].shape, specs["u"].shape
    if len(given) != 4 or len(u) != 3 or given[0] != PLACES or u[0] != PLACES:
        rule = (
            f"{components} must have shape ({PLACES}, rows, columns, channels), u ({PLACES}, C, O)"
        )
        raise shape_error(op, rule, **specs)
    if given[-1] != u[side]:
        rule = f"{components} and u must have the same channels: {given[-1]} != {u[side]}"
        raise shape_error(op, rule, **specs)


def _infer_product(_: None, v: TensorSpec, u: TensorSpec) -> TensorSpec:
    _check_product("winograd_product", "v", 1, v=v, u=u)
    return TensorSpec((*v.shape[:-1], u.shape[2]), v.dtype)


def _gradient_product(b: GraphBuilder, node: int, dm: int) -> Flows:
    v, u = b[node].inputs
    return (
        b.add("winograd_product_grad_input", dm, u),
        b.add("winograd_product_grad_weight", v, dm),
    )


def _product(_: None, v: Array, u: Array, *, images: int) -> Array:
    m = np.zeros((images, *v.shape[1:-1], u.shape[2]), v.dtype)
    for channel in range(u.shape[1]):
        m = fma(v[..., channel, None], u[:, None, None, channel], m)
    return m


def _terms_product(asked: Asked) -> Chain:
    t, *place, o = asked.place
    channels = range(asked.operands[1].shape[1])
    return Chain(
        tuple((Element(0, (*asked.image, t, *place, c)), Element(1, (t, c, o))) for c in channels)
    )


register(
    name="winograd_product",
    summary="m[t, p, o] = sum over channels c of v[t, p, c] u[t, c, o].",
    infer=_infer_product,
    gradient=_gradient_product,
    reference=_product,
    terms=_terms_product,
    kernels="winograd",
    multiply_adds=lambda m, v, _: m.size * v.shape[-1],
)


def _infer_product_grad_input(_: None, dm: TensorSpec, u: TensorSpec) -> TensorSpec:
    _check_product("winograd_product_grad_input", "dm", 2, dm=dm, u=u)
    return TensorSpec((*dm.shape[:-1], u.shape[1]), dm.dtype)


def _gradient_product_grad_input(b: GraphBuilder, node: int, ddv: int) -> Flows:
    dm, u = b[node].inputs
    return (
        b.add("winograd_product", ddv, u),
        b.add("winograd_product_grad_weight", ddv, dm),
    )


def _product_grad_input(_: None, dm: Array, u: Array, *, images: int) -> Array:
    dv = np.zeros((images, *dm.shape[1:-1], u.shape[1]), dm.dtype)
    for filter_ in range(u.shape[2]):
        dv = fma(dm[..., filter_, None], u[:, None, None, :, filter_], dv)
    return dv


def _terms_product_grad_input(asked: Asked) -> Chain:
    t, *place, c = asked.place
    filters = range(asked.operands[1].shape[2])
    return Chain(
        tuple((Element(0, (*asked.image, t, *place, o)), Element(1, (t, c, o))) for o in filters)
    )


register(
    name="winograd_product_grad_input",
    summary="dv[t, p, c] = sum over output channels o of dm[t, p, o] u[t, c, o].",
    infer=_infer_product_grad_input,
    gradient=_gradient_product_grad_input,
    reference=_product_grad_input,
    terms=_terms_product_grad_input,
    kernels="winograd",
)


def _infer_product_grad_weight(_: None, v: TensorSpec, dm: TensorSpec) -> TensorSpec:
    op = "winograd_product_grad_weight"
    require_float(op, v=v, dm=dm)
    require_batched(op, v=v, dm=dm)
    if len(v.shape) != 4 or v.shape[0] != PLACES or dm.shape[:-1] != v.shape[:-1]:
        rule = f"v and dm must have shapes ({PLACES}, rows, columns, channels) with equal sides"
        raise shape_error(op, rule, v=v, dm=dm)
    return TensorSpec((PLACES, v.shape[-1], dm.shape[-1]), v.dtype, batched=False)


def _gradient_product_grad_weight(b: GraphBuilder, node: int, ddu: int) -> Flows:
    v, dm = b[node].inputs
    return (
        b.add("winograd_product_grad_input", dm, ddu),
        b.add("winograd_product", v, ddu),
    )


def _product_grad_weight(_: None, v: Array, dm: Array, *, images: int) -> Array:
    du = np.zeros((PLACES, v.shape[-1], dm.shape[-1]), v.dtype)
    for image in range(images):
        for row in range(v.shape[2]):
            for column in range(v.shape[3]):
                here = (image, slice(None), row, column)
                du = fma(v[here][:, :, None], dm[here][:, None], du)
    return du


def _terms_product_grad_weight(asked: Asked) -> Chain:
    t, c, o = asked.place
    _, rows, columns, _ = asked.operands[0].shape
    places = product(range(asked.images), range(rows), range(columns))
    return Chain(
        tuple(
            (Element(0, (n, t, *place, c)), Element(1, (n, t, *place, o))) for n, *place in places
        )
    )


register(
    name="winograd_product_grad_weight",
    summary="du[t, c, o] = sum over images n, tiles p of v[n, t, p, c] dm[n, t, p, o].",
    infer=_infer_product_grad_weight,
    gradient=_gradient_product_grad_weight,
    reference=_product_grad_weight,
    terms=_terms_product_grad_weight,
    kernels="winograd",
)
