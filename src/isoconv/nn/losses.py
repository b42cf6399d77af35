"""Losses, each one number per image."""

from __future__ import annotations

from math import prod

from isoconv.checks import check_number, refusal
from isoconv.errors import ShapeError
from isoconv.nn.alike import like
from isoconv.nn.comparisons import logical_and
from isoconv.nn.elementwise import divide, expm1, maximum, neg, power
from isoconv.nn.piecewise import clip
from isoconv.nn.ranking import one_hot
from isoconv.nn.reduction import total
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import CountAttrs, CrossEntropy, Sum

__public__ = {
    "isoconv.nn.functional": [
        "bce_with_logits", "cross_entropy", "dice", "focal", "l1", "mse", "smooth_l1",
    ]
}  # fmt: skip


def cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """``-Σ_k t_k · log softmax(logits)_k`` with ``t`` the label's one-hot vector, smoothed.

    ``t_k = (1 - smoothing) · [k = label] + smoothing / K``. Szegedy et al. 2015, "Rethinking the
    inception architecture". Of a map it is the mean over the places with a label from 0 to K - 1;
    others count for nothing. With weights the loss of a place is multiplied by that of its class,
    and the mean is still taken over the places: it does not depend on the rest of the batch.

    Args:
        logits: ``(..., K)``.
        labels: ``(...)``, int32, from 0 to K - 1; -1 for a place of a map that has no label.
        smoothing: share of the uniform distribution, from 0 to below 1.
        weight: ``(K,)``, without an image axis: one for each class; None for 1.

    Returns:
        ``()``, one for each image.

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: labels that are not int32.
        ArgumentError: smoothing outside its range.

    Example:
        >>> from isoconv.nn import Trace
        >>> logits = Trace().images((10,))
        >>> labels = logits.trace.input("dataset", "labels", (), "int32")
        >>> cross_entropy(logits, labels).shape
        ()
    """
    each = surprise(logits, labels, smoothing)
    share = _share("cross_entropy", logits, labels, weight)
    return each if share is None and not each.shape else over_labels(each, logits, labels, share)


