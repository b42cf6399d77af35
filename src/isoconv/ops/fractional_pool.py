"""Fractional max pooling: maxima of windows at steps between whole numbers (Graham, 2014).

Where the windows of an image's channel lie follows from an offset of its own for each axis:
``(rank, C)`` numbers from 0 to below 1 beside x ``(spatial..., C)``. Whatever else stands there
counts as 0, so that any numbers give windows inside x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from isoconv.checks import refusal
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, Flows, register
from isoconv.graph.terms import Asked, Element, Largest, Number, Running, When, Wins
from isoconv.ops.check import require_batched, require_float, shape_error
from isoconv.ops.pool import SECOND
from isoconv.ops.unpool import check_exact_places
from isoconv.ops.window import kernel_positions, row_major

__public__ = {"isoconv.ops": ["[A-Z]*"]}

LONGEST = 2**24
"""Sides up to which steps are exact numbers in float32."""


@dataclass(frozen=True, slots=True)
class FractionalWindow:
    """Windows of one size, and how many of them there are.

    Attributes:
        kernel: size of a window per axis.
        outputs: number of windows per axis.
    """

    kernel: tuple[int, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, value in (("kernel", self.kernel), ("outputs", self.outputs)):
            if min(value, default=0) < 1:
                raise refusal(name, "be at least 1 on each of one axis or more", value)
        if len(self.kernel) != len(self.outputs):
            raise refusal("outputs", f"have {len(self.kernel)} entries, one per axis", self.outputs)

    def steps(self, sides: Sequence[int], dtype: Any) -> list[Any]:
        """From one window to the next, per axis: α = (side - K) / (O - 1) in the dtype."""
        kind = np.dtype(dtype).type
        return [
            kind(side - k) / kind(max(count - 1, 1))
            for side, k, count in zip(sides, self.kernel, self.outputs, strict=True)
        ]


def first_places(window: FractionalWindow, sides: Sequence[int], offsets: Array) -> list[Array]:
    """The place at which each window of an axis begins.

    Window i begins at ``trunc((i + u)·α) - trunc(u·α)``, each operation rounded in the dtype, and
    the last one at ``side - K``; a u that is not from 0 to below 1 counts as 0.

    Args:
        window: the windows.
        sides: of x, per axis.
        offsets: ``(..., rank, C)``, u of each channel and axis.

    Returns:
        Per axis ``(..., O, C)``, whole numbers.

    Example:
        >>> window = FractionalWindow((2,), (4,))
        >>> first_places(window, (9,), np.float32([[0.0, 0.5]]))[0].T
        array([[0, 2, 4, 7],
               [0, 2, 4, 7]])
    """
    found = []
    steps = window.steps(sides, offsets.dtype)
    for axis, (k, count, side) in enumerate(zip(window.kernel, window.outputs, sides, strict=True)):
        u = offsets[..., axis, None, :]
        u = np.where((u >= 0) & (u < 1), u, u.dtype.type(0))
        numbers = np.arange(count).astype(u.dtype)[:, None]
        begins = ((numbers + u) * steps[axis]).astype(np.int64)
        begins -= (u * steps[axis]).astype(np.int64)
        begins[..., -1, :] = side - k
        found.append(begins)
    return found


def _check(op: str, window: FractionalWindow, x: TensorSpec, offsets: TensorSpec) -> TensorSpec:
    """The result's shape; every window must lie in the input."""
    require_float(op, x=x, offsets=offsets)
    require_batched(op, x=x, offsets=offsets)
    rank = len(window.kernel)
    if len(x.shape) != rank + 1:
        rule = f"x must have {rank} spatial axes and one of channels"
        raise shape_error(op, rule, x=x, offsets=offsets)
    *sides, channels = x.shape
    if offsets.shape != (rank, channels):
        rule = f"offsets must have shape {(rank, channels)}, one of each axis and channel"
        raise shape_error(op, rule, x=x, offsets=offsets)
    room = tuple(side - k + 1 for side, k in zip(sides, window.kernel, strict=True))
    if any(count > most for count, most in zip(window.outputs, room, strict=True)):
        rule = f"there must be room for the windows, at most {room} of {window.kernel}"
        raise shape_error(op, rule, x=x, offsets=offsets)
    if max(sides) > LONGEST:
        raise shape_error(op, f"sides must be at most {LONGEST}", x=x, offsets=offsets)
    return TensorSpec((*window.outputs, channels), x.dtype)


# -- where the windows of all channels lie ------------------------------------------------------


class _Windows:
    """All windows of arrays: where they lie, and what wins in each.

    Attributes:
        best: each window's maximum, ``(N, outputs..., C)``.
        winner: its place per axis, likewise.
    """

    best: Array
    winner: list[Array]

    def __init__(self, window: FractionalWindow, x: Array, offsets: Array) -> None:
        images, *sides, channels = x.shape
        rank = len(sides)
        image = np.arange(images).reshape(-1, *(1,) * (rank + 1))
        channel = np.arange(channels)
        begins = [
            each.reshape(images, *(1,) * axis, -1, *(1,) * (rank - 1 - axis), channels)
            for axis, each in enumerate(first_places(window, sides, offsets))
        ]
        shape = (images, *window.outputs, channels)
        self.best = x[(image, *begins, channel)]
        self.winner = [np.broadcast_to(begin, shape) for begin in begins]
        for position in kernel_positions(window.kernel):
            here = [begin + m for begin, m in zip(begins, position, strict=True)]
            value = x[(image, *here, channel)]
            better = (value > self.best) | (np.isnan(value) & ~np.isnan(self.best))
            self.best = np.where(better, value, self.best)
            self.winner = [
                np.where(better, now, before) for now, before in zip(here, self.winner, strict=True)
            ]


