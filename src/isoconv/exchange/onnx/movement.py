"""Operators of ONNX that move values: most only say anew how a value lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, prod

import numpy as np

from isoconv.exchange.onnx.arithmetic import applied, cut_off
from isoconv.exchange.onnx.building import Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.convolution import channels_last
from isoconv.exchange.onnx.folding import normal_axes, shape_slice
from isoconv.exchange.onnx.layouts import Layout, row
from isoconv.exchange.onnx.tensors import FLOATS, KINDS
from isoconv.nn import (
    Apply,
    Concatenate,
    Pad,
    PixelShuffle,
    PixelUnshuffle,
    Slice,
    functional,
)
from isoconv.nn.moving import MOST_PLACES

MOST_COPIES = 64
"""Of a value that is repeated beside itself."""


@converts("Identity")
def _identity(use: Use) -> Sequence[Given]:
    return [use.value()]


@converts("Cast")
def _cast(use: Use) -> Sequence[Given]:
    """Numbers stay floats: whole ones are cut off as ONNX does it, conditions become 1 or 0."""
    x, kind = use.value(), KINDS.get(use.setting("to", 0), "an unknown kind")
    if kind in FLOATS:
        return [x]
    if kind == "bool":
        return [applied(use, x, functional.not_equal, 0.0)]
    if not kind.startswith(("int", "uint")):
        raise NodeError(f"it must give floats, whole numbers or conditions; got {kind}")
    return [cut_off(use, x)]


@converts("Shape")
def _shape(use: Use) -> Sequence[Given]:
    """Known, for one image."""
    return [Fixed(np.array(shape_slice(use.node.attributes, use.value().sizes), np.int64))]


@converts("Transpose")
def _transpose(use: Use) -> Sequence[Given]:
    x = use.value()
    rank = len(x.sizes)
    order = use.setting("perm", tuple(range(rank))[::-1])
    if normal_axes(order, rank) != tuple(range(rank)):
        raise NodeError(f"perm must name {rank} axes; got {list(order)}")
    return [Value(x.name, x.layout.transposed(order))]


@converts("Reshape", since=5)
def _reshape(use: Use) -> Sequence[Given]:
    x, wanted = use.value(), use.whole(1, "a shape")
    if wanted is None:
        raise NodeError("it must have a shape, input 1")
    sizes = list(wanted)
    if not use.setting("allowzero", 0):
        if any(side == 0 and place >= len(x.sizes) for place, side in enumerate(sizes)):
            raise NodeError(f"a side of 0 keeps one that there is; got {sizes} for {list(x.sizes)}")
        sizes = [side or x.sizes[place] for place, side in enumerate(sizes)]
    if x.sizes[:1] == (1,) and sizes and sizes[0] > 1 and -1 in sizes:
        use.into.split.append(
            f"{use.node.title} to {list(wanted)} makes {sizes[0]} rows of one image: if "
            f"those are images, the export wrote their number down; export it with a batch of one"
        )
    return [_under(use, x, sizes)]


def _under(use: Use, x: Value, sizes: Sequence[int]) -> Value:
    """A value under another shape, of which one side may be -1."""
    count, known = prod(x.sizes), prod(side for side in sizes if side != -1)
    sizes = [count // known if side == -1 and known > 0 else side for side in sizes]
    if prod(sizes) != count or min(sizes, default=1) < 1:
        batch = sizes[0] if sizes and x.sizes[:1] == (1,) else 1
        fixed = batch > 1 and prod(sizes) == batch * count
        raise NodeError(
            f"a reshape must keep the elements of one image, {list(x.sizes)}; got {list(sizes)}"
            + (f", a batch of {batch}: export it with a batch of one, or a free batch axis" * fixed)
        )
    return use.into.reshaped(x, sizes)


@converts("Flatten")
def _flatten(use: Use) -> Sequence[Given]:
    x = use.value()
    axis = use.setting("axis", 1)
    axis = axis + len(x.sizes) if axis < 0 else axis
    return [_under(use, x, [prod(x.sizes[:axis]), prod(x.sizes[axis:])])]


def _axes(use: Use) -> tuple[int, ...] | None:
    """What was an attribute and became an input in version 13."""
    found: tuple[int, ...] | None = (
        use.whole(1, "axes") if use.opset >= 13 else use.setting("axes", ()) or None
    )
    return found


@converts("Squeeze")
def _squeeze(use: Use) -> Sequence[Given]:
    x, axes = use.value(), _axes(use)
    ones = {place for place, side in enumerate(x.sizes) if side == 1}
    gone = ones if axes is None else set(normal_axes(axes, len(x.sizes)))
    if not gone <= ones:
        raise NodeError(f"sides that go must be 1; got axes {list(axes or ())} of {list(x.sizes)}")
    return [_under(use, x, [s for place, s in enumerate(x.sizes) if place not in gone])]


@converts("Unsqueeze")
def _unsqueeze(use: Use) -> Sequence[Given]:
    x, axes = use.value(), _axes(use) or ()
    new = normal_axes(axes, len(x.sizes) + len(axes))
    sides = iter(x.sizes)
    rank = len(x.sizes) + len(axes)
    return [_under(use, x, [1 if place in new else next(sides) for place in range(rank)])]


@converts("Concat", since=4)
def _concat(use: Use) -> Sequence[Given]:
    parts = [use.value(place) for place in range(len(use.inputs))]
    axis = use.axis(use.setting("axis", 1), parts[0].sizes)
    return [beside(use, parts, axis)]


def beside(use: Use, parts: Sequence[Value], axis: int) -> Value:
    """Values beside one another along an axis.

    Raises:
        NodeError: their other sides differ.
    """
    sizes, count = parts[0].sizes, 0
    for part in parts:
        if len(part.sizes) != len(sizes):
            raise NodeError(f"its inputs must have {len(sizes)} axes; got {list(part.sizes)}")
        count += part.sizes[axis]
        same = [side for place, side in enumerate(part.sizes) if place != axis]
        if same != [side for place, side in enumerate(sizes) if place != axis]:
            listed = [list(part.sizes) for part in parts]
            raise NodeError(f"other sides must be equal; got {listed}")
    first, order = use.apart(max(parts, key=lambda part: part.sizes[axis]), axis)
    own = [use.into.lying(part, part.layout.lying(order)) for part in parts]
    place, last = order.index(axis), len(order) - 1
    axes = tuple(row(count) if n == axis else each for n, each in enumerate(first.layout.axes))
    layout = Layout(axes, tuple(axes[n] for n in order))
    return use.layer(Concatenate() if place == last else Concatenate(place), own, layout)


def sliced(use: Use, x: Value, spans: Mapping[int, tuple[int, int, int]]) -> Value:
    """Parts of some axes.

    Args:
        use: the node.
        x: the value.
        spans: axis → first place, number of places, step.

    Raises:
        NodeError: nothing is left.
    """
    spans = {axis: span for axis, span in spans.items() if span != (0, x.sizes[axis], 1)}
    if any(count < 1 for _, count, _ in spans.values()):
        raise NodeError(f"something must be left of {list(x.sizes)}")
    if not spans:
        return x
    x, order = use.apart(x, *spans)
    starts, stops = [], []
    for start, count, step in spans.values():
        end = start + count * step
        starts.append(start)
        # Before the first place there is none.
        stops.append(None if end < 0 else end)
    places = tuple(order.index(axis) for axis in spans)
    steps = tuple(step for *_, step in spans.values())
    layer = Slice(tuple(starts), tuple(stops), places, None if set(steps) == {1} else steps)
    axes = tuple(
        row(spans[axis][1]) if axis in spans else each for axis, each in enumerate(x.layout.axes)
    )
    return use.layer(layer, [x], Layout(axes, tuple(axes[n] for n in order)))


@converts("Slice")
def _slice(use: Use) -> Sequence[Given]:
    """What were settings are inputs since version 10."""
    x = use.value()
    names = ("starts", "ends", "axes", "steps")
    if use.opset >= 10:
        found = [use.whole(place, name) for place, name in enumerate(names, 1)]
    else:
        found = [use.setting(name, ()) or None for name in names]
    starts, ends, axes, steps = found
    count = len(starts or ())
    axes = tuple(range(count)) if axes is None else axes
    steps = (1,) * count if steps is None else steps
    if starts is None or ends is None or not count == len(ends) == len(axes) == len(steps):
        raise NodeError("it must have as many starts, ends, axes and steps")
    spans = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = use.axis(axis, x.sizes)
        size = x.sizes[place]
        if step == 0:
            raise NodeError("steps must not be 0")
        # Python counts an end before the first place from the end.
        stop = None if step < 0 and end < -size else end
        taken = range(size)[start:stop:step]
        spans[place] = (taken.start, len(taken), step)
    return [sliced(use, x, spans)]


@converts("Split")
def _split(use: Use) -> Sequence[Given]:
    x = use.value()
    axis = use.axis(use.setting("axis", 0), x.sizes)
    size, count = x.sizes[axis], len(use.node.outputs)
    given = use.whole(1, "sizes") if use.opset >= 13 else use.setting("split", ()) or None
    if given is None:
        count = use.setting("num_outputs", count)
        each = -(-size // count)
        given = tuple(max(0, min(each, size - each * n)) for n in range(count))
    parts, start = [], 0
    for length in given:
        if start + length > size:
            raise NodeError(f"its parts must be those of {size} places; got {list(given)}")
        parts.append(sliced(use, x, {axis: (start, length, 1)}))
        start += length
    if start != size:
        raise NodeError(f"its parts must be those of {size} places; got {list(given)}")
    return parts


@converts("Gather")
def _gather(use: Use) -> Sequence[Given]:
    """Places of an axis by their numbers, under the shape of these."""
    x, places = use.value(), use.array(1, "places")
    axis = use.axis(use.setting("axis", 0), x.sizes)
    size = x.sizes[axis]
    if places.dtype.kind not in "iu" or places.size == 0:
        raise NodeError("places must be whole numbers, at least one")
    if places.size > MOST_PLACES:
        raise NodeError(f"places must be at most {MOST_PLACES:,}; got {places.size:,}")
    found = places.reshape(-1).tolist()
    if not all(-size <= place < size for place in found):
        raise NodeError(f"places must be among {size}; got {found[:8]}")
    x, order = use.apart(x, axis)
    layer = Apply(functional.take, (tuple(place % size for place in found), order.index(axis)))
    axes = tuple(row(len(found)) if n == axis else each for n, each in enumerate(x.layout.axes))
    y = use.layer(layer, [x], Layout(axes, tuple(axes[n] for n in order)))
    return [_under(use, y, [*x.sizes[:axis], *places.shape, *x.sizes[axis + 1 :]])]


@converts("Tile", since=6)
def _tile(use: Use) -> Sequence[Given]:
    x, repeats = use.value(), use.whole(1, "repeats") or ()
    if len(repeats) != len(x.sizes) or min(repeats, default=1) < 1:
        raise NodeError(f"repeats must be one for each axis, from 1; got {list(repeats)}")
    for axis, count in enumerate(repeats):
        if count > MOST_COPIES:
            raise NodeError(f"repeats must be at most {MOST_COPIES}; got {count}")
        x = beside(use, [x] * count, axis) if count > 1 else x
    return [x]


_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@converts("Pad")
def _pad(use: Use) -> Sequence[Given]:
    """What were settings are inputs since version 11."""
    x = use.value()
    rank = len(x.sizes)
    axes: Sequence[int] = range(rank)
    if use.opset >= 11:
        pads = use.whole(1, "pads") or ()
        value = use.optional(2, "a value")
        number = 0.0 if value is None or not value.size else float(value.reshape(-1)[0])
        chosen = use.whole(3, "axes")
        axes = axes if chosen is None else [use.axis(axis, x.sizes) for axis in chosen]
    else:
        pads, number = use.setting("pads", ()), use.setting("value", 0.0)
    mode = use.setting("mode", "constant")
    if len(pads) != 2 * len(axes) or mode not in _MODES:
        raise NodeError(f"pads must be two for each axis, and mode one of {', '.join(_MODES)}")
    pairs = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))
    pairs = {axis: pair for axis, pair in pairs.items() if pair != (0, 0)}
    if not pairs:
        return [x]
    x, order = use.apart(x, *pairs)
    if not isfinite(number):
        raise NodeError(f"its value must be finite; got {number}")
    layer = Pad(tuple(pairs.get(axis, (0, 0)) for axis in order), _MODES[mode], number)  # type: ignore[arg-type]
    axes_now = list(x.layout.axes)
    for axis, (before, after) in pairs.items():
        axes_now[axis] = row(max(1, before + x.sizes[axis] + after))
    return [use.layer(layer, [x], Layout(tuple(axes_now), tuple(axes_now[n] for n in order)))]


@converts("DepthToSpace")
def _depth_to_space(use: Use) -> Sequence[Given]:
    x, factor = use.maps(use.value()), use.setting("blocksize", 1)
    _, channels, *sides = x.sizes
    if len(sides) != 2 or factor < 1 or channels % (factor * factor):
        raise NodeError(f"blocksize must fit {channels} channels; got {factor}")
    layout = channels_last((1, channels // (factor * factor), *(side * factor for side in sides)))
    return [use.layer(PixelShuffle(factor, use.setting("mode", "DCR")), [x], layout)]


@converts("SpaceToDepth")
def _space_to_depth(use: Use) -> Sequence[Given]:
    x, factor = use.maps(use.value()), use.setting("blocksize", 1)
    _, channels, *sides = x.sizes
    if len(sides) != 2 or factor < 1 or any(side % factor for side in sides):
        raise NodeError(f"blocksize must divide the sides {sides}; got {factor}")
    layout = channels_last((1, channels * factor * factor, *(side // factor for side in sides)))
    return [use.layer(PixelUnshuffle(factor, use.setting("mode", "DCR")), [x], layout)]
