"""Parts of a value: slices, and a value cut along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from isoconv.checks import refusal, whole
from isoconv.errors import ShapeError
from isoconv.nn.module import Module
from isoconv.nn.moving import taken_places
from isoconv.nn.settings import Axes, axes_of, axis_of
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import Padding
from isoconv.ops import Slice as Channels

__public__ = {"isoconv.nn": ["Slice"], "isoconv.nn.functional": ["slice_axes", "split"]}


def slice_axes(
    x: Tensor,
    starts: Sequence[int | None],
    stops: Sequence[int | None],
    axes: Axes | None = None,
    steps: Sequence[int] | None = None,
) -> Tensor:
    """Parts of axes, as Python's slices: ``x[start:stop:step]`` on each axis.

    Args:
        x: any shape.
        starts: the first place on each axis; negative ones are counted from the end, those beyond
            the ends are the ends, and None is the end that the steps come from.
        stops: one past the last place on each axis, likewise.
        axes: which, without that of the images, negative ones counted from the end; None for the
            first ones.
        steps: from one place to the next, also backwards; None for 1.

    Returns:
        The shape of x with the numbers of places that are left.

    Raises:
        ArgumentError: not as many starts, stops, axes and steps, or other than whole numbers.
        ShapeError: nothing is left of an axis.

    Example:
        >>> from isoconv.nn import Trace
        >>> slice_axes(Trace().images((28, 20, 3)), (2, -1), (-2, None), steps=(3, -1)).shape
        (8, 20, 3)
    """
    check_tensors("slice_axes", x=x)
    begins = _ends("starts", starts)
    ends = _ends("stops", stops, len(begins))
    which = (
        range(len(begins)) if axes is None else axes_of("axes", axes, len(x.shape), ordered=True)
    )
    if axes is None and len(begins) > len(x.shape):
        raise refusal("starts", f"be at most {len(x.shape)}, one for each axis", starts)
    if len(which) != len(begins):
        raise refusal("axes", f"be {len(begins)}, as many as starts", axes)
    paces = [1] * len(begins) if steps is None else _ends("steps", steps, len(begins))
    if 0 in paces or None in paces:
        raise refusal("steps", "be whole numbers other than 0", steps)
    parts = [range(side) for side in x.shape]
    for axis, *each in zip(which, begins, ends, paces, strict=True):
        parts[axis] = range(x.shape[axis])[slice(*each)]
        if not parts[axis]:
            rule = f"leave something of axis {axis}, of {x.shape[axis]} places"
            raise refusal("stops", rule, stops, ShapeError)
    return sliced(x, parts)


def _ends(name: str, value: object, count: int | None = None) -> list[int | None]:
    """Whole numbers or None, so many if that is known."""
    given = value if isinstance(value, (tuple, list)) and value else (0.5,)
    found = [None if entry is None else whole(entry) for entry in given]
    wrong = any(new is None and old is not None for new, old in zip(found, given, strict=True))
    if wrong or count not in (None, len(found)):
        rule = "be a list of whole numbers" + ("" if count is None else f", {count} of them")
        raise refusal(name, rule, value)
    return found


def sliced(x: Tensor, parts: Sequence[range]) -> Tensor:
    """Of each axis some places at even steps: a part of the same memory where the steps are one."""
    for axis, part in enumerate(parts):
        if part.step != 1 and len(part) > 1:
            x = taken_places(x, axis, tuple(part))
    near = [
        range(side) if part.step != 1 and len(part) > 1 else range(part[0], part[0] + len(part))
        for side, part in zip(x.shape, parts, strict=True)
    ]
    pairs = tuple((part.start, side - part.stop) for part, side in zip(near, x.shape, strict=True))
    if any(map(any, pairs[:-1])):
        x = apply("crop", x=x, attrs=Padding(pairs[:-1]))
    if pairs and any(pairs[-1]):
        x = apply("slice_channels", x=x, attrs=Channels(near[-1].start, near[-1].stop))
    return x


def split(x: Tensor, sizes: int | Sequence[int], axis: int = -1) -> tuple[Tensor, ...]:
    """A value cut into parts along one axis.

    Args:
        x: any shape.
        sizes: of each part, the last one smaller if need be; or of all parts, which make the axis.
        axis: which, without that of the images; negative ones are counted from the end.

    Returns:
        The parts, in order.

    Raises:
        ArgumentError: sizes below 1, or an axis that there is not.
        ShapeError: sizes that do not make the axis.

    Example:
        >>> from isoconv.nn import Trace
        >>> [part.shape for part in split(Trace().images((28, 20, 5)), (4, 1))]
        [(28, 20, 4), (28, 20, 1)]
    """
    check_tensors("split", x=x)
    place = axis_of("axis", axis, len(x.shape))
    side = x.shape[place]
    given = sizes if isinstance(sizes, (tuple, list)) else (sizes,)
    counts = [count for size in given if (count := whole(size)) is not None and count > 0]
    if len(counts) < len(given):
        raise refusal("sizes", "be whole numbers of at least 1", sizes)
    if given is not sizes:
        counts = [min(counts[0], side - start) for start in range(0, side, counts[0])]
    ends = [0, *accumulate(counts)]
    if ends[-1] != side:
        raise refusal("sizes", f"make the {side} places of the axis", sizes, ShapeError)
    whole_axes = [range(each) for each in x.shape]
    return tuple(
        sliced(x, [*whole_axes[:place], range(*ends_), *whole_axes[place + 1 :]])
        for ends_ in pairwise(ends)
    )


@dataclass(eq=False, repr=False)
class Slice(Module):
    """`slice_axes` as a layer: parts of axes, as Python's slices.

    Args:
        starts: the first place on each axis; negative ones are counted from the end, those beyond
            the ends are the ends, and None is the end that the steps come from.
        stops: one past the last place on each axis, likewise.
        axes: which, without that of the images, negative ones counted from the end; None for the
            first ones.
        steps: from one place to the next, also backwards; None for 1.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(parts...)``, the numbers of places that are left.

    Source:
        No formula: values are moved, none is computed.

    Raises:
        ArgumentError: when traced: not as many starts, stops, axes and steps.
        ShapeError: when traced: nothing is left of an axis.

    Example:
        >>> from isoconv import nn
        >>> nn.Slice((2,), (-2,), axes=(1,)).summary((28, 20, 3)).rows[0].output
        (28, 16, 3)
    """

    starts: tuple[int | None, ...]
    stops: tuple[int | None, ...]
    axes: tuple[int, ...] | None = None
    steps: tuple[int, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to a part of it."""
        return slice_axes(x, self.starts, self.stops, self.axes, self.steps)
