"""Batch normalisation from given statistics, and the inverse standard deviation.

The statistics themselves are `sum`, `divide_by_count`, `sub` and `square`
(Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.ops.check import (
    require_batched,
    require_constants,
    require_float,
    require_unbatched,
    shape_error,
)
from isoconv.ops.pointwise import Constant
from isoconv.ops.reduce import CountAttrs, Sum

__public__ = {"isoconv.ops": ["[A-Z]*"]}


# -- inverse_std -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Epsilon:
    """A small number that keeps a division from zero.

    Attributes:
        eps: at least 0; rounded to the tensor's dtype.
    """

    eps: float

    def __post_init__(self) -> None:
        if not self.eps >= 0:
            raise refusal("eps", "not be negative", self.eps)


def _infer_inverse_std(attrs: Epsilon, var: TensorSpec) -> TensorSpec:
    require_float("inverse_std", var=var)
    require_constants("inverse_std", attrs, var)
    return var


def _gradient_inverse_std(b: GraphBuilder, node: int, dy: int) -> Flows:
    """The derivative of (v + eps)^(-1/2) is -1/2 (v + eps)^(-3/2)."""
    cube = b.add("mul", b.add("square", node), node)
    return (b.add("mul", dy, b.add("scale", cube, attrs=Constant(-0.5))),)


def _inverse_std(attrs: Epsilon, var: Array, *, images: int) -> Array:  # noqa: ARG001
    kind = var.dtype.type
    with np.errstate(all="ignore"):
        return np.asarray(kind(1.0) / np.sqrt(var + kind(attrs.eps)))


register(
    name="inverse_std",
    attrs=Epsilon,
    summary="y = 1 / sqrt(var + eps).",
    infer=_infer_inverse_std,
    gradient=_gradient_inverse_std,
    reference=_inverse_std,
    pointwise=True,
)


# -- batch_norm ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Where the statistics come from.

    Attributes:
        training: True when mean and inverse deviation are those of x itself over the shard: the
            gradient by x then holds their share too. False when they are values of their own.
        size: positions per image, so that a shard of n images has n * size per channel.
    """

    training: bool
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise refusal("size", "be at least 1", self.size)


def _infer_batch_norm(
    attrs: BatchNorm,
    x: TensorSpec,
    mean: TensorSpec,
    inv: TensorSpec,
    gamma: TensorSpec,
    beta: TensorSpec,
) -> TensorSpec:
    op = "batch_norm"
    named = {"x": x, "mean": mean, "inv": inv, "gamma": gamma, "beta": beta}
    require_float(op, **named)
    require_batched(op, x=x)
    require_unbatched(op, mean=mean, inv=inv, gamma=gamma, beta=beta)
    if not x.shape:
        raise shape_error(op, "x must have an axis of channels", **named)
    if any(named[name].shape != x.shape[-1:] for name in ("mean", "inv", "gamma", "beta")):
        rule = f"mean, inv, gamma and beta must have one element per channel, {x.shape[-1:]}"
        raise shape_error(op, rule, **named)
    if x.size != attrs.size * x.shape[-1]:
        rule = f"size must be the positions of one image: {attrs.size}"
        raise shape_error(op, rule, **named)
    return x


def _gradient_batch_norm(b: GraphBuilder, node: int, dy: int) -> Flows:
    """Ioffe & Szegedy's gradient, regrouped around the sums that beta and gamma need too.

    Statistics that are values of their own have gradients too: dmean = -gamma inv (sum of dy) and
    dinv = gamma (sum of dy (x - mean)). Those of x itself have none: dx holds their share.
    """
    x, mean, inv, gamma, _ = b[node].inputs
    attrs = b[node].attrs
    over_shard, count = Sum(1, False), CountAttrs(attrs.size, False)
    from_mean = b.add("sub", x, mean)
    xhat = b.add("mul", from_mean, inv)
    dbeta = b.add("sum", dy, attrs=over_shard)
    dgamma = b.add("sum", b.add("mul", dy, xhat), attrs=over_shard)
    inner = dy
    if attrs.training:
        centred = b.add("sub", dy, b.add("divide_by_count", dbeta, attrs=count))
        slope = b.add("divide_by_count", dgamma, attrs=count)
        inner = b.add("sub", centred, b.add("mul", xhat, slope))
    scale = b.add("mul", gamma, inv)
    dx = b.add("mul", scale, inner)
    if attrs.training:
        return dx, None, None, dgamma, dbeta
    dmean = b.add("neg", b.add("mul", scale, dbeta))
    spread = b.add("sum", b.add("mul", dy, from_mean), attrs=over_shard)
    return dx, dmean, b.add("mul", gamma, spread), dgamma, dbeta


def _batch_norm(
    attrs: BatchNorm,  # noqa: ARG001
    x: Array,
    mean: Array,
    inv: Array,
    gamma: Array,
    beta: Array,
    *,
    images: int,  # noqa: ARG001
) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(((x - mean) * inv) * gamma + beta)


register(
    name="batch_norm",
    attrs=BatchNorm,
    summary="y = ((x - mean) * inv) * gamma + beta, per channel, each operation rounded.",
    infer=_infer_batch_norm,
    gradient=_gradient_batch_norm,
    reference=_batch_norm,
    pointwise=True,
)
