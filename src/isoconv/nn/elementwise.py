"""Arithmetic of tensors and numbers element by element, and functions of each element."""

from __future__ import annotations

from isoconv.nn.tensor import Tensor, apply, check_tensors, joined, raised

__all__ = [
    "abs",
    "add",
    "ceil",
    "divide",
    "erf",
    "exp",
    "expm1",
    "floor",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "multiply",
    "neg",
    "power",
    "reciprocal",
    "round",
    "sign",
    "sqrt",
    "square",
    "subtract",
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


def power(x: Tensor, y: Tensor | float) -> Tensor:
    """``x**y``, also written so, with the special cases of IEEE 754's ``pow``.

    ``x**0`` and ``1**y`` are 1; a negative x with a y that is not whole gives NaN. Its gradients
    are ``y x^(y-1)`` and ``x^y log(x)``, where x = 0 gives 0 by y.

    Args:
        x: any shape.
        y: a tensor whose shape broadcasts with x, or one number for all.

    Example:
        >>> from isoconv.nn import Trace
        >>> power(Trace().images((4, 4, 2)), 1.5).shape
        (4, 4, 2)
    """
    check_tensors("power", x=x)
    return raised(x, y, "y")


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
