"""Normalisation of each image by itself: groups of channels, single ones, rows, neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import LARGEST, check_count, check_flag, check_number, refusal
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.normalization import last_axes
from isoconv.nn.reduction import mean
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import Embed, Epsilon, Slice
from isoconv.ops import GroupNorm as GroupNormAttrs
from isoconv.ops.group_norm import group_mean

__public__ = {
    "isoconv.nn": ["[A-Z]*", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"],
    "isoconv.nn.functional": ["[a-z]*"],
}


def group_norm(
    x: Tensor,
    groups: int,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``y = (x - mean) / sqrt(variance + eps) · gamma + beta``, over groups of channels.

    Mean and variance are those of the positions and channels of one image and group. Wu and He
    2018, "Group normalization".

    Args:
        x: ``(spatial..., C)``.
        groups: into which the channels are cut, neighbours together.
        gamma: ``(C,)``, without an image axis; None for no factor.
        beta: likewise; None for nothing that is added.
        eps: added to the variance.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: no channels, or factors of other shapes.
        ArgumentError: channels that are no multiple of ``groups``; ``eps`` negative or not finite.

    Example:
        >>> from isoconv.nn import Trace
        >>> group_norm(Trace().images((8, 8, 6)), groups=3).shape
        (8, 8, 6)
    """
    factors = last_axes("group_norm", x, 1, gamma=gamma, beta=beta)
    groups, channels = check_count("groups", groups), x.shape[-1]
    if channels % groups:
        raise refusal("groups", f"divide the {channels} channels", groups)
    epsilon = Epsilon(float(check_number("eps", eps, least=0)))
    middle = _group_mean(x, groups)
    variance = _group_mean(apply("square", x=x - middle), groups)
    inverse = apply("inverse_std", variance=variance, attrs=epsilon)
    y = apply("group_norm", x=x, middle=middle, inverse=inverse, attrs=GroupNormAttrs(groups))
    for factor, vector in factors.items():
        y = y * vector if factor == "gamma" else y + vector
    return y


def _group_mean(x: Tensor, groups: int) -> Tensor:
    return Tensor(x.trace, group_mean(x.trace.builder, x.index, groups))


@like(group_norm)
def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """``y = (x - mean) / sqrt(variance + eps) · gamma + beta``, over each image's channels.

    Mean and variance are those of the positions of one image and channel. Ulyanov et al. 2016,
    "Instance normalization".

    Raises:
        ShapeError: no channels, or factors of other shapes.
        ArgumentError: ``eps`` is negative or not finite.

    Example:
        >>> from isoconv.nn import Trace
        >>> instance_norm(Trace().images((8, 8, 6))).shape
        (8, 8, 6)
    """
    last_axes("instance_norm", x, 1, gamma=gamma, beta=beta)
    return group_norm(x, x.shape[-1], gamma, beta, eps)


def rms_norm(
    x: Tensor, gamma: Tensor | None = None, axes: int = 1, eps: float = 2.0**-23
) -> Tensor:
    """``y = x / sqrt(mean of x² + eps) · gamma``, over the last axes of each image.

    Zhang and Sennrich 2019, "Root mean square layer normalization".

    Args:
        x: ``(..., C)``.
        gamma: of the shape of the last `axes` axes, without an image axis; None for no factor.
        axes: how many of the last axes are normalised together.
        eps: added to the mean.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: no axis at all, or a factor of another shape.
        ArgumentError: ``axes`` below 1 or above the input's; ``eps`` negative or not finite.

    Example:
        >>> from isoconv.nn import Trace
        >>> rms_norm(Trace().images((8, 8, 3)), axes=2).shape
        (8, 8, 3)
    """
    factors = last_axes("rms_norm", x, axes, gamma=gamma)
    epsilon = Epsilon(float(check_number("eps", eps, least=0)))
    kept = len(x.shape) - axes
    square = mean(apply("square", x=x), tuple(range(kept, len(x.shape))))
    inverse = apply("inverse_std", square=square, attrs=epsilon)
    y = x * inverse.reshape(*x.shape[:kept], *(1,) * axes)
    return y * factors["gamma"] if factors else y


