"""Random numbers as values: those of the generator, by name alone."""

from __future__ import annotations

import numpy as np
import pytest

import isoconv.ops as ops
from isoconv.arithmetic.philox import Purpose, uniform32
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, operation

POOLING = int(Purpose.FRACTIONAL_POOLING)


def draw(samples: list[int], key: list[int], attrs: ops.Uniform, dtype: str = "float32") -> Array:
    """Numbers of shape (2, 5) for each sample."""
    like = np.zeros((len(samples), 2, 5), dtype)
    names = np.array(samples, np.int64), np.array(key, np.int64)
    return operation("uniform_like").reference(attrs, like, *names, images=len(samples))


def test_numbers_of_the_generator() -> None:
    """Each by seed, purpose, stream, epoch, sample and its row-major number within the image."""
    found = draw([4, 9], [-1, 3], ops.Uniform(POOLING, 2))
    for n, sample in enumerate((4, 9)):
        wanted = [uniform32(2**64 - 1, POOLING, 2, 3, sample, i) for i in range(10)]
        assert found[n].reshape(-1).tolist() == wanted
    wide = draw([4, 9], [-1, 3], ops.Uniform(POOLING, 2), "float64")
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide, found)


def test_every_name_counts() -> None:
    """Sample, seed, epoch, stream and purpose each give other numbers; the batch does not."""
    attrs = ops.Uniform(POOLING, 0)
    found = draw([7], [5, 1], attrs)
    np.testing.assert_array_equal(draw([3, 7], [5, 1], attrs)[1:], found)
    others = [
        draw([8], [5, 1], attrs), draw([7], [6, 1], attrs), draw([7], [5, 2], attrs),
        draw([7], [5, 1], ops.Uniform(POOLING, 1)),
        draw([7], [5, 1], ops.Uniform(int(Purpose.DROPOUT), 0)),
    ]  # fmt: skip
    assert all((other != found).all() for other in others)


def test_no_two_purposes_are_one() -> None:
    """Their numbers differ, and are those of the document."""
    assert {each.name: each.value for each in Purpose} == {
        "INITIAL_WEIGHTS": 1, "DATA_ORDER": 2, "AUGMENTATION": 3, "DROPOUT": 4, "SPLITS": 5,
        "FRACTIONAL_POOLING": 6,
    }  # fmt: skip


@pytest.mark.parametrize("value", [-1, 1 << 16])
def test_settings(value: int) -> None:
    """Purpose and stream have 16 bits each."""
    with pytest.raises(
        ArgumentError, match=f"purpose must be at least 0 and below 65536; got {value}"
    ):
        ops.Uniform(value, 0)
    with pytest.raises(
        ArgumentError, match=f"stream must be at least 0 and below 65536; got {value}"
    ):
        ops.Uniform(0, value)


def test_inputs() -> None:
    """Numbers are drawn for images, by whole numbers."""
    like, samples = TensorSpec((4,)), TensorSpec((), "int64")
    key = TensorSpec((2,), "int64", batched=False)
    infer, attrs = operation("uniform_like").infer, ops.Uniform(0, 0)
    assert infer(attrs, like, samples, key) == like
    with pytest.raises(ShapeError, match="image"):
        infer(attrs, TensorSpec((4,), batched=False), samples, key)
    with pytest.raises(ShapeError, match=r"samples must have shape \(\) and key \(seed, epoch\)"):
        infer(attrs, like, samples, TensorSpec((3,), "int64", batched=False))
    with pytest.raises(DTypeError, match="uniform_like: samples and key must be int64"):
        infer(attrs, like, TensorSpec(()), key)
