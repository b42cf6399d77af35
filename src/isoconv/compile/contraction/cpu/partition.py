"""How a team shares a contraction: pieces of images × bands of positions × blocks of filters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isoconv.compile.native.loops import Kernel, Value


class Partition:
    """A partition in which each part of a team does neighbouring pieces.

    The last block of filters is often smaller than the others. So what is shared evenly is not
    pieces but vectors of filters; a piece falls to whom its first vector falls to.

    Args:
        k: the kernel.
        images: number of images.
        bands: bands of positions in an image.
        vectors: vectors of filters in all blocks together.
        blocks_first: whether the neighbours of a piece are other bands and images of the same
            block; else they are other blocks of the same band.
    """

    def __init__(
        self, k: Kernel, images: Value, bands: Value, vectors: int, *, blocks_first: bool
    ) -> None:
        self._k, self._bands = k, bands
        self._vectors, self._blocks_first = k.const(vectors), blocks_first
        self._planes = k.builder.mul(images, bands)
        self._begin, self._end = k.share(k.builder.mul(self._planes, self._vectors))

    @contextmanager
    def mine(self, image: Value, band: Value, vector: Value, vectors: int) -> Iterator[None]:
        """Only if this piece falls to this part of the team.

        Args:
            image: of the piece.
            band: of positions, within the image.
            vector: the first one of its block, counted through all blocks.
            vectors: in the block.
        """
        k, b = self._k, self._k.builder
        plane = b.add(b.mul(image, self._bands), band)
        if self._blocks_first:
            first = k.add(b.mul(vector, self._planes), k.mul(plane, vectors))
        else:
            first = b.add(b.mul(plane, self._vectors), vector)
        after_begin = b.icmp_signed(">=", first, self._begin)
        with k.when(b.and_(after_begin, b.icmp_signed("<", first, self._end))):
            yield
