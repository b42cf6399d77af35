"""Depthwise convolution kernels against the references, bit for bit."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import FILLER, placed, plain_store, same_bits, targets

import isoconv.ops  # noqa: F401 - fills the table of operations
from isoconv.compile.contraction.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.contraction.index_maps import (
    Phase,
    forward_axes,
    gradient_phases,
    halo,
)
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.compile.target import Target
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array, operation
from isoconv.ops.conv import ConvGradInput
from isoconv.ops.geometry import ConvGeometry


def geometry(
    kernel: tuple[int, ...],
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    *,
    channels: int,
    flip: bool = False,
) -> ConvGeometry:
    """A depthwise geometry with the same settings on every axis."""
    rank = len(kernel)
    pairs = ((padding, padding),) * rank if isinstance(padding, int) else padding
    return ConvGeometry(
        kernel, (stride,) * rank, pairs, (dilation,) * rank, groups=channels, flip=flip
    )


CASES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "3x3": ({"kernel": (3, 3), "padding": 1}, (6, 11)),
    "3x3/2": ({"kernel": (3, 3), "stride": 2, "padding": 1}, (7, 8)),
    "5x5/3": ({"kernel": (5, 5), "stride": 3, "padding": 2}, (8, 10)),
    "gaps": ({"kernel": (2, 1), "stride": 3}, (7, 8)),
    "dilated": ({"kernel": (3, 2), "padding": ((2, 1), (0, 3)), "dilation": 2}, (7, 6)),
    "flipped": ({"kernel": (2, 3), "stride": 2, "padding": 1, "flip": True}, (6, 7)),
    "row": ({"kernel": (5,), "padding": 2}, (9,)),
    "cube": ({"kernel": (2, 3, 3), "padding": 1}, (3, 4, 5)),
    "large": ({"kernel": (7, 6), "padding": 3}, (8, 9)),
    "nowhere": ({"kernel": ()}, ()),
}


def data(shape: tuple[int, ...], dtype: DType = "float32", seed: int = 0) -> Array:
    """Numbers whose sum depends on the order."""
    draw = np.random.default_rng(seed)
    return (draw.standard_normal(shape) * 10.0 ** draw.integers(-2, 3, shape)).astype(dtype)


def with_halo(array: Array, room: list[tuple[int, ...]], buffer: int) -> tuple[Array, Operand]:
    """The array inside a halo of zeros."""
    padded = np.pad(array, [(0, 0), *room, (0, 0)])
    whole, at, _ = placed(padded, buffer)
    shift = sum(before * s for (before, _), s in zip(room, at.strides[:-1], strict=True))
    return whole, Operand(buffer, at.dtype, at.strides, at.image, shift)


def merged_halo(
    phases: tuple[Phase, ...] | list[Phase], sides: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """The widest halo of all phases."""
    found = [halo(phase.axes, sides) for phase in phases]
    return [tuple(max(pair) for pair in zip(*axis, strict=True)) for axis in zip(*found)]  # noqa: B905


def convolve(
    phases: tuple[Phase, ...] | list[Phase],
    kernel: tuple[int, ...],
    source: Array,
    sides: tuple[int, ...],
    w: Array,
    result_sides: tuple[int, ...],
    *,
    target: Target | None,
    parts: int,
) -> Array:
    """Run the kernels of all phases."""
    channels, dtype = source.shape[-1], str(source.dtype)
    room = merged_halo(phases, sides)
    whole, at = with_halo(source, room, 0)
    gaps = (2,) * len(sides)
    result, where, view = placed(np.zeros((len(source), *result_sides, channels), dtype), 2, gaps)
    for phase in phases:
        spec = DepthwiseSpec(
            dtype=dtype,
            axes=phase.axes,
            taps=phase.taps,
            kernel=kernel,
            channels=channels,
            source=at,
            weights=1,
            domain=Domain((*result_sides, channels)),
            epilogue=plain_store(dtype, where),
            buffers=3,
        )
        arrays = [whole, aligned(w), result]
        run_kernel(spec, arrays, images=len(source), target=target, parts=parts)
    assert (result == FILLER).sum() == result.size - view.size
    return view


def check(
    name: str, channels: int, dtype: DType = "float32", target: Target | None = None, parts: int = 1
) -> None:
    """The convolution and both gradients."""
    settings, sides = CASES[name]
    g = geometry(**settings, channels=channels)
    outputs = g.output_sides(sides)
    x, dy = data((2, *sides, channels), dtype), data((2, *outputs, channels), dtype, seed=1)
    w = data((*g.kernel, 1, channels), dtype, seed=2)
    forward = forward_axes(g, outputs)
    run: dict[str, Any] = {"target": target, "parts": parts}

    found = convolve([forward], g.kernel, x, sides, w, outputs, **run)
    same_bits(found, operation("conv").reference(g, x, w, images=2))

    found = convolve(gradient_phases(g, sides), g.kernel, dy, outputs, w, sides, **run)
    attrs = ConvGradInput(g, sides)
    same_bits(found, operation("conv_grad_input").reference(attrs, dy, w, images=2))

    source, at = with_halo(x, merged_halo([forward], sides), 0)
    gradient, at_dy, _ = placed(dy, 1, (1,) * len(sides))
    result = aligned(np.full(w.size + 3, FILLER, dtype))
    spec = DepthwiseWeightSpec(
        dtype=dtype,
        axes=forward.axes,
        channels=channels,
        source=at,
        gradient=at_dy,
        result=2,
        offset=2,
        buffers=3,
    )
    run_kernel(spec, [source, gradient, result], images=2, **run)
    expected = operation("conv_grad_weight").reference(g, x, dy, images=2)
    same_bits(result[2:-1].reshape(w.shape), expected)
    assert (result[[0, 1, -1]] == FILLER).all()
    assert prod(w.shape) == w.size


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    """Every kind of geometry gives the bits of the reference."""
    check(name, 5, parts=3)


@pytest.mark.parametrize("channels", [1, 3, 8, 16, 17, 33])
def test_channels(channels: int) -> None:
    """Numbers of channels around the vector width."""
    check("3x3/2", channels, parts=2)


@pytest.mark.parametrize("target", targets())
def test_targets(target: Target) -> None:
    """Every target gives the same bits."""
    check("3x3", 11, target=target)


def test_double() -> None:
    """float64 works as float32 does."""
    check("3x3", 9, "float64")
