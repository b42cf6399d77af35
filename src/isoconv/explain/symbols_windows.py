"""The operations of a pooling, asked for the terms of one element, forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.explain.notation import mapped
from isoconv.explain.symbols_arrays import GRAD, SOURCE
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import operation
from isoconv.graph.terms import (
    Asked,
    Element,
    Index,
    Largest,
    Number,
    Padding,
    Running,
    Term,
    When,
    Wins,
)
from isoconv.graph.values import evaluate
from isoconv.ops import AvgPool, AvgPoolGrad, CountAttrs, Sum, WindowGeometry

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pooling:
    """A pooling of one channel.

    Attributes:
        kind: "max", "average" or "global".
        window: how the window moves; as large as the input for "global".
        padded: whether an average counts positions in the padding.
        x: what the input is.
        y: what the result is.
        values: the input's, ``(spatial..., 1)``; None where symbols stand for them.
    """

    kind: str
    window: WindowGeometry
    padded: bool
    x: TensorSpec
    y: TensorSpec
    values: Array | None

    def forward(self, place: Index) -> Term:
        """The terms of one element of the result."""
        if self.kind == "max":
            return self._terms("max_pool", self.window, (SOURCE,), self.y, place)
        if self.kind == "average":
            attrs = AvgPool(self.window, self.padded)
            return self._terms("avg_pool", attrs, (SOURCE,), self.y, place)
        total = self._terms("sum", Sum(1, True), (SOURCE,), self.y, place)
        return self._share(total)

    def backward(self, place: Index) -> Running:
        """The terms of the gradient by one element of the input, those of them that count."""
        if self.kind == "max":
            found = self._terms("max_pool_grad", self.window, (SOURCE, GRAD), self.x, place)
        elif self.kind == "average":
            attrs = AvgPoolGrad(self.window, self.padded, self.x.shape[:-1])
            found = self._terms("avg_pool_grad", attrs, (GRAD,), self.x, place)
        else:
            return Running((self._share(Element(GRAD, place[-1:])),))
        if not isinstance(found, Running):
            raise TypeError(f"a gradient of pooling is a sum; got {type(found).__name__}")
        return found

    def winner(self, place: Index) -> Index | None:
        """The element of the input that is the largest of a window; None for an average."""
        choice = self.forward(place)
        if not isinstance(choice, Largest):
            return None
        return next(
            each.index
            for number, each in enumerate(choice.terms)
            if isinstance(each, Element) and self._holds(Wins(choice, number))
        )

    def _holds(self, condition: Wins) -> bool:
        """Whether a condition on elements of the input, their indices without an image, holds."""
        if self.values is None:
            raise TypeError("which value is the largest is not known without values")
        return bool(evaluate(When(condition, Number(1.0), Number(0.0)), (self.values,)) == 1)

    def _share(self, whole: Term) -> Term:
        """What `divide_by_count` makes of a term."""
        spec = TensorSpec(self.y.shape)
        attrs = CountAttrs(prod(self.x.shape[:-1]), True)
        asked = Asked(attrs, (spec,), spec, (0, 0), 1, self._read)
        share = operation("divide_by_count").terms_of(asked)
        return mapped(share, lambda _: whole)

    def _terms(
        self, name: str, attrs: Any, arrays: tuple[int, ...], result: TensorSpec, place: Index
    ) -> Term:
        specs = tuple(self.x if array == SOURCE else self.y for array in arrays)
        asked = Asked(attrs, specs, result, (0, *place), 1, self._read)

        def of_sheet(leaf: Element | Padding) -> Term:
            return type(leaf)(arrays[leaf.operand], leaf.index[1:])

        term = operation(name).terms_of(asked)
        if not isinstance(term, Running):
            return mapped(term, of_sheet)
        kept = []
        for each in term.terms:
            if not isinstance(each, When):
                kept.append(mapped(each, of_sheet))
            elif isinstance(each.condition, Wins):
                # Which windows an element wins follows from the values.
                choice = mapped(each.condition.choice, of_sheet)
                if isinstance(choice, Largest) and self._holds(Wins(choice, each.condition.number)):
                    kept.append(mapped(each.then, of_sheet))
        return Running(tuple(kept))

    def _read(self, element: Element) -> Any:
        raise TypeError(f"the terms of a pooling ask for no value; got {element}")
