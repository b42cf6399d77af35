"""What bounds the kernels of single convolutions, and how near they come to it: measured here.

Each layer's kernels run as in a training step, on one thread or several, for the targets that are
asked for: 512-bit code and 256-bit code of one machine are two cores, as it were, with different
numbers of FMAs and loads in a cycle. The bound is that of ``isoconv bench``, by the written model
of ``isoconv.run.bounds``, at the ceilings that are measured before and after.
"""

# ruff: noqa: RUF001 - sizes are written with ×
from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from bench.libraries.isoconv_operations import Operation
from bench.mca import graph_of, layers
from bench.timing import Pace
from bench.workloads import DIRECTIONS, Layer
from isoconv.compile.calls import Call
from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.target import Target, target_named
from isoconv.run.bounds import Demand, demand_of
from isoconv.run.ceilings import Ceilings, measure_ceilings

_BLOCK_SECONDS = 0.05


def report(targets: list[str], only: tuple[str, ...], threads: int, pace: Pace) -> Iterator[str]:
    """Lines of a table for each target: layer, tile, bound, shares of the peak and of the bound.

    Args:
        targets: names of targets that this machine can run.
        only: parts of the names of layers; none for all.
        threads: that share each layer's images.
        pace: how long and how often each is measured.

    Raises:
        ArgumentError: this machine cannot run a target.
        ValueError: no layer is called so.
    """
    wanted = layers(only)
    for name in targets:
        target = target_named(name)
        core = target.core
        before = measure_ceilings(threads, target=target)
        found = [
            (layer, direction, *_timed(layer, direction, target, threads, pace))
            for layer in wanted
            for direction in DIRECTIONS
        ]
        ceilings = before.better(measure_ceilings(threads, target=target))
        yield (
            f"{name}: {core.fmas:g} FMAs and {core.loads:g} loads a cycle ({core.origin}); "
            f"{ceilings.gflops:.0f} GFLOP/s at best on {threads} thread{'s' if threads > 1 else ''}"
        )
        yield "| layer | tile | bound by | of peak | of bound |"
        yield "| --- | --- | --- | --- | --- |"
        for layer, direction, calls, seconds in found:
            yield f"| {layer.name} [{layer.batch}], {direction} " + _row(
                calls, layer.batch, target, seconds, ceilings
            )


def _timed(
    layer: Layer, direction: str, target: Target, threads: int, pace: Pace
) -> tuple[list[Call], float]:
    """The kernel calls of a layer in one direction, and their least time."""
    draw = np.random.default_rng(0)
    arrays = {name: draw.standard_normal(shape, np.float32) for name, shape in layer.arrays.items()}
    operation = Operation(graph_of(layer, direction), arrays, threads, target)
    operation.run()
    begun = time.perf_counter()
    operation.run()
    turns = max(1, round(min(pace.budget, _BLOCK_SECONDS) / (time.perf_counter() - begun)))
    times = []
    for _ in range(pace.blocks):
        begun = time.perf_counter()
        operation.run(turns)
        times.append((time.perf_counter() - begun) / turns)
    return operation.calls, min(times)


def _row(calls: list[Call], images: int, target: Target, seconds: float, ceilings: Ceilings) -> str:
    """Of several kernels (a stride has a gradient in parts) the tile of the largest."""
    largest = max((call for call in calls if call.schedule), key=lambda call: call.flops(images))
    tile: Tile = largest.schedule.tile  # type: ignore[union-attr]
    demand = sum((demand_of(call, images, {}, target) for call in calls), Demand())
    times = demand.seconds(ceilings)
    bound = next(iter(times))
    flops = sum(call.flops(images) for call in calls)
    return (
        f"| {tile.rows} × {tile.columns} × {tile.vectors} | {bound} "
        f"| {flops / seconds / (ceilings.gflops * 1e9):.0%} | {times[bound] / seconds:.0%} |"
    )
