"""Settings of convolutions, for tests: `convolutions()` draws them."""

from __future__ import annotations

from hypothesis import strategies as st

import isoconv.ops  # noqa: F401  (fills the table)
from isoconv.ops.geometry import ConvGeometry


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[ConvGeometry, tuple[int, ...], int, int]:
    """A geometry, input sizes, input channels of a group, output channels of a group."""
    rank = draw(st.integers(0, 3))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    kernel, dilation, stride = per_axis(1, 3), per_axis(1, 2), per_axis(1, 3)
    padding = tuple(zip(per_axis(0, 2), per_axis(0, 2), strict=True))
    extra = per_axis(0, 3)
    sides = tuple(
        max(1, d * (k - 1) + 1 - before - after + more)
        for k, d, (before, after), more in zip(kernel, dilation, padding, extra, strict=True)
    )
    groups, flip = draw(st.integers(1, 3)), draw(st.booleans())
    geometry = ConvGeometry(kernel, stride, padding, dilation, groups, flip)
    return geometry, sides, draw(st.integers(1, 3)), draw(st.integers(1, 2))