def local_response_norm(
    x: Tensor,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    before: int | None = None,
) -> Tensor:
    """``y = x / (k + alpha / size · Σ x²)^beta``, the sum over `size` neighbouring channels.

    A channel's neighbours are those from ``before`` channels ahead of it on; beyond the first and
    the last one there is nothing. Krizhevsky et al. 2012, "ImageNet classification with deep
    convolutional neural networks".

    Args:
        x: ``(..., C)``.
        size: channels that a sum goes over.
        alpha: factor of the sum.
        beta: exponent.
        k: added to the sum.
        before: how many of them come before the channel itself; None for the half of ``size``, as
            PyTorch has it. ONNX has ``(size - 1) // 2``, the same of an odd ``size``.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: no channels.
        ArgumentError: a size below 1, numbers that are not finite, ``before`` not below ``size``.

    Example:
        >>> from isoconv.nn import Trace
        >>> local_response_norm(Trace().images((8, 8, 6)), size=5).shape
        (8, 8, 6)
    """
    last_axes("local_response_norm", x, 1)
    size, channels = check_count("size", size, most=LARGEST), x.shape[-1]
    alpha, beta, k = (
        float(check_number(name, value))
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    ahead = size // 2 if before is None else check_count("before", before, least=0, below=size)
    first, last = max(-ahead, 1 - channels), min(size - 1 - ahead, channels - 1)
    wide = Embed(-first, channels + last - first)
    squares = apply("embed_channels", x=apply("square", x=x), attrs=wide)
    terms = [
        apply("slice_channels", x=squares, attrs=Slice(start, start + channels))
        for start in range(last - first + 1)
    ]
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return x / (found * (alpha / size) + k).power(beta)


@dataclass(eq=False, repr=False)
class GroupNorm(Module):
    """Group normalisation: each image's groups of channels brought to mean 0 and variance 1.

    ``y = (x - mean) / sqrt(var + eps) · weight + bias``, in training and in inference alike. Mean
    and variance are those of all positions of a group's channels.

    Args:
        groups: into which the channels are cut, neighbours together.
        eps: added to the variance.
        affine: whether it has ``weight`` and ``bias``, a number for each channel.

    Input shape:
        ``(..., C)``, float32.

    Output shape:
        ``(..., C)``, the same.

    Source:
        Wu and He 2018, "Group normalization".

    Raises:
        ArgumentError: when traced: channels that are no multiple of groups, or a negative eps.

    Example:
        >>> from isoconv import nn
        >>> sorted(nn.GroupNorm(2).build((8, 8, 6)).weights)
        ['bias', 'weight']
    """

    groups: int
    eps: float = 1e-5
    affine: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        gamma, beta = _factors(self, x, self.affine)
        return group_norm(x, self.groups, gamma, beta, self.eps)


@like(GroupNorm)
@dataclass(eq=False, repr=False)
class InstanceNorm(Module):
    """Instance normalisation: each image's channels brought to mean 0 and variance 1.

    ``y = (x - mean) / sqrt(var + eps)``, in training and in inference alike, and where it is
    `affine`, that times ``weight`` plus ``bias``.

    Source:
        Ulyanov et al. 2016, "Instance normalization".

    Raises:
        ArgumentError: when traced: a negative eps.

    Example:
        >>> from isoconv import nn
        >>> nn.InstanceNorm2d(eps=0.001)
        InstanceNorm(eps=0.001)
    """

    eps: float = 1e-5
    affine: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        return instance_norm(x, *_factors(self, x, self.affine), self.eps)


InstanceNorm1d = InstanceNorm
InstanceNorm2d = InstanceNorm
InstanceNorm3d = InstanceNorm


@like(GroupNorm)
@dataclass(eq=False, repr=False)
class RMSNorm(Module):
    """RMS normalisation: each image's last axes divided by their root mean square, then scaled.

    ``y = x / sqrt(mean of x² + eps) · weight``, in training and in inference alike.

    Args:
        axes: how many of the last axes are normalised together.
        eps: added to the mean; by default float32's epsilon, as PyTorch has it.
        affine: whether it has a ``weight``.

    Source:
        Zhang and Sennrich 2019, "Root mean square layer normalization".

    Raises:
        ArgumentError: when traced: axes below 1 or more than the input has, or a negative eps.

    Example:
        >>> from isoconv import nn
        >>> sorted(nn.RMSNorm().build((8, 8, 3)).weights)
        ['weight']
    """

    axes: int = 1
    eps: float = 2.0**-23
    affine: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        last_axes(type(self).__name__, x, self.axes)
        gamma = None
        if check_flag("affine", self.affine):
            gamma = x.trace.parameter(self, "weight", x.shape[-self.axes :], "ones")
        return rms_norm(x, gamma, self.axes, self.eps)


@like(GroupNorm)
@dataclass(eq=False, repr=False)
class LocalResponseNorm(Module):
    """`local_response_norm` as a layer: channels damped by the squares of their neighbours.

    ``y = x / (k + alpha / size · Σ x²)^beta``, the sum over `size` neighbouring channels.

    Args:
        size: channels that a sum goes over.
        alpha: factor of the sum.
        beta: exponent.
        k: added to the sum.
        before: how many of them come before the channel itself; None for the half of ``size``, as
            PyTorch has it. ONNX has ``(size - 1) // 2``, the same of an odd ``size``.

    Source:
        Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks".

    Raises:
        ArgumentError: when traced: a setting outside its range.

    Example:
        >>> from isoconv import nn
        >>> nn.LocalResponseNorm(5, k=2.0)
        LocalResponseNorm(size=5, k=2.0)
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    before: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k, self.before)


def _factors(layer: Module, x: Tensor, wanted: bool) -> tuple[Tensor | None, Tensor | None]:
    """A layer's learned factor and what it adds, a number for each channel, where wanted."""
    last_axes(type(layer).__name__, x, 1)
    if not check_flag("affine", wanted):
        return None, None
    channels = x.shape[-1:]
    return (
        x.trace.parameter(layer, "weight", channels, "ones"),
        x.trace.parameter(layer, "bias", channels, "zeros"),
    )
