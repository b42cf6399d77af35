"""Fused multiply-add in NumPy: ``a * b + c`` rounded once, the same on every machine.

NumPy has no such operation, and a processor may or may not have one, so it is built here from
IEEE-754 additions and multiplications that are rounded one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.arithmetic.bits import Array
from isoconv.errors import DTypeError

Numbers = NDArray[Any] | np.generic
"""An array, or a scalar of NumPy's."""

_SPLITTER = float(2**27 + 1)
# Inside these bounds no step of the float64 algorithm can overflow or lose a bit to underflow: the
# last bit of a product is worth at least 2**-1004, and halves of splits stay below 2**1000.
_FACTOR_BOUNDS = (2.0**-450, 2.0**450)
_TERM_BOUNDS = (2.0**-900, 2.0**900)


def fma(a: Numbers, b: Numbers, c: Numbers) -> Array:
    """``a * b + c`` with one rounding, in the dtype of the arguments.

    Args:
        a: first factor, float32 or float64.
        b: second factor, same dtype; the three shapes broadcast.
        c: term, same dtype.

    Returns:
        The rounded result, of the broadcast shape.

    Raises:
        DTypeError: the dtypes differ, or are neither float32 nor float64.

    Example:
        >>> import numpy as np
        >>> a = np.float32(1 + 2**-12)
        >>> float(fma(a, a, np.float32(-1 - 2**-11))) == 2**-24
        True
    """
    return fma32(a, b, c) if np.asarray(a).dtype == np.float32 else fma64(a, b, c)


def fma32(a: Numbers, b: Numbers, c: Numbers) -> Array:
    """``a * b + c`` in float32 with one rounding.

    The product of two float32 is exact in float64. Rounding the float64 sum again to float32 can go
    wrong only where that sum is a midpoint between two float32 and not exact; there the sum is
    first rounded to odd: when inexact, to the neighbour whose last bit is 1.
    Source: S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums: proved
    algorithms using rounding to odd", IEEE Transactions on Computers 57(4), 2008.

    Args:
        a: first factor, float32.
        b: second factor, float32; the three shapes broadcast.
        c: term, float32.

    Returns:
        float32 of the broadcast shape. Subnormal numbers, signed zeros, infinities and NaN follow
        IEEE-754.

    Raises:
        DTypeError: an argument is not float32.

    Example:
        >>> import numpy as np
        >>> x = np.float32(1e20)
        >>> float(fma32(x, x, np.float32("-inf")))
        -inf
    """
    a, b, c = _of_dtype(np.float32, a, b, c)
    with np.errstate(all="ignore"):
        product = np.asarray(np.multiply(a, b, dtype=np.float64))
        total = np.asarray(np.add(product, c, dtype=np.float64))
        # A midpoint has at most 25 significant bits, so the low 28 of float64's 53 are zero.
        midpoint = (total.view(np.int64) & 0x0FFF_FFFF) == 0
        if midpoint.any():
            terms = np.asarray(c, dtype=np.float64)
            total[midpoint] = _add_to_odd(
                np.broadcast_to(product, total.shape)[midpoint],
                np.broadcast_to(terms, total.shape)[midpoint],
            )
        return total.astype(np.float32)


def fma64(a: Numbers, b: Numbers, c: Numbers) -> Array:
    """``a * b + c`` in float64 with one rounding.

    The product is split into two float64 without error (Veltkamp and Dekker), the three numbers are
    added by two error-free sums and one rounding to odd (Boldo and Melquiond, as in
    :func:`fma32`). Elements whose exponents are so far out that a step could overflow or underflow
    are computed with Python's integers instead.

    Args:
        a: first factor, float64.
        b: second factor, float64; the three shapes broadcast.
        c: term, float64.

    Returns:
        float64 of the broadcast shape. Subnormal numbers, signed zeros, infinities and NaN follow
        IEEE-754.

    Raises:
        DTypeError: an argument is not float64.

    Example:
        >>> import numpy as np
        >>> a = np.float64(1 + 2**-30)
        >>> float(fma64(a, a, np.float64(-1 - 2**-29))) == 2**-60
        True
    """
    a, b, c = _of_dtype(np.float64, a, b, c)
    shape = np.broadcast_shapes(a.shape, b.shape, c.shape)
    a, b, c = (np.broadcast_to(value, shape).reshape(-1) for value in (a, b, c))
    with np.errstate(all="ignore"):
        moderate = _within(a, _FACTOR_BOUNDS) & _within(b, _FACTOR_BOUNDS)
        moderate &= _within(c, _TERM_BOUNDS) | (c == 0)
        # The plain formula is exact where the product is zero, infinite or NaN by its factors.
        result = np.asarray(a * b + c)
        factors_finite = np.isfinite(a) & np.isfinite(b)
        result = np.where(factors_finite & ~np.isfinite(c), c, result)
        if moderate.any():
            result[moderate] = _fma64_moderate(a[moderate], b[moderate], c[moderate])
    extreme = factors_finite & np.isfinite(c) & (a != 0) & (b != 0) & ~moderate
    for index in np.flatnonzero(extreme):
        result[index] = _fma64_exact(float(a[index]), float(b[index]), float(c[index]))
    return result.reshape(shape)


