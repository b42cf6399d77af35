"""Losses on arrays, each one number per image."""

from __future__ import annotations

from numpy.typing import ArrayLike

from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.arrays import on_arrays

__public__ = {"isoconv": ["*"]}


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    smoothing: float = 0.0,
    weight: ArrayLike | None = None,
) -> Array:
    """``-Σ_k t_k · log softmax(logits)_k`` with ``t`` the label's one-hot vector, smoothed.

    ``t_k = (1 - smoothing) · [k = label] + smoothing / K``. Szegedy et al. 2015.

    Args:
        logits: scores of the classes, before the softmax.
        labels: class numbers, from 0 to K - 1; -1 for a place of a map that has no label.
        smoothing: share of the uniform distribution, from 0 to below 1.
        weight: ``(K,)``, a factor for the loss of each class; None for 1.

    Input shape:
        logits: ``(N, ..., K)``, float32 or float64.
        labels: ``(N, ...)``, any whole numbers.

    Output shape:
        ``(N,)``, one loss for each image, of the dtype of logits: the mean over its places that
        have a label.

    Raises:
        ShapeError: shapes that do not fit.
        DTypeError: labels that are no whole numbers.
        DataError: a label of no class.
        ArgumentError: smoothing outside its range.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.cross_entropy(np.zeros((2, 4), np.float32), [0, 3])
        array([1.3862944, 1.3862944], dtype=float32)
    """
    return on_arrays(functional.cross_entropy, locals())


def mse(prediction: ArrayLike, target: ArrayLike) -> Array:
    """Mean squared error: ``1/m Σ (prediction - target)²`` over the m elements of an image.

    Args:
        prediction: what was computed.
        target: what it should be.

    Input shape:
        prediction: ``(N, ...)``, any shape, float32 or float64.
        target: the same shape, the same dtype.

    Output shape:
        ``(N,)``, one loss for each image, of the dtype of prediction.

    Raises:
        ShapeError: shapes that differ.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.mse(np.array([[1, 3]], np.float32), np.array([[1, 1]], np.float32))
        array([2.], dtype=float32)
    """
    return on_arrays(functional.mse, locals())


def bce_with_logits(logits: ArrayLike, target: ArrayLike) -> Array:
    """Binary cross-entropy: the mean of ``max(x, 0) - x·z + log(1 + exp(-|x|))``.

    It is ``-z·log s - (1 - z)·log(1 - s)`` with ``s = sigmoid(x)``, written so that nothing
    overflows.

    Args:
        logits: x, scores before the sigmoid.
        target: z, from 0 to 1.

    Input shape:
        logits: ``(N, ...)``, any shape, float32 or float64.
        target: the same shape, the same dtype.

    Output shape:
        ``(N,)``, one loss for each image, of the dtype of logits.

    Raises:
        ShapeError: shapes that differ.
        DTypeError: arrays of other numbers than float32 or float64, or of both.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> ic.bce_with_logits(np.zeros((1, 3), np.float32), np.array([[0, 1, 1]], np.float32))
        array([0.6931472], dtype=float32)
    """
    return on_arrays(functional.bce_with_logits, locals())
