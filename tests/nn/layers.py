"""Every public layer with settings to try it with, and what its documentation says of shapes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from isoconv import nn

__all__ = [
    "JOINED",
    "LAYERS",
    "alone",
    "bind",
    "layer_of",
    "public_layers",
    "sections",
    "settings_of",
    "sized",
    "takes_several",
]

JOINED = (5, 4, 4)
"""Shape of an image that layers of several tensors take twice; products of matrices too."""

SHAPES = {0: (5,), 1: (9, 2), 2: (9, 8, 2), 3: (7, 6, 5, 2)}
"""Shapes of an image by the number of its spatial axes."""

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "Apply": (nn.Apply(nn.functional.top_k, (2,), 0), (5, 4, 3)),
    **{
        f"Adaptive{kind}Pool{rank}d": (
            getattr(nn, f"Adaptive{kind}Pool{rank}d")((3, None, 2)[:rank]), SHAPES[rank]
        )
        for kind in ("Avg", "Max") for rank in (1, 2, 3)
    },
    "AvgPool1d": (nn.AvgPool1d(3, 2, 1, True, False, 2), (9, 2)),
    "AvgPool2d": (nn.AvgPool2d((3, 2), (2, 1), 1, True, False, (1, 2)), (9, 8, 2)),
    "AvgPool3d": (nn.AvgPool3d(2, (2, 1, 2), 1, True, False, 2), (7, 6, 5, 2)),
    "BatchNorm": (
        nn.BatchNorm(eps=1e-3, momentum=0.25, frozen=True, over="batch"), (5, 4, 3),
    ),
    "Branches": (nn.Branches(nn.Sequential(), nn.Conv2d(4, 3, padding=1)), (5, 4, 3)),
    "ChannelShuffle": (nn.ChannelShuffle(2), (9, 8, 6)),
    "Clip": (nn.Clip(-0.5, 0.75), (9, 8, 2)),
    "Constant": (nn.Constant((2, 1, 3), learned=False), (5, 4, 3)),
    "Conv1d": (nn.Conv1d(4, 3, 2, ((1, 0),), 2, 2, False, True, padding_mode="reflect"), (9, 2)),
    "Conv2d": (
        nn.Conv2d(
            4, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2), 2, False, True, padding_mode="circular"
        ),
        (9, 8, 2),
    ),
    "Conv3d": (
        nn.Conv3d(4, 2, (1, 2, 1), 1, 2, 2, False, True, padding_mode="replicate"), (6, 6, 5, 2),
    ),
    "ConvTranspose1d": (
        nn.ConvTranspose1d(4, 3, 2, ((1, 0),), 1, 2, 2, False, True, "reflect"), (5, 2),
    ),
    "ConvTranspose2d": (
        nn.ConvTranspose2d(
            4, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 0), 2, 2, False, True, "circular"
        ),
        (5, 4, 2),
    ),
    "ConvTranspose3d": (
        nn.ConvTranspose3d(4, 2, 2, 1, 1, 2, 2, False, True, "replicate"), (4, 3, 3, 2),
    ),
    "DepthwiseConv2d": (
        nn.DepthwiseConv2d(3, 2, "same", 2, 2, False, True, padding_mode="reflect"), (9, 8, 3),
    ),
    "GroupNorm": (nn.GroupNorm(3, eps=1e-3, affine=False), (5, 4, 6)),
    "GELU": (nn.GELU(approximate="tanh"), (9, 8, 2)),
    "Flip": (nn.Flip((0, -1)), (9, 8, 2)),
    "FractionalMaxPool2d": (nn.FractionalMaxPool2d((2, 3), None, (0.6, 0.5), 0.25), (9, 8, 2)),
    "FractionalMaxPool3d": (nn.FractionalMaxPool3d(2, None, 0.5, (0.1, 0.2, 0.3)), (7, 6, 5, 2)),
    "LPPool1d": (nn.LPPool1d(3.0, 3, 2, True, 1, 2), (9, 2)),
    "LPPool2d": (nn.LPPool2d(1, (3, 2), (2, 1), True, 1, (1, 2)), (9, 8, 2)),
    "LPPool3d": (nn.LPPool3d(2, 2, (2, 1, 2), True, 1, 2), (7, 6, 5, 2)),
    "Linear": (nn.Linear(7, bias=False), (5,)),
    "LocalResponseNorm": (nn.LocalResponseNorm(4, 0.5, 0.25, 2.0, before=1), (5, 4, 6)),
    "MaxPool1d": (nn.MaxPool1d(2, 3, 1, 2, True, "indices"), (9, 2)),
    "MaxPool2d": (nn.MaxPool2d((2, 3), (3, 1), 1, (1, 2), True, "indices"), (9, 8, 2)),
    "MaxUnpool1d": (nn.MaxUnpool1d(3, 2, 1, 20), (9, 2)),
    "MaxUnpool2d": (nn.MaxUnpool2d((2, 3), (3, 1), (0, 1), (26, 9)), (9, 8, 2)),
    "MaxUnpool3d": (nn.MaxUnpool3d(2, (1, 2, 1), 1, (7, 6, 5)), (7, 6, 5, 2)),
    "MaxPool3d": (nn.MaxPool3d(2, (1, 2, 1), 1, 2, True, "indices"), (7, 6, 5, 2)),
    "Network": (
        nn.Network(
            (("a b", nn.Conv2d(4, 3, padding=1), "y"), ("c", nn.ReLU(), "a b"),
             ("sum", nn.Add(), "c", "a b"), ("beside", nn.Flatten(), "y")),
            ("y",), "sum",
        ),
        (5, 4, 3),
    ),
    "OneHot": (nn.OneHot(3, axis=0), (5, 4, 3)),
    "PReLU": (nn.PReLU(2, 0.5), (9, 8, 2)),
    "Pad": (nn.Pad(((2, 1), (0, 3)), "constant", 1.5), (9, 8, 2)),
    "PixelShuffle": (nn.PixelShuffle((2, 1), "DCR"), (5, 4, 6)),
    "PixelUnshuffle": (nn.PixelUnshuffle((2, 1), "DCR"), (6, 4, 3)),
    "Reduce": (nn.Reduce("mean", (0, -1), keepdims=True), (5, 4, 3)),
    "QuantizedConv1d": (
        nn.QuantizedConv1d(4, 3, 2, ((1, 0),), 2, 2, False, 3, "uint8", 5), (9, 2),
    ),
    "QuantizedConv2d": (
        nn.QuantizedConv2d(4, (3, 2), 2, "same", (1, 2), 2, False, -3, "int8", 5), (9, 8, 2),
    ),
    "QuantizedConv3d": (
        nn.QuantizedConv3d(4, 2, 2, 1, 2, 2, False, 3, "int16", 5), (4, 3, 5, 2),
    ),
    "QuantizedLinear": (nn.QuantizedLinear(4, False, 3, "uint16", 5), (4, 3)),
    "Reshape": (nn.Reshape((4, -1)), (9, 8, 2)),
    "Residual": (nn.Residual(nn.Conv2d(4, 3, padding=1), nn.Conv2d(4, 1)), (5, 4, 3)),
    "Resize": (
        nn.Resize(
            None, (1.5, 0.7), "linear", "tf_crop_and_resize", "floor", -0.5, True, True, (1, 0),
            ((0.1, 0.9), (-0.2, 1.1)), 2.5,
        ),
        (9, 8, 2),
    ),
    "Sequential": (
        nn.Sequential(nn.Conv2d(2, 1), nn.functional.flatten, nn.Sequential()), (5, 4, 3),
    ),
    "Slice": (nn.Slice((1, -2), (5, None), (1, 0), (2, 1)), (9, 8, 2)),
    "Squeeze": (nn.Squeeze((1, -1)), (9, 1, 1)),
    "SqueezeExcitation": (nn.SqueezeExcitation(2, nn.SiLU(), nn.functional.tanh), (5, 4, 3)),
    "Threshold": (nn.Threshold(0.5, -1.0), (9, 8, 2)),
    "TopK": (nn.TopK(2, 0, largest=False, result="places"), (5, 4, 3)),
    "Transpose": (nn.Transpose((2, 0, 1)), (9, 8, 2)),
    "Unsqueeze": (nn.Unsqueeze((0, -1)), (9, 8, 2)),
    "Upsample": (nn.Upsample(None, (2, 1.5), "bilinear", True), (9, 8, 2)),
    "ZeroPad1d": (nn.ZeroPad1d(((2, 1),)), (9, 2)),
    "ZeroPad2d": (nn.ZeroPad2d(((2, 1), (0, 3))), (9, 8, 2)),
    "ZeroPad3d": (nn.ZeroPad3d(2), (4, 3, 5, 2)),
}  # fmt: skip
"""Layers whose settings depend on one another, each with the shape of an image that it takes."""


def public_layers(offered: Any = nn) -> dict[str, type[nn.Module]]:
    """All layer classes that a package offers, by their own names."""
    found = (getattr(offered, name) for name in offered.__all__)
    return {
        kind.__name__: kind
        for kind in found
        if isinstance(kind, type) and issubclass(kind, nn.Module) and kind is not nn.Module
    }


def takes_several(kind: type[nn.Module]) -> bool:
    """Whether a layer joins several tensors: no chain of layers leads to it."""
    _, first, *_ = inspect.signature(kind.forward).parameters.values()
    return first.kind is inspect.Parameter.VAR_POSITIONAL


def alone(layer: nn.Module) -> nn.Module:
    """A model of one tensor that is a layer, which gets it twice where it takes two."""
    if isinstance(layer, nn.MaxUnpool1d | nn.MaxUnpool2d | nn.MaxUnpool3d):
        return nn.Network((("y", layer, "x", "x"),), ("x",), "y")
    return layer


def settings_of(kind: type[nn.Module]) -> tuple[Field[Any], ...]:
    """A layer's settings; none of a class that is no dataclass."""
    return fields(kind) if is_dataclass(kind) else ()


