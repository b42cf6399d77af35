"""Writes ``published.json``: what torchvision's and timm's networks call their arrays, and give.

    python -m tests.exchange.make_published

needs PyTorch, torchvision and timm, which the tests do not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from tests.exchange.published import digest, images, values

TIMM = {
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "efficientnet_lite0": "tf_efficientnet_lite0",
}
"""Our name → timm's, where it is another one."""
NAMES = ("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "densenet121", "squeezenet1_0",
         "squeezenet1_1", "shufflenet_v2_x1_0", "mobilenet_v2", "mobilenet_v3_small",
         "mobilenet_v3_large", "efficientnet_b0", "efficientnet_lite0",
         "convnext_tiny")  # fmt: skip


def arrays(network: Any) -> dict[str, Any]:
    """A network's arrays but for the counts of batches."""
    known = network.state_dict().items()
    return {name: array for name, array in known if not name.endswith("num_batches_tracked")}


def shapes(network: Any) -> dict[str, tuple[int, ...]]:
    """Their shapes."""
    return {name: tuple(array.shape) for name, array in arrays(network).items()}


def result(network: Any) -> list[float]:
    """What a network of ten classes gives for the image."""
    with torch.no_grad():
        for name, array in arrays(network).items():
            array.copy_(torch.from_numpy(values(name, tuple(array.shape))))
        x = torch.from_numpy(images().transpose(0, 3, 1, 2).copy())
        found: list[float] = network.eval()(x)[0].double().tolist()
    return [round(value, 6) for value in found]


def main() -> None:
    """Write the file."""
    known: dict[str, Any] = {}
    for name in NAMES:
        made: dict[str, Any] = {}
        if hasattr(torchvision.models, name):
            made["torchvision"] = getattr(torchvision.models, name)(num_classes=10)
        if TIMM.get(name, name) in timm.list_models():
            made["timm"] = timm.create_model(TIMM.get(name, name), num_classes=10)
        layouts = {layout: digest(shapes(network)) for layout, network in made.items()}
        results = {layout: result(network) for layout, network in made.items()}
        known[name] = {"names": layouts, "results": results}
    path = Path(__file__).with_name("published.json")
    rows = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in known.items()]
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
