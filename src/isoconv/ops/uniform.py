"""Uniform random numbers as values: a function of where they are used, and of nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.arithmetic.philox import uniform32
from isoconv.checks import refusal
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, register
from isoconv.graph.terms import Asked, Element, Formula
from isoconv.ops.check import (
    require_batched,
    require_dtype,
    require_float,
    require_unbatched,
    shape_error,
)
from isoconv.ops.window import row_major

__public__ = {"isoconv.ops": ["[A-Z]*"]}

SUMMARY = "y = a random number in [0, 1) of its own for each element of an image."


@dataclass(frozen=True, slots=True)
class Uniform:
    """What numbers are drawn for, and from which stream of them.

    Attributes:
        purpose: number of a `isoconv.arithmetic.philox.Purpose`, 0 <= purpose < 65536.
        stream: tells the layers of one network that draw for one purpose apart,
            0 <= stream < 65536.
    """

    purpose: int
    stream: int

    def __post_init__(self) -> None:
        for name, value in (("purpose", self.purpose), ("stream", self.stream)):
            if not 0 <= value < 1 << 16:
                raise refusal(name, "be at least 0 and below 65536", value)


def infer_drawn(op: str, like: TensorSpec, samples: TensorSpec, key: TensorSpec,
                name: str) -> TensorSpec:  # fmt: skip
    """The shape rule of what draws a number for each element of an input.

    Args:
        op: name of the operation.
        like: the input.
        samples: numbers of the images in their data set.
        key: seed and epoch.
        name: of the input, for messages.
    """
    require_float(op, **{name: like})
    require_dtype(op, "int64", samples=samples, key=key)
    require_batched(op, **{name: like}, samples=samples)
    require_unbatched(op, key=key)
    if samples.shape != () or key.shape != (2,):
        rule = "samples must have shape () and key (seed, epoch) shape (2,)"
        raise shape_error(op, rule, **{name: like}, samples=samples, key=key)
    return like


def drawn_numbers(purpose: int, stream: int, samples: Array, key: Array, elements: Array) -> Array:
    """Uniform float32 of these elements of images, by their row-major numbers within an image."""
    seed, epoch = int(key[0]) & (1 << 64) - 1, int(key[1]) & (1 << 32) - 1
    return uniform32(seed, purpose, stream, epoch, samples, elements)


def _infer_uniform(
    attrs: Uniform,  # noqa: ARG001
    like: TensorSpec,
    samples: TensorSpec,
    key: TensorSpec,
) -> TensorSpec:
    return infer_drawn("uniform_like", like, samples, key, "like")


def _uniform(attrs: Uniform, like: Array, samples: Array, key: Array, *, images: int) -> Array:
    elements = np.arange(like.size // images, dtype=np.int64)
    found = drawn_numbers(attrs.purpose, attrs.stream, samples[:, None], key, elements)
    return found.astype(like.dtype).reshape(like.shape)


def _terms_uniform(asked: Asked) -> Formula:
    attrs, number = asked.attrs, np.array([row_major(asked.place, asked.result.shape)])

    def compute(sample: Array, seed: Array, epoch: Array) -> Array:
        key = np.concatenate([seed, epoch])
        found = drawn_numbers(attrs.purpose, attrs.stream, sample, key, number)
        return found.astype(asked.result.dtype)

    return Formula(SUMMARY, (Element(1, asked.image), Element(2, (0,)), Element(2, (1,))), compute)


register(
    name="uniform_like",
    attrs=Uniform,
    summary=SUMMARY,
    infer=_infer_uniform,
    why_no_gradient="a number that is drawn depends on no other value",
    reference=_uniform,
    terms=_terms_uniform,
    pointwise=True,
    key=2,
)
