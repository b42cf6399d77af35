"""Values put at listed places of a map, or picked from there, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Operand


@dataclass(frozen=True, slots=True)
class UnpoolSpec(Specification):
    """A kernel that follows places, which are row-major numbers of positions as floats.

    Attributes:
        put: whether values are put at places of the result; else they are picked from there.
        values: sizes of what is put or picked from, channels last.
        places: sizes of the places.
        result: sizes of the result.
        operands: values, places, result.
        buffers: number of pointers.
    """

    put: bool
    values: Domain
    places: Domain
    result: Domain
    operands: tuple[Operand, Operand, Operand]
    buffers: int

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "max unpooling" if self.put else "max unpooling, gradient"
