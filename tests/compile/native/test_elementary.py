"""Machine code of the elementary functions and Philox against their definitions in NumPy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from isoconv.arithmetic import elementary
from isoconv.arithmetic.philox import philox4x32
from isoconv.compile.native.elementary import FUNCTIONS, emit, emit_power, philox_words
from isoconv.errors import CompileError

I64 = ir.IntType(64)
TYPES: dict[type[Any], Any] = {
    np.float32: ir.FloatType(),
    np.float64: ir.DoubleType(),
    np.uint32: ir.IntType(32),
}
BITS: dict[type[Any], type[Any]] = {np.float32: np.uint32, np.float64: np.uint64}
# Lanes 0 stands for scalars.
LANES = (0, 1, 5, 8, 16)

Body = Callable[[ir.IRBuilder, list[ir.Value]], tuple[ir.Value, ...]]


def lanes_of(element: ir.Type, lanes: int) -> ir.Type:
    """A vector type, or the scalar type for lanes 0."""
    return ir.VectorType(element, lanes) if lanes else element


def add_loop(
    module: ir.Module, name: str, element: ir.Type, lanes: int, inputs: int, body: Body
) -> None:
    """``void name(pointers to inputs, pointer to outputs, i64 vectors)``: body of each vector."""
    count = ir.Constant(I64, max(lanes, 1))
    vector = lanes_of(element, lanes)
    pointers = [element.as_pointer()] * (inputs + 1)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*pointers, I64]), name)
    entry, head, done = (function.append_basic_block() for _ in range(3))
    b = ir.IRBuilder(entry)
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(I64)
    i.add_incoming(ir.Constant(I64, 0), entry)
    align = 8 if element == ir.DoubleType() else 4

    def at(pointer: ir.Value, place: ir.Value) -> ir.Value:
        # In memory a vector of 5 takes the room of 8, so places are counted in elements.
        return b.bitcast(b.gep(pointer, [b.mul(place, count)]), vector.as_pointer())

    values = [b.load(at(pointer, i), align=align) for pointer in function.args[:inputs]]
    results = body(b, values)
    for number, result in enumerate(results):
        place = b.add(b.mul(i, ir.Constant(I64, len(results))), ir.Constant(I64, number))
        b.store(result, at(function.args[inputs], place), align=align)
    following = b.add(i, ir.Constant(I64, 1))
    i.add_incoming(following, head)
    b.cbranch(b.icmp_signed("<", following, function.args[inputs + 1]), head, done)
    b.position_at_end(done)
    b.ret_void()


@contextmanager
def compiled(module: ir.Module, features: str | None = None) -> Iterator[Callable[[str], int]]:
    """The module as machine code for this machine; gives addresses of functions."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    found = llvm.get_host_cpu_features().flatten() if features is None else features
    cpu = llvm.get_host_cpu_name() if features is None else ""
    machine = target.create_target_machine(cpu=cpu, features=found, opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    yield engine.get_function_address


def call(address: int, inputs: list[np.ndarray], output: np.ndarray, vectors: int) -> None:
    """Call a function made by add_loop."""
    kinds = [ctypes.c_void_p] * (len(inputs) + 1)
    function = ctypes.CFUNCTYPE(None, *kinds, ctypes.c_int64)(address)
    function(*(array.ctypes.data for array in inputs), output.ctypes.data, vectors)


def arguments(dtype: type[Any]) -> np.ndarray:
    """Any bit patterns, moderate numbers and special values; 2400 in all: whole vectors."""
    bits = BITS[dtype]
    rng = np.random.default_rng(1)
    patterns = rng.integers(0, np.iinfo(bits).max, 1000, bits, endpoint=True).view(dtype)
    special = [0.0, 1.0, 2.0, 0.5, 22.0, 6.0, 40.0, 710.0, 746.0, np.inf, np.nan, 1e-40, 5e-324]
    signed = np.array([*special, *(-np.array(special))], dtype)
    near = rng.normal(size=1374 - 400).astype(dtype)
    wide = rng.uniform(-120, 120, 400).astype(dtype)
    return np.concatenate([patterns, signed, near, wide])


def assert_same(name: str, x: np.ndarray, got: np.ndarray) -> None:
    """Every bit as in the definition; NaN has no bits of its own here."""
    want = getattr(elementary, name)(x)
    bits = BITS[x.dtype.type]
    same = (got.view(bits) == want.view(bits)) | (np.isnan(got) & np.isnan(want))
    assert same.all(), (name, x[~same], got[~same], want[~same])


def body_of(name: str) -> Body:
    """The body that is one function."""
    return lambda b, v: (emit(name, b, v[0]),)


def functions_module(dtype: type[Any], lanes: int) -> ir.Module:
    """One loop for each function."""
    module = ir.Module()
    module.triple = llvm.get_default_triple()
    for name in FUNCTIONS:
        add_loop(module, name, TYPES[dtype], lanes, 1, body_of(name))
    add_loop(module, "power", TYPES[dtype], lanes, 2, lambda b, v: (emit_power(b, *v),))
    return module


def bases_and_exponents(dtype: type[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Any bits with any others, moderate pairs, whole and half exponents; whole vectors."""
    x = arguments(dtype)
    rng = np.random.default_rng(4)
    moderate = rng.uniform(-30, 30, x.size).astype(dtype)
    near = (rng.integers(-9, 10, x.size) / 2).astype(dtype)
    tail = x[2000:]
    signed = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 2.0**60, 1e-40, np.inf, np.nan], dtype)
    signed = np.concatenate([signed, -signed])
    grid = [side.ravel()[:320] for side in np.meshgrid(signed, signed)]
    base = [x, x, x, np.abs(tail), grid[0]]
    exponent = [rng.permutation(x), moderate, near, moderate[2000:], grid[1]]
    return np.concatenate(base), np.concatenate(exponent)


def check_power(address: Callable[[str], int], dtype: type[Any], lanes: int) -> None:
    """Compiled powers against the definition, in every bit."""
    x, y = bases_and_exponents(dtype)
    got = np.empty_like(x)
    call(address("power"), [x, y], got, x.size // max(lanes, 1))
    want, bits = elementary.power(x, y), BITS[dtype]
    same = (got.view(bits) == want.view(bits)) | (np.isnan(got) & np.isnan(want))
    assert same.all(), (x[~same], y[~same], got[~same], want[~same])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lanes", LANES)
def test_bits_of_every_function(lanes: int, dtype: type[Any]) -> None:
    """The compiled sequence and the NumPy definition agree in every bit."""
    x = arguments(dtype)
    with compiled(functions_module(dtype, lanes)) as address, np.errstate(all="ignore"):
        for name in FUNCTIONS:
            got = np.empty_like(x)
            call(address(name), [x], got, x.size // max(lanes, 1))
            assert_same(name, x, got)
        check_power(address, dtype, lanes)


@pytest.mark.skipif(
    not llvm.get_default_triple().startswith("x86_64"), reason="features are those of x86-64"
)
@pytest.mark.parametrize("features", ["+sse2", "+avx2,+fma"])
def test_bits_on_other_processors(features: str) -> None:
    """Without wide vectors, and with a fused multiply-add that must not be used."""
    host = llvm.get_host_cpu_features()
    if any(not host.get(feature.lstrip("+")) for feature in features.split(",")):
        pytest.skip(f"this machine lacks {features}")
    x = arguments(np.float32)
    with compiled(functions_module(np.float32, 8), features) as address, np.errstate(all="ignore"):
        for name in FUNCTIONS:
            got = np.empty_like(x)
            call(address(name), [x], got, x.size // 8)
            assert_same(name, x, got)
        check_power(address, np.float32, 8)


def test_only_primitive_operations() -> None:
    """No fast-math flags in what is emitted, and no calls but of the reduction that is in it."""
    text = str(functions_module(np.float32, 8))
    called = {line.partition("@")[2].partition("(")[0] for line in text.splitlines()
              if " call " in line}  # fmt: skip
    assert called == {'"isoconv.quarters"'}
    assert 'define internal {double, i64} @"isoconv.quarters"(' in text
    for word in ("fast", "contract", "reassoc", "nnan", "fma"):
        assert word not in text


@pytest.mark.parametrize("lanes", LANES)
def test_philox_words(lanes: int) -> None:
    """The compiled generator gives the words of the definition."""
    count = max(lanes, 1)
    vectors = 80 // count
    rng = np.random.default_rng(2)
    inputs = [rng.integers(0, 2**32, vectors * count, np.uint64).astype(np.uint32)
              for _ in range(6)]  # fmt: skip
    module = ir.Module()
    module.triple = llvm.get_default_triple()
    add_loop(module, "words", TYPES[np.uint32], lanes, 6, lambda b, v: philox_words(b, *v))
    got = np.empty((vectors, 4, count), np.uint32)
    with compiled(module) as address:
        call(address("words"), inputs, got, vectors)
    want = philox4x32(np.stack(inputs[:4], -1), np.stack(inputs[4:], -1))
    np.testing.assert_array_equal(got.swapaxes(1, 2).reshape(-1, 4), want)


def test_philox_spreads_scalars() -> None:
    """A scalar word beside vectors serves every lane."""
    i32 = TYPES[np.uint32]
    module = ir.Module()
    module.triple = llvm.get_default_triple()

    def body(b: ir.IRBuilder, v: list[ir.Value]) -> tuple[ir.Value, ...]:
        zero, seven = ir.Constant(i32, 0), ir.Constant(i32, 7)
        return philox_words(b, v[0], zero, zero, seven, seven, zero)

    add_loop(module, "words", i32, 8, 1, body)
    got = np.empty((4, 8), np.uint32)
    index = np.arange(8, dtype=np.uint32)
    with compiled(module) as address:
        call(address("words"), [index], got, 1)
    want = [philox4x32([i, 0, 0, 7], [7, 0]) for i in range(8)]
    np.testing.assert_array_equal(got.T, want)


def scratch(element: ir.Type) -> tuple[ir.IRBuilder, ir.Value]:
    """A builder in an empty function and its one argument."""
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), [element]), "f")
    return ir.IRBuilder(function.append_basic_block()), function.args[0]


def test_refusals() -> None:
    """Unknown names and wrong types are refused by name and value."""
    b, x = scratch(ir.FloatType())
    with pytest.raises(CompileError, match=r"name must be one of atan, cos, .*; got 'gamma'"):
        emit("gamma", b, x)
    with pytest.raises(CompileError, match=r"philox_words takes i32 .* got float"):
        philox_words(b, x, x, x, x, x, x)
    b, x = scratch(I64)
    with pytest.raises(CompileError, match="exp takes float or double, scalar or vector; got i64"):
        emit("exp", b, x)
    with pytest.raises(CompileError, match=r"power takes two of one type, .* got i64 and i64"):
        emit_power(b, x, x)
