"""Image files, alone or in a folder with one subfolder for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from isoconv.checks import check_flag, check_kind, check_number, check_path, check_paths, shown
from isoconv.data.batches import Batches
from isoconv.data.cache import PictureCache, open_cache
from isoconv.data.counting import Counting
from isoconv.data.dataset import Dataset
from isoconv.data.decode import as_floats, as_pixels, least_depth, read
from isoconv.data.files import Failures, Format, Request, Split, build, file_error
from isoconv.data.folders import Listing, classes_in, list_folder, parts_of
from isoconv.data.reader import Reader
from isoconv.data.reading import Reading
from isoconv.data.skipped import Skipped
from isoconv.data.survey import Usual, resolve, usual_size
from isoconv.errors import ArgumentError, DataFileError, MissingExtraError
from isoconv.memory import memory_told
from isoconv.printable import listed, printable
from isoconv.rows import Array

__public__ = {
    "isoconv.data": ["Pictures", "read_image", "read_pictures"],
    "isoconv.data.formats": ["PICTURES"],
}


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Picture files as a model takes them.

    Attributes:
        images: uint8 or float32 ``(N, H, W, C)``, in the order of the files.
        notes: what was dropped, guessed or scaled, a line each.
        paths: the files that the images are of.
        skipped: the files that were left out because they cannot be read.
    """

    images: Array
    notes: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def check_no_paths(images: object) -> None:
    """See that pixels were given, not the names of files that hold them.

    Raises:
        ArgumentError: it is a path, or a list that begins with one.
    """
    first = images[0] if isinstance(images, list | tuple) and images else images
    if isinstance(first, str | Path):
        paths = "images" if first is not images else "[image]"
        raise ArgumentError(
            f"images must be an array of pixels; got {shown(images)} (paths of picture files go to "
            f"model.predict_files({paths}))",
            argument="images",
            value=images,
        )


def read_image(
    path: Path | str,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    depth: int | None = None,
) -> Array:
    """Decode one picture file.

    A picture is turned upright as its EXIF orientation says. Numbers of up to 8 bits are taken as
    they are. Of larger ones ``2**depth - 1`` is full brightness: a number v becomes the whole
    number nearest to ``v * 255 / (2**depth - 1)``, and one that is larger than ``2**depth - 1`` is
    an error. A depth that is left out follows from this one file: the least of 8, 10, 12, 14 and
    16 bits that hold its largest number. Files of floats give float32 with the values as they are.

    What is not opaque is shown on white, colour profiles are dropped, and of a file with several
    pages the first is read.
    With `size` the picture is scaled (bilinear, with a support that grows with the reduction) until
    it covers the size, and its centre is taken; a JPEG that is much larger is decoded reduced by 8,
    4 or 2, the largest that leaves twice the size, and scaled from there. Lossy formats leave room
    to the decoder, and the scaling of floats to the machine: `Dataset.digest` tells whether two
    machines got the same values.

    Args:
        path: a PNG, JPEG, BMP, WebP, GIF, TIFF, PNM, PFM or JPEG 2000 file; AVIF with Pillow 11.3
            or later; HEIC with the extra ``heic``.
        size: wanted (height, width), or None for the picture's own.
        channels: 1 for gray, 3 for colour, or None for the picture's own.
        depth: bits of full brightness for a file of more than 8 bits.

    Returns:
        uint8 ``(H, W, C)``; float32 for a file of floats.

    Raises:
        ArgumentError: channels are neither 1 nor 3, or the depth lies outside 1 … 32.
        DataFileError: the file is missing, corrupt, truncated, no picture, declares more than
            2**26 pixels, holds numbers beyond the depth, or numbers that cannot be had as they
            stand.
        MissingExtraError: the file is in HEIC, and the extra is not installed.
    """
    wanted = Reading(size, channels, depth)
    stored = read(check_path("path", path), wanted.size)
    channels = stored.channels if wanted.channels is None else wanted.channels
    with memory_told(f"reading {printable(stored.path)}"):
        if stored.kind == "float":
            return as_floats(stored, wanted.size, channels)
        depth = least_depth(stored.path, stored.most) if wanted.depth is None else wanted.depth
        return as_pixels(stored, wanted.size, channels, depth)


