"""First values of a model's weights, drawn from a counter-based generator."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from isoconv import memory
from isoconv.arithmetic import philox
from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array
from isoconv.nn.held import kept_weights, put_weights
from isoconv.nn.snapshot import changed_together
from isoconv.nn.trace import ParameterSpec, Trace
from isoconv.run.immutable import immutable_copy

if TYPE_CHECKING:
    from isoconv.nn.module import Module

_CHUNK = 2**20
"""Numbers that are drawn at once: what lies between takes many times their memory."""


def initial_array(spec: ParameterSpec, seed: int, stream: int) -> Array:
    r"""The first value of a parameter, float32.

    ``"he_uniform"``: element *i* (row-major) is ``(2 u_i - 1) * sqrt(6 / fan_in)`` with
    ``u_i`` the i-th uniform number of (seed, purpose 1, stream); fan_in is the parameter's, or the
    product of all axes but the last. The product is rounded once in float64 and once to float32.

    Args:
        spec: the parameter.
        seed: 64-bit seed.
        stream: the parameter's place in the order of first use.

    Example:
        >>> from isoconv.nn.trace import ParameterSpec
        >>> float(initial_array(ParameterSpec("gamma", (1,), "ones"), seed=0, stream=0)[0])
        1.0
    """
    if spec.initializer == "zeros":
        return np.zeros(spec.shape, np.float32)
    if spec.initializer == "ones":
        return np.ones(spec.shape, np.float32)
    if spec.initializer != "he_uniform":
        return np.full(spec.shape, spec.initializer, np.float32)
    count = prod(spec.shape)
    values: Array = np.empty(count, np.float32)
    fan_in = prod(spec.shape[:-1]) if spec.fan_in is None else spec.fan_in
    bound = np.sqrt(np.float64(6) / np.float64(fan_in))
    for start in range(0, count, _CHUNK):
        index = np.arange(start, min(start + _CHUNK, count))
        uniform = philox.uniform32(
            seed, philox.Purpose.INITIAL_WEIGHTS, stream, epoch=0, sample=0, index=index
        )
        centred = 2.0 * uniform.astype(np.float64) - 1.0
        values[start : start + _CHUNK] = centred * bound
    return values.reshape(spec.shape)


def check_memory(
    trace: Trace,
    vectors: int = 1,
    *,
    held: Collection[str] = (),
    limit: int | None = None,
) -> None:
    """See that there is memory for a model's parameters and states before they are made.

    Args:
        trace: the model, traced.
        vectors: how many numbers there will be for each parameter at a time: 1 for the model
            alone, more where it is to be trained.
        held: names of parameters and states that are there already.
        limit: bytes that there are; None for what the machine has.

    Raises:
        NotEnoughMemoryError: there is not.
    """
    total, peak, states = 0, 0, 0
    largest = ParameterSpec("", (0,), "zeros")
    for spec in trace.parameters.values():
        size = 0 if spec.name in held else prod(spec.shape)
        total += size
        # Each is there twice for a moment: as it is drawn, and as it is kept.
        peak = max(peak, total + size)
        largest = spec if size > prod(largest.shape) else largest
    for state in trace.states.values():
        states += 0 if state.name in held else prod(state.shape)
    needs = {
        f"{total:,} parameters (the most in {largest.name!r}, {largest.shape})": 4 * total,
        "drawing them": 4 * (peak - total) if vectors == 1 else 0,
        "their gradients and the optimizer": 4 * total * (vectors - 1),
        "states": 4 * states,
    }
    what = "a model" if vectors == 1 else "training a model"
    smaller = "fewer filters or features, or smaller images"
    memory.check_memory(what, needs, smaller, limit)


def drawn_weights(trace: Trace, seed: int, besides: Collection[str] = ()) -> dict[str, Array]:
    """First values of the parameters and states that a model asked for.

    Args:
        trace: in which it was run.
        seed: that parameters are drawn from.
        besides: names of those that are left out; the others are what they would be with them.
    """
    values: dict[str, Array] = {}
    for stream, spec in enumerate(trace.parameters.values()):
        if spec.name not in besides:
            # Fixed one by one: all of them twice would be too much.
            values[spec.name] = immutable_copy(initial_array(spec, seed, stream))
    for state in trace.states.values():
        if state.name not in besides:
            values[state.name] = np.full(state.shape, state.initial, np.float32)
    return values


def build_traced(
    model: Module,
    trace: Trace,
    input_shape: tuple[int, ...],
    seed: int | None = None,
    *,
    fresh: bool = False,
) -> None:
    """Give a model its weights, as `Module.build` does, without tracing it again.

    Args:
        model: the model.
        trace: in which it was run, in training.
        input_shape: of an image there.
        seed: that new weights are drawn from; None for 0.
        fresh: draw all weights, also of layers that have theirs.

    Raises:
        ShapeError, ArgumentError, NotEnoughMemoryError: as `Module.build`.
    """
    kept = {} if fresh else kept_weights(model, trace)
    check_memory(trace, held=kept)
    if seed is not None and kept and len(kept) == len(trace.shapes):
        raise ArgumentError(
            f"a seed draws weights, and all layers have theirs; got seed={seed}: say "
            "fresh=True to draw all anew, or leave the seed out",
            argument="seed",
            value=seed,
        )
    values = {**kept, **drawn_weights(trace, seed or 0, kept)}
    with changed_together():
        put_weights(model, trace, input_shape, values)
        if fresh:
            model.forget_training()
