"""Contractions that leave out the products with padding, and keep every bit of what they give.

One addition for each kernel position stands for its products with padding (see ``padding``); what
is added lies behind the packed weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.padding import inside_terms


@dataclass(frozen=True, slots=True)
class InsideContractSpec(ContractSpec):
    """A contraction over planes of which padding is a good part.

    The rows of its tile are images.

    Attributes:
        sides: spatial sizes of the source without its padding.
        zeros: elements of the packed buffer before what stands for products with padding.
    """

    sides: tuple[int, ...]
    zeros: int

    @property
    def terms(self) -> int:
        """Pairs that meet no padding."""
        return inside_terms(self.axes, self.sides)
