"""JPEG files that look like photographs: large, coloured, with an orientation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def photograph(seed: int, height: int, width: int) -> Image.Image:
    """A smooth scene of its own colours with some grain."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (5, 7, 3), np.uint8)
    scene = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    grain = draw.integers(-9, 10, (height, width, 1))
    return Image.fromarray((np.asarray(scene, int) + grain).clip(0, 255).astype(np.uint8))


def write_photographs(root: Path, count: int, size: tuple[int, int], **settings: Any) -> list[Path]:
    """So many of them in two classes, every third one on its side; in the order of paths."""
    found = []
    for number in range(count):
        file = root / "ab"[number % 2] / f"{number:03}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6 if number % 3 == 2 else 1
        photograph(number, *size).save(file, exif=exif, **settings)
        found.append(file)
    return sorted(found)
