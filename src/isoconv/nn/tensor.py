"""A value that is not there yet: what layers work on while a network is traced."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from isoconv.checks import entries, plain, shown, whole
from isoconv.errors import ArgumentError, IsoconvError, ShapeError
from isoconv.graph.ir import DType
from isoconv.graph.operation import operation
from isoconv.ops import Broadcast, Constant, Shape

if TYPE_CHECKING:
    from isoconv.nn.trace import Trace

__public__ = {"isoconv.nn": ["Tensor"]}


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A value of a trace; arithmetic on it adds nodes to the trace's graph.

    The shape is that of one image: a batch of feature maps ``(N, H, W, C)`` has shape
    ``(H, W, C)``. ``+ - * / **`` take another tensor of the same trace (NumPy's broadcasting on
    trailing axes) or a number, Python's or NumPy's. ``x / number`` multiplies by the number's
    reciprocal (`divide` divides). ``> >= < <=`` take the same and give 1.0 where they hold, else
    0.0; ``==`` asks whether two names stand for one tensor (`equal` compares elements).

    Args:
        trace: the trace that this value belongs to.
        index: its position in the trace's graph.

    Raises:
        ArgumentError: an operand of another trace, or one that is neither tensor nor number.
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((28, 28, 3))
        >>> y = 2 * x - 1
        >>> y.shape, y.dtype
        ((28, 28, 3), 'float32')
    """

    # NumPy's numbers leave arithmetic with a tensor to the tensor.
    __array_ufunc__: ClassVar[None] = None

    trace: Trace
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without the image axis."""
        return self.trace.builder.spec(self.index).shape

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.trace.builder.spec(self.index).dtype

    @property
    def batched(self) -> bool:
        """Whether there is one such value for every image."""
        return self.trace.builder.spec(self.index).batched

    def reshape(self, *shape: int) -> Tensor:
        """The same elements in row-major order under another shape; one side may be -1.

        Raises:
            ShapeError: the shapes do not hold the same number of elements.

        Example:
            >>> from isoconv.nn import Trace
            >>> Trace().images((28, 28, 3)).reshape(-1, 3).shape
            (784, 3)
        """
        size = prod(self.shape)
        sides = tuple(side for given in shape if (side := whole(given)) is not None)
        wanted = sides
        if sides.count(-1) == 1:
            known = prod(side for side in sides if side != -1)
            free = size // known if known > 0 else 0
            wanted = tuple(free if side == -1 else side for side in sides)
        if len(sides) != len(shape) or min(wanted, default=1) < 1 or prod(wanted) != size:
            raise ShapeError(
                f"reshape must keep the number of elements: {self.shape} has {size}; got "
                f"{shown(shape)}",
                argument="shape",
                value=shape,
            )
        return self.trace.add("reshape", self, attrs=Shape(wanted, self.batched))

    def transpose(self, *axes: int) -> Tensor:
        """Its axes in another order: axis d of the result is axis ``axes[d]`` of this.

        Args:
            *axes: each axis once, without that of the images; negative ones count from the end.

        Raises:
            ArgumentError: not each axis once.

        Example:
            >>> from isoconv.nn import Trace
            >>> Trace().images((28, 20, 3)).transpose(2, 0, 1).shape
            (3, 28, 20)
        """
        from isoconv.nn.moving import transpose

        return transpose(self, axes)

    def power(self, exponent: Tensor | float) -> Tensor:
        """This to the power of another tensor or of a number; ``x ** y`` is the same.

        Raises:
            ArgumentError: an exponent of another trace, or one that is neither tensor nor number.
            ShapeError: shapes that do not broadcast.

        Example:
            >>> from isoconv.nn import Trace
            >>> Trace().images((4, 4, 2)).power(1.5).shape
            (4, 4, 2)
        """
        return raised(self, exponent, "exponent")

    def for_each_image(self) -> Tensor:
        """The same, once for each image; what has an image axis as it is.

        Example:
            >>> from isoconv.nn import Trace
            >>> Trace().input("parameter", "start", (4,)).for_each_image().batched
            True
        """
        if self.batched:
            return self
        return self.trace.add("broadcast", self, attrs=Broadcast(self.shape, True, False))

    def _binary(self, op: str, other: object, argument: str = "other") -> Tensor:
        if not isinstance(other, Tensor):
            text = f"{op} takes a tensor or a number; got {type(other).__name__}"
            raise ArgumentError(text, argument=argument, value=other)
        rank = max(len(self.shape), len(other.shape))
        return self.trace.add(op, self._lifted(rank), other._lifted(rank))

    def _lifted(self, rank: int) -> Tensor:
        """Operands with an image axis need all axes of the result: sides of 1 go in front."""
        missing = rank - len(self.shape)
        if not self.batched or missing == 0:
            return self
        return self.reshape(*(1,) * missing, *self.shape)

    def _scale(self, value: float) -> Tensor:
        return self.trace.add("scale", self, attrs=Constant(float(value)))

    def _offset(self, value: float) -> Tensor:
        return self.trace.add("offset", self, attrs=Constant(float(value)))

    def __add__(self, other: Tensor | float) -> Tensor:
        number = _number("add", other)
        return self._binary("add", other) if number is None else self._offset(number)

    def __radd__(self, other: float) -> Tensor:
        return self + other

    def __sub__(self, other: Tensor | float) -> Tensor:
        number = _number("sub", other)
        return self._binary("sub", other) if number is None else self._offset(-number)

    def __rsub__(self, other: float) -> Tensor:
        return (-self) + other

    def __mul__(self, other: Tensor | float) -> Tensor:
        number = _number("mul", other)
        return self._binary("mul", other) if number is None else self._scale(number)

    def __rmul__(self, other: float) -> Tensor:
        return self * other

    def __truediv__(self, other: Tensor | float) -> Tensor:
        number = _number("div", other)
        if number is None:
            return self._binary("div", other)
        if number == 0:
            text = "a tensor may not be divided by the number 0"
            raise ArgumentError(text, argument="other", value=other)
        return self._scale(1.0 / number)

    def __rtruediv__(self, other: float) -> Tensor:
        return self.trace.add("reciprocal", self) * other

    def __pow__(self, other: Tensor | float) -> Tensor:
        return raised(self, other, "other")

    def __rpow__(self, other: float) -> Tensor:
        return joined("power", other=other, self=self)

    def __gt__(self, other: Tensor | float) -> Tensor:
        return joined("greater", self=self, other=other)

    def __ge__(self, other: Tensor | float) -> Tensor:
        return joined("greater_equal", self=self, other=other)

    def __lt__(self, other: Tensor | float) -> Tensor:
        return joined("greater", "less", other=other, self=self)

    def __le__(self, other: Tensor | float) -> Tensor:
        return joined("greater_equal", "less_equal", other=other, self=self)

    def __abs__(self) -> Tensor:
        return self.trace.add("abs", self)

    def __bool__(self) -> bool:
        text = (
            "a tensor is neither true nor false, since it stands for the values of all images; "
            "functional.where chooses element by element"
        )
        raise ArgumentError(text, argument="self", value=self)

    def __neg__(self) -> Tensor:
        return self.trace.add("neg", self)

    def __repr__(self) -> str:
        return f"Tensor({self.trace.builder.spec(self.index)})"


def raised(x: Tensor, exponent: Tensor | float, argument: str) -> Tensor:
    """A tensor to some power; see `Tensor.power`.

    Args:
        x: the tensor.
        exponent: a tensor or a number.
        argument: the name under which a person gave it.
    """
    number = _number("power", exponent, argument)
    if number is None:
        return x._binary("power", exponent, argument)
    return x.trace.add("raised", x, attrs=Constant(float(number)))


def joined(op: str, reader: str = "", /, **operands: Tensor | float) -> Tensor:
    """An operation of several values that broadcast; a number among them is there everywhere.

    Args:
        op: its name.
        reader: what a person called, for messages, where that is another name.
        **operands: in its order, by the names that a person gives them under.

    Raises:
        ArgumentError: an operand that is neither tensor nor number, or no tensor at all.
        ShapeError: shapes that do not broadcast.
    """
    reader = reader or op
    numbers = {name: _number(reader, value, name) for name, value in operands.items()}
    tensors = {name: value for name, value in operands.items() if numbers[name] is None}
    if not tensors:
        name, value = min(operands.items())
        text = f"{reader} takes a tensor at least; got numbers alone"
        raise ArgumentError(text, argument=name, value=value)
    check_tensors(reader, **tensors)
    like: Any = next(iter(tensors.values()))
    given: dict[str, Any] = {}
    for name, number in numbers.items():
        given[name] = operands[name]
        if number is not None:
            try:
                given[name] = apply("full_like", like=like, attrs=Constant(float(number)))
            except IsoconvError as error:
                error.within(given=operands, names={"value": name})
                raise
    rank = max(len(each.shape) for each in given.values())
    return apply(op, **{name: each._lifted(rank) for name, each in given.items()})


def apply(op: str, *, attrs: Any = None, **inputs: Tensor) -> Tensor:
    """Add an operation of the catalogue to the trace of its inputs; see ``Trace.add``.

    Args:
        op: its name.
        attrs: its settings.
        **inputs: in its order, by the names that a person gives them under.

    Raises:
        ArgumentError: an input that is no tensor, or one of another trace.
    """
    check_tensors(op, **inputs)
    tensors = tuple(inputs.values())
    try:
        return tensors[0].trace.add(op, *tensors, attrs=attrs)
    except IsoconvError as error:
        rule = inspect.signature(operation(op).infer)
        names = dict(zip([*rule.parameters][1:], inputs, strict=False))
        names |= dict(zip(entries("inputs", inputs), inputs, strict=True))
        error.within(given=inputs, names=names)
        raise


def check_tensors(reader: str, /, **values: object) -> None:
    """See that values are tensors.

    Args:
        reader: what takes them, for the message.
        **values: what was given, by the names of the arguments.

    Raises:
        ArgumentError: one is not, or there is none.
    """
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise ArgumentError(
                f"{reader} takes tensors of a trace; got {type(value).__name__} "
                "(arrays go through model.predict)",
                argument=name,
                value=value,
            )
    if not values:
        raise ArgumentError(f"{reader} takes at least one tensor; got none")


def _number(op: str, value: object, argument: str = "other") -> int | float | None:
    """A number as Python's own; None for anything else.

    A whole number stays one: ``x - 0`` adds 0.0, ``x - 0.0`` adds -0.0.
    """
    found = plain(value)
    if not isinstance(found, (int, float)) or isinstance(found, bool):
        return None
    try:
        float(found)
    except OverflowError:
        text = f"{op} takes a number within float64; got {shown(value)}"
        raise ArgumentError(text, argument=argument, value=value) from None
    return found
