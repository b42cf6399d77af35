"""Augmentation of images: moved, mirrored, turned and partly covered copies."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.ops.image import Augment


@dataclass(frozen=True, slots=True)
class AugmentSpec(Specification):
    """An augmentation kernel.

    Attributes:
        attrs: fill value, and whether images are turned.
        domain: height, width and channels.
        images: uint8 or float32, or int32 for labels; strides of rows, columns and channels.
        table: float32; one stride, of the columns.
        result: float32, or int32 for labels; strides as those of the images.
        buffers: number of pointers.
    """

    attrs: Augment
    domain: Domain
    images: Operand
    table: Operand
    result: Operand
    buffers: int

    title = "augmentation"
