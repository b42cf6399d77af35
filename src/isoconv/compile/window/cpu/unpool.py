"""Values put at listed places of a map, or picked from there.

    for n, channel c:
        put:   result[n, i, c] = +0.0 for every position i
               for p in order, with place = places[n, p, c]:
                   result[n, place, c] = values[n, p, c]  if it is a position
        pick:  for p: result[n, p, c] = values[n, place, c]  if it is a position, else +0.0

Schedule: a thread has channels of images for itself, so that whatever comes last at a place is the
same for all. A number that is no position is found before it becomes an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import I64, Kernel, Value
from isoconv.compile.pointwise.cpu.expression import Index, address
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.compile.window.unpool import UnpoolSpec


@emits(UnpoolSpec)
def unpool(k: Kernel, spec: UnpoolSpec) -> None:
    """Share out images × channels."""
    b, channels = k.builder, spec.places.axes[-1]
    begin, end = k.share(b.mul(k.field("images"), k.const(channels)))
    with k.loop(begin, end) as unit:
        _Channel(k, spec, b.sdiv(unit, k.const(channels)), b.srem(unit, k.const(channels))).run()


class _Channel:
    """One channel of one image."""

    def __init__(self, k: Kernel, spec: UnpoolSpec, image: Value, channel: Value) -> None:
        self.k, self.spec, self.image, self.channel = k, spec, image, channel

    def _at(self, operand: Operand, domain: Domain, number: Value) -> Value:
        """Address of a position's element, by its row-major number."""
        place = _position(self.k, number, domain.axes[:-1])
        return address(self.k, operand, Index(self.image, (*place, self.channel), 1))

    def run(self) -> None:
        """Every place in order."""
        k, b, spec = self.k, self.k.builder, self.spec
        values, places, result = spec.operands
        zero = k.zeros(result.dtype, 1)
        if spec.put:
            with k.loop(0, prod(spec.result.axes[:-1])) as i:
                k.store(zero, self._at(result, spec.result, i))
        count = prod((spec.result if spec.put else spec.values).axes[:-1])
        with k.loop(0, prod(spec.places.axes[:-1])) as p:
            given = k.load_scalar(self._at(places, spec.places, p), places.dtype)
            kind = given.type
            there = b.and_(
                b.fcmp_ordered(">=", given, kind(0.0)),
                b.fcmp_ordered("<", given, kind(float(count))),
            )
            if not spec.put:
                k.store(zero, self._at(result, spec.result, p))
            with k.when(there):
                place = b.fptosi(given, I64)
                source, target = (p, place) if spec.put else (place, p)
                found = k.load_vector(self._at(values, spec.values, source), values.dtype, 1)
                k.store(found, self._at(result, spec.result, target))


def _position(k: Kernel, number: Value, sides: Sequence[int]) -> tuple[Value, ...]:
    """A position by its row-major number."""
    found: tuple[Value, ...] = ()
    for side in reversed(sides[1:]):
        found = (k.builder.srem(number, k.const(side)), *found)
        number = k.builder.sdiv(number, k.const(side))
    return (number, *found) if sides else ()
