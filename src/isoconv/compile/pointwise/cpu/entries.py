"""The table of emitters of pointwise operations: how they enter it, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.pointwise.expression import Step
from isoconv.errors import CompileError


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an image a vector stands: the number of its first element, if asked for; lanes.

    Only a positional operation may ask: kernels put the others' images and axes together.
    """

    element: Callable[[], Value]
    lanes: int


Emitter = Callable[[Kernel, Any, str, list[Value], Place], Value]


@dataclass(frozen=True, slots=True)
class Entry:
    """How an operation is emitted.

    Attributes:
        emit: emits it for a vector.
        quick: it is so few instructions that it may be unrolled over the positions of a tile.
    """

    emit: Emitter
    quick: bool = False


POINTWISE: dict[str, Entry] = {}


def emit_step(k: Kernel, step: Step, args: list[Value], place: Place) -> Value:
    """Emit one pointwise operation.

    Raises:
        CompileError: no emitter for this operation.
    """
    if step.op not in POINTWISE:
        raise CompileError(f"no emitter for the pointwise operation {step.op!r}")
    if not step.positional:
        place = Place(_nowhere, place.lanes)
    return POINTWISE[step.op].emit(k, step.attrs, step.dtype, args, place)


def _nowhere() -> Value:
    raise CompileError("an operation that asks where an element stands must be positional")


def is_quick(op: str) -> bool:
    """Whether an operation may be unrolled over the positions of a tile."""
    return op in POINTWISE and POINTWISE[op].quick


def emits(name: str, *, quick: bool = False) -> Callable[[Emitter], Emitter]:
    """Enter the emitter of an operation; see `Entry`."""

    def enter(function: Emitter) -> Emitter:
        POINTWISE[name] = Entry(function, quick)
        return function

    return enter


def fill(k: Kernel, value: float, dtype: str, place: Place) -> Value:
    """A number in every lane, as the dtype holds it."""
    return k.splat_const(rounded(value, dtype), dtype, place.lanes)


def rounded(value: float, dtype: str) -> float:
    """The Python float as the tensor's dtype holds it."""
    import numpy as np

    return float(np.float32(value)) if dtype == "float32" else float(value)
