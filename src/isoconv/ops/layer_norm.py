"""Layer normalisation along the last axis (Ba, Kiros & Hinton, 2016, https://arxiv.org/abs/1607.06450).

Only the division by the spread is here: scale and shift are `mul` and `add` behind it.
"""

from __future__ import annotations

import numpy as np

from isoconv.arithmetic.sums import partial_sum
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Formula, Partials, Term
from isoconv.ops.check import require_batched, require_constants, require_float, shape_error
from isoconv.ops.norm import Epsilon

__public__ = {"isoconv.ops": ["layer_norm"]}  # the whole file: it has no record of its own


def _infer_row(op: str, attrs: Epsilon, **specs: TensorSpec) -> TensorSpec:
    require_float(op, **specs)
    require_batched(op, **specs)
    first = next(iter(specs.values()))
    if not first.shape:
        raise shape_error(op, f"{next(iter(specs))} must have an axis to normalise along", **specs)
    if len(set(specs.values())) > 1:
        raise shape_error(op, f"{' and '.join(specs)} must have one shape", **specs)
    require_constants(op, attrs, first)
    return first


# -- what the references share ---------------------------------------------------------------


def _mean(values: Array) -> Array:
    total = partial_sum(values, axis=values.ndim - 1)[..., None]
    return np.asarray(total / total.dtype.type(values.shape[-1]))


def inverse_spread(variance: Array, eps: float) -> Array:
    """``1 / sqrt(variance + eps)``, each of the three rounded."""
    kind = variance.dtype.type
    return np.asarray(kind(1.0) / np.sqrt(variance + kind(eps)))


def _centred(attrs: Epsilon, x: Array) -> tuple[Array, Array]:
    """``x - mean`` and the inverse of its spread."""
    centred = x - _mean(x)
    return centred, inverse_spread(_mean(centred * centred), attrs.eps)


def _row(asked: Asked, operand: int = 0) -> list[Element]:
    """The elements of an operand's row that this element belongs to."""
    return [Element(operand, (*asked.index[:-1], i)) for i in range(asked.operands[0].shape[-1])]


def _mean_terms(terms: list[Term]) -> Formula:
    return Partials(tuple(terms)) / float(len(terms))


def _centred_terms(attrs: Epsilon, row: list[Element]) -> tuple[list[Formula], Formula]:
    mean = _mean_terms([*row])
    centred = [x - mean for x in row]
    variance = _mean_terms([x * x for x in centred])

    def inverse(found: Array) -> Array:
        return inverse_spread(found, attrs.eps)

    return centred, Formula(f"1 / sqrt({{0}} + {attrs.eps:g})", (variance,), inverse)


# -- layer_norm ------------------------------------------------------------------------------


def _infer(attrs: Epsilon, x: TensorSpec) -> TensorSpec:
    return _infer_row("layer_norm", attrs, x=x)


def _gradient(b: GraphBuilder, node: int, dy: int) -> Flows:
    return (b.add("layer_norm_grad", *b[node].inputs, dy, attrs=b[node].attrs),)


@np.errstate(all="ignore")
def _layer_norm(attrs: Epsilon, x: Array, *, images: int) -> Array:  # noqa: ARG001
    centred, inverse = _centred(attrs, x)
    return np.asarray(centred * inverse)


def _terms(asked: Asked) -> Formula:
    centred, inverse = _centred_terms(asked.attrs, _row(asked))
    return centred[asked.index[-1]] * inverse


register(
    name="layer_norm",
    attrs=Epsilon,
    summary="y_i = (x_i - mean) / sqrt(var + eps), mean and variance of the last axis.",
    infer=_infer,
    gradient=_gradient,
    reference=_layer_norm,
    terms=_terms,
    epilogue=True,
    kernels="normalization",
    gathers=True,
    heavy=True,
)


# -- layer_norm_grad -------------------------------------------------------------------------


def _infer_grad(attrs: Epsilon, x: TensorSpec, dy: TensorSpec) -> TensorSpec:
    return _infer_row("layer_norm_grad", attrs, x=x, dy=dy)


@np.errstate(all="ignore")
def _layer_norm_grad(attrs: Epsilon, x: Array, dy: Array, *, images: int) -> Array:  # noqa: ARG001
    centred, inverse = _centred(attrs, x)
    y = centred * inverse
    return np.asarray(inverse * ((dy - _mean(dy)) - y * _mean(dy * y)))


def _terms_grad(asked: Asked) -> Formula:
    centred, inverse = _centred_terms(asked.attrs, _row(asked))
    dy, i = _row(asked, 1), asked.index[-1]
    y = [x * inverse for x in centred]
    share = _mean_terms([a * b for a, b in zip(dy, y, strict=True)])
    return inverse * ((dy[i] - _mean_terms([*dy])) - y[i] * share)


register(
    name="layer_norm_grad",
    attrs=Epsilon,
    summary="dx_i = (dy_i - mean of dy - y_i * mean of dy * y) / sqrt(var + eps).",
    infer=_infer_grad,
    why_no_gradient="second derivatives of layer normalisation are not offered",
    reference=_layer_norm_grad,
    terms=_terms_grad,
    epilogue=True,
    kernels="normalization",
    gathers=True,
)
