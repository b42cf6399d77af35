"""Pictures of shapes with their masks, drawn for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["draw_shapes"]


def draw_shapes(root: Path, count: int = 30, size: tuple[int, int] = (32, 24)) -> Path:
    """A disc (class 1) and a square (class 2) on noise; the border of the disc has no label.

    Args:
        root: folder of the data.
        count: pictures.
        size: width and height of each.
    """
    draw = np.random.default_rng(7)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    (root / "classes.txt").write_text("ground\ndisc\nsquare\n")
    for number in range(count):
        noise = draw.integers(60, 140, (size[1], size[0], 3)).astype(np.uint8)
        picture, mask = Image.fromarray(noise), Image.new("L", size)
        (x, z), (y, w) = (draw.integers(0, side - 11, 2).tolist() for side in size)
        for made, disc, edge, square in (
            (picture, (200, 60, 50), (200, 60, 50), (50, 70, 210)),
            (mask, 1, 255, 2),
        ):
            pen = ImageDraw.Draw(made)
            pen.rectangle((z, w, z + 8, w + 8), fill=square)
            pen.ellipse((x, y, x + 10, y + 10), fill=disc, outline=edge)
        picture.save(root / "images" / f"{number:03}.png")
        mask.save(root / "masks" / f"{number:03}.png")
    return root
