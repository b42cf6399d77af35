"""Expressions in machine code: a place in the domain, what is loaded, computed and stored there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import llvmlite.ir as ir

from isoconv.compile.native.loops import I32, Kernel, Value
from isoconv.compile.pointwise.bits import BITS, BYTE
from isoconv.compile.pointwise.cpu.bits import byte_at, load_bits, store_bits
from isoconv.compile.pointwise.cpu.operations import Place, emit_step
from isoconv.compile.pointwise.expression import Domain, Expression, Operand
from isoconv.graph.ir import DTYPES


@dataclass(frozen=True, slots=True)
class Index:
    """A place in the domain.

    Attributes:
        image: number of the image.
        axes: a coordinate per axis; the last one is that of the first lane.
        lanes: elements along the last axis.
        shift: constants to be added to the image and to the axes; for places in unrolled loops,
            whose addresses then differ by constants.
        known: addresses without the shift, which such places share.
    """

    image: Value | int
    axes: tuple[Value | int, ...]
    lanes: int
    shift: tuple[int, ...] = ()
    known: dict[Operand, Value] | None = None

    def shifted(self, k: Kernel) -> Index:
        """The same place without a shift."""
        if not self.shift:
            return self
        image, *axes = (
            k.add(c, s) for c, s in zip((self.image, *self.axes), self.shift, strict=True)
        )
        return Index(image, tuple(axes), self.lanes)


def row_of(k: Kernel, operand: Operand, image: Value | int) -> Value | int:
    """Row of the operand's array that holds this image of the shard."""
    if operand.rows == "":
        return image
    place = k.add(k.field("first"), image)
    if operand.rows == "shifted":
        return place
    order = k.buffers[operand.buffer + 1]
    return k.load_scalar(k.at(order, place, "int64"), "int64", invariant=True)


def address(k: Kernel, operand: Operand, index: Index) -> Value:
    """Address of the operand's element at a place of the domain."""
    known = index.known
    if known is not None and not operand.rows:
        if operand not in known:
            known[operand] = address(k, operand, Index(index.image, index.axes, index.lanes))
        strides = (operand.image, *operand.strides)
        steps = sum(c * s for c, s in zip(index.shift, strides, strict=True))
        return _at(k, known[operand], steps, operand.dtype)
    return _at(k, k.buffers[operand.buffer], _number(k, operand, index), operand.dtype)


def _at(k: Kernel, base: Value, elements: Value | int, dtype: str) -> Value:
    return byte_at(k, base, elements) if dtype == BITS else k.at(base, elements, dtype)


def _number(k: Kernel, operand: Operand, index: Index) -> Value:
    """How many elements lie before the operand's element at a place of the domain."""
    index = index.shifted(k)
    terms: list[Value | int] = [operand.offset]
    if operand.image:
        terms.append(k.mul(row_of(k, operand, index.image), operand.image))
    terms += [k.mul(c, s) for c, s in zip(index.axes, operand.strides, strict=True) if s]
    return k.add(*terms)


def prefetch(k: Kernel, places: Iterable[Operand], index: Index, level: int = 1) -> None:
    """Ask for what will be read or written at a place, of all that has elements of its own there.

    Rows of a larger array are left out: to find one takes a load.
    """
    for place in places:
        if place.image and place.strides[-1:] == (1,) and not place.rows:
            k.prefetch(address(k, place, index), level)


def _bits_at(k: Kernel, operand: Operand, index: Index) -> tuple[Value, Value | None]:
    """Where the bits of a vector begin: a byte, or the buffer and the number of the first one."""
    if index.lanes % BYTE == 0:
        return address(k, operand, index), None
    return k.buffers[operand.buffer], _number(k, operand, index)


def load_operand(k: Kernel, operand: Operand, index: Index, *, invariant: bool = False) -> Value:
    """The operand's lanes at a place: neighbours, or one element in every lane."""
    if operand.dtype == BITS:
        return load_bits(k, *_bits_at(k, operand, index), index.lanes, invariant=invariant)
    place = address(k, operand, index)
    step = operand.strides[-1] if operand.strides else 0
    if step == 1:
        return k.load_vector(place, operand.dtype, index.lanes, invariant=invariant)
    if step == 0 or index.lanes == 1:
        return k.splat(k.load_scalar(place, operand.dtype, invariant=invariant), index.lanes)
    lanes = [
        k.load_scalar(k.at(place, lane * step, operand.dtype), operand.dtype, invariant=invariant)
        for lane in range(index.lanes)
    ]
    vector = ir.Constant(k.vector_type(operand.dtype, index.lanes), ir.Undefined)
    for lane, value in enumerate(lanes):
        vector = k.builder.insert_element(vector, value, ir.Constant(I32, lane))
    return vector


def store_operand(k: Kernel, value: Value, operand: Operand, index: Index) -> None:
    """Store the lanes at a place."""
    if operand.dtype == BITS:
        store_bits(k, value, *_bits_at(k, operand, index))
        return
    place = address(k, operand, index)
    step = operand.strides[-1] if operand.strides else 0
    if step == 1:
        if operand.nontemporal and _whole(k, operand, index):
            k.store_nontemporal(value, place)
        else:
            k.store(value, place)
        return
    for lane in range(index.lanes):
        one = k.builder.extract_element(value, ir.Constant(I32, lane))
        k.store(one, k.at(place, lane * step, operand.dtype))


def _whole(k: Kernel, operand: Operand, index: Index) -> bool:
    """Whether the lanes are a whole vector and lie where one begins.

    The buffer does by what `nontemporal` says, the last coordinate by the loops over whole vectors.
    """
    if index.lanes * DTYPES[operand.dtype] != k.target.vector_bytes:
        return False
    steps = (operand.offset, operand.image, *operand.strides[:-1])
    return not any(step % index.lanes for step in steps)


def emit_expression(
    k: Kernel,
    domain: Domain,
    expression: Expression,
    index: Index,
    roots: Sequence[Value] = (),
) -> list[Value]:
    """Load, compute and store at one place; returns all values, for a reduction to pick from."""
    written = {place.buffer for _, place in expression.stores}
    values: list[Value] = [
        load_operand(k, operand, index, invariant=operand.buffer not in written)
        for operand in expression.operands
    ]
    values += roots
    place = Place(lambda: _element(k, domain, index), index.lanes)
    for step in expression.steps:
        values.append(emit_step(k, step, [values[i] for i in step.args], place))
    for value, operand in expression.stores:
        store_operand(k, values[value], operand, index)
    return values


def _element(k: Kernel, domain: Domain, index: Index) -> Value:
    """Row-major number of the first lane's element within its image."""
    stride, terms = 1, []
    axes = index.shifted(k).axes
    for size, coordinate in zip(reversed(domain.axes), reversed(axes), strict=True):
        terms.append(k.mul(coordinate, stride))
        stride *= size
    return k.add(0, *terms)
