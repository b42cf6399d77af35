"""Winograd's maps between feature maps and components, with the arithmetic of ``ops.winograd``."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand

_WORK = {"input": 32, "output_grad": 12, "output": 24, "input_grad": 48}
"""Additions of a map, for a patch and a channel."""


def map_title(kind: str) -> str:
    """What a map of this kind is called."""
    return f"Winograd, {kind.replace('_grad', ', gradient')}"


@dataclass(frozen=True, slots=True)
class WinogradComponentsSpec(Specification):
    """Patches of a feature map into components.

    Attributes:
        kind: "input" for ``B^T d B`` of 4×4 patches, "output_grad" for ``A dy A^T`` of 2×2.
        dtype: float32 or float64.
        tiles: rows and columns of patches.
        channels: number of channels.
        corner: of the first patch, relative to the map's first element, per axis.
        source: the map, with zeros around it where patches reach beyond it.
        components: the result, with strides per place, row, column and channel.
        buffers: number of pointers; 0 for a part of a larger kernel.
    """

    kind: str
    dtype: str
    tiles: tuple[int, int]
    channels: int
    corner: tuple[int, int]
    source: Operand
    components: Operand
    buffers: int

    @property
    def title(self) -> str:
        """What it does, in words."""
        return map_title(self.kind)

    def flops(self, images: int) -> int:
        """The additions of all patches."""
        return images * prod(self.tiles) * self.channels * _WORK[self.kind]


@dataclass(frozen=True, slots=True)
class WinogradMapSpec(Specification):
    """Components into a feature map, with pointwise work behind it.

    Attributes:
        kind: "output" for ``A^T m A``, "input_grad" for the overlapping sum of ``B dv B^T``.
        dtype: float32 or float64.
        sides: of the result.
        tiles: rows and columns of patches.
        channels: number of channels.
        padding: zeros before the result's first element, per axis (0 for "output").
        components: the source, with strides per place, row, column and channel; the rows of all
            images lie at equal distances.
        domain: of the epilogue: sides, then channels.
        epilogue: pointwise work on the result (its root), and where it is stored.
        buffers: number of pointers; 0 for a part of a larger kernel.
    """

    kind: str
    dtype: str
    sides: tuple[int, int]
    tiles: tuple[int, int]
    channels: int
    padding: tuple[int, int]
    components: Operand
    domain: Domain
    epilogue: Expression
    buffers: int

    @property
    def blocks(self) -> int:
        """Rows of blocks of 2×2 positions in an image."""
        return self.tiles[0] + (self.kind == "input_grad")

    @property
    def title(self) -> str:
        """What it does, in words."""
        return map_title(self.kind)

    def flops(self, images: int) -> int:
        """The additions of all patches, and one for each step behind them."""
        work = prod(self.tiles) * _WORK[self.kind]
        return images * self.channels * (work + prod(self.sides) * len(self.epilogue.steps))
