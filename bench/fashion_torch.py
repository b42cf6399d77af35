"""PyTorch's run of ``bench.fashion_mnist``: arrays, goal, most epochs, threads."""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

from bench.worker import peak_mib


def main(path: str, goal: str, epochs: str, threads: str) -> None:
    """Train, and print the accuracy on the test images as JSON."""
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    arrays = np.load(path)
    mean, deviation = arrays["x"].mean() / 255, arrays["x"].std() / 255

    def images(name: str) -> torch.Tensor:
        x = torch.from_numpy(arrays[name]).to(torch.float32).div_(255).sub_(mean).div_(deviation)
        return x.reshape(-1, 1, 28, 28).contiguous(memory_format=torch.channels_last)

    x, y = images("x"), torch.from_numpy(arrays["y"].astype(np.int64))
    x_test, y_test = images("x_test"), torch.from_numpy(arrays["y_test"].astype(np.int64))
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(32, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(3136, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    accuracy, epoch = 0.0, 0
    while accuracy < float(goal) and epoch < int(epochs):
        epoch += 1
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            hits = sum(
                int((model(a).argmax(1) == b).sum())
                for a, b in zip(x_test.split(500), y_test.split(500), strict=True)
            )
        accuracy = hits / len(y_test)
        print(f"  epoch {epoch}: {accuracy:.2%}", file=sys.stderr, flush=True)
    print(json.dumps({"accuracy": accuracy, "epochs": epoch, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
