"""Pictures as PNG: in memory, and in a file, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.checks import check_path, refusal
from isoconv.train.files import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image


def png(picture: Image) -> bytes:
    """A picture as the content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def write_png(path: str | Path, content: bytes) -> None:
    """Write the content of a PNG file, whole or not at all.

    Raises:
        ArgumentError: the path has another ending than .png.
        CheckpointError: it cannot be written.
    """
    place = check_path("path", path)
    if place.suffix.lower() != ".png":
        raise refusal("path", "end in .png", place.name)
    write_bytes(place.resolve(), content)
