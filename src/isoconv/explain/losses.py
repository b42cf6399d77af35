"""Which loss is explained: the one asked for, or the one that the model's end calls for."""

from __future__ import annotations

from isoconv.nn import Module
from isoconv.nn.trace import Trace
from isoconv.train.losses import LOSSES, LossName


def loss_behind(finish: str, end: str) -> LossName:
    """What a model is taken to minimise where nobody says: "bce" after a sigmoid.

    Args:
        finish: what follows the model's own result in a prediction.
        end: the operation that the model ends with.
    """
    return "bce" if "sigmoid" in (finish, end) else "cross_entropy"


def usual_loss(model: Module) -> LossName:
    """The same of a model; one that was not built is judged by its finish alone."""
    if model.input_shape is None:
        return loss_behind(model.finish, "")
    trace = Trace(model, training=False)
    return loss_behind(model.finish, trace.builder[model(trace.images(model.input_shape)).index].op)


def contained(loss: LossName) -> str:
    """What is to be said where a model ends with the activation that its loss contains.

    Args:
        loss: one that contains an activation.
    """
    end = LOSSES[loss].contains
    return (
        f"loss {loss!r} contains the {end}: it is taken of the value before the {end} at the "
        "model's end; a trainer refuses such a model"
    )
