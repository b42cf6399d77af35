"""Comparisons of tensors and numbers element by element, logic, and the choice by them."""

from __future__ import annotations

import math

from isoconv.nn.alike import like
from isoconv.nn.elementwise import abs, maximum, minimum  # noqa: A004  (called so wherever there are tensors)
from isoconv.nn.tensor import Tensor, check_tensors, joined

__public__ = {"isoconv.nn.functional": ["[a-z]*"]}


def equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x = y``, else 0.0; no gradient flows.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> equal(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("equal", x=x, y=y)


@like(equal)
def greater(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x > y``, else 0.0; no gradient flows."""
    return joined("greater", x=x, y=y)


@like(equal)
def greater_equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x ≥ y``, else 0.0; no gradient flows."""
    return joined("greater_equal", x=x, y=y)


def isinf(x: Tensor) -> Tensor:
    """1.0 where x is infinite, else 0.0; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> isinf(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return equal(abs(x), math.inf)


@like(isinf)
def isnan(x: Tensor) -> Tensor:
    """1.0 where x is not a number, else 0.0; no gradient flows."""
    return not_equal(x, x)


@like(equal)
def less(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x < y``, else 0.0; no gradient flows."""
    return joined("greater", "less", y=y, x=x)


@like(equal)
def less_equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x ≤ y``, else 0.0; no gradient flows."""
    return joined("greater_equal", "less_equal", y=y, x=x)


def logical_and(x: Tensor, y: Tensor) -> Tensor:
    """1.0 where neither x nor y is 0, else 0.0; no gradient flows.

    Args:
        x: what a comparison gives, or any other tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is no tensor.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((4, 4, 2))
        >>> logical_and(x > 0.5, x < 1).shape
        (4, 4, 2)
    """
    check_tensors("logical_and", x=x, y=y)
    return minimum(not_equal(x, 0), not_equal(y, 0))


@like(isinf)
def logical_not(x: Tensor) -> Tensor:
    """1.0 where x is 0, else 0.0; no gradient flows."""
    return equal(x, 0)


@like(logical_and)
def logical_or(x: Tensor, y: Tensor) -> Tensor:
    """1.0 where x or y is not 0, else 0.0; no gradient flows."""
    check_tensors("logical_or", x=x, y=y)
    return maximum(not_equal(x, 0), not_equal(y, 0))


@like(logical_and)
def logical_xor(x: Tensor, y: Tensor) -> Tensor:
    """1.0 where just one of x and y is not 0, else 0.0; no gradient flows."""
    check_tensors("logical_xor", x=x, y=y)
    return not_equal(not_equal(x, 0), not_equal(y, 0))


@like(equal)
def not_equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x ≠ y``, else 0.0; no gradient flows."""
    return logical_not(equal(x, y))


def where(condition: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x`` where the condition is not 0, else ``y``; no gradient flows to the condition.

    Args:
        condition: what a comparison gives, or any other tensor.
        x: a tensor, or a number for all elements.
        y: likewise; the three shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((4, 4, 2))
        >>> where(x > 0.5, x, -1.0).shape
        (4, 4, 2)
    """
    check_tensors("where", condition=condition)
    return joined("where", condition=condition, x=x, y=y)