def read_pictures(
    paths: Sequence[Path | str],
    reading: Reading,
    *,
    scale: float | None = None,
    skip_bad: bool = False,
) -> Pictures:
    """Decode picture files as the pictures of a data set were.

    With a reading that leaves nothing open, such as `Dataset.reading` of a folder of pictures, each
    file gives the same values whatever else is read. A file of more than 8 bits, where the reading
    knows of none (its depth is 8), is taken by its own range, which a note tells.

    Args:
        paths: at least one file.
        reading: how; what it leaves open follows from these files together.
        scale: where a model was trained on floats that somebody made of pictures, what they were
            multiplied with: integers become uint8 first, as ever, and then float32, each value
            multiplied with `scale` in float64 and rounded to float32. The values of files of floats
            are multiplied likewise, which a note tells.
        skip_bad: leave out the files that cannot be read, in place of an error; `Pictures.skipped`
            names them, and `Pictures.paths` the files that each image is of.

    Raises:
        ArgumentError: there are no paths, or the scale is not finite.
        DataFileError: a file cannot be read, or files of floats meet a reading of integers, or
            integers a reading of floats without a scale; all of them are told at once. With
            `skip_bad`: not one can be read.
        MissingExtraError: all that cannot be read is in HEIC, and the extra is not installed.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp()) / "one.png"
        >>> Image.new("L", (2, 1), 51).save(file)
        >>> read_pictures([file], Reading((1, 2), 1, 8)).images.tolist()
        [[[[51], [51]]]]
    """
    files = PictureFiles(paths, reading, scale=scale, skip_bad=skip_bad)
    with memory_told(f"reading {files.title}"):
        found, images = files.read(files.files)
    files.raise_any()
    return Pictures(images, files.notes(), tuple(found), files.skipped())


