"""The language of the emitters: loops, shares of work, vectors and the exact FMA."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import llvmlite.ir as ir
import numpy as np
import pytest
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import same_bits, targets
from tests.run.graphs import specials

from isoconv.arithmetic.fma import fma
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import I64, Kernel
from isoconv.compile.native.specification import Specification
from isoconv.compile.target import Target
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array


@dataclass(frozen=True)
class Spec(Specification):
    """A kernel made of a function, for one test."""

    body: Callable[..., None]
    buffers: int
    values: tuple[Any, ...] = ()


@emits(Spec)
def emit_body(k: Kernel, spec: Spec) -> None:
    """Emit the body."""
    spec.body(k, *spec.values)


def _count(k: Kernel, start: int, stop: int, step: int, dynamic: bool) -> None:
    """Writes the turns of a loop one after the other."""
    counter = k.variable(k.const(0))
    low, high = (k.add(k.field("first"), v) if dynamic else v for v in (start, stop))
    with k.loop(low, high, step) as i:
        k.store(i, k.at(k.buffers[0], counter.get(), "int64"))
        counter.set(k.add(counter.get(), 1))
    k.store(counter.get(), k.at(k.buffers[1], 0, "int64"))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("start", "stop", "step"), [(0, 5, 1), (2, 3, 1), (3, 12, 4), (0, 8, 4), (4, 4, 1), (5, 2, 3)]
)
def test_loops(start: int, stop: int, step: int, dynamic: bool) -> None:
    """The turns of Python's range, whether bounds are known or not."""
    turns, count = np.zeros(16, np.int64), np.zeros(1, np.int64)
    run_kernel(Spec(_count, 2, (start, stop, step, dynamic)), [turns, count])
    assert list(turns[: count[0]]) == list(range(start, stop, step))


def _share(k: Kernel, grain: int) -> None:
    begin, end = k.share(k.field("images"), grain)
    for place, value in enumerate((begin, end)):
        where = k.builder.add(k.builder.mul(k.field("part"), k.const(2)), k.const(place))
        k.store(value, k.at(k.buffers[0], where, "int64"))


@pytest.mark.parametrize("grain", [1, 3, 256])
@pytest.mark.parametrize("total", [0, 1, 2, 5, 255, 256, 257, 1000])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_shares(total: int, parts: int, grain: int) -> None:
    """The shares of all parts cover the work once, cut at whole grains."""
    found = np.full((parts, 2), -1, np.int64)
    run_kernel(Spec(_share, 1, (grain,)), [found], images=total, parts=parts)
    assert found[0, 0] == 0
    assert found[-1, 1] == total
    np.testing.assert_array_equal(found[1:, 0], found[:-1, 1])
    assert all(cut % grain == 0 or cut == total for cut in found[:, 0])
    sizes = np.diff(found, axis=1)
    assert sizes.max() - sizes.min() < 2 * grain


def _integers(k: Kernel) -> None:
    x = k.field("first")
    values = [
        k.minimum(x, k.const(3)), k.maximum(x, k.const(3)), k.mul(x, -4), k.add(x, 5, x, -2),
        k.add(2, 3), k.add(k.mul(x, 0), x, k.mul(7, 6)),
    ]  # fmt: skip
    chosen = k.variable(k.const(10))
    with k.when(k.builder.icmp_signed("<", x, k.const(0))):
        chosen.set(k.const(20))
    for place, value in enumerate([*values, chosen.get()]):
        k.store(value, k.at(k.buffers[0], place, "int64"))


@pytest.mark.parametrize("x", [-6, 3, 9])
def test_integers(x: int) -> None:
    """Sums, products and choices of 64-bit integers."""
    found = np.zeros(7, np.int64)
    run_kernel(Spec(_integers, 1), [found], first=x)
    assert list(found) == [min(x, 3), max(x, 3), -4 * x, 2 * x + 3, 5, x + 42, 20 if x < 0 else 10]


