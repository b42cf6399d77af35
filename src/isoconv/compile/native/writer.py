"""A builder of instructions that writes LLVM's text at once.

llvmlite keeps an object for everything an instruction says and puts the text together at the end.
A network's kernels are some fifty thousand instructions, nearly all of a dozen kinds; these kinds
are written here directly, in a fifth of the time. All others, and everything about blocks, is
llvmlite's. What is wrong with an instruction LLVM finds when it reads the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ir

Value = Any  # llvmlite's values carry no static types

_VOID = ir.VoidType()


class Line:
    """An instruction as text, and its result as an operand of others."""

    __slots__ = ("_reference", "_text", "type")

    def __init__(self, kind: ir.Type, reference: str, text: str) -> None:
        self.type, self._reference, self._text = kind, reference, text

    def get_reference(self) -> str:
        """How other instructions name the result."""
        return self._reference

    def __str__(self) -> str:
        """The instruction."""
        return self._text


def _binary(opcode: str) -> Callable[..., Value]:
    def write(
        self: Writer,
        left: Value,
        right: Value,
        name: str = "",  # noqa: ARG001  # llvmlite's own `neg` and `not_` give one
        flags: Sequence[str] = (),
    ) -> Value:
        words = " ".join((opcode, *flags))
        operands = f"{left.get_reference()}, {right.get_reference()}"
        return self.write(left.type, f"{words} {left.type} {operands}")

    return write


class Writer(ir.IRBuilder):  # type: ignore[misc]
    """llvmlite's builder with quick ways to write the most frequent instructions.

    Results are called ``%v1``, ``%v2``, ..., whatever name is asked for; no two writers may work on
    one function.
    """

    def __init__(self, block: ir.Block) -> None:
        super().__init__(block)
        self._results = 0

    def write(self, kind: ir.Type, text: str) -> Value:
        """Add an instruction, given what is to the right of its ``=``, and return its result."""
        self._results += 1
        reference = f"%v{self._results}"
        line = Line(kind, reference, f"{reference} = {text}")
        self._insert(line)
        return line

    def _insert(self, instruction: Value) -> None:
        # llvmlite would look for debugging information first.
        self._block.instructions.insert(self._anchor, instruction)
        self._anchor += 1

    add = _binary("add")
    sub = _binary("sub")
    mul = _binary("mul")
    sdiv = _binary("sdiv")
    srem = _binary("srem")
    and_ = _binary("and")
    or_ = _binary("or")
    xor = _binary("xor")
    shl = _binary("shl")
    lshr = _binary("lshr")
    ashr = _binary("ashr")
    fadd = _binary("fadd")
    fsub = _binary("fsub")
    fmul = _binary("fmul")
    fdiv = _binary("fdiv")

    def load(
        self, pointer: Value, name: str = "", align: int | None = None,
        typ: ir.Type | None = None, suffix: str = "",
    ) -> Value:  # fmt: skip
        """Load a value; `suffix` is text behind the instruction, such as metadata."""
        if typ is None or (isinstance(typ, ir.PointerType) and not typ.is_opaque):
            # llvmlite knows the type from the pointer, and how to call a function's address.
            return super().load(pointer, name, align, typ)
        tail = suffix if align is None else f", align {align}{suffix}"
        return self.write(typ, f"load {typ}, ptr {pointer.get_reference()}{tail}")

    def store(
        self, value: Value, pointer: Value, align: int | None = None, suffix: str = ""
    ) -> None:
        """Store a value; `suffix` is text behind the instruction, such as metadata."""
        tail = suffix if align is None else f", align {align}{suffix}"
        text = f"store {value.type} {value.get_reference()}, ptr {pointer.get_reference()}{tail}"
        self._insert(Line(_VOID, "", text))

    def gep(
        self, pointer: Value, indices: Sequence[Value], inbounds: bool = False, name: str = "",
        source_etype: ir.Type | None = None,
    ) -> Value:  # fmt: skip
        """Address of an element."""
        if source_etype is None:
            return super().gep(pointer, indices, inbounds, name)
        word = "getelementptr inbounds" if inbounds else "getelementptr"
        steps = ", ".join(f"{index.type} {index.get_reference()}" for index in indices)
        text = f"{word} {source_etype}, ptr {pointer.get_reference()}, {steps}"
        return self.write(ir.PointerType(), text)

    def insert_element(self, vector: Value, value: Value, place: Value) -> Value:
        """The vector with one lane replaced."""
        text = (
            f"insertelement {vector.type} {vector.get_reference()}, "
            f"{value.type} {value.get_reference()}, {place.type} {place.get_reference()}"
        )
        return self.write(vector.type, text)

    def shuffle_vector(self, first: Value, second: Value, mask: Value) -> Value:
        """Lanes of two vectors, chosen by a constant mask."""
        text = (
            f"shufflevector {first.type} {first.get_reference()}, "
            f"{second.type} {second.get_reference()}, {mask.type} {mask.get_reference()}"
        )
        return self.write(ir.VectorType(first.type.element, mask.type.count), text)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        """One of two values."""
        text = (
            f"select {condition.type} {condition.get_reference()}, "
            f"{yes.type} {yes.get_reference()}, {no.type} {no.get_reference()}"
        )
        return self.write(yes.type, text)

    def intrinsic(self, function: ir.Function, operands: Sequence[Value]) -> Value:
        """Call a function that returns a value."""
        kind = function.function_type.return_type
        given = ", ".join(f"{value.type} {value.get_reference()}" for value in operands)
        return self.write(kind, f"call {kind} {function.get_reference()}({given})")
