"""Resizing of arrays."""

from __future__ import annotations

from numpy.typing import ArrayLike

from isoconv.graph.operation import Array
from isoconv.nn import functional
from isoconv.nn.alike import like
from isoconv.nn.arrays import on_arrays
from isoconv.nn.resizing import Mode, Policy, Region, Scale, UpsampleMode
from isoconv.nn.settings import Axes, PerAxis
from isoconv.ops.sampling import Coordinates, Rounding

__public__ = {"isoconv": ["*"]}


def resize(
    x: ArrayLike,
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
) -> Array:
    """Arrays with more or fewer places on some axes, after ONNX's Resize.

    The formulas stand with `nn.functional.resize`.

    Args:
        x: the input.
        size: of the result, one number or one per axis; either this or a scale.
        scale: how much larger the result is, one number or one per axis.
        mode: "nearest", "linear" or "cubic".
        coordinates: where a place of the result lies among those of x: "half_pixel",
            "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric" or
            "tf_crop_and_resize".
        rounding: of "nearest": "round_prefer_floor", "round_prefer_ceil", "floor" or "ceil".
        cubic_coeff_a: the a of "cubic".
        exclude_outside: what lies beyond the ends has no weight.
        antialias: where the result is smaller, all of x counts.
        axes: which are resized, without that of the images, negative ones counted from the end;
            None for all but the last.
        region: (begin, end) for each axis, of "tf_crop_and_resize".
        extrapolation_value: of results beyond the ends, with "tf_crop_and_resize".
        policy: "stretch", or one scale for all axes: "not_larger" or "not_smaller" than the size.

    Input shape:
        x: ``(N, spatial..., C)``, float32 or float64.

    Output shape:
        ``(N, sides..., C)`` of the dtype of x.

    Raises:
        ArgumentError: size and scale, or neither; a setting outside its allowed values.
        ShapeError: no spatial axis, or a result without places.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([1, 5], np.float32).reshape(1, 2, 1)
        >>> ic.resize(x, 4, mode="linear")[0, :, 0]
        array([1., 2., 4., 5.], dtype=float32)
    """
    return on_arrays(functional.resize, locals())


@like(resize)
def upsample(
    x: ArrayLike,
    size: PerAxis | None = None,
    scale_factor: Scale | None = None,
    mode: UpsampleMode = "nearest",
    align_corners: bool = False,
) -> Array:
    """Arrays of another size, as `torch.nn.functional.interpolate` has it.

    Args:
        x: the input.
        size: of the result, one number or one per axis; either this or a factor.
        scale_factor: how much larger the result is, one number or one per axis.
        mode: "nearest", "nearest-exact", "linear" ("bilinear", "trilinear"), "cubic" ("bicubic").
        align_corners: the first and last places of x and result lie upon each other.

    Raises:
        ArgumentError: size and factor, or neither; a setting outside its allowed values.
        ShapeError: no spatial axis, or a result without places.
        DTypeError: an array of other numbers than float32 or float64.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> x = np.array([1, 5], np.float32).reshape(1, 2, 1)
        >>> ic.upsample(x, scale_factor=2)[0, :, 0]
        array([1., 1., 5., 5.], dtype=float32)
    """
    return on_arrays(functional.upsample, locals())
