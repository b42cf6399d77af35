"""Sines and cosines in float64, with the reduction of any argument; see ``elementary``."""

from __future__ import annotations

import numpy as np

from isoconv.arithmetic.bits import (
    BIAS,
    MANTISSA,
    Array,
    bits_of,
    polynomial,
    whole_part,
    with_sign,
)

SIN = (
    -0.16666666666666666, 0.008333333333330936, -0.00019841269836740532, 2.7557316093198404e-06,
    -2.5051129896450185e-08, 1.5917988979397435e-10,
)  # fmt: skip
"""(sin(r) / r - 1) / r² in powers of r² for |r| ≤ π/4, degree 5: Chebyshev interpolation.
Error: 1.9e-17 of sin(r)."""
COS = (
    0.041666666666666664, -0.0013888888888887389, 2.48015872987544e-05, -2.755731726587808e-07,
    2.087614504941318e-09, -1.138254464534925e-11,
)  # fmt: skip
"""(cos(r) - 1 + r²/2) / r⁴ in powers of r² for |r| ≤ π/4, degree 5: Chebyshev interpolation.
Error: 8.7e-19."""
TWO_OVER_PI = (
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424d"
    "d2e006492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639"
    "835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f46"
    "3f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6bab"
)
"""The first 1216 binary digits of 2/π after the point, in hexadecimal."""
TWO_OVER_PI_NEAREST = 0.6366197723675814
HALF_PI = 1.5707963267948966
HALF_PI_PARTS = (
    float.fromhex("0x1.921fb544p+0"),
    float.fromhex("0x1.0b4611a6p-34"),
    float.fromhex("0x1.3198a2e037073p-69"),
)
"""π/2 in three parts; the first two have 33 bits (Cody and Waite)."""
COSINE_MODERATE = 2.0**20
"""Below, three parts of π/2 suffice for the reduction."""
NEAR = 2.0**-20
"""From a multiple of π/2; nearer, they do not."""
_LOW = np.uint64(0xFFFF_FFFF)


def _quarter_waves(r: Array) -> tuple[Array, Array]:
    """sin(r) and cos(r) for |r| ≤ π/4."""
    z = r * r
    sine = r + r * (z * polynomial(SIN, z))
    half = 0.5 * z
    near = 1.0 - half
    cosine = near + (((1.0 - near) - half) + (z * z) * polynomial(COS, z))
    return sine, cosine


def _wave(r: Array, quarter: Array) -> Array:
    """sin(r + quarter * π/2)."""
    sine, cosine = _quarter_waves(r)
    size = np.where((quarter & 1) == 1, cosine, sine)
    return np.where((quarter & 2) == 2, -size, size)


def sin_core(x: Array) -> Array:
    """sin(x) in float64."""
    r, quarter = _quarters(x)
    return np.where(x == 0, x, _wave(r, quarter))


def cos_core(x: Array) -> Array:
    """cos(x) in float64."""
    r, quarter = _quarters(x)
    return _wave(r, quarter + 1)


def tan_core(x: Array) -> Array:
    """sin(x) / cos(x) in float64."""
    r, quarter = _quarters(x)
    return np.where(x == 0, x, _wave(r, quarter)) / _wave(r, quarter + 1)


def sin_turns_core(x: Array) -> Array:
    """sin(2π x) in float64."""
    r, quarter = _turns(x)
    result = _wave(r, quarter)
    return np.where(result == 0, with_sign(np.zeros_like(x), x), result)


def cos_turns_core(x: Array) -> Array:
    """cos(2π x) in float64."""
    r, quarter = _turns(x)
    return _wave(r, quarter + 1) + 0.0


def _turns(x: Array) -> tuple[Array, Array]:
    """2π x = r + quarter * π/2 modulo 2π. From 2**53 on every x is whole."""
    whole_turns = np.where(np.abs(x) < 2.0**53, x, 0.0).astype(np.int64).astype(np.float64)
    part = np.where(np.abs(x) < 2.0**53, x - whole_turns, (x - x))
    whole, quarter = whole_part(4.0 * part)
    return (4.0 * part - whole) * HALF_PI, quarter


def _quarters(x: Array) -> tuple[Array, Array]:
    """X = r + quarter * π/2 modulo 2π, with |r| ≤ π/4 up to rounding."""
    moderate = np.where(np.abs(x) < COSINE_MODERATE, x, 0.0)
    whole, quarter = whole_part(moderate * TWO_OVER_PI_NEAREST)
    first, second, third = HALF_PI_PARTS
    r = ((moderate - whole * first) - whole * second) - whole * third
    # Near a multiple of π/2 the three parts do not hold enough bits.
    hard = (np.abs(x) >= COSINE_MODERATE) | ((np.abs(r) < NEAR) & (whole != 0))
    if hard.any():
        r, quarter = np.array(r), np.array(quarter)
        r[hard], quarter[hard] = _quarters_exact(x[hard])
    return np.where(np.isfinite(x), r, np.nan), quarter


def _quarters_exact(x: Array) -> tuple[Array, Array]:
    """As _quarters for 1/2 ≤ |x| < inf, by integers (M. H. Payne and R. N. Hanek, 1983).

    ``|x| = m * 2**e`` with a whole m; of ``2/π * 2**e`` the 2 bits before the point and the 190
    after it decide ``x * 2/π`` modulo 4 to within 2**-137.
    """
    table = np.frombuffer(bytes(8) + bytes.fromhex(TWO_OVER_PI), dtype=">u4").astype(np.uint64)
    bits = bits_of(np.abs(x))
    exponent = (bits >> MANTISSA) - (BIAS + MANTISSA)
    mantissa = ((bits & (2**52 - 1)) | 2**52).astype(np.uint64)
    # 64 zero bits lead the table; the bit worth 2 stands at e + 62.
    start = np.where(np.isfinite(x), exponent, 0) + 62
    shift = (start & 31).astype(np.uint64)
    word = start >> 5
    limbs = []
    for i in range(5, -1, -1):
        pair = (table[word + i] << np.uint64(32)) | table[word + i + 1]
        limbs.append(((pair << shift) >> np.uint64(32)) & _LOW)
    low, high = mantissa & _LOW, mantissa >> np.uint64(32)
    zero = np.zeros_like(mantissa)
    products = [(low * limb, high * limb) for limb in limbs]
    carry = zero
    digits = []
    for i in range(6):
        low_0 = products[i][0] & _LOW
        low_1 = products[i - 1][0] >> np.uint64(32) if i > 0 else zero
        high_0 = products[i - 1][1] & _LOW if i > 0 else zero
        high_1 = products[i - 2][1] >> np.uint64(32) if i > 1 else zero
        total = low_0 + low_1 + high_0 + high_1 + carry
        digits.append(total & _LOW)
        carry = total >> np.uint64(32)
    top = digits[5]
    quarter = ((top + np.uint64(2**29)) >> np.uint64(30)).astype(np.int64)
    # Beyond a half the part is counted back from the next quarter, as the bits' complement.
    back = (top & np.uint64(2**29)) != 0
    digits[5] = top & np.uint64(2**30 - 1)
    size = np.zeros_like(x)
    for i, digit in enumerate(digits):
        full = np.uint64(2**30 - 1) if i == 5 else _LOW
        size = size + np.where(back, digit ^ full, digit).astype(np.float64) * 2.0 ** (32 * i - 190)
    r = size * HALF_PI
    negative = x < 0
    return np.where(back != negative, -r, r), np.where(negative, -quarter, quarter)
