"""First values of parameters, drawn from a counter-based generator."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np

from isoconv import memory
from isoconv.arithmetic import philox
from isoconv.graph.operation import Array
from isoconv.nn.trace import ParameterSpec, Traced

__all__ = ["check_memory", "initial_array"]

_CHUNK = 2**20
"""Numbers that are drawn at once: what lies between takes many times their memory."""


def initial_array(spec: ParameterSpec, seed: int, stream: int) -> Array:
    r"""The first value of a parameter, float32.

    ``"he_uniform"``: element *i* (row-major) is ``(2 u_i - 1) * sqrt(6 / fan_in)`` with
    ``u_i`` the i-th uniform number of (seed, purpose 1, stream); fan_in is the product of all
    axes but the last. The product is rounded once in float64 and once to float32.

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
    count = prod(spec.shape)
    values: Array = np.empty(count, np.float32)
    bound = np.sqrt(np.float64(6) / np.float64(prod(spec.shape[:-1])))
    for start in range(0, count, _CHUNK):
        index = np.arange(start, min(start + _CHUNK, count))
        uniform = philox.uniform32(
            seed, philox.Purpose.INITIAL_WEIGHTS, stream, epoch=0, sample=0, index=index
        )
        centred = 2.0 * uniform.astype(np.float64) - 1.0
        values[start : start + _CHUNK] = centred * bound
    return values.reshape(spec.shape)


def check_memory(
    traced: Traced,
    vectors: int = 1,
    *,
    held: Collection[str] = (),
    limit: int | None = None,
) -> None:
    """See that there is memory for a model's parameters and states before they are made.

    Args:
        traced: the model, traced.
        vectors: how many numbers there will be for each parameter at a time: 1 for the model
            alone, more where it is to be trained.
        held: names of parameters and states that are there already.
        limit: bytes that there are; None for what the machine has.

    Raises:
        NotEnoughMemoryError: there is not.
    """
    total, peak, states = 0, 0, 0
    largest = ParameterSpec("", (0,), "zeros")
    for spec in traced.parameters.values():
        size = 0 if spec.name in held else prod(spec.shape)
        total += size
        # Each is there twice for a moment: as it is drawn, and as it is kept.
        peak = max(peak, total + size)
        largest = spec if size > prod(largest.shape) else largest
    for state in traced.states.values():
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
