"""Losses and hits of a row of classes by its label: cross-entropy, its gradient, hits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.arithmetic import elementary
from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Formula, Is, Number, Partials, Select, Term, When
from isoconv.ops.check import require_batched, require_dtype, require_float, shape_error
from isoconv.ops.rows import log_term, row_elements, row_sum, shifted_row, shifted_terms

__public__ = {"isoconv.ops": ["[A-Z]*"]}


# -- cross_entropy ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """What the target distribution is.

    Attributes:
        smoothing: share of the target that is spread evenly over all K classes, at least 0 and
            below 1: the label's target is ``1 - smoothing + smoothing / K``, all others'
            ``smoothing / K`` (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567).
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise refusal("smoothing", "be at least 0 and below 1", self.smoothing)


def _check_labels(op: str, logits: TensorSpec, labels: TensorSpec) -> None:
    require_float(op, logits=logits)
    require_dtype(op, "int32", labels=labels)
    require_batched(op, logits=logits, labels=labels)
    if not logits.shape or labels.shape != logits.shape[:-1]:
        rule = "logits must have shape (N, ..., K) and labels (N, ...)"
        raise shape_error(op, rule, logits=logits, labels=labels)


def _own(x: Array, labels: Array) -> Array:
    """The element of each row at its label; 0 for a label that is no class."""
    known = (labels >= 0) & (labels < x.shape[-1])
    found = np.take_along_axis(x, np.where(known, labels, 0)[..., None], axis=-1)[..., 0]
    return np.where(known, found, x.dtype.type(0))


def _targets(attrs: CrossEntropy, logits: Array, labels: Array) -> Array:
    kind, classes = logits.dtype.type, logits.shape[-1]
    low = attrs.smoothing / classes
    high = 1.0 - attrs.smoothing + low
    hot = np.arange(classes) == labels[..., None]
    return np.asarray(np.where(hot, kind(high), kind(low)))


def _infer_cross_entropy(
    attrs: CrossEntropy,  # noqa: ARG001
    logits: TensorSpec,
    labels: TensorSpec,
) -> TensorSpec:
    _check_labels("cross_entropy", logits, labels)
    return TensorSpec(labels.shape, logits.dtype)


def _gradient_cross_entropy(b: GraphBuilder, node: int, dy: int) -> Flows:
    logits, labels = b[node].inputs
    return b.add("cross_entropy_grad", logits, labels, dy, attrs=b[node].attrs), None


@np.errstate(all="ignore")
def _cross_entropy(
    attrs: CrossEntropy,
    logits: Array,
    labels: Array,
    *,
    images: int,  # noqa: ARG001
) -> Array:
    shifted, _, total = shifted_row(logits)
    surprise = elementary.log(total) - shifted
    if attrs.smoothing == 0:
        return _own(surprise, labels)
    return np.asarray(row_sum(_targets(attrs, logits, labels) * surprise)[..., 0])


def _target_terms(attrs: CrossEntropy, label: Element, classes: int) -> list[When]:
    """As `_targets`: of each class, by the label."""
    low = attrs.smoothing / classes
    high, rest = Number(1.0 - attrs.smoothing + low), Number(low)
    return [When(Is(label, i), high, rest) for i in range(classes)]


def _terms_cross_entropy(asked: Asked) -> Term:
    label = Element(1, asked.index)
    shifted, _, total = shifted_terms(row_elements(asked))
    log = log_term(total)
    surprise = [log - d for d in shifted]
    if asked.attrs.smoothing == 0:
        return Select(label, tuple(surprise))
    targets = _target_terms(asked.attrs, label, len(surprise))
    return Partials(tuple(t * each for t, each in zip(targets, surprise, strict=True)))


register(
    name="cross_entropy",
    attrs=CrossEntropy,
    summary="y = sum over classes i of t_i * (log(sum over j of exp(x_j - m)) - (x_i - m)), "
    "with m = max x and the smoothed target t, along the last axis.",
    infer=_infer_cross_entropy,
    gradient=_gradient_cross_entropy,
    reference=_cross_entropy,
    terms=_terms_cross_entropy,
    kernels="reduction",
    gathers=True,
)


# -- cross_entropy_grad ----------------------------------------------------------------------


def _infer_cross_entropy_grad(
    attrs: CrossEntropy,  # noqa: ARG001
    logits: TensorSpec,
    labels: TensorSpec,
    dy: TensorSpec,
) -> TensorSpec:
    op = "cross_entropy_grad"
    _check_labels(op, logits, labels)
    require_float(op, logits=logits, dy=dy)
    require_batched(op, dy=dy)
    if dy.shape != labels.shape:
        rule = "dy must have the shape of the labels"
        raise shape_error(op, rule, logits=logits, labels=labels, dy=dy)
    return logits


@np.errstate(all="ignore")
def _cross_entropy_grad(
    attrs: CrossEntropy,
    logits: Array,
    labels: Array,
    dy: Array,
    *,
    images: int,  # noqa: ARG001
) -> Array:
    _, powers, total = shifted_row(logits)
    return np.asarray((powers / total - _targets(attrs, logits, labels)) * dy[..., None])


def _terms_cross_entropy_grad(asked: Asked) -> Formula:
    *lead, i = asked.index
    label = Element(1, (*lead,))
    _, powers, total = shifted_terms(row_elements(asked))
    target = _target_terms(asked.attrs, label, len(powers))[i]
    return (powers[i] / total - target) * Element(2, (*lead,))


register(
    name="cross_entropy_grad",
    attrs=CrossEntropy,
    summary="dx_i = (softmax(x)_i - t_i) * dy with the smoothed target t.",
    infer=_infer_cross_entropy_grad,
    why_no_gradient="second derivatives of cross-entropy are not offered",
    reference=_cross_entropy_grad,
    terms=_terms_cross_entropy_grad,
    kernels="reduction",
    gathers=True,
)


# -- hits ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hits:
    """What counts as a hit.

    Attributes:
        k: the label must be among the k greatest logits.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise refusal("k", "be at least 1", self.k)


def _infer_hits(attrs: Hits, logits: TensorSpec, labels: TensorSpec) -> TensorSpec:  # noqa: ARG001
    _check_labels("hits", logits, labels)
    return TensorSpec(labels.shape, logits.dtype)


@np.errstate(all="ignore")
def _hits(attrs: Hits, logits: Array, labels: Array, *, images: int) -> Array:  # noqa: ARG001
    own = _own(logits, labels)[..., None]
    earlier = np.arange(logits.shape[-1]) < labels[..., None]
    beats = (logits > own) | ((logits == own) & earlier)
    known = (labels >= 0) & (labels < logits.shape[-1])
    hit = (np.count_nonzero(beats, axis=-1) < attrs.k) & ~np.isnan(own[..., 0]) & known
    return np.asarray(hit, dtype=logits.dtype)


HITS = (
    "y = 1 if fewer than k classes have a logit above the label's (or equal to it at a smaller "
    "index), else 0; a NaN logit is no hit."
)


def _terms_hits(asked: Asked) -> Formula:
    attrs, row = asked.attrs, row_elements(asked)

    def compute(label: Array, *logits: Array) -> Array:
        return _hits(attrs, np.stack(logits, axis=1), label, images=1)

    return Formula(HITS, (Element(1, asked.index), *row), compute)


register(
    name="hits",
    attrs=Hits,
    summary=HITS,
    infer=_infer_hits,
    why_no_gradient="it is a step function, flat wherever it has a derivative",
    reference=_hits,
    terms=_terms_hits,
    kernels="reduction",
    gathers=True,
)
