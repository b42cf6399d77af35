"""Prints the worked examples of convolution and pooling with their gradients.

python examples/notes_by_hand.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import isoconv as ic

Array = NDArray[np.float64]

# Powers of ten as the output's gradient: each sum can be read digit by digit.
A, B, C, D = 1, 10, 100, 1000


def image(rows: list[list[int]]) -> Array:
    """One image with one channel, ``(1, H, W, 1)``."""
    return np.array(rows, np.float64)[None, :, :, None]


def show(title: str, array: Array) -> None:
    """Print the only plane of an array ``(1, H, W, 1)``."""
    print(f"{title}\n{array[0, :, :, 0]}\n")


def convolution() -> None:
    """A 3×3 input, a 2×2 kernel, and both gradients."""
    x = image([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    kernel = np.array([[1, 2], [3, 4]], np.float64)[:, :, None, None]
    grad_output = image([[A, B], [C, D]])
    show("input X", x)
    show("kernel K", kernel.transpose(2, 0, 1, 3))
    show("Y = X * K, the kernel as it stands (cross-correlation)", ic.conv2d(x, kernel))
    show("Y with the kernel turned (true convolution)", ic.conv2d(x, kernel, flip=True))
    by_x, by_kernel = ic.gradients(ic.conv2d, grad_output, x, kernel)
    show("dL/dY: a = 1, b = 10, c = 100, d = 1000", grad_output)
    show("dL/dX; its centre is 4a + 3b + 2c + 1d", by_x)
    show("dL/dK; its first element is 1a + 2b + 4c + 5d", by_kernel.transpose(2, 0, 1, 3))


def pooling() -> None:
    """Maximum and average of 2×2 windows, and where their gradients go."""
    x = image([[1, 5, 4], [9, 2, 1], [6, 3, 2]])
    grad_output = image([[A, B], [C, D]])
    show("input X", x)
    show("max pooling, window of 2 by 2, stride 1", ic.max_pool2d(x, 2, stride=1))
    (by_x,) = ic.gradients(ic.max_pool2d, grad_output, x, kernel_size=2, stride=1)
    show("its gradient: the 9 won two windows and takes a + c", by_x)
    show("average pooling", ic.avg_pool2d(x, 2, stride=1))
    (by_x,) = ic.gradients(ic.avg_pool2d, 4 * grad_output, x, kernel_size=2, stride=1)
    show("its gradient, for a = 4, b = 40, c = 400, d = 4000: quarters", by_x)
    print(f"global average pooling\n{ic.global_avg_pool(x)}\n")


def sizes() -> None:
    """Output sizes by floor((I + 2P - K) / S) + 1."""
    print("output size = floor((I + 2P - K) / S) + 1")
    for size, kernel, padding, stride in ((3, 2, 0, 1), (28, 5, 2, 1), (32, 3, 1, 2), (7, 3, 0, 2)):
        result = ic.output_size(size, kernel, stride, padding)
        print(f"I = {size:2}, K = {kernel}, P = {padding}, S = {stride}: {result}")


if __name__ == "__main__":
    np.set_printoptions(suppress=True)
    convolution()
    pooling()
    sizes()
