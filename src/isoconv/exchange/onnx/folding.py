"""What of an ONNX graph is known when it is read: shapes, and what follows from arrays alone.

Only whole numbers are computed, and floats where a single IEEE-754 operation gives them: all else
becomes a layer, whose arithmetic is isoconv's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from isoconv.arithmetic import elementary
from isoconv.exchange.onnx.reader import Node
from isoconv.exchange.onnx.tensors import KINDS
from isoconv.graph.operation import Array
from isoconv.memory import check_memory

Settings = Mapping[str, Any]
Fold = Callable[[Settings, Sequence[Array]], Sequence[Any]]
Count = Callable[[Settings, Sequence[Array]], int]
_FOLDS: dict[str, tuple[Fold, Count]] = {}


def folded(
    node: Node, arrays: Sequence[Array | None], hold: Callable[[int], None]
) -> list[Array] | None:
    """The results of a node whose inputs are all known; None where a layer is to compute them.

    Args:
        node: of the graph.
        arrays: what it reads; None for what is left out.
        hold: is told the bytes of a result before they are taken, and refuses too many.

    Raises:
        ValueError: shapes or settings that do not fit the operator, or a result too large.
    """
    if node.operator not in _FOLDS:
        return None
    fold, count = _FOLDS[node.operator]
    present = list(arrays)
    while present and present[-1] is None:
        present.pop()
    try:
        with np.errstate(all="ignore"):
            hold(_WIDEST * count(node.attributes, present))  # type: ignore[arg-type]
            found = fold(node.attributes, present)  # type: ignore[arg-type]
    except (
        IndexError,
        TypeError,
        AttributeError,
        KeyError,
        OverflowError,
        ZeroDivisionError,
    ) as error:
        raise ValueError(f"its inputs or settings do not fit it ({error})") from error
    except _NotExactError:
        return None
    return [np.asarray(each) for each in found]


def is_folded(node: Node) -> bool:
    """Whether a node may be computed here."""
    return node.operator in _FOLDS


class _NotExactError(Exception):
    """A computation whose rounding is a layer's affair."""


_WIDEST = 8
"""Bytes of an element, at most."""


def _checked(count: int) -> None:
    """See that there would be memory for a result of which one element stands for all.

    Raises:
        NotEnoughMemoryError: there is not.
    """
    check_memory("an array of the network", {"its elements": _WIDEST * count}, "a smaller network")


