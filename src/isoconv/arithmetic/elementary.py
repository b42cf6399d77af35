"""Exponentials, logarithms and their kin from IEEE-754 primitives: the same bits everywhere.

Every function takes float32 or float64 arrays, or a Python float, computes in float64 with
additions, multiplications, divisions and square roots that are rounded one by one (never fused),
comparisons, selections and integer operations, and rounds once to the dtype it was given. Both
sides of each selection are computed, so the same sequence serves vectors;
``compile/native/elementary.py`` emits it as machine code from the constants below.

The error is below 1 unit in the last place in float32 for every argument. In float64 it is below
1 unit for exp, log, log1p and power, 2 for atan, sigmoid, erf, rsqrt, sines and cosines, 3 for
expm1 and tanh, 5 for tan; in the subnormal range that of power is below 1.5.

Coefficients are in increasing powers; polynomials are evaluated by Horner's rule from the last.
They were computed with 300-bit arithmetic and then rounded to float64; the stated errors are those
of the rounded coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from isoconv.arithmetic.bits import (
    MANTISSA,
    Array,
    bits_of,
    polynomial,
    power_of_two,
    whole_part,
    with_sign,
)
from isoconv.arithmetic.trigonometric import (
    HALF_PI,
    cos_core,
    cos_turns_core,
    sin_core,
    sin_turns_core,
    tan_core,
)
from isoconv.errors import DTypeError

EXP = (
    0.5, 0.16666666666666666, 0.04166666666665136, 0.008333333333332155,
    0.0013888888905881542, 0.0001984126985433861, 2.4801536388690766e-05, 2.755728006701698e-06,
    2.761380686153829e-07, 2.5095554677111112e-08,
)  # fmt: skip
"""(exp(r) - 1 - r) / r² in powers of r for |r| ≤ ln(2) / 2, degree 9: 1/2, then Chebyshev
interpolation of the rest. Error of r + r² p(r): 8.1e-17 of expm1(r), 3.4e-17 of exp(r)."""

ATAN = (
    -0.3333333333333333, 0.19999999999999993, -0.14285714285711518, 0.11111111110754729,
    -0.0909090906700999, 0.07692306736000173, -0.06666642020055166, 0.058819252531928636,
    -0.05258041554277979, 0.04719395030027433, -0.04104436265755082, 0.030635704112969498,
    -0.01391822929102443,
)  # fmt: skip
"""(atan(t) / t - 1) / t² in powers of t² for |t| ≤ tan(π/8), degree 12: Chebyshev interpolation.
Error: 1.3e-17 of atan(t)."""
ATAN_BOUNDS = (0.41421356237309503, 2.414213562373095)
"""tan(π/8) and tan(3π/8)."""
QUARTER_PI = 0.7853981633974483

LOG = (
    0.666666666666667, 0.39999999999899444, 0.2857142862600327, 0.22222211130259878,
    0.18182889455674947, 0.15331710618210773, 0.14616585424888623,
)  # fmt: skip
"""(ln((1 + s) / (1 - s)) - 2 s) / s³ in powers of s² for s ≤ (√2 - 1) / (√2 + 1), degree 6:
Chebyshev interpolation. Error of the logarithm: 4.7e-18 of 2 s."""

LOG_PARTS = (
    0.6, 0.4285714285714405, 0.3333333333248435, 0.2727272750297172, 0.23076892456330622,
    0.20002206358021377, 0.17559372793082464, 0.1758457673353905,
)  # fmt: skip
"""(3 atanh(s) / s - 3 - s²) / s⁴ in powers of s² for s ≤ (√2 - 1) / (√2 + 1), degree 7: Chebyshev
interpolation. Error of the logarithm: 6.4e-21 of itself."""

ERF = (
    1.1283791670955126, -0.37612638903183543, 0.11283791670945006, -0.02686617064323777,
    0.0052239776071164225, -0.0008548325975389692, 0.00012055294904839707, -1.492473690741966e-05,
    1.6447424703317362e-06, -1.6208483801871705e-07, 1.3720064546777686e-08, -7.795898827002142e-10,
)  # fmt: skip
"""erf(x) / x in powers of x² for |x| ≤ 1, degree 11: Chebyshev interpolation. Error: 3.8e-17."""

ERFC = (
    1.8496055099332485, 2.6389675142347255, 0.8431072563621725, 0.04156109796696486,
    -0.010033824553203525, 0.0019778972361280244, -0.00023730018084123288, -2.634132927799031e-05,
    2.728648066906843e-05, -9.793644295074308e-06, 2.2563212522656604e-06, -2.9737824385277203e-07,
    -7.807661335198663e-09, 1.3827735216329438e-08, -3.197877065379844e-09, 3.625360522873074e-10,
    -1.7399153002255694e-11,
)  # fmt: skip
"""-ln(1 - erf(1 + u)) in powers of u for 0 ≤ u ≤ 5, degree 16: least squares weighted to the least
greatest error (Lawson's method). Error of erf: 3.4e-17."""


INVERSE_LN2 = 1.4426950408889634
LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""The first 32 bits of ln 2, so that its product with a whole number below 2**21 is exact."""
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
"""ln 2 - LN2_HIGH."""
TWO_THIRDS = 0.6666666666666666
TWO_THIRDS_HIGH = float.fromhex("0x1.555555p-1")
"""The first 25 bits of 2/3."""
TWO_THIRDS_LOW = float.fromhex("0x1.5555555555555p-27")
"""2/3 - TWO_THIRDS_HIGH."""
HIGH_BITS = -(2**27)
"""A mask that leaves the first 26 bits of a float64's significand: products of two such numbers are
exact."""
EXP_RANGE = (-746.0, 710.0)
"""Outside exp is 0 or infinite."""
EXPM1_RANGE = (-60.0, 710.0)
"""Below expm1 is -1, above it is infinite."""
POWER_RANGE = (-750.0, 715.0)
"""Outside a power of e is 0 or infinite, also with a small correction."""
POWER_LOW_RANGE = (-1.0, 1.0)
"""The correction lies far inside where the sum is within POWER_RANGE."""
POWER_EXPONENT_RANGE = (-(2.0**65), 2.0**65)
"""Outside x**y is 0, 1 or infinite, since |ln x| is 0 or at least 2**-53."""
SMALLEST_NORMAL = 2.0**-1022
SQRT_HALF_BITS = 0x3FE6_A09E_667F_3BCD
"""The float64 nearest to sqrt(1/2), as an integer."""
TANH_END = 22.0
"""From here on tanh is 1."""
ERF_END = 6.0
"""From here on erf is 1."""


def exp(x: ArrayLike) -> Any:
    """``e**x``: ``x = k ln 2 + r`` with |r| ≤ ln(2)/2, then ``2**k * (1 + (r + r² p(r)))``.

    Example:
        >>> exp(-1.0)
        0.36787944117144233
    """
    return _apply("exp", _exp, x)


def expm1(x: ArrayLike) -> Any:
    """``e**x - 1``, accurate near 0: ``2**k * ((r + r² p(r)) + (1 - 2**-k))`` as in :func:`exp`.

    Example:
        >>> expm1(1e-10)
        1.00000000005e-10
    """
    return _apply("expm1", _expm1, x)


def log(x: ArrayLike) -> Any:
    """Natural logarithm: ``x = 2**k m`` with m in [√½, √2), then ``k ln 2 + ln(m)``.

    ``ln(m) = f - (f²/2 - s (f²/2 + s² p(s²)))`` with ``f = m - 1`` and ``s = f / (2 + f)``, the
    arrangement of FreeBSD's ``e_log.c``. Zero gives -inf, a negative number NaN.

    Example:
        >>> log(2.0)
        0.6931471805599453
    """
    return _apply("log", _log, x)


def log1p(x: ArrayLike) -> Any:
    """``ln(1 + x)``, accurate near 0: the logarithm of the rounded sum, corrected by its error.

    Example:
        >>> log1p(1e-10)
        9.999999999500001e-11
    """
    return _apply("log1p", _log1p, x)


def tanh(x: ArrayLike) -> Any:
    """Hyperbolic tangent: ``e / (e + 2)`` with ``e = expm1(2 |x|)``, and the sign of x.

    Example:
        >>> tanh(0.5)
        0.46211715726000974
    """
    return _apply("tanh", _tanh, x)


def sigmoid(x: ArrayLike) -> Any:
    """``1 / (1 + exp(-x))``, from ``e = exp(-|x|)``: ``(e if x < 0 else 1) / (1 + e)``.

    Example:
        >>> sigmoid(0.0)
        0.5
    """
    return _apply("sigmoid", _sigmoid, x)


def erf(x: ArrayLike) -> Any:
    """Error function: ``x p(x²)`` for |x| < 1, else ``1 - exp(-p(|x| - 1))`` with the sign of x.

    Example:
        >>> erf(1.0)
        0.8427007929497149
    """
    return _apply("erf", _erf, x)


def atan(x: ArrayLike) -> Any:
    """Arc tangent: ``c + (t + t z p(z))`` with ``z = t²`` and the sign of x.

    c is 0 and t is |x| up to tan(π/8); π/4 and ``(|x| - 1) / (|x| + 1)`` up to tan(3π/8); π/2 and
    ``-1 / |x|`` beyond.

    Example:
        >>> atan(1.0)
        0.7853981633974483
    """
    return _apply("atan", _atan, x)


def sin(x: ArrayLike) -> Any:
    """Sine of x in radians; the reduction by π/2 is exact enough for every x.

    Example:
        >>> sin(1e22)
        -0.8522008497671888
    """
    return _apply("sin", sin_core, x)


def cos(x: ArrayLike) -> Any:
    """Cosine of x in radians; the reduction by π/2 is exact enough for every x.

    Example:
        >>> cos(0.0)
        1.0
    """
    return _apply("cos", cos_core, x)


def tan(x: ArrayLike) -> Any:
    """Tangent of x in radians: the quotient of sine and cosine.

    Example:
        >>> tan(0.5)
        0.5463024898437905
    """
    return _apply("tan", tan_core, x)


def sin_turns(x: ArrayLike) -> Any:
    """``sin(2π x)``: x counts whole turns, so the reduction is exact.

    Example:
        >>> sin_turns(0.25), sin_turns(0.5)
        (1.0, 0.0)
    """
    return _apply("sin_turns", sin_turns_core, x)


def cos_turns(x: ArrayLike) -> Any:
    """``cos(2π x)``: x counts whole turns, so the reduction is exact.

    Example:
        >>> cos_turns(0.25), cos_turns(0.5)
        (0.0, -1.0)
    """
    return _apply("cos_turns", cos_turns_core, x)


def rsqrt(x: ArrayLike) -> Any:
    """``1 / sqrt(x)``: a square root and a division, each rounded.

    Example:
        >>> rsqrt(4.0)
        0.5
    """
    return _apply("rsqrt", lambda value: 1.0 / np.sqrt(value), x)


def power(x: ArrayLike, y: ArrayLike) -> Any:
    """``x**y = exp(y ln |x|)``, negative for a negative x and an odd whole y.

    The logarithm is computed as a sum of two float64 (``2/3 s (3 + s² + s⁴ p(s²))`` with
    ``s = (m - 1) / (m + 1)``, the arrangement of FreeBSD's ``e_pow.c``), and so is its product with
    y. Special cases are those of IEEE-754 ``pow``: ``x**0`` and ``1**y`` are 1 even for NaN, a
    negative x with a y that is not whole gives NaN.

    Args:
        x: base.
        y: exponent, of the same dtype; the shapes broadcast.

    Example:
        >>> power(2.0, 10.0)
        1024.0
    """
    return _apply("power", _power, x, y)


def _apply(name: str, core: Callable[..., Array], *arguments: ArrayLike) -> Any:
    arrays = [np.asarray(argument) for argument in arguments]
    plain = all(isinstance(argument, int | float) for argument in arguments)
    # A Python number takes the dtype of the array beside it.
    kinds = [x if isinstance(x, int | float) else np.asarray(x) for x in arguments]
    dtype = np.dtype(np.float64) if plain else np.result_type(*kinds)
    if dtype not in (np.float32, np.float64):
        raise DTypeError(f"{name} takes float32 or float64; got {dtype}")
    with np.errstate(all="ignore"):
        result = core(*(array.astype(np.float64) for array in arrays))
        if plain and not isinstance(arguments[0], np.generic):
            return float(result)
        return np.asarray(result).astype(dtype)[()]


def _clamp(x: Array, bounds: tuple[float, float]) -> Array:
    """Into the bounds; NaN stays."""
    x = np.where(x < bounds[0], bounds[0], x)
    return np.where(x > bounds[1], bounds[1], x)


def _expm1_reduced(x: Array) -> tuple[Array, Array]:
    """exp(x) = 2**k * (1 + p): returns p and k."""
    whole, k = whole_part(x * INVERSE_LN2)
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    return r + (r * r) * polynomial(EXP, r), k


def _scale(x: Array, k: Array) -> Array:
    """Multiply by 2**k in two steps, so that only the last one rounds."""
    half = k >> 1
    return (x * power_of_two(half)) * power_of_two(k - half)


def _exp(x: Array) -> Array:
    p, k = _expm1_reduced(_clamp(x, EXP_RANGE))
    return _scale(1.0 + p, k)


def _expm1(x: Array) -> Array:
    p, k = _expm1_reduced(_clamp(x, EXPM1_RANGE))
    # From k = 64 on 2**-k is lost in the sum, and the limit keeps it a normal number.
    unit = power_of_two(-np.where(k > 64, np.int64(64), k))
    return np.where(x == 0, x, _scale(p + (1.0 - unit), k))


def _log_corrected(u: Array, correction: Array | float, exponent: Array | int) -> Array:
    """ln(u) + exponent ln 2 + correction for a normal positive u and a tiny correction."""
    bits = bits_of(u)
    k = (bits - SQRT_HALF_BITS) >> MANTISSA
    f = np.asarray(bits - (k << MANTISSA)).view(np.float64) - 1.0
    whole = (k + exponent).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    half = (0.5 * f) * f
    rest = s * (half + z * polynomial(LOG, z)) + (whole * LN2_LOW + correction)
    return np.asarray(whole * LN2_HIGH - ((half - rest) - f))


def _log(x: Array) -> Array:
    subnormal = x < SMALLEST_NORMAL
    scaled = np.where(subnormal, x * 2.0**54, x)
    result = _log_corrected(scaled, 0.0, np.where(subnormal, np.int64(-54), np.int64(0)))
    result = np.where(x < np.inf, result, x)
    result = np.where(x == 0, -np.inf, result)
    return np.where(x < 0, np.nan, result)


def _log1p(x: Array) -> Array:
    u = 1.0 + x
    taken = u - 1.0
    error = (1.0 - (u - taken)) + (x - taken)
    result = _log_corrected(u, error / u, 0)
    result = np.where(x < np.inf, result, x)
    result = np.where(x == 0, x, result)
    result = np.where(x == -1, -np.inf, result)
    return np.where(x < -1, np.nan, result)


def _tanh(x: Array) -> Array:
    size = np.abs(x)
    e = _expm1(2.0 * np.where(size > TANH_END, TANH_END, size))
    return with_sign(e / (e + 2.0), x)


def _sigmoid(x: Array) -> Array:
    e = _exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1.0) / (1.0 + e))


def _erf(x: Array) -> Array:
    size = np.abs(x)
    small = size * polynomial(ERF, size * size)
    u = np.where(size > ERF_END, ERF_END, size) - 1.0
    large = 1.0 - _exp(-polynomial(ERFC, u))
    return with_sign(np.where(size < 1.0, small, large), x)


def _atan(x: Array) -> Array:
    size = np.abs(x)
    near, far = ATAN_BOUNDS
    base = np.where(size > far, HALF_PI, np.where(size > near, QUARTER_PI, 0.0))
    t = np.where(size > near, (size - 1.0) / (size + 1.0), size)
    t = np.where(size > far, -1.0 / size, t)
    z = t * t
    return with_sign(base + (t + t * (z * polynomial(ATAN, z))), x)


def _high(x: Array) -> Array:
    """The first 26 bits of the significand."""
    return np.asarray(bits_of(x) & HIGH_BITS).view(np.float64)


def _log_parts(x: Array) -> tuple[Array, Array]:
    """ln(x) of a finite positive x as a sum of two, the first with 26 bits."""
    subnormal = x < SMALLEST_NORMAL
    bits = bits_of(np.where(subnormal, x * 2.0**54, x))
    k = (bits - SQRT_HALF_BITS) >> MANTISSA
    f = np.asarray(bits - (k << MANTISSA)).view(np.float64) - 1.0
    whole = (k + np.where(subnormal, np.int64(-54), np.int64(0))).astype(np.float64)
    # s = f / (2 + f), in two parts.
    total = 2.0 + f
    s = f / total
    total_high, s_high = _high(total), _high(s)
    total_low = f - (total_high - 2.0)
    s_low = ((f - s_high * total_high) - s_high * total_low) / total
    # t = 3 + s**2 + ..., in two parts.
    z, square = s * s, s_high * s_high
    rest = (z * z) * polynomial(LOG_PARTS, z) + s_low * (s_high + s)
    t_high = _high((3.0 + square) + rest)
    t_low = rest - ((t_high - 3.0) - square)
    # s t, in two parts.
    main = s_high * t_high
    rest = s_low * t_high + t_low * s
    high = _high(main + rest)
    low = rest - (high - main)
    # 2/3 s t + whole ln 2.
    low = (high * TWO_THIRDS_LOW + low * TWO_THIRDS) + whole * LN2_LOW
    high = high * TWO_THIRDS_HIGH
    whole = whole * LN2_HIGH
    result = _high((whole + high) + low)
    return result, low - ((result - whole) - high)


def _power_of_size(size: Array, y: Array) -> Array:
    """size**y for a finite positive size and a y that is a number."""
    log_high, log_low = _log_parts(size)
    y = _clamp(y, POWER_EXPONENT_RANGE)
    y_high = _high(y)
    low = (y - y_high) * log_high + y * log_low
    return _exp_parts(_clamp(y_high * log_high, POWER_RANGE), _clamp(low, POWER_LOW_RANGE))


def _exp_parts(high: Array, low: Array) -> Array:
    """exp(high + low) where low is far smaller than high."""
    x = high + low
    low = (high - x) + low
    whole, k = whole_part(x * INVERSE_LN2)
    # r and 1 + r in two parts each.
    high = x - whole * LN2_HIGH
    low = low - whole * LN2_LOW
    r = high + low
    low = (high - r) + low
    total = 1.0 + r
    rest = ((1.0 - total) + r) + (low + low * r)
    return _scale(total + (rest + (r * r) * polynomial(EXP, r)), k)


def _power(x: Array, y: Array) -> Array:
    size = np.abs(x)
    result = _power_of_size(size, y)
    at_edge = np.where((size == 0) == (y > 0), 0.0, np.inf)
    result = np.where((size == 0) | (size == np.inf), at_edge, result)
    # From 2**53 on every number is even and whole.
    near = np.where(np.abs(y) < 2.0**53, y, 0.0)
    whole = near.astype(np.int64)
    is_whole = whole.astype(np.float64) == near
    odd = is_whole & ((whole & 1) == 1)
    result = np.where(odd & (bits_of(x) < 0), -result, result)
    result = np.where((x < 0) & (x > -np.inf) & ~is_whole, np.nan, result)
    result = np.where((x == x) & (y == y), result, x + y)
    return np.where((y == 0) | (x == 1), 1.0, result)
