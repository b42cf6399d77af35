"""Arithmetic of tensors and numbers element by element, and functions of each element."""

from __future__ import annotations

from isoconv.nn.alike import like
from isoconv.nn.tensor import Tensor, apply, check_tensors, joined, raised

__public__ = {"isoconv.nn.functional": ["[a-z]*"]}


def abs(x: Tensor) -> Tensor:
    """``|x|``; the gradient at 0 is 0.

    Example:
        >>> from isoconv.nn import Trace
        >>> abs(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("abs", x=x)


@like(abs)
def acos(x: Tensor) -> Tensor:
    """``arccos(x)``, from 0 to π; NaN beyond -1 and 1."""
    return apply("acos", x=x)


@like(abs)
def acosh(x: Tensor) -> Tensor:
    """``log(x + √(x² - 1))``; NaN below 1."""
    return apply("acosh", x=x)


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


@like(abs)
def asin(x: Tensor) -> Tensor:
    """``arcsin(x)``, from -π/2 to π/2; NaN beyond -1 and 1."""
    return apply("asin", x=x)


@like(abs)
def asinh(x: Tensor) -> Tensor:
    """``log(x + √(x² + 1))``."""
    return apply("asinh", x=x)


@like(abs)
def atan(x: Tensor) -> Tensor:
    """``arctan(x)``, from -π/2 to π/2."""
    return apply("atan", x=x)


@like(abs)
def atanh(x: Tensor) -> Tensor:
    """``log((1 + x) / (1 - x)) / 2``; infinite at -1 and 1, NaN beyond."""
    return apply("atanh", x=x)


@like(abs)
def ceil(x: Tensor) -> Tensor:
    """The least whole number that is at least x; no gradient flows."""
    return neg(floor(neg(x)))


@like(abs)
def cos(x: Tensor) -> Tensor:
    """``cos(x)`` of radians, however large."""
    return apply("cos", x=x)


@like(abs)
def cosh(x: Tensor) -> Tensor:
    """``(e^x + e^-x) / 2``."""
    return apply("cosh", x=x)


@like(add)
def divide(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x / y``, rounded once; an operator's ``x / number`` multiplies by the reciprocal."""
    return joined("div", x=x, y=y)


@like(abs)
def erf(x: Tensor) -> Tensor:
    """``2/√π · ∫ exp(-t²)`` from 0 to x."""
    return apply("erf", x=x)


@like(abs)
def exp(x: Tensor) -> Tensor:
    """``e^x``."""
    return apply("exp", x=x)


@like(abs)
def expm1(x: Tensor) -> Tensor:
    """``e^x - 1``, accurate near 0."""
    return apply("expm1", x=x)


@like(abs)
def floor(x: Tensor) -> Tensor:
    """The greatest whole number that is at most x; no gradient flows."""
    return apply("floor", x=x)


@like(abs)
def log(x: Tensor) -> Tensor:
    """``log(x)`` to base e; -inf at 0, NaN below."""
    return apply("log", x=x)


@like(abs)
def log1p(x: Tensor) -> Tensor:
    """``log(1 + x)`` to base e, accurate near 0."""
    return apply("log1p", x=x)


@like(add)
def maximum(x: Tensor | float, y: Tensor | float) -> Tensor:
    """The greater of x and y; NaN wins, and the gradient goes to x where they are equal."""
    return joined("maximum", x=x, y=y)


@like(add)
def minimum(x: Tensor | float, y: Tensor | float) -> Tensor:
    """The smaller of x and y; NaN wins, and the gradient goes to x where they are equal."""
    return joined("minimum", x=x, y=y)


@like(add)
def multiply(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x · y``."""
    return joined("mul", x=x, y=y)


@like(abs)
def neg(x: Tensor) -> Tensor:
    """``-x``."""
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


@like(abs)
def reciprocal(x: Tensor) -> Tensor:
    """``1 / x``."""
    return apply("reciprocal", x=x)


@like(abs)
def round(x: Tensor) -> Tensor:
    """The nearest whole number, of two equally near ones the even one; no gradient flows."""
    return apply("round", x=x)


@like(abs)
def sign(x: Tensor) -> Tensor:
    """1.0 where x > 0, -1.0 where x < 0, else x; no gradient flows."""
    return apply("sign", x=x)


@like(abs)
def sin(x: Tensor) -> Tensor:
    """``sin(x)`` of radians, however large."""
    return apply("sin", x=x)


@like(abs)
def sinh(x: Tensor) -> Tensor:
    """``(e^x - e^-x) / 2``."""
    return apply("sinh", x=x)


@like(abs)
def sqrt(x: Tensor) -> Tensor:
    """``√x``; NaN below 0."""
    return apply("sqrt", x=x)


@like(abs)
def square(x: Tensor) -> Tensor:
    """``x · x``."""
    return apply("square", x=x)


@like(add)
def subtract(x: Tensor | float, y: Tensor | float) -> Tensor:
    """``x - y``."""
    return joined("sub", x=x, y=y)


@like(abs)
def tan(x: Tensor) -> Tensor:
    """``sin(x) / cos(x)`` of radians, however large."""
    return apply("tan", x=x)
