"""The language the emitters write kernels in: loops as `with` blocks, vectors, exact FMA.

What a kernel is called with is said in ``context``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import llvmlite.ir as ir

from isoconv.compile.native.context import CONTEXT
from isoconv.compile.native.writer import Value, Writer
from isoconv.compile.target import Target

__all__ = [
    "F32",
    "F64",
    "I1",
    "I8",
    "I32",
    "I64",
    "POINTER",
    "Kernel",
    "Value",
    "Variable",
]

F32, F64 = ir.FloatType(), ir.DoubleType()
I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = ir.PointerType()

_CONSTANTS = 2**14  # that are remembered, of those that kernels are full of

_SCALARS = {"float32": F32, "float64": F64, "int32": I32, "int64": I64, "uint8": I8}


class _Written(ir.Constant):  # type: ignore[misc]
    """A constant by its text in LLVM's language, which has short forms for equal lanes."""

    def __init__(self, kind: ir.Type, text: str) -> None:
        self.type, self.constant = kind, text

    def _get_reference(self) -> str:
        text: str = self.constant
        return text


# Constants are made once, and their text with them: a kernel names few of them thousands of times.


@functools.lru_cache(maxsize=_CONSTANTS)
def _integer(value: int, bits: int = 64) -> Value:
    return ir.Constant(ir.IntType(bits), value)


@functools.cache
def _vector(element: ir.Type, lanes: int) -> ir.Type:
    return ir.VectorType(element, lanes)


@functools.cache
def _undefined(kind: ir.Type) -> Value:
    return ir.Constant(kind, ir.Undefined)


@functools.cache
def _first_lane(lanes: int) -> Value:
    return _Written(_vector(I32, lanes), "zeroinitializer")


@functools.lru_cache(maxsize=_CONSTANTS)
def _equal_lanes(text: str, dtype: str, lanes: int) -> Value:
    element = _SCALARS[dtype]
    return _Written(_vector(element, lanes), f"splat ({element} {text})")


class Variable:
    """A mutable value; LLVM turns it into a register."""

    def __init__(self, kernel: Kernel, value: Value) -> None:
        self._kernel = kernel
        self._type = value.type
        self._block: ir.Block | None = None
        self._value: Value = None
        with kernel.builder.goto_block(kernel.entry):
            self._place = kernel.builder.alloca(value.type)
        self.set(value)

    def get(self) -> Value:
        """The present value."""
        # A block runs from its start to its end: what it stored or loaded itself is known.
        if self._block is not self._kernel.builder.block:
            self._block = self._kernel.builder.block
            self._value = self._kernel.builder.load(self._place, typ=self._type)
        return self._value

    def set(self, value: Value) -> None:
        """Replace the value."""
        self._block, self._value = self._kernel.builder.block, value
        self._kernel.builder.store(value, self._place)


