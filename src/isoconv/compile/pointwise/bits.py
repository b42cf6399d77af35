"""Conditions in memory, eight elements to a byte: what one kernel found out and another one asks.

Element e is bit e mod 8 of byte e div 8. A vector of conditions is read and written as the bytes
that it fills; the few elements at the end of a row that fill none are put into theirs one by one.
Threads never write into the same byte: what they share has grains of whole vectors.
"""

from __future__ import annotations

from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.target import Target
from isoconv.graph.ir import TensorSpec

BITS = "bits"
"""The element type of such operands. No array of a user's has it."""
BYTE = 8
"""Elements in a byte."""


def suits_bits(target: Target, spec: TensorSpec) -> bool:
    """Whether all vectors of a value fill bytes, so that kernels need not take them apart.

    On machines with shorter vectors they would have to.
    """
    whole = bool(spec.shape) and spec.shape[-1] % BYTE == 0
    floats = spec.dtype in ("float32", "float64")
    return floats and whole and target.lanes(spec.dtype) % BYTE == 0


def bits_place(name: str, spec: TensorSpec) -> Placement:
    """Room in the arena for a condition on each element of a batched value."""
    buffer = Buffer("arena", name, spec.size // BYTE, batched=True)
    return Placement(buffer, BITS, dense_strides(spec.shape), spec.size, 0)
