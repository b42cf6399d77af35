"""Halos of zeros that are written around what is there."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import same_bits

from isoconv.compile.pointwise.halo import HaloSpec

HALOS = [
    ((5,), ((2, 1),)),
    ((1,), ((0, 3),)),
    ((4, 5), ((1, 1), (1, 1))),
    ((4, 5), ((0, 2), (3, 0))),
    ((4, 5), ((2, 1), (0, 0))),
    ((3, 2, 4), ((1, 0), (0, 2), (1, 1))),
]


@pytest.mark.parametrize(("sides", "halo"), HALOS)
@pytest.mark.parametrize("parts", [1, 3])
def test_halo(sides: tuple[int, ...], halo: tuple[tuple[int, int], ...], parts: int) -> None:
    """Zeros outside, and inside what was there; nothing beyond the last image."""
    for channels, dtype in product((1, 3, 21, 64), ("float32", "float64")):
        shape = [n + a + b for n, (a, b) in zip(sides, halo, strict=True)]
        found = aligned(np.full((4, *shape, channels), 7, dtype))
        expected = found.copy()
        inside = tuple(slice(a, a + n) for n, (a, _) in zip(sides, halo, strict=True))
        expected[:3] = 0
        expected[(slice(0, 3), *inside)] = 7
        run_kernel(HaloSpec(dtype, sides, channels, halo), [found], images=3, parts=parts)
        same_bits(found, expected)
