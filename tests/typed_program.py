"""A program of somebody else's, for mypy alone: what is right passes, and each fault is found.

`make test` checks it strictly with all else. There a comment that ignores an error which is none is
an error of its own, so that a fault that goes unnoticed fails as well as a false alarm.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import isoconv as ic
from isoconv import nn

x = np.zeros((1, 8, 8, 3), np.float32)
w = np.zeros((3, 3, 3, 4), np.float32)


def right() -> None:
    """Every argument is taken, and every result is of the type that is written."""
    assert_type(ic.conv2d(x, w, padding="same", algorithm="winograd"), npt.NDArray[Any])
    assert_type(ic.max_pool2d(x, (2, 2), stride=2), npt.NDArray[Any])
    assert_type(ic.gradients(ic.conv2d, x, x, w, stride=2), tuple[npt.NDArray[Any], ...])
    ic.cross_entropy([[0.0, 1.0]], [1], smoothing=0.1)
    model = nn.Sequential(nn.Conv2d(8, 3, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(2))
    data = ic.data.Dataset.from_arrays(x, ["cat"])
    run = ic.Trainer(model, optimizer=ic.optim.SGD(0.1), schedule=ic.schedule.Cosine()).fit(data)
    assert_type(run.best_epoch, int)
    assert_type(ic.evaluate(model, data).loss, float)
    assert_type(ic.load("model.safetensors"), nn.Module)
    assert_type(ic.output_size(28, kernel=5), int)
    assert_type(ic.__version__, str)


def wrong() -> None:
    """A fault a line."""
    ic.conv2d(x)  # type: ignore[call-arg]
    ic.conv2d(x, w, strides=2)  # type: ignore[call-arg]
    ic.conv2d(x, w, padding="full")  # type: ignore[arg-type]
    ic.conv2d(x, w, algorithm="fft")  # type: ignore[arg-type]
    ic.max_pool2d(x)  # type: ignore[call-arg]
    ic.leaky_relu(x, "0.1")  # type: ignore[arg-type]
    ic.conv4d(x, w)  # type: ignore[attr-defined]
    nn.Conv2d(8)  # type: ignore[call-arg]
    ic.Trainer(nn.ReLU(), loss="l2")  # type: ignore[arg-type]
