"""Valid calls of what brings models in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.exchange.onnx.graphs import made, node
from tests.wrong.calls import Call, Table

from isoconv import exchange, nn

__all__ = ["CALLS"]


def network() -> nn.Module:
    """Two numbers of four."""
    return nn.Sequential(nn.Flatten(), nn.Linear(2))


def written(place: Any) -> Any:
    """A file of its weights as PyTorch has them."""
    path = place.path / "written.safetensors"
    if not path.exists():
        exchange.save_torch(network().build((2, 2, 1)), path)
    return path


def onnx_file(place: Any) -> Any:
    """An activation."""
    path = place.path / "x.onnx"
    path.write_bytes(made([node("Relu", "x", "y")], (1, 3, 4, 4), {}).SerializeToString())
    return path


CALLS: Table = {
    "exchange.from_onnx": lambda place: Call(
        exchange.from_onnx, path=onnx_file(place), input_shape=(4, 4, 3), output="y",
        normalise="half", class_names=("a", "b"), fold_batch_norm=True,
    ),
    "exchange.fetch_pretrained": lambda place: Call(
        exchange.fetch_pretrained, name="resnet18", folder=place.path, progress=False
    ),
    "exchange.load_into": lambda _: Call(
        exchange.load_into, model=network(), layout="own", input_shape=(2, 2, 1),
        weights={"1.weight": np.ones((2, 4)), "1.bias": np.zeros(2)},
    ),
    "exchange.load_torch": lambda place: Call(exchange.load_torch, path=written(place), key=""),
    "exchange.pretrained": lambda place: Call(
        exchange.pretrained, name="efficientnet_lite0", folder=place.path
    ),
    "exchange.save_onnx": lambda place: Call(
        exchange.save_onnx, model=network().build((2, 2, 1)), path=place.path / "written.onnx"
    ),
    "exchange.save_torch": lambda place: Call(
        exchange.save_torch, model=network().build((2, 2, 1)),
        path=place.path / "x.safetensors", layout="own",
    ),
}  # fmt: skip
