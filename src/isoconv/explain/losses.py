"""Which loss is explained: the one asked for, or the one that the model's end calls for."""

from __future__ import annotations

from typing import Literal

from isoconv.nn import Module
from isoconv.nn.trace import Trace

__all__ = ["ENDS", "LOSSES", "LossKind", "contained", "usual_loss"]

LossKind = Literal["cross_entropy", "mse", "bce"]
LOSSES: tuple[LossKind, ...] = ("cross_entropy", "mse", "bce")

ENDS = {"cross_entropy": "softmax", "bce": "sigmoid"}
"""The activation that a loss contains."""


def usual_loss(model: Module) -> LossKind:
    """What a model is taken to minimise where nobody says: "bce" after a sigmoid.

    Args:
        model: a model; one that was not built is judged by its finish alone.
    """
    if model.finish == "sigmoid":
        return "bce"
    if model.input_shape is not None:
        trace = Trace(model, training=False)
        if trace.builder[model(trace.images(model.input_shape)).index].op == "sigmoid":
            return "bce"
    return "cross_entropy"


def contained(loss: LossKind) -> str:
    """What is to be said where a model ends with the activation that its loss contains.

    Args:
        loss: a key of `ENDS`.
    """
    end = ENDS[loss]
    return (
        f"loss {loss!r} contains the {end}: it is taken of the value before the {end} at the "
        "model's end; a trainer refuses such a model"
    )
