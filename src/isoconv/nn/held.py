"""The arrays that a model's layers hold: kept when they become part of another, put in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isoconv.errors import ShapeError
from isoconv.graph.operation import Array
from isoconv.nn.snapshot import changed_together
from isoconv.nn.trace import Trace
from isoconv.run.immutable import immutable_copy

if TYPE_CHECKING:
    from isoconv.nn.module import Module


def own_arrays(module: Module, kind: str) -> dict[str, Array]:
    """A module's own arrays of a kind; made on first use, so that no __init__ is needed."""
    arrays: dict[str, Array] = module.__dict__.setdefault(f"_{kind}", {})
    return arrays


def kept_weights(model: Module, trace: Trace) -> dict[str, Array]:
    """The arrays that layers have already, by the names that a model gives them.

    Raises:
        ShapeError: a layer has one of another shape than this input asks for.
    """
    kept: dict[str, Array] = {}
    for kind, shapes in _shapes(trace).items():
        for name, shape in shapes.items():
            array = own_arrays(trace.owners[name], kind).get(_leaf(name))
            if array is None:
                continue
            if array.shape != shape:
                path = name.rpartition(".")[0]
                raise ShapeError(
                    f"layer {repr(path) if path else type(model).__name__} has {_leaf(name)} of "
                    f"shape {array.shape}; this input asks for {shape}: say fresh=True to draw "
                    "all weights anew, or put a new layer in its place"
                )
            kept[name] = array
    return kept


def put_weights(
    model: Module, trace: Trace, input_shape: tuple[int, ...], values: Mapping[str, Array]
) -> None:
    """Give the layers of a model these arrays and no others."""
    copies = {name: immutable_copy(array) for name, array in values.items()}
    with changed_together():
        for _, module in model.named_modules():
            own_arrays(module, "parameters").clear()
            own_arrays(module, "states").clear()
        for kind, shapes in _shapes(trace).items():
            for name in shapes:
                own_arrays(trace.owners[name], kind)[_leaf(name)] = copies[name]
        model.__dict__["_input_shape"] = input_shape


def _shapes(trace: Trace) -> dict[str, dict[str, tuple[int, ...]]]:
    return {
        "parameters": {name: spec.shape for name, spec in trace.parameters.items()},
        "states": {name: spec.shape for name, spec in trace.states.items()},
    }


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
