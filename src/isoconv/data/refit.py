"""Images that came as arrays, brought to the size and the channels that a model was trained on."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from PIL import Image

from isoconv.data.dataset import Dataset
from isoconv.data.decode import fitted
from isoconv.data.reading import Reading
from isoconv.errors import DataError
from isoconv.memory import check_memory


def as_read(data: Dataset, reading: Reading) -> Dataset:
    """A data set whose images are as if they had been picture files.

    Args:
        data: uint8 images of 1 or 3 channels.
        reading: says size and channels.

    Returns:
        The same data set where nothing is to be done, or where its images are others.

    Raises:
        DataError: its labels are of places, which would have to be scaled and cut as well.
        NotEnoughMemoryError: there is no memory for the images.

    Example:
        >>> gray = Dataset.from_arrays(np.full((1, 2, 2), 7, np.uint8), ["one"])
        >>> as_read(gray, Reading((4, 4), 3, 8)).images.shape
        (1, 4, 4, 3)
    """
    if data.images.dtype != np.uint8 or data.image_shape[2] not in (1, 3):
        return data
    size = reading.size or data.image_shape[:2]
    shape = *size, reading.channels or data.image_shape[2]
    if shape == data.image_shape:
        return data
    if data.has_maps and size != data.image_shape[:2]:
        was, wanted = ("x".join(map(str, sides)) for sides in (data.image_shape[:2], size))
        raise DataError(
            f"{data.name}: images of {was} whose labels are of places cannot be made {wanted}, for "
            "the labels would stay as they are: bring both to that size before",
            argument="reading",
        )
    needs = {f"{len(data):,} images of {'x'.join(map(str, shape))}": len(data) * prod(shape)}
    check_memory(data.name, needs, "a smaller size, or fewer images")
    images = np.empty((len(data), *shape), np.uint8)
    for place, image in enumerate(data.images):
        plain = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        images[place] = fitted(plain, size, shape[2])
    images.flags.writeable = False
    had, has = ("x".join(map(str, sides)) for sides in (data.image_shape, shape))
    note = f"images of {had} made {has}, as the model's pictures are"
    return replace(data, images=images, reading=reading, notes=(*data.notes, note))
