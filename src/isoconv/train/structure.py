"""A model and its training step as text that is the same on every machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from isoconv.graph.ir import Graph
from isoconv.nn import Module
from isoconv.run.step import StepGraph


def layers(model: Module) -> list[list[str]]:
    """Path and settings of every module, in the order in which a model holds them.

    Example:
        >>> from isoconv import nn
        >>> layers(nn.Sequential(nn.ReLU(), nn.Flatten()))
        [['', 'Sequential(2 steps)'], ['0', 'ReLU()'], ['1', 'Flatten()']]
    """
    # An object without a text of its own is shown with its address, which means nothing.
    return [
        [path, re.sub(r" at 0x[0-9a-f]+", "", module.line())]
        for path, module in model.named_modules()
    ]


def graph_text(graph: Graph) -> str:
    """A graph in lines: number, operation, inputs, settings and kind of every value.

    Settings are compact JSON with sorted keys, floats in hexadecimal. The names of layers stand in
    the names of parameters alone.

    Example:
        >>> from isoconv.train.optim import SGD
        >>> print(graph_text(SGD(0.5).update_graph(3, clip=False)))
        0 input() {"kind":"parameter","name":"parameter"} float32(3)
        1 input() {"kind":"parameter","name":"gradient"} float32(3)
        2 input() {"kind":"scalar","name":"learning_rate"} float32()
        3 mul(1,2) null float32(3)
        4 sub(0,3) null float32(3)
        parameter = 4
    """
    lines = []
    for index, node in enumerate(graph.nodes):
        inputs = ",".join(map(str, node.inputs))
        attrs = json.dumps(_exact(node.attrs), sort_keys=True, separators=(",", ":"))
        lines.append(f"{index} {node.op}({inputs}) {attrs} {node.spec}")
    lines += [f"{name} = {index}" for name, index in graph.outputs]
    return "\n".join(lines)


def step_digest(step: StepGraph) -> str:
    """SHA-256 of a training step in canonical text, as 64 hexadecimal digits.

    Over `graph_text` of the shard's graph and of the updates', then the names of metrics, scalars
    and slots, the momenta of states and the clipping norm, a line each.
    """
    rest = {
        "clip_norm": step.clip_norm,
        "hyper": step.hyper,
        "metrics": step.metrics,
        "momenta": step.momenta,
        "slots": step.slots,
    }
    lines = [graph_text(graph) for graph in (step.shard, *step.updates)]
    lines += [f"{name} {json.dumps(_exact(rest[name]), sort_keys=True)}" for name in sorted(rest)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _exact(value: Any) -> Any:
    """Plain values that say the same in every version of Python and NumPy."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _exact(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _exact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exact(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value.hex()
    return value if value is None or isinstance(value, (bool, int, str)) else repr(value)
