"""First values of parameters, drawn from a counter-based generator."""

from __future__ import annotations

from math import prod

import numpy as np

from isoconv.arithmetic import philox
from isoconv.graph.operation import Array
from isoconv.nn.trace import ParameterSpec

__all__ = ["initial_array"]


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
    uniform = philox.uniform32(
        seed, philox.Purpose.INITIAL_WEIGHTS, stream, epoch=0, sample=0, index=np.arange(count)
    )
    bound = np.sqrt(np.float64(6) / np.float64(prod(spec.shape[:-1])))
    centred = 2.0 * uniform.astype(np.float64) - 1.0
    values: Array = (centred * bound).astype(np.float32)
    return values.reshape(spec.shape)
