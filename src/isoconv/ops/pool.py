"""Max and average pooling and their gradients.

A window goes over each channel by itself. Padding is no data: a maximum never picks it, an average
counts it only with `count_include_pad`. Global pooling is a window as large as the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoconv.errors import ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Formula, Largest, Number, Running, When, Wins
from isoconv.ops.check import in_operation, require_batched, require_float, shape_error
from isoconv.ops.flow import by_input
from isoconv.ops.geometry import WindowGeometry
from isoconv.ops.reach import pooled
from isoconv.ops.window import (
    at,
    covered,
    in_range,
    inside,
    kernel_positions,
    met_by,
    take,
)

__public__ = {"isoconv.ops": ["[A-Z]*"]}

SECOND = "the second derivative of a maximum is zero wherever it exists"


def pooled_spec(op: str, window: WindowGeometry, x: TensorSpec) -> TensorSpec:
    """The result's shape; every window must meet the input."""
    require_float(op, x=x)
    require_batched(op, x=x)
    rank = len(window.kernel)
    if len(x.shape) != rank + 1:
        raise shape_error(op, f"x must have {rank} spatial axes and one of channels", x=x)
    try:
        outputs = window.output_sides(x.shape[:-1])
    except ShapeError as error:
        in_operation(error, op, x=x)
        raise
    if any(_misses(window, axis, side, outputs[axis]) for axis, side in enumerate(x.shape[:-1])):
        raise shape_error(op, f"every window must meet the input: {window}", x=x)
    return TensorSpec((*outputs, x.shape[-1]), x.dtype)


