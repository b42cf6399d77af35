"""Arrays from outside, checked and brought to where native code reads them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.layout import FlatLayout
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import TensorSpec

__all__ = ["checked", "fill", "named", "sample_count"]

Array = NDArray[Any]


def sample_count(data: Mapping[str, Array]) -> int:
    """Rows of the data-set arrays, which have as many each."""
    counts = {name: len(array) for name, array in data.items()}
    if len(set(counts.values())) != 1:
        raise ShapeError(f"all data-set arrays must have one row for each sample; got {counts}")
    return next(iter(counts.values()))


def checked(name: str, data: Mapping[str, Array], spec: TensorSpec) -> Array:
    """A data-set array as native code reads it."""
    if name not in data:
        raise ArgumentError(f"every data-set input needs an array: {name!r} is missing")
    array = np.ascontiguousarray(data[name])
    if array.shape[1:] != spec.shape:
        sides = ", ".join(map(str, spec.shape))
        raise ShapeError(f"{name!r} must have shape (N, {sides}); got {array.shape}")
    if array.dtype != spec.dtype:
        raise DTypeError(f"{name!r} must be {spec.dtype}; got {array.dtype}")
    return array


def fill(vector: Array, layout: FlatLayout, arrays: Mapping[str, Array]) -> None:
    """Put named arrays into their flat vector."""
    for name, shape in layout.shapes.items():
        if name not in arrays:
            raise ArgumentError(f"every parameter and state needs an array: {name!r} is missing")
        array = np.asarray(arrays[name])
        if array.shape != tuple(shape):
            raise ShapeError(f"{name!r} must have shape {tuple(shape)}; got {array.shape}")
        vector[layout.slice(name)] = array.ravel()


def named(vector: Array, layout: FlatLayout) -> dict[str, Array]:
    """Copies of the arrays that a flat vector holds."""
    return {
        name: vector[layout.slice(name)].reshape(shape).copy()
        for name, shape in layout.shapes.items()
    }
