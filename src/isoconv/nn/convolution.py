"""Convolution in one, two and three dimensions: functions and layers.

Two operations go by the name of convolution. *Cross-correlation*, which networks use and which
the notes (``docs/glossary.md``) work out by hand, reads the kernel as it stands:

    Y(i, j) = Σ_m Σ_n X(i + m, j + n) · K(m, n)

*True convolution*, the notes' formula, reads it turned around on every axis:

    Y(i, j) = Σ_m Σ_n X(i - m, j - n) · K(m, n)

``flip=False`` (the default) is the first, ``flip=True`` the second; ``K(m)`` then meets the input
at offset ``(K - 1 - m) · dilation`` of the window. A network learns the same functions with either,
with its kernels turned around; the difference matters for kernels that are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, cast, get_args

from isoconv.checks import LARGEST, check_choice, check_count, check_flag
from isoconv.errors import ArgumentError, ShapeError
from isoconv.nn.alike import like, ranked
from isoconv.nn.module import Module
from isoconv.nn.padding import PadMode, pad
from isoconv.nn.settings import (
    PADDING_MODES,
    PaddingMode,
    PaddingSetting,
    PerAxis,
    added,
    check_rank,
    filters_and_groups,
    learned_bias,
    padding_pairs,
    per_axis,
    with_bias,
)
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import ConvGeometry, WinogradOutput, WinogradPatches

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}

Algorithm = Literal["direct", "winograd"]
ALGORITHMS = get_args(Algorithm)


def _convolve(
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: PerAxis,
    padding: PaddingSetting,
    dilation: PerAxis,
    groups: int,
    flip: bool,
    padding_mode: str = "zeros",
    algorithm: str = "direct",
) -> Tensor:
    name = f"conv{rank}d"
    check_rank(name, rank, x)
    check_tensors(name, weight=weight)
    if len(weight.shape) != rank + 2:
        raise ShapeError(
            f"{name} takes a weight of shape (kernel..., C / groups, O) with {rank + 2} axes; "
            f"got shape {weight.shape}",
            argument="weight",
            value=weight,
        )
    kernel, sides = weight.shape[:rank], x.shape[:rank]
    strides = per_axis("stride", stride, rank)
    dilations = per_axis("dilation", dilation, rank)
    pairs = padding_pairs(padding, sides, kernel, strides, dilations)
    if check_choice("padding_mode", padding_mode, PADDING_MODES) != "zeros":
        x, pairs = pad(x, pairs, cast("PadMode", padding_mode)), ((0, 0),) * rank
    geometry = ConvGeometry(
        kernel, strides, pairs, dilations, check_count("groups", groups), check_flag("flip", flip)
    )
    if check_choice("algorithm", algorithm, ALGORITHMS) == "winograd":
        y = _winograd(x, weight, geometry)
    else:
        y = apply("conv", x=x, weight=weight, attrs=geometry)
    return with_bias(name, y, bias)


def _winograd(x: Tensor, weight: Tensor, geometry: ConvGeometry) -> Tensor:
    """The same convolution by F(2×2, 3×3), an arithmetic of its own."""
    for setting, found, wanted in (
        ("kernel_size", geometry.kernel, (3, 3)),
        ("stride", geometry.stride, (1, 1)),
        ("dilation", geometry.dilation, (1, 1)),
        ("groups", geometry.groups, 1),
        ("flip", geometry.flip, False),
    ):
        if found != wanted:
            text = f'algorithm="winograd" takes {setting} {wanted} alone; got {setting}={found}'
            raise ArgumentError(text, argument=setting, value=found)
    if weight.shape[2] != x.shape[-1]:
        text = f"the weight must have the input's channels: {weight.shape[2]} != {x.shape[-1]}"
        raise ShapeError(text, argument="weight", value=weight)
    height, width = geometry.output_sides(x.shape[:-1])
    (rows, columns), (tall, wide) = geometry.padding, x.shape[:-1]
    add = x.trace.add
    patches = add("winograd_input", x, attrs=WinogradPatches((tall, wide), (rows, columns)))
    products = add("winograd_product", patches, add("winograd_weight", weight))
    return add("winograd_output", products, attrs=WinogradOutput((height, width)))


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    flip: bool = False,
    algorithm: Algorithm = "direct",
    padding_mode: PaddingMode = "zeros",
) -> Tensor:
    """Convolution along height and width.

    With ``flip=False`` cross-correlation, the worked example of the notes (``docs/glossary.md``:
    ``y00 = x00·w00 + x01·w01 + x10·w10 + x11·w11``):

        Y(i, j, o) = b(o) + Σ_m Σ_n Σ_c X(i·S - P + m·D, j·S - P + n·D, c) · K(m, n, c, o)

    With ``flip=True`` true convolution, the notes' formula ``Y(i, j) = Σ_m Σ_n X(i - m, j - n) ·
    K(m, n)``: ``m`` and ``n`` in X's place become ``K - 1 - m`` and ``K - 1 - n``, so that the
    kernel is read turned around. (The notes index Y from the window's far corner, here from its
    near one, so that no index is negative.) Output size ``O = floor((I + 2P - K) / S) + 1``.

    Every element is one chain of fused multiply-adds from +0.0 over kernel position (row-major),
    then input channel of the group; the bias is one addition after it.

    ``algorithm="winograd"`` computes a 3×3 kernel of stride 1 by F(2×2, 3×3) (Lavin and Gray 2015,
    "Fast algorithms for convolutional neural networks"): 16 multiplications for every 4 results in
    place of 36. That is another arithmetic, with other bits, so it is never chosen unasked.

    Args:
        x: ``(H, W, C)``.
        weight: ``(kh, kw, C / groups, O)``.
        bias: ``(O,)`` or None.
        stride: step S, one number or one per axis.
        padding: zeros P around: one number, one per axis, a pair (before, after) per axis,
            ``"same"`` (``ceil(size / stride)`` outputs, an odd zero after), ``"same_lower"`` (it
            comes before) or ``"valid"`` (none).
        dilation: distance D between kernel elements, one number or one per axis.
        groups: channels are cut into this many groups that do not see each other; output channel
            o belongs to group ``o // (O / groups)``.
        flip: True for true convolution.
        algorithm: ``"direct"``, or ``"winograd"`` for a 3×3 kernel with stride 1, dilation 1 and
            one group, not flipped.
        padding_mode: what the padding is: ``"zeros"``, or what `pad` of that mode has beyond the
            ends of x: ``"reflect"``, ``"replicate"`` or ``"circular"``.

    Returns:
        ``(H', W', O)``.

    Raises:
        ShapeError: shapes, kernel or groups that do not fit.
        ArgumentError: a setting outside its allowed values.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((28, 28, 3))
        >>> conv2d(x, x.trace.input("parameter", "w", (5, 5, 3, 8)), padding="same").shape
        (28, 28, 8)
    """
    return _convolve(
        2, x, weight, bias, stride, padding, dilation, groups, flip, padding_mode, algorithm
    )


@like(conv2d, rank=1)
def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    flip: bool = False,
    padding_mode: PaddingMode = "zeros",
) -> Tensor:
    """Convolution along one axis; see `conv2d` for all but the shapes.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((100, 2))
        >>> conv1d(x, x.trace.input("parameter", "w", (5, 2, 8))).shape
        (96, 8)
    """
    return _convolve(1, x, weight, bias, stride, padding, dilation, groups, flip, padding_mode)


@like(conv2d, rank=3)
@ranked(3, conv1d, _convolve)
def conv3d() -> None:
    """Convolution along depth, height and width; see `conv2d` for all but the shapes.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((8, 8, 8, 1))
        >>> conv3d(x, x.trace.input("parameter", "w", (3, 3, 3, 1, 4)), stride=2).shape
        (3, 3, 3, 4)
    """


@dataclass(eq=False, repr=False)
class _Conv(Module):
    """A learned convolution; its rank is the subclass's."""

    rank: ClassVar[int]
    width = "filters"

    filters: int
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: PaddingSetting = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    flip: bool = False
    padding_mode: str = added("zeros", kw_only=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(spatial'..., filters)``."""
        check_rank(type(self).__name__, self.rank, x)
        kernel = per_axis("kernel_size", self.kernel_size, self.rank)
        channels = x.shape[-1]
        filters, groups = filters_and_groups(self.filters, self.groups, channels)
        shape = (*kernel, channels // groups, filters)
        weight = x.trace.parameter(self, "weight", shape)
        bias = learned_bias(self, x, filters, self.bias)
        return _convolve(
            self.rank, x, weight, bias, self.stride, self.padding, self.dilation, groups, self.flip,
            self.padding_mode, self._algorithm(),
        )  # fmt: skip

    def _algorithm(self) -> str:
        return "direct"


@dataclass(eq=False, repr=False)
class Conv2d(_Conv):
    """Learned convolution along height and width: `conv2d` with its weight and bias.

    ``Y(i, j, o) = bias(o) + Σ_m Σ_n Σ_c X(i·S - P + m·D, j·S - P + n·D, c) · weight(m, n, c, o)``
    is cross-correlation; with ``flip=True`` the kernel is turned around as in the notes' formula
    ``Y(i, j) = Σ_m Σ_n X(i - m, j - n) · K(m, n)``.

    Args:
        filters: number of output channels.
        kernel_size: K, one number or one per axis.
        stride: step S, one number or one per axis.
        padding: zeros P around: one number, one per axis, a pair (before, after) per axis,
            ``"same"``, ``"same_lower"`` or ``"valid"``; see `conv2d`.
        dilation: distance D between kernel elements.
        groups: channels are cut into this many groups that do not see each other.
        bias: whether a learned number is added to each channel.
        flip: True for true convolution.
        algorithm: ``"direct"``, or ``"winograd"`` for a 3×3 kernel with stride 1, dilation 1 and
            one group, not flipped: less work, with other bits; see `conv2d`.
        padding_mode: what the padding is: ``"zeros"``, ``"reflect"``, ``"replicate"`` or
            ``"circular"``; see `conv2d`.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', filters)``, ``H' = floor((H + 2P - D·(K - 1) - 1) / S) + 1``.

    Source:
        LeCun et al. 1998, "Gradient-based learning applied to document recognition".

    Raises:
        ShapeError: when traced: the input's rank, the kernel or the groups do not fit.
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> from isoconv import nn
        >>> nn.Conv2d(8, 3, padding=1).build((28, 28, 3)).weights["weight"].shape
        (3, 3, 3, 8)
    """

    rank = 2

    algorithm: str = "direct"

    def _algorithm(self) -> str:
        return self.algorithm

    def line(self) -> str:
        """Its class and settings; a direct convolution as it was before there was a choice."""
        return super().line().replace(", algorithm='direct'", "")


@like(Conv2d, rank=1)
class Conv1d(_Conv):
    """Learned convolution along one axis: `conv1d` with its weight and bias; see `Conv2d`.

    Source:
        Waibel et al. 1989, "Phoneme recognition using time-delay neural networks".

    Example:
        >>> from isoconv import nn
        >>> nn.Conv1d(8, 5).build((100, 2)).weights["weight"].shape
        (5, 2, 8)
    """

    rank = 1


@like(Conv2d, rank=3)
class Conv3d(_Conv):
    """Learned convolution along depth, height and width: `conv3d` with its weight and bias.

    See `Conv2d`.

    Source:
        Ji et al. 2013, "3D convolutional neural networks for human action recognition".

    Example:
        >>> from isoconv import nn
        >>> nn.Conv3d(4, 3).build((8, 8, 8, 1)).weights["weight"].shape
        (3, 3, 3, 1, 4)
    """

    rank = 3


@dataclass(eq=False, repr=False)
class DepthwiseConv2d(Module):
    """A convolution in which every channel is filtered for itself.

    ``groups`` is the number of input channels; channel c gives output channels
    ``c·multiplier … (c+1)·multiplier - 1``.

    Args:
        kernel_size: one number or one per axis.
        stride: step S.
        padding: as in `Conv2d`.
        dilation: distance D between kernel elements.
        multiplier: output channels per input channel.
        bias: whether a learned number is added to each channel.
        flip: True for true convolution.
        padding_mode: as in `Conv2d`.

    Input shape:
        ``(H, W, C)``, float32.

    Output shape:
        ``(H', W', C · multiplier)``, sizes as in `Conv2d`.

    Source:
        Howard et al. 2017, "MobileNets: efficient convolutional neural networks".

    Raises:
        ShapeError: when traced: the input's rank or the kernel does not fit.
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> from isoconv import nn
        >>> nn.DepthwiseConv2d(3, padding=1).build((28, 28, 16)).weights["weight"].shape
        (3, 3, 1, 16)
    """

    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: PaddingSetting = 0
    dilation: PerAxis = 1
    multiplier: int = 1
    bias: bool = True
    flip: bool = False
    padding_mode: str = added("zeros", kw_only=True)

    def forward(self, x: Tensor) -> Tensor:
        """``(H, W, C)`` to ``(H', W', C · multiplier)``."""
        check_rank(type(self).__name__, 2, x)
        kernel = per_axis("kernel_size", self.kernel_size, 2)
        multiplier = check_count("multiplier", self.multiplier, most=LARGEST)
        channels = x.shape[-1]
        filters = channels * multiplier
        weight = x.trace.parameter(self, "weight", (*kernel, 1, filters))
        bias = learned_bias(self, x, filters, self.bias)
        return _convolve(
            2, x, weight, bias, self.stride, self.padding, self.dilation, channels, self.flip,
            padding_mode=self.padding_mode,
        )  # fmt: skip
