"""PyTorch's training for ``bench.small``: a request as JSON in, what it reached as JSON out.

The recipe of PyTorch's own examples: for small pictures the network of its MNIST example, for
others ResNet-18 (He et al., 2015) at 64 by 64; Adam with 0.001, batches of 32, coloured pictures
mirrored and moved at random; the last weights count. In its favour, pictures are decoded and scaled
once. Transparency is left out, as is usual. It learns from the pictures that the file ``listing``
names, those that isoconv learned from.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from bench.small.clock import elapsed

SMALL = 32
"""Pictures of one size with no side longer than this are taken as they are."""
SIDE = 64
"""Others are scaled to this."""
BATCH = 32


class Block(nn.Module):  # type: ignore[misc]
    """Two 3 × 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps in, feature maps out."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(channels: int, classes: int) -> nn.Module:
    """ResNet-18 with its stem for photographs."""
    blocks: list[nn.Module] = []
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        blocks += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    model = nn.Sequential(
        nn.Conv2d(channels, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(512, classes),
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def small_network(channels: int, height: int, width: int, classes: int) -> nn.Module:
    """The network of PyTorch's MNIST example."""
    features = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(features, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, classes),
    )  # fmt: skip


def read(folder: Path, learned: set[str]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What to learn from and the test part: pictures ``(N, C, H, W)`` of bytes, class numbers."""
    names = sorted(place.name for place in (folder / "train").iterdir())
    found: dict[str, tuple[list[Image.Image], list[int]]] = {}
    for part in ("train", "test"):
        pictures, labels = found.setdefault(part, ([], []))
        for number, name in enumerate(names):
            for path in sorted((folder / part / name).iterdir()):
                if part == "train" and path.relative_to(folder).as_posix() not in learned:
                    continue
                with Image.open(path) as picture:
                    pictures.append(picture.copy())
                labels.append(number)
    everything = [picture for pictures, _ in found.values() for picture in pictures]
    gray = all(picture.mode == "L" for picture in everything)
    sizes = {picture.size for picture in everything}
    as_they_are = len(sizes) == 1 and max(max(sizes)) <= SMALL
    arrays = {}
    for part, (pictures, labels) in found.items():
        plain = [picture if gray else picture.convert("RGB") for picture in pictures]
        if not as_they_are:
            plain = [picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR) for picture in plain]
        pixels = np.stack([np.asarray(picture) for picture in plain])
        pixels = pixels.reshape(*pixels.shape[:3], -1).transpose(0, 3, 1, 2)
        arrays[part] = (torch.from_numpy(pixels.copy()), torch.tensor(labels))
    return arrays


def changed(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Images mirrored and moved by up to an eighth of their size at random."""
    side = images.shape[-1]
    most = side // 8
    padded = nn.functional.pad(images, [most] * 4)
    places = torch.randint(0, 2 * most + 1, (len(images), 2), generator=random).tolist()
    moved = torch.stack([
        image[:, down : down + images.shape[-2], right : right + side]
        for image, (down, right) in zip(padded, places, strict=True)
    ])  # fmt: skip
    mirrored = torch.rand(len(images), generator=random) < 0.5
    return torch.where(mirrored[:, None, None, None], moved.flip(-1), moved)


def accuracy(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, scale: tuple[torch.Tensor, ...]
) -> float:
    """Share of images that are classified well."""
    model.eval()
    hits = 0
    with torch.no_grad():
        for x, y in zip(images.split(256), labels.split(256), strict=True):
            hits += int((model(_scaled(x, scale)).argmax(1) == y).sum())
    model.train()
    return hits / len(labels)


def _scaled(images: torch.Tensor, scale: tuple[torch.Tensor, ...]) -> torch.Tensor:
    mean, deviation = scale
    x = (images.to(torch.float32) - mean) / deviation
    return x.contiguous(memory_format=torch.channels_last)


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Train until each of the budgets of seconds since the process began is used up."""
    torch.set_num_threads(request["threads"])
    torch.manual_seed(request["seed"])
    random = torch.Generator().manual_seed(request["seed"])
    learned = set(json.loads(Path(request["listing"]).read_text()))
    parts = read(Path(request["folder"]), learned)
    if len(parts["train"][0]) != len(learned):
        raise ValueError(f"{request['folder']} lacks pictures of {request['listing']}")
    images, labels = parts["train"]
    _, channels, height, width = images.shape
    classes = int(labels.max()) + 1
    small = max(height, width) <= SMALL
    model = (
        small_network(channels, height, width, classes) if small else resnet18(channels, classes)
    )
    model = model.to(memory_format=torch.channels_last)
    as_floats = images.to(torch.float32)
    dims = (0, 2, 3)
    scale = (as_floats.mean(dims, keepdim=True), as_floats.std(dims, keepdim=True).clamp_min(1.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    # What evaluations take is not part of any budget.
    measuring = 0.0
    budgets = sorted(request["budgets"])
    seen, reached = 0, []
    while True:
        for rows in torch.randperm(len(images), generator=random).split(BATCH):
            while budgets and elapsed(request) - measuring >= budgets[0]:
                before = elapsed(request)
                found = accuracy(model, *parts["test"], scale)
                reached.append({
                    "budget": budgets.pop(0), "accuracy": found, "seconds": before - measuring,
                    "epochs": round(seen / len(images), 2),
                })  # fmt: skip
                measuring += elapsed(request) - before
            if not budgets:
                return {
                    "network": "MNIST example" if small else "ResNet-18",
                    "image_shape": [height, width, channels],
                    "reached": reached,
                    "versions": {"torch": torch.__version__},
                }
            if len(rows) < 2:
                # Batch statistics of one image are none.
                continue
            batch = images[rows]
            if channels > 1:
                batch = changed(batch, random)
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(_scaled(batch, scale)), labels[rows]).backward()
            optimizer.step()
            seen += len(rows)


if __name__ == "__main__":
    print(json.dumps(train(json.loads(sys.argv[1]))))
