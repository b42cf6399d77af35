"""How pictures are prepared for a network that says nothing of it: by rules that have names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isoconv.checks import check_choice
from isoconv.data.reading import Reading
from isoconv.errors import ShapeError
from isoconv.nn import Module
from isoconv.nn.images import warn_outside
from isoconv.nn.models.published import IMAGENET
from isoconv.nn.record import TrainedOn
from isoconv.printable import printable
from isoconv.wording import offered, setting

TOLD = {
    "imagenet": "brightness from 0 to 1, less ImageNet's mean, over its standard deviation",
    "half": "brightness from -1 to 1",
    "unit": "brightness from 0 to 1",
    "none": "brightness from 0 to 255",
}
"""What each rule makes of a picture, in words."""
NORMALISATIONS = tuple(TOLD)
_RULES = {
    "imagenet": IMAGENET,
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
    prepared_by(model, *_RULES[rule])
    if rule == "none":
        model.normalisation = None


def prepared_by(model: Module, mean: Sequence[float], deviation: Sequence[float]) -> None:
    """Say that pictures are scaled to a model's sides, and their brightness is normalised.

    Args:
        model: a built model of images ``(H, W, 1)`` or ``(H, W, 3)``.
        mean: of brightness from 0 to 1, for red, green and blue; it is taken away.
        deviation: likewise; it is divided by.
    """
    height, width, channels = model.input_shape or ()
    less, over = (np.array(each[:channels], np.float64) for each in (mean, deviation))
    model.normalisation = (1 / (255 * over)).astype(np.float32), (-less / over).astype(np.float32)
    reading = Reading((height, width), channels, 8, "uint8")
    model.trained_on = TrainedOn("uint8", 0.0, 255.0, reading)


def prepared_as_said(model: Module, path: str | Path, rule: str | None) -> None:
    """Prepare pictures by a rule that a person names, or by the usual one, which is told.

    Args:
        model: a built model, out of a file that says nothing of pictures; one that takes others
            than pictures stays as it is.
        path: of the file, for the message.
        rule: as in `prepared`; None for ``"imagenet"`` for coloured pictures, ``"unit"`` for gray
            ones.

    Raises:
        ArgumentError, ShapeError: as `prepared`.
    """
    shape = model.input_shape or ()
    if rule is not None:
        prepared(model, rule)
    elif len(shape) == 3 and shape[-1] in (1, 3):
        usual = "imagenet" if shape[-1] == 3 else "unit"
        prepared(model, usual)
        others = ", ".join(name for name in NORMALISATIONS if name != usual)
        warn_outside(
            f"{printable(path)} does not say how pictures are normalised: {TOLD[usual]}"
            + (f" ({setting('normalise', usual)}; or {others})" if offered("normalise") else "")
        )
