"""Scripts: kernel calls as instructions in memory, ready for native code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.native.context import CONTEXT, CONTEXT_WORDS
from isoconv.compile.native.records import INSTRUCTION

Place = tuple[str, str]
"""Region and name of a buffer that lies in memory of its own."""


class Context:
    """The numbers a kernel is called with: images, part, parts, first, stride.

    Attributes:
        address: where they lie.
    """

    def __init__(self, **values: int) -> None:
        self._values = np.zeros(CONTEXT_WORDS, np.int64)
        self._values[CONTEXT["parts"]] = 1
        self.address = int(self._values.ctypes.data)
        self.set(**values)

    def __getitem__(self, name: str) -> int:
        return int(self._values[CONTEXT[name]])

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
        code: NDArray[np.void],
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
        moving: Iterable[tuple[int, Place, int]] = (),
        keep: object = None,
    ) -> None:
        """Add an instruction.

        Args:
            kernel: its address.
            pointers: what it is called with.
            context: the numbers that it is called with.
            check: whether the script may end after it.
            moving: pointers that ``Script.move`` changes: number, place, bytes from its first.
            keep: what must live as long as the script.
        """
        start = len(self._arguments)
        for number, place, offset in moving:
            self._places.setdefault(place, []).append((start + number, offset))
        self._kernels.append(kernel)
        self._starts.append(start)
        self._contexts.append(context.address if context is not None else 0)
        self._checks.append(int(check))
        self._arguments.extend(pointers)
        self._keep.append((context, keep))

    def build(self) -> Script:
        """The script."""
        arguments = np.array([*self._arguments, 0], np.int64)
        base = arguments.ctypes.data
        code = INSTRUCTION.zeros(len(self._kernels) + 1)
        code["kernel"][:-1] = self._kernels
        code["arguments"][:-1] = [base + 8 * start for start in self._starts]
        code["context"][:-1] = self._contexts
        code["check"][:-1] = self._checks
        return Script(code, arguments, tuple(self._keep), self._places)
