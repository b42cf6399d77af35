"""Winograd's maps of kernels: into the order in which contractions read them, and back.

A contraction's weights are transformed where they are packed: the 16 components of a kernel have
16/9 of its size, and nobody else reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.contraction.packing import Packing
from isoconv.compile.native.specification import Specification
from isoconv.compile.winograd.maps import map_title

_WORK = {"weight": 35, "weight_grad": 42}
"""Operations of a map, for a kernel."""


@dataclass(frozen=True, slots=True)
class WinogradWeightSpec(Specification):
    """Kernels into components, or their gradients into those of kernels; buffers (source, result).

    Attributes:
        kind: "weight" for ``G g G^T``, "weight_grad" for ``G^T du G``.
        dtype: float32 or float64.
        size: pairs of channels.
        offset: of the result's first element.
    """

    kind: str
    dtype: str
    size: int
    offset: int

    buffers = 2

    @property
    def title(self) -> str:
        """What it does, in words."""
        return map_title(self.kind)

    def flops(self, images: int) -> int:  # noqa: ARG002
        """The operations of all kernels; images have no part in them."""
        return self.size * _WORK[self.kind]


@dataclass(frozen=True, slots=True)
class WinogradPackSpec(Packing):
    """Packed weights of 16 contractions; buffers are (kernel, packed).

    Attributes:
        transformed: the kernel is ``(16, C, O)`` already, not ``(3, 3, C, O)``.
    """

    transformed: bool

    buffers = 2

    @property
    def component(self) -> int:
        """Elements of one contraction's packed weights."""
        return self.columns * self.lanes * self.chain

    @property
    def size(self) -> int:
        """Elements of the packed array."""
        return 16 * self.component
