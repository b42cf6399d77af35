"""What torchvision and timm call the layers of the ready models.

A rule gives the names of a model's layers that hold weights, in the order in which they stand in
the model. It is asked for by the model's name; which ready model a model is, its layers tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from isoconv.nn import (
    BatchNorm,
    Conv1d,
    Conv2d,
    Conv3d,
    DepthwiseConv2d,
    LayerNorm,
    Linear,
    Module,
    models,
)

__all__ = ["LAYOUTS", "OWN", "Place", "layouts_of", "older_spelling"]

OWN = "own"
LAYOUTS = ("torchvision", "timm", "efficientnet_pytorch", OWN)
Form = Literal["", "linear", "conv", "vector", "channels"]
_FORMS: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "linear": lambda shape: shape[:2],
    "conv": lambda shape: (*shape[:2], 1, 1),
    "channels": lambda shape: (*shape, 1, 1),
}
_HOLDING = (BatchNorm, Conv1d, Conv2d, Conv3d, DepthwiseConv2d, LayerNorm, Linear)
_OLDER = re.compile(r"\.(norm|conv)\.([12])\.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where PyTorch's names have a layer's arrays.

    Attributes:
        name: of the layer.
        form: of its weight there, where it is another than that of the layer here: ``"linear"`` for
            a linear layer in place of a 1×1 convolution, ``"conv"`` the other way round;
            ``"vector"`` and ``"channels"`` for a single array that has the name itself, as
            ``(C,)`` or ``(C, 1, 1)``.
    """

    name: str
    form: Form = ""

    def named(self, leaf: str) -> str:
        """The name of one of its arrays."""
        if self.form in ("vector", "channels"):
            return self.name
        return f"{self.name}.{leaf}" if self.name else leaf

    def shaped(self, leaf: str) -> Callable[[tuple[int, ...]], tuple[int, ...]] | None:
        """What makes the shape there of the layer's own in PyTorch; None where they are equal."""
        return _FORMS.get(self.form) if leaf == "weight" else None


Rule = Callable[[], Iterator[str | Place]]


def layouts_of(model: Module) -> dict[str, Sequence[Place] | None]:
    """Names of a model's layers by layout; None for those of its own, which stand last.

    Example:
        >>> from isoconv import nn
        >>> names = layouts_of(nn.models.create("resnet18", 10, (64, 64, 3)))
        >>> [place.name for place in names["torchvision"]][:3]
        ['conv1', 'bn1', 'layer1.0.conv1']
    """
    name = _ready(model)
    rules = {} if name is None else _RULES[name]
    found: dict[str, Sequence[Place] | None] = {
        layout: [each if isinstance(each, Place) else Place(each) for each in rule()]
        for layout, rule in rules.items()
    }
    return {**found, OWN: None}


def older_spelling(name: str) -> str:
    """How torchvision's newer files spell a name of its older ones.

    Example:
        >>> older_spelling("features.denseblock1.denselayer1.norm.1.weight")
        'features.denseblock1.denselayer1.norm1.weight'
    """
    return _OLDER.sub(r".\1\2.", name)


def _ready(model: Module) -> str | None:
    """The ready model that has the same layers, but for the number of classes."""
    own = _lines(model)
    shape = model.input_shape
    images = shape if shape is not None and len(shape) == 3 else None
    sizes = [images, None] if images is not None else [None, (32, 32, 3)]
    for name in _RULES:
        if any(_lines(models.create(name, 1, size)) == own for size in sizes):
            return name
    return None


def _lines(model: Module) -> list[str]:
    """The layers that hold weights, as text, without the last one."""
    found = [each.line() for _, each in model.named_modules() if isinstance(each, _HOLDING)]
    return [*found[:-1], ""]


# Rules


def _resnet(blocks: Sequence[int], convolutions: int) -> Rule:
    def names() -> Iterator[str]:
        yield from ("conv1", "bn1")
        for stage, count in enumerate(blocks, 1):
            for block in range(count):
                prefix = f"layer{stage}.{block}"
                for number in range(1, convolutions + 1):
                    yield from (f"{prefix}.conv{number}", f"{prefix}.bn{number}")
                if block == 0 and (stage > 1 or convolutions == 3):
                    yield from (f"{prefix}.downsample.0", f"{prefix}.downsample.1")
        yield "fc"

    return names


def _both(rule: Rule) -> dict[str, Rule]:
    """A rule of names that torchvision and timm share."""
    return {"torchvision": rule, "timm": rule}


_RULES: Mapping[str, Mapping[str, Rule]] = {
    "resnet18": _both(_resnet((2, 2, 2, 2), 2)),
    "resnet18_winograd": _both(_resnet((2, 2, 2, 2), 2)),
    "resnet34": _both(_resnet((3, 4, 6, 3), 2)),
    "resnet50": _both(_resnet((3, 4, 6, 3), 3)),
    "resnext50_32x4d": _both(_resnet((3, 4, 6, 3), 3)),
}
"""Ready model → layout → the names of its layers."""
