"""Fused multiply-add against exact rational arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoconv.arithmetic.fma import contract_chain, fma, fma32, fma64
from isoconv.errors import DTypeError

FORMATS: dict[type[Any], tuple[int, int, int]] = {
    np.float32: (24, -149, 128),
    np.float64: (53, -1074, 1024),
}
FUNCTIONS: dict[type[Any], Callable[[Any, Any, Any], Any]] = {np.float32: fma32, np.float64: fma64}
SPECIAL = (
    *(0.0, 1.0, 1.5, 3.0, 1.0000001192092896, 1.0000000000000002, 0.1),
    *(2.0**-149, 2.0**-126, 2.0**-1074, 2.0**-1022, 2.0**-540, 2.0**500),
    *(3.4028234663852886e38, 1.7976931348623157e308, float("inf"), float("nan")),
)


def nearest(value: Fraction, dtype: type[Any]) -> float:
    """The nearest number of the format, ties to even; the sign of a nonzero value is kept."""
    digits, lowest, highest = FORMATS[dtype]
    size = abs(value)
    if not size:
        return 0.0
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** max(exponent - digits + 1, lowest)
    rounded = round(size / unit) * unit
    result = float("inf") if rounded >= Fraction(2) ** highest else float(rounded)
    return result if value > 0 else -result


def expected(a: float, b: float, c: float, dtype: type[Any]) -> float:
    """``a * b + c`` by the rules of IEEE-754."""
    if not (np.isfinite(a) and np.isfinite(b)):
        return float(np.float64(a) * b + c)
    if not np.isfinite(c):
        return c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        negative = np.signbit(a) != np.signbit(b)
        return -0.0 if negative and np.signbit(c) and (a == 0 or b == 0) else 0.0
    return nearest(exact, dtype)


def check(triples: np.ndarray, dtype: type[Any]) -> None:
    """Compare every triple (rows) with the exact result, bit for bit."""
    a, b, c = triples.astype(dtype).T
    got = FUNCTIONS[dtype](a, b, c)
    assert got.dtype == dtype
    with np.errstate(all="ignore"):
        want = np.array(
            [expected(float(x), float(y), float(z), dtype) for x, y, z in zip(a, b, c, strict=True)]
        ).astype(dtype)
    same = (got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want))
    assert same.all(), (a[~same], b[~same], c[~same], got[~same], want[~same])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype: type[Any]) -> None:
    """Zeros, subnormal and extreme numbers, infinities and NaN in every combination of signs."""
    with np.errstate(all="ignore"):
        values = np.array(sorted({*SPECIAL, *(-v for v in SPECIAL)} - {0.0}), dtype)
    values = np.unique(np.concatenate([values, np.array([0.0], dtype)]))
    signed = [*values, dtype(-0.0)]
    check(np.array(list(product(signed, repeat=3))[::7]), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_signs(dtype: type[Any]) -> None:
    """A sum of zeros is -0.0 only when both are; exact cancellation gives +0.0."""
    zeros = (0.0, -0.0)
    triples = [*product(zeros, (1.0, -1.0), zeros), *product((2.0, -2.0), (3.0, -3.0), (6.0, -6.0))]
    check(np.array(triples), dtype)


@pytest.mark.parametrize(("dtype", "bits"), [(np.float32, np.uint32), (np.float64, np.uint64)])
def test_random_bit_patterns(dtype: type[Any], bits: type[Any]) -> None:
    """Any exponents: overflow, underflow and everything between."""
    rng = np.random.default_rng(1)
    patterns = rng.integers(0, np.iinfo(bits).max, (2000, 3), bits, endpoint=True)
    check(patterns.view(dtype), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cancellation(dtype: type[Any]) -> None:
    """A term near the negated product leaves the low bits of the product."""
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-2, 2, (2, 2000)).astype(dtype)
    near = (-(a * b)).astype(dtype)
    steps = np.spacing(near) * rng.integers(-3, 4, 2000)
    check(np.stack([a, b, (near + steps).astype(dtype)], axis=1), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_midpoints(dtype: type[Any]) -> None:
    """A sum a hair beside a midpoint is where rounding twice goes wrong."""
    digits = FORMATS[dtype][0]
    rng = np.random.default_rng(3)
    whole = rng.integers(2 ** (digits - 1), 2**digits, 600).astype(dtype)
    half = np.full(600, 0.5, dtype)
    above = np.stack([half, (1 + 2.0 ** -rng.integers(2, digits, 600)).astype(dtype), whole], 1)
    tiny = np.stack([half, half, whole], 1)
    tiny[:, 0] = 2.0 ** -rng.integers(1, 60, 600)
    below = above * np.array([-1, 1, 1])
    check(np.concatenate([above, below, tiny]), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_results(dtype: type[Any]) -> None:
    """Products and sums below the normal range are rounded once, at the subnormal bit."""
    lowest = FORMATS[dtype][1]
    rng = np.random.default_rng(4)
    a = np.ldexp(rng.uniform(0.5, 1, 600), lowest // 2 + rng.integers(-8, 30, 600))
    b = np.ldexp(rng.uniform(-1, 1, 600), lowest - lowest // 2 + rng.integers(-8, 30, 600))
    c = np.ldexp(rng.integers(-300, 300, 600).astype(float), lowest)
    check(np.stack([a, b, c], 1), dtype)


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.floats(width=32)] * 3))
def test_any_float32(triple: tuple[float, float, float]) -> None:
    """Property: fma32 is the exact result rounded once."""
    check(np.array([triple]), np.float32)


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.floats()] * 3))
def test_any_float64(triple: tuple[float, float, float]) -> None:
    """Property: fma64 is the exact result rounded once."""
    check(np.array([triple]), np.float64)


def test_broadcasting() -> None:
    """Shapes broadcast as in NumPy, and scalars give a scalar shape."""
    a = np.arange(3, dtype=np.float32)
    got = fma(a[:, None], a, np.float32(1))
    np.testing.assert_array_equal(got, a[:, None] * a + 1)
    assert fma(np.float64(2), np.float64(3), np.float64(4)).shape == ()


def test_mixed_dtypes_are_refused() -> None:
    """The dtypes must agree: a silent conversion would round a second time."""
    one = np.float32(1)
    with pytest.raises(DTypeError, match="a, b, c have dtypes float32, float32, float64"):
        fma(one, one, np.float64(1))
    with pytest.raises(DTypeError, match="int64"):
        fma(np.int64(1), np.int64(1), np.int64(1))


def test_chain_follows_the_order_given() -> None:
    """The chain starts at +0.0 and rounds once for each link."""
    x = np.array([1e8, 1, -1e8], np.float32)
    w = np.array([1, 1, 1], np.float32)
    assert contract_chain(zip(x, w, strict=True)) == 0
    assert contract_chain(zip(x[[0, 2, 1]], w, strict=True)) == 1
    empty = contract_chain([], shape=(2,), dtype=np.float64)
    assert empty.dtype == np.float64
    assert not np.signbit(empty).any()


def test_negative_zero_products_leave_positive_zero() -> None:
    """A chain of -0.0 products stays at +0.0, where it started."""
    total = contract_chain(
        [(np.array([-0.0], np.float32), np.array([1], np.float32))] * 3, shape=(1,)
    )
    assert not np.signbit(total).any()
