"""Folders of pictures, some of which cannot be read, for tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def picture(path: Path, mode: str = "L", size: tuple[int, int] = (24, 24), seed: int = 0) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *os.fsencode(path.name)])
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = rng.integers(0, 256, (size[1], size[0], bands)).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if bands == 1 else pixels).save(path)
    return path


def spoil(path: Path) -> None:
    """Keep two thirds of a file: its header stays whole."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def fill(root: Path, endings: str = "png jpg bmp tif pgm jp2", each: int = 4) -> list[str]:
    """Good pictures of two classes, in several formats; returns their paths."""
    written = [
        picture(root / name / f"{number}.{ending}")
        for name in ("cat", "dog")
        for ending in endings.split()
        for number in range(each)
    ]
    return [path.relative_to(root).as_posix() for path in written]


def bad_files(root: Path) -> dict[str, str]:
    """One file of each kind that cannot be read: path and what its reason holds."""
    broken = {
        "cat/empty.png": (b"", "empty (0 bytes)"),
        "cat/text.jpg": (b"dear diary", "not a whole image"),
        "dog/huge.ppm": (b"P5 30000 30000 255\n", "not a whole image|1 to 67108864"),
        "dog/phone.heic": (HEIC, "pip install 'isoconv[heic]'|not a whole image"),
        "dog/odd \u202e\n.gif": (b"GIF89a", "not a whole image"),
    }
    for name, (content, _) in broken.items():
        (root / name).write_bytes(content)
    spoil(picture(root / "cat" / "truncated.png"))
    # What it says of itself is whole, and would make colour of all, and of another depth.
    spoil(picture(root / "dog" / "colour.png", "RGB"))
    return {
        **{name: reason for name, (_, reason) in broken.items()},
        "cat/truncated.png": "truncated",
        "dog/colour.png": "truncated",
    }
