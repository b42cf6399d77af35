"""Tensors as PyTorch's pickles tell of them: a part of a storage, seen through strides."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from isoconv.exchange.pickled import Makers, Unknown
from isoconv.graph.operation import Array

MOST_AXES = 32
_LARGEST = 2**62
"""Sizes in memory stay below what NumPy and the machine count with."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of numbers.

    Attributes:
        name: PyTorch's own.
        held: NumPy's kind of the same bytes.
        given: NumPy's kind of what is made of them.
    """

    name: str
    held: str
    given: str

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return int(self.held[1:])


_KINDS = (
    Kind("float32", "f4", "float32"),
    Kind("float64", "f8", "float64"),
    Kind("float16", "f2", "float32"),
    Kind("bfloat16", "u2", "float32"),
    Kind("int64", "i8", "int64"),
    Kind("int32", "i4", "int32"),
    Kind("int16", "i2", "int16"),
    Kind("int8", "i1", "int8"),
    Kind("uint8", "u1", "uint8"),
    Kind("bool", "u1", "bool"),
)
_BY_NAME = {kind.name: kind for kind in _KINDS}
_UNTYPED = Kind("bytes", "u1", "uint8")
_STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a row, which lie in the file beside the pickle.

    Attributes:
        kind: of the numbers.
        key: by which the file names it.
        count: of the numbers, as the pickle has it.
    """

    kind: Kind
    key: str
    count: int

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.count * self.kind.size

    @classmethod
    def of(cls, identity: Any) -> Storage | Unknown:
        """The storage that a persistent id stands for; of numbers of an unknown kind, that kind.

        Raises:
            ValueError: it is none.
        """
        parts = identity if isinstance(identity, tuple) else ()
        if len(parts) < 5 or parts[0] != "storage" or (len(parts) > 5 and parts[5] is not None):
            raise ValueError("a value outside of its pickle is no storage")
        _, kind, key, _, count = parts[:5]
        if isinstance(kind, Unknown):
            return kind
        if not isinstance(kind, Kind) or not isinstance(key, str):
            raise ValueError("a storage in its pickle is of no known kind")
        return cls(kind, key, _whole("the length of a storage", count))


@dataclass(frozen=True, slots=True)
class Tensor:
    """Numbers of a storage on axes.

    Attributes:
        storage: where they lie.
        kind: of the numbers.
        offset: of the first one, in numbers.
        shape: of the axes.
        strides: of the axes, in numbers.
    """

    storage: Storage
    kind: Kind
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    size: int = field(init=False)
    """Bytes of the array that is made of it."""

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.strides):
            raise ValueError(
                f"a tensor must have a stride for each axis; one has {len(self.shape)} axes and "
                f"{len(self.strides)} strides"
            )
        item = np.dtype(self.kind.given).itemsize
        if prod(max(side, 1) for side in self.shape) * item >= _LARGEST:
            raise ValueError("a tensor must have a size that fits into memory; one has not")
        last = self.offset
        for side, stride in zip(self.shape, self.strides, strict=True):
            last += (side - 1) * stride
        end = (last + 1) * self.kind.size
        if prod(self.shape) and end > self.storage.size:
            raise ValueError(
                f"a tensor must lie within its storage; one of shape {self.shape} with strides "
                f"{self.strides} from {self.offset} on needs {end:,} bytes of "
                f"{self.storage.size:,}"
            )
        object.__setattr__(self, "size", prod(self.shape) * item)


def array_of(tensor: Tensor, content: bytes | bytearray, order: str) -> Array:
    """A tensor's numbers as an array of its own, in row-major order.

    Strides are those of the file: a tensor that was transposed is so in the file. Numbers of 16
    bits become float32, which holds each of them.

    Args:
        tensor: it.
        content: the bytes of its storage.
        order: of a number's bytes: ``"<"`` or ``">"``.

    Example:
        >>> half = Storage(_BY_NAME["bfloat16"], "0", 2)
        >>> array_of(Tensor(half, half.kind, 0, (2,), (1,)), bytes((128, 63, 0, 192)), "<")
        array([ 1., -2.], dtype=float32)
    """
    kind, size = tensor.kind, tensor.kind.size
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, kind.given)
    dtype = np.dtype(order + kind.held)
    steps = tuple(stride * size for stride in tensor.strides)
    seen: Array = np.ndarray(tensor.shape, dtype, content, tensor.offset * size, steps)
    if kind.name == "bfloat16":
        # The upper half of a float32 number.
        wide = seen.astype(np.uint32, order="C")
        wide <<= np.uint32(16)
        return wide.view(np.float32)
    if kind.name == "bool":
        return np.ascontiguousarray(seen != 0).reshape(tensor.shape)
    return seen.astype(kind.given, order="C")


# What PyTorch's pickles call


def _whole(what: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError(f"{what} must be a whole number from 0 to 2^62")
    return value


def _axes(what: str, values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > MOST_AXES:
        raise ValueError(f"{what} must be a row of at most {MOST_AXES} numbers")
    return tuple(_whole(what, value) for value in values)


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    _: Any = None,
    __: Any = None,
    marks: Any = None,
) -> Tensor | Unknown:
    _check_plain(marks)
    return _typed(storage, getattr(storage, "kind", None), offset, shape, strides)


def _typed_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    _: Any,
    __: Any,
    kind: Any,
    marks: Any = None,
) -> Tensor | Unknown:
    _check_plain(marks)
    return _typed(storage, kind, offset, shape, strides)


def _check_plain(marks: Any) -> None:
    """Refuse what changes a tensor's numbers after they are read: a sign bit, a conjugation."""
    if marks:
        raise ValueError(
            "a tensor in its pickle must hold its numbers as they are; it is marked as negated, "
            "conjugated or the like: save tensor.resolve_neg().resolve_conj() in its place"
        )


def _typed(storage: Any, kind: Any, offset: Any, shape: Any, strides: Any) -> Tensor | Unknown:
    for part in (storage, kind):
        if isinstance(part, Unknown):
            return part
    if not isinstance(storage, Storage) or not isinstance(kind, Kind):
        raise ValueError("a tensor in its pickle has no storage of a known kind")
    return Tensor(
        storage,
        kind,
        _whole("a tensor's offset", offset),
        _axes("a tensor's shape", shape),
        _axes("a tensor's strides", strides),
    )


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _ordered(items: Any = ()) -> dict[Any, Any]:
    if items != () and not isinstance(items, list):
        raise ValueError("an ordered dictionary in its pickle is made of no list")
    if not all(isinstance(item, (list, tuple)) and len(item) == 2 for item in items):
        raise ValueError("an ordered dictionary in its pickle is made of no pairs")
    if not all(isinstance(key, (str, int)) for key, _ in items):
        raise ValueError("keys in a pickle of weights must be texts or numbers")
    made = {key: value for key, value in items}  # noqa: C416 - pairs may be lists
    if items:
        # Or a few bytes each could make a large dictionary of one list, again and again.
        items.clear()
    return made


def _nothing(*_: Any) -> None:
    """A device, a kind of layout: what says nothing of the numbers."""


MAKERS: Makers = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": lambda sides=(): _axes("a size", sides),
    "torch.device": _nothing,
    "torch.serialization._get_layout": _nothing,
    "torch.storage.UntypedStorage": _UNTYPED,
    **{f"torch.{name}": kind for name, kind in _BY_NAME.items()},
    **{f"torch.{short}Storage": _BY_NAME[name] for short, name in _STORAGES.items()},
}
"""All that a pickle of weights may name."""
