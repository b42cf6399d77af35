"""Arrays in files that need not be in memory: their rows are read forward, some at a time.

A file that is compressed can be read in this way alone; who asks for rows before those that were
read last has it opened anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np

from isoconv.data.checked import finite_float32, looks_channels_first
from isoconv.data.files import bad_file, file_error, read_into
from isoconv.data.labels import place_labels
from isoconv.errors import DataError, DataFileError, IsoconvError
from isoconv.files import PIECE
from isoconv.printable import printable
from isoconv.rows import Array, Numbers, Rows, neighbours


@dataclass(slots=True)
class ArrayStream:
    """An array in a file, row-major.

    Attributes:
        path: of the file.
        where: it lies in there, for messages; printable.
        shape: of the array, none of its sides 0.
        dtype: of its elements, as the file has them.
        opened: opens the file; within, a stream stands at the first element.
        damaged: what reading raises of a damaged file.
    """

    path: Path
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    opened: Callable[[], AbstractContextManager[IO[bytes]]]
    damaged: tuple[type[Exception], ...]
    _held: ExitStack = field(default_factory=ExitStack)
    _stream: IO[bytes] | None = None
    _next: int = 0
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def stamp(self) -> str:
        """What the rows are read from: another one if the file was changed.

        Raises:
            DataFileError: the file is no longer there.
        """
        try:
            state = self.path.stat()
        except OSError as error:
            raise bad_file(self.path, f"cannot be read: {error.strerror or error}") from error
        array = f"{self.where!a} {self.dtype.str} {self.shape}"
        return f"{array} {state.st_ino} {state.st_size} {state.st_mtime_ns}"

    def read(self, first: int, count: int) -> Array:
        """Some neighbouring rows, in memory of their own.

        Raises:
            DataFileError: the file is damaged.
            NotEnoughMemoryError: there is no memory for them.
        """
        each = prod(self.shape[1:]) * self.dtype.itemsize
        with self._turn:
            try:
                stream = self._at(first, each)
                content = read_into(stream, count * each, self.where, f"rows from {first} on")
                self._next = first + count
                # To read behind the last one has a checksum compared.
                if self._next == self.shape[0] and stream.read(1):
                    expected = f"{self.shape[0] * each} bytes of elements"
                    raise file_error(self.where, expected, "more")
            except BaseException as error:
                self._close()
                if isinstance(error, self.damaged) and not isinstance(error, IsoconvError):
                    reason = f"truncated or corrupt: {error}"
                    raise bad_file(self.where, reason).within(path=self.path) from error
                raise
            if self._next == self.shape[0]:
                self._close()
        return content.view(self.dtype).reshape(count, *self.shape[1:])

    def _at(self, first: int, each: int) -> IO[bytes]:
        """The stream at a row."""
        if self._stream is None or first < self._next:
            self._close()
            self._stream = self._held.enter_context(self.opened())
        left = (first - self._next) * each
        while left:
            piece = self._stream.read(min(PIECE, left))
            if not piece:
                raise file_error(self.where, f"{self.shape[0]} rows", "fewer: it is truncated")
            left -= len(piece)
        return self._stream

    def _close(self) -> None:
        self._stream, self._next = None, 0
        self._held.close()


class StreamedRows(Rows):
    """Rows of an array in a file, read and converted when they are asked for.

    Args:
        stream: the array.
        numbers: int64 ``(N,)``, which of its rows they are.
        nothing: ``(M, …)`` of the shape and dtype that the converted array has; no memory of it is
            ever read.
        convert: what makes rows of it, of rows of the stream and the number of the first.
    """

    def __init__(
        self,
        stream: ArrayStream,
        numbers: Numbers,
        nothing: Array,
        convert: Callable[[Array, int], Array],
    ) -> None:
        super().__init__(nothing, numbers)
        self._stream, self._convert = stream, convert

    @property
    def stamp(self) -> str:
        """As `ArrayStream` has it."""
        return self._stream.stamp

    def _like(self, numbers: Numbers) -> Self:
        return type(self)(self._stream, numbers, self.base, self._convert)

    def _are_a_view(self) -> bool:
        return False

    def _read(self, numbers: Numbers) -> Array:
        self._check_room(len(numbers))
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for begin, end in neighbours(numbers):
            first = int(numbers[begin])
            try:
                part = self._convert(self._stream.read(first, end - begin), first)
            except DataFileError:
                raise
            except DataError as error:
                path = self._stream.path
                raise DataFileError(error.reason, **error.fields).within(
                    printable(path), path=path
                ) from error
            found[begin:end] = part.reshape(found[begin:end].shape)
        found.flags.writeable = False
        return found


def _rows(
    stream: ArrayStream, shape: tuple[int, ...], dtype: type, convert: Callable[[Array, int], Array]
) -> Array:
    nothing: Array = np.broadcast_to(np.zeros((), dtype), shape)
    return cast(Array, StreamedRows(stream, np.arange(shape[0]), nothing, convert))


def streamed_images(stream: ArrayStream, name: str) -> Array | None:
    """Images as a data set holds them, left in their file; None where that is refused or looked at.

    Args:
        stream: the array that holds them.
        name: of the data, for a lack of memory.
    """
    shape = stream.shape if len(stream.shape) == 4 else (*stream.shape, 1)
    if len(shape) != 4 or looks_channels_first(shape[1:]):
        return None
    if stream.dtype == np.uint8:
        return _rows(stream, shape, np.uint8, lambda part, _: part)
    if stream.dtype.kind != "f":
        return None
    return _rows(
        stream, shape, np.float32,
        lambda part, first: finite_float32(part, name, "images", "images", first),
    )  # fmt: skip


def streamed_places(stream: ArrayStream, images: Array) -> Array | None:
    """The classes of the places of images, left in their file; None where labels are others.

    Args:
        stream: the array that holds them.
        images: ``(N, H, W, C)``.
    """
    if stream.dtype.kind not in "biu" or stream.shape != images.shape[:3]:
        return None
    return _rows(
        stream, stream.shape, np.int32, lambda part, first: place_labels(part, first=first)
    )