def normal_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, in order, each once.

    Raises:
        ValueError: there is no such axis, or one stands twice.
    """
    found = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if len(set(found)) < len(found) or any(not 0 <= axis < rank for axis in found):
        raise ValueError(f"axes must be some of {rank}, each once; got {list(axes)}")
    return tuple(found)


def _view(_: Settings, __: Sequence[Array]) -> int:
    """No elements of its own."""
    return 0


def _as_many(_: Settings, arrays: Sequence[Array]) -> int:
    return arrays[0].size


def _broadcast(_: Settings, arrays: Sequence[Array]) -> int:
    return prod(np.broadcast_shapes(*(array.shape for array in arrays)))


def fold(*operators: str, count: Count = _view) -> Callable[[Fold], Fold]:
    """Enter a function that computes operators with these names.

    Args:
        *operators: their names.
        count: how many elements the results take in memory.
    """

    def entered(function: Fold) -> Fold:
        _FOLDS.update(dict.fromkeys(operators, (function, count)))
        return function

    return entered


def _given(settings: Settings, arrays: Sequence[Any], name: str, place: int) -> Any:
    """A setting that was an attribute and became an input."""
    if len(arrays) > place and arrays[place] is not None:
        return tuple(int(number) for number in np.asarray(arrays[place]).reshape(-1))
    return settings.get(name)


@fold("Constant")
def _constant(settings: Settings, _: Sequence[Array]) -> Sequence[Any]:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
             "value_ints": np.int64}  # fmt: skip
    if "value" in settings:
        return [settings["value"]]
    given = next((name for name in kinds if name in settings), None)
    if given is None:
        raise ValueError(f"it must have one of value, {', '.join(kinds)}")
    return [np.array(settings[given], kinds[given])]


@fold("Identity")
def _identity(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [arrays[0]]


@fold("ConstantOfShape")
def _filled(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    sides = [int(side) for side in arrays[0]]
    _checked(prod(sides))
    value = settings.get("value", np.zeros(1, np.float32))
    # One element stands for all until somebody needs them.
    return [np.broadcast_to(value.reshape(-1)[0], sides)]


def _numbers(arrays: Sequence[Array]) -> list[int]:
    """Start, limit and step of a range: whole numbers, of floats too, since a sum would round."""
    found = [array.reshape(-1)[0] for array in arrays]
    if not all(
        abs(number) <= 2**24 and number == int(number)
        for number in found
        if number.dtype.kind == "f"
    ):
        raise _NotExactError
    return [int(number) for number in found]


def _steps(_: Settings, arrays: Sequence[Array]) -> int:
    return len(range(*_numbers(arrays)))


@fold("Range", count=_steps)
def _range(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [np.arange(*_numbers(arrays)).astype(arrays[0].dtype)]


@fold("Cast", count=_as_many)
def _cast(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [arrays[0].astype(KINDS[settings["to"]])]


def _taken(settings: Settings, arrays: Sequence[Array]) -> int:
    data, indices = arrays
    return int(data.size // max(1, data.shape[settings.get("axis", 0)]) * indices.size)


@fold("Gather", count=_taken)
def _gather(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    data, indices = arrays
    return [np.take(data, indices, settings.get("axis", 0))]


def _all(_: Settings, arrays: Sequence[Array]) -> int:
    size = 0
    for array in arrays:
        size += array.size
    return size


@fold("Concat", count=_all)
def _concat(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [np.concatenate(arrays, settings.get("axis", 1))]


@fold("Unsqueeze")
def _unsqueeze(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    axes = _given(settings, arrays, "axes", 1)
    return [np.expand_dims(arrays[0], normal_axes(axes, arrays[0].ndim + len(axes)))]


@fold("Squeeze")
def _squeeze(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    axes = _given(settings, arrays, "axes", 1)
    return [np.squeeze(arrays[0], None if axes is None else normal_axes(axes, arrays[0].ndim))]


@fold("Reshape", count=_as_many)
def _reshape(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    wanted = [int(side) for side in arrays[1]]
    if not settings.get("allowzero", 0):
        wanted = [side or arrays[0].shape[place] for place, side in enumerate(wanted)]
    return [arrays[0].reshape(wanted)]


@fold("Flatten", count=_as_many)
def _flatten(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    axis = settings.get("axis", 1)
    before = prod(arrays[0].shape[:axis])
    return [arrays[0].reshape(before, -1)]


@fold("Transpose")
def _transpose(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [arrays[0].transpose(settings.get("perm"))]


@fold("Expand")
def _expand(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    shape = np.broadcast_shapes(arrays[0].shape, tuple(int(side) for side in arrays[1]))
    _checked(prod(shape))
    return [np.broadcast_to(arrays[0], shape)]


def _repeated(_: Settings, arrays: Sequence[Array]) -> int:
    return arrays[0].size * prod(int(count) for count in arrays[1])


@fold("Tile", count=_repeated)
def _tile(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [np.tile(arrays[0], [int(count) for count in arrays[1]])]


@fold("Slice")
def _slice(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    starts = _given(settings, arrays, "starts", 1)
    ends = _given(settings, arrays, "ends", 2)
    axes = _given(settings, arrays, "axes", 3) or range(len(starts))
    steps = _given(settings, arrays, "steps", 4) or (1,) * len(starts)
    index = [slice(None)] * arrays[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # Python reads an end below -size as -1 does not exist: None stands for "to the front".
        index[axis] = slice(start, None if step < 0 and end < -arrays[0].shape[axis] else end, step)
    return [arrays[0][tuple(index)]]


@fold("Size")
def _count(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [np.int64(arrays[0].size)]


@fold("Shape")
def _shape(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [np.array(shape_slice(settings, arrays[0].shape), np.int64)]


def shape_slice(settings: Settings, shape: Sequence[int]) -> tuple[int, ...]:
    """What the operator Shape gives."""
    end = settings.get("end")
    return tuple(shape[settings.get("start", 0) : len(shape) if end is None else end])


def _binary(
    whole: Callable[[Array, Array], Any], floats: Callable[[Array, Array], Any] | None
) -> Fold:
    def computed(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
        if len(arrays) == 1:
            return [arrays[0]]
        first, second = arrays
        if first.dtype.kind == "f":
            if floats is None:
                raise _NotExactError
            return [np.asarray(floats(first, second), first.dtype)]
        return [whole(first, second)]

    return computed


def _truncated(first: Array, second: Array) -> Array:
    """Whole numbers divided as C divides them: towards zero."""
    down = np.floor_divide(first, second)
    over = (down < 0) & (down * second != first)
    return np.asarray(down + over)


fold("Add", count=_broadcast)(_binary(np.add, np.add))
fold("Sub", count=_broadcast)(_binary(np.subtract, np.subtract))
fold("Mul", count=_broadcast)(_binary(np.multiply, np.multiply))
fold("Div", count=_broadcast)(_binary(_truncated, np.divide))
fold("Equal", count=_broadcast)(_binary(np.equal, None))
fold("Greater", count=_broadcast)(_binary(np.greater, None))
fold("Less", count=_broadcast)(_binary(np.less, None))
fold("GreaterOrEqual", count=_broadcast)(_binary(np.greater_equal, None))
fold("LessOrEqual", count=_broadcast)(_binary(np.less_equal, None))
fold("And", count=_broadcast)(_binary(np.logical_and, None))
fold("Or", count=_broadcast)(_binary(np.logical_or, None))
fold("Xor", count=_broadcast)(_binary(np.logical_xor, None))
fold("Min", count=_broadcast)(_binary(np.minimum, np.minimum))
fold("Max", count=_broadcast)(_binary(np.maximum, np.maximum))


@fold("Where", count=_broadcast)
def _where(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    return [np.where(arrays[0].astype(bool), arrays[1], arrays[2])]


def _unary(compute: Callable[[Array], Any]) -> Fold:
    def computed(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
        return [np.asarray(compute(arrays[0]), arrays[0].dtype)]

    return computed


fold("Neg", count=_as_many)(_unary(np.negative))
fold("Abs", count=_as_many)(_unary(np.abs))
fold("Floor", count=_as_many)(_unary(np.floor))
fold("Ceil", count=_as_many)(_unary(np.ceil))
fold("Sqrt", count=_as_many)(_unary(np.sqrt))
fold("Not", count=_as_many)(_unary(np.logical_not))


MOST_COUNTED = 2**12
"""Elements of an array of sides or counts."""


def _counted(ufunc: np.ufunc) -> Fold:
    """A reduction of whole numbers, which no order changes."""

    def computed(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
        if arrays[0].dtype.kind not in "iu" or arrays[0].size > MOST_COUNTED:
            raise _NotExactError
        axes = _given(settings, arrays, "axes", 1)
        if not axes and settings.get("noop_with_empty_axes", 0):
            return [arrays[0]]
        gone = normal_axes(axes or range(arrays[0].ndim), arrays[0].ndim)
        found = arrays[0]
        for axis in gone:
            found = np.expand_dims(reduce(ufunc, np.moveaxis(found, axis, 0)), axis)
        return [found if settings.get("keepdims", 1) else np.squeeze(found, gone)]

    return computed


fold("ReduceProd")(_counted(np.multiply))
fold("ReduceSum")(_counted(np.add))
fold("ReduceMax")(_counted(np.maximum))
fold("ReduceMin")(_counted(np.minimum))


@fold("Mod", count=_broadcast)
def _remainder(settings: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
    if arrays[0].dtype.kind not in "iu":
        raise _NotExactError
    first, second = arrays
    if settings.get("fmod", 0):
        return [first - _truncated(first, second) * second]
    return [np.mod(first, second)]


def _angles(compute: Callable[[Array], Any]) -> Fold:
    """Of arrays of the file alone, as codes of places are made: they are no weights to learn."""

    def computed(_: Settings, arrays: Sequence[Array]) -> Sequence[Any]:
        return [np.asarray(compute(arrays[0].astype(np.float32)), arrays[0].dtype)]

    return computed


fold("Sin", count=_as_many)(_angles(elementary.sin))
fold("Cos", count=_as_many)(_angles(elementary.cos))
fold("Tan", count=_as_many)(_angles(elementary.tan))
