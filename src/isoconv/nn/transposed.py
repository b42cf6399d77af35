"""Transposed convolution in one, two and three dimensions: functions and layers.

The transpose of a convolution as a linear map, which is its gradient by the input, run forward:
each number of the input spreads over as many places as the kernel has, a stride apart, and what
meets in one place is added. With the weight ``w`` of a convolution from O channels to C,
``conv_transpose2d(x, w, …)`` is the transpose of ``conv2d(·, w, …)`` with the same settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple, cast

from isoconv.checks import check_choice, check_count, check_flag, refusal
from isoconv.errors import ShapeError
from isoconv.nn.alike import like, ranked
from isoconv.nn.module import Module
from isoconv.nn.padding import PadMode, pad
from isoconv.nn.settings import (
    PADDING_MODES,
    PaddingMode,
    PaddingSetting,
    PerAxis,
    check_rank,
    filters_and_groups,
    learned_bias,
    padding_pairs,
    per_axis,
    with_bias,
)
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import ConvGeometry, ConvGradInput, Padding

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}

MOST_PHASES = 4096
"""Of the product of the strides: a kernel has a part for each remainder by the stride."""


class _Axis(NamedTuple):
    """An axis of a transposed convolution.

    Attributes:
        reached: places of the result that the convolution that is transposed can have for an input.
        beyond: places of the result behind them, which it would make another output of.
        pair: padding of that convolution.
        further: places of x before and after its ends that reach the result, where there are any.
    """

    reached: int
    beyond: int
    pair: tuple[int, int]
    further: tuple[int, int]


def _axis(
    side: int, stride: int, extent: int, cut: tuple[int, int], more: int, *, continued: bool
) -> _Axis:
    before, after = cut
    result = (side - 1) * stride + extent - before - after + more
    further = (0, 0)
    if continued:
        ahead, last = (extent - 1 - before) // stride, (result - 1 + before) // stride
        further = (max(0, ahead), max(0, last - (side - 1)))
        side += further[0] + further[1]
        before += further[0] * stride
    # How far the result goes on behind the last kernel.
    end = result + before - extent - (side - 1) * stride
    beyond = max(0, end - (stride - 1))
    return _Axis(result - beyond, beyond, (before, max(0, -end)), further)


def _transpose(
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: PerAxis,
    padding: PaddingSetting,
    output_padding: PerAxis,
    dilation: PerAxis,
    groups: int,
    flip: bool,
    padding_mode: str,
) -> Tensor:
    name = f"conv_transpose{rank}d"
    check_rank(name, rank, x)
    check_tensors(name, weight=weight)
    if len(weight.shape) != rank + 2 or weight.shape[-1] != x.shape[-1]:
        raise ShapeError(
            f"{name} takes a weight of shape (kernel..., O / groups, C) with {rank + 2} axes and "
            f"the {x.shape[-1]} channels of x; got shape {weight.shape}",
            argument="weight",
            value=weight,
        )
    kernel, sides = weight.shape[:rank], x.shape[:rank]
    strides = per_axis("stride", stride, rank)
    if prod(strides) > MOST_PHASES:
        raise refusal("stride", f"have a product of at most {MOST_PHASES:,}", stride)
    dilations = per_axis("dilation", dilation, rank)
    more = per_axis("output_padding", output_padding, rank, least=0)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    wanted = [side * step for side, step in zip(sides, strides, strict=True)]
    cut = padding_pairs(padding, wanted, kernel, strides, dilations)
    if padding in ("same", "same_lower"):
        if any(more):
            raise refusal("output_padding", 'be 0 with padding "same"', output_padding)
        more = tuple(max(0, s - e) for s, e in zip(strides, extents, strict=True))
    continued = check_choice("padding_mode", padding_mode, PADDING_MODES) != "zeros"
    axes = [
        _axis(*each, continued=continued)
        for each in zip(sides, strides, extents, cut, more, strict=True)
    ]
    if min(axis.reached for axis in axes) < 1:
        results = tuple(axis.reached + axis.beyond for axis in axes)
        raise ShapeError(
            f"padding must leave a place of the result on every axis; got {padding!r} for an "
            f"input of {sides} with kernel {kernel}: the result would have {results}",
            argument="padding",
            value=padding,
        )
    if continued:
        x = pad(x, tuple(axis.further for axis in axes), cast("PadMode", padding_mode))
    groups = check_count("groups", groups)
    if x.shape[-1] % groups:
        raise refusal("groups", f"divide the {x.shape[-1]} channels of x", groups, ShapeError)
    pairs = tuple(axis.pair for axis in axes)
    geometry = ConvGeometry(kernel, strides, pairs, dilations, groups, check_flag("flip", flip))
    attrs = ConvGradInput(geometry, tuple(axis.reached for axis in axes))
    y = apply("conv_grad_input", x=x, weight=weight, attrs=attrs)
    if any(axis.beyond for axis in axes):
        y = y.trace.add("pad", y, attrs=Padding(tuple((0, axis.beyond) for axis in axes)))
    return with_bias(name, y, bias)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    flip: bool = False,
    padding_mode: PaddingMode = "zeros",
) -> Tensor:
    """Transposed convolution along height and width: `conv2d` as a linear map, transposed.

        Y(i, j, o) = b(o) + Σ X(p, q, c) · K(m, n, o, c)

    over all channels c, places p, q and kernel positions m, n with ``p·S - P + m·D = i`` and
    ``q·S - P + n·D = j``. Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin and Visin 2016,
    "A guide to convolution arithmetic for deep learning". Along each axis the result has
    ``(I - 1)·S + D·(K - 1) + 1 - P_before - P_after + output_padding`` places. Those that no
    kernel position reaches are 0 before the bias.

    Every element is one chain of fused multiply-adds from +0.0 over kernel position (row-major),
    then input channel of the group; the bias is one addition after it.

    Args:
        x: ``(H, W, C)``.
        weight: ``(kh, kw, O / groups, C)``, as a convolution from O channels to C has it.
        bias: ``(O,)`` or None.
        stride: S, how far one input lies from the next in the result.
        padding: P, places that are cut off the result: one number, one per axis, a pair (before,
            after) per axis, ``"valid"`` (none), ``"same"`` (a result of ``I·S`` places, the odd
            one cut off behind) or ``"same_lower"`` (the odd one before).
        output_padding: places that the result has more behind: with a stride, convolutions of
            several sizes give one size, and this says which it is.
        dilation: distance D between kernel elements.
        groups: channels are cut into this many groups that do not see each other; output channel
            o belongs to group ``o // (O / groups)``.
        flip: as for the convolution that it transposes.
        padding_mode: what lies beyond the ends of x, as far as it reaches the result:
            ``"zeros"``, or what `pad` of that mode has there: ``"reflect"``, ``"replicate"`` or
            ``"circular"``.

    Returns:
        ``(H', W', O)``.

    Raises:
        ShapeError: shapes, padding or groups that do not fit.
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((14, 14, 3))
        >>> conv_transpose2d(x, x.trace.input("parameter", "w", (4, 4, 8, 3)), None, 2, 1).shape
        (28, 28, 8)
    """
    return _transpose(
        2, x, weight, bias, stride, padding, output_padding, dilation, groups, flip, padding_mode
    )


@like(conv_transpose2d, rank=1)
@ranked(1, conv_transpose2d, _transpose)
def conv_transpose1d() -> None:
    """Transposed convolution along one axis; see `conv_transpose2d` for all but the shapes.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((50, 2))
        >>> conv_transpose1d(x, x.trace.input("parameter", "w", (4, 8, 2)), stride=2).shape
        (102, 8)
    """


@like(conv_transpose2d, rank=3)
@ranked(3, conv_transpose2d, _transpose)
def conv_transpose3d() -> None:
    """Transposed convolution along depth, height and width; see `conv_transpose2d`.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((4, 4, 4, 1))
        >>> conv_transpose3d(x, x.trace.input("parameter", "w", (2, 2, 2, 4, 1)), stride=2).shape
        (8, 8, 8, 4)
    """


@dataclass(eq=False, repr=False)
class _ConvTranspose(Module):
    """A learned transposed convolution; its rank is the subclass's."""

    rank: ClassVar[int]
    width = "filters"

    filters: int
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: PaddingSetting = 0
    output_padding: PerAxis = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    flip: bool = False
    padding_mode: str = "zeros"

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(spatial'..., filters)``."""
        check_rank(type(self).__name__, self.rank, x)
        kernel = per_axis("kernel_size", self.kernel_size, self.rank)
        strides = per_axis("stride", self.stride, self.rank)
        channels = x.shape[-1]
        filters, groups = filters_and_groups(self.filters, self.groups, channels)
        # Of the kernel's positions along an axis, one in a stride meets a place of the result.
        met = prod(max(k, s) for k, s in zip(kernel, strides, strict=True)) / prod(strides)
        shape = (*kernel, filters // groups, channels)
        fan_in = channels // groups * met
        weight = x.trace.parameter(self, "weight", shape, fan_in=fan_in)
        bias = learned_bias(self, x, filters, self.bias)
        return _transpose(
            self.rank, x, weight, bias, self.stride, self.padding, self.output_padding,
            self.dilation, groups, self.flip, self.padding_mode,
        )  # fmt: skip


class ConvTranspose2d(_ConvTranspose):
    """Learned transposed convolution along height and width, with its weight and bias.

    ``Y(i, j, o) = bias(o) + Σ X(p, q, c) · weight(m, n, o, c)`` over all c and all p, q, m, n with
    ``p·S - P + m·D = i`` and ``q·S - P + n·D = j``: `conv_transpose2d`. First values are uniform
    within ±sqrt(6 / fan_in), and fan_in is the mean number of products of a result inside,
    ``C / groups · Π max(1, K / S)`` over the axes.

    Args:
        filters: number of output channels.
        kernel_size: K, one number or one per axis.
        stride: S, how far one input lies from the next in the result.
        padding: P, places that are cut off the result: one number, one per axis, a pair (before,
            after) per axis, ``"same"``, ``"same_lower"`` or ``"valid"``.
        output_padding: places that the result has more behind.
        dilation: distance D between kernel elements.
        groups: channels are cut into this many groups that do not see each other.
        bias: whether a learned number is added to each channel.
        flip: as for the convolution that it transposes.
        padding_mode: what lies beyond the ends of x, as far as it reaches the result:
            ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', filters)``, ``H' = (H - 1)·S + D·(K - 1) + 1 - 2P + output_padding``.

    Source:
        Zeiler et al. 2010, "Deconvolutional networks".

    Raises:
        ShapeError: when traced: the input's rank, the padding or the groups do not fit.
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> from isoconv import nn
        >>> nn.ConvTranspose2d(8, 4, 2, padding=1).summary((14, 14, 3)).rows[0].output
        (28, 28, 8)
    """

    rank = 2


@like(ConvTranspose2d, rank=1)
class ConvTranspose1d(_ConvTranspose):
    """Learned transposed convolution along one axis: `conv_transpose1d`; see `ConvTranspose2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.ConvTranspose1d(8, 4, stride=2).build((50, 2)).weights["weight"].shape
        (4, 8, 2)
    """

    rank = 1


@like(ConvTranspose2d, rank=3)
class ConvTranspose3d(_ConvTranspose):
    """Learned transposed convolution along three axes: `conv_transpose3d`; see `ConvTranspose2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.ConvTranspose3d(4, 2, 2).build((4, 4, 4, 1)).weights["weight"].shape
        (2, 2, 2, 4, 1)
    """

    rank = 3
