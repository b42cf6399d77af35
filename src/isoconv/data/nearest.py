"""Where the pixels of a scaled picture lie in the picture: for what must not be mixed.

A picture that is brought to a size is scaled until it covers that, and its centre is taken
(`isoconv.data.decode.fitted`). Masks go the same way, each pixel with the value of the one that
lies at its centre; and what a model says of the scaled picture goes back by the same rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
Places = tuple[NDArray[np.int64], NDArray[np.int64]]


def places_of(own: Size, wanted: Size) -> Places:
    """The rows and the columns of a picture that those of the scaled one come from.

    With the scale p/q, the lesser of H/h and W/w of a picture H × W and a wanted size h × w, row i
    is row ``floor(H/2 + (i + 1/2 - h/2) p/q)``, worked out in whole numbers; columns likewise.

    Example:
        >>> [places.tolist() for places in places_of((2, 6), (2, 2))]
        [[0, 1], [2, 3]]
    """
    over, under = _scale(own, wanted)
    rows, columns = (
        (side * under + (2 * np.arange(to, dtype=np.int64) + 1 - to) * over) // (2 * under)
        for side, to in zip(own, wanted, strict=True)
    )
    return rows, columns


def taken(values: NDArray[Any], wanted: Size) -> NDArray[Any]:
    """Values ``(H, W)`` at the places of a scaled picture, ``(h, w)``."""
    rows, columns = places_of((values.shape[0], values.shape[1]), wanted)
    return values[np.ix_(rows, columns)]


def places_back(own: Size, scaled: Size) -> Places:
    """The rows and the columns of the scaled picture in which those of the picture lie.

    Row y lies in ``floor(h/2 + (y + 1/2 - H/2) q/p)``, with the names of `places_of`; -1 stands for
    those that were cut off.

    Example:
        >>> [places.tolist() for places in places_back((2, 6), (1, 1))]
        [[0, 0], [-1, -1, 0, 0, -1, -1]]
    """
    over, under = _scale(own, scaled)
    found = []
    for side, to in zip(own, scaled, strict=True):
        middle = (2 * np.arange(side, dtype=np.int64) + 1 - side) * under
        places = (to * over + middle) // (2 * over)
        found.append(np.where((places >= 0) & (places < to), places, -1))
    return found[0], found[1]


def put_back(values: NDArray[Any], own: Size, outside: int) -> NDArray[Any]:
    """Values ``(h, w)`` of a scaled picture as they lie in the picture, ``(H, W)``.

    Args:
        values: of the scaled picture.
        own: height and width of the picture.
        outside: stands where the picture was cut off.

    Example:
        >>> put_back(np.uint8([[1, 2]]), (1, 4), 255).tolist()
        [[255, 1, 2, 255]]
    """
    rows, columns = places_back(own, (values.shape[0], values.shape[1]))
    found = values[np.ix_(rows, columns)]
    found[rows < 0] = outside
    found[:, columns < 0] = outside
    return found


def _scale(own: Size, wanted: Size) -> Size:
    """The factor from the scaled picture to the picture, as a fraction."""
    (height, width), (to_height, to_width) = own, wanted
    if height * to_width <= width * to_height:
        return height, to_height
    return width, to_width
