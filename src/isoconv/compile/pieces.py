"""How a team shares a contraction: pieces of images × bands of positions × blocks of filters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isoconv.compile.loops import Kernel, Value

__all__ = ["Pieces"]


class Pieces:
    """Numbered pieces, of which each part of a team does neighbouring ones.

    Args:
        k: the kernel.
        images: number of images.
        bands: bands of positions in an image.
        blocks: blocks of filters.
        blocks_first: whether the neighbours of a piece are other bands and images of the same
            block; else they are other blocks of the same band.
    """

    def __init__(
        self, k: Kernel, images: Value, bands: Value, blocks: int, *, blocks_first: bool
    ) -> None:
        self._k, self._images, self._bands = k, images, bands
        self._blocks, self._blocks_first = k.const(blocks), blocks_first
        self._begin, self._end = k.share(k.builder.mul(k.builder.mul(images, bands), self._blocks))

    @contextmanager
    def mine(self, image: Value, band: Value, block: Value) -> Iterator[None]:
        """Only if this piece falls to this part of the team."""
        k, b = self._k, self._k.builder
        if self._blocks_first:
            piece = b.add(b.mul(b.add(b.mul(block, self._images), image), self._bands), band)
        else:
            piece = b.add(b.mul(b.add(b.mul(image, self._bands), band), self._blocks), block)
        after_begin = b.icmp_signed(">=", piece, self._begin)
        with k.when(b.and_(after_begin, b.icmp_signed("<", piece, self._end))):
            yield
