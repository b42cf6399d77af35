"""``isoconv predict`` with a model that gives each pixel a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.cli.errors import note
from isoconv.cli.inputs import Inputs
from isoconv.cli.mask_places import write_new
from isoconv.printable import listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from isoconv.data import Skipped
    from isoconv.nn import Module

NARROW = 60
"""Columns of a terminal below which names are short of room."""


@dataclass(frozen=True, slots=True)
class PlacesFound:
    """What came of the pixels of one image.

    Attributes:
        image: its name.
        shares: of the pixels that the model sees, by class; none for one that cannot be read.
        outside: share of the picture that the model does not see.
        mask: the file with its mask, if it was written.
        overlay: likewise with the colours on the picture.
        lost: why it cannot be read; None if it can.
    """

    image: str
    shares: tuple[tuple[str, float], ...] = ()
    outside: float = 0.0
    mask: Path | None = None
    overlay: Path | None = None
    lost: Skipped | None = None

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        if self.lost is not None:
            return {"image": self.image, "error": self.lost.reason}
        return {
            "image": self.image,
            "shares": dict(self.shares),
            "outside": self.outside,
            "mask": self.mask,
            "overlay": self.overlay,
        }

    def row(self) -> list[str]:
        """The same for CSV."""
        shares = [repr(share) for _, share in self.shares]
        return [self.image, str(self.mask or ""), repr(self.outside), *shares]


def share_titles(found: PlacesFound) -> list[str]:
    """Above the rows of `PlacesFound.row`."""
    return ["image", "mask", "outside", *(name for name, _ in found.shares)]


def mask_answers(
    model: Module,
    inputs: Inputs,
    places: Mapping[Path, tuple[Path, Path]],
    scale: float | None,
    threads: int | None,
    target: str | None,
) -> Iterator[PlacesFound]:
    """What comes of each image, in the order in which they were named; masks are written.

    Args:
        model: gives each pixel a class.
        inputs: the images.
        places: where the mask of each is written, and the picture with its colours; none for none.
        scale: as for `isoconv.nn.each.predict_each`.
        threads: likewise.
        target: likewise.

    Raises:
        ArgumentError: a file that would be written is there by now.
        CheckpointError: it cannot be written.
    """
    from isoconv.cli.named_models import class_names_of
    from isoconv.data import Skipped
    from isoconv.errors import DataFileError
    from isoconv.nn.each import FileResult, predict_each

    files = inputs.files
    results: Iterator[FileResult] = iter(())
    told: list[str] = []
    if files:
        results = predict_each(
            model, files, scale=scale, threads=threads, target=target, told=told.append,
            finish="none",
        )  # fmt: skip
    cut: list[str] = []
    written: set[Path] = set()
    for item in inputs.items:
        if isinstance(item, Skipped):
            yield PlacesFound(item.path, lost=item)
            continue
        path, result, reason = next(results)
        name = inputs.name(path)
        if result is None:
            yield PlacesFound(name, lost=Skipped(name, inputs.as_shown(reason)))
            continue
        names = class_names_of(model, result.shape[-1])
        try:
            said, first = result.argmax(axis=-1), path not in written
            found = _found(name, path, said, names, places.get(path), first)
        except DataFileError as error:
            # It was changed since it was read.
            yield PlacesFound(name, lost=Skipped(name, inputs.as_shown(error.reason)))
            continue
        # Who names a picture twice gets two answers and one mask.
        written.add(path)
        if found.outside:
            cut.append(f"{found.outside:.0%} of {name}")
        yield found
    # Behind the last one stands what is to be told of all.
    next(results, None)
    for line in told:
        note(inputs.as_shown(line))
    if cut:
        each, shape = ("was", "Its") if len(cut) == 1 else ("were", "Their")
        note(
            f"{listed(cut)} {each} not looked at. {shape} shape is not that of the model's images, "
            "of which it sees the centre: what lies beside that has no label in the masks and no "
            "share in the classes"
        )


def _found(
    name: str,
    path: Path,
    said: NDArray[np.intp],
    names: tuple[str, ...],
    places: tuple[Path, Path] | None,
    write: bool,
) -> PlacesFound:
    """The shares of the classes in a picture of its own size, and its mask, perhaps written."""
    from PIL import Image

    from isoconv.data.decode import look
    from isoconv.data.mask_pictures import found_in, mask_png, nowhere, overlaid, png

    found = found_in(said, look(path).size, len(names))
    if write and places is not None:
        painted = overlaid(_shown(path), found.mask, nowhere(len(names)))
        write_new(places[0], mask_png(found.mask, len(names)))
        write_new(places[1], png(Image.fromarray(painted)))
    shares = tuple(zip(names, found.shares, strict=True))
    return PlacesFound(name, shares, found.outside, *(places or (None, None)))


def _shown(path: Path) -> NDArray[np.uint8]:
    """A picture of its own size in colour; of floats the least is black, the greatest white."""
    import numpy as np

    from isoconv.data import read_image

    picture = read_image(path, channels=3)
    if picture.dtype == np.uint8:
        return picture
    low, high = float(picture.min()), float(picture.max())
    return ((picture - low) * (255.0 / max(high - low, 1e-30))).astype(np.uint8)


def print_shares(known: list[PlacesFound]) -> None:
    """Print the shares of the classes of each image that was read, and what was not looked at."""
    from isoconv.cli.table import print_table, terminal_width

    cut = any(answer.outside for answer in known)
    # A title that is longer than what stands below it takes room from the names.
    narrow = (terminal_width() or NARROW) < NARROW
    seen = "share" if narrow else "of the pixels seen"
    titles = ("image", "class", seen, *(["outside"] if cut else []))
    rows = []
    for answer in known:
        beside = (answer.image, f"{answer.outside:.2%}")
        for name, part in answer.shares:
            image, outside = beside
            rows.append((image, name, f"{part:.2%}", *([outside] if cut else [])))
            beside = "", ""
    print_table(titles, rows, numbers=(2, 3), shorten=(0, 1))