def layer_of(kind: type[nn.Module]) -> tuple[nn.Module, tuple[int, ...]]:
    """A layer with no setting by default, and the shape of an image that it takes.

    Of a layer that is not in the table a flag is turned around, a whole number one more, another
    number half; the image has as many axes as the class's ``rank`` says, or as its documentation.
    """
    if kind.__name__ in LAYERS:
        return LAYERS[kind.__name__]
    settings: dict[str, Any] = {}
    for field in settings_of(kind):
        usual: Any = field.default
        if usual is MISSING or not isinstance(usual, int | float):
            raise AssertionError(f"{kind.__name__} needs a place in LAYERS, for {field.name}")
        changed = not usual if isinstance(usual, bool) else usual + 1
        settings[field.name] = usual / 2 if isinstance(usual, float) else changed
    rank = getattr(kind, "rank", 2)
    return kind(**settings), SHAPES[rank]


def sections(text: str) -> dict[str, str]:
    """The sections of a docstring by their headings."""
    parts = re.split(r"(?m)^([A-Z][a-z]+(?: [a-z]+)?):\n(?=    )", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def axes_of(text: str) -> list[str]:
    """The axes of the first shape that a section names, ``(H, W, C)``."""
    found = re.search(r"``\(([^`]*?)\)``", text)
    assert found, f"no shape in {text!r}"
    return [each.strip() for each in found[1].split(",") if each.strip()]


def bind(text: str, shape: Sequence[int], known: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of a shape by the axes' names in a documentation; "..." is any number of axes.

    Raises:
        AssertionError: the shape has other axes, or an axis a size that does not follow.
    """
    axes = axes_of(text)
    many = [place for place, axis in enumerate(axes) if axis.endswith("...")]
    if many:
        (place,) = many
        more = len(shape) - len(axes) + 1
        assert more >= 0, f"{shape} has fewer axes than {axes}"
        axes[place : place + 1] = [f"{axes[place]}{number}" for number in range(more)]
    assert len(axes) == len(shape), f"{shape} has other axes than {axes}"
    sizes = dict(known)
    for axis, size in zip(axes, shape, strict=True):
        wanted = sized(axis, sizes)
        assert wanted in (None, size), f"{axis} is {wanted}, and {size} in {shape}"
        sizes[axis] = size
    return sizes


def sized(axis: str, sizes: Mapping[str, Any]) -> int | None:
    """The size of an axis, a product of names; None where a name in it is not known yet."""
    size = 1
    for name in axis.split(" · "):
        if not isinstance(sizes.get(name), int):
            return None
        size *= sizes[name]
    return size
