r"""Winograd's F(2×2, 3×3): a 3×3 convolution with 16 multiplications for every 4 results.

Lavin and Gray 2015, "Fast algorithms for convolutional neural networks". The padded input is cut
into patches of 4×4 that overlap by two, one for each 2×2 results:

.. math:: Y = A^T \left[ (G g G^T) \odot (B^T d B) \right] A

In a network the products at each of the 16 places are summed over the channels, which makes them 16
contractions (``winograd_product``). The convolution is three linear maps around them, each an
operation with its transpose: ``winograd_input`` (:math:`B^T d B`), ``winograd_weight`` (:math:`G g
G^T`) and ``winograd_output`` (:math:`A^T m A`). The values between them are *components*: ``(16,
tile rows, tile columns, channels)``, the place in the patch row-major.

Every map works on the first index of a patch first, then on the second, by the sums below; see
section 15 of ``docs/arithmetic.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoconv.errors import ArgumentError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array, register
from isoconv.graph.terms import Asked, Element, Padding, Running, Term
from isoconv.ops.check import require_batched, require_float, require_unbatched, shape_error
from isoconv.ops.flow import by_transpose
from isoconv.ops.winograd_direct import convolution, input_gradient, weight_gradient
from isoconv.ops.winograd_product import PLACES

__public__ = {"isoconv.ops": ["[A-Z]*"]}

Lines = Sequence[Any]
"""Arrays, or terms that stand for their elements."""

Pairs = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class WinogradPatches:
    """How an input is cut into patches.

    Attributes:
        sides: height and width of the input.
        padding: zeros (before, after) per axis; the patches' overhang adds more behind them.

    Raises:
        ArgumentError: no 3×3 kernel fits into the padded input, or a padding is negative.
    """

    sides: tuple[int, int]
    padding: Pairs

    def __post_init__(self) -> None:
        if min(min(pair) for pair in self.padding) < 0 or min(self.outputs) < 1:
            raise ArgumentError(
                "winograd: a 3x3 kernel must fit into the padded input, with padding from 0; got "
                f"sides {self.sides}, padding {self.padding}",
                argument="padding",
                value=self.padding,
            )

    @property
    def outputs(self) -> tuple[int, int]:
        """Height and width of the convolution's result."""
        (height, width), ((top, bottom), (left, right)) = self.sides, self.padding
        return height + top + bottom - 2, width + left + right - 2

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return _halves(self.outputs)


@dataclass(frozen=True, slots=True)
class WinogradOutput:
    """The result that tiles of 2×2 make up; at odd sizes the last ones reach beyond it.

    Attributes:
        sides: height and width of the result.
    """

    sides: tuple[int, int]

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return _halves(self.sides)