def _of_element(asked: Asked) -> list[Array]:
    """Where the windows of an element's channel begin, per axis ``(O,)``."""
    x, offsets = asked.operands[:2]
    channel = asked.place[-1]
    u = np.array(
        [asked.read(Element(1, (*asked.image, axis, channel))) for axis in range(len(x.shape) - 1)],
        offsets.dtype,
    )
    return [each[:, 0] for each in first_places(asked.attrs, x.shape[:-1], u[:, None])]


def _window_of(asked: Asked, begins: Sequence[Array], output: Sequence[int]) -> list[Element]:
    """The elements of x that one window covers, in row-major order."""
    start = [int(begin[o]) for begin, o in zip(begins, output, strict=True)]
    return [
        Element(0, (*asked.image, *map(sum, zip(start, m, strict=True)), asked.place[-1]))
        for m in kernel_positions(asked.attrs.kernel)
    ]


# -- fractional_max_pool ---------------------------------------------------------------------


def _infer(attrs: FractionalWindow, x: TensorSpec, offsets: TensorSpec) -> TensorSpec:
    return _check("fractional_max_pool", attrs, x, offsets)


def _gradient(b: GraphBuilder, node: int, dy: int) -> Flows:
    return b.add("fractional_max_pool_grad", *b[node].inputs, dy, attrs=b[node].attrs), None


def _pool(attrs: FractionalWindow, x: Array, offsets: Array, *, images: int) -> Array:  # noqa: ARG001
    return _Windows(attrs, x, offsets).best


def _terms(asked: Asked) -> Largest:
    return Largest(tuple(_window_of(asked, _of_element(asked), asked.place[:-1])))


register(
    name="fractional_max_pool",
    attrs=FractionalWindow,
    summary="y[p, c] = max over window positions m of x[begin(p, u[c]) + m, c].",
    infer=_infer,
    gradient=_gradient,
    reference=_pool,
    epilogue=True,
    terms=_terms,
    kernels="window",
    heavy=True,
)


# -- fractional_max_pool_places --------------------------------------------------------------


def _infer_places(attrs: FractionalWindow, x: TensorSpec, offsets: TensorSpec) -> TensorSpec:
    op = "fractional_max_pool_places"
    result = _check(op, attrs, x, offsets)
    check_exact_places(op, x, offsets=offsets)
    return result


def _places(attrs: FractionalWindow, x: Array, offsets: Array, *, images: int) -> Array:  # noqa: ARG001
    number: Any = 0
    for place, side in zip(_Windows(attrs, x, offsets).winner, x.shape[1:-1], strict=True):
        number = number * side + place
    return np.asarray(number).astype(x.dtype)


def _terms_places(asked: Asked) -> Running:
    sides, lead = asked.operands[0].shape[:-1], len(asked.image)
    elements = _window_of(asked, _of_element(asked), asked.place[:-1])
    found = Largest(tuple(elements))
    return Running(
        tuple(
            When(Wins(found, i), Number(float(row_major(element.index[lead:-1], sides))))
            for i, element in enumerate(elements)
        )
    )


register(
    name="fractional_max_pool_places",
    attrs=FractionalWindow,
    summary="y[p, c] = the row-major number of the position whose x[i, c] is window p's max.",
    infer=_infer_places,
    why_no_gradient="places are whole numbers, between which there is no slope",
    reference=_places,
    epilogue=True,
    terms=_terms_places,
    kernels="window",
    heavy=True,
)


# -- fractional_max_pool_grad ----------------------------------------------------------------


def _infer_grad(
    attrs: FractionalWindow, x: TensorSpec, offsets: TensorSpec, dy: TensorSpec
) -> TensorSpec:
    op = "fractional_max_pool_grad"
    require_float(op, x=x, dy=dy)
    result = _check(op, attrs, x, offsets)
    if dy != result:
        rule = f"dy must be as the pooled result, {result}"
        raise shape_error(op, rule, x=x, offsets=offsets, dy=dy)
    return x


def _pool_grad(
    attrs: FractionalWindow, x: Array, offsets: Array, dy: Array, *, images: int
) -> Array:
    winner = _Windows(attrs, x, offsets).winner
    dx, rows, channels = np.zeros_like(x), np.arange(images)[:, None], np.arange(x.shape[-1])
    for output in np.ndindex(*attrs.outputs):
        window: Any = (slice(None), *output)
        target = (rows, *(place[window] for place in winner), channels)
        dx[target] += dy[window]
    return dx


def _terms_grad(asked: Asked) -> Running:
    """The windows that cover an input, in row-major order."""
    begins, here = _of_element(asked), Element(0, asked.index)
    covering = [
        [o for o, begin in enumerate(each.tolist()) if begin <= i < begin + k]
        for each, i, k in zip(begins, asked.place[:-1], asked.attrs.kernel, strict=True)
    ]
    terms = []
    for output in product(*covering):
        choice = Largest(tuple(_window_of(asked, begins, output)))
        taken = Element(2, (*asked.image, *output, asked.place[-1]))
        terms.append(When(Wins(choice, choice.terms.index(here)), taken))
    return Running(tuple(terms))


register(
    name="fractional_max_pool_grad",
    attrs=FractionalWindow,
    summary="dx[i, c] = sum of dy[p, c] over the windows p whose maximum is x[i, c].",
    infer=_infer_grad,
    why_no_gradient=SECOND,
    reference=_pool_grad,
    terms=_terms_grad,
    kernels="window",
)
