"""The network of the demo."""

from __future__ import annotations

from isoconv import nn


def demo_network(classes: int) -> nn.Sequential:
    """Three convolutions (16, 32 and 64 filters), dropout and a linear layer.

    The first kernels are 5×5, so that there is something to see in the picture of them.

    Example:
        >>> demo_network(10).summary((28, 28, 1)).parameters
        54922
    """
    return nn.Sequential(
        nn.Conv2d(16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(classes),
    )
