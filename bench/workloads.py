"""Named pieces of work, the same for every library. Sizes are those of one image, channels last."""

# ruff: noqa: RUF001 - sizes are written with ×
from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

__all__ = ["DIRECTIONS", "IMPORTED", "LAYERS", "ORDERED", "PREDICTIONS", "SIMPLE", "STEPS", "Layer",
           "Prediction", "Simple", "Step"]  # fmt: skip

DIRECTIONS = ("forward", "gradient by input", "gradient by weight")


@dataclass(frozen=True)
class Layer:
    """A convolution, with the same padding on both sides.

    Attributes:
        name: how the table calls it.
        batch: images.
        sides: of an image.
        channels: of the input.
        filters: of the output.
        kernel: size per axis.
        stride: the same for every axis.
        padding: zeros on each side of every axis.
        groups: of channels that do not see each other.
        large: one of those whose share of the FMA peak has a goal of its own.
    """

    name: str
    batch: int
    sides: tuple[int, ...]
    channels: int
    filters: int
    kernel: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    groups: int = 1
    large: bool = False

    @property
    def outputs(self) -> tuple[int, ...]:
        """Sides of the result."""
        return tuple(
            (side + 2 * self.padding - k) // self.stride + 1
            for side, k in zip(self.sides, self.kernel, strict=True)
        )

    @property
    def flops(self) -> int:
        """Of each direction, by the definition of the convolution: 1 FMA = 2 FLOP."""
        chain = prod(self.kernel) * self.channels // self.groups
        return 2 * self.batch * prod(self.outputs) * self.filters * chain

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the input, the kernel and the gradient of the output."""
        return {
            "x": (self.batch, *self.sides, self.channels),
            "w": (*self.kernel, self.channels // self.groups, self.filters),
            "dy": (self.batch, *self.outputs, self.filters),
        }


_3, _1 = (3, 3), (1, 1)

LAYERS = (
    Layer("ResNet-50 3×3, 64 → 64, 56²", 16, (56, 56), 64, 64, _3, 1, 1, large=True),
    Layer("ResNet-50 3×3, 128 → 128, 28²", 16, (28, 28), 128, 128, _3, 1, 1, large=True),
    Layer("ResNet-50 3×3, 256 → 256, 14²", 16, (14, 14), 256, 256, _3, 1, 1, large=True),
    Layer("ResNet-50 3×3, 512 → 512, 7²", 16, (7, 7), 512, 512, _3, 1, 1, large=True),
    Layer("ResNet-50 1×1, 256 → 64, 56²", 16, (56, 56), 256, 64, _1),
    Layer("ResNet-50 1×1, 256 → 1024, 14²", 16, (14, 14), 256, 1024, _1),
    Layer("ResNet-50 3×3/2, 128 → 128, 56²", 16, (56, 56), 128, 128, _3, 2, 1),
    Layer("ResNet-50 1×1/2, 256 → 512, 56²", 16, (56, 56), 256, 512, _1, 2),
    Layer("ResNet-50 7×7/2, 3 → 64, 224²", 8, (224, 224), 3, 64, (7, 7), 2, 3),
    Layer("VGG 3×3, 3 → 64, 224²", 4, (224, 224), 3, 64, _3, 1, 1),
    Layer("VGG 3×3, 256 → 256, 56²", 4, (56, 56), 256, 256, _3, 1, 1, large=True),
    Layer("MobileNetV2 depthwise 3×3, 144, 56²", 16, (56, 56), 144, 144, _3, 1, 1, 144),
    Layer("MobileNetV2 depthwise 3×3/2, 192, 28²", 32, (28, 28), 192, 192, _3, 2, 1, 192),
    Layer("LeNet-5-sized 5×5, 1 → 32, 28²", 128, (28, 28), 1, 32, (5, 5), 1, 2),
    Layer("LeNet-5-sized 5×5, 32 → 64, 14²", 128, (14, 14), 32, 64, (5, 5), 1, 2),
    Layer("3-d 3×3×3, 16 → 32, 16³", 8, (16, 16, 16), 16, 32, (3, 3, 3), 1, 1),
)


@dataclass(frozen=True)
class Simple:
    """An operation that moves more than it computes.

    Attributes:
        name: how the table calls it.
        op: ``max_pool``, ``avg_pool``, ``global_avg_pool``, ``batch_norm`` or ``relu_add``.
        batch: images.
        sides: of an image.
        channels: of it.
        settings: kernel, stride and padding of a pooling.
        backward: the gradient in place of the result.
    """

    name: str
    op: str
    batch: int
    sides: tuple[int, ...]
    channels: int
    settings: dict[str, int] = field(default_factory=dict)
    backward: bool = False

    @property
    def outputs(self) -> tuple[int, ...]:
        """Sides of the result."""
        if self.op == "global_avg_pool":
            return ()
        if not self.settings:
            return self.sides
        kernel, stride, padding = (self.settings[k] for k in ("kernel", "stride", "padding"))
        return tuple((side + 2 * padding - kernel) // stride + 1 for side in self.sides)

    @property
    def arrays(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what it takes."""
        shapes: dict[str, tuple[int, ...]] = {"x": (self.batch, *self.sides, self.channels)}
        if self.op == "relu_add":
            shapes["other"] = shapes["x"]
        if self.op == "batch_norm":
            shapes |= {"gamma": (self.channels,), "beta": (self.channels,)}
        if self.backward:
            shapes["dy"] = (self.batch, *self.outputs, self.channels)
        return shapes


