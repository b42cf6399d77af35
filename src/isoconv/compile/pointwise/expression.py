"""Chains of pointwise work as data: what is loaded, what is computed, what is stored.

An expression runs over a *domain*: the image axis (if batched), then static axes, the last of which
the vector lanes run along. It stands alone as a pointwise kernel, or behind another kernel's result
(its *root*) while that is in registers, or before a reduction.

Values are numbered: first the operands, then the root if there is one, then the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

Rows = Literal["", "shifted", "gathered"]


@dataclass(frozen=True, slots=True)
class Domain:
    """Static sizes per axis, and whether there is an image axis before them."""

    axes: tuple[int, ...]
    batched: bool = True

    def elements(self, images: int) -> int:
        """How many places it has, with so many images."""
        return prod(self.axes) * (images if self.batched else 1)


@dataclass(frozen=True, slots=True)
class Operand:
    """Where an array lies, as seen from a domain; all counts are in elements.

    Attributes:
        buffer: position of its pointer among the kernel's buffers.
        dtype: element type; that of ``compile.bits`` lies without gaps along the last axis.
        strides: per domain axis; 0 repeats the array along that axis.
        image: from one image to the next; 0 for unbatched arrays.
        offset: of the first element from the pointer (a halo of zeros, a slice).
        rows: images of the shard are at the shard's own rows (""), at rows ``first + n`` of a
            larger array ("shifted"), or at rows ``order[first + n]`` ("gathered"; the order is
            the buffer after this one).
        nontemporal: whole vectors of a result go past the caches; the buffer is on a cache line.
    """

    buffer: int
    dtype: str
    strides: tuple[int, ...]
    image: int = 0
    offset: int = 0
    rows: Rows = ""
    nontemporal: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One pointwise operation on earlier values.

    Attributes:
        op: its name.
        args: numbers of the values that it takes.
        attrs: its settings.
        dtype: of what it gives.
        positional: what it gives depends on where an element stands in its image.
    """

    op: str
    args: tuple[int, ...]
    attrs: Any
    dtype: str
    positional: bool = False


@dataclass(frozen=True, slots=True)
class Expression:
    """Loads, steps and stores.

    Attributes:
        operands: what is loaded.
        root: dtype of the value handed in, or "" when there is none.
        steps: what is computed, in order.
        stores: (value, where) pairs.
    """

    operands: tuple[Operand, ...]
    root: str
    steps: tuple[Step, ...]
    stores: tuple[tuple[int, Operand], ...]

    def dtypes(self) -> tuple[str, ...]:
        """Element type of every value."""
        roots = (self.root,) if self.root else ()
        return (*(o.dtype for o in self.operands), *roots, *(s.dtype for s in self.steps))

    @property
    def positional(self) -> bool:
        """Whether what it gives depends on where an element stands in its image."""
        return any(step.positional for step in self.steps)
