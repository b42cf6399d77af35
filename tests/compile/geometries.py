"""Convolutions of every kind, for tests: `contractions()` draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.run.graphs import numbers, specials

import isoconv.ops as ops
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array

WIDTHS = (1, 3, 7, 8, 9, 15, 16, 17, 33)
FLOATS: list[DType] = ["float32", "float32", "float64"]


@dataclass(frozen=True)
class Contraction:
    """A convolution: how the kernel moves, over what, from how many channels to how many."""

    geometry: ops.ConvGeometry
    sides: tuple[int, ...]
    channels: int
    filters: int
    images: int = 2
    dtype: DType = "float32"

    @property
    def outputs(self) -> tuple[int, ...]:
        """Sizes of the result."""
        return self.geometry.output_sides(self.sides)

    @property
    def weights(self) -> tuple[int, ...]:
        """Shape of the kernel."""
        return (*self.geometry.kernel, self.channels // self.geometry.groups, self.filters)


def contraction(
    kernel: tuple[int, ...], sides: tuple[int, ...], channels: int, filters: int, **given: Any
) -> Contraction:
    """A convolution with the same settings on every axis."""
    rank = len(kernel)
    stride, dilation = given.pop("stride", 1), given.pop("dilation", 1)
    padding = given.pop("padding", 0)
    pairs = ((padding, padding),) * rank if isinstance(padding, int) else padding
    geometry = ops.ConvGeometry(
        kernel, (stride,) * rank, pairs, (dilation,) * rank,
        groups=given.pop("groups", 1), flip=given.pop("flip", False),
    )  # fmt: skip
    return Contraction(geometry, sides, channels, filters, **given)


@st.composite
def contractions(draw: st.DrawFn) -> Contraction:
    """Small convolutions of ranks 0 to 3, with channels around the width of vectors."""
    rank = draw(st.integers(0, 3))
    kernel, stride, padding, dilation, sides = [], [], [], [], []
    for _ in range(rank):
        kernel.append(draw(st.integers(1, (5, 4, 3)[rank - 1])))
        stride.append(draw(st.integers(1, 3)))
        padding.append(draw(st.tuples(st.integers(0, 3), st.integers(0, 3))))
        dilation.append(draw(st.integers(1, 2)))
        extent = dilation[-1] * (kernel[-1] - 1) + 1
        least = max(1, extent - sum(padding[-1]))
        sides.append(draw(st.integers(least, least + (18, 6, 3)[rank - 1])))
    groups, channels, filters = draw(_channels())
    geometry = ops.ConvGeometry(
        tuple(kernel), tuple(stride), tuple(padding), tuple(dilation),
        groups=groups, flip=draw(st.booleans()),
    )  # fmt: skip
    dtype = draw(st.sampled_from(FLOATS))
    return Contraction(geometry, tuple(sides), channels, filters, draw(st.integers(1, 3)), dtype)


@st.composite
def _channels(draw: st.DrawFn) -> tuple[int, int, int]:
    """Groups, channels and filters: one group, a few, or a group for each channel."""
    kind = draw(st.sampled_from(["one", "one", "few", "depthwise", "multiplied"]))
    if kind == "one":
        return 1, draw(st.sampled_from(WIDTHS)), draw(st.sampled_from(WIDTHS))
    if kind == "few":
        groups = draw(st.integers(2, 4))
        return groups, groups * draw(st.integers(1, 9)), groups * draw(st.sampled_from([1, 5, 9]))
    channels = draw(st.sampled_from(WIDTHS))
    return channels, channels, channels * (2 if kind == "multiplied" else 1)


def conv_graph(
    case: Contraction, wanted: Sequence[str] = ("conv", "conv_grad_input", "conv_grad_weight")
) -> Graph:
    """A graph with these of the three contractions as outputs."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (*case.sides, case.channels), case.dtype)
    w = b.input("parameter", "w", case.weights, case.dtype)
    dy = b.input("dataset", "dy", (*case.outputs, case.filters), case.dtype)
    made = {
        "conv": lambda: b.add("conv", x, w, attrs=case.geometry),
        "conv_grad_input": lambda: b.add(
            "conv_grad_input", dy, w, attrs=ops.ConvGradInput(case.geometry, case.sides)
        ),
        "conv_grad_weight": lambda: b.add("conv_grad_weight", x, dy, attrs=case.geometry),
    }
    return b.graph([(name, made[name]()) for name in wanted])


def conv_arrays(
    case: Contraction, make: Callable[[tuple[int, ...], DType, int], Array] = numbers
) -> dict[str, Array]:
    """Values for the inputs of `conv_graph`: ``make(shape, dtype, seed)``."""
    return {
        "x": make((case.images, *case.sides, case.channels), case.dtype, 0),
        "w": make(case.weights, case.dtype, 1),
        "dy": make((case.images, *case.outputs, case.filters), case.dtype, 2),
    }


def extremes(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Zeros, subnormals, largest finite numbers and ordinary ones, of both signs."""
    return np.random.default_rng(seed).choice(specials(dtype), shape)
