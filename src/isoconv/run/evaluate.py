"""Evaluates one graph on arrays: all images as one shard, on one thread."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from isoconv.compile.layout import Buffer, Placement, dense_placement
from isoconv.compile.lower.driver import lower
from isoconv.compile.lower.plan import make_plan
from isoconv.compile.target import Target
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import Graph, TensorSpec
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.run.binder import Binder, Workspace, address_of
from isoconv.run.demand import bytes_of
from isoconv.run.memory import aligned_bytes, aligned_copy
from isoconv.run.script import Context, Place
from isoconv.run.team import library_for


def evaluate(
    graph: Graph,
    arrays: Mapping[str, Array],
    images: int,
    *,
    target: Target | str | None = None,
    fusion: bool = True,
    cache: bool = True,
    memory: int | None = None,
) -> dict[str, Array]:
    """Compute a graph's outputs on the native kernels.

    Args:
        graph: what to compute.
        arrays: an array for each input, by name; those of kind ``dataset`` lead with images.
        images: number of images.
        target: the machine to compile for; None for the one at hand.
        fusion: whether nodes are fused (the result is the same).
        cache: whether compiled kernels are kept on disk.
        memory: bytes that there are; None for what the machine has.

    Returns:
        The outputs by name; batched ones lead with images.

    Raises:
        ArgumentError: an input has no array, or the target is unknown.
        ShapeError: an array has another shape than its input.
        DTypeError: an array has another dtype than its input.
        NotEnoughMemoryError: the graph needs more memory than there is.
    """
    library = library_for(target, cache=cache)
    given: dict[str, Array] = {}
    inputs: dict[str, Placement] = {}
    specs: list[TensorSpec] = []
    for _, node in graph.inputs():
        name, spec = node.attrs.name, node.spec
        given[name] = _checked(name, arrays, spec, images)
        specs.append(spec)
        region = "dataset" if spec.batched else "parameter"
        inputs[name] = dense_placement(Buffer(region, name, given[name].nbytes), spec)
    outputs: dict[str, Placement] = {}
    for name, index in graph.outputs:
        spec = graph[index].spec
        specs.append(spec)
        buffer = Buffer("output", name, bytes_of([spec], images))
        outputs[name] = dense_placement(buffer, spec)
    lowered = lower(
        graph, library.target, capacity=images, inputs=inputs, outputs=outputs, fusion=fusion
    )
    calls = [*lowered.prepare, *lowered.shard]
    plan = make_plan(calls, images)
    needs = {"arrays and results": bytes_of(specs, images), "what lies between": plan.arena,
             "packed weights": plan.packed, "scratch memory": plan.scratch}  # fmt: skip
    smaller = "fewer or smaller images, or fewer filters"
    what = "an image" if images == 1 else f"{images:,} images"
    check_memory(f"evaluating {what}", needs, smaller, memory)
    order = np.arange(max(images, 1))
    held: dict[Place, Array] = {}
    for _, node in graph.inputs():
        name, region = node.attrs.name, inputs[node.attrs.name].buffer.region
        held["order", name] = order
        held[region, name] = aligned_copy(given[name])
    results: dict[str, Array] = {}
    for name, index in graph.outputs:
        spec = graph[index].spec
        shape = (images, *spec.shape) if spec.batched else spec.shape
        results[name] = aligned_bytes(outputs[name].buffer.bytes).view(spec.dtype).reshape(shape)
        held["output", name] = results[name]
    places = {place: address_of(array) for place, array in held.items()}
    workspace = Workspace(plan, 1)
    binder = Binder(library, 1, [call.kernel for call in calls])
    script = binder.recorder(0)
    script.calls(calls, workspace.resolver(0, 0, places), Context(images=images))
    with binder.team as team:
        team.run([script.build()], 1)
    return results


def _checked(name: str, arrays: Mapping[str, Array], spec: TensorSpec, images: int) -> Array:
    if name not in arrays:
        text = f"every input needs an array: {name!r} is missing"
        raise ArgumentError(text, argument=f"arrays[{name!r}]")
    array = arrays[name]
    wanted = (images, *spec.shape) if spec.batched else spec.shape
    if array.shape != wanted:
        raise ShapeError(f"input {name!r} must have shape {wanted}; got {array.shape}")
    if array.dtype != spec.dtype:
        raise DTypeError(f"input {name!r} must be {spec.dtype}; got {array.dtype}")
    return array
