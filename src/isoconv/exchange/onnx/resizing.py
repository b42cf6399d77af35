"""Resizing of ONNX as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isoconv.exchange.onnx.building import Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converts
from isoconv.exchange.onnx.layouts import Layout, row
from isoconv.graph.operation import Array
from isoconv.nn import Resize, trace_model


@converts("Resize", since=11)
def _resize(use: Use) -> Sequence[Given]:
    region, scales = use.optional(1, "a region"), use.optional(2, "scales")
    sizes = use.whole(3, "sizes")
    if use.setting("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize":
        region = None
    settings = {
        "coordinates": use.setting("coordinate_transformation_mode", "half_pixel"),
        "rounding": use.setting("nearest_mode", "round_prefer_floor"),
        "cubic_coeff_a": use.setting("cubic_coeff_a", -0.75),
        "exclude_outside": bool(use.setting("exclude_outside", 0)),
        "antialias": bool(use.setting("antialias", 0)),
        "extrapolation_value": use.setting("extrapolation_value", 0.0),
        "policy": use.setting("keep_aspect_ratio_policy", "stretch"),
    }
    return [_resized(use, scales, sizes, region, settings)]


@converts("Upsample", since=7)
@converts("Resize", since=10)
def _upsample(use: Use) -> Sequence[Given]:
    """In its first versions places were multiplied by the scale, and rounded down."""
    settings = {"coordinates": "asymmetric", "rounding": "floor"}
    if use.opset >= 9:
        return [_resized(use, use.array(1, "scales"), None, None, settings)]
    scales = np.array(use.setting("scales", ()), np.float32)
    return [_resized(use, scales, None, None, settings)]


def _resized(
    use: Use,
    scales: Array | None,
    sizes: tuple[int, ...] | None,
    region: Array | None,
    settings: dict[str, Any],
) -> Value:
    x = use.value()
    rank = len(x.sizes)
    axes = [use.axis(axis, x.sizes) for axis in use.setting("axes", ()) or range(rank)]
    # 0.6 in float32 stands for 0.6: its third place is the fifth of x, and not a bit less.
    factors = (
        None
        if scales is None or not scales.size
        else [float(str(scale)) for scale in scales.astype(np.float32).reshape(-1)]
    )
    wanted = None if sizes is None or not sizes else list(sizes)
    given = factors if wanted is None else wanted
    if given is None or len(given) != len(axes):
        raise NodeError(f"it must have scales or sizes, one for each of {len(axes)} axes")
    # What stays as it is needs no axis, unless all axes are looked at together.
    whole = region is not None or settings.get("policy", "stretch") != "stretch"
    kept = [
        n for n, axis in enumerate(axes)
        if whole or (factors[n] != 1 if wanted is None else wanted[n] != x.sizes[axis])  # type: ignore[index]
    ]  # fmt: skip
    kept = [n for n in kept if x.sizes[axes[n]] > 1 or given[n] != 1]
    if not kept:
        return x
    x, order = use.apart(x, *(axes[n] for n in kept))
    chosen: tuple[Any, ...] = tuple(given[n] for n in kept)
    if region is not None:
        ends = region.reshape(2, -1)
        pairs = tuple((float(ends[0][n]), float(ends[1][n])) for n in kept)
        settings = {**settings, "region": pairs}
    layer = Resize(
        size=None if wanted is None else chosen,
        scale=chosen if wanted is None else None,
        mode=use.setting("mode", "nearest"),
        axes=tuple(order.index(axes[n]) for n in kept),
        **settings,
    )
    # The layer itself knows what its sides become.
    sides = trace_model(layer, x.layout.shape, training=False).output_tensor.shape
    found = list(x.layout.axes)
    for axis, side in zip(order, sides, strict=True):
        found[axis] = found[axis] if side == x.sizes[axis] else row(side)
    return use.layer(layer, [x], Layout(tuple(found), tuple(found[n] for n in order)))
