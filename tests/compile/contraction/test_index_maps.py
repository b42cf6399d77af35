"""Index maps against the definition of a convolution, position by position."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoconv.compile.contraction.index_maps import Axis, forward_axes, gradient_phases, halo
from isoconv.errors import CompileError
from isoconv.ops.geometry import ConvGeometry
from isoconv.ops.window import covered, offsets


@st.composite
def lines(draw: st.DrawFn) -> tuple[ConvGeometry, int]:
    """A geometry along one axis and a size that it fits."""
    kernel, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    padding = draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    extent = dilation * (kernel - 1) + 1
    least = max(1, extent - sum(padding))
    size = draw(st.integers(least, least + 8))
    stride, flip = draw(st.integers(1, 6)), draw(st.booleans())
    return ConvGeometry((kernel,), (stride,), (padding,), (dilation,), flip=flip), size


def tap_of(taps: tuple[int, ...], t: int) -> int:
    """Kernel position of tap t."""
    _, first, step = taps
    return first + t * step


@settings(max_examples=200, deadline=None, derandomize=True)
@given(lines())
def test_forward(case: tuple[ConvGeometry, int]) -> None:
    """Tap m of output p reads p * stride - padding + offset(m); taps are in order."""
    geometry, size = case
    (outputs,) = geometry.output_sides((size,))
    phase = forward_axes(geometry, (outputs,))
    (axis,), (taps,) = phase.axes, phase.taps
    assert (axis.positions, axis.taps, axis.out_first, axis.out_step) == (outputs, *taps[:1], 0, 1)
    for t in range(axis.taps):
        m = tap_of(taps, t)
        assert m == t
        (wanted,) = covered(geometry, (m,), (outputs,))
        found = [axis.in_first + p * axis.in_step + t * axis.in_tap for p in range(outputs)]
        assert found == list(wanted)
    assert axis.taps == geometry.kernel[0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(lines())
def test_gradient(case: tuple[ConvGeometry, int]) -> None:
    """Each input is met once; its taps are those that the stride reaches, in order of m."""
    geometry, size = case
    (kernel,), (stride,), ((before, _),) = geometry.kernel, geometry.stride, geometry.padding
    met = {}
    for phase in gradient_phases(geometry, (size,)):
        (axis,), (taps,) = phase.axes, phase.taps
        assert axis.taps == taps[0]
        for p in range(axis.positions):
            h = axis.out_first + p * axis.out_step
            assert h not in met
            met[h] = [
                (tap_of(taps, t), axis.in_first + p * axis.in_step + t * axis.in_tap)
                for t in range(axis.taps)
            ]
    expected: dict[int, list[Any]] = {}
    for h in range(size):
        expected[h] = []
        for m in range(kernel):
            (offset,) = offsets(geometry, (m,))
            if (h + before - offset) % stride == 0:
                expected[h].append((m, (h + before - offset) // stride))
    assert met == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(lines())
def test_halo(case: tuple[ConvGeometry, int]) -> None:
    """A halo is as wide as the furthest reads beyond the source, and no wider."""
    geometry, size = case
    (outputs,) = geometry.output_sides((size,))
    phases = [(forward_axes(geometry, (outputs,)), size)]
    phases += [(phase, outputs) for phase in gradient_phases(geometry, (size,))]
    for phase, side in phases:
        (axis,) = phase.axes
        reads = [
            axis.in_first + p * axis.in_step + t * axis.in_tap
            for p in range(axis.positions)
            for t in range(axis.taps)
        ]
        wanted = (max(0, -min(reads, default=0)), max(0, max(reads, default=0) - (side - 1)))
        assert halo(phase.axes, (side,)) == (wanted,)


def test_axes_are_independent() -> None:
    """Phases of a plane are all pairs of the phases of its axes."""
    geometry = ConvGeometry((3, 2), (2, 3), ((1, 0), (0, 1)), (1, 2))
    sides = (5, 7)
    phases = gradient_phases(geometry, sides)
    assert len(phases) == 6
    alone = []
    for d in (0, 1):
        part = ConvGeometry(
            geometry.kernel[d : d + 1], geometry.stride[d : d + 1],
            geometry.padding[d : d + 1], geometry.dilation[d : d + 1],
        )  # fmt: skip
        alone.append([(p.axes[0], p.taps[0]) for p in gradient_phases(part, sides[d : d + 1])])
    expected = [((a, b), (s, t)) for (a, s), (b, t) in product(*alone)]
    assert [(phase.axes, phase.taps) for phase in phases] == expected


def test_a_stride_far_beyond_the_kernel() -> None:
    """One phase over the whole input stands for all that no tap reaches, and comes first."""
    side = 10**6
    geometry = ConvGeometry((3, 1), (side, 1), ((1, 0), (0, 0)), (1, 1))
    first, *others = gradient_phases(geometry, (side, 2))
    assert first.axes == (Axis(side, 0, 0, 1, 0, 1, 0), Axis(2, 0, 0, 1, 0, 1, 0))
    assert first.taps == ((0, 0, 1), (0, 0, 1))
    found = [(phase.axes[0].out_first, phase.taps[0]) for phase in others]
    assert found == [(0, (1, 1, 1)), (1, (1, 2, 1)), (side - 1, (1, 0, 1))]


def test_too_many_phases() -> None:
    """They are counted before they are made."""
    geometry = ConvGeometry((300, 300), (300, 300), ((0, 0), (0, 0)), (1, 1))
    with pytest.raises(CompileError, match=r"at most 65,536 parts.* got 90,000 with kernel"):
        gradient_phases(geometry, (900, 900))


def test_no_axes() -> None:
    """A linear layer has one phase and no halo."""
    linear = ConvGeometry.linear()
    assert forward_axes(linear, ()).axes == ()
    (phase,) = gradient_phases(linear, ())
    assert phase.axes == ()
    assert halo((), ()) == ()


def test_an_axis_without_taps_reads_nothing() -> None:
    """A stride larger than the kernel leaves phases that no tap reaches."""
    assert halo((Axis(3, 0, 0, 1, 0, 1, 0),), (5,)) == ((0, 0),)
    geometry = ConvGeometry((1,), (3,), ((0, 0),), (1,))
    counts = [phase.axes[0].taps for phase in gradient_phases(geometry, (7,))]
    assert counts == [1, 0, 0]
