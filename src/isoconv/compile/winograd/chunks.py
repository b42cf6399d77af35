"""Winograd's convolution chunk by chunk: maps and contractions on components that stay in cache.

    for each chunk of rows of tiles:
        map them into components; contract each; map the result's components into the feature map

The components of a chunk lie in the thread's scratch memory. A whole shard's have four times the
size of its feature maps, and each would go through memory four times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.contraction.weight_gradient import WeightSchedule
from isoconv.compile.native.specification import Schedule, Specification
from isoconv.compile.winograd.components import ComponentsSpec, ComponentsWeightSpec
from isoconv.compile.winograd.maps import WinogradComponentsSpec, WinogradMapSpec

Inner = TypeVar("Inner", Tile, WeightSchedule)


@dataclass(frozen=True, slots=True)
class Chunks(Schedule, Generic[Inner]):
    """How large chunks are.

    Attributes:
        rows: of blocks, or of tiles, in a chunk.
        product: the contractions' schedule.
    """

    rows: int
    product: Inner

    @property
    def tile(self) -> Tile:
        """The tile that registers are to hold."""
        return self.product.tile


@dataclass(frozen=True, slots=True)
class WinogradConvSpec(Specification):
    """A convolution or its gradient by the input, from feature map to feature map.

    Attributes:
        maps: the source into components.
        product: the contractions.
        result: their components into the result, with pointwise work behind it.
        buffers: number of pointers.
    """

    maps: WinogradComponentsSpec
    product: ComponentsSpec
    result: WinogradMapSpec
    buffers: int

    heavy: ClassVar[bool] = True

    title = "forward"
    gradient_title = "gradient by input"

    def flops(self, images: int) -> int:
        """Those of its parts."""
        maps = self.maps.flops(images) + self.result.flops(images)
        return maps + self.product.flops(images)


@dataclass(frozen=True, slots=True)
class WinogradConvWeightSpec(Specification):
    """The gradient by the transformed kernel, from two feature maps.

    Attributes:
        source: the convolution's input into components.
        gradient: the gradient of its output into components.
        product: the contractions.
        buffers: number of pointers.
    """

    source: WinogradComponentsSpec
    gradient: WinogradComponentsSpec
    product: ComponentsWeightSpec
    buffers: int

    heavy: ClassVar[bool] = True

    title = "gradient by weight"

    def flops(self, images: int) -> int:
        """Those of its parts."""
        maps = self.source.flops(images) + self.gradient.flops(images)
        return maps + self.product.flops(images)
