"""Writes the files of PyTorch's in ``torch_files/``; needs PyTorch, the tests do not.

python -m tests.exchange.make_torch_files
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "torch_files"


def ramp(*shape: int) -> Any:
    """Eighths from -1 on."""
    count = 1
    for side in shape:
        count *= side
    return (torch.arange(count, dtype=torch.float32) / 8 - 1).reshape(shape)


def tensors() -> OrderedDict[str, Any]:
    """One tensor of every kind and every way to lie in memory."""
    shared = ramp(4, 6)
    return OrderedDict(
        plain=ramp(2, 3),
        transposed=ramp(3, 2).t(),
        channels_last=ramp(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        part=shared[1:3, 2:],
        column=shared[:, 1],
        every_second=ramp(9)[1::2],
        repeated=ramp(3, 1).expand(3, 4),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        double=ramp(3).double(),
        half=ramp(3).half(),
        bfloat16=ramp(2, 3).bfloat16().t(),
        long=torch.arange(4),
        byte=torch.arange(4, dtype=torch.uint8),
        bool=torch.tensor([True, False]),
        parameter=torch.nn.Parameter(ramp(2)),
    )


def network() -> torch.nn.Module:
    """A convolution, batch normalisation, and a linear layer behind a flattened feature map."""
    layers = (torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3), torch.nn.ReLU(),
              torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 3, 2))  # fmt: skip
    made = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for number, value in enumerate(made.state_dict().values()):
            if value.is_floating_point():
                value.copy_(ramp(*value.shape) / 4 + number + 1)
    return made.eval()


def layers() -> torch.nn.Module:
    """Layers whose weights lie in other ways, and one that reads what was flattened before."""
    made = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(2, 4, (3, 2), 2, 1, 1, groups=2), torch.nn.PReLU(4),
        torch.nn.GroupNorm(2, 4), torch.nn.Flatten(), torch.nn.LayerNorm(4 * 6 * 7),
        torch.nn.Linear(4 * 6 * 7, 3),
    )  # fmt: skip
    with torch.no_grad():
        for number, value in enumerate(made.state_dict().values()):
            places = torch.arange(value.numel()).reshape(value.shape)
            value.copy_((places * 7 + number) % 11 / 8 - 0.5)
    return made.eval()


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    made = network()
    nested = {
        "epoch": 3,
        "best": 0.5,
        "args": ["--lr", None, True, (1, 2)],
        "model": made.state_dict(),
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]},
    }
    for name, value in (
        ("tensors", tensors()),
        ("network", made.state_dict()),
        ("layers", layers().state_dict()),
        ("nested", nested),
        ("two", {"model": {"a": ramp(2)}, "ema": {"a": ramp(3)}}),
    ):
        torch.save(value, FOLDER / f"{name}.pt")
        torch.save(value, FOLDER / f"{name}.pth", _use_new_zipfile_serialization=False)
    torch.save(tensors(), FOLDER / "protocol4.pt", pickle_protocol=4)
    torch.save(made, FOLDER / "whole.pt")
    # What the networks give for two images.
    images = ramp(2, 2, 3, 4)
    with torch.no_grad():
        np.savetxt(FOLDER / "network.txt", made(images).numpy(), "%.9g")
        np.savetxt(FOLDER / "layers.txt", layers()(images).numpy(), "%.9g")


if __name__ == "__main__":
    main()
