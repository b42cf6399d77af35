"""Images of another unit brought to the one that a model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.checks import refusal
from isoconv.errors import DTypeError
from isoconv.memory import check_memory
from isoconv.rows import chunks


def scaled(images: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """``images * scale``, each product worked out in float64 and rounded to float32.

    Bytes times 1/255 are exactly the float32 numbers of ``images / 255``, and these times 255 are
    exactly the bytes again. Floats that were multiplied with a rounded 1/255 are not ``images /
    255``: times 255, about half of the 256 values miss the byte by one in the last place.

    Args:
        images: whole or floating-point numbers.
        scale: a finite number.

    Raises:
        DTypeError: images that are no numbers.
        NotEnoughMemoryError: there is no memory for the products.

    Example:
        >>> pixels = np.arange(256, dtype=np.uint8)
        >>> bool((scaled(pixels, 1 / 255) == (pixels / 255).astype(np.float32)).all())
        True
    """
    if images.dtype.kind not in "uif":
        raise refusal("images", "be numbers", images, DTypeError, got=f"{images.dtype}")
    needs = {f"{len(images):,} of them as float32": 4 * images.size}
    check_memory("multiplying images with a scale", needs, "fewer images")
    found = np.empty(images.shape, np.float32)
    first = 0
    # A product beyond float32 becomes infinite, which is refused where it is used.
    with np.errstate(over="ignore"):
        for part in chunks(images):
            target = found[first : first + len(part)]
            np.multiply(part, np.float64(scale), out=target, dtype=np.float64, casting="same_kind")
            first += len(part)
    return found
