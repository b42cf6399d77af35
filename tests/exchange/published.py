"""Networks that others published: weights made of their names, and a digest of names and shapes."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from isoconv.arithmetic import philox

__all__ = ["SIDE", "digest", "images", "values"]

SIDE = 96
"""Of the image whose results are compared: the networks take it for a large one."""


def uniform(name: str, count: int, low: float, high: float) -> NDArray[np.float32]:
    """Numbers that follow from a name alone."""
    seed = zlib.crc32(name.encode())
    drawn = philox.uniform32(
        seed, philox.Purpose.INITIAL_WEIGHTS, 0, epoch=0, sample=0, index=np.arange(count)
    )
    return (low + (high - low) * drawn.astype(np.float64)).astype(np.float32)


def values(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array of a network in PyTorch's layout, such that numbers stay of one size."""
    low, high = -0.25, 0.25
    if len(shape) > 1 and shape[1:] != (1, 1):
        high = sqrt(6 / prod(shape[1:]))
        low = -high
    elif not name.endswith(("bias", "running_mean")):
        low, high = 0.5, 1.5
    return uniform(name, prod(shape), low, high).reshape(shape)


def images() -> NDArray[np.float32]:
    """One image, channels last."""
    return uniform("image", SIDE * SIDE * 3, -1, 1).reshape(1, SIDE, SIDE, 3)


def digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """SHA-256 of names and shapes."""
    lines = [f"{name} {','.join(map(str, shape))}\n" for name, shape in sorted(shapes.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
