"""LeNet-5."""

from __future__ import annotations

from isoconv.checks import LARGEST, check_count
from isoconv.nn.activations import ReLU
from isoconv.nn.combining import Sequential
from isoconv.nn.convolution import Conv2d
from isoconv.nn.linear import Linear
from isoconv.nn.pooling import MaxPool2d
from isoconv.nn.settings import image_shape
from isoconv.nn.shaping import Flatten

__public__ = {"isoconv.nn.models": ["*"]}


def lenet5(classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """LeCun et al. 1998, "Gradient-based learning applied to document recognition", figure 2.

    C1 6@5×5, S2, C3 16@5×5, S4, C5 120, F6 84, output; with ReLU, max pooling and a full C3 in
    place of the paper's tanh, learned subsampling and partly connected C3. The paper's images are
    32×32; smaller ones get the missing border from C1's padding of 2.

    Args:
        classes: number of outputs.
        input_shape: ``(H, W, C)``, at least ``(12, 12, C)``; None for ``(28, 28, 1)``.

    Example:
        >>> lenet5().summary((28, 28, 1)).parameters
        61706
    """
    height, width, _ = image_shape(input_shape, (28, 28, 1))
    return Sequential(
        Conv2d(6, 5, padding=2 if min(height, width) < 32 else 0),
        ReLU(),
        MaxPool2d(2),
        Conv2d(16, 5),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(120),
        ReLU(),
        Linear(84),
        ReLU(),
        Linear(check_count("classes", classes, most=LARGEST)),
    )
