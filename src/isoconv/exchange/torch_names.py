"""What torchvision and timm call the layers of the ready models.

A rule gives the names of a model's layers that hold weights, in the order in which they stand in
the model. It is asked for by the model's name; which ready model a model is, its layers tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from isoconv.exchange.torch_settings import (
    Settings,
    constructor,
    in_words,
    kinds_of,
    settings_of,
)
from isoconv.nn import Conv2d, Linear, Module, SqueezeExcitation, models
from isoconv.nn.models import (
    convnext,
    densenet,
    efficientnet,
    mobilenet,
    mobilenet_v3,
    shufflenet,
)

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
        parts: of squeeze-and-excitation, the layers that reduce and expand.
    """

    name: str
    form: Form = ""
    parts: tuple[str, str] | None = None

    def named(self, leaf: str) -> str:
        """The name of one of its arrays."""
        if self.form in ("vector", "channels"):
            return self.name
        if self.parts is not None:
            which, _, leaf = leaf.partition("_")
            leaf = f"{self.parts[which == 'expand']}.{leaf}"
        return f"{self.name}.{leaf}" if self.name else leaf

    @property
    def holders(self) -> tuple[str, ...]:
        """What its arrays' names are without their last part, or whole."""
        return (self.name,) if self.parts is None else tuple(
            f"{self.name}.{part}" for part in self.parts
        )  # fmt: skip

    def shaped(self, leaf: str) -> Callable[[tuple[int, ...]], tuple[int, ...]] | None:
        """What makes the shape there of the layer's own in PyTorch; None where they are equal."""
        return _FORMS.get(self.form) if leaf.endswith("weight") else None


Rule = Callable[[], Iterator[str | Place]]


def layouts_of(model: Module) -> dict[str, Sequence[Place] | None]:
    """Names of a model's layers by layout; None for those of its own, which stand last.

    Example:
        >>> from isoconv import nn
        >>> names = layouts_of(nn.models.create("resnet18", 10, (64, 64, 3)))
        >>> [place.name for place in names["torchvision"]][:3]
        ['conv1', 'bn1', 'layer1.0.conv1']
    """
    ready = _ready(model)
    rules = {} if ready is None else _RULES[ready[0]]
    found: dict[str, Sequence[Place] | None] = {
        layout: [each if isinstance(each, Place) else Place(each) for each in rule()]
        for layout, rule in rules.items()
    }
    return {**found, OWN: None}


def otherwise(model: Module, layout: str) -> str:
    """What the network whose names a layout has does otherwise than the model; "" for nothing.

    Example:
        >>> from isoconv import nn
        >>> otherwise(nn.models.create("mobilenet_v3_small"), "timm")
        'adds 1e-05 to variances, and this model adds 0.001 to variances: nn.models.\
mobilenet_v3_small(…, eps=1e-05) is that network'
    """
    found = _ready(model)
    if found is None:
        return ""
    (name, own), known = found, settings_of(found[0], layout)
    if own in known:
        return ""
    wanted = {key: value for key, value in known[0].items() if own.get(key) != value}
    there = {key: value for key, value in own.items() if key in wanted}
    return (
        f"{in_words(wanted)}, and this model {in_words(there)}: "
        f"{constructor(name, wanted)} is that network"
    )


