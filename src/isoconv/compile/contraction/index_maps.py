"""Which input a kernel position meets: convolutions as affine index maps, axis by axis.

The forward pass and the gradient by the kernel read ``p * stride - padding + offset(m)``. The
gradient by the input reads the output's gradient; with a stride it falls into phases, one for each
remainder of the input coordinate, and in each phase it is a convolution with stride 1 whose kernel
positions are those that reach this remainder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from isoconv.compile.layout import Halo
from isoconv.errors import CompileError
from isoconv.graph.ir import Graph, Node
from isoconv.ops.geometry import ConvGeometry

MOST_PHASES = 2**16
"""Each is a kernel of its own, which takes milliseconds to compile."""
_MOST_EMPTY = 64  # of phases without kernel positions, beyond which one stands for all

Taps = tuple[tuple[int, int, int], ...]
"""Kernel positions, for each axis: (count, first, step)."""


def tap_count(taps: Taps) -> int:
    """How many kernel positions these are."""
    return prod(count for count, _, _ in taps)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the loop nest; all counts in coordinates of that axis.

    Position p writes ``out_first + p * out_step`` and its tap t reads
    ``in_first + p * in_step + t * in_tap``.
    """

    positions: int
    taps: int
    out_first: int
    out_step: int
    in_first: int
    in_step: int
    in_tap: int


def products(axes: Sequence[Axis]) -> int:
    """Pairs of a position and a kernel position, those that meet padding too."""
    return prod(axis.positions * axis.taps for axis in axes)


@dataclass(frozen=True, slots=True)
class Phase:
    """Part of a contraction: its axes and its kernel positions."""

    axes: tuple[Axis, ...]
    taps: Taps


def _offset(geometry: ConvGeometry, axis: int, m: int) -> int:
    turned = geometry.kernel[axis] - 1 - m if geometry.flip else m
    return turned * geometry.dilation[axis]


def forward_axes(geometry: ConvGeometry, outputs: Sequence[int]) -> Phase:
    """The index map of the forward pass."""
    axes, taps = [], []
    for d, (kernel, count) in enumerate(zip(geometry.kernel, outputs, strict=True)):
        first = _offset(geometry, d, 0) - geometry.padding[d][0]
        step = _offset(geometry, d, 1) - _offset(geometry, d, 0) if kernel > 1 else 0
        axes.append(Axis(count, kernel, 0, 1, first, geometry.stride[d], step))
        taps.append((kernel, 0, 1))
    return Phase(tuple(axes), tuple(taps))


def gradient_phases(geometry: ConvGeometry, sides: Sequence[int]) -> tuple[Phase, ...]:
    """The index maps of the gradient by the input, one per phase.

    Where many phases have no kernel position, one over the whole input stands for them all. It
    comes first: the others, which may not be left out, write again what is theirs.

    Raises:
        CompileError: more than `MOST_PHASES`.
    """
    reached = [_by_remainder(geometry, d, size) for d, size in enumerate(sides)]
    counts = [min(stride, size) for stride, size in zip(geometry.stride, sides, strict=True)]
    met = prod(map(len, reached))
    few = prod(counts) - met <= _MOST_EMPTY
    if met > MOST_PHASES:
        raise CompileError(
            "the gradient of a convolution by its input must fall into at most "
            f"{MOST_PHASES:,} parts, one for each remainder by the stride that the kernel "
            f"reaches; got {met:,} with kernel {geometry.kernel} and stride {geometry.stride}"
        )
    choices = [
        [
            _remainder(geometry, d, size, rest, taps.get(rest, []))
            for rest in (range(count) if few else sorted(taps))
        ]
        for d, (size, count, taps) in enumerate(zip(sides, counts, reached, strict=True))
    ]
    phases = tuple(
        Phase(tuple(axis for axis, _ in combination), tuple(taps for _, taps in combination))
        for combination in product(*choices)
    )
    if few:
        return phases
    whole = tuple(Axis(size, 0, 0, 1, 0, 1, 0) for size in sides)
    return (Phase(whole, ((0, 0, 1),) * len(whole)), *phases)


def _by_remainder(geometry: ConvGeometry, axis: int, size: int) -> dict[int, list[int]]:
    """Kernel positions by the remainder of the inputs that they reach."""
    found: dict[int, list[int]] = {}
    for m in range(geometry.kernel[axis]):
        reach = _offset(geometry, axis, m) - geometry.padding[axis][0]
        rest = reach % geometry.stride[axis]
        if rest < size:
            found.setdefault(rest, []).append(m)
    return found


def _remainder(
    geometry: ConvGeometry, axis: int, size: int, rest: int, taps: list[int]
) -> tuple[Axis, tuple[int, int, int]]:
    """One axis of a phase, and its kernel positions."""
    stride, reach = geometry.stride[axis], rest + geometry.padding[axis][0]
    where = [(reach - _offset(geometry, axis, m)) // stride for m in taps]
    positions = -(-(size - rest) // stride)
    step = where[1] - where[0] if len(taps) > 1 else 0
    jump = taps[1] - taps[0] if len(taps) > 1 else 1
    first, start = (taps[0], where[0]) if taps else (0, 0)
    return Axis(positions, len(taps), rest, stride, start, 1, step), (len(taps), first, jump)


def halo(axes: Sequence[Axis], sides: Sequence[int]) -> Halo:
    """How far beyond each side of the source the index map reaches: (before, after) per axis."""
    found = []
    for axis, size in zip(axes, sides, strict=True):
        if not axis.taps:
            found.append((0, 0))
            continue
        swing = (axis.taps - 1) * axis.in_tap
        lowest = axis.in_first + min(0, swing)
        highest = axis.in_first + (axis.positions - 1) * axis.in_step + max(0, swing)
        found.append((max(0, -lowest), max(0, highest - (size - 1))))
    return tuple(found)


def forward_halo(graph: Graph, node: Node) -> Iterator[tuple[int, Halo]]:
    """What the index map of the forward pass reads beyond the input."""
    sides = graph[node.inputs[0]].spec.shape[:-1]
    outputs = node.attrs.output_sides(sides)
    yield 0, halo(forward_axes(node.attrs, outputs).axes, sides)
