"""Rows of an array by their numbers: read where they lie, and copied when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoconv.memory import check_memory

__all__ = ["CHUNK", "Rows", "chunks", "files_behind", "rows_behind", "taken"]

Array = NDArray[Any]
Numbers = NDArray[np.int64]

CHUNK = 1 << 24
"""Bytes that are read at once of what is gone through from its first row to its last."""


class Rows:
    """Rows of an array, ``rows[i] = base[numbers[i]]``, as an array of their own.

    The images of a packed data set are such rows of a file, and so is each part that is held out of
    them. A row, a slice or a list of rows is read when it is asked for. All else that arrays can do
    is done with a copy of all rows, once there is memory for it (a view where they lie one behind
    the other); native code reads them where they are.

    Args:
        base: ``(M, …)``, C-contiguous.
        numbers: int64 ``(N,)``, each from 0 to M - 1.

    Attributes:
        known: what was found out by reading all of them, kept for the next one who asks.
        known_of_each: likewise of each row; it goes along with those that are taken.

    Example:
        >>> rows = Rows(np.arange(8).reshape(4, 2), np.array([3, 1]))
        >>> rows.shape, rows[0].tolist(), rows[:1].tolist(), int(rows.max())
        ((2, 2), [6, 7], [[6, 7]], 7)
    """

    def __init__(self, base: Array, numbers: Numbers) -> None:
        self.base, self.numbers = base, np.ascontiguousarray(numbers, np.int64)
        self.known: dict[str, Any] = {}
        self.known_of_each: dict[str, Sequence[Any]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array which these rows are."""
        return (len(self.numbers), *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements."""
        return self.base.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.base.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.base.itemsize

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, key: Any) -> Any:
        first, *others = key if isinstance(key, tuple) else (key,)
        if first is None or first is Ellipsis or np.ndim(first) > 1:
            return self._array()[key]
        numbers = self.numbers[first]
        if np.ndim(numbers) == 0:
            return self._read(numbers[None])[0][tuple(others)]
        found = self._read(numbers)
        return found[(slice(None), *others)] if others else found

    def __iter__(self) -> Iterator[Array]:
        return (self[place] for place in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        found = self._array()
        if copy:
            return np.array(found, dtype)
        return found if dtype is None else found.astype(dtype, copy=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._array(), name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dtype}, {self.shape})"

    def _array(self) -> Array:
        """All rows."""
        return self._read(self.numbers)

    def _read(self, numbers: Numbers) -> Array:
        """Some rows: a view where they lie one behind the other, else a copy."""
        first = int(numbers[0]) if len(numbers) else 0
        if np.array_equal(numbers, np.arange(first, first + len(numbers))):
            return self.base[first : first + len(numbers)]
        size = len(numbers) * self.nbytes // max(1, len(self))
        check_memory("reading", {f"{len(numbers):,} rows": size}, "fewer rows at a time")
        found: Array = self.base[numbers]
        found.flags.writeable = False
        return found

    def taken(self, places: ArrayLike) -> Self:
        """Some of these rows, in this order, without reading any of them."""
        wanted = np.asarray(places)
        found = self._like(self.numbers[wanted])
        numbers = np.arange(len(self))[wanted].tolist()
        for name, values in self.known_of_each.items():
            found.known_of_each[name] = [values[number] for number in numbers]
        return found

    def joined(self, others: Sequence[Any]) -> Self | None:
        """These rows and others behind them; None where those are of another array."""
        if not all(isinstance(rows, Rows) and rows.base is self.base for rows in others):
            return None
        every = (self, *others)
        found = self._like(np.concatenate([rows.numbers for rows in every]))
        for name in self.known_of_each:
            if all(name in rows.known_of_each for rows in every):
                found.known_of_each[name] = [x for rows in every for x in rows.known_of_each[name]]
        return found

    def _like(self, numbers: Numbers) -> Self:
        return type(self)(self.base, numbers)

    def chunks(self) -> Iterator[Array]:
        """All rows, some at a time."""
        count = _at_once(self)
        for start in range(0, len(self), count):
            yield self[start : start + count]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that have to be seen by who reads rows in another process."""
        return ()

    def ready(self) -> None:
        """Native code is going to read rows, any of these: see that they are what they should be.

        Raises:
            DataFileError: they are not.
        """

    @property
    def at_once(self) -> int:
        """Rows that native code may read in one call."""
        return 2**62

    def expect(self, numbers: Numbers) -> None:
        """Native code reads these rows of `base` next.

        Raises:
            DataFileError: they are not what they should be.
        """


def rows_behind(array: Any) -> Rows | None:
    """What an array is, if it is rows of another one."""
    return array if isinstance(array, Rows) else None


def files_behind(arrays: Iterable[Any]) -> list[Path]:
    """The files that must be seen by who reads these arrays in another process, each once.

    Example:
        >>> files_behind([np.zeros(2), Rows(np.zeros(2), np.arange(1))])
        []
    """
    found = (file for array in arrays if isinstance(array, Rows) for file in array.files)
    return list(dict.fromkeys(file.absolute() for file in found))


def taken(array: Array, places: ArrayLike) -> Array:
    """Some rows of an array: a copy, or no more than their numbers where it is rows itself."""
    rows = rows_behind(array)
    return array[np.asarray(places)] if rows is None else cast(Array, rows.taken(places))


def chunks(array: Array) -> Iterator[Array]:
    """An array's rows, some at a time, without a copy of all of them.

    Example:
        >>> [len(part) for part in chunks(np.zeros((3, 1 << 21)))]
        [1, 1, 1]
    """
    rows = rows_behind(array)
    if rows is not None:
        yield from rows.chunks()
        return
    count = _at_once(array)
    for start in range(0, len(array), count):
        yield array[start : start + count]


def _at_once(array: Array | Rows) -> int:
    return max(1, CHUNK * len(array) // max(1, array.nbytes))