def _halves(sides: tuple[int, int]) -> tuple[int, int]:
    height, width = sides
    return -(-height // 2), -(-width // 2)


def _both(lines: Callable[[Lines], list[Any]], patch: Sequence[Lines]) -> list[list[Any]]:
    """A one-dimensional map along the first index of a patch, then along the second."""
    columns = [lines([row[j] for row in patch]) for j in range(len(patch[0]))]
    return [lines([column[i] for column in columns]) for i in range(len(columns[0]))]


def _place(
    lines: Callable[[Lines], list[Any]], patch: Sequence[Sequence[Term]], place: tuple[int, int]
) -> Term:
    """What a map gives at one place: the terms of a patch, added as its arrays are."""
    term: Term = _both(lines, patch)[place[0]][place[1]]
    return term


def _component(
    asked: Asked, operand: int, tile: tuple[int, int], channel: int
) -> list[list[Element]]:
    """The 16 elements of an operand's components that belong to one tile."""
    return [
        [Element(operand, (*asked.image, 4 * i + j, *tile, channel)) for j in range(4)]
        for i in range(4)
    ]


def _require_components(op: str, name: str, tiles: tuple[int, int], **specs: TensorSpec) -> None:
    shape = specs[name].shape
    if len(shape) != 4 or shape[:3] != (PLACES, *tiles):
        rule = f"{name} must have shape ({PLACES}, {tiles[0]}, {tiles[1]}, channels)"
        raise shape_error(op, rule, **specs)


# The input --------------------------------------------------------------------------------------


def _input_lines(d: Lines) -> list[Any]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _input_grad_lines(v: Lines) -> list[Any]:
    return [v[0], (v[1] - v[2]) + v[3], (v[1] + v[2]) - v[0], -v[3]]


def _infer_input(attrs: WinogradPatches, x: TensorSpec) -> TensorSpec:
    require_float("winograd_input", x=x)
    require_batched("winograd_input", x=x)
    if len(x.shape) != 3 or x.shape[:2] != attrs.sides:
        height, width = attrs.sides
        raise shape_error("winograd_input", f"x must have shape ({height}, {width}, C)", x=x)
    return TensorSpec((PLACES, *attrs.tiles, x.shape[-1]), x.dtype)


def _winograd_input(attrs: WinogradPatches, x: Array, *, images: int) -> Array:
    (rows, columns), (top, left) = attrs.tiles, (before for before, _ in attrs.padding)
    (height, width), channels = attrs.sides, x.shape[-1]
    padded = np.zeros((images, 2 * rows + 2, 2 * columns + 2, channels), x.dtype)
    padded[:, top : top + height, left : left + width] = x
    patch = [
        [padded[:, i : i + 2 * rows : 2, j : j + 2 * columns : 2] for j in range(4)]
        for i in range(4)
    ]
    return np.stack([v for line in _both(_input_lines, patch) for v in line], axis=1)


def _terms_winograd_input(asked: Asked) -> Term:
    t, row, column, channel = asked.place
    (top, _), (left, _) = asked.attrs.padding
    corner = 2 * row - top, 2 * column - left

    def read(i: int, j: int) -> Term:
        y, x = corner[0] + i, corner[1] + j
        inside = 0 <= y < asked.attrs.sides[0] and 0 <= x < asked.attrs.sides[1]
        return (Element if inside else Padding)(0, (*asked.image, y, x, channel))

    return _place(_input_lines, [[read(i, j) for j in range(4)] for i in range(4)], divmod(t, 4))


register(
    name="winograd_input",
    attrs=WinogradPatches,
    summary="v = B^T d B for every 4x4 patch d of the padded input, two apart.",
    infer=_infer_input,
    gradient=by_transpose("winograd_input_grad"),
    reference=_winograd_input,
    terms=_terms_winograd_input,
    kernels="winograd",
)


def _infer_input_grad(attrs: WinogradPatches, dv: TensorSpec) -> TensorSpec:
    require_float("winograd_input_grad", dv=dv)
    require_batched("winograd_input_grad", dv=dv)
    _require_components("winograd_input_grad", "dv", attrs.tiles, dv=dv)
    return TensorSpec((*attrs.sides, dv.shape[-1]), dv.dtype)


def _winograd_input_grad(attrs: WinogradPatches, dv: Array, *, images: int) -> Array:
    (rows, columns), (top, left) = attrs.tiles, (before for before, _ in attrs.padding)
    (height, width), channels = attrs.sides, dv.shape[-1]
    padded = np.zeros((images, 2 * rows + 2, 2 * columns + 2, channels), dv.dtype)
    for row in range(rows):
        for column in range(columns):
            patch = [[dv[:, 4 * i + j, row, column] for j in range(4)] for i in range(4)]
            for i, line in enumerate(_both(_input_grad_lines, patch)):
                for j, term in enumerate(line):
                    place = (slice(None), 2 * row + i, 2 * column + j)
                    padded[place] = padded[place] + term
    return padded[:, top : top + height, left : left + width].copy()


def _terms_winograd_input_grad(asked: Asked) -> Running:
    *place, channel = asked.place
    y, x = (at + before for at, (before, _) in zip(place, asked.attrs.padding, strict=True))
    rows, columns = asked.attrs.tiles
    terms = []
    for row in range(max(0, (y - 2) // 2), min(rows - 1, y // 2) + 1):
        for column in range(max(0, (x - 2) // 2), min(columns - 1, x // 2) + 1):
            patch = _component(asked, 0, (row, column), channel)
            terms.append(_place(_input_grad_lines, patch, (y - 2 * row, x - 2 * column)))
    return Running(tuple(terms))


register(
    name="winograd_input_grad",
    attrs=WinogradPatches,
    summary="dx = sum of B dv B^T over the patches, row-major, each where it was taken from.",
    infer=_infer_input_grad,
    gradient=by_transpose("winograd_input"),
    reference=_winograd_input_grad,
    terms=_terms_winograd_input_grad,
    epilogue=True,
    kernels="winograd",
    stands_for=input_gradient,
)


# The kernel -------------------------------------------------------------------------------------


def _weight_lines(g: Lines) -> list[Any]:
    outer = g[0] + g[2]
    return [g[0], (outer + g[1]) * 0.5, (outer - g[1]) * 0.5, g[2]]


def _weight_grad_lines(u: Lines) -> list[Any]:
    inner = (u[1] + u[2]) * 0.5
    return [u[0] + inner, (u[1] - u[2]) * 0.5, inner + u[3]]


def _infer_weight(_: None, w: TensorSpec) -> TensorSpec:
    require_float("winograd_weight", w=w)
    require_unbatched("winograd_weight", w=w)
    if len(w.shape) != 4 or w.shape[:2] != (3, 3):
        raise shape_error("winograd_weight", "w must have shape (3, 3, C, O)", w=w)
    return TensorSpec((PLACES, *w.shape[2:]), w.dtype, batched=False)


def _winograd_weight(_: None, w: Array, *, images: int) -> Array:  # noqa: ARG001
    return np.stack([u for line in _both(_weight_lines, list(w)) for u in line])


def _terms_winograd_weight(asked: Asked) -> Term:
    t, *channels = asked.place
    kernel = [[Element(0, (i, j, *channels)) for j in range(3)] for i in range(3)]
    return _place(_weight_lines, kernel, divmod(t, 4))


register(
    name="winograd_weight",
    summary="u = G g G^T for the 3x3 kernel g of each pair of channels.",
    infer=_infer_weight,
    gradient=by_transpose("winograd_weight_grad"),
    reference=_winograd_weight,
    terms=_terms_winograd_weight,
    kernels="winograd",
)


def _infer_weight_grad(_: None, du: TensorSpec) -> TensorSpec:
    require_float("winograd_weight_grad", du=du)
    require_unbatched("winograd_weight_grad", du=du)
    if len(du.shape) != 3 or du.shape[0] != PLACES:
        rule = f"du must have shape ({PLACES}, C, O)"
        raise shape_error("winograd_weight_grad", rule, du=du)
    return TensorSpec((3, 3, *du.shape[1:]), du.dtype, batched=False)


def _winograd_weight_grad(_: None, du: Array, *, images: int) -> Array:  # noqa: ARG001
    patch = [[du[4 * i + j] for j in range(4)] for i in range(4)]
    return np.stack([np.stack(line) for line in _both(_weight_grad_lines, patch)])


def _terms_winograd_weight_grad(asked: Asked) -> Term:
    i, j, *channels = asked.place
    patch = [[Element(0, (4 * k + n, *channels)) for n in range(4)] for k in range(4)]
    return _place(_weight_grad_lines, patch, (i, j))


register(
    name="winograd_weight_grad",
    summary="dg = G^T du G for each pair of channels.",
    infer=_infer_weight_grad,
    gradient=by_transpose("winograd_weight"),
    reference=_winograd_weight_grad,
    terms=_terms_winograd_weight_grad,
    kernels="winograd",
    stands_for=weight_gradient,
)


# The result -------------------------------------------------------------------------------------


def _output_lines(m: Lines) -> list[Any]:
    return [(m[0] + m[1]) + m[2], (m[1] - m[2]) - m[3]]


def _output_grad_lines(y: Lines) -> list[Any]:
    return [y[0], y[0] + y[1], y[0] - y[1], -y[1]]


def _infer_output(attrs: WinogradOutput, m: TensorSpec) -> TensorSpec:
    require_float("winograd_output", m=m)
    require_batched("winograd_output", m=m)
    _require_components("winograd_output", "m", attrs.tiles, m=m)
    return TensorSpec((*attrs.sides, m.shape[-1]), m.dtype)


def _winograd_output(attrs: WinogradOutput, m: Array, *, images: int) -> Array:
    (rows, columns), (height, width) = attrs.tiles, attrs.sides
    patch = [[m[:, 4 * i + j] for j in range(4)] for i in range(4)]
    y = np.empty((images, 2 * rows, 2 * columns, m.shape[-1]), m.dtype)
    for i, line in enumerate(_both(_output_lines, patch)):
        for j, part in enumerate(line):
            y[:, i::2, j::2] = part
    return y[:, :height, :width].copy()


def _terms_winograd_output(asked: Asked) -> Term:
    y, x, channel = asked.place
    patch = _component(asked, 0, (y // 2, x // 2), channel)
    return _place(_output_lines, patch, (y % 2, x % 2))


register(
    name="winograd_output",
    attrs=WinogradOutput,
    summary="y = A^T m A, a tile of 2x2 for every patch.",
    infer=_infer_output,
    gradient=by_transpose("winograd_output_grad"),
    reference=_winograd_output,
    terms=_terms_winograd_output,
    epilogue=True,
    kernels="winograd",
    stands_for=convolution,
)


def _infer_output_grad(attrs: WinogradOutput, dy: TensorSpec) -> TensorSpec:
    require_float("winograd_output_grad", dy=dy)
    require_batched("winograd_output_grad", dy=dy)
    if len(dy.shape) != 3 or dy.shape[:2] != attrs.sides:
        height, width = attrs.sides
        raise shape_error("winograd_output_grad", f"dy must have shape ({height}, {width}, O)",
                          dy=dy)  # fmt: skip
    return TensorSpec((PLACES, *attrs.tiles, dy.shape[-1]), dy.dtype)


def _winograd_output_grad(attrs: WinogradOutput, dy: Array, *, images: int) -> Array:
    (rows, columns), (height, width) = attrs.tiles, attrs.sides
    whole = np.zeros((images, 2 * rows, 2 * columns, dy.shape[-1]), dy.dtype)
    whole[:, :height, :width] = dy
    patch = [[whole[:, i::2, j::2] for j in range(2)] for i in range(2)]
    return np.stack([v for line in _both(_output_grad_lines, patch) for v in line], axis=1)


def _terms_winograd_output_grad(asked: Asked) -> Term:
    t, row, column, channel = asked.place
    height, width = asked.attrs.sides

    def read(i: int, j: int) -> Term:
        y, x = 2 * row + i, 2 * column + j
        kind = Element if y < height and x < width else Padding
        return kind(0, (*asked.image, y, x, channel))

    tile = [[read(i, j) for j in range(2)] for i in range(2)]
    return _place(_output_grad_lines, tile, divmod(t, 4))


register(
    name="winograd_output_grad",
    attrs=WinogradOutput,
    summary="dm = A dy A^T for every tile of 2x2; dy is zero beyond its sides.",
    infer=_infer_output_grad,
    gradient=by_transpose("winograd_output"),
    reference=_winograd_output_grad,
    terms=_terms_winograd_output_grad,
    kernels="winograd",
)
