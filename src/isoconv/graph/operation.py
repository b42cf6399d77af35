"""What every operation must say of itself, and the table of all operations.

The files of ``ops/`` fill the table. Of all operations only ``input`` and ``copy``, which the
graph itself needs, are known here by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from isoconv.errors import GraphError
from isoconv.graph.ir import Node, TensorSpec
from isoconv.graph.terms import Asked, Term, TermsRule, pointwise_terms

if TYPE_CHECKING:
    from isoconv.graph.builder import GraphBuilder

_Fields = ParamSpec("_Fields")

Array = NDArray[Any]
ShapeRule = Callable[..., TensorSpec]
"""``infer(attrs, *input_specs) -> TensorSpec``; raises ShapeError or DTypeError."""
Flows = tuple[int | None, ...]
"""One cotangent (or None) for each input."""
Gradient = Callable[["GraphBuilder", int, int], Flows]
"""``gradient(builder, node, cotangent) -> flows``."""
Box = tuple[tuple[int, int], ...]
"""First and last place on each axis but that of the images."""
Reads = Callable[..., tuple[Box | None, ...]]
"""``reads(attrs, box, result, *inputs) -> boxes``: what a box of the result's elements reads of
each input, None for nothing; ``result`` and ``inputs`` are TensorSpecs."""
Reference = Callable[..., Array]
"""``reference(attrs, *arrays) -> array``: the exact meaning; batched arrays lead with images."""


@dataclass(frozen=True, slots=True)
class Direct:
    """One operation that several nodes stand for together.

    Attributes:
        op: its name.
        attrs: its settings.
        operands: the nodes that it reads.
    """

    op: str
    attrs: Any
    operands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its shape rule, its gradient rule and its exact reference.

    Attributes:
        name: as it stands in ``Node.op``.
        summary: one sentence with the formula.
        infer: the shape rule.
        reference: the meaning, bit for bit, in NumPy.
        gradient: the gradient rule; None where no gradient flows (``why_no_gradient`` says why).
        why_no_gradient: the reason when ``gradient`` is None.
        attrs: the record of its settings; None's own class for an operation without any.
        pointwise: each result element depends on the input elements at the same place alone.
        cheap: pointwise, and a result costs less to compute again than to load.
        epilogue: pointwise work on each result can be done in its kernel, before it is stored.
        sums: adds up a value, and the value can be made in the same pass by pointwise work.
        asks_for_sign: positions of the inputs of which it only asks where they are positive.
        view: the same elements in the same order, under another shape.
        part: some of its input's elements, where these lie.
        gathers: its kernel picks the rows of a data set itself. Where it does not, which is the
            safe answer, rows are gathered before it comes.
        key: position of the input that holds the key of its random numbers; they depend on where
            an element stands as well.
        heavy: its operands count in the model of a prediction's traffic.
        kernels: the family of kernels that computes it, a folder of ``compile/``; none for
            pointwise work and sums, which are part of any kernel.
        multiply_adds: ``(result, *inputs) -> int``, the products that one image adds up; None for
            an operation of which nobody counts them.
        reads: which box of each input a box of results reads; None where nothing narrower is known
            than each element's terms.
        stands_for: ``(node_at, index) -> Direct``, of the last of several nodes that are another
            way to compute one operation.
        terms: what one element of the result is made of, see `isoconv.graph.terms`; None for a
            pointwise operation whose formula is all there is to say.
        operands: names of the inputs; empty for those of the shape rule's arguments.
    """

    name: str
    summary: str
    infer: ShapeRule
    reference: Reference
    gradient: Gradient | None = None
    why_no_gradient: str = ""
    attrs: type[Any] = NoneType
    pointwise: bool = False
    cheap: bool = False
    epilogue: bool = False
    sums: bool = False
    asks_for_sign: tuple[int, ...] = ()
    view: bool = False
    part: bool = False
    gathers: bool = False
    key: int | None = None
    heavy: bool = False
    kernels: str = ""
    multiply_adds: Callable[..., int] | None = None
    reads: Reads | None = None
    stands_for: Callable[[Callable[[int], Node], int], Direct] | None = None
    terms: TermsRule | None = None
    operands: tuple[str, ...] = ()

    @property
    def shares(self) -> bool:
        """Whether its result needs no memory of its own."""
        return self.view or self.part

    @property
    def gathers_rows(self) -> bool:
        """Whether its inputs may be rows of a data set that nobody has gathered."""
        return self.pointwise or self.sums or self.gathers

    def terms_of(self, asked: Asked) -> Term:
        """What one element of the result is made of.

        Raises:
            GraphError: it is an input, whose elements are given and not made of others.
        """
        if self.terms is not None:
            return self.terms(asked)
        if self.pointwise:
            return pointwise_terms(self, asked)
        raise GraphError(f"the elements of an {self.name} are given: they have no terms")

    def operand_names(self, count: int) -> tuple[str, ...]:
        """Names of so many inputs: ``("x", "w")``; ``("x1", "x2", ...)`` for any number of them."""
        if self.operands:
            return self.operands
        names = list(inspect.signature(self.infer).parameters.values())[1:]
        if names and names[0].kind is inspect.Parameter.VAR_POSITIONAL:
            return tuple(f"x{number}" for number in range(1, count + 1))
        return tuple(each.name for each in names)


