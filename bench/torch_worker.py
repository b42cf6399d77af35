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


def load_lenet(model: Any, path: str) -> None:
    """Take isoconv's weights: channels come first here, and so they do where maps are flattened."""
    arrays = np.load(path)
    state = {}
    for name in arrays:
        array = arrays[name]
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif array.shape[0] == 3136:
            array = array.reshape(7, 7, 64, -1).transpose(3, 2, 0, 1).reshape(-1, 3136)
        elif array.ndim == 2:
            array = array.T
        state[name] = torch.from_numpy(np.ascontiguousarray(array))
    model.load_state_dict(state)


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
        losses.append(loss.item())

    losses: list[float] = []
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_lenet(model, request["weights"])
    with torch.no_grad():
        first = torch.nn.functional.cross_entropy(model(x[:batch]), y[:batch]).item()
    model.load_state_dict(before)
    return work, {"first_loss": first}


if __name__ == "__main__":
    serve(prepare)
