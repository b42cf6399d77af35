"""Augmentation of images and of labels of their places: moved, turned and partly covered copies.

The random choices are not made here: they come in a table with one row for each image (see
`isoconv.data.augment`), so that the operation is a plain function of its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, register
from isoconv.graph.terms import Asked, Element, Formula, Number, Term
from isoconv.ops.check import dtype_error, require_batched, require_dtype, shape_error

__public__ = {"isoconv.ops": ["Augment"]}

TABLE_COLUMNS = (
    "dy",
    "dx",
    "flip",
    "cut_y0",
    "cut_y1",
    "cut_x0",
    "cut_x1",
    "cos",
    "sin",
)
"""The columns of a row, in order. All but the last two are whole numbers, held as float32."""


@dataclass(frozen=True, slots=True)
class Augment:
    """How augmented images are computed from the table.

    Attributes:
        fill: the value of pixels that come from outside the image or are cut out, in the units of
            the images; rounded to float32. Of labels a whole number.
        interpolate: False when no image is turned: pixels are copied, and the columns ``cos`` and
            ``sin`` are not read. True for turned images: each pixel is mixed from four.

    Raises:
        ArgumentError: ``fill`` is not a finite float32 number.

    Example:
        >>> from isoconv.graph.operation import operation
        >>> x = np.array([[[[1], [2], [3]]]], np.uint8)
        >>> moved = np.array([[0, 1, 0, 0, 0, 0, 0, 1, 0]], np.float32)
        >>> operation("augment").reference(Augment(), x, moved, images=1).reshape(-1)
        array([2., 3., 0.], dtype=float32)
    """

    fill: float = 0.0
    interpolate: bool = False

    def __post_init__(self) -> None:
        if not abs(self.fill) <= float(np.finfo(np.float32).max):
            raise refusal("fill", "be a finite float32 number", self.fill)


def _infer_augment(attrs: Augment, x: TensorSpec, table: TensorSpec) -> TensorSpec:
    op = "augment"
    labels = x.dtype == "int32"
    if not labels and x.dtype not in ("uint8", "float32"):
        raise dtype_error(op, "x must be uint8, float32 or int32", x=x, table=table)
    require_dtype(op, "float32", table=table)
    require_batched(op, x=x, table=table)
    if labels and attrs.interpolate:
        rule = "labels (int32) are copied and never mixed, as turning would"
        raise dtype_error(op, rule, x=x, table=table)
    if labels and not _is_label(attrs.fill):
        raise refusal("fill", "be a whole number of 32 bits for labels (int32)", attrs.fill)
    if labels and len(x.shape) != 2:
        raise shape_error(op, "labels (int32) must have axes (H, W)", x=x, table=table)
    if not labels and len(x.shape) != 3:
        raise shape_error(op, "x must have axes (H, W, C)", x=x, table=table)
    if table.shape != (len(TABLE_COLUMNS),):
        rule = f"table must have the columns {', '.join(TABLE_COLUMNS)}"
        raise shape_error(op, rule, x=x, table=table)
    return TensorSpec(x.shape, "int32" if labels else "float32", batched=True)


def _is_label(fill: float) -> bool:
    return fill == int(fill) and -(2**31) <= fill < 2**31


def _augment(attrs: Augment, x: Array, table: Array, *, images: int) -> Array:
    """The augmented images, one output pixel at a time.

    For output pixel (i, j) of an image of H × W pixels, with that image's row of the table and
    ``fill`` rounded to float32; every channel alike:

    1. If ``cut_y0 <= i < cut_y1`` and ``cut_x0 <= j < cut_x1`` the pixel is ``fill``. Done.
    2. ``m = W - 1 - j`` if ``flip != 0``, else ``m = j``.
    3. Without ``interpolate``: the pixel is ``tap(i + dy, m + dx)``, in integers. Done.
    4. With it, every operation in float32 and rounded on its own (no fused multiply-add)::

           cy = (H - 1) / 2                cx = (W - 1) / 2             (exact)
           u = i - cy                      v = m - cx                   (exact)
           sy = ((cos * u) - (sin * v)) + (cy + dy)
           sx = ((sin * u) + (cos * v)) + (cx + dx)
           y0 = floor(sy)                  x0 = floor(sx)
           fy = sy - y0                    fx = sx - x0
           gy = 1 - fy                     gx = 1 - fx
           top    = (gx * tap(y0, x0))     + (fx * tap(y0, x0 + 1))
           bottom = (gx * tap(y0 + 1, x0)) + (fx * tap(y0 + 1, x0 + 1))
           pixel  = (gy * top) + (fy * bottom)

    ``tap(y, x)`` is the image's value at row y and column x as float32 (every uint8 is one), or
    ``fill`` unless ``0 <= y < H`` and ``0 <= x < W``; the coordinates are whole numbers by then
    and taken as integers.

    Labels of places are of one channel that is not written, and stay int32: what comes from outside
    and what is covered has the label ``fill``.

    So the picture is first moved by ``(-dy, -dx)``, then turned clockwise about its centre by the
    angle of ``cos`` and ``sin``, then mirrored, then covered.

    Args:
        attrs: the settings.
        x: uint8 or float32 ``(N, H, W, C)``, or int32 ``(N, H, W)``, labels.
        table: float32 ``(N, P)`` with the columns `TABLE_COLUMNS`.
        images: N.

    Returns:
        float32 ``(N, H, W, C)``, or int32 ``(N, H, W)``.
    """
    if x.dtype == np.int32:
        return _copies(attrs, x[..., None], table, images, np.int32)[..., 0]
    return _copies(attrs, x, table, images, np.float32)


def _copies(attrs: Augment, x: Array, table: Array, images: int, dtype: type[Any]) -> Array:
    """What `_augment` says, of images with channels."""
    height, width = x.shape[1:3]
    columns = dict(zip(TABLE_COLUMNS, table.reshape(images, -1, 1, 1).swapaxes(0, 1), strict=True))
    whole = {name: columns[name].astype(np.int64) for name in TABLE_COLUMNS[:7]}
    i = np.arange(height).reshape(1, -1, 1)
    j = np.arange(width).reshape(1, 1, -1)
    fill = dtype(attrs.fill)

    def tap(y: Array, x_: Array) -> Array:
        """Rows and columns of shape (N, H, W) to values of shape (N, H, W, C)."""
        inside = (y >= 0) & (y < height) & (x_ >= 0) & (x_ < width)
        rows, places = np.where(inside, y, 0), np.where(inside, x_, 0)
        values = x[np.arange(images).reshape(-1, 1, 1), rows, places].astype(dtype)
        return np.where(inside[..., None], values, fill)

    m = np.where(whole["flip"] != 0, width - 1 - j, j)
    if attrs.interpolate:
        cy, cx = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
        u, v = i.astype(np.float32) - cy, m.astype(np.float32) - cx
        cos, sin = columns["cos"], columns["sin"]
        sy = ((cos * u) - (sin * v)) + (cy + columns["dy"])
        sx = ((sin * u) + (cos * v)) + (cx + columns["dx"])
        y0, x0 = np.floor(sy), np.floor(sx)
        fy, fx = (sy - y0)[..., None], (sx - x0)[..., None]
        gy, gx = np.float32(1) - fy, np.float32(1) - fx
        row, column = y0.astype(np.int64), x0.astype(np.int64)
        with np.errstate(all="ignore"):
            top = (gx * tap(row, column)) + (fx * tap(row, column + 1))
            bottom = (gx * tap(row + 1, column)) + (fx * tap(row + 1, column + 1))
            result = (gy * top) + (fy * bottom)
    else:
        result = tap(i + whole["dy"], m + whole["dx"])
    cut_rows = (i >= whole["cut_y0"]) & (i < whole["cut_y1"])
    cut_columns = (j >= whole["cut_x0"]) & (j < whole["cut_x1"])
    found: Array = np.where((cut_rows & cut_columns)[..., None], fill, result)
    return found


def _terms_augment(asked: Asked) -> Term:
    """The formulas of `_augment` for one pixel, whose place in x the table's values say."""
    attrs, (n, i, j, *channel) = asked.attrs, asked.index
    height, width, *_ = asked.result.shape
    dtype, text = (np.float32, "float32({0})") if channel else (np.int32, "int32({0})")
    row = {name: asked.read(Element(1, (n, k))) for k, name in enumerate(TABLE_COLUMNS)}
    whole = {name: int(row[name]) for name in TABLE_COLUMNS[:7]}
    fill = Number(float(np.float32(attrs.fill)))
    if whole["cut_y0"] <= i < whole["cut_y1"] and whole["cut_x0"] <= j < whole["cut_x1"]:
        return fill

    def tap(y: int, x: int) -> Term:
        if not (0 <= y < height and 0 <= x < width):
            return fill
        return Formula(text, (Element(0, (n, y, x, *channel)),), dtype)

    m = width - 1 - j if whole["flip"] else j
    if not attrs.interpolate:
        return tap(i + whole["dy"], m + whole["dx"])
    single = np.float32
    cy, cx = single((height - 1) / 2), single((width - 1) / 2)
    u, v = single(i) - cy, single(m) - cx
    with np.errstate(all="ignore"):
        sy = ((row["cos"] * u) - (row["sin"] * v)) + (cy + row["dy"])
        sx = ((row["sin"] * u) + (row["cos"] * v)) + (cx + row["dx"])
        y0, x0 = np.floor(sy), np.floor(sx)
        fy, fx = sy - y0, sx - x0
        gy, gx = single(1) - fy, single(1) - fx
    y, x = int(y0), int(x0)
    weights = [Number(float(weight)) for weight in (gy, gx, fy, fx)]
    top = (weights[1] * tap(y, x)) + (weights[3] * tap(y, x + 1))
    bottom = (weights[1] * tap(y + 1, x)) + (weights[3] * tap(y + 1, x + 1))
    return (weights[0] * top) + (weights[2] * bottom)


register(
    name="augment",
    attrs=Augment,
    summary="y = x moved, turned, mirrored and covered as the image's row of the table says.",
    infer=_infer_augment,
    reference=_augment,
    terms=_terms_augment,
    why_no_gradient="it stands before the first layer, where nothing is learned",
    kernels="augmentation",
    gathers=True,
)
