"""Elementary functions against mpmath, and over every float32 against SciPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special

from isoconv.arithmetic import elementary, trigonometric
from isoconv.errors import DTypeError

ORACLES: dict[str, Callable[[Any], Any]] = {
    "atan": mpmath.atan,
    "cos": mpmath.cos,
    "cos_turns": lambda x: mpmath.cospi(2 * x),
    "erf": mpmath.erf,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sin": mpmath.sin,
    "sin_turns": lambda x: mpmath.sinpi(2 * x),
    "tan": mpmath.tan,
    "tanh": mpmath.tanh,
}
UNITS64 = {"exp": 1, "expm1": 3, "log": 1, "log1p": 1, "tan": 5, "tanh": 3}
"""Greatest error in float64, in units in the last place; 2 for the others."""
LOWEST = {"log": 0.0, "log1p": -1.0, "rsqrt": 0.0}
"""Where the domain begins, for functions that have not all numbers in it."""
INF, NAN = float("inf"), float("nan")
SPECIAL = {
    # at: -inf, -0.0, 0.0, inf
    "atan": (-1.5707963267948966, -0.0, 0.0, 1.5707963267948966),
    "cos": (NAN, 1.0, 1.0, NAN),
    "cos_turns": (NAN, 1.0, 1.0, NAN),
    "erf": (-1.0, -0.0, 0.0, 1.0),
    "exp": (0.0, 1.0, 1.0, INF),
    "expm1": (-1.0, -0.0, 0.0, INF),
    "log": (NAN, -INF, -INF, INF),
    "log1p": (NAN, -0.0, 0.0, INF),
    "rsqrt": (NAN, -INF, INF, 0.0),
    "sigmoid": (0.0, 0.5, 0.5, 1.0),
    "sin": (NAN, -0.0, 0.0, NAN),
    "sin_turns": (NAN, -0.0, 0.0, NAN),
    "tan": (NAN, -0.0, 0.0, NAN),
    "tanh": (-1.0, -0.0, 0.0, 1.0),
}


def units(got: np.ndarray, x: np.ndarray, oracle: Callable[[Any], Any]) -> np.ndarray:
    """Errors in units in the last place; an infinite result is right where the format overflows."""
    limits = np.finfo(got.dtype)
    beyond = mpmath.mpf(float(limits.max)) * (1 + mpmath.mpf(float(limits.epsneg)) / 2)
    errors = []
    for value, argument in zip(got, x, strict=True):
        exact = oracle(mpmath.mpf(float(argument)))
        if np.isinf(value):
            errors.append(0.0 if abs(exact) >= beyond and (exact > 0) == (value > 0) else INF)
            continue
        unit = float(np.spacing(max(abs(value), limits.tiny)))
        errors.append(float(abs(mpmath.mpf(float(value)) - exact) / unit))
    return np.array(errors)


def domain(name: str, x: np.ndarray) -> np.ndarray:
    """The finite numbers among these at which the function has a finite value."""
    finite = x[np.isfinite(x)]
    inside: np.ndarray = finite[finite > LOWEST[name]] if name in LOWEST else finite
    return inside


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_float32_on_a_grid_of_all_bit_patterns(name: str) -> None:
    """Below 1 unit in the last place, from subnormal arguments to the largest."""
    grid = np.arange(0, 2**32, 2**32 // 1500 | 1, dtype=np.uint64).astype(np.uint32)
    near = np.random.default_rng(0).uniform(-110, 110, 500).astype(np.float32)
    x = domain(name, np.concatenate([grid.view(np.float32), near, near / 64]))
    got = getattr(elementary, name)(x)
    assert got.dtype == np.float32
    with mpmath.workprec(260):
        errors = units(got, x, ORACLES[name])
    assert errors.max() < 0.5001, x[errors.argmax()]


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_float64(name: str) -> None:
    """A few units in the last place, near 0, near 1 and at any exponent."""
    rng = np.random.default_rng(1)
    sizes = np.exp(rng.uniform(-700, 700, 200))
    near = [rng.uniform(-0.9, 0.9, 200), rng.uniform(0.3, 3, 200), rng.uniform(-40, 700, 200)]
    x = domain(name, np.concatenate([*near, sizes, -sizes, [5e-324, -5e-324]]))
    got = getattr(elementary, name)(x)
    with mpmath.workprec(1200):
        errors = units(got, x, ORACLES[name])
    assert errors.max() < UNITS64.get(name, 2), x[errors.argmax()]


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_sines_near_multiples_of_a_quarter_turn(name: str) -> None:
    """The reduction keeps enough bits where almost all of them cancel."""
    multiples = np.random.default_rng(2).integers(1, 2**22, 300)
    with mpmath.workprec(1200):
        near = np.array([float(mpmath.pi * int(k) / 2) for k in multiples])
        # The float64 closest to a multiple of π/2 (Kahan and McDonald).
        x = np.concatenate([near, np.nextafter(near, 0), [6381956970095103.0 * 2.0**797]])
        assert units(getattr(elementary, name)(x), x, ORACLES[name]).max() < UNITS64.get(name, 2)
        x32 = near.astype(np.float32)
        assert units(getattr(elementary, name)(x32), x32, ORACLES[name]).max() < 0.5001


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_special_values(name: str, dtype: type[Any]) -> None:
    """Infinities, signed zeros and NaN."""
    got = getattr(elementary, name)(np.array([-INF, -0.0, 0.0, INF, NAN], dtype))
    want = np.array([*SPECIAL[name], NAN], dtype)
    np.testing.assert_array_equal(got, want)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(want)[numbers])


def test_negative_arguments_of_logarithms() -> None:
    """Outside the domain the result is NaN; on its edge it is -inf."""
    assert np.isnan(elementary.log(-5e-324))
    assert np.isnan(elementary.log1p(np.float32(-1.0000001)))
    assert elementary.log1p(-1.0) == -INF


def test_turns_hit_the_axes_exactly() -> None:
    """Quarters of a turn give 0 and 1 without error, at any size."""
    quarters = np.array([0.25, 0.5, 0.75, 1.0, 2.0**51 + 0.25, 2.0**51 + 0.5, 2.0**60])
    np.testing.assert_array_equal(elementary.sin_turns(quarters), [1, 0, -1, 0, 0, 0, 0])
    np.testing.assert_array_equal(elementary.cos_turns(quarters), [0, -1, 0, 1, 1, -1, 1])


EXPONENTS = (-1000.25, -30.0, -2.0, -1.5, -1.0, -1e-3, 0.1, 1 / 3, 0.5, 1.0, 2.0, 2.7, 17.0, 500.0)


def raised(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Errors of ``x**y`` in units in the last place, where it is a number."""
    got = elementary.power(x, y)
    assert got.dtype == x.dtype
    pairs = dict(zip(range(x.size), zip(x, y, strict=True), strict=True))
    with mpmath.workprec(260):
        return units(
            got,
            np.arange(x.size),
            lambda i: mpmath.power(*(mpmath.mpf(float(v)) for v in pairs[int(i)])),
        )


