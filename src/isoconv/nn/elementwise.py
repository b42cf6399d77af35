"""Arithmetic, comparisons and choices element by element, of tensors and numbers."""

from __future__ import annotations

import math

from isoconv.nn.tensor import Tensor, apply, check_tensors, joined

__all__ = [
    "abs",
    "add",
    "ceil",
    "divide",
    "equal",
    "erf",
    "exp",
    "expm1",
    "floor",
    "greater",
    "greater_equal",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "neg",
    "not_equal",
    "reciprocal",
    "round",
    "sign",
    "sqrt",
    "square",
    "subtract",
    "where",
]
__public__ = {"isoconv.nn.functional": ["[a-z]*"]}


def abs(x: Tensor) -> Tensor:
    """``|x|``; the gradient at 0 is 0.

    Example:
        >>> from isoconv.nn import Trace
        >>> abs(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("abs", x=x)


def add(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x + y``.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> add(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("add", x=x, y=y)


def ceil(x: Tensor) -> Tensor:
    """The least whole number that is at least x; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> ceil(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return neg(floor(neg(x)))


def divide(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x / y``, rounded once; an operator's ``x / number`` multiplies by the reciprocal.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> divide(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("div", x=x, y=y)


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


def erf(x: Tensor) -> Tensor:
    """``2/√π · ∫ exp(-t²)`` from 0 to x.

    Example:
        >>> from isoconv.nn import Trace
        >>> erf(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("erf", x=x)


def exp(x: Tensor) -> Tensor:
    """``e^x``.

    Example:
        >>> from isoconv.nn import Trace
        >>> exp(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("exp", x=x)


def expm1(x: Tensor) -> Tensor:
    """``e^x - 1``, accurate near 0.

    Example:
        >>> from isoconv.nn import Trace
        >>> expm1(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("expm1", x=x)


def floor(x: Tensor) -> Tensor:
    """The greatest whole number that is at most x; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> floor(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("floor", x=x)


def greater(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x > y``, else 0.0; no gradient flows.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> greater(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("greater", x=x, y=y)


def greater_equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x ≥ y``, else 0.0; no gradient flows.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> greater_equal(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("greater_equal", x=x, y=y)


def isinf(x: Tensor) -> Tensor:
    """1.0 where x is infinite, else 0.0; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> isinf(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return equal(abs(x), math.inf)


def isnan(x: Tensor) -> Tensor:
    """1.0 where x is not a number, else 0.0; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> isnan(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return not_equal(x, x)


def less(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x < y``, else 0.0; no gradient flows.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> less(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("greater", y=y, x=x)


def less_equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x ≤ y``, else 0.0; no gradient flows.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> less_equal(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("greater_equal", y=y, x=x)


def log(x: Tensor) -> Tensor:
    """``log(x)`` to base e; -inf at 0, NaN below.

    Example:
        >>> from isoconv.nn import Trace
        >>> log(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("log", x=x)


def log1p(x: Tensor) -> Tensor:
    """``log(1 + x)`` to base e, accurate near 0.

    Example:
        >>> from isoconv.nn import Trace
        >>> log1p(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("log1p", x=x)


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


def logical_not(x: Tensor) -> Tensor:
    """1.0 where x is 0, else 0.0; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> logical_not(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return equal(x, 0)


def logical_or(x: Tensor, y: Tensor) -> Tensor:
    """1.0 where x or y is not 0, else 0.0; no gradient flows.

    Args:
        x: what a comparison gives, or any other tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is no tensor.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((4, 4, 2))
        >>> logical_or(x > 0.5, x < 1).shape
        (4, 4, 2)
    """
    check_tensors("logical_or", x=x, y=y)
    return maximum(not_equal(x, 0), not_equal(y, 0))


def logical_xor(x: Tensor, y: Tensor) -> Tensor:
    """1.0 where just one of x and y is not 0, else 0.0; no gradient flows.

    Args:
        x: what a comparison gives, or any other tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is no tensor.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((4, 4, 2))
        >>> logical_xor(x > 0.5, x < 1).shape
        (4, 4, 2)
    """
    check_tensors("logical_xor", x=x, y=y)
    return not_equal(not_equal(x, 0), not_equal(y, 0))


def maximum(x: Tensor | float, y: Tensor | float) -> Tensor:
    """The greater of x and y; NaN wins, and the gradient goes to x where they are equal.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> maximum(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("maximum", x=x, y=y)


def minimum(x: Tensor | float, y: Tensor | float) -> Tensor:
    """The smaller of x and y; NaN wins, and the gradient goes to x where they are equal.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> minimum(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("minimum", x=x, y=y)


def multiply(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x · y``.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> multiply(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("mul", x=x, y=y)


def neg(x: Tensor) -> Tensor:
    """``-x``.

    Example:
        >>> from isoconv.nn import Trace
        >>> neg(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("neg", x=x)


def not_equal(x: Tensor | float, y: Tensor | float) -> Tensor:
    """1.0 where ``x ≠ y``, else 0.0; no gradient flows.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> not_equal(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return logical_not(equal(x, y))


def reciprocal(x: Tensor) -> Tensor:
    """``1 / x``.

    Example:
        >>> from isoconv.nn import Trace
        >>> reciprocal(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("reciprocal", x=x)


def round(x: Tensor) -> Tensor:
    """The nearest whole number, of two equally near ones the even one; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> round(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("round", x=x)


def sign(x: Tensor) -> Tensor:
    """1.0 where x > 0, -1.0 where x < 0, else x; no gradient flows.

    Example:
        >>> from isoconv.nn import Trace
        >>> sign(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("sign", x=x)


def sqrt(x: Tensor) -> Tensor:
    """``√x``; NaN below 0.

    Example:
        >>> from isoconv.nn import Trace
        >>> sqrt(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("sqrt", x=x)


def square(x: Tensor) -> Tensor:
    """``x · x``.

    Example:
        >>> from isoconv.nn import Trace
        >>> square(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("square", x=x)


def subtract(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x - y``.

    Args:
        x: a tensor, or a number for all elements if y is a tensor.
        y: likewise; the shapes broadcast.

    Raises:
        ArgumentError: an operand that is neither, or two numbers.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> subtract(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    return joined("sub", x=x, y=y)


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
