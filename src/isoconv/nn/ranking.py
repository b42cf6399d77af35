"""The greatest elements along an axis, where they stand, and numbers as rows with a one.

Places are whole numbers in the tensor's own dtype: those of float32 are exact up to 2^24.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import LARGEST, check_choice, check_count, check_flag, refusal
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.moving import flip, transpose
from isoconv.nn.settings import axis_of
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import OneHot as OneHotAttrs
from isoconv.ops import TopK as TopKAttrs

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def argmax(x: Tensor, axis: int = -1, keepdims: bool = False, last: bool = False) -> Tensor:
    """Where along an axis the greatest element stands, from 0: of equals the first, NaN before all.

    Args:
        x: any shape of at least one axis.
        axis: along which, without that of the images; negative ones count from the end.
        keepdims: whether the axis stays, with one place.
        last: of equals (and of NaN) the last.

    Returns:
        The shape without the axis, in the dtype of x; no gradient flows.

    Raises:
        ArgumentError: an axis that x does not have.
        ShapeError: float32 along more than 2^24 places.

    Example:
        >>> from isoconv.nn import Trace
        >>> argmax(Trace().images((28, 20, 3)), axis=0).shape
        (20, 3)
    """
    check_tensors("argmax", x=x)
    place = axis_of("axis", axis, len(x.shape))
    turned = flip(x, place) if check_flag("last", last) else x
    found = _ranked(turned, 1, place, largest=True, places=True)
    if last:
        found = (x.shape[place] - 1) - found
    return found if check_flag("keepdims", keepdims) else found.reshape(*_without(x, place))


@like(argmax)
def argmin(x: Tensor, axis: int = -1, keepdims: bool = False, last: bool = False) -> Tensor:
    """Where along an axis the least element stands, from 0: of equals the first, NaN before all.

    Example:
        >>> from isoconv.nn import Trace
        >>> argmin(Trace().images((28, 20, 3)), keepdims=True).shape
        (28, 20, 1)
    """
    check_tensors("argmin", x=x)
    return argmax(-x, axis, keepdims, last)


def top_k(x: Tensor, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k greatest elements along an axis in decreasing order, and where they stand, from 0.

    Of equals the first comes first, and NaN before all.

    Args:
        x: any shape of at least one axis.
        k: how many.
        axis: along which, without that of the images; negative ones count from the end.
        largest: False for the least ones, in increasing order.

    Returns:
        Values and places, the shape of x with k places on the axis, in its dtype; no gradient
        flows.

    Raises:
        ArgumentError: an axis that x does not have, or k below 1 or above its places.
        ShapeError: float32 along more than 2^24 places.

    Example:
        >>> from isoconv.nn import Trace
        >>> values, places = top_k(Trace().images((28, 20, 10)), 5)
        >>> values.shape, places.shape
        ((28, 20, 5), (28, 20, 5))
    """
    check_tensors("top_k", x=x)
    place = axis_of("axis", axis, len(x.shape))
    if check_count("k", k) > x.shape[place]:
        raise refusal("k", f"be at most {x.shape[place]}, the places of the axis", k)
    largest = check_flag("largest", largest)
    values, places = (
        _ranked(x, k, place, largest=largest, places=places) for places in (False, True)
    )
    return values, places


def one_hot(x: Tensor, classes: int, axis: int = -1) -> Tensor:
    """Numbers as rows: 1 at the place of the number, 0 elsewhere, and everywhere for others.

    Args:
        x: numbers of classes, from 0, of any shape: floats, int32 or int64.
        classes: how many there are.
        axis: of the result, along which they lie.

    Returns:
        The shape of x with a further axis; of its dtype, or for whole numbers that of the trace.

    Raises:
        ArgumentError: no class, or an axis that the result does not have.

    Example:
        >>> from isoconv.nn import Trace
        >>> one_hot(Trace().images((28, 20)), 10, axis=0).shape
        (10, 28, 20)
    """
    check_tensors("one_hot", x=x)
    rank = len(x.shape) + 1
    place, count = axis_of("axis", axis, rank), check_count("classes", classes, most=LARGEST)
    dtype = x.dtype if x.dtype in ("float32", "float64") else x.trace.dtype
    found = apply("one_hot", x=x, attrs=OneHotAttrs(count, dtype))
    before = range(rank - 1)
    return transpose(found, (*before[:place], rank - 1, *before[place:]))


