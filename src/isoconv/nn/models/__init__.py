"""Ready models by name, each sized to its input."""

from __future__ import annotations

from collections.abc import Callable

from isoconv import wording
from isoconv.checks import shown
from isoconv.errors import ArgumentError
from isoconv.nn.combining import Sequential

# begin of names that `python -m scripts.public_names` writes
from isoconv.nn.models.convnext import convnext_tiny
from isoconv.nn.models.densenet import densenet121
from isoconv.nn.models.efficientnet import efficientnet_b0, efficientnet_lite0
from isoconv.nn.models.lenet import lenet5
from isoconv.nn.models.mobilenet import mobilenet_v2, mobilenetv2
from isoconv.nn.models.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from isoconv.nn.models.resnet import (
    resnet18,
    resnet18_winograd,
    resnet20,
    resnet20_winograd,
    resnet34,
    resnet50,
    resnext50_32x4d,
    small_resnet,
)
from isoconv.nn.models.shufflenet import shufflenet_v2_x1_0
from isoconv.nn.models.squeezenet import squeezenet1_0, squeezenet1_1
from isoconv.nn.models.unet import small_unet, unet
from isoconv.nn.models.vgg import tinyvgg, vgg11, vgg11_winograd

__all__ = [
    "ALL_MODELS", "MAP_MODELS", "MODELS", "convnext_tiny", "create", "densenet121",
    "efficientnet_b0", "efficientnet_lite0", "lenet5", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "mobilenetv2", "resnet18", "resnet18_winograd", "resnet20",
    "resnet20_winograd", "resnet34", "resnet50", "resnext50_32x4d", "shufflenet_v2_x1_0",
    "small_resnet", "small_unet", "squeezenet1_0", "squeezenet1_1", "tinyvgg", "unet", "vgg11",
    "vgg11_winograd",
]  # fmt: skip
# end of names

__public__ = {
    "isoconv.nn": ["models"],
    "isoconv.nn.models": ["ALL_MODELS", "MAP_MODELS", "MODELS", "create"],
}

Make = Callable[..., Sequential]
"""``make(classes, input_shape, **settings)``, where a model has any."""
_NO_MODELS = ("ALL_MODELS", "MAP_MODELS", "MODELS", "create")
MAP_MODELS: dict[str, Make] = {"small_unet": small_unet, "unet": unet}
"""All models that give each place of a picture a class, the usual one first."""
MODELS: dict[str, Make] = {
    name: globals()[name] for name in __all__ if name not in (*_NO_MODELS, *MAP_MODELS)
}
"""All models that name a picture's class: name → function of the classes and the input shape."""
ALL_MODELS: dict[str, Make] = {**MODELS, **MAP_MODELS}
"""All models."""


def create(name: str, classes: int = 10, input_shape: tuple[int, ...] | None = None) -> Sequential:
    """A model by its name.

    Args:
        name: one of `ALL_MODELS`.
        classes: number of outputs.
        input_shape: ``(H, W, C)`` of the images it is for; None for the usual ones of its paper.

    Raises:
        ArgumentError: an unknown name, or fewer than one class.
        ShapeError: an input shape that is not ``(H, W, C)``.

    Example:
        >>> create("lenet5", classes=10, input_shape=(28, 28, 1))[-1]
        Linear(features=10)
    """
    if not isinstance(name, str) or name not in ALL_MODELS:
        text = f"no model is called {shown(name)}; {wording.spelled_near(name, ALL_MODELS)}"
        raise ArgumentError(text, argument="name", value=name)
    return ALL_MODELS[name](classes, input_shape)
