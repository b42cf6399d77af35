"""What all packings of weights share: blocks of lanes in the order of the chains.

A packed matrix of chains has, for each block of vectors and each link of the chain, that block's
lanes: ``packed[block][link][vector][lane]``. Weights lie with output channels behind each other;
lanes along input channels are made of squares of lanes × lanes elements that are turned around.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification


@dataclass(frozen=True, slots=True)
class Packing(Specification):
    """Weights of C input and O output channels (of a group) as chains and lanes.

    Attributes:
        dtype: float32 or float64.
        channels: input channels.
        filters: output channels.
        transposed: False: chains run over channels, lanes over filters; True: the other way.
        vectors: vectors in a block.
        lanes: elements in a vector.
    """

    dtype: str
    channels: int
    filters: int
    transposed: bool
    vectors: int
    lanes: int

    @property
    def chain(self) -> int:
        """Steps of a chain per kernel position."""
        return self.filters if self.transposed else self.channels

    @property
    def width(self) -> int:
        """What the lanes run over."""
        return self.channels if self.transposed else self.filters

    @property
    def columns(self) -> int:
        """Vectors that hold the width."""
        return -(-self.width // self.lanes)

    @property
    def title(self) -> str:
        """What it does, in words."""
        return "packing of weights"