class PictureFiles:
    """Picture files that are read one batch after the other, each as among all of them.

    Args:
        paths: as of `read_pictures`.
        reading: likewise.
        scale: likewise.
        skip_bad: likewise.

    Attributes:
        files: all of them.
        title: what they are called in messages.

    Raises:
        ArgumentError: as `read_pictures`.
        DataFileError: likewise, as far as what `reading` leaves open cannot be known.
        MissingExtraError: likewise.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        reading: Reading,
        *,
        scale: float | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.files = check_paths("paths", paths)
        check_kind("reading", reading, Reading, "a Reading")
        if scale is not None:
            largest = float(np.finfo(np.float32).max)
            scale = check_number("scale", scale, least=-largest, most=largest)
        skip_bad = check_flag("skip_bad", skip_bad)
        many = f"{len(self.files)} pictures"
        self.title = printable(self.files[0]) if len(self.files) == 1 else many
        self._failures = Failures(None, len(self.files), skip=skip_bad)
        self._notes: list[str] = []
        wanted = reading
        if not wanted.resolved:
            found = resolve(self.files, wanted, self._failures)
            reading, wanted, self._notes = found.reading, found.wanted, found.notes
        self._reader = Reader(reading, wanted, scale)

    def read(self, files: Sequence[Path]) -> tuple[list[Path], Array]:
        """Those of some of the files that can be read, and their images ``(N, H, W, C)``."""
        images = self._reader.array(files, self._failures)
        readable = set(self._failures.readable(files))
        there = [path in readable for path in files]
        return [path for path in files if path in readable], without_holes(images, there)

    def notes(self) -> tuple[str, ...]:
        """What is to be told of those that were read so far, a line each."""
        return (*self._notes, *self._reader.notes(None))

    def skipped(self) -> tuple[Skipped, ...]:
        """What could not be read so far."""
        return self._failures.skipped()

    def raise_any(self) -> None:
        """Raise one error for all that could not be read, unless it is left out.

        Raises:
            DataFileError: as `read_pictures`.
            MissingExtraError: likewise.
        """
        self._failures.raise_any()


def _read(path: Path, splits: Sequence[Split], request: Request) -> dict[Split, Dataset]:
    failures = Failures(path, root=path, skip=request.skip_bad, hint=True)
    listing = list_folder(path, failures, request.classes)
    with noted(listing.notes):
        return _read_listed(path, splits, request, listing, failures)


@contextmanager
def noted(notes: Sequence[str]) -> Iterator[None]:
    """Who is refused within wants to know as well what was left alone, a line each."""
    try:
        yield
    except (DataFileError, MissingExtraError) as error:
        for line in notes:
            error.add_note(line)
        raise


def _read_listed(
    path: Path, splits: Sequence[Split], request: Request, listing: Listing, failures: Failures
) -> dict[Split, Dataset]:
    class_names(path, listing.files)
    own = listing.own
    # What is left to guess follows from all parts, so that they come out alike.
    needed = splits if request.reading.resolved else tuple(listing.files)
    failures.total += len([file for part in needed for file in own[part]])
    with open_cache(request.cache) as cache:
        reading, images, notes = decoded(own, needed, splits, request, failures, cache)
    readable = {part: set(failures.readable(files)) for part, files in own.items()}
    return datasets_of(
        path,
        listing,
        {
            part: without_holes(images.pop(part), [file in readable[part] for file in own[part]])
            for part in splits
        },
        failures,
        reading,
        notes,
    )


def datasets_of(
    path: Path,
    listing: Listing,
    images: Mapping[Split, Array],
    failures: Failures,
    reading: Reading,
    notes: Sequence[str],
) -> dict[Split, Dataset]:
    """The parts of a folder, once their pictures were read.

    Args:
        path: of the folder.
        listing: what lies in it.
        images: of the files that could be read, by part.
        failures: what could not.
        reading: how they were read.
        notes: what is to be told of that.

    Raises:
        DataFileError: what cannot be read is not to be left out, or a class has no picture left.
        MissingExtraError: likewise, and an optional dependency would read it.
    """
    names = class_names(path, listing.files)
    failures.raise_any()
    _check_classes({part: listing.files[part] for part in images}, failures)
    found: dict[Split, Dataset] = {}
    for part, pictures in images.items():
        files = {name: failures.readable(group) for name, group in listing.files[part].items()}
        found[part] = _dataset(path, pictures, files, names, reading, [*listing.notes, *notes])
    skipped = failures.skipped()
    return {part: replace(data, skipped=skipped) for part, data in found.items()}


def decoded(
    own: dict[Split, list[Path]],
    needed: Sequence[Split],
    splits: Sequence[Split],
    request: Request,
    failures: Failures,
    cache: PictureCache | None,
    usual: Usual = usual_size,
) -> tuple[Reading, dict[Split, Array], list[str]]:
    """The pictures of some parts, with their reading and what is to be told of them.

    What follows from the files follows from those that are read to their end: a file that is left
    out has no say, as if it were not there.

    Args:
        own: the files of each part.
        needed: parts that have a say in what is left to guess.
        splits: parts whose pictures are wanted.
        request: what is asked of them.
        failures: gathers what cannot be read.
        cache: as `Reader` has it.
        usual: the size of pictures when nobody says one.

    Raises:
        DataFileError, MissingExtraError: as `resolve`.
    """
    files = [file for part in needed for file in own[part]]
    counting = Counting(request.progress)
    while True:
        reading, wanted, notes = request.reading, request.reading, list[str]()
        if not wanted.resolved:
            found = resolve(failures.readable(files), wanted, failures, cache, counting, usual)
            reading, wanted, notes = found.reading, found.wanted, found.notes
        reading = replace(reading, dtype=reading.dtype or "uint8")
        reader = Reader(reading, wanted, cache=cache, counting=counting)
        failed = failures.count
        guessed = request.skip_bad and not request.reading.resolved
        images: dict[Split, Array] = {}
        for part in needed if guessed else splits:
            pictures = reader.array(own[part], failures)
            if part in splits:
                images[part] = pictures
        if not guessed or failures.count == failed or failures.count == failures.total:
            return reading, images, [*notes, *reader.notes(failures.root)]


def without_holes(images: Array, there: Sequence[bool]) -> Array:
    """The pictures that are there, moved together in the same memory."""
    count = 0
    for place, each in enumerate(there):
        if each:
            if count < place:
                images[count] = images[place]
            count += 1
    return images[:count]


def _check_classes(parts: Mapping[Split, Mapping[str, Sequence[Path]]], failures: Failures) -> None:
    """See that every class has a picture left.

    Raises:
        DataFileError: one has none.
        MissingExtraError: likewise, and an optional dependency would read what it has.
    """
    lost = [
        repr(name)
        for classes in parts.values()
        for name, files in classes.items()
        if not failures.readable(files)
    ]
    if lost:
        raise failures.error(
            f"every class needs a picture that can be read; none is left of {listed(lost)}"
        )


def class_names(path: Path, files: dict[Split, dict[str, list[Path]]]) -> tuple[str, ...]:
    """The classes of training, or of all parts if there is no such part."""
    if "train" not in files:
        return tuple(sorted({name for classes in files.values() for name in classes}))
    names = tuple(files["train"])
    for part, classes in files.items():
        unknown = [name for name in classes if name not in names]
        if unknown:
            expected = f"class folders as in training ({listed([*map(repr, names)])})"
            others = listed([*map(repr, unknown)])
            raise file_error(path, expected, f"others in the {part} part: {others}")
    return names


def _dataset(
    path: Path,
    images: Array,
    files: dict[str, list[Path]],
    names: tuple[str, ...],
    reading: Reading,
    notes: Sequence[str],
) -> Dataset:
    number = {name: place for place, name in enumerate(names)}
    labelled = [(file, number[name]) for name, group in files.items() for file in group]
    labels = np.array([label for _, label in labelled], np.int32)
    return replace(
        build(path, images, labels, names),
        paths=tuple(file.relative_to(path).as_posix() for file, _ in labelled),
        reading=reading,
        notes=tuple(notes),
    )


def _batches(path: Path, splits: Sequence[Split], request: Request) -> Batches:
    # Made of what stands above.
    from isoconv.data.picture_batches import PictureBatches

    return PictureBatches(path, splits, request)


PICTURES = Format(
    "a folder of pictures",
    "one subfolder for each class, perhaps below `train`, `val` and `test`",
    parts_of,
    _read,
    general=True,
    classes=classes_in,
    batches=_batches,
)
