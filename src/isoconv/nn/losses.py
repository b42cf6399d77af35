"""Losses, each one number per image."""

from __future__ import annotations

from math import prod

from isoconv.checks import check_number
from isoconv.errors import ShapeError
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import CountAttrs, CrossEntropy, Sum

__all__ = ["bce_with_logits", "cross_entropy", "mse"]
__public__ = {"isoconv.nn.functional": ["*"]}


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """``-Σ_k t_k · log softmax(logits)_k`` with ``t`` the label's one-hot vector, smoothed.

    ``t_k = (1 - smoothing) · [k = label] + smoothing / K``. Szegedy et al. 2015, "Rethinking the
    inception architecture".

    Args:
        logits: ``(K,)``.
        labels: ``()``, int32, from 0 to K - 1.
        smoothing: share of the uniform distribution, from 0 to below 1.

    Returns:
        ``()``, one for each image.

    Raises:
        ShapeError: logits or labels of another rank.
        DTypeError: labels that are not int32.
        ArgumentError: smoothing outside its range.

    Example:
        >>> from isoconv.nn import Trace
        >>> logits = Trace().images((10,))
        >>> labels = logits.trace.input("dataset", "labels", (), "int32")
        >>> cross_entropy(logits, labels).shape
        ()
    """
    share = check_number("smoothing", smoothing, least=0, below=1)
    return apply("cross_entropy", logits=logits, labels=labels, attrs=CrossEntropy(float(share)))


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error: ``1/m Σ (prediction - target)²`` over the m elements of an image.

    Args:
        prediction: any shape.
        target: the same shape.

    Returns:
        ``()``, one for each image.

    Raises:
        ShapeError: shapes that differ.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((10,))
        >>> mse(x, x.trace.input("dataset", "target", (10,))).shape
        ()
    """
    _check_shapes("mse", prediction=prediction, target=target)
    return _mean(prediction.trace.add("square", prediction - target))


def bce_with_logits(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy: the mean of ``max(x, 0) - x·z + log(1 + exp(-|x|))``.

    It is ``-z·log s - (1 - z)·log(1 - s)`` with ``s = sigmoid(x)``, written so that nothing
    overflows.

    Args:
        logits: x, any shape.
        target: z, the same shape, from 0 to 1.

    Returns:
        ``()``, one for each image.

    Raises:
        ShapeError: shapes that differ.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((3,))
        >>> bce_with_logits(x, x.trace.input("dataset", "target", (3,))).shape
        ()
    """
    _check_shapes("bce_with_logits", logits=logits, target=target)
    return _mean(logits.trace.add("bce_with_logits", logits, target))


def _check_shapes(loss: str, **values: Tensor) -> None:
    check_tensors(loss, **values)
    first, second = values.values()
    if first.shape != second.shape:
        text = f"{loss} compares values of one shape; got {first.shape} and {second.shape}"
        raise ShapeError(text, argument="target", value=second)


def _mean(x: Tensor) -> Tensor:
    total = x.trace.add("sum", x, attrs=Sum(0, True))
    return x.trace.add("divide_by_count", total, attrs=CountAttrs(prod(x.shape), True))
