"""Image files, alone or in a folder with one subfolder for each class."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from isoconv.data.dataset import Dataset
from isoconv.data.files import SPLITS, Format, Split, build, file_error
from isoconv.errors import DataFileError
from isoconv.memory import check_memory

__all__ = ["PICTURES", "read_image"]

PIXELS = 1 << 26
"""Pixels of the largest image that is decoded, as its header declares them."""
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "val", "valid", "validation"),
}

_GRAY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)

_DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises for files that are truncated, corrupt or too large."""


def read_image(
    path: Path | str,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> NDArray[np.uint8]:
    """Decode one image file.

    Photographs are turned upright as their EXIF orientation says; 16-bit gray keeps its upper
    8 bits; transparency is dropped. With `size` the image is scaled (bilinear, with a support that
    grows with the reduction) until it covers the size, and its centre is taken. JPEG files leave
    room to the decoder: `Dataset.digest` tells whether two machines decoded to the same values.

    Args:
        path: a PNG, JPEG, BMP, WebP, GIF (first frame), TIFF or PPM file.
        size: wanted (height, width), or None for the image's own.
        channels: 1 for gray, 3 for colour, or None for the image's own.

    Returns:
        uint8 ``(H, W, C)``.

    Raises:
        DataFileError: the file is missing, corrupt, truncated, no image, or declares more than
            2**26 pixels.
    """
    path = Path(path)
    with _opened(path) as image:
        gray = _is_gray(image) if channels is None else channels == 1
        upright = ImageOps.exif_transpose(image) if _has_orientation(image) else image
        if upright.mode.startswith("I;16"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        plain = upright.convert("L" if gray else "RGB")
        if size is not None and (plain.height, plain.width) != size:
            plain = ImageOps.fit(plain, (size[1], size[0]), Image.Resampling.BILINEAR)
        pixels = np.array(plain, np.uint8)
    return pixels[..., np.newaxis] if gray else pixels


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose header was read and whose size is bounded; damage becomes DataFileError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > PIXELS:
                    found = f"{image.width} by {image.height}"
                    raise file_error(path, f"an image of at most {PIXELS} pixels", found)
                if image.mode in ("I", "F"):
                    expected = "an image of 8 or 16 bits for each channel"
                    raise file_error(path, expected, f"Pillow mode {image.mode!r}")
                yield image
    except DataFileError:
        raise
    except FileNotFoundError as error:
        raise DataFileError(f"{path}: there is no such file") from error
    except _DAMAGED as error:
        raise DataFileError(f"{path}: not a whole image of a known format: {error}") from error


def _is_gray(image: Image.Image) -> bool:
    return image.mode in _GRAY


def _has_orientation(image: Image.Image) -> bool:
    # Asking a PNG file for its EXIF data would decode it.
    return image.format in ("JPEG", "MPO", "WEBP", "TIFF") and _ORIENTATION in image.getexif()


def _survey(path: Path) -> tuple[int, int, bool]:
    """Height, width and whether it is gray, from the header alone."""
    with _opened(path) as image:
        height, width = image.height, image.width
        if _has_orientation(image) and image.getexif()[_ORIENTATION] in _SIDEWAYS:
            height, width = width, height
        return height, width, _is_gray(image)


def _folders(path: Path) -> list[Path]:
    return sorted(
        entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def _images(folder: Path) -> list[Path]:
    """Image files below a folder, in order of their paths; hidden files and folders are skipped."""
    found: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            found.extend(_images(entry))
        elif entry.is_file() and entry.suffix.lower() in ENDINGS:
            found.append(entry)
    return found


def _roots(path: Path) -> dict[Split, Path]:
    """The folder that holds the class folders of each part."""
    named = {entry.name.lower(): entry for entry in _folders(path)}
    roots: dict[Split, Path] = {}
    for split in SPLITS:
        for name in FOLDERS[split]:
            if name in named and _folders(named[name]):
                roots[split] = named[name]
                break
    if "train" in roots:
        return roots
    return {"train": path} if named else {}


def _splits(path: Path) -> tuple[Split, ...]:
    if not path.is_dir():
        return ()
    roots = _roots(path)
    holds_images = any(_images(folder) for root in roots.values() for folder in _folders(root))
    return tuple(roots) if holds_images else ()


def _class_files(root: Path) -> dict[str, list[Path]]:
    files = {folder.name: _images(folder) for folder in _folders(root)}
    for name, entries in files.items():
        if not entries:
            endings = ", ".join(sorted(ENDINGS))
            raise file_error(root / name, f"images of one class ({endings})", "none")
    return files


def _read(path: Path, split: Split, size: tuple[int, int] | None) -> Dataset:
    by_split = {part: _class_files(root) for part, root in _roots(path).items()}
    names = tuple(by_split["train"])
    root = _roots(path)[split]
    for name in by_split[split]:
        if name not in names:
            expected = f"class folders as in training ({', '.join(names)})"
            raise file_error(root, expected, f"another one, {name!r}")
    # Both parts decide, so that they come out alike.
    of_classes = [files for part in by_split.values() for files in part.values()]
    shape = _common_shape([file for files in of_classes for file in files], size)
    labelled = [(file, name) for name, files in by_split[split].items() for file in files]
    needs = {f"{len(labelled):,} images of {shape}": len(labelled) * prod(shape)}
    check_memory(f"{path}: the images", needs, "a smaller size, or fewer images")
    images = np.empty((len(labelled), *shape), np.uint8)
    for place, (file, _) in enumerate(labelled):
        images[place] = read_image(file, shape[:2], shape[2])
    labels = np.array([names.index(name) for _, name in labelled], np.int32)
    return build(path, images, labels, names)


def _common_shape(files: list[Path], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Height, width and channels of all images of all parts: colour if one of them has colour."""
    height, width, gray = _survey(files[0])
    for file in files[1:]:
        other_height, other_width, other_gray = _survey(file)
        gray = gray and other_gray
        if size is None and (other_height, other_width) != (height, width):
            raise file_error(
                file,
                f"{height} by {width} pixels (height by width) as in {files[0].name}",
                f"{other_height} by {other_width}; give size=(height, width) to scale all images",
            )
    height, width = size or (height, width)
    return height, width, 1 if gray else 3


PICTURES = Format("a folder with one subfolder of images for each class", _splits, _read)
