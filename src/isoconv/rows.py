"""Rows of an array by their numbers: read where they lie, and copied when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike, NDArray

from isoconv.memory import check_memory

Array = NDArray[Any]
Numbers = NDArray[np.int64]

CHUNK = 1 << 24
"""Bytes that are read at once of what is gone through from its first row to its last."""
_READ_ONLY = "assignment destination is read-only"  # NumPy's words


class Rows(NDArrayOperatorsMixin):
    """Rows of an array, ``rows[i] = base[numbers[i]]``, as an array of their own.

    The images of a packed data set are such rows of a file, and so is each part that is held out of
    them. They are asked and compared as an array is that nobody may write to: by a number, a slice,
    a list, flags, or tuples of these, and only the rows that are asked for are read. All else that
    arrays can do (operators, functions of NumPy, methods) is done with a copy of all rows, once
    there is memory for it (a view where they lie one behind the other in memory); native code reads
    them where they are.

    Args:
        base: ``(M, …)``, C-contiguous.
        numbers: int64 ``(N,)``, each from 0 to M - 1.

    Attributes:
        mapped: they are rows of a file, of which pages may be lost while native code reads them.
        known: what was found out by reading all of them, kept for the next one who asks.
        known_of_each: likewise of each row; it goes along with those that are taken.

    Example:
        >>> rows = Rows(np.arange(8).reshape(4, 2), np.array([3, 1]))
        >>> rows.shape, rows[0].tolist(), rows[:1].tolist(), int(rows.max())
        ((2, 2), [6, 7], [[6, 7]], 7)
    """

    mapped = False

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
        found = self._asked(key if isinstance(key, tuple) else (key,))
        if isinstance(found, np.ndarray):
            found.flags.writeable = False
        return found

    def _asked(self, keys: tuple[Any, ...]) -> Any:
        chosen = self._chosen(keys[0]) if keys else None
        if chosen is None:
            return self._array()[keys]
        numbers = self.numbers[chosen]
        found = self._read(numbers.reshape(-1))
        if len(keys) == 1:
            return found[0] if numbers.ndim == 0 else found.reshape(*numbers.shape, *self.shape[1:])
        if isinstance(chosen, slice):
            return found[(slice(None), *keys[1:])]
        # What stood for rows goes on to stand for them, so that it meets the others as in an array.
        places = np.arange(numbers.size).reshape(numbers.shape)
        return found[(0 if numbers.ndim == 0 else places, *keys[1:])]

    def _chosen(self, first: Any) -> Any:
        """What tells rows apart, for their numbers to be asked by; None for what is about more."""
        if first is None or first is Ellipsis:
            return None
        if isinstance(first, slice):
            return first
        asked = np.asarray(first)
        if asked.dtype == bool:
            # A flag alone adds an axis, and flags of several axes go beyond the first.
            return asked if asked.ndim == 1 else None
        # An empty list is one of floats.
        return asked.astype(np.int64) if not asked.size and isinstance(first, list) else first

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ValueError(_READ_ONLY)

    def __iter__(self) -> Iterator[Array]:
        return (self[place] for place in range(len(self)))

    def __contains__(self, value: object) -> bool:
        return value in self._array()

    def __bool__(self) -> bool:
        # Of an array of several elements NumPy says what is wrong with that.
        alone = self._array() if self.size == 1 else np.broadcast_to(False, self.shape)
        return bool(alone)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        if copy is False and (wanted != self.dtype or not self._are_a_view()):
            raise ValueError("rows are copied to make an array of them; copy=False forbids it")
        found = self._array()
        if copy and wanted == self.dtype and found.flags.owndata:
            found.flags.writeable = True
            return found
        return np.array(found, wanted) if copy else found.astype(wanted, copy=False)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        if any(isinstance(each, Rows) for each in settings.get("out", ())):
            raise ValueError(_READ_ONLY)
        arrays = (each._array() if isinstance(each, Rows) else each for each in inputs)
        return getattr(function, method)(*arrays, **settings)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._array(), name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dtype}, {self.shape})"

    def _array(self) -> Array:
        """All rows."""
        return self._read(self.numbers)

    def _are_a_view(self) -> bool:
        """Whether all rows together need no copy."""
        return _are_neighbours(self.numbers)

    def _read(self, numbers: Numbers) -> Array:
        """Some rows, not writable: a view where they lie one behind the other, else a copy."""
        if _are_neighbours(numbers):
            first = int(numbers[0]) if len(numbers) else 0
            found = self.base[first : first + len(numbers)]
            found.flags.writeable = False
            return found
        self._check_room(len(numbers))
        found = self.base[numbers]
        found.flags.writeable = False
        return found

    def _check_room(self, count: int) -> None:
        """See that there is memory for so many rows.

        Raises:
            NotEnoughMemoryError: there is not.
        """
        size = count * prod(self.base.shape[1:]) * self.base.itemsize
        check_memory("reading", {f"{count:,} rows": size}, "fewer rows at a time")

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

    def used(self, *, lost: bool = False) -> None:
        """Native code has read rows: see that they were what they should be.

        Args:
            lost: the system could not give some of them.

        Raises:
            DataFileError: they were not, and nothing that came of them may be kept.
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


def _are_neighbours(numbers: Numbers) -> bool:
    """Whether each number is one more than that before it."""
    return not len(numbers) or bool((np.diff(numbers) == 1).all())


def neighbours(numbers: Numbers) -> list[tuple[int, int]]:
    """Where numbers that follow one another begin, and where they end.

    Example:
        >>> neighbours(np.array([3, 4, 9]))
        [(0, 2), (2, 3)]
    """
    if not len(numbers):
        return []
    edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    return [*pairwise(edges)]


def behind_each_other(arrays: Sequence[Array]) -> Array | None:
    """Arrays as one without a copy, where they lie in one array behind each other; None elsewhere.

    Args:
        arrays: ``(N, …)`` each, alike but for N.

    Example:
        >>> whole = np.arange(6)
        >>> behind_each_other([whole[1:3], whole[3:4]]).tolist()
        [1, 2, 3]
    """
    first, count = arrays[0], 0
    for array in arrays:
        there = first.ctypes.data + count * first.strides[0] if first.ndim else 0
        alike = (array.dtype, array.shape[1:], array.strides) == (
            first.dtype, first.shape[1:], first.strides,
        )  # fmt: skip
        # One memory, and not two that happen to touch.
        if not alike or array.base is None or array.base is not first.base:
            return None
        if array.ctypes.data != there or not array.flags.c_contiguous:
            return None
        count += len(array)
    return np.lib.stride_tricks.as_strided(first, (count, *first.shape[1:]), writeable=False)


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
