"""Batch normalisation and layer normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isoconv.checks import check_choice, check_count, check_flag, check_number, refusal
from isoconv.errors import ShapeError
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.settings import added
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import BatchNorm as BatchNormAttrs
from isoconv.ops import CountAttrs, Epsilon, Shape, Sum

__public__ = {
    "isoconv.nn": ["[A-Z]*", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"],
    "isoconv.nn.functional": ["*_norm", "moments"],
}


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each channel's mean and variance over all positions of all images of the shard.

    ``mean(c) = 1/m Σ x(c)`` and ``var(c) = 1/m Σ (x(c) - mean(c))²`` with m = images · positions.

    Args:
        x: ``(spatial..., C)``.

    Returns:
        Mean and variance, each ``(C,)`` without an image axis.

    Example:
        >>> from isoconv.nn import Trace
        >>> mean, variance = moments(Trace().images((8, 8, 3)))
        >>> mean.shape, mean.batched
        ((3,), False)
    """
    check_tensors("moments", x=x)
    _check_channels(x)
    count = CountAttrs(prod(x.shape[:-1]), False)
    over_shard = Sum(1, False)
    mean = x.trace.add("divide_by_count", x.trace.add("sum", x, attrs=over_shard), attrs=count)
    squares = x.trace.add("square", x - mean)
    total = x.trace.add("sum", squares, attrs=over_shard)
    return mean, x.trace.add("divide_by_count", total, attrs=count)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float = 1e-5,
    own_statistics: bool = False,
) -> Tensor:
    """``y = (x - mean) / sqrt(variance + eps) · gamma + beta``, channel by channel.

    Args:
        x: ``(spatial..., C)``.
        mean: ``(C,)``, without an image axis like the three after it.
        variance: ``(C,)``.
        gamma: ``(C,)``.
        beta: ``(C,)``.
        eps: added to the variance.
        own_statistics: mean and variance are the `moments` of ``x``: the gradient by ``x`` then
            holds their share, and theirs is zero. False: they are values of their own, with
            gradients of their own.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: statistics or factors of other shapes.
        ArgumentError: ``eps`` is negative or not finite.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((8, 8, 3))
        >>> gamma = x.trace.input("parameter", "gamma", (3,))
        >>> beta = x.trace.input("parameter", "beta", (3,))
        >>> batch_norm(x, *moments(x), gamma, beta, own_statistics=True).shape
        (8, 8, 3)
    """
    check_tensors("batch_norm", x=x, mean=mean, variance=variance, gamma=gamma, beta=beta)
    _check_channels(x)
    epsilon = Epsilon(float(check_number("eps", eps, least=0)))
    attrs = BatchNormAttrs(check_flag("own_statistics", own_statistics), prod(x.shape[:-1]))
    inverse = apply("inverse_std", variance=variance, attrs=epsilon)
    return x.trace.add("batch_norm", x, mean, inverse, gamma, beta, attrs=attrs)


def layer_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    axes: int = 1,
    eps: float = 1e-5,
) -> Tensor:
    """``y = (x - mean) / sqrt(variance + eps) · gamma + beta``, over the last axes of each image.

    Ba, Kiros and Hinton 2016, "Layer normalization".

    Args:
        x: ``(..., C)``.
        gamma: of the shape of the last `axes` axes, without an image axis; None for no factor.
        beta: likewise; None for nothing that is added.
        axes: how many of the last axes are normalised together: 1 for the channels at each
            position, all of them for a whole image.
        eps: added to the variance.

    Returns:
        The shape of ``x``.

    Raises:
        ShapeError: no axis at all, or factors of other shapes.
        ArgumentError: ``axes`` below 1 or above the input's; ``eps`` negative or not finite.

    Example:
        >>> from isoconv.nn import Trace
        >>> layer_norm(Trace().images((8, 8, 3)), axes=2).shape
        (8, 8, 3)
    """
    vectors = last_axes("layer_norm", x, axes, gamma=gamma, beta=beta)
    epsilon = Epsilon(float(check_number("eps", eps, least=0)))
    shape, row = x.shape, prod(x.shape[-axes:])
    if axes > 1:
        # Several axes are one row; its factors meet it before it is several again.
        x = apply("reshape", x=x, attrs=Shape((*shape[:-axes], row)))
        vectors = {
            name: apply("reshape", vector=vector, attrs=Shape((row,), False))
            for name, vector in vectors.items()
        }
    y = apply("layer_norm", x=x, attrs=epsilon)
    for name, vector in vectors.items():
        y = y * vector if name == "gamma" else y + vector
    return y if axes == 1 else apply("reshape", x=y, attrs=Shape(shape))


