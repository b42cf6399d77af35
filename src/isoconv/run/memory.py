"""Aligned memory and scripts of kernel calls, ready for native code."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.calls import Call
from isoconv.compile.layout import Buffer
from isoconv.compile.native.loops import CONTEXT, CONTEXT_SLOTS
from isoconv.errors import NotEnoughMemoryError

__all__ = [
    "Context",
    "Place",
    "Resolve",
    "Script",
    "ScriptBuilder",
    "aligned_bytes",
    "aligned_copy",
]

_LINE = 64
_SLACK = 256
_HUGE = 2**21  # bytes of a huge page, on x86-64 and usually on AArch64
_LARGE = 2 * _HUGE
_MOVING = ("dataset", "order", "output")

Place = tuple[str, str]
"""Region and name of a buffer that may lie elsewhere the next time."""
Resolve = Callable[[Buffer], int]
"""Address of a buffer's first byte."""


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes that start on a cache line, with room to read a little past the end.

    Large ones lie in pages of their own, huge ones where the system has them: kernels that stride
    through an arena would otherwise wait for the addresses of small pages.
    """
    line = _HUGE if size >= _LARGE else _LINE
    room = size + _SLACK + line
    try:
        raw = _fresh(room) if line == _HUGE else np.zeros(room, np.uint8)
    except (MemoryError, OSError, OverflowError, ValueError):
        raise NotEnoughMemoryError(
            f"there is not enough memory for {size / 2**30:.1f} GiB; a smaller shard_size or fewer "
            "threads need less"
        ) from None
    start = -raw.ctypes.data % line
    return raw[start : start + size]


def _fresh(size: int) -> NDArray[np.uint8]:
    """Fresh pages: memory that was used and freed before is cut into small ones for good."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(size, np.uint8)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A system without them says so; small pages do as well, if slower.
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)


def aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy that starts on a cache line."""
    copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class Context:
    """The numbers a kernel is called with: images, part, parts, first, stride.

    Attributes:
        address: where they lie.
    """

    def __init__(self, **values: int) -> None:
        self._values = np.zeros(CONTEXT_SLOTS, np.int64)
        self._values[CONTEXT["parts"]] = 1
        self.address = int(self._values.ctypes.data)
        self.set(**values)

    def set(self, **values: int) -> None:
        """Change some of the numbers."""
        for name, value in values.items():
            self._values[CONTEXT[name]] = value


class Script:
    """Instructions in memory, and everything that they point at.

    Attributes:
        address: where the instructions lie.
    """

    def __init__(
        self,
        code: NDArray[np.int64],
        arguments: NDArray[np.int64],
        keep: Sequence[object],
        places: Mapping[Place, Sequence[tuple[int, int]]],
    ) -> None:
        self._code = code
        self.address = int(code.ctypes.data)
        self._arguments = arguments
        self._keep = keep
        self._moved: dict[Place, int] = {}
        self._places = {
            place: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for place, pairs in places.items()
        }

    def move(self, region: str, name: str, address: int) -> None:
        """A data set, the order or an output lies elsewhere from now on."""
        place = region, name
        if place in self._places and self._moved.get(place) != address:
            numbers, starts = self._places[place]
            self._arguments[numbers] = address + starts
            self._moved[place] = address

    def __len__(self) -> int:
        return len(self._code) - 1


class ScriptBuilder:
    """Collects instructions."""

    def __init__(self) -> None:
        self._kernels: list[int] = []
        self._starts: list[int] = []
        self._contexts: list[int] = []
        self._checks: list[int] = []
        self._arguments: list[int] = []
        self._keep: list[object] = []
        self._places: dict[Place, list[tuple[int, int]]] = {}

    def add(
        self,
        kernel: int,
        pointers: Iterable[int],
        context: Context | None = None,
        *,
        check: bool = False,
    ) -> None:
        """Call a kernel; with `check` the script may end after it."""
        self._kernels.append(kernel)
        self._starts.append(len(self._arguments))
        self._contexts.append(context.address if context is not None else 0)
        self._checks.append(int(check))
        self._arguments.extend(pointers)
        self._keep.append(context)

    def calls(
        self,
        calls: Iterable[Call],
        addresses: Callable[[Call], int],
        resolve: Resolve,
        context: Context,
    ) -> None:
        """Call the kernels of these calls in order."""
        for call in calls:
            pointers: list[int] = []
            for buffer in call.buffers:
                if buffer.region in _MOVING:
                    place = buffer.region, buffer.name
                    number = len(self._arguments) + len(pointers)
                    self._places.setdefault(place, []).append((number, buffer.start))
                pointers.append(resolve(buffer) + buffer.start)
            self.add(addresses(call), pointers, context)

    def finish(self) -> Script:
        """The finished script."""
        arguments = np.array([*self._arguments, 0], np.int64)
        base = arguments.ctypes.data
        code = np.zeros((len(self._kernels) + 1, 4), np.int64)
        if self._kernels:
            code[:-1, 0] = self._kernels
            code[:-1, 1] = [base + 8 * start for start in self._starts]
            code[:-1, 2] = self._contexts
            code[:-1, 3] = self._checks
        return Script(code, arguments, tuple(self._keep), self._places)