def _both(
    name: str,
    op: str,
    batch: int,
    sides: tuple[int, ...],
    channels: int,
    window: tuple[int, int, int] | None = None,
) -> tuple[Simple, Simple]:
    """Forward and backward; a window is (kernel, stride, padding)."""
    settings = dict(zip(("kernel", "stride", "padding"), window or (), strict=False))
    return (
        Simple(f"{name}, forward", op, batch, sides, channels, settings),
        Simple(f"{name}, backward", op, batch, sides, channels, settings, backward=True),
    )


SIMPLE = (
    *_both("max pooling 2×2/2, 64, 28²", "max_pool", 128, (28, 28), 64, (2, 2, 0)),
    *_both("max pooling 3×3/2, 64, 112²", "max_pool", 16, (112, 112), 64, (3, 2, 1)),
    *_both("average pooling 2×2/2, 64, 28²", "avg_pool", 128, (28, 28), 64, (2, 2, 0)),
    *_both("average pooling 3×3/2, 64, 112²", "avg_pool", 16, (112, 112), 64, (3, 2, 1)),
    *_both("global average pooling, 512, 7²", "global_avg_pool", 128, (7, 7), 512),
    *_both("batch normalisation, 64, 56²", "batch_norm", 32, (56, 56), 64),
    *_both("batch normalisation, 16, 32²", "batch_norm", 128, (32, 32), 16),
    *_both("ReLU(x + y), 64, 56²", "relu_add", 32, (56, 56), 64),
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One training step: cross-entropy, SGD with momentum 0.9, learning rate 0.01.

    Attributes:
        name: how the table calls it.
        network: a name in ``bench.networks``.
        batch: images of a step.
        input_shape: of an image.
        goal: least ratio to reach.
        classes: of an image, or of each of its places where the network has a result for each.
        shard: images of a shard in isoconv.
        batches: that lie ready; isoconv does a step with each in one native call.
    """

    name: str
    network: str
    batch: int
    input_shape: tuple[int, int, int]
    goal: float = 1.5
    classes: int = 10
    shard: int = 32
    batches: int = 4


STEPS = (
    Step("tiny", "tiny", 64, (28, 28, 1), goal=4.0),
    Step("LeNet-5-sized", "lenet", 128, (28, 28, 1)),
    Step("ResNet-20", "resnet20", 128, (32, 32, 3)),
    Step("ResNet-20, Winograd", "resnet20_winograd", 128, (32, 32, 3)),
    Step("VGG-11", "vgg11", 128, (32, 32, 3)),
    Step("VGG-11, Winograd", "vgg11_winograd", 128, (32, 32, 3)),
    Step("MobileNetV2", "mobilenetv2", 64, (32, 32, 3)),
    Step("ResNet-18, 64²", "resnet18", 32, (64, 64, 3)),
    Step("ResNet-18, 64², Winograd", "resnet18_winograd", 32, (64, 64, 3)),
    Step("U-Net, 128²", "unet", 8, (128, 128, 3), 1.2, classes=2, shard=8, batches=1),
    Step("U-Net, 128², Winograd", "unet_winograd", 8, (128, 128, 3), 1.2, classes=2, shard=8,
         batches=1),
    Step("EfficientNet-Lite0 fine-tuning, 224²", "efficientnet_lite0_tuned", 16, (224, 224, 3), 1.2,
         shard=8),
)  # fmt: skip


ORDERED = tuple(step for step in STEPS if step.network in ("tiny", "lenet", "resnet20"))
"""Steps whose order of arithmetic is put to the test; larger networks run the same kernels."""


@dataclass(frozen=True)
class Prediction:
    """Class scores of a batch of images, 1,000 classes.

    Attributes:
        name: how the table calls it.
        network: a name in ``bench.networks``.
        batch: images of a call.
        input_shape: of an image.
    """

    name: str
    network: str
    batch: int
    input_shape: tuple[int, int, int] = (224, 224, 3)


PREDICTIONS = tuple(
    Prediction(name, network, batch)
    for name, network in (
        ("ResNet-18", "resnet18"),
        ("ResNet-18, Winograd", "resnet18_winograd"),
        ("ResNet-50", "resnet50"),
        ("ResNet-50, Winograd", "resnet50_winograd"),
        ("MobileNetV2", "mobilenetv2"),
    )
    for batch in (1, 8, 64)
)  # fmt: skip

IMPORTED = tuple(
    Prediction(name, network, batch)
    for name, network in (
        ("SqueezeNet 1.1", "squeezenet1_1"),
        ("ResNet-50", "resnet50"),
        ("MobileNetV2", "mobilenet_v2"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("U-Net", "unet"),
    )
    for batch in (1, 8)
)
"""Networks in ONNX files, by their names in ``nn.models``, each of one file for all libraries."""