def ready_names(names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Ready models whose layers have these names: model, layout, name of the last weight.

    Args:
        names: of arrays.

    Example:
        >>> list(ready_names(["conv1.weight", "bn1.bias"]))
        []
    """
    held = {older_spelling(name) for name in names}
    held |= {name.rpartition(".")[0] for name in held}
    for model, rules in _RULES.items():
        for layout, rule in rules.items():
            places = [each if isinstance(each, Place) else Place(each) for each in rule()]
            head = places[-1].named("weight")
            known = {name for place in places for name in place.holders}
            fits = all(
                {name, name.rpartition(".")[0]} & known for name in map(older_spelling, names)
            )
            if fits and known <= held and head in names:
                yield model, layout, head


def older_spelling(name: str) -> str:
    """How torchvision's newer files spell a name of its older ones.

    Example:
        >>> older_spelling("features.denseblock1.denselayer1.norm.1.weight")
        'features.denseblock1.denselayer1.norm1.weight'
    """
    return _OLDER.sub(r".\1\2.", name)


def _ready(model: Module) -> tuple[str, Settings] | None:
    """The ready model, with its settings, that has the same layers but the number of classes."""
    own = _lines(model)
    shape = model.input_shape
    images = shape if shape is not None and len(shape) == 3 else None
    sizes = [images, None] if images is not None else [None, (32, 32, 3)]
    for name in _RULES:
        for settings in kinds_of(name):
            made = models.ALL_MODELS[name]
            if any(_lines(made(1, size, **settings)) == own for size in sizes):
                return name, settings
    return None


def _lines(model: Module) -> list[str]:
    """The layers as text, without the number of classes of the last one that holds weights."""
    found = [
        each
        for _, each in model.named_modules()
        if not any(each.children()) or isinstance(each, SqueezeExcitation)
    ]
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


def _shufflenet() -> Iterator[str]:
    yield from ("conv1.0", "conv1.1")
    for stage, (_, blocks) in enumerate(shufflenet.STAGES, 2):
        for block in range(blocks):
            prefix = f"stage{stage}.{block}"
            if block == 0:
                yield from (f"{prefix}.branch1.{place}" for place in (0, 1, 2, 3))
            yield from (f"{prefix}.branch2.{place}" for place in (0, 1, 3, 4, 5, 6))
    yield from ("conv5.0", "conv5.1", "fc")


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


def _excited(prefix: str, reduce: str, expand: str) -> Place:
    """Squeeze-and-excitation, whose two linear layers are 1×1 convolutions everywhere."""
    return Place(prefix, "conv", (reduce, expand))


def _timm_block(prefix: str, wide: bool, excited: bool) -> Iterator[str | Place]:
    """An inverted residual."""
    first, last = (("conv_pw", "bn1"), "conv_pwl") if wide else ((), "conv_pw")
    yield from (f"{prefix}.{name}" for name in first)
    yield from (f"{prefix}.conv_dw", f"{prefix}.bn{2 if wide else 1}")
    if excited:
        yield _excited(f"{prefix}.se", "conv_reduce", "conv_expand")
    yield from (f"{prefix}.{last}", f"{prefix}.bn{3 if wide else 2}")


def _timm(stages: Sequence[tuple[int, int]], *, excited: bool = False) -> Rule:
    """Names that timm gives inverted residuals, by expansion and blocks of each stage."""

    def names() -> Iterator[str | Place]:
        yield from ("conv_stem", "bn1")
        for stage, (expansion, blocks) in enumerate(stages):
            for block in range(blocks):
                yield from _timm_block(f"blocks.{stage}.{block}", expansion > 1, excited)
        yield from ("conv_head", "bn2", "classifier")

    return names


def _timm_v3(blocks: Sequence[mobilenet_v3.Block], stages: Sequence[int]) -> Rule:
    """A MobileNetV3 by its blocks, and how many are in each stage."""

    def names() -> Iterator[str | Place]:
        yield from ("conv_stem", "bn1")
        left, channels = iter(blocks), mobilenet_v3.STEM
        for stage, count in enumerate(stages):
            for number in range(count):
                block = next(left)
                prefix, wide = f"blocks.{stage}.{number}", block.wide != channels
                yield from _timm_block(prefix, wide, block.excited)
                channels = block.filters
        yield from (f"blocks.{len(stages)}.0.conv", f"blocks.{len(stages)}.0.bn1")
        yield from (Place("conv_head", "conv"), "classifier")

    return names


def _efficientnet_pytorch(excited: bool) -> Rule:
    """Names of the networks of efficientnet_pytorch and efficientnet_lite_pytorch."""

    def names() -> Iterator[str | Place]:
        yield from ("_conv_stem", "_bn0")
        place = 0
        for expansion, _, _, _, blocks in efficientnet.STAGES:
            for _ in range(blocks):
                prefix = f"_blocks.{place}"
                if expansion > 1:
                    yield from (f"{prefix}._expand_conv", f"{prefix}._bn0")
                yield from (f"{prefix}._depthwise_conv", f"{prefix}._bn1")
                if excited:
                    yield _excited(prefix, "_se_reduce", "_se_expand")
                yield from (f"{prefix}._project_conv", f"{prefix}._bn2")
                place += 1
        yield from ("_conv_head", "_bn1", "_fc")

    return names


def _torchvision_block(prefix: str, wide: bool, excited: bool) -> Iterator[str | Place]:
    """An inverted residual with squeeze-and-excitation."""
    parts = (*(["wide"] if wide else []), "deep", *(["excited"] if excited else []), "last")
    for place, part in enumerate(parts):
        if part == "excited":
            yield _excited(f"{prefix}.{place}", "fc1", "fc2")
        else:
            yield from (f"{prefix}.{place}.0", f"{prefix}.{place}.1")


def _efficientnet() -> Iterator[str | Place]:
    yield from ("features.0.0", "features.0.1")
    for stage, (expansion, _, _, _, blocks) in enumerate(efficientnet.STAGES, 1):
        for block in range(blocks):
            yield from _torchvision_block(f"features.{stage}.{block}.block", expansion > 1, True)
    yield from ("features.8.0", "features.8.1", "classifier.1")


def _mobilenet_v3(blocks: Sequence[mobilenet_v3.Block]) -> Rule:
    def names() -> Iterator[str | Place]:
        yield from ("features.0.0", "features.0.1")
        channels = mobilenet_v3.STEM
        for place, block in enumerate(blocks, 1):
            wide = block.wide != channels
            yield from _torchvision_block(f"features.{place}.block", wide, block.excited)
            channels = block.filters
        last = len(blocks) + 1
        yield from (f"features.{last}.0", f"features.{last}.1", "classifier.0", "classifier.3")

    return names


def _convnext() -> Iterator[str | Place]:
    yield from ("features.0.0", "features.0.1")
    for stage, (_, blocks) in enumerate(convnext.STAGES):
        if stage:
            yield from (f"features.{2 * stage}.0", f"features.{2 * stage}.1")
        for block in range(blocks):
            prefix = f"features.{2 * stage + 1}.{block}"
            yield from (f"{prefix}.block.0", f"{prefix}.block.2")
            yield from (Place(f"{prefix}.block.{place}", "linear") for place in (3, 5))
            yield Place(f"{prefix}.layer_scale", "channels")
    yield from ("classifier.0", "classifier.2")


def _timm_convnext() -> Iterator[str | Place]:
    yield from ("stem.0", "stem.1")
    for stage, (_, blocks) in enumerate(convnext.STAGES):
        if stage:
            yield from (f"stages.{stage}.downsample.0", f"stages.{stage}.downsample.1")
        for block in range(blocks):
            prefix = f"stages.{stage}.blocks.{block}"
            yield from (f"{prefix}.conv_dw", f"{prefix}.norm")
            yield from (Place(f"{prefix}.mlp.fc{number}", "linear") for number in (1, 2))
            yield Place(f"{prefix}.gamma", "vector")
    yield from ("head.norm", "head.fc")


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
    "shufflenet_v2_x1_0": {"torchvision": _shufflenet},
    "mobilenet_v2": {
        "torchvision": _mobilenet_v2,
        "timm": _timm([(expansion, blocks) for expansion, _, blocks, _ in mobilenet.STAGES]),
    },
    "mobilenet_v3_large": {
        "torchvision": _mobilenet_v3(mobilenet_v3.LARGE),
        "timm": _timm_v3(mobilenet_v3.LARGE, (1, 2, 3, 4, 2, 3)),
    },
    "mobilenet_v3_small": {
        "torchvision": _mobilenet_v3(mobilenet_v3.LITTLE),
        "timm": _timm_v3(mobilenet_v3.LITTLE, (1, 2, 3, 2, 3)),
    },
    "efficientnet_b0": {
        "torchvision": _efficientnet,
        "timm": _timm([(stage[0], stage[-1]) for stage in efficientnet.STAGES], excited=True),
        "efficientnet_pytorch": _efficientnet_pytorch(excited=True),
    },
    "efficientnet_lite0": {
        "timm": _timm([(stage[0], stage[-1]) for stage in efficientnet.STAGES]),
        "efficientnet_pytorch": _efficientnet_pytorch(excited=False),
    },
    "convnext_tiny": {"torchvision": _convnext, "timm": _timm_convnext},
}
"""Ready model → layout → the names of its layers."""
