"""Where a training stands: parameters, states, the optimizer's vectors, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoconv.graph.operation import Array
from isoconv.train.files import check_arrays

__public__ = {"isoconv.train": ["Checkpoint"]}


@dataclass(frozen=True, eq=False, slots=True)
class Checkpoint:
    """Where a training stands: all that the rest of it depends on, beside its settings.

    Attributes:
        epoch: whole epochs behind it.
        step: steps of the next epoch behind it.
        sums: for each metric the float64 sum over the images of these steps.
        losses: of these steps, each the float32 sum over the batch.
        seconds: time that these steps took.
        history: a row for each whole epoch.
        parameters: by name.
        states: by name.
        slots: the optimizer's vectors by slot and parameter.
    """

    epoch: int
    step: int
    parameters: Mapping[str, Array]
    states: Mapping[str, Array]
    slots: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    sums: Mapping[str, float] = field(default_factory=dict)
    losses: Sequence[float] = ()
    seconds: float = 0.0
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def weights(self) -> dict[str, Array]:
        """Parameters and states by name."""
        return {**self.parameters, **self.states}


def from_flat(arrays: Mapping[str, Array], epoch: int, step: int = 0) -> Checkpoint:
    """A checkpoint from the arrays of its file: ``parameter:N``, ``state:N``, ``slot:S:N``.

    The names stand in the order of the file, which is not that of the trace.
    """
    parameters: dict[str, Array] = {}
    states: dict[str, Array] = {}
    slots: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition(":")
        if kind == "slot":
            slot, _, name = name.partition(":")
            slots.setdefault(slot, {})[name] = array
        elif kind == "state":
            states[name] = array
        else:
            parameters[name] = array
    return Checkpoint(epoch=epoch, step=step, parameters=parameters, states=states, slots=slots)


def flat(checkpoint: Checkpoint) -> dict[str, Array]:
    """The arrays of a checkpoint by the names that they have in its file; see `from_flat`."""
    arrays = {f"parameter:{name}": array for name, array in checkpoint.parameters.items()}
    arrays |= {f"state:{name}": array for name, array in checkpoint.states.items()}
    for slot, vectors in checkpoint.slots.items():
        arrays |= {f"slot:{slot}:{name}": array for name, array in vectors.items()}
    return arrays


def check_model(
    path: Path,
    arrays: Mapping[str, Array],
    parameters: Mapping[str, tuple[int, ...]],
    states: Mapping[str, tuple[int, ...]],
    slots: Sequence[str],
) -> None:
    """See that the arrays of a checkpoint's file are those of a model and its optimizer.

    The weights first, by the names that the model gives them; then the optimizer's vectors.

    Raises:
        CheckpointError: they are not; the message lists every difference.
    """
    weights: dict[str, Array] = {}
    vectors: dict[str, Array] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition(":")
        if kind in ("parameter", "state"):
            weights[name] = array
        else:
            vectors[key] = array
    check_arrays(f"checkpoint {path}", {**parameters, **states}, weights)
    wanted = {f"slot:{slot}:{name}": shape for slot in slots for name, shape in parameters.items()}
    check_arrays(f"checkpoint {path}", wanted, vectors)
