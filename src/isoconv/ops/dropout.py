"""Dropout: elements set to zero by counter-based random numbers (Srivastava et al., 2014)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.arithmetic.philox import Purpose
from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Formula
from isoconv.ops.uniform import drawn_numbers, infer_drawn
from isoconv.ops.window import row_major

__public__ = {"isoconv.ops": ["[A-Z]*"]}

SUMMARY = "y = x / (1 - rate) where a random number in [0, 1) is at least rate, else 0."


@dataclass(frozen=True, slots=True)
class Dropout:
    """How much is dropped, and from which stream of random numbers.

    Attributes:
        rate: probability that an element is dropped, 0 <= rate < 1; rounded to float32, the type
            of the random numbers that it is compared with.
        stream: tells the dropout layers of one network apart, 0 <= stream < 65536.
    """

    rate: float
    stream: int

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise refusal("rate", "be at least 0 and below 1", self.rate)
        if not 0 <= self.stream < 1 << 16:
            raise refusal("stream", "be at least 0 and below 65536", self.stream)


def _infer_dropout(
    attrs: Dropout,  # noqa: ARG001
    x: TensorSpec,
    samples: TensorSpec,
    key: TensorSpec,
) -> TensorSpec:
    return infer_drawn("dropout", x, samples, key, "x")


def _gradient_dropout(b: GraphBuilder, node: int, dy: int) -> Flows:
    _, samples, key = b[node].inputs
    return b.add("dropout", dy, samples, key, attrs=b[node].attrs), None, None


def _dropout(attrs: Dropout, x: Array, samples: Array, key: Array, *, images: int) -> Array:
    elements = np.arange(x.size // images, dtype=np.int64)
    flat = x.reshape(images, -1)
    return _dropped(attrs, flat, samples[:, None], key, elements).reshape(x.shape)


def _dropped(attrs: Dropout, x: Array, samples: Array, key: Array, elements: Array) -> Array:
    """The elements of these numbers within their images."""
    kind = x.dtype.type
    numbers = drawn_numbers(Purpose.DROPOUT, attrs.stream, samples, key, elements)
    with np.errstate(all="ignore"):
        kept = np.asarray(x * kind(1.0 / (1.0 - attrs.rate)))
    return np.where(numbers >= np.float32(attrs.rate), kept, kind(0))


def _terms_dropout(asked: Asked) -> Formula:
    attrs, number = asked.attrs, row_major(asked.place, asked.result.shape)

    def compute(x: Array, sample: Array, seed: Array, epoch: Array) -> Array:
        return _dropped(attrs, x, sample, np.concatenate([seed, epoch]), np.array([number]))

    rows = (Element(0, asked.index), Element(1, asked.image), Element(2, (0,)), Element(2, (1,)))
    return Formula(SUMMARY, rows, compute)


register(
    name="dropout",
    attrs=Dropout,
    summary=SUMMARY,
    infer=_infer_dropout,
    gradient=_gradient_dropout,
    reference=_dropout,
    terms=_terms_dropout,
    pointwise=True,
    key=2,
)