class Kernel:
    """Emits one native function.

    Args:
        name: symbol of the function.
        target: the machine it is for.
        buffers: how many pointers ``args`` holds.
    """

    def __init__(self, name: str, target: Target, buffers: int) -> None:
        self.name = name
        self.target = target
        self.module = ir.Module(name=name)
        self.module.triple = target.triple
        kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER])
        self.function = ir.Function(self.module, kind, name)
        self.entry = self.function.append_basic_block("entry")
        body = self.function.append_basic_block("body")
        self.builder = Writer(body)
        args, self.context = self.function.args
        self.buffers = [
            self.builder.load(
                self.builder.gep(args, [self.const(i)], source_etype=POINTER), typ=POINTER
            )
            for i in range(buffers)
        ]
        self._body = body
        invariant = self.module.add_metadata([])
        self._invariant = f", !invariant.load {invariant.get_reference()}"
        self._nontemporal = ""
        self._changing = False

    def build(self) -> ir.Module:
        """Close the function and return its module."""
        if self._nontemporal and self.target.triple.startswith("x86_64"):
            # Non-temporal stores may overtake the barrier's, which other threads wait for.
            self.call("llvm.x86.sse.sfence", ir.VoidType())
        self.builder.ret_void()
        ir.IRBuilder(self.entry).branch(self._body)
        return self.module

    # Integers -----------------------------------------------------------------------------------

    def const(self, value: int) -> Value:
        """A 64-bit integer constant."""
        return _integer(value)

    def field(self, name: str) -> Value:
        """A field of the context."""
        place = self.builder.gep(self.context, [self.const(CONTEXT[name])], source_etype=I64)
        return self.builder.load(place, typ=I64)

    def add(self, *terms: Value | int) -> Value:
        """Sum of integers; constants are folded."""
        fixed = 0
        total: Value = None
        for term in terms:
            if isinstance(term, int):
                fixed += term
            elif isinstance(term, ir.Constant):
                fixed += term.constant
            else:
                total = term if total is None else self.builder.add(total, term, flags=["nsw"])
        if total is None:
            return self.const(fixed)
        return total if fixed == 0 else self.builder.add(total, self.const(fixed), flags=["nsw"])

    def mul(self, value: Value | int, factor: int) -> Value | int:
        """Integer times constant; constants are folded."""
        if isinstance(value, int):
            return value * factor
        if isinstance(value, ir.Constant):
            return self.const(value.constant * factor)
        if factor == 0:
            return 0
        return value if factor == 1 else self.builder.mul(value, self.const(factor), flags=["nsw"])

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller of two integers."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger of two integers."""
        return self.builder.select(self.builder.icmp_signed(">", a, b), a, b)

    def share(self, total: Value, grain: int = 1) -> tuple[Value, Value]:
        """This call's part [begin, end) of `total` units of work, in whole grains."""
        b = self.builder
        grains = b.sdiv(b.add(total, self.const(grain - 1)), self.const(grain))
        part, parts = self.field("part"), self.field("parts")
        begin = b.mul(b.sdiv(b.mul(grains, part), parts), self.const(grain))
        after = b.add(part, self.const(1))
        end = b.mul(b.sdiv(b.mul(grains, after), parts), self.const(grain))
        return self.minimum(begin, total), self.minimum(end, total)

    def share_blocks(self, whole: int, rest: int) -> tuple[Value, Value, Value]:
        """This call's part [begin, end) of whole blocks, and whether the rest behind is its too.

        Args:
            whole: number of blocks.
            rest: size of the smaller block behind them; 0 for none.
        """
        b, last = self.builder, self.const(whole)
        begin, end = self.share(self.const(whole + (rest > 0)))
        mine = b.and_(b.icmp_signed("<=", begin, last), b.icmp_signed(">", end, last))
        return begin, self.minimum(end, last), mine

    # Control ------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: int = 1) -> Iterator[Value]:
        """``for i in range(start, stop, step)``; a known single turn needs no loop."""
        if isinstance(start, int) and isinstance(stop, int) and 0 < stop - start <= step:
            yield self.const(start)
            return
        b = self.builder
        first = self.const(start) if isinstance(start, int) else start
        last = self.const(stop) if isinstance(stop, int) else stop
        before = b.block
        head, done = b.append_basic_block("loop"), b.append_basic_block("done")
        if isinstance(start, int) and isinstance(stop, int) and start < stop:
            b.branch(head)
        else:
            b.cbranch(b.icmp_signed("<", first, last), head, done)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(first, before)
        yield i
        following = b.add(i, self.const(step), flags=["nsw"])
        i.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, last), head, done)
        b.position_at_end(done)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """``if condition:``."""
        with self.builder.if_then(condition):
            yield

    def variable(self, value: Value) -> Variable:
        """A mutable value that starts as `value`."""
        return Variable(self, value)

    def stack(self, dtype: str, size: int) -> Value:
        """Room for `size` elements on the stack, on a cache line."""
        with self.builder.goto_block(self.entry):
            place = self.builder.alloca(ir.ArrayType(_SCALARS[dtype], size))
            place.align = 64
        # llvmlite would let only whole arrays be stored there.
        place.type = POINTER
        return place

    def table(self, values: Sequence[float], dtype: str = "int64") -> Value:
        """Address of numbers that lie beside the code; their dtype holds them as they are."""
        kind = ir.ArrayType(_SCALARS[dtype], len(values))
        name = f"{self.name}.table{len(self.module.globals)}"
        table = ir.GlobalVariable(self.module, kind, name)
        table.linkage, table.global_constant = "private", True
        table.initializer = ir.Constant(kind, list(values))
        # As with the stack: its elements are what is read.
        return table.bitcast(POINTER)

    # Vectors ------------------------------------------------------------------------------------

    def scalar_type(self, dtype: str) -> ir.Type:
        """LLVM's type of one element."""
        return _SCALARS[dtype]

    def vector_type(self, dtype: str, lanes: int) -> ir.Type:
        """LLVM's type of `lanes` elements; one lane is a vector too, so that code is uniform."""
        return _vector(_SCALARS[dtype], lanes)

    def at(self, base: Value, offset: Value | int, dtype: str) -> Value:
        """Address of an element."""
        if isinstance(offset, int):
            if offset == 0:
                return base
            offset = self.const(offset)
        return self.builder.gep(base, [offset], source_etype=_SCALARS[dtype], inbounds=True)

    def opaque(self, address: Value) -> Value:
        """The same address, of which LLVM knows nothing: values loaded through it are not shared.

        Sharing them would keep them in registers that the accumulators need.
        """
        kind = ir.FunctionType(POINTER, [POINTER])
        return self.builder.asm(kind, "", "=r,0", [address], side_effect=False)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Code that reads what the kernel itself has written: no load is taken for invariant."""
        before, self._changing = self._changing, True
        yield
        self._changing = before

    def load_vector(
        self, address: Value, dtype: str, lanes: int, *, aligned: bool = False,
        invariant: bool = False,
    ) -> Value:  # fmt: skip
        """Load `lanes` neighbours."""
        size = _SCALARS[dtype]
        align = lanes * _bytes(size) if aligned else _bytes(size)
        suffix = self._invariant if invariant and not self._changing else ""
        return self.builder.load(address, typ=_vector(size, lanes), align=align, suffix=suffix)

    def load_scalar(self, address: Value, dtype: str, *, invariant: bool = False) -> Value:
        """Load one element."""
        size = _SCALARS[dtype]
        suffix = self._invariant if invariant and not self._changing else ""
        return self.builder.load(address, typ=size, align=_bytes(size), suffix=suffix)

    def store(self, value: Value, address: Value) -> None:
        """Store a scalar or a vector; no alignment beyond the element's is assumed."""
        element = value.type.element if isinstance(value.type, ir.VectorType) else value.type
        self.builder.store(value, address, align=_bytes(element))

    def store_nontemporal(self, value: Value, address: Value) -> None:
        """Store a vector past the caches, at an address that is a multiple of its size."""
        if not self._nontemporal:
            mark = self.module.add_metadata([ir.Constant(I32, 1)])
            self._nontemporal = f", !nontemporal {mark.get_reference()}"
        size = value.type.count * _bytes(value.type.element)
        self.builder.store(value, address, align=size, suffix=self._nontemporal)

    def prefetch(self, address: Value, level: int = 1) -> None:
        """Ask for the cache line at an address that will be needed soon, in the cache's level."""
        # To be read; how close to keep it; data.
        flags = [ir.Constant(I32, flag) for flag in (0, 4 - level, 1)]
        self.call("llvm.prefetch.p0", ir.VoidType(), address, *flags)

    def splat(self, value: Value, lanes: int) -> Value:
        """The same scalar in every lane."""
        undefined = _undefined(_vector(value.type, lanes))
        one = self.builder.insert_element(undefined, value, _integer(0, 32))
        return self.builder.shuffle_vector(one, undefined, _first_lane(lanes))

    def splat_const(self, value: float, dtype: str, lanes: int) -> Value:
        """A constant in every lane."""
        # By its text: -0.0 and 0.0 are equal keys, and NaN is none.
        return _equal_lanes(_SCALARS[dtype].format_constant(value), dtype, lanes)

    def zeros(self, dtype: str, lanes: int) -> Value:
        """Zero of any dtype in every lane."""
        return _Written(_vector(_SCALARS[dtype], lanes), "zeroinitializer")

    def narrow(self, vector: Value, lanes: int) -> Value:
        """The first `lanes` lanes of a vector."""
        if vector.type.count == lanes:
            return vector
        mask = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
        return self.builder.shuffle_vector(vector, _undefined(vector.type), mask)

    def widen(self, vector: Value, lanes: int, filler: float = 0.0) -> Value:
        """The vector with zeros, or another number, in the lanes behind its own."""
        width = vector.type.count
        if width == lanes:
            return vector
        mask = [i if i < width else width for i in range(lanes)]
        behind = ir.Constant(vector.type, [filler] * width)
        kind = ir.VectorType(I32, lanes)
        return self.builder.shuffle_vector(vector, behind, ir.Constant(kind, mask))

    def any(self, lanes: Value) -> Value:
        """Whether a condition holds in any lane."""
        kind = ir.IntType(lanes.type.count)
        return self.builder.icmp_unsigned("!=", self.builder.bitcast(lanes, kind), kind(0))

    def call(self, name: str, result: ir.Type, *values: Value) -> Value:
        """Call an LLVM intrinsic or a function of the process by name."""
        function = self.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [value.type for value in values])
            function = ir.Function(self.module, kind, name)
        if isinstance(result, ir.VoidType):
            return self.builder.call(function, values)
        return self.builder.intrinsic(function, values)

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """``x * y + z`` rounded once, on vectors of float32 or float64."""
        kind = x.type
        double = kind.element == F64
        if self.target.fma or double:
            # Without the instruction, float64 goes to the C library's fma, which rounds once too.
            suffix = f"v{kind.count}f{64 if double else 32}"
            return self.call(f"llvm.fma.{suffix}", kind, x, y, z)
        return self._emulated_fma(x, y, z)

    def _emulated_fma(self, x: Value, y: Value, z: Value) -> Value:
        """Float32 FMA from float64: the product is exact; the sum is rounded to odd."""
        b = self.builder
        wide = ir.VectorType(F64, x.type.count)
        integer = ir.VectorType(I64, x.type.count)
        product = b.fmul(b.fpext(x, wide), b.fpext(y, wide))
        addend = b.fpext(z, wide)
        total = b.fadd(product, addend)
        # TwoSum recovers what the addition lost.
        back = b.fsub(total, product)
        lost = b.fadd(b.fsub(product, b.fsub(total, back)), b.fsub(addend, back))
        bits = b.bitcast(total, integer)
        one = ir.Constant(integer, [1] * x.type.count)
        zero = ir.Constant(wide, [0.0] * x.type.count)
        # An even last bit and a lost remainder: step towards the remainder, which makes it odd.
        even = b.icmp_unsigned("==", b.and_(bits, one), ir.Constant(integer, [0] * x.type.count))
        inexact = b.fcmp_ordered("!=", lost, zero)
        away = b.xor(b.fcmp_ordered("<", lost, zero), b.fcmp_ordered("<", total, zero))
        moved = b.select(away, b.sub(bits, one), b.add(bits, one))
        odd = b.select(b.and_(even, inexact), moved, bits)
        return b.fptrunc(b.bitcast(odd, wide), x.type)


_BYTES = {F32: 4, F64: 8, I8: 1, I32: 4, I64: 8}


def _bytes(kind: ir.Type) -> int:
    return _BYTES[kind]
