"""Named pieces of work, the same for every library."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STEPS", "Step"]


@dataclass(frozen=True)
class Step:
    """One training step: cross-entropy, SGD with momentum 0.9.

    Attributes:
        name: how the table calls it.
        network: name of a network that every worker can build.
        batch: images of a step.
        sides: height and width of an image.
        channels: channels of an image.
    """

    name: str
    network: str
    batch: int
    sides: int
    channels: int


STEPS = (Step("LeNet-5-sized", "lenet", 128, 28, 1),)
