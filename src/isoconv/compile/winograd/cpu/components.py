"""The same contraction on each of a value's components: the kernel, and a part of a larger one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isoconv.compile.contraction.cpu.contract import Emission
from isoconv.compile.contraction.cpu.weight_gradient import WeightSum
from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.contraction.weight_gradient import WeightSchedule
from isoconv.compile.native.context import CONTEXT, CONTEXT_WORDS
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel, Value
from isoconv.compile.winograd.components import Components, ComponentsSpec, ComponentsWeightSpec


@emits(ComponentsSpec)
def components(k: Kernel, spec: ComponentsSpec, tile: Tile) -> None:
    """The contractions of all images; a team shares each of them."""
    positions = k.builder.mul(k.field("images"), k.const(spec.positions))
    with _each(k, spec, (0, spec.count), _context(k, images=positions)):
        Emission(k, spec.inner, tile).run()


def contract_components(k: Kernel, spec: ComponentsSpec, tile: Tile, positions: Value) -> None:
    """Emit the contractions of so many positions, which are not shared with a team."""
    with _each(k, spec, (0, spec.count), _own(k, positions)):
        Emission(k, spec.inner, tile).run()


@emits(ComponentsWeightSpec)
def components_by_weight(k: Kernel, spec: ComponentsWeightSpec, schedule: WeightSchedule) -> None:
    """The sums over all images; each part of a team has components of its own."""
    positions = k.builder.mul(k.field("images"), k.const(spec.positions))
    add_components(k, spec, schedule, positions, None)


def add_components(
    k: Kernel,
    spec: ComponentsWeightSpec,
    schedule: WeightSchedule,
    positions: Value,
    first: Value | None,
) -> None:
    """Emit sums over so many positions, added to the results but for the first accumulation.

    Each part of a team has components of its own: two that wrote to the same one would take its
    lines from each other's caches.
    """
    with _each(k, spec, own_components(k, spec), _own(k, positions)):
        WeightSum(k, spec.inner, schedule, first).run()


def own_components(k: Kernel, spec: Components) -> tuple[Value, Value]:
    """The components [from, to) of this part of a team, where each has components of its own."""
    return k.share(k.const(spec.count))


@contextmanager
def _each(
    k: Kernel, spec: Components, components: tuple[Value | int, Value | int], context: Value
) -> Iterator[None]:
    """A loop over components, in which buffers are those of one and the context is this one."""
    first, given = list(k.buffers), k.context
    k.context = context
    with k.loop(*components) as component:
        for number, step in spec.steps:
            k.buffers[number] = k.at(first[number], k.mul(component, step), spec.inner.dtype)
        yield
    k.buffers, k.context = first, given


def _own(k: Kernel, positions: Value) -> Value:
    """The context of one who does so many positions alone."""
    return _context(k, images=positions, part=k.const(0), parts=k.const(1))


def _context(k: Kernel, **changed: Value) -> Value:
    """What the kernel was called with, but for these numbers."""
    copy = k.stack("int64", CONTEXT_WORDS)
    for name, number in CONTEXT.items():
        k.store(changed.get(name, k.field(name)), k.at(copy, number, "int64"))
    return copy
