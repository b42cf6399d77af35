"""The same contraction on each of a value's planes: 16 matrix products, one kernel."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.contract import ContractSpec
from isoconv.compile.contract_weight import ContractWeightSpec
from isoconv.compile.loops import CONTEXT, CONTEXT_SLOTS, Kernel, Value

__all__ = ["PlanesSpec"]


@dataclass(frozen=True, slots=True)
class PlanesSpec:
    """A contraction that is repeated on other parts of its buffers.

    Attributes:
        inner: what is done on the first plane, without spatial axes: every position counts as an
            image of its own.
        count: number of planes.
        positions: of an image.
        steps: elements from one plane to the next, per buffer.
    """

    inner: ContractSpec | ContractWeightSpec
    count: int
    positions: int
    steps: tuple[int, ...]

    @property
    def buffers(self) -> int:
        """Number of pointers."""
        return self.inner.buffers

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        first, given = list(k.buffers), k.context
        k.context = self._context(k)
        with k.loop(0, self.count) as plane:
            k.buffers = [
                k.at(pointer, k.mul(plane, step), self.inner.dtype)
                for pointer, step in zip(first, self.steps, strict=True)
            ]
            self.inner.emit(k)
        k.buffers, k.context = first, given

    def _context(self, k: Kernel) -> Value:
        """What the kernel was called with, but for the number of images."""
        copy = k.stack("int64", CONTEXT_SLOTS)
        for name, number in CONTEXT.items():
            value = k.slot(name)
            if name == "images":
                value = k.mul(value, self.positions)
            k.store(value, k.at(copy, number, "int64"))
        return copy
