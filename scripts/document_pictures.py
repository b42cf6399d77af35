"""Makes the pictures of docs/pictures/ anew, by the library itself.

    python -m scripts.document_pictures

Each is the sliding window of one setting. `PICTURES` says which, by the file's name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import isoconv as ic

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"

NINE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
TENS = [[1, 10], [100, 1000]]
"""Powers of ten, by which each sum can be read digit by digit."""


def convolution(path: Path) -> None:
    """The worked example of docs/convolution.md."""
    ic.symbols.conv(of="y").animate(path, NINE, TENS)


def strided(path: Path) -> None:
    """Stride and padding."""
    ic.symbols.conv((4, 4), (3, 3), stride=2, padding=1, of="y").animate(path)


def signal(path: Path) -> None:
    """A signal of one axis."""
    ic.symbols.conv((6,), (3,), of="y").animate(path, [3, 1, 4, 1, 5, 9], [1, 0, -1])


def dilated(path: Path) -> None:
    """A kernel with holes."""
    ic.symbols.conv((5, 5), (2, 2), dilation=2, of="y").animate(path, at=(1, 1))


def channels(path: Path) -> None:
    """Several channels, whose products are added."""
    ic.symbols.conv((3, 3), (2, 2), channels=3, of="y").animate(path, at=(0, 1))


def grouped(path: Path) -> None:
    """A depthwise convolution."""
    ic.symbols.conv((3, 3), (2, 2), groups=2, of="y").animate(path, at=(0, 1, 1))


def max_pooling(path: Path) -> None:
    """The worked example of docs/pooling.md: maxima."""
    ic.symbols.max_pool().animate(path)


def average_pooling(path: Path) -> None:
    """The same with means."""
    ic.symbols.avg_pool().animate(path, at=(0, 0))


def gradient(path: Path) -> None:
    """The gradient by the input in docs/backpropagation.md: a transposed convolution."""
    ic.symbols.conv_transpose(of="y").animate(path, TENS, [[1, 2], [3, 4]])


PICTURES: dict[str, Callable[[Path], None]] = {
    "average-pooling.svg": average_pooling,
    "channels.svg": channels,
    "convolution.gif": convolution,
    "depthwise.svg": grouped,
    "dilation.svg": dilated,
    "gradient-by-input.gif": gradient,
    "max-pooling.gif": max_pooling,
    "signal.gif": signal,
    "stride-and-padding.gif": strided,
}
"""What makes each file."""


def main() -> None:
    """Make all of them anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in PICTURES.items():
        make(FOLDER / name)
        print(f"{name}: {(FOLDER / name).stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
