"""Normalisation by groups of channels, image by image (Wu & He, 2018).

Mean and inverse deviation are those of the groups of x itself: the gradient by x holds their share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.ops.check import require_float, shape_error
from isoconv.ops.reduce import Broadcast, CountAttrs, reshaped, summed

__public__ = {"isoconv.ops": ["[A-Z]*"]}


def group_mean(b: GraphBuilder, x: int, groups: int) -> int:
    """Each group's mean over positions, which are added first, and channels, at its channels.

    Args:
        b: the builder to which nodes are added.
        x: position of a value ``(spatial..., C)``.
        groups: of neighbouring channels.

    Returns:
        Position of the means, ``(1, ..., 1, C)``.
    """
    spec = b.spec(x)
    *sides, channels = spec.shape
    width = channels // groups
    found = summed(b, x, range(len(sides)), batched=spec.batched)
    if width > 1:
        found = summed(b, reshaped(b, found, (groups, width)), (1,), batched=spec.batched)
    attrs = CountAttrs(spec.size // groups, batched=True)
    mean = b.add("divide_by_count", found, attrs=attrs)
    if width > 1:
        repeated = Broadcast((groups, width), spec.batched, spec.batched)
        mean = b.add("broadcast", reshaped(b, mean, (groups, 1)), attrs=repeated)
    return reshaped(b, mean, (*(1,) * len(sides), channels))


@dataclass(frozen=True, slots=True)
class GroupNorm:
    """Whose statistics they are.

    Attributes:
        groups: of neighbouring channels, each with a mean and a deviation of its own.
    """

    groups: int

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise refusal("groups", "be at least 1", self.groups)


def _infer(attrs: GroupNorm, x: TensorSpec, mean: TensorSpec, inv: TensorSpec) -> TensorSpec:
    op, named = "group_norm", {"x": x, "mean": mean, "inv": inv}
    require_float(op, **named)
    if not x.shape or x.shape[-1] % attrs.groups:
        rule = f"x must have channels that {attrs.groups} groups share"
        raise shape_error(op, rule, **named)
    ones = (*(1,) * (len(x.shape) - 1), x.shape[-1])
    if any(spec != TensorSpec(ones, x.dtype, x.batched) for spec in (mean, inv)):
        rule = f"mean and inv must have a number for each channel of an image, {ones}"
        raise shape_error(op, rule, **named)
    return x


def _gradient(b: GraphBuilder, node: int, dy: int) -> Flows:
    """With y of the groups' statistics: dx = inv ((dy - mean of dy) - y (mean of dy y))."""
    groups, inv = b[node].attrs.groups, b[node].inputs[2]
    share = group_mean(b, b.add("mul", dy, node), groups)
    centred = b.add("sub", dy, group_mean(b, dy, groups))
    inner = b.add("sub", centred, b.add("mul", node, share))
    return b.add("mul", inv, inner), None, None


@np.errstate(all="ignore")
def _group_norm(attrs: GroupNorm, x: Array, mean: Array, inv: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.asarray((x - mean) * inv)


register(
    name="group_norm",
    attrs=GroupNorm,
    summary="y = (x - mean) * inv, the statistics those of x's groups, each operation rounded.",
    infer=_infer,
    gradient=_gradient,
    reference=_group_norm,
    pointwise=True,
    cheap=True,
)
