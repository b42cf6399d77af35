"""The last axis as a row of classes: softmax, its logarithm, and what all of a row share."""

from __future__ import annotations

import numpy as np

from isoconv.arithmetic import elementary
from isoconv.arithmetic.sums import partial_sum
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, register
from isoconv.graph.terms import Asked, Element, Formula, Largest, Partials, Term
from isoconv.ops.check import require_float, shape_error
from isoconv.ops.flow import by_result

__public__ = {"isoconv.ops": ["rows"]}  # the whole file: it has no record of its own


# -- what the references share ---------------------------------------------------------------


def row_sum(values: Array) -> Array:
    """Each row's sum in eight partial sums; the axis stays."""
    return partial_sum(values, axis=values.ndim - 1)[..., None]


def _row_max(x: Array) -> Array:
    """Each row's maximum as a chain of comparisons; NaN propagates."""
    best = x[..., :1]
    for i in range(1, x.shape[-1]):
        value = x[..., i : i + 1]
        best = np.where((value > best) | (np.isnan(value) & ~np.isnan(best)), value, best)
    return best


def shifted_row(x: Array) -> tuple[Array, Array, Array]:
    """``x - max``, ``exp(x - max)`` and the sum of the latter."""
    shifted = x - _row_max(x)
    powers = elementary.exp(shifted)
    return shifted, powers, row_sum(powers)


def _infer_row(op: str, **specs: TensorSpec) -> TensorSpec:
    require_float(op, **specs)
    first = next(iter(specs.values()))
    if not first.shape:
        raise shape_error(op, f"{next(iter(specs))} must have an axis of classes", **specs)
    if len(set(specs.values())) > 1:
        raise shape_error(op, f"{' and '.join(specs)} must have one shape", **specs)
    return first


def row_elements(asked: Asked, operand: int = 0) -> list[Element]:
    """The elements of an operand's row that this element belongs to."""
    classes = asked.operands[operand].shape[-1]
    lead = asked.index[: asked.operands[operand].batched + len(asked.operands[operand].shape) - 1]
    return [Element(operand, (*lead, i)) for i in range(classes)]


def _exp(x: Term) -> Formula:
    """The exponential of a term."""
    return Formula("exp({0})", (x,), elementary.exp)


def log_term(x: Term) -> Formula:
    """The logarithm of a term."""
    return Formula("log({0})", (x,), elementary.log)


def shifted_terms(row: list[Element]) -> tuple[list[Formula], list[Formula], Partials]:
    """As `shifted_row`: differences from the maximum, their exponentials, the sum of those."""
    greatest = Largest(tuple(row))
    shifted = [x - greatest for x in row]
    powers = [_exp(x) for x in shifted]
    return shifted, powers, Partials(tuple(powers))


# -- softmax ---------------------------------------------------------------------------------


def _infer_softmax(attrs: None, x: TensorSpec) -> TensorSpec:  # noqa: ARG001
    return _infer_row("softmax", x=x)


@np.errstate(all="ignore")
def _softmax(attrs: None, x: Array, *, images: int) -> Array:  # noqa: ARG001
    _, powers, total = shifted_row(x)
    return np.asarray(powers / total)


def _terms_softmax(asked: Asked) -> Formula:
    _, powers, total = shifted_terms(row_elements(asked))
    return powers[asked.index[-1]] / total


register(
    name="softmax",
    summary="y_i = exp(x_i - max x) / (sum over j of exp(x_j - max x)), along the last axis.",
    infer=_infer_softmax,
    gradient=by_result("softmax_grad"),
    reference=_softmax,
    terms=_terms_softmax,
    kernels="reduction",
    gathers=True,
)


# -- softmax_grad ----------------------------------------------------------------------------


def _infer_softmax_grad(attrs: None, y: TensorSpec, dy: TensorSpec) -> TensorSpec:  # noqa: ARG001
    return _infer_row("softmax_grad", y=y, dy=dy)


@np.errstate(all="ignore")
def _softmax_grad(attrs: None, y: Array, dy: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.asarray(y * (dy - row_sum(y * dy)))


def _terms_softmax_grad(asked: Asked) -> Formula:
    y, dy, i = row_elements(asked), row_elements(asked, 1), asked.index[-1]
    total = Partials(tuple(a * b for a, b in zip(y, dy, strict=True)))
    return y[i] * (dy[i] - total)


register(
    name="softmax_grad",
    summary="dx_i = y_i * (dy_i - (sum over j of y_j dy_j)).",
    infer=_infer_softmax_grad,
    why_no_gradient="second derivatives of softmax are not offered",
    reference=_softmax_grad,
    terms=_terms_softmax_grad,
    kernels="reduction",
    gathers=True,
)


# -- log_softmax -----------------------------------------------------------------------------


def _infer_log_softmax(attrs: None, x: TensorSpec) -> TensorSpec:  # noqa: ARG001
    return _infer_row("log_softmax", x=x)


@np.errstate(all="ignore")
def _log_softmax(attrs: None, x: Array, *, images: int) -> Array:  # noqa: ARG001
    shifted, _, total = shifted_row(x)
    return np.asarray(shifted - elementary.log(total))


def _terms_log_softmax(asked: Asked) -> Formula:
    shifted, _, total = shifted_terms(row_elements(asked))
    return shifted[asked.index[-1]] - log_term(total)


register(
    name="log_softmax",
    summary="y_i = (x_i - max x) - log(sum over j of exp(x_j - max x)), along the last axis.",
    infer=_infer_log_softmax,
    gradient=by_result("log_softmax_grad"),
    reference=_log_softmax,
    terms=_terms_log_softmax,
    kernels="reduction",
    gathers=True,
)


# -- log_softmax_grad ------------------------------------------------------------------------


def _infer_log_softmax_grad(
    attrs: None,  # noqa: ARG001
    y: TensorSpec,
    dy: TensorSpec,
) -> TensorSpec:
    return _infer_row("log_softmax_grad", y=y, dy=dy)


@np.errstate(all="ignore")
def _log_softmax_grad(attrs: None, y: Array, dy: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.asarray(dy - elementary.exp(y) * row_sum(dy))


def _terms_log_softmax_grad(asked: Asked) -> Formula:
    y, dy, i = row_elements(asked), row_elements(asked, 1), asked.index[-1]
    return dy[i] - _exp(y[i]) * Partials(tuple(dy))


register(
    name="log_softmax_grad",
    summary="dx_i = dy_i - exp(y_i) * (sum over j of dy_j).",
    infer=_infer_log_softmax_grad,
    why_no_gradient="second derivatives of log_softmax are not offered",
    reference=_log_softmax_grad,
    terms=_terms_log_softmax_grad,
    kernels="reduction",
    gathers=True,
)
