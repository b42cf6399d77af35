"""How a team shares a contraction: each piece falls to one, and all get as many vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from tests.compile.harness import run_kernel

from isoconv.compile.contraction.cpu.partition import Partition
from isoconv.compile.contraction.tiles import runs
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.specification import Specification


@dataclass(frozen=True, slots=True)
class TakenSpec(Specification):
    """Notes for each piece how often it was taken, and by which part."""

    bands: int
    vectors: int
    most: int
    blocks_first: bool
    buffers: int = 2


@emits(TakenSpec)
def emit_taken(k: Kernel, spec: TakenSpec) -> None:
    """Emit the notes."""
    images = k.field("images")
    partition = Partition(
        k, images, k.const(spec.bands), spec.vectors, blocks_first=spec.blocks_first
    )
    sizes = sizes_of(spec.vectors, spec.most)
    for block, size in enumerate(sizes):
        with k.loop(0, images) as image, k.loop(0, spec.bands) as band:
            first = k.const(sum(sizes[:block]))
            with partition.mine(image, band, first, size):
                row = k.add(k.mul(image, spec.bands), band)
                number = k.add(k.mul(row, len(sizes)), block)
                often, who = (k.at(buffer, number, "int64") for buffer in k.buffers)
                k.store(k.add(k.load_scalar(often, "int64"), 1), often)
                k.store(k.field("part"), who)


def sizes_of(vectors: int, most: int) -> list[int]:
    """Vectors in each block."""
    return [size for size, count in runs(vectors, most) for _ in range(count)]


@pytest.mark.parametrize("blocks_first", [True, False])
@pytest.mark.parametrize(
    ("images", "bands", "vectors", "most"),
    [(1, 14, 32, 5), (1, 4, 3, 2), (3, 7, 63, 5), (2, 1, 1, 1)],
)
@pytest.mark.parametrize("parts", [1, 2, 3, 16])
def test_all_get_as_many_vectors(
    blocks_first: bool, images: int, bands: int, vectors: int, most: int, parts: int
) -> None:
    """No piece is left out or taken twice; shares differ by what a piece at each end holds."""
    sizes = np.array(sizes_of(vectors, most))
    often, who = np.zeros((2, images, bands, len(sizes)), np.int64)
    spec = TakenSpec(bands, vectors, most, blocks_first)
    run_kernel(spec, [often, who], images=images, parts=parts)
    assert (often == 1).all()
    shares = [int((sizes * (who == part)).sum()) for part in range(parts)]
    assert max(shares) - min(shares) <= 2 * (most - 1) + 1
