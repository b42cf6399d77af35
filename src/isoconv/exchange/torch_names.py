"""What torchvision and timm call the layers of the ready models.

A rule gives the names of a model's layers that hold weights, in the order in which they stand in
the model. It is asked for by the model's name; which ready model a model is, its layers tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from isoconv.nn import Conv2d, Linear, Module, models
from isoconv.nn.models import densenet, efficientnet, mobilenet

__all__ = ["LAYOUTS", "OWN", "Place", "layouts_of", "older_spelling"]

OWN = "own"
LAYOUTS = ("torchvision", "timm", "efficientnet_pytorch", OWN)
Form = Literal["", "linear", "conv", "vector", "channels"]
_FORMS: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "linear": lambda shape: shape[:2],
    "conv": lambda shape: (*shape[:2], 1, 1),
    "channels": lambda shape: (*shape, 1, 1),
}
_HOLDING = (Conv2d, Linear)
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
    """The layers as text, without the number of classes of the last one that holds weights."""
    found = [each for _, each in model.named_modules() if not any(each.children())]
    last = next((each for each in reversed(found) if isinstance(each, _HOLDING)), None)
    return [type(each).__name__ if each is last else each.line() for each in found]


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


def _densenet() -> Iterator[str]:
    yield from ("features.conv0", "features.norm0")
    for block, layers in enumerate(densenet.BLOCKS, 1):
        if block > 1:
            yield f"features.transition{block - 1}.norm"
            yield f"features.transition{block - 1}.conv"
        for layer in range(1, layers + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            yield from (f"{prefix}.{name}" for name in ("norm1", "conv1", "norm2", "conv2"))
    yield from ("features.norm5", "classifier")


def _squeezenet(fires: Sequence[int]) -> Rule:
    """A SqueezeNet by the places of its fire modules."""

    def names() -> Iterator[str]:
        yield "features.0"
        for place in fires:
            for name in ("squeeze", "expand1x1", "expand3x3"):
                yield f"features.{place}.{name}"
        yield "classifier.1"

    return names


def _mobilenet_v2() -> Iterator[str]:
    yield from ("features.0.0", "features.0.1")
    place = 1
    for expansion, _, blocks, _ in mobilenet.STAGES:
        for _ in range(blocks):
            parts = ("0.0", "0.1", "1", "2") if expansion == 1 else (
                "0.0", "0.1", "1.0", "1.1", "2", "3")  # fmt: skip
            yield from (f"features.{place}.conv.{part}" for part in parts)
            place += 1
    yield from (f"features.{place}.0", f"features.{place}.1", "classifier.1")


def _blocks(stages: Sequence[tuple[int, int]]) -> Rule:
    """timm's names of inverted residuals, by expansion and number of blocks of each stage."""

    def names() -> Iterator[str]:
        yield from ("conv_stem", "bn1")
        for stage, (expansion, blocks) in enumerate(stages):
            wide = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
            parts = ("conv_dw", "bn1", "conv_pw", "bn2") if expansion == 1 else wide
            for block in range(blocks):
                yield from (f"blocks.{stage}.{block}.{part}" for part in parts)
        yield from ("conv_head", "bn2", "classifier")

    return names


def _efficientnet_pytorch() -> Iterator[str]:
    """Names of the networks of efficientnet_pytorch and efficientnet_lite_pytorch."""
    yield from ("_conv_stem", "_bn0")
    place = 0
    for expansion, _, _, _, blocks in efficientnet.STAGES:
        wide = () if expansion == 1 else ("_expand_conv", "_bn0")
        for _ in range(blocks):
            parts = (*wide, "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
            yield from (f"_blocks.{place}.{part}" for part in parts)
            place += 1
    yield from ("_conv_head", "_bn1", "_fc")


def _both(rule: Rule) -> dict[str, Rule]:
    """A rule of names that torchvision and timm share."""
    return {"torchvision": rule, "timm": rule}


_RULES: Mapping[str, Mapping[str, Rule]] = {
    "resnet18": _both(_resnet((2, 2, 2, 2), 2)),
    "resnet18_winograd": _both(_resnet((2, 2, 2, 2), 2)),
    "resnet34": _both(_resnet((3, 4, 6, 3), 2)),
    "resnet50": _both(_resnet((3, 4, 6, 3), 3)),
    "resnext50_32x4d": _both(_resnet((3, 4, 6, 3), 3)),
    "densenet121": _both(_densenet),
    "squeezenet1_0": {"torchvision": _squeezenet((3, 4, 5, 7, 8, 9, 10, 12))},
    "squeezenet1_1": {"torchvision": _squeezenet((3, 4, 6, 7, 9, 10, 11, 12))},
    "mobilenet_v2": {
        "torchvision": _mobilenet_v2,
        "timm": _blocks([(expansion, blocks) for expansion, _, blocks, _ in mobilenet.STAGES]),
    },
    "efficientnet_lite0": {
        "timm": _blocks([(stage[0], stage[-1]) for stage in efficientnet.STAGES]),
        "efficientnet_pytorch": _efficientnet_pytorch,
    },
}
"""Ready model → layout → the names of its layers."""
