"""Clipping by the global norm: the gradient's length, and the factor that shortens it."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification

BLOCK = 4096


@dataclass(frozen=True, slots=True)
class ClipBlocksSpec(Specification):
    """Sums of squares of the blocks of a vector; buffers are (vector, block sums).

    Attributes:
        size: elements of the vector.
    """

    size: int
    buffers: int = 2


@dataclass(frozen=True, slots=True)
class ClipFactorSpec(Specification):
    """The factor from the blocks' sums; buffers are (block sums, factor).

    The tree is walked in place: at each level a sum and its right neighbour, if there is one,
    become one.

    Attributes:
        blocks: number of sums.
        limit: the largest norm that is left as it is.
    """

    blocks: int
    limit: float
    buffers: int = 2