def last_axes(kind: str, x: Tensor, axes: int, **factors: Tensor | None) -> dict[str, Tensor]:
    """See that a value has so many last axes, and factors for them where there are any.

    Args:
        kind: what takes them, for messages.
        x: the value.
        axes: how many of its last axes are meant.
        **factors: by the names of the arguments; None for none.

    Returns:
        The factors that there are.

    Raises:
        ArgumentError: no tensors, or ``axes`` below 1 or above those of ``x``.
        ShapeError: no axis at all, or a factor of another shape.
    """
    given = {name: factor for name, factor in factors.items() if factor is not None}
    check_tensors(kind, x=x, **given)
    _check_channels(x, kind)
    if len(x.shape) < check_count("axes", axes):
        raise refusal("axes", f"be at most {len(x.shape)}, those of the input", axes)
    for name, factor in given.items():
        if factor.batched or factor.shape != x.shape[-axes:]:
            wanted = f"{name} must have the shape of the last axes, {x.shape[-axes:]}"
            raise ShapeError(f"{wanted}; got {factor.shape}", argument=name, value=factor)
    return given


def _check_channels(x: Tensor, kind: str = "batch normalisation") -> None:
    if not x.shape:
        text = f"{kind} needs an axis of channels; got shape {x.shape}"
        raise ShapeError(text, argument="x", value=x)


@dataclass(eq=False, repr=False)
class BatchNorm(Module):
    """Batch normalisation: each channel brought to mean 0 and variance 1, then scaled and moved.

    ``y = (x - mean) / sqrt(var + eps) · weight + bias``. In training, mean and variance are those
    of the shard's images and positions; ``running_mean`` and ``running_var`` follow them with
    ``new = (1 - momentum) · old + momentum · s``, where ``s`` is the average of the shards'
    statistics, weighted by their images. (The variance is the plain one, divided by m.) In
    inference the running ones are used, and of a `frozen` layer in training, too, where they stay.

    Args:
        eps: added to the variance.
        momentum: share of the newest statistics in the running ones.
        frozen: whether the running statistics are used in training and stay; ``weight`` and
            ``bias`` are learned all the same.
        over: whose statistics those of training are: the ``"shard"``'s, or the ``"batch"``'s. For
            these a shard is as large as the batch: all threads share it, and it takes the memory of
            all its images at once.

    Input shape:
        ``(..., C)``, float32.

    Output shape:
        ``(..., C)``, the same.

    Source:
        Ioffe and Szegedy 2015, "Batch normalization: accelerating deep network training".

    Raises:
        ShapeError: when traced: an input without channels.
        ArgumentError: when traced: momentum outside 0 to 1, a negative eps, `over` something else.

    Example:
        >>> from isoconv import nn
        >>> sorted(nn.BatchNorm2d().build((8, 8, 3)).weights)
        ['bias', 'running_mean', 'running_var', 'weight']
    """

    eps: float = 1e-5
    momentum: float = 0.1
    frozen: bool = added(False)
    over: str = added("shard")

    @property
    def over_batch(self) -> bool:
        """Whether its training needs whole batches."""
        return self.over == "batch" and not self.frozen

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to the same shape."""
        check_tensors(type(self).__name__, x=x)
        _check_channels(x)
        momentum = check_number("momentum", self.momentum, least=0, most=1)
        check_choice("over", self.over, ("shard", "batch"))
        trace, channels = x.trace, x.shape[-1:]
        gamma = trace.parameter(self, "weight", channels, "ones")
        beta = trace.parameter(self, "bias", channels, "zeros")
        running_mean = trace.state(self, "running_mean", channels, 0.0, momentum)
        running_var = trace.state(self, "running_var", channels, 1.0, momentum)
        if check_flag("frozen", self.frozen) or not trace.training:
            return batch_norm(x, running_mean, running_var, gamma, beta, self.eps)
        mean, variance = moments(x)
        trace.update_state(self, "running_mean", mean)
        trace.update_state(self, "running_var", variance)
        return batch_norm(x, mean, variance, gamma, beta, self.eps, own_statistics=True)


BatchNorm1d = BatchNorm
BatchNorm2d = BatchNorm
BatchNorm3d = BatchNorm


@like(BatchNorm)
@dataclass(eq=False, repr=False)
class LayerNorm(Module):
    """Layer normalisation: each image's last axes brought to mean 0 and variance 1, then scaled.

    ``y = (x - mean) / sqrt(var + eps) · weight + bias``, in training and in inference alike: no
    image knows of another. PyTorch's ``LayerNorm(normalized_shape)`` is the one whose `axes` are
    as many as ``normalized_shape`` has; the shape itself follows from the input.

    Args:
        axes: how many of the last axes are normalised together: 1 for the channels at each
            position, as in transformers and ConvNeXt.
        eps: added to the variance.
        affine: whether it has ``weight`` and ``bias``.

    Source:
        Ba, Kiros and Hinton 2016, "Layer normalization".

    Raises:
        ArgumentError: when traced: axes below 1 or more than the input has, or a negative eps.

    Example:
        >>> from isoconv import nn
        >>> sorted(nn.LayerNorm().build((8, 8, 3)).weights)
        ['bias', 'weight']
    """

    axes: int = 1
    eps: float = 1e-5
    affine: bool = True

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        check_tensors(type(self).__name__, x=x)
        axes = check_count("axes", self.axes)
        gamma = beta = None
        if check_flag("affine", self.affine) and len(x.shape) >= axes:
            gamma = x.trace.parameter(self, "weight", x.shape[-axes:], "ones")
            beta = x.trace.parameter(self, "bias", x.shape[-axes:], "zeros")
        return layer_norm(x, gamma, beta, axes, self.eps)