@pytest.mark.parametrize("y", EXPONENTS)
def test_power_float32_on_a_grid_of_all_bit_patterns(y: float) -> None:
    """Half a unit in the last place, from subnormal bases to the largest; negative ones, too."""
    grid = np.arange(0, 2**32, 2**32 // 600 | 1, dtype=np.uint64).astype(np.uint32)
    near = np.random.default_rng(0).uniform(-1, 1, 300) * min(80, 1 / abs(y))
    near = np.exp(near).astype(np.float32)
    x = np.concatenate([grid.view(np.float32), near])
    x = x[np.isfinite(x) & (x != 0)]
    x = x if float(np.float32(y)).is_integer() else np.abs(x)
    errors = raised(x, np.full_like(x, y))
    assert errors.max() < 0.5001, x[errors.argmax()]


def test_power_float64() -> None:
    """Below 1 unit in the last place also where y ln x is large, and 1.5 among subnormals."""
    rng = np.random.default_rng(1)
    wide = np.exp(rng.uniform(-700, 700, 400))
    near = 1 + rng.uniform(-1, 1, 400) * 2.0 ** -rng.integers(1, 45, 400)
    tiny = rng.uniform(1e-320, 1e-308, 100)
    x = np.concatenate([wide, near, tiny, rng.uniform(0.4, 3, 400)])
    y = rng.uniform(-1, 1, x.size) * 708 / np.abs(np.log(x))
    errors = raised(x, y)
    assert errors.max() < 0.8, (x[errors.argmax()], y[errors.argmax()])
    x = np.exp(rng.uniform(-700, 700, 300))
    errors = raised(x, -rng.uniform(709, 745, 300) / np.log(x))
    assert errors.max() < 1.5, x[errors.argmax()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_power_special_values(dtype: type[Any]) -> None:
    """The special cases of IEEE-754, and whole exponents of negative bases."""
    limits = np.finfo(dtype)
    values = np.array([0, 0.5, 1, 2, 3, 2.75, 2.0**24 + 1, 2.0**53 - 1, 2.0**60, limits.max,
                       limits.tiny, limits.smallest_subnormal, INF, NAN], dtype)  # fmt: skip
    values = np.concatenate([values, -values])
    with np.errstate(all="ignore"):
        want = np.power(values[:, None].astype(float), values.astype(float)).astype(dtype)
    got = elementary.power(values[:, None], values)
    np.testing.assert_allclose(got, want, rtol=1e-6 if dtype is np.float32 else 1e-15)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(want)[numbers])


def test_whole_powers_are_exact() -> None:
    """Where the result is a float64, it is that."""
    for base, most in ((2.0, 1023), (-2.0, 1023), (3.0, 33), (10.0, 22)):
        y = np.arange(most + 1, dtype=np.float64)
        want = [float(int(base) ** int(k)) for k in y]
        np.testing.assert_array_equal(elementary.power(base, y), want)


def test_kinds_in_and_out() -> None:
    """Arrays keep dtype and shape, Python numbers give Python floats, other dtypes are refused."""
    assert elementary.exp(np.zeros((2, 3), np.float32)).dtype == np.float32
    assert elementary.exp(np.zeros((2, 3))).shape == (2, 3)
    assert type(elementary.exp(np.float32(0))) is np.float32
    assert type(elementary.exp(np.float64(0))) is np.float64
    assert type(elementary.exp(0.0)) is float
    assert type(elementary.exp(0)) is float
    assert elementary.power(np.array([2, 3], np.float32), 2.0).dtype == np.float32
    with pytest.raises(DTypeError, match="exp takes float32 or float64; got int64"):
        elementary.exp(np.arange(3))


def polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """The exact value of a polynomial with these coefficients, in increasing powers."""
    return mpmath.fsum(mpmath.mpf(c) * x**power for power, c in enumerate(coefficients))


def worst(error: Callable[[Any], Any], low: Any, high: Any) -> float:
    """The greatest error on 200 points of an interval, without its lower end."""
    points = (low + (high - low) * mpmath.mpf(k) / 200 for k in range(1, 201))
    return max(float(abs(error(point))) for point in points)


def test_coefficients_hold_their_errors() -> None:
    """Each polynomial, evaluated exactly, is as near to its function as its comment says."""
    e = elementary

    def expm1(r: Any) -> Any:
        return r + r**2 * polynomial(e.EXP, r)

    def log_ratio(s: Any) -> Any:
        return 2 * s + s**3 * polynomial(e.LOG, s**2)

    def log_parts(s: Any) -> Any:
        return s * (3 + s**2 + s**4 * polynomial(e.LOG_PARTS, s**2)) * 2 / 3

    def sine(r: Any) -> Any:
        return r + r**3 * polynomial(trigonometric.SIN, r**2)

    def cosine(r: Any) -> Any:
        return 1 - r**2 / 2 + r**4 * polynomial(trigonometric.COS, r**2)

    with mpmath.workprec(200):
        half, quarter = mpmath.log(2) / 2, mpmath.pi / 4
        end = (mpmath.sqrt(2) - 1) / (mpmath.sqrt(2) + 1)
        assert worst(lambda r: expm1(r) / mpmath.expm1(r) - 1, -half, half * 0.999) < 8.2e-17
        assert worst(lambda r: (1 + expm1(r)) / mpmath.exp(r) - 1, -half, half) < 3.5e-17
        assert worst(lambda s: log_parts(s) / (2 * mpmath.atanh(s)) - 1, 0, end) < 6.5e-21
        assert worst(lambda s: log_ratio(s) - 2 * mpmath.atanh(s), 0, end) < 9.6e-18 * end
        assert worst(lambda x: x * polynomial(e.ERF, x**2) - mpmath.erf(x), 0, 1) < 3.9e-17
        assert (
            worst(lambda u: mpmath.exp(-polynomial(e.ERFC, u)) - mpmath.erfc(1 + u), 0, 5) < 4e-17
        )
        assert worst(lambda r: sine(r) / mpmath.sin(r) - 1, 0, quarter) < 2.1e-17
        assert worst(lambda r: cosine(r) - mpmath.cos(r), 0, quarter) < 9e-19


def test_constants() -> None:
    """The parts of ln 2 and π/2 add up, and the digits of 2/π are right."""
    with mpmath.workprec(200):
        parts = mpmath.fsum(mpmath.mpf(part) for part in trigonometric.HALF_PI_PARTS)
        assert abs(parts - mpmath.pi / 2) < 2.0**-121
        ln2 = mpmath.mpf(elementary.LN2_HIGH) + mpmath.mpf(elementary.LN2_LOW)
        assert abs(ln2 - mpmath.log(2)) < 2.0**-85
        thirds = mpmath.mpf(elementary.TWO_THIRDS_HIGH) + mpmath.mpf(elementary.TWO_THIRDS_LOW)
        assert abs(thirds - mpmath.mpf(2) / 3) < 2.0**-78
    with mpmath.workprec(1400):
        digits = int(mpmath.floor(mpmath.ldexp(2 / mpmath.pi, 1216)))
    assert int(trigonometric.TWO_OVER_PI, 16) == digits


def raised_to(exponent: float) -> Callable[[np.ndarray], np.ndarray]:
    """NumPy's power of one exponent."""
    return lambda x: np.power(x, np.full_like(x, np.float32(exponent)))


FAST_ORACLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "atan": np.arctan,
    "cos": np.cos,
    "cos_turns": lambda x: np.cos(2 * np.pi * (x - np.rint(x))),
    "erf": special.erf,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": special.expit,
    "sin": np.sin,
    "sin_turns": lambda x: np.sin(2 * np.pi * (x - np.rint(x))),
    "tan": np.tan,
    "tanh": np.tanh,
    # An array of exponents: for a single 0.5 NumPy takes the square root, which is NaN at -inf.
    **{f"power {y}": raised_to(y) for y in (0.5, -1.5, 2.7)},
}  # fmt: skip