_TABLE: dict[str, Operation] = {}


def enter(entry: Operation) -> Operation:
    """Add an operation to the table; a name may be used once, and terms are part of the meaning.

    Raises:
        GraphError: the name is taken; it does not say what an element of its result is made of.
    """
    if entry.name in _TABLE:
        raise GraphError(f"operation names are unique: {entry.name!r} is registered already")
    if entry.terms is None and not entry.pointwise and entry.name != "input":
        raise GraphError(
            "an operation says what its elements are made of, by terms or by being pointwise; "
            f"{entry.name!r} does neither"
        )
    _TABLE[entry.name] = entry
    return entry


def _entering(make: Callable[_Fields, Operation]) -> Callable[_Fields, Operation]:
    """What makes operations, and adds each to the table."""

    def made(*args: _Fields.args, **fields: _Fields.kwargs) -> Operation:
        return enter(make(*args, **fields))

    return made


register = _entering(Operation)
"""``register(name=…, summary=…, …)`` makes an `Operation` and adds it to the table, by `enter`."""


def operation(name: str) -> Operation:
    """The operation of this name."""
    try:
        return _TABLE[name]
    except KeyError:
        raise GraphError(f"no operation is called {name!r}") from None


def operations() -> Mapping[str, Operation]:
    """All registered operations by name (import ``isoconv.ops`` to fill the table)."""
    return MappingProxyType(_TABLE)


def _infer_input(attrs: Any, *_: TensorSpec) -> TensorSpec:
    raise GraphError(f"inputs are added with GraphBuilder.input, not add: {attrs}")


def _reference_input(attrs: Any, *_: np.ndarray) -> Array:
    raise GraphError(f"an input has no meaning of its own; give its array: {attrs}")


register(
    name="input",
    summary="A value that is given: a parameter, a state, a scalar or rows of a data set.",
    infer=_infer_input,
    reference=_reference_input,
    why_no_gradient="it is where gradients end",
)


def _infer_copy(_: Any, x: TensorSpec) -> TensorSpec:
    return x


def _gradient_copy(_: GraphBuilder, __: int, dy: int) -> Flows:
    return (dy,)


def _reference_copy(_: Any, x: Array, *, images: int) -> Array:  # noqa: ARG001
    return x.copy()


register(
    name="copy",
    summary="y = x, in memory of its own.",
    infer=_infer_copy,
    reference=_reference_copy,
    gradient=_gradient_copy,
    pointwise=True,
)