def _misses(window: WindowGeometry, axis: int, side: int, count: int) -> bool:
    """Whether some window of an axis covers nothing of the input.

    A window that starts in the input meets it there, and one that starts before it at its first
    element from 0 on; that lies beyond the input only where the dilation jumps over all of it.
    """
    dilation, stride, before = window.dilation[axis], window.stride[axis], window.padding[axis][0]
    if dilation <= side:
        return False
    early = np.arange(min(count, -(-before // stride)), dtype=np.int64) * stride - before
    return bool((early % dilation >= side).any())


def _counts(window: WindowGeometry, sides: tuple[int, ...], *, padded: bool) -> np.ndarray:
    """How many positions each window covers, of the input or of the padded input."""
    outputs = window.output_sides(sides)
    counts = np.ones((), dtype=np.int64)
    for axis, (count, side) in enumerate(zip(outputs, sides, strict=True)):
        before, after = window.padding[axis] if padded else (0, 0)
        inside = np.zeros(count, dtype=np.int64)
        for position in range(window.kernel[axis]):
            start = position * window.dilation[axis] - window.padding[axis][0]
            index = np.arange(count) * window.stride[axis] + start
            inside += (index >= -before) & (index < side + after)
        counts = counts[..., None] * inside
    return counts


def window_elements(
    window: WindowGeometry, sides: tuple[int, ...], image: tuple[int, ...], place: tuple[int, ...]
) -> tuple[Element, ...]:
    """The elements of operand 0 that one window covers, in order; `place` ends in the channel."""
    *output, channel = place
    met = (at(window, m, output) for m in kernel_positions(window.kernel))
    return tuple(Element(0, (*image, *i, channel)) for i in met if inside(i, sides))


def _windows_over(
    window: WindowGeometry, result: TensorSpec, place: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """The windows that cover one input, kernel position by kernel position.

    Args:
        window: how the window moves.
        result: what the pooled result is.
        place: the input, its channel last.
    """
    *input_, channel = place
    return [
        (*output, channel)
        for m in kernel_positions(window.kernel)
        for output in met_by(window, m, input_)
        if inside(output, result.shape[:-1])
    ]


# -- max_pool --------------------------------------------------------------------------------


def _infer_max_pool(attrs: WindowGeometry, x: TensorSpec) -> TensorSpec:
    return pooled_spec("max_pool", attrs, x)


def winners(attrs: WindowGeometry, x: Array) -> tuple[Array, Array]:
    """Each window's maximum and its kernel position's number, both ``(N, outputs..., C)``.

    The first of equals in row-major order wins; the first NaN wins over all.
    """
    outputs = attrs.output_sides(x.shape[1:-1])
    best = np.zeros((x.shape[0], *outputs, x.shape[-1]), x.dtype)
    winner = np.full(best.shape, -1, dtype=np.int64)
    for number, position in enumerate(kernel_positions(attrs.kernel)):
        places = covered(attrs, position, outputs)
        value = take(x, places)
        better = (value > best) | (np.isnan(value) & ~np.isnan(best)) | (winner < 0)
        better &= in_range(places, x.shape[1:-1])
        best = np.where(better, value, best)
        winner = np.where(better, number, winner)
    return best, winner


def _max_pool(attrs: WindowGeometry, x: Array, *, images: int) -> Array:  # noqa: ARG001
    return winners(attrs, x)[0]


def _terms_max_pool(asked: Asked) -> Largest:
    return Largest(
        window_elements(asked.attrs, asked.operands[0].shape[:-1], asked.image, asked.place)
    )


register(
    name="max_pool",
    attrs=WindowGeometry,
    summary="y[p, c] = max over window positions m of x[pS - P + mD, c].",
    infer=_infer_max_pool,
    gradient=by_input("max_pool_grad"),
    reference=_max_pool,
    epilogue=True,
    terms=_terms_max_pool,
    kernels="window",
    heavy=True,
    reads=pooled,
)


# -- max_pool_grad ---------------------------------------------------------------------------


def _infer_max_pool_grad(attrs: WindowGeometry, x: TensorSpec, dy: TensorSpec) -> TensorSpec:
    op = "max_pool_grad"
    require_float(op, x=x, dy=dy)
    result = pooled_spec(op, attrs, x)
    if dy != result:
        raise shape_error(op, f"dy must be as the pooled result, {result}", x=x, dy=dy)
    return x


def _max_pool_grad(attrs: WindowGeometry, x: Array, dy: Array, *, images: int) -> Array:
    _, winner = winners(attrs, x)
    dx = np.zeros_like(x)
    for number, position in enumerate(kernel_positions(attrs.kernel)):
        _scatter(dx, attrs, position, np.where(winner == number, dy, 0), winner == number, images)
    return dx


def _scatter(
    dx: Array,
    window: WindowGeometry,
    position: tuple[int, ...],
    terms: Array,
    where: Array,
    images: int,
) -> None:
    """Add each output's term to the input that it meets at one kernel position.

    At one kernel position two outputs never meet the same input.
    """
    sides, channels = dx.shape[1:-1], dx.shape[-1]
    places = covered(window, position, terms.shape[1:-1])
    kept = [
        np.flatnonzero((index >= 0) & (index < side))
        for index, side in zip(places, sides, strict=True)
    ]
    source = np.ix_(np.arange(images), *kept, np.arange(channels))
    inputs = [index[keep] for index, keep in zip(places, kept, strict=True)]
    target = np.ix_(np.arange(images), *inputs, np.arange(channels))
    dx[target] = np.where(where[source], dx[target] + terms[source], dx[target])


def _terms_max_pool_grad(asked: Asked) -> Running:
    window, (x, dy) = asked.attrs, asked.operands
    here = Element(0, asked.index)
    terms = []
    for output in _windows_over(window, dy, asked.place):
        choice = Largest(window_elements(window, x.shape[:-1], asked.image, output))
        wins = Wins(choice, choice.terms.index(here))
        terms.append(When(wins, Element(1, (*asked.image, *output))))
    return Running(tuple(terms))


register(
    name="max_pool_grad",
    attrs=WindowGeometry,
    summary="dx[i, c] = sum of dy[p, c] over the windows p whose maximum is x[i, c].",
    infer=_infer_max_pool_grad,
    why_no_gradient=SECOND,
    reference=_max_pool_grad,
    epilogue=True,
    terms=_terms_max_pool_grad,
    kernels="window",
)


# -- avg_pool --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AvgPool:
    """An average over windows.

    Attributes:
        window: how the window moves.
        count_include_pad: divide by the positions of the window in the padded input, not by
            those in the input alone. What `ceil_mode` adds beyond the padding never counts.
    """

    window: WindowGeometry
    count_include_pad: bool = False


def _infer_avg_pool(attrs: AvgPool, x: TensorSpec) -> TensorSpec:
    return pooled_spec("avg_pool", attrs.window, x)


def _gradient_avg_pool(b: GraphBuilder, node: int, dy: int) -> Flows:
    attrs, x = b[node].attrs, b.spec(b[node].inputs[0])
    backward = AvgPoolGrad(attrs.window, attrs.count_include_pad, x.shape[:-1])
    return (b.add("avg_pool_grad", dy, attrs=backward),)


def _avg_pool(attrs: AvgPool, x: Array, *, images: int) -> Array:
    window, sides = attrs.window, x.shape[1:-1]
    outputs = window.output_sides(sides)
    total = np.zeros((images, *outputs, x.shape[-1]), x.dtype)
    for position in kernel_positions(window.kernel):
        places = covered(window, position, outputs)
        total = np.where(in_range(places, sides), total + take(x, places), total)
    counts = _counts(window, sides, padded=attrs.count_include_pad)
    return np.asarray(total / counts[..., None].astype(x.dtype))


def _count(window: WindowGeometry, sides: tuple[int, ...], place: tuple[int, ...], *,
           padded: bool) -> Number:  # fmt: skip
    """How many positions the window of one output covers."""
    return Number(float(_counts(window, sides, padded=padded)[place[:-1]]))


def _terms_avg_pool(asked: Asked) -> Formula:
    attrs, sides = asked.attrs, asked.operands[0].shape[:-1]
    total = Running(window_elements(attrs.window, sides, asked.image, asked.place))
    count = _count(attrs.window, sides, asked.place, padded=attrs.count_include_pad)
    return Formula("{0} / {1}", (total, count), np.divide)


register(
    name="avg_pool",
    attrs=AvgPool,
    summary="y[p, c] = (sum over window positions m of x[pS - P + mD, c]) / count(p).",
    infer=_infer_avg_pool,
    gradient=_gradient_avg_pool,
    reference=_avg_pool,
    epilogue=True,
    terms=_terms_avg_pool,
    kernels="window",
    heavy=True,
    reads=pooled,
)


# -- avg_pool_grad ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AvgPoolGrad:
    """An average over windows, run backwards.

    Attributes:
        window: how the window moves.
        count_include_pad: as for `AvgPool`.
        sides: sizes of the forward input per axis.
    """

    window: WindowGeometry
    count_include_pad: bool
    sides: tuple[int, ...]


def _infer_avg_pool_grad(attrs: AvgPoolGrad, dy: TensorSpec) -> TensorSpec:
    op = "avg_pool_grad"
    require_float(op, dy=dy)
    require_batched(op, dy=dy)
    if not dy.shape:
        raise shape_error(op, "dy must have an axis of channels", dy=dy)
    x = TensorSpec((*attrs.sides, dy.shape[-1]), dy.dtype)
    result = pooled_spec(op, attrs.window, x)
    if dy != result:
        raise shape_error(op, f"dy must be as the pooled result, {result}", dy=dy)
    return x


def _gradient_avg_pool_grad(b: GraphBuilder, node: int, ddx: int) -> Flows:
    attrs = b[node].attrs
    forward = AvgPool(attrs.window, attrs.count_include_pad)
    return (b.add("avg_pool", ddx, attrs=forward),)


def _avg_pool_grad(attrs: AvgPoolGrad, dy: Array, *, images: int) -> Array:
    counts = _counts(attrs.window, attrs.sides, padded=attrs.count_include_pad)
    share = dy / counts[..., None].astype(dy.dtype)
    everywhere = np.ones(dy.shape, dtype=np.bool_)
    dx = np.zeros((images, *attrs.sides, dy.shape[-1]), dy.dtype)
    for position in kernel_positions(attrs.window.kernel):
        _scatter(dx, attrs.window, position, share, everywhere, images)
    return dx


def _terms_avg_pool_grad(asked: Asked) -> Running:
    attrs, dy = asked.attrs, asked.operands[0]
    return Running(
        tuple(
            Formula(
                "{0} / {1}",
                (
                    Element(0, (*asked.image, *output)),
                    _count(attrs.window, attrs.sides, output, padded=attrs.count_include_pad),
                ),
                np.divide,
            )
            for output in _windows_over(attrs.window, dy, asked.place)
        )
    )


register(
    name="avg_pool_grad",
    attrs=AvgPoolGrad,
    summary="dx[i, c] = sum of dy[p, c] / count(p) over the windows p that cover i.",
    infer=_infer_avg_pool_grad,
    gradient=_gradient_avg_pool_grad,
    reference=_avg_pool_grad,
    epilogue=True,
    terms=_terms_avg_pool_grad,
    kernels="window",
)