def _vectors(k: Kernel, dtype: DType, lanes: int) -> None:
    x = k.load_vector(k.buffers[0], dtype, lanes)
    k.store(k.narrow(x, lanes - 1), k.at(k.buffers[1], 0, dtype))
    k.store(k.narrow(x, lanes), k.at(k.buffers[1], lanes, dtype))
    one = k.load_scalar(k.at(k.buffers[0], 2, dtype), dtype)
    k.store(k.splat(one, lanes), k.at(k.buffers[1], 2 * lanes, dtype))
    k.store(k.splat_const(0.5, dtype, lanes), k.at(k.buffers[1], 3 * lanes, dtype))
    room = k.stack(dtype, lanes)
    k.store(x, room)
    back = k.load_vector(k.at(room, 1, dtype), dtype, lanes - 1)
    k.store(back, k.at(k.buffers[1], 4 * lanes, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lanes", [2, 5, 16])
def test_vectors(dtype: DType, lanes: int) -> None:
    """Loads, stores, first lanes, repeated scalars, and room on the stack."""
    x = np.arange(1, lanes + 1, dtype=dtype) if lanes > 2 else np.array([1, 2], dtype)
    x = np.concatenate([x, np.array([9], dtype)])
    found = np.zeros(5 * lanes, dtype)
    run_kernel(Spec(_vectors, 2, (dtype, lanes)), [x, found])
    expected = [*x[: lanes - 1], 0, *x[:lanes], *[x[2]] * lanes, *[0.5] * lanes, *x[1:lanes], 0]
    np.testing.assert_array_equal(found, np.array(expected, dtype))


def _fma(k: Kernel, dtype: DType, lanes: int) -> None:
    with k.loop(0, k.field("images"), lanes) as i:
        x, y, z = (k.load_vector(k.at(b, i, dtype), dtype, lanes) for b in k.buffers[:3])
        k.store(k.fma(x, y, z), k.at(k.buffers[3], i, dtype))


def triples(dtype: DType) -> Array:
    """Factors and terms of which rounding once and rounding twice differ, and special values."""
    values = np.concatenate([specials(dtype), np.array([np.inf, -np.inf, np.nan], dtype)])[::2]
    all_three = np.array(list(product(values, repeat=3)), dtype)
    draw = np.random.default_rng(0)
    spread = draw.standard_normal((4000, 3)) * 2.0 ** draw.integers(-30, 30, (4000, 3))
    x, y, z = spread.astype(dtype).T
    # The term nearly cancels the product, or lies half a unit beside it.
    near = np.stack([x, y, (-(x * y)).astype(dtype)], axis=1)
    bits = 24 if dtype == "float32" else 53
    tie = np.stack([x, np.ones_like(x), (x * dtype_power(dtype, -bits)).astype(dtype)], axis=1)
    return np.concatenate([all_three, np.stack([x, y, z], axis=1), near, tie])


def dtype_power(dtype: DType, exponent: int) -> Any:
    """A power of two in a dtype."""
    return np.dtype(dtype).type(2.0**exponent)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", targets())
def test_fma_is_rounded_once(target: Target, dtype: DType) -> None:
    """With an instruction and without one: the result of exact arithmetic, rounded once."""
    lanes = 4
    x, y, z = triples(dtype).T
    size = len(x) // lanes * lanes
    arrays = [aligned(v[:size]) for v in (x, y, z)]
    found = np.zeros(size, dtype)
    run_kernel(Spec(_fma, 4, (dtype, lanes)), [*arrays, found], images=size, target=target)
    with np.errstate(all="ignore"):
        same_bits(found, fma(*arrays))


def test_rounding_twice_would_show() -> None:
    """The triples hold cases in which a product in float64 and two roundings go wrong."""
    x, y, z = triples("float32").T
    with np.errstate(all="ignore"):
        once = fma(x, y, z)
        twice = (x.astype(np.float64) * y + z).astype(np.float32)
        apart = x * y + z
    assert (once != twice).sum() > 3
    assert (once != apart).sum() > 100


def test_emulation_is_chosen_by_the_target_alone() -> None:
    """A target without the instruction emits float64 arithmetic instead of a call."""
    vector = ir.VectorType(ir.FloatType(), 4)
    for target in targets():
        k = Kernel("probe", target, 1)
        x = ir.Constant(vector, [1.5] * 4)
        k.store(k.fma(x, x, x), k.buffers[0])
        text = str(k.build())
        assert ("llvm.fma.v4f32" in text) == target.fma
        assert ("fadd <4 x double>" in text) != target.fma
    without = dataclasses.replace(targets()[0], fma=False)
    k = Kernel("probe", without, 1)
    k.fma(*[ir.Constant(vector, [1.5] * 4)] * 3)
    assert "llvm.fma" not in str(k.build())


def test_a_kernel_is_one_function() -> None:
    """The module holds one function of two pointers under the kernel's name."""
    k = Kernel("name_of_it", targets()[0], 2)
    k.store(ir.Constant(I64, 3), k.buffers[1])
    module = k.build()
    (function,) = [f for f in module.functions if not f.is_declaration]
    assert function.name == "name_of_it"
    assert len(function.args) == 2
