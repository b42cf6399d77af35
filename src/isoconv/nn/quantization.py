"""Layers of quantised networks: whole numbers of few bits, added up exactly.

A quantised value is a tensor of whole numbers, as its kind of integer has them. A product of two
and a sum of such products are exact in float64 as long as the sum stays below 2^53, for 2^37
products of bytes; so these layers compute in float64, and every order of a sum gives the same. A
sum that is a result itself is float32 like every other, exact up to 2^24 and rounded beyond.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from isoconv.checks import LARGEST, check_choice, check_count, check_flag, refusal, whole
from isoconv.nn.alike import like
from isoconv.nn.convolution import conv1d, conv2d, conv3d
from isoconv.nn.elementwise import round as rounded
from isoconv.nn.matrices import matmul
from isoconv.nn.module import Module
from isoconv.nn.piecewise import clip
from isoconv.nn.settings import PaddingSetting, PerAxis, check_rank, filters_and_groups, per_axis
from isoconv.nn.tensor import Tensor, check_tensors

__public__ = {"isoconv.nn": ["Q*"]}

KINDS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}
"""Kinds of integers that a result may be brought to, with their bounds."""

_FUNCTIONS: dict[int, Callable[..., Tensor]] = {1: conv1d, 2: conv2d, 3: conv3d}


def _held(layer: Module, name: str, x: Tensor, shape: tuple[int, ...], initial: float) -> Tensor:
    """An array of a layer that no training changes, in float64."""
    return x.trace.convert(x.trace.state(layer, name, shape, initial, 0.0), "float64")


def _zero_point(name: str, value: object) -> int:
    number = whole(value)
    if number is None or abs(number) > LARGEST:
        raise refusal(name, "be a whole number", value)
    return number


def _shifted(x: Tensor, zero_point: int) -> Tensor:
    """Whole numbers from their zero, in float64."""
    wide = x.trace.convert(x, "float64")
    return wide - zero_point if zero_point else wide


def _brought(layer: Module, kind: str, zero_point: int, total: Tensor, like: Tensor) -> Tensor:
    """Exact sums as they are, or scaled and brought to a kind of integer."""
    if check_choice("dtype", kind, ("int32", *KINDS)) != "int32":
        total = total * _held(layer, "multiplier", like, total.shape[-1:], 1.0)
        total = total + zero_point if zero_point else total
        total = rounded(clip(total, *map(float, KINDS[kind])))
    return like.trace.convert(total, like.dtype)


@dataclass(eq=False, repr=False)
class _QuantizedConv(Module):
    rank: ClassVar[int]
    width = "filters"

    filters: int
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: PaddingSetting = 0
    dilation: PerAxis = 1
    groups: int = 1
    bias: bool = True
    input_zero_point: int = 0
    dtype: str = "int32"
    zero_point: int = 0

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to ``(spatial'..., filters)``."""
        check_rank(type(self).__name__, self.rank, x)
        kernel = per_axis("kernel_size", self.kernel_size, self.rank)
        channels = x.shape[-1]
        filters, groups = filters_and_groups(self.filters, self.groups, channels)
        start = _zero_point("input_zero_point", self.input_zero_point)
        end = _zero_point("zero_point", self.zero_point)
        weight = _held(self, "weight", x, (*kernel, channels // groups, filters), 0.0)
        bias = None
        if check_flag("bias", self.bias):
            bias = _held(self, "bias", x, (filters,), 0.0)
        total = _FUNCTIONS[self.rank](
            _shifted(x, start), weight, bias, self.stride, self.padding, self.dilation, groups
        )
        return _brought(self, self.dtype, end, total, x)


class QuantizedConv2d(_QuantizedConv):
    """Convolution of whole numbers along height and width, with exact sums.

    With ``T(i, j, o) = bias(o) + Σ (X - input_zero_point) · weight``, summed as in `Conv2d`, it
    gives T itself (in float32, exact up to 2^24), or, within the bounds of its ``dtype``,
    ``round(clip(T · multiplier(o) + zero_point))``, halves to even, computed in float64. Weights,
    bias and multipliers are states, which training leaves as they are; weights and bias are whole
    numbers, and a weight's zero point is subtracted before. Padding is X's zero point.

    Args:
        filters: number of output channels.
        kernel_size: K, one number or one per axis.
        stride: step S, one number or one per axis.
        padding: as in `Conv2d`.
        dilation: distance D between kernel elements.
        groups: channels are cut into this many groups that do not see each other.
        bias: whether a whole number is added to each channel.
        input_zero_point: which number of X stands for zero.
        dtype: ``"int32"`` for T, or ``"int8"``, ``"uint8"``, ``"int16"`` or ``"uint16"``.
        zero_point: which number of the result stands for zero.

    Input shape:
        ``(H, W, C)``, whole numbers as float32.

    Output shape:
        ``(H', W', filters)``, sizes as in `Conv2d`.

    Source:
        Jacob et al. 2018, "Quantization and training of neural networks for efficient inference".

    Raises:
        ShapeError: when traced: the input's rank, the kernel or the groups do not fit.
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.QuantizedConv2d(1, 2, bias=False, input_zero_point=3, dtype="uint8")
        >>> layer = layer.build((2, 2, 1))
        >>> weight = np.full((2, 2, 1, 1), 7, np.float32)
        >>> layer.load_weights({"weight": weight, "multiplier": np.float32([0.25])})
        >>> layer.predict(np.full((1, 2, 2, 1), 13.0), finish="none").ravel()
        array([70.], dtype=float32)
    """

    rank = 2


@like(QuantizedConv2d, rank=1)
class QuantizedConv1d(_QuantizedConv):
    """Convolution of whole numbers along one axis; see `QuantizedConv2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.QuantizedConv1d(8, 5).build((100, 2)).weights["weight"].shape
        (5, 2, 8)
    """

    rank = 1


@like(QuantizedConv2d, rank=3)
class QuantizedConv3d(_QuantizedConv):
    """Convolution of whole numbers along three axes; see `QuantizedConv2d`.

    Example:
        >>> from isoconv import nn
        >>> nn.QuantizedConv3d(4, 3).build((8, 8, 8, 1)).weights["weight"].shape
        (3, 3, 3, 1, 4)
    """

    rank = 3


@dataclass(eq=False, repr=False)
class QuantizedLinear(Module):
    """Rows of whole numbers times a matrix of them, with exact sums; see `QuantizedConv2d`.

    ``T(..., o) = bias(o) + Σ_c (X(..., c) - input_zero_point) · weight(c, o)``, and on as there.

    Args:
        features: number of outputs.
        bias: whether a whole number is added to each output.
        input_zero_point: which number of X stands for zero.
        dtype: ``"int32"`` for T, or ``"int8"``, ``"uint8"``, ``"int16"`` or ``"uint16"``.
        zero_point: which number of the result stands for zero.

    Input shape:
        ``(..., C)``, whole numbers as float32.

    Output shape:
        ``(..., features)``.

    Source:
        Jacob et al. 2018, "Quantization and training of neural networks for efficient inference".

    Raises:
        ArgumentError: when traced: a setting outside its allowed values.

    Example:
        >>> from isoconv import nn
        >>> nn.QuantizedLinear(10).build((7, 64)).weights["weight"].shape
        (64, 10)
    """

    features: int
    bias: bool = True
    input_zero_point: int = 0
    dtype: str = "int32"
    zero_point: int = 0
    width = "features"

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to ``(..., features)``."""
        check_tensors("QuantizedLinear", x=x)
        features = check_count("features", self.features, most=LARGEST)
        start = _zero_point("input_zero_point", self.input_zero_point)
        end = _zero_point("zero_point", self.zero_point)
        weight = _held(self, "weight", x, (x.shape[-1], features), 0.0)
        total = matmul(_shifted(x, start), weight)
        if check_flag("bias", self.bias):
            total = total + _held(self, "bias", x, (features,), 0.0)
        return _brought(self, self.dtype, end, total, x)
