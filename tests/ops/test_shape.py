"""Operations that move values: where each lands, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import isoconv.ops as ops
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation

X = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


def run(op: str, *arrays: Array, attrs: Any = None) -> Array:
    """The reference of an operation."""
    return operation(op).reference(attrs, *arrays, images=len(arrays[0]))


def test_reshape_keeps_row_major_order() -> None:
    """The elements of an image stay in order, images stay apart."""
    np.testing.assert_array_equal(run("reshape", X, attrs=ops.Shape((12,))), X.reshape(2, 12))


def test_concat_and_slices_undo_each_other() -> None:
    """Slices of a concatenation are the parts."""
    y = run("concat", X, X + 50)
    assert y.shape == (2, 3, 2, 4)
    np.testing.assert_array_equal(run("slice_channels", y, attrs=ops.Slice(2, 4)), X + 50)


def test_embed_fills_with_zeros() -> None:
    """Channels land at `start`, all others are 0."""
    y = run("embed_channels", X, attrs=ops.Embed(1, 4))
    np.testing.assert_array_equal(y[..., 1:3], X)
    assert not y[..., [0, 3]].any()


def test_pad_and_crop() -> None:
    """Padding goes around the image and cropping takes it away."""
    pairs = ops.Padding(((1, 0), (0, 2)))
    y = run("pad", X, attrs=pairs)
    np.testing.assert_array_equal(y, np.pad(X, ((0, 0), (1, 0), (0, 2), (0, 0))))
    np.testing.assert_array_equal(run("crop", y, attrs=pairs), X)


def test_bytes_may_be_moved() -> None:
    """Moving needs no arithmetic, so every dtype goes through."""
    spec = TensorSpec((3, 2, 2), "uint8")
    assert operation("reshape").infer(ops.Shape((12,)), spec) == TensorSpec((12,), "uint8")


SPEC = TensorSpec((3, 2, 2))
REFUSED = [
    ("reshape", ops.Shape((5,)), (SPEC,), "shape (5,) must have as many elements as x"),
    ("reshape", ops.Shape((12,), False), (SPEC,), "batched=False must say whether x has an image"),
    ("concat", None, (), "there must be inputs with at least one axis"),
    ("concat", None, (SPEC, TensorSpec((2, 2, 2))), "the same sizes on every axis but the last"),
    ("concat", None, (SPEC, TensorSpec((3, 2, 2), batched=False)), "all inputs or none"),
    ("slice_channels", ops.Slice(1, 3), (SPEC,), "channels 1 to 3 must lie within the last axis"),
    ("embed_channels", ops.Embed(3, 4), (SPEC,), "must fit from 3 on into 4"),
    ("pad", ops.Padding(((1, 1),)), (SPEC,), "must have one pair for each axis of x but the last"),
    ("crop", ops.Padding(((2, 1), (0, 0))), (SPEC,), "must leave something"),
]


@pytest.mark.parametrize(("op", "attrs", "specs", "text"), REFUSED)
def test_refused(op: str, attrs: Any, specs: tuple[TensorSpec, ...], text: str) -> None:
    """The message names the operation, the rule and what was received."""
    with pytest.raises(ShapeError) as caught:
        operation(op).infer(attrs, *specs)
    assert str(caught.value).startswith(f"{op}: ")
    assert text in str(caught.value)
    assert all(str(spec) in str(caught.value) for spec in specs)


def test_concat_of_two_dtypes_refused() -> None:
    """There is no silent conversion."""
    with pytest.raises(DTypeError, match="concat: all inputs must have one dtype; got x1 float32"):
        operation("concat").infer(None, SPEC, TensorSpec((3, 2, 2), "float64"))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ops.Slice(3, 3), "a slice needs 0 <= start < stop; got 3, 3"),
        (lambda: ops.Embed(4, 4), "start must lie in 0 to total; got 4, 4"),
        (lambda: ops.Padding(((-1, 0),)), "padding must not be negative; got ((-1, 0),)"),
        (lambda: ops.Shape((0, 3)), "shape must be at least 1 on every axis; got (0, 3)"),
    ],
)
def test_settings_refused(make: Any, text: str) -> None:
    """Settings outside their range are named with their values."""
    with pytest.raises(ArgumentError) as caught:
        make()
    assert str(caught.value) == text
