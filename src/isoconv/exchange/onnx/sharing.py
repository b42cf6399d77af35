"""Arrays of an ONNX file that several nodes read: one layer where that can be, or it is told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from isoconv.exchange.onnx.building import Building
from isoconv.nn import Module
from isoconv.nn.network import Step
from isoconv.printable import printable


def tied(made: Building, steps: Sequence[Step]) -> list[Step]:
    """The steps, those of equal settings and the same matrices of the file with one layer.

    Normalisation is not tied: exporters write arrays of equal numbers once, and so are its factors
    and statistics before a training, of whatever layers.

    Args:
        made: the network.
        steps: that it needs.
    """
    often = Counter(made.origins.get(name) for name, *_ in steps)
    layers: dict[Any, Module] = {}
    found: list[Step] = []
    for name, layer, *reads in steps:
        origins, weight = made.origins.get(name), made.weights.get(f"{name}.weight")
        if origins and often[origins] > 1 and weight is not None and weight.ndim > 1:
            settings = repr(sorted(vars(layer).items()))
            layer = layers.setdefault((type(layer), settings, origins, _digest(made, name)), layer)
        found.append((name, layer, *reads))
    return found


def _digest(made: Building, name: str) -> bytes:
    """Of what a step holds: the same array may lie in another order there."""
    digest = hashlib.sha256()
    for own in ("weight", "bias"):
        array = made.weights.get(f"{name}.{own}")
        digest.update(b"" if array is None else repr(array.shape).encode() + array.tobytes())
    return digest.digest()


def apart(made: Building, steps: Sequence[Step]) -> str:
    """What is to be told of arrays that several layers hold a copy of; "" where there are none.

    Args:
        made: the network.
        steps: that learn.
    """
    readers: dict[str, dict[int, str]] = {}
    for name, layer, *_ in steps:
        for origin in made.origins.get(name, ()):
            readers.setdefault(origin, {}).setdefault(id(layer), name)
    shared = {origin: list(names.values()) for origin, names in readers.items() if len(names) > 1}
    if not shared:
        return ""
    listed = "; ".join(
        f"{printable(origin)} of {', '.join(map(printable, names[:3]))}{', …' * (len(names) > 3)}"
        for origin, names in list(shared.items())[:3]
    )
    more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
    return (
        f"arrays that layers share become one for each, which training moves apart: {listed}{more}"
    )
