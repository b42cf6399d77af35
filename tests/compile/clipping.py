"""The kernels that clip a vector to a norm, for tests."""

from __future__ import annotations

import numpy as np
from tests.compile.harness import aligned, run_kernel

from isoconv.compile.reduction.clip import BLOCK, ClipBlocksSpec, ClipFactorSpec
from isoconv.compile.target import Target
from isoconv.graph.operation import Array


def clip(
    vector: Array, limit: float, parts: int = 1, target: Target | None = None
) -> tuple[np.float32, np.float32]:
    """Sum of squares, then the factor, by the kernels."""
    blocks = -(-vector.size // BLOCK)
    sums, factor = aligned(np.full(blocks, 7, np.float32)), np.full(1, 7, np.float32)
    run_kernel(ClipBlocksSpec(vector.size), [aligned(vector), sums], parts=parts, target=target)
    run_kernel(ClipFactorSpec(blocks, limit), [sums, factor], target=target)
    return sums[0], factor[0]
