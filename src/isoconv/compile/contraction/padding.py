"""Products with padding: which they are, and what stands for them, bit for bit.

A product with padding is ``fma(+0.0, weight, acc)``. It changes nothing but two rare values: an
``acc`` of -0.0, which an underflow has left, and an ``acc`` that meets a weight that is not finite.
One addition does the same for all channels of a kernel position at once:

    zeros[m, o] = the chain over c of fma(+0.0, weight[m, c, o], .) from -0.0
    acc + zeros[m, o] = the chain over c of fma(+0.0, weight[m, c, o], .) from acc

``zeros`` is +0.0 if one of its weights has the sign of +0.0, else -0.0, and NaN if one is not
finite. Added to any other number it is that number; added to -0.0 it is what the products give.
The gradient by weight has the output's gradient in the place of the weights, and positions in the
place of channels.

Where an addition costs what it saves, products can be left out speculatively. If all factors are
finite, the chains with and without them can differ in one way only: with them ``acc`` is +0.0,
without them -0.0. The next product that is no zero, or that is +0.0, makes them equal again. So
they differ in the end only if the chain without them ends in -0.0, and then it is gone through once
more.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from isoconv.compile.contraction.index_maps import Axis, products


def met(axis: Axis, tap: int, side: int) -> list[int]:
    """The positions along an axis at which a tap meets the source, which has this size.

    Size 0 stands for an axis whose padding counts as source.
    """
    first = axis.in_first + tap * axis.in_tap
    return [p for p in range(axis.positions) if not side or 0 <= first + p * axis.in_step < side]


def inside_terms(axes: Sequence[Axis], sides: Sequence[int]) -> int:
    """How many pairs of a position and a kernel position meet no padding."""
    return prod(
        sum(len(met(axis, tap, side)) for tap in range(axis.taps))
        for axis, side in zip(axes, sides, strict=True)
    )


def inside_share(axes: Sequence[Axis], sides: Sequence[int]) -> float:
    """The same as a share of all pairs."""
    return inside_terms(axes, sides) / max(1, products(axes))
