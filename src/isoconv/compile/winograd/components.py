"""The same contraction on each of a value's planes: 16 matrix products, one kernel."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.native.loops import CONTEXT, CONTEXT_SLOTS, Kernel, Value

__all__ = ["PlanesSpec"]


@dataclass(frozen=True, slots=True)
class PlanesSpec:
    """A contraction that is repeated on other parts of its buffers.

    Attributes:
        inner: what is done on the first plane, without spatial axes: every position counts as an
            image of its own.
        count: number of planes.
        positions: of an image.
        steps: of which buffers each plane has its own part, and elements from one to the next.
    """

    inner: ContractSpec | ContractWeightSpec
    count: int
    positions: int
    steps: tuple[tuple[int, int], ...]

    @property
    def buffers(self) -> int:
        """Number of pointers."""
        return self.inner.buffers

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        positions = k.builder.mul(k.slot("images"), k.const(self.positions))
        if isinstance(self.inner, ContractWeightSpec):
            self.onto(k, positions, None)
        else:
            self._run(k, (0, self.count), _context(k, images=positions), None)

    def alone(self, k: Kernel, positions: Value) -> None:
        """Emit the contractions of so many positions, which are not shared with a team."""
        self._run(k, (0, self.count), _own(k, positions), None)

    def onto(self, k: Kernel, positions: Value, fresh: Value | None) -> None:
        """Emit sums over so many positions, added to the results unless they are fresh.

        Each part of a team has planes of its own: two that wrote to the same one would take its
        lines from each other's caches.
        """
        self._run(k, self.mine(k), _own(k, positions), fresh)

    def mine(self, k: Kernel) -> tuple[Value, Value]:
        """The planes [from, to) of this part of a team, where each has planes of its own."""
        return k.share(k.const(self.count))

    def _run(
        self,
        k: Kernel,
        planes: tuple[Value | int, Value | int],
        context: Value,
        fresh: Value | None,
    ) -> None:
        first, given = list(k.buffers), k.context
        k.context = context
        with k.loop(*planes) as plane:
            for number, step in self.steps:
                k.buffers[number] = k.at(first[number], k.mul(plane, step), self.inner.dtype)
            if isinstance(self.inner, ContractWeightSpec):
                self.inner.onto(k, fresh)
            else:
                self.inner.emit(k)
        k.buffers, k.context = first, given


def _own(k: Kernel, positions: Value) -> Value:
    """The context of one who does so many positions alone."""
    return _context(k, images=positions, part=k.const(0), parts=k.const(1))


def _context(k: Kernel, **changed: Value) -> Value:
    """What the kernel was called with, but for these numbers."""
    copy = k.stack("int64", CONTEXT_SLOTS)
    for name, number in CONTEXT.items():
        k.store(changed.get(name, k.slot(name)), k.at(copy, number, "int64"))
    return copy
