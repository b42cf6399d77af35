"""Packed weights against NumPy: block by block, in the order of the chains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import same_bits

from isoconv.compile.contraction.pack import PackSpec
from isoconv.compile.contraction.tiles import runs
from isoconv.graph.operation import Array


def packed(spec: PackSpec, w: Array) -> Array:
    """What the kernel is to write, by plain indexing: the phases behind each other."""
    return np.concatenate([_phase(spec, w, taps) for taps in spec.phases])


def _chains(spec: PackSpec, w: Array, taps: tuple[tuple[int, ...], ...]) -> Array:
    """The weights of a phase as (group, kernel position, step of its chain, lane)."""
    channels, outputs = w.shape[-2:]
    chosen = w
    for axis, (count, first, step) in enumerate(taps):
        chosen = np.take(chosen, [first + t * step for t in range(count)], axis=axis)
    # One row for each tap; then channels of the group, groups, filters of the group.
    rows = chosen.reshape(-1, channels, spec.groups, outputs // spec.groups)
    return rows.transpose(2, 0, 3, 1) if spec.transposed else rows.transpose(2, 0, 1, 3)


def _phase(spec: PackSpec, w: Array, taps: tuple[tuple[int, ...], ...]) -> Array:
    return _in_blocks(spec, _chains(spec, w, taps))


def _zeros(spec: PackSpec, w: Array, taps: tuple[tuple[int, ...], ...]) -> Array:
    """Of each kernel position: +0.0 unless all weights of its chain are negative."""
    negative = np.signbit(_chains(spec, w, taps)).all(axis=2, keepdims=True)
    return _in_blocks(spec, np.where(negative, -0.0, 0.0).astype(spec.dtype), behind=np.nan)


def _in_blocks(spec: PackSpec, chains: Array, behind: float = 0.0) -> Array:
    groups, taps, chain, width = chains.shape
    lanes = spec.lanes
    full = -(-width // lanes) * lanes
    padded = np.full((groups, taps * chain, full), behind, chains.dtype)
    padded[..., :width] = chains.reshape(groups, taps * chain, width)
    pieces = []
    for group in padded:
        first = 0
        for size, count in runs(full // lanes, spec.vectors):
            for _ in range(count):
                pieces.append(group[:, first : first + size * lanes].ravel())
                first += size * lanes
    return np.concatenate(pieces)


def check(spec: PackSpec, parts: int = 1) -> None:
    """The kernel's result, from random weights, over whatever was there before."""
    outputs = spec.filters * spec.groups
    w = np.random.default_rng(0).standard_normal((*spec.kernel, spec.channels, outputs))
    w = aligned(w.astype(spec.dtype))
    result = aligned(np.full(spec.size, 77, spec.dtype))
    run_kernel(spec, [w, result], parts=parts)
    weights = spec.begin(len(spec.phases))
    same_bits(result[:weights], packed(spec, w))
    if spec.zeros:
        expected = np.concatenate([_zeros(spec, w, taps) for taps in spec.phases])
        # What stands in the lanes behind the last filter is nobody's.
        counts = ~np.isnan(expected)
        same_bits(result[weights:][counts], expected[counts])


@st.composite
def specs(draw: st.DrawFn) -> PackSpec:
    """Packings of forward passes and of phases of gradients."""
    kernel = draw(st.lists(st.integers(1, 4), max_size=3))

    def taps(size: int) -> tuple[int, int, int]:
        count = draw(st.integers(1, size))
        step = draw(st.integers(1, max(1, (size - 1) // max(1, count - 1)))) if count > 1 else 1
        return count, draw(st.integers(0, size - 1 - (count - 1) * step)), step

    phases = [tuple(taps(size) for size in kernel) for _ in range(draw(st.integers(1, 4)))]
    return PackSpec(
        dtype=draw(st.sampled_from(["float32", "float64"])),
        kernel=tuple(kernel),
        phases=tuple(phases),
        channels=draw(st.integers(1, 9)),
        filters=draw(st.sampled_from([1, 3, 4, 5, 8, 9, 17, 33])),
        groups=draw(st.integers(1, 3)),
        transposed=draw(st.booleans()),
        vectors=draw(st.integers(1, 3)),
        lanes=draw(st.sampled_from([4, 8])),
        zeros=draw(st.booleans()),
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(specs(), st.integers(1, 3))
def test_any_packing(spec: PackSpec, parts: int) -> None:
    """Random kernels, taps, groups, blocks and lanes; the work shared among parts."""
    check(spec, parts)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("width", [1, 15, 16, 17, 31, 33, 65])
def test_last_lanes_are_zero(transposed: bool, width: int) -> None:
    """Lanes beyond the last filter hold +0.0."""
    channels, filters = (width, 3) if transposed else (3, width)
    spec = PackSpec("float32", channels, filters, transposed, 2, 16, (2,), (((2, 0, 1),),), 1)
    check(spec)
    assert spec.size == 2 * 3 * -(-width // 16) * 16


def test_where_phases_begin() -> None:
    """Two phases of a kernel of three: two positions, then one."""
    spec = PackSpec("float32", 5, 3, True, 1, 4, (3,), (((2, 0, 2),), ((1, 1, 1),)), 2)
    a_step = 2 * 2 * 4  # groups × vectors × lanes
    assert [spec.begin(phase) for phase in range(2)] == [0, 2 * 3 * a_step]
    assert spec.size == 3 * 3 * a_step
    check(spec)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_zeros_of_weights_that_are_not_finite(transposed: bool, value: float) -> None:
    """NaN in the lane of a single such weight, at its kernel position alone."""
    spec = PackSpec("float32", 6, 11, transposed, 2, 4, (3,), (((3, 0, 1),),), 1, True)
    w = aligned(np.full((3, 6, 11), -0.5, np.float32))
    w[1, 4, 9] = value
    result = aligned(np.zeros(spec.size, np.float32))
    run_kernel(spec, [w, result], parts=2)
    zeros = result[spec.begin_zeros(0) :]
    assert np.isnan(zeros).sum() == 1
