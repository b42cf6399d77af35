"""Makes the embedded sample of Fashion-MNIST from the four original files.

    python scripts/make_sample.py FOLDER

FOLDER holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and
t10k-labels-idx1-ubyte.gz, as published or as Debian's package dataset-fashion-mnist installs them
(the same contents; only the gzip headers differ). The SHA-256 of each decompressed file is checked.

Taken are the first 1,000 images of each class of the training part and the first 200 of each class
of the test part, in file order. They are laid out class after class, 100 a row, on two gray PNG
contact sheets, which is both small and something to look at. The pixels are always the same; the
PNG bytes may differ with the version of zlib.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from isoconv.data.fashion import CLASSES, COLUMNS, FOLDER, PER_CLASS, SIDE
from isoconv.data.idx import read_idx

CONTENTS = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
"""SHA-256 of each file's decompressed content."""


def check(folder: Path) -> None:
    """Stop unless all four files are the original ones."""
    for name, expected in CONTENTS.items():
        found = hashlib.sha256(gzip.decompress((folder / name).read_bytes())).hexdigest()
        if found != expected:
            raise SystemExit(f"{folder / name}: expected content sha256:{expected}; found {found}")


def contact_sheet(folder: Path, prefix: str, per_class: int) -> Image.Image:
    """The first images of each class, class after class, 100 a row."""
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", (3,))
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", (1,))
    first = [np.flatnonzero(labels == label)[:per_class] for label in range(CLASSES)]
    chosen = images[np.concatenate(first)]
    rows = len(chosen) // COLUMNS
    sheet = chosen.reshape(rows, COLUMNS, SIDE, SIDE).swapaxes(1, 2)
    return Image.fromarray(sheet.reshape(rows * SIDE, COLUMNS * SIDE))


def main() -> None:
    """Write both contact sheets."""
    parser = argparse.ArgumentParser(description="Make the embedded sample of Fashion-MNIST.")
    parser.add_argument("folder", type=Path, help="folder with the four original .gz files")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where to write the two sheets")
    arguments = parser.parse_args()
    check(arguments.folder)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split, per_class in PER_CLASS.items():
        path = arguments.out / f"{split}.png"
        prefix = "train" if split == "train" else "t10k"
        contact_sheet(arguments.folder, prefix, per_class).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
