"""The same contraction on each of a value's components: 16 matrix products, one kernel.

Its schedule is that of the contraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.native.specification import Specification


@dataclass(frozen=True, slots=True)
class Components(Specification):
    """A contraction that is repeated on other parts of its buffers.

    Attributes:
        inner: what is done on the first component, without spatial axes: every position counts as
            an image of its own.
        count: number of components.
        positions: of an image.
        steps: of which buffers each component has its own part, and elements from one to the next.
    """

    inner: ContractSpec | ContractWeightSpec
    count: int
    positions: int
    steps: tuple[tuple[int, int], ...]

    heavy: ClassVar[bool] = True

    @property
    def buffers(self) -> int:
        """Number of pointers."""
        return self.inner.buffers

    @property
    def title(self) -> str:
        """What it does, in words."""
        return self.inner.title

    @property
    def gradient_title(self) -> str:
        """The same with weights that are packed the other way."""
        return self.inner.gradient_title

    def flops(self, images: int) -> int:
        """Those of the contraction, on each component."""
        return self.count * self.inner.flops(images * self.positions)


@dataclass(frozen=True, slots=True)
class ComponentsSpec(Components):
    """Such contractions over channels."""

    inner: ContractSpec


@dataclass(frozen=True, slots=True)
class ComponentsWeightSpec(Components):
    """Such contractions over positions."""

    inner: ContractWeightSpec
