"""PyTorch's side of the benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.worker import Work, serve

BLOCK = 8


def lenet() -> Any:
    """Two 5×5 convolutions and two linear layers."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(32, 64, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(3136, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10),
    )  # fmt: skip


NETWORKS = {"lenet": lenet}


def prepare(request: dict[str, Any]) -> tuple[Work, dict[str, Any]]:
    """Build the network in the layout asked for."""
    torch.set_num_threads(request["threads"])
    random = np.random.RandomState(0)
    batch, sides, channels = request["batch"], request["sides"], request["channels"]
    images = random.randn(batch * BLOCK, sides, sides, channels).astype(np.float32)
    labels = random.randint(0, 10, batch * BLOCK)
    layout = getattr(torch, request["layout"])
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    y = torch.from_numpy(labels)
    torch.manual_seed(0)
    model = NETWORKS[request["network"]]().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    turn = 0

    def work() -> None:
        nonlocal turn
        part = slice(turn % BLOCK * batch, (turn % BLOCK + 1) * batch)
        turn += 1
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(x[part]), y[part])
        loss.backward()
        optimizer.step()
        float(loss)

    return work, {}


if __name__ == "__main__":
    serve(prepare)