def compute(name: str, x: np.ndarray) -> np.ndarray:
    """The function of that name, or the power of that exponent."""
    name, _, exponent = name.partition(" ")
    arguments = (x, np.full_like(x, exponent)) if exponent else (x,)
    result: np.ndarray = getattr(elementary, name)(*arguments)
    return result


def check_blocks(name: str, step: int) -> None:
    """Compare at every `step`-th float32 with the oracle in float64."""
    size = 2**13  # small enough for intermediate arrays to stay in the first caches
    for start in range(0, 2**32, size * step):
        bits = np.arange(start, min(start + size * step, 2**32), step, dtype=np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        got = compute(name, x)
        with np.errstate(all="ignore"):
            exact = FAST_ORACLES[name](x.astype(np.float64))
            want = exact.astype(np.float32)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        if same.all():
            continue
        # The oracle rounds too: where float32 numbers differ, both must be near the midpoint.
        left, value = got[~same].astype(np.float64), exact[~same]
        unit = np.spacing(np.maximum(np.abs(want[~same]), np.finfo(np.float32).tiny))
        axis = (np.abs(value) < 1e-15) & (np.abs(left) < 1e-15) & name.endswith("turns")
        errors = np.where(axis, 0, np.abs(left - value) / unit)
        assert errors.max() < 0.5001, (x[~same][errors.argmax()], errors.max())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAST_ORACLES))
def test_sampled_float32(name: str) -> None:
    """Every 8191st float32, NaN and infinities included."""
    check_blocks(name, 8191)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(FAST_ORACLES))
def test_every_float32(name: str) -> None:
    """All 2**32 arguments."""
    check_blocks(name, 1)
