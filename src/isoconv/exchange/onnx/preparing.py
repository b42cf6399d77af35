"""How pictures are prepared for a network that says nothing of it: by rules that have names."""

from __future__ import annotations

import numpy as np

from isoconv.checks import check_choice
from isoconv.data.reading import Reading
from isoconv.errors import ShapeError
from isoconv.nn import Module
from isoconv.nn.record import TrainedOn

__all__ = ["NORMALISATIONS", "TOLD", "prepared"]

TOLD = {
    "imagenet": "brightness from 0 to 1, less ImageNet's mean, over its standard deviation",
    "half": "brightness from -1 to 1",
    "unit": "brightness from 0 to 1",
    "none": "brightness from 0 to 255",
}
"""What each rule makes of a picture, in words."""
NORMALISATIONS = tuple(TOLD)
_RULES = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "none": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Mean and standard deviation of brightness from 0 to 1, for red, green and blue."""


def prepared(model: Module, rule: str) -> None:
    """Say how pictures become a model's images: scaled to its sides, then normalised.

    Args:
        model: a built model of images ``(H, W, 1)`` or ``(H, W, 3)``.
        rule: ``"imagenet"`` (brightness from 0 to 1, less the mean of ImageNet's pictures, over
            their standard deviation), ``"half"`` (from -1 to 1), ``"unit"`` (from 0 to 1) or
            ``"none"`` (from 0 to 255).

    Raises:
        ArgumentError: another rule.
        ShapeError: the model takes other images.
    """
    check_choice("normalise", rule, NORMALISATIONS)
    shape = model.input_shape or ()
    if len(shape) != 3 or shape[2] not in (1, 3):
        text = f"pictures have shape (H, W, 1) or (H, W, 3); the network takes {shape}"
        raise ShapeError(text, argument="normalise", value=rule)
    mean, deviation = (np.array(each[: shape[2]], np.float64) for each in _RULES[rule])
    if rule != "none":
        scale = (1 / (255 * deviation)).astype(np.float32)
        model.normalisation = scale, (-mean / deviation).astype(np.float32)
    reading = Reading(shape[:2], shape[2], 8, "uint8")
    model.trained_on = TrainedOn("uint8", 0.0, 255.0, reading)
