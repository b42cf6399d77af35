"""One picture file read for a model by itself, so that nothing depends on what else is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.data.decode import look
from isoconv.data.opening import PIXELS
from isoconv.errors import DataFileError, IsoconvError, NotEnoughMemoryError
from isoconv.graph.operation import Array
from isoconv.nn.images import checked_images, warnings_told
from isoconv.nn.inference import files_as_trained, scale_of_read
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.nn.module import Module


@dataclass(frozen=True, slots=True)
class OneImage:
    """One image that an answer is wanted for.

    Attributes:
        name: what whoever asks calls it.
        image: ``(H, W, C)`` as the model takes it; None if it cannot be read.
        notes: what is to be told of it, a line each.
        error: why it cannot be read.
        size: height and width of the picture before it became the image; None for an array.
    """

    name: str
    image: Array | None
    notes: tuple[str, ...] = ()
    error: str = ""
    size: tuple[int, int] | None = None


def read_alone(
    model: Module, file: Path, name: str, scale: float | None, most_pixels: int = PIXELS
) -> OneImage:
    """A picture file as an image of a model, which ``model.predict(…, scale=1)`` takes.

    Args:
        model: a built model.
        file: where the picture lies, which nothing that is told says.
        name: what it is called.
        scale: as for `Module.predict_files`.
        most_pixels: that its header may declare.

    Raises:
        NotEnoughMemoryError: there is not enough memory for it now.
    """

    def told(text: str) -> str:
        return text.replace(f"{printable(file)}: ", "").replace(printable(file), "the picture")

    try:
        with warnings_told() as lines:
            height, width = look(file).size
            if height * width > most_pixels:
                raise DataFileError(
                    f"a picture may have {most_pixels:,} pixels; this one has {height * width:,}"
                )
            files = files_as_trained(model, [file], scale)
            _, images = files.read(files.files)
            files.raise_any()
            images = checked_images(model, images, scale_of_read(model, images, scale))
        notes = tuple(told(line) for line in (*files.notes(), *lines))
        return OneImage(name, images[0], notes, size=(height, width))
    except NotEnoughMemoryError:
        raise
    except IsoconvError as error:
        return OneImage(name, None, error=told(error.reason))
