"""Augmentation of images against values worked out by hand and against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isoconv.data import Augmentation, table
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import operation
from isoconv.ops.image import TABLE_COLUMNS, Augment

PICTURE = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)


def row(**columns: float) -> np.ndarray:
    """One row of the table; what is not given changes nothing."""
    values = dict.fromkeys(TABLE_COLUMNS, 0.0) | {"cos": 1.0} | columns
    return np.array([[values[name] for name in TABLE_COLUMNS]], np.float32)


def augment(images: np.ndarray, rows: np.ndarray, attrs: Augment | None = None) -> Any:
    """The reference."""
    run = operation("augment").reference
    return run(attrs or Augment(), images, rows, images=len(images))


def single(attrs: Augment | None = None, **columns: float) -> Any:
    """The picture after one row."""
    return augment(PICTURE[None, :, :, None], row(**columns), attrs)[0, :, :, 0].tolist()


def test_nothing_changes_nothing() -> None:
    """A row of nothing copies the image as float32, with interpolation too."""
    assert single() == PICTURE.tolist()
    assert single(Augment(interpolate=True)) == PICTURE.tolist()
    assert augment(PICTURE[None, :, :, None], row()).dtype == np.float32


def test_shift_by_hand() -> None:
    """The pixel comes from (i + dy, j + dx), or is the fill."""
    assert single(dy=1) == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert single(dx=-1) == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]
    assert single(Augment(fill=9.5), dy=-2, dx=1) == [[9.5] * 3, [9.5] * 3, [2, 3, 9.5]]
    assert single(dy=3) == [[0] * 3] * 3


def test_flip_by_hand() -> None:
    """Mirrored left to right, after the shift."""
    assert single(flip=1) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert single(flip=1, dx=1) == [[0, 3, 2], [0, 6, 5], [0, 9, 8]]


def test_cutout_by_hand() -> None:
    """The rows and columns of the cut are covered, whatever lies below."""
    assert single(cut_y0=1, cut_y1=3, cut_x1=2) == [[1, 2, 3], [0, 0, 6], [0, 0, 9]]
    covered = single(Augment(fill=-1), flip=1, cut_y1=1, cut_x0=2, cut_x1=3)
    assert covered == [[3, 2, -1], [6, 5, 4], [9, 8, 7]]


def test_quarter_turn_by_hand() -> None:
    """A quarter turn is exact, and clockwise."""
    assert single(Augment(interpolate=True), cos=0, sin=1) == [[7, 4, 1], [8, 5, 2], [9, 6, 3]]


def test_interpolation_by_hand() -> None:
    """Cos = 1/2, sin = 0 samples halfway between pixels; the border mixes with the fill."""
    half = single(Augment(interpolate=True), cos=0.5)
    assert half == [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]
    moved = single(Augment(interpolate=True), cos=0.5, dy=1, dx=1)
    assert moved == [[7, 7.5, 3.75], [8.5, 9, 4.5], [4.25, 4.5, 2.25]]


def plain_loops(attrs: Augment, image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The docstring's formula for one image, pixel by pixel, in NumPy float32 scalars."""
    height, width, channels = image.shape
    f = np.float32
    column = dict(zip(TABLE_COLUMNS, values, strict=True))
    fill = f(attrs.fill)

    def tap(y: int, x: int, c: int) -> np.float32:
        return f(image[y, x, c]) if 0 <= y < height and 0 <= x < width else fill

    result = np.empty(image.shape, np.float32)
    for i, j, c in np.ndindex(height, width, channels):
        inside_rows = column["cut_y0"] <= i < column["cut_y1"]
        if inside_rows and column["cut_x0"] <= j < column["cut_x1"]:
            result[i, j, c] = fill
            continue
        m = width - 1 - j if column["flip"] else j
        if not attrs.interpolate:
            result[i, j, c] = tap(i + int(column["dy"]), m + int(column["dx"]), c)
            continue
        cy, cx = f((height - 1) / 2), f((width - 1) / 2)
        u, v = f(i) - cy, f(m) - cx
        sy = ((column["cos"] * u) - (column["sin"] * v)) + (cy + column["dy"])
        sx = ((column["sin"] * u) + (column["cos"] * v)) + (cx + column["dx"])
        y0, x0 = np.floor(sy), np.floor(sx)
        fy, fx = sy - y0, sx - x0
        gy, gx = f(1) - fy, f(1) - fx
        y, x = int(y0), int(x0)
        top = (gx * tap(y, x, c)) + (fx * tap(y, x + 1, c))
        bottom = (gx * tap(y + 1, x, c)) + (fx * tap(y + 1, x + 1, c))
        result[i, j, c] = (gy * top) + (fy * bottom)
    return result


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("rotation", [0.0, 40.0])
def test_reference_is_the_plain_loops(dtype: str, rotation: float) -> None:
    """The reference gives the bits of the pixel-by-pixel formula, image by image."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (9, 9, 7, 3)).astype(dtype)
    if dtype == "float32":
        images = images / np.float32(255)
    settings = Augmentation(2, True, 1, rotation, 3, fill=0.25)
    rows = table(settings, 1, 2, np.arange(9), 9, 7)
    # Every setting does something, in some of the images at least.
    assert all(len(np.unique(column)) > 1 for column in rows[:, : 9 if rotation else 7].T)
    attrs = Augment(settings.fill, settings.interpolate)
    result = augment(images, rows, attrs)
    for image, values, got in zip(images, rows, result, strict=True):
        assert plain_loops(attrs, image, values).tobytes() == got.tobytes()


def test_one_image_does_not_see_the_others() -> None:
    """An image alone gives the same bits as in a batch."""
    images = np.random.default_rng(6).integers(0, 256, (4, 6, 6, 1)).astype(np.uint8)
    rows = table(Augmentation(rotation=30.0, flip=True), 0, 0, np.arange(4), 6, 6)
    batch = augment(images, rows, Augment(interpolate=True))
    alone = augment(images[2:3], rows[2:3], Augment(interpolate=True))
    assert alone.tobytes() == batch[2:3].tobytes()


@pytest.mark.parametrize(
    ("x", "rows", "error", "message"),
    [
        (TensorSpec((4, 4, 1), "int64"), None, DTypeError, "x must be uint8, float32 or int32"),
        (TensorSpec((4, 4, 1), "int32"), None, ShapeError, r"must have axes \(H, W\)"),
        (TensorSpec((4, 4)), None, ShapeError, r"x must have axes \(H, W, C\)"),
        (TensorSpec((4, 4, 1), batched=False), None, ShapeError, "must have an image axis"),
        (TensorSpec((4, 4, 1)), TensorSpec((7,)), ShapeError, "table must have the columns dy, dx"),
        (TensorSpec((4, 4, 1)), TensorSpec((9,), "float64"), DTypeError, "table must be float32"),
    ],
)
def test_wrong_inputs_are_refused(x: Any, rows: Any, error: Any, message: str) -> None:
    """Each message names the operation, the rule and the inputs."""
    with pytest.raises(error, match=f"augment: .*{message}"):
        operation("augment").infer(Augment(), x, rows or TensorSpec((9,)))


def test_labels_are_copied() -> None:
    """Labels of places stay whole numbers, go as pixels do, and have the fill outside."""
    labels = PICTURE.astype(np.int32)[None] * 10_000_000
    moved = augment(labels, row(dx=1, flip=1, cut_y1=1, cut_x1=1), Augment(-1.0))
    assert moved.dtype == np.int32
    assert moved[0].tolist() == (np.array(single(Augment(-1e-7), dx=1, flip=1, cut_y1=1,
                                                 cut_x1=1)) * 1e7).round().tolist()  # fmt: skip
    infer, spec = operation("augment").infer, TensorSpec((4, 5), "int32")
    assert infer(Augment(-1.0), spec, TensorSpec((9,))) == spec
    with pytest.raises(DTypeError, match="never mixed"):
        infer(Augment(-1.0, interpolate=True), spec, TensorSpec((9,)))
    with pytest.raises(ArgumentError, match="whole number of 32 bits"):
        infer(Augment(0.5), spec, TensorSpec((9,)))


def test_result_is_float32() -> None:
    """Bytes become float32 of the same shape."""
    result = operation("augment").infer(Augment(), TensorSpec((4, 5, 3), "uint8"), TensorSpec((9,)))
    assert result == TensorSpec((4, 5, 3), "float32")


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 1e39])
def test_fill_must_be_finite(fill: float) -> None:
    """The fill is a finite float32."""
    with pytest.raises(ArgumentError, match="fill must be a finite float32 number"):
        Augment(fill)
