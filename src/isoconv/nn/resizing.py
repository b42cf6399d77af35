"""Feature maps of another size: nearest, linear and cubic interpolation along each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from isoconv.checks import check_choice, check_flag, check_number, plain, refusal
from isoconv.errors import ShapeError, as_given
from isoconv.nn.module import Module
from isoconv.nn.moving import MOST_PLACES, taken_places
from isoconv.nn.padding import pad
from isoconv.nn.settings import Axes, PerAxis, axes_of, per_axis
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import Resample
from isoconv.ops.resample import Taps
from isoconv.ops.sampling import Coordinates, Rounding, nearest, positions, taps, width

__public__ = {"isoconv.nn": ["Resize", "Upsample"], "isoconv.nn.functional": ["[a-z]*"]}

Scale = float | tuple[float, ...]
"""One factor for all axes, or one per axis."""
Mode = Literal["nearest", "linear", "cubic"]
Policy = Literal["stretch", "not_larger", "not_smaller"]
Region = tuple[tuple[float, float], ...]
UpsampleMode = Literal[
    "nearest", "nearest-exact", "linear", "bilinear", "trilinear", "cubic", "bicubic"
]


def resize(
    x: Tensor,
    size: PerAxis | None = None,
    scale: Scale | None = None,
    mode: Mode = "nearest",
    coordinates: Coordinates = "half_pixel",
    rounding: Rounding = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: bool = False,
    antialias: bool = False,
    axes: Axes | None = None,
    region: Region | None = None,
    extrapolation_value: float = 0.0,
    policy: Policy = "stretch",
) -> Tensor:
    """A value with more or fewer places on some axes, after ONNX's Resize.

    Place i of the result lies at a position of x, with I places of x, O of the result, scale s,
    and L = O where the size is given, else ``s · I``:

    ====================== =======================================================
    coordinates            position
    ====================== =======================================================
    "half_pixel"           ``(i + 1/2) / s - 1/2``
    "pytorch_half_pixel"   the same, and 0 where L is at most 1
    "half_pixel_symmetric" the same, and ``I/2 · (1 - O/L)`` further
    "align_corners"        ``i · (I - 1) / (L - 1)``, and 0 where L is 1
    "asymmetric"           ``i / s``
    "tf_crop_and_resize"   ``i · (end - begin) · (I - 1) / (L - 1) + begin · (I - 1)``
    ====================== =======================================================

    "nearest" takes the place next to it. "linear" and "cubic" mix 2 or 4 places around it, with
    weights of their distance d: ``1 - d``, or those of Keys 1981, "Cubic convolution interpolation
    for digital image processing": ``(a + 2)d³ - (a + 3)d² + 1`` up to 1, then ``a(d³ - 5d² + 8d -
    4)``. Beyond its ends x goes on with its first and last place. One axis is done after the other,
    the first one first.

    Args:
        x: ``(spatial..., C)``, or any shape with ``axes``.
        size: of the result, one number or one per axis; either this or a scale.
        scale: how much larger the result is, one number or one per axis: its size is
            ``floor(scale · side)``.
        mode: "nearest", "linear" or "cubic".
        coordinates: which formula of the table.
        rounding: which place is next to a position in the middle of two or, with "floor" and
            "ceil", to any: "round_prefer_floor", "round_prefer_ceil", "floor", "ceil".
        cubic_coeff_a: a.
        exclude_outside: what lies beyond the ends of x has no weight; the rest is divided by its
            sum.
        antialias: where the result is smaller, distances are multiplied by the scale, so that all
            of x counts; linear and cubic alone.
        axes: which are resized, without that of the images, negative ones counted from the end;
            None for all but the last.
        region: (begin, end) for each axis, of "tf_crop_and_resize": 0 is its first place, 1 its
            last.
        extrapolation_value: of results beyond the ends with "tf_crop_and_resize".
        policy: "stretch", or with a size one scale for all axes, so that no side is larger or none
            is smaller than it: "not_larger", "not_smaller".

    Returns:
        The shape of x with other sides.

    Raises:
        ArgumentError: size and scale, or neither; a setting outside its allowed values.
        ShapeError: no spatial axis, or a result without places.

    Example:
        >>> from isoconv.nn import Trace
        >>> resize(Trace().images((28, 20, 3)), scale=1.5, mode="linear").shape
        (42, 30, 3)
    """
    check_tensors("resize", x=x)
    for name, chosen, kind in (
        ("mode", mode, Mode), ("coordinates", coordinates, Coordinates),
        ("rounding", rounding, Rounding), ("policy", policy, Policy),
    ):  # fmt: skip
        check_choice(name, chosen, get_args(kind))
    cubic = float(check_number("cubic_coeff_a", cubic_coeff_a))
    excluded = check_flag("exclude_outside", exclude_outside)
    smooth = check_flag("antialias", antialias)
    value = float(check_number("extrapolation_value", extrapolation_value))
    rank = len(x.shape)
    which = tuple(range(rank - 1)) if axes is None else axes_of("axes", axes, rank, ordered=True)
    if not which and axes is not None:
        raise refusal("axes", "be at least one", axes)
    if not which:
        rule = "have spatial axes before that of the channels"
        raise refusal("x", rule, x, ShapeError, got=f"shape {x.shape}")
    sides = [x.shape[axis] for axis in which]
    sizes, scales = _sizes(sides, size, scale, policy)
    regions = _regions(region, len(which), coordinates)
    beyond = [(0, 0)] * rank
    for axis, side, count, factor, seen in zip(which, sides, sizes, scales, regions, strict=True):
        at = positions(side, count, factor, coordinates, seen)
        inside = [
            coordinates != "tf_crop_and_resize" or 0 <= position <= side - 1 for position in at
        ]
        if not any(inside):
            return _constant(x, which, sizes, value)
        first, end = inside.index(True), count - inside[::-1].index(True)
        beyond[axis] = (first, count - end)
        if mode == "nearest":
            x = taken_places(x, axis, nearest(at[first:end], side, rounding))
            continue
        stretch = factor if smooth else 1.0
        if count * width(mode, stretch) > MOST_PLACES:
            name, given = ("scale", scale) if size is None else ("size", size)
            rule = f"mix at most {MOST_PLACES} places along an axis"
            raise refusal(name, rule, given, ShapeError)
        rows = taps(at[first:end], side, mode, cubic=cubic, exclude_outside=excluded, scale=stretch)
        x = _mixed(x, axis, rows)
    return pad(x, tuple(beyond), value=value) if any(map(any, beyond)) else x


def _mixed(x: Tensor, axis: int, rows: Taps) -> Tensor:
    """Resampled along one axis; single places of weight 1 are taken as they are."""
    if all(len(row) == 1 and row[0][1] == 1.0 for row in rows):
        return taken_places(x, axis, tuple(row[0][0] for row in rows))
    return apply("resample", x=x, attrs=Resample(axis - len(x.shape), rows))


def _constant(x: Tensor, axes: Sequence[int], sizes: Sequence[int], value: float) -> Tensor:
    """A result of which all lies beyond the ends."""
    for axis, size in zip(axes, sizes, strict=True):
        x = taken_places(x, axis, (-1,) * size)
    return x + value


def _sizes(
    sides: Sequence[int], size: object, scale: object, policy: str
) -> tuple[list[int], list[float]]:
    """The size and the scale of each axis."""
    rank = len(sides)
    if (size is None) == (scale is None):
        raise refusal("size", "be given, or else a scale", size)
    if size is None:
        if policy != "stretch":
            raise refusal("policy", 'be "stretch" with a scale', policy)
        scales = _numbers("scale", scale, rank)
        sizes = [math.floor(side * factor) for side, factor in zip(sides, scales, strict=True)]
        name, given = "scale", scale
    else:
        with as_given(size=size):
            sizes = list(per_axis("size", size, rank))  # type: ignore[arg-type]
        scales = [count / side for count, side in zip(sizes, sides, strict=True)]
        if policy != "stretch":
            factor = min(scales) if policy == "not_larger" else max(scales)
            scales = [factor] * rank
            sizes = [math.floor(factor * side + 0.5) for side in sides]
        name, given = "size", size
    if not all(1 <= count <= MOST_PLACES for count in sizes):
        rule = f"leave 1 to {MOST_PLACES} places of each side of {tuple(sides)}"
        raise refusal(name, rule, given, ShapeError)
    return sizes, scales


def _numbers(name: str, value: object, rank: int) -> list[float]:
    """A number above 0 for each axis."""
    given = value if isinstance(value, (tuple, list)) else (value,) * rank
    found = [plain(entry) for entry in given]
    good = [
        float(entry)
        for entry in found
        if isinstance(entry, (int, float)) and not isinstance(entry, bool) and 0 < entry < 2**31
    ]
    if not len(good) == len(given) == rank:
        raise refusal(name, f"be a number above 0 and below 2**31, or {rank} of them", value)
    return good


def _regions(region: object, rank: int, coordinates: str) -> list[tuple[float, float]]:
    """What is shown of each axis."""
    if region is None or coordinates != "tf_crop_and_resize":
        if region is not None or coordinates == "tf_crop_and_resize":
            raise refusal("region", 'be given with "tf_crop_and_resize", and then alone', region)
        return [(0.0, 1.0)] * rank
    given = region if isinstance(region, (tuple, list)) else ()
    pairs = [
        tuple(float(end) for end in map(plain, pair) if isinstance(end, (int, float)))
        for pair in given
        if isinstance(pair, (tuple, list))
    ]
    if not len(pairs) == len(given) == rank or any(
        len(pair) != 2 or not all(abs(end) < 2**31 for end in pair) for pair in pairs
    ):
        raise refusal("region", f"be {rank} pairs of numbers, begin and end of each axis", region)
    return [(pair[0], pair[1]) for pair in pairs]


_UPSAMPLING: dict[str, tuple[Mode, Coordinates, Rounding]] = {
    "nearest": ("nearest", "asymmetric", "floor"),
    "nearest-exact": ("nearest", "half_pixel", "round_prefer_ceil"),
    "linear": ("linear", "half_pixel", "floor"),
    "cubic": ("cubic", "half_pixel", "floor"),
}
_UPSAMPLING |= {
    "bilinear": _UPSAMPLING["linear"],
    "trilinear": _UPSAMPLING["linear"],
    "bicubic": _UPSAMPLING["cubic"],
}


def upsample(
    x: Tensor,
    size: PerAxis | None = None,
    scale_factor: Scale | None = None,
    mode: UpsampleMode = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """A feature map of another size, as `torch.nn.functional.interpolate` has it.

    It is `resize` with the coordinates "asymmetric" and "floor" for "nearest", "half_pixel" for
    "nearest-exact" (the upper of two places at the same distance), "linear" and "cubic", and
    "align_corners" where that is asked for.

    Args:
        x: ``(spatial..., C)``.
        size: of the result, one number or one per axis; either this or a factor.
        scale_factor: how much larger the result is, one number or one per axis: its size is
            ``floor(scale_factor · side)``.
        mode: "nearest", "nearest-exact", "linear" ("bilinear", "trilinear"), "cubic" ("bicubic").
        align_corners: the first and last places of x and result lie upon each other.

    Returns:
        The shape of x with other sides before the channels.

    Raises:
        ArgumentError: size and factor, or neither; a setting outside its allowed values.
        ShapeError: no spatial axis, or a result without places.

    Example:
        >>> from isoconv.nn import Trace
        >>> upsample(Trace().images((14, 14, 8)), scale_factor=2).shape
        (28, 28, 8)
    """
    check_tensors("upsample", x=x)
    check_choice("mode", mode, _UPSAMPLING)
    kind, coordinates, rounding = _UPSAMPLING[mode]
    scale = scale_factor
    with as_given({"scale": "scale_factor"}, size=size, scale_factor=scale_factor):
        if check_flag("align_corners", align_corners):
            if kind == "nearest":
                raise refusal("align_corners", f'be False where the mode is "{mode}"', True)
            coordinates = "align_corners"
            counts, _ = _sizes(x.shape[:-1], size, scale, "stretch")
            size, scale = tuple(counts), None
        return resize(x, size, scale, kind, coordinates, rounding)


@dataclass(eq=False, repr=False)
class Resize(Module):
    """`resize` as a layer: more or fewer places on some axes, after ONNX's Resize.

    Args:
        size: of the result, one number or one per axis; either this or a scale.
        scale: how much larger the result is, one number or one per axis.
        mode: "nearest", "linear" or "cubic".
        coordinates: where a place of the result lies among those of the input: "half_pixel",
            "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric" or
            "tf_crop_and_resize".
        rounding: of "nearest": "round_prefer_floor", "round_prefer_ceil", "floor" or "ceil".
        cubic_coeff_a: the a of "cubic".
        exclude_outside: what lies beyond the ends has no weight.
        antialias: where the result is smaller, all of the input counts.
        axes: which are resized, without that of the images, negative ones counted from the end;
            None for all but the last.
        region: (begin, end) for each axis, of "tf_crop_and_resize".
        extrapolation_value: of results beyond the ends, with "tf_crop_and_resize".
        policy: "stretch", or one scale for all axes: "not_larger" or "not_smaller" than the size.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(sides...)``, other sides on these axes.

    Source:
        Keys 1981, "Cubic convolution interpolation for digital image processing", and the
        formulas of ONNX's Resize.

    Raises:
        ArgumentError: when traced: size and scale, or neither; a setting outside its values.
        ShapeError: when traced: a result without places.

    Example:
        >>> from isoconv import nn
        >>> nn.Resize(size=(9, 30), mode="linear").summary((28, 20, 3)).rows[0].output
        (9, 30, 3)
    """

    size: PerAxis | None = None
    scale: Scale | None = None
    mode: Mode = "nearest"
    coordinates: Coordinates = "half_pixel"
    rounding: Rounding = "round_prefer_floor"
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    axes: Axes | None = None
    region: Region | None = None
    extrapolation_value: float = 0.0
    policy: Policy = "stretch"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to other sides."""
        return resize(
            x, self.size, self.scale, self.mode, self.coordinates, self.rounding,
            self.cubic_coeff_a, self.exclude_outside, self.antialias, self.axes, self.region,
            self.extrapolation_value, self.policy,
        )  # fmt: skip


@dataclass(eq=False, repr=False)
class Upsample(Module):
    """`upsample` as a layer: a feature map of another size, as PyTorch's `Upsample` has it.

    Args:
        size: of the result, one number or one per axis; either this or a factor.
        scale_factor: how much larger the result is, one number or one per axis.
        mode: "nearest", "nearest-exact", "linear" ("bilinear", "trilinear"), "cubic" ("bicubic").
        align_corners: the first and last places of input and result lie upon each other.

    Input shape:
        ``(spatial..., C)``, float32.

    Output shape:
        ``(sides..., C)``.

    Source:
        Keys 1981, "Cubic convolution interpolation for digital image processing"; the
        coordinates are PyTorch's.

    Raises:
        ArgumentError: when traced: size and factor, or neither.
        ShapeError: when traced: a result without places.

    Example:
        >>> from isoconv import nn
        >>> nn.Upsample(scale_factor=2, mode="bilinear").summary((14, 14, 8)).rows[0].output
        (28, 28, 8)
    """

    size: PerAxis | None = None
    scale_factor: Scale | None = None
    mode: UpsampleMode = "nearest"
    align_corners: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """``(spatial..., C)`` to other sides."""
        return upsample(x, self.size, self.scale_factor, self.mode, self.align_corners)