def _ranked(x: Tensor, k: int, axis: int, *, largest: bool, places: bool) -> Tensor:
    order = (*(each for each in range(len(x.shape)) if each != axis), axis)
    rows = transpose(x, order)
    found = apply("top_k", x=rows if largest else -rows, attrs=TopKAttrs(k, places))
    if not largest and not places:
        found = -found
    return transpose(found, tuple(order.index(each) for each in range(len(order))))


def _without(x: Tensor, axis: int) -> tuple[int, ...]:
    return x.shape[:axis] + x.shape[axis + 1 :]


@dataclass(eq=False, repr=False)
class ArgMax(Module):
    """`argmax` as a layer: where along an axis the greatest element stands, from 0.

    Args:
        axis: along which, without that of the images; negative ones count from the end.
        keepdims: whether the axis stays, with one place.
        last: of equals (and of NaN) the last, and not the first.

    Input shape:
        ``(...)``, any shape of at least one axis, float32.

    Output shape:
        That shape without the axis.

    Source:
        No formula: places are compared, and nothing is computed.

    Raises:
        ArgumentError: when traced: an axis that the input does not have.

    Example:
        >>> from isoconv import nn
        >>> nn.ArgMax().summary((28, 20, 10)).rows[0].output
        (28, 20)
    """

    axis: int = -1
    keepdims: bool = False
    last: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to that without the axis."""
        return argmax(x, self.axis, self.keepdims, self.last)


@like(ArgMax)
@dataclass(eq=False, repr=False)
class ArgMin(Module):
    """`argmin` as a layer: where along an axis the least element stands, from 0.

    Example:
        >>> from isoconv import nn
        >>> nn.ArgMin(axis=0).summary((28, 20, 10)).rows[0].output
        (20, 10)
    """

    axis: int = -1
    keepdims: bool = False
    last: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to that without the axis."""
        return argmin(x, self.axis, self.keepdims, self.last)


@dataclass(eq=False, repr=False)
class TopK(Module):
    """`top_k` as a layer: the greatest elements along an axis, or where they stand.

    Args:
        k: how many.
        axis: along which, without that of the images; negative ones count from the end.
        largest: False for the least ones, in increasing order.
        result: ``"values"`` or ``"places"``.

    Input shape:
        ``(...)``, any shape of at least one axis, float32.

    Output shape:
        That shape, with `k` places on the axis.

    Source:
        No formula: elements are compared, and nothing is computed.

    Raises:
        ArgumentError: when traced: a setting outside its range.

    Example:
        >>> from isoconv import nn
        >>> nn.TopK(5).summary((10,)).rows[0].output
        (5,)
    """

    k: int
    axis: int = -1
    largest: bool = True
    result: str = "values"

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to that with k places on the axis."""
        values, places = top_k(x, self.k, self.axis, self.largest)
        kind = check_choice("result", self.result, ("values", "places"))
        return values if kind == "values" else places


@dataclass(eq=False, repr=False)
class OneHot(Module):
    """`one_hot` as a layer: numbers as rows with a 1 at the place of the number.

    Args:
        classes: how many there are.
        axis: of the result, along which they lie.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        That shape with a further axis of `classes`.

    Source:
        No formula: numbers are compared, and nothing is computed.

    Raises:
        ArgumentError: when traced: no class, or an axis that the result does not have.

    Example:
        >>> from isoconv import nn
        >>> nn.OneHot(10).summary((28, 20)).rows[0].output
        (28, 20, 10)
    """

    classes: int
    axis: int = -1

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to that with a further axis."""
        return one_hot(x, self.classes, self.axis)