def surprise(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of each place; see `cross_entropy`."""
    part = check_number("smoothing", smoothing, least=0, below=1)
    return apply("cross_entropy", logits=logits, labels=labels, attrs=CrossEntropy(float(part)))


def focal(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, weight: Tensor | None = None
) -> Tensor:
    """``-(1 - p)^gamma · log(p)`` with ``p`` the softmax at the label: easy examples count less.

    Lin et al. 2017, "Focal loss for dense object detection". With gamma 0 it is `cross_entropy`.

    Args:
        logits: ``(..., K)``.
        labels: ``(...)``, int32, from 0 to K - 1; -1 for a place of a map that has no label.
        gamma: how much less: 0, or at least 1.
        weight: ``(K,)``, without an image axis: one for each class; None for 1.

    Returns:
        ``()``, one for each image: of a map the mean over the places with a label.

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: labels that are not int32.
        ArgumentError: a gamma between 0 and 1, whose slope has no bound, or below 0.

    Example:
        >>> from isoconv.nn import Trace
        >>> logits = Trace().images((8, 8, 10))
        >>> labels = logits.trace.input("dataset", "labels", (8, 8), "int32")
        >>> focal(logits, labels).shape
        ()
    """
    each = focused(logits, labels, gamma)
    return over_labels(each, logits, labels, _share("focal", logits, labels, weight))


def focused(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """The focal loss of each place; see `focal`."""
    exponent = check_number("gamma", gamma, least=0)
    if 0 < exponent < 1:
        raise refusal("gamma", "be 0 or at least 1", gamma)
    each = surprise(logits, labels)
    return power(neg(expm1(neg(each))), exponent) * each


def dice(prediction: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """``1 - mean_c (2 Σ p·t + smooth) / (Σ p + Σ t + smooth)``, the sums over the places of a map.

    One minus the overlap of each class (Dice 1945), made differentiable: Milletari et al. 2016,
    "V-Net".

    Args:
        prediction: p, ``(..., C)``, probabilities.
        target: t, the same shape, from 0 to 1, such as `one_hot` of labels.
        smooth: keeps a class that is nowhere from 0 / 0; above 0.

    Returns:
        ``()``, one for each image.

    Raises:
        ShapeError: shapes that differ, or no axis of classes.
        ArgumentError: a smooth that is not above 0.

    Example:
        >>> from isoconv.nn import Trace, functional
        >>> logits = Trace().images((8, 8, 3))
        >>> labels = logits.trace.input("dataset", "labels", (8, 8), "int32")
        >>> dice(functional.softmax(logits), functional.one_hot(labels, 3)).shape
        ()
    """
    _check_shapes("dice", prediction=prediction, target=target)
    if not prediction.shape:
        text = "dice takes an axis of classes; got shape ()"
        raise ShapeError(text, argument="prediction", value=prediction)
    small = float(check_number("smooth", smooth, above=0))
    places = tuple(range(len(prediction.shape) - 1))
    both = 2 * total(prediction * target, places) + small
    size = total(prediction, places) + total(target, places) + small
    return 1 - _mean(both / size)


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error: ``1/m Σ |prediction - target|`` over the m elements of an image.

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
        >>> l1(x, x.trace.input("dataset", "target", (10,))).shape
        ()
    """
    _check_shapes("l1", prediction=prediction, target=target)
    return _mean(abs(prediction - target))


def smooth_l1(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Mean of ``d² / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``; d the difference.

    Girshick 2015, "Fast R-CNN".

    Args:
        prediction: any shape.
        target: the same shape.
        beta: up to where it is a parabola; above 0.

    Returns:
        ``()``, one for each image.

    Raises:
        ShapeError: shapes that differ.
        ArgumentError: a beta that is not above 0.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((10,))
        >>> smooth_l1(x, x.trace.input("dataset", "target", (10,)), beta=0.5).shape
        ()
    """
    _check_shapes("smooth_l1", prediction=prediction, target=target)
    bend = float(check_number("beta", beta, above=0))
    size = abs(prediction - target)
    near = clip(size, maximum=bend)
    return _mean(divide(near * (size - 0.5 * near), bend))


@like(l1)
def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error: ``1/m Σ (prediction - target)²`` over the m elements of an image."""
    _check_shapes("mse", prediction=prediction, target=target)
    return _mean(prediction.trace.add("square", prediction - target))


@like(l1)
def bce_with_logits(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy: the mean of ``max(x, 0) - x·z + log(1 + exp(-|x|))``.

    It is ``-z·log s - (1 - z)·log(1 - s)`` with ``s = sigmoid(x)``, written so that nothing
    overflows.

    Args:
        logits: x, any shape.
        target: z, the same shape, from 0 to 1.

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


def over_labels(
    each: Tensor, logits: Tensor, labels: Tensor, share: Tensor | None = None
) -> Tensor:
    """The mean of each image's places, weighted by their classes, over those that have a label.

    Args:
        each: a number for each place.
        logits: ``(..., K)``.
        labels: of the shape of `each`, int32.
        share: the weight of each place, 0 without a label; None for 1 with one.
    """
    number = labels.trace.convert(labels, each.dtype)
    known = logical_and(number >= 0, number < logits.shape[-1])
    places = tuple(range(len(each.shape)))
    weighed = each * (known if share is None else share)
    return total(weighed, places) / maximum(total(known, places), 1.0)


def _share(loss: str, logits: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor | None:
    """The weight of each place: that of its class."""
    if weight is None:
        return None
    check_tensors(loss, weight=weight)
    classes = logits.shape[-1]
    if weight.batched or weight.shape != (classes,):
        text = f"weight must have shape ({classes},), one for each class; got {weight.shape}"
        raise ShapeError(text, argument="weight", value=weight)
    return total(one_hot(labels, classes) * weight, (len(labels.shape),))


def _mean(x: Tensor) -> Tensor:
    total = x.trace.add("sum", x, attrs=Sum(0, True))
    return x.trace.add("divide_by_count", total, attrs=CountAttrs(prod(x.shape), True))