def contract_chain(
    pairs: Iterable[tuple[Array, Array]],
    shape: Sequence[int] = (),
    dtype: Any = np.float32,
) -> Array:
    """A chain of fused multiply-adds from +0.0: the rule of every contraction.

    ``s = +0.0; s = fma(a, b, s)`` for each pair in the order given.

    Args:
        pairs: factors ``(a, b)`` of each link; their shapes broadcast with ``shape``.
        shape: shape of the result.
        dtype: float32 or float64, of the factors and of the result.

    Returns:
        The last value of the chain; +0.0 when there are no pairs.

    Raises:
        DTypeError: a factor has another dtype.

    Example:
        >>> import numpy as np
        >>> x, w = np.float32([1, 2, 3]), np.float32([10, 20, 30])
        >>> float(contract_chain(zip(x, w)))
        140.0
    """
    total: Array = np.zeros(tuple(shape), dtype)
    for a, b in pairs:
        total = fma(a, b, total)
    return total


def _of_dtype(dtype: Any, *values: Numbers) -> list[Array]:
    arrays = [np.asarray(value) for value in values]
    if any(array.dtype != dtype for array in arrays):
        found = ", ".join(str(array.dtype) for array in arrays)
        raise DTypeError(
            "a fused multiply-add takes three float32 or three float64 arrays; "
            f"a, b, c have dtypes {found}"
        )
    return arrays


def _within(values: Array, bounds: tuple[float, float]) -> Array:
    size = np.abs(values)
    return np.asarray((size >= bounds[0]) & (size <= bounds[1]))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    # Knuth: total + error == a + b exactly.
    total = a + b
    kept = total - a
    return total, (a - (total - kept)) + (b - kept)


def _add_to_odd(a: Array, b: Array) -> Array:
    """``a + b`` rounded to odd: an inexact sum ends in a 1 bit, whatever side that is on."""
    total, error = _two_sum(a, b)
    bits = total.view(np.int64)
    even_inexact = np.isfinite(total) & (error != 0) & ((bits & 1) == 0)
    away_from_zero = (error > 0) == (total > 0)
    step = np.where(away_from_zero, np.int64(1), np.int64(-1))
    return np.where(even_inexact, bits + step, bits).view(np.float64)


def _split(a: Array) -> tuple[Array, Array]:
    # Veltkamp: two halves of at most 26 bits each.
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def _fma64_moderate(a: Array, b: Array, c: Array) -> Array:
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    product = a * b
    # Dekker: product + rest == a * b exactly.
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    low, low_error = _two_sum(c, rest)
    high, high_error = _two_sum(product, low)
    return high + _add_to_odd(low_error, high_error)


def _fma64_exact(a: float, b: float, c: float) -> float:
    """One element with finite c and finite nonzero factors, by integer arithmetic."""
    (a_top, a_bottom), (b_top, b_bottom) = a.as_integer_ratio(), b.as_integer_ratio()
    c_top, c_bottom = c.as_integer_ratio()
    bottom = a_bottom * b_bottom
    top = a_top * b_top * c_bottom + c_top * bottom
    try:
        # Python rounds the quotient of two integers correctly, to nearest even.
        return top / (bottom * c_bottom)
    except OverflowError:
        return float("inf") if top > 0 else float("-inf")
