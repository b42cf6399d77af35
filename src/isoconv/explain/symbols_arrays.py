"""The arrays of a sheet: what their elements are called, and how they stand as matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from isoconv.explain.notation import Names, mapped
from isoconv.explain.sheet_blocks import Matrix
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import operation
from isoconv.graph.terms import Asked, Chain, Element, Index, Number, Padding, Term
from isoconv.ops import ConvGeometry, ConvGradInput

SOURCE, KERNEL, RESULT, GRAD = range(4)
"""The arrays of a sheet, as operands of its terms: input, kernel, result, grad_output."""


@dataclass(frozen=True, slots=True)
class Sliding:
    """One of the three operations of a convolution, its operands as arrays of a sheet.

    Attributes:
        name: of the operation.
        attrs: its settings.
        operands: the array of the sheet that each of its operands is.
        specs: what they are.
        result: what its result is.
    """

    name: str
    attrs: Any
    operands: tuple[int, ...]
    specs: tuple[TensorSpec, ...]
    result: TensorSpec

    def chain(self, place: Index) -> Chain:
        """The terms of one element, in the engine's order, of the arrays of the sheet."""
        index = (0, *place) if self.result.batched else place
        asked = Asked(self.attrs, self.specs, self.result, index, 1, _unread)
        term = mapped(operation(self.name).terms_of(asked), self._of_sheet)
        if not isinstance(term, Chain):
            raise TypeError(f"{self.name} is a chain; got {type(term).__name__}")
        return term

    def _of_sheet(self, leaf: Element | Padding) -> Term:
        index = leaf.index[1:] if self.specs[leaf.operand].batched else leaf.index
        return type(leaf)(self.operands[leaf.operand], index)


def _unread(element: Element) -> Any:
    raise TypeError(f"the terms of a convolution ask for no value; got {element}")


@dataclass(frozen=True, slots=True)
class Arrays:
    """Input, kernel and result of a convolution, and how the kernel moves.

    Attributes:
        geometry: of the convolution; of a transposed one, of the convolution that it turns around.
        x: the input.
        w: the kernel, ``(kernel..., C / groups, O)``; of a transposed one C and O are those of the
            convolution that it turns around.
        y: the result.
        transposed: whether the kernel goes over the result.
    """

    geometry: ConvGeometry
    x: TensorSpec
    w: TensorSpec
    y: TensorSpec
    transposed: bool = False

    def sliding(self, array: str) -> Sliding:
        """The operation that gives an array's list: "y", "w" for ∂L/∂w or "x" for ∂L/∂x."""
        geometry, (x, w, y) = self.geometry, (self.x, self.w, self.y)
        over, under = (y, x) if self.transposed else (x, y)
        # What the kernel goes over, and what it gives there, forward and in the gradients.
        data = (GRAD, SOURCE) if self.transposed else (SOURCE, GRAD)
        forward, backward = (SOURCE, KERNEL), (GRAD, KERNEL)
        by_input = ConvGradInput(geometry, over.shape[:-1])
        slides = Sliding("conv", geometry, backward if self.transposed else forward,
                         (over, w), under)  # fmt: skip
        spreads = Sliding("conv_grad_input", by_input, forward if self.transposed else backward,
                          (under, w), over)  # fmt: skip
        return {
            "y": spreads if self.transposed else slides,
            "w": Sliding("conv_grad_weight", geometry, data, (over, under), w),
            "x": slides if self.transposed else spreads,
        }[array]


# -- names -----------------------------------------------------------------------------------


def conv_names(arrays: Arrays) -> tuple[Names, ...]:
    """Names of input, kernel, result and grad_output; axes of one channel or filter are hidden."""
    rank = arrays.geometry.rank
    kernel = tuple(axis for axis in (rank, rank + 1) if arrays.w.shape[axis] == 1)
    return (
        Names("x", arrays.x.shape, _hidden(arrays.x.shape)),
        Names("w", arrays.w.shape, kernel),
        *result_names(arrays.y.shape),
    )


def result_names(shape: tuple[int, ...]) -> tuple[Names, Names]:
    """Names of a result and of the gradient by it, which are letters if there are enough."""
    hidden = _hidden(shape)
    return Names("y", shape, hidden), Names("g", shape, hidden).lettered()


def _hidden(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (len(shape) - 1,) if shape[-1] == 1 else ()


def kernel_places(shape: tuple[int, ...]) -> list[Index]:
    """A kernel's places filter by filter, channel by channel, row-major within each."""
    *sides, channels, filters = shape
    where = list(product(*map(range, sides)))
    return [(*m, c, o) for o in range(filters) for c in range(channels) for m in where]


# -- matrices --------------------------------------------------------------------------------


def planes(
    operand: int,
    shape: tuple[int, ...],
    title: str,
    padding: Sequence[tuple[int, int]] | None = None,
) -> list[Matrix]:
    """An array as a matrix for each channel.

    Args:
        operand: which array of the sheet it is.
        shape: its shape, the channels last.
        title: its name in LaTeX.
        padding: zeros (before, after) per axis that are to be seen around it.
    """
    *sides, channels = shape
    around = padding or [(0, 0)] * len(sides)
    axes = [range(-b, side + a) for side, (b, a) in zip(sides, around, strict=True)]

    def cell(place: Index, channel: int) -> Term:
        inside = all(0 <= at < side for at, side in zip(place, sides, strict=True))
        return Element(operand, (*place, channel)) if inside else Number(0.0)

    return [
        _named(
            title,
            str(channel) if channels > 1 else "",
            tuple(
                tuple(cell((*row, column), channel) for column in axes[-1])
                for row in product(*axes[:-1])
            ),
        )
        for channel in range(channels)
    ]


def kernel_planes(shape: tuple[int, ...]) -> list[Matrix]:
    """A kernel as a matrix for each channel of each filter."""
    *sides, channels, filters = shape
    found = []
    for o, c in product(range(filters), range(channels)):
        cells = tuple(
            tuple(Element(KERNEL, (*row, column, c, o)) for column in range(sides[-1]))
            for row in product(*map(range, sides[:-1]))
        )
        below = [str(at) for at, count in ((c, channels), (o, filters)) if count > 1]
        found.append(_named("K", ",".join(below), cells))
    return found


def _named(title: str, below: str, cells: tuple[tuple[Term, ...], ...]) -> Matrix:
    text = title.replace("\\", "")
    if not below:
        return Matrix(text, title, cells)
    return Matrix(f"{text}_{below}", f"{title}_{{{below}}}", cells)
