"""Halos of zeros around feature maps in memory that held something else before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isoconv.compile.layout import Halo
from isoconv.compile.native.specification import Specification


@dataclass(frozen=True, slots=True)
class HaloSpec(Specification):
    """Zeros around each image of a batched value; what is inside stays as it is.

    Attributes:
        dtype: float32 or float64.
        sides: spatial sizes of the value, without its halo; at least one.
        channels: elements at a position.
        halo: positions before and after, per axis.
    """

    dtype: str
    sides: tuple[int, ...]
    channels: int
    halo: Halo

    whole: ClassVar[bool] = False
    buffers = 1
    # Nobody reads a halo before the next kernel has written the inside.
    waited_for: ClassVar[bool] = False

    title = "halo of zeros"
