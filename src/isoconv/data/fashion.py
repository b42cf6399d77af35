"""The data set that comes with the library: a balanced sample of Fashion-MNIST.

Two contact sheets in ``sample/`` hold the images, so that a person can look at them: 100 images a
row, class after class. ``scripts/make_sample.py`` made them from the original files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isoconv.data.dataset import Dataset
from isoconv.data.files import Split, build, file_error
from isoconv.data.names import KNOWN, SAMPLE
from isoconv.data.pictures import read_image

FOLDER = Path(__file__).parent / "sample"
PER_CLASS: dict[Split, int] = {"train": 1000, "test": 200}
PARTS: tuple[Split, ...] = ("train", "test")
SIDE = 28
COLUMNS = 100
CLASSES = 10


def load_sample(split: Split) -> Dataset:
    """The sample: 10,000 images to train on or 2,000 to test with, uint8 28 × 28 × 1.

    The classes alternate (0, 1, …, 9, 0, 1, …), so that every run of ten samples is balanced.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747; MIT licence,
    Zalando SE.

    Raises:
        DataFileError: the installed file is damaged.

    Example:
        >>> load_sample("test").images.shape
        (2000, 28, 28, 1)
    """
    path = FOLDER / f"{split}.png"
    count = PER_CLASS[split]
    sheet = read_image(path)
    rows = CLASSES * count // COLUMNS
    if sheet.shape != (rows * SIDE, COLUMNS * SIDE, 1):
        raise file_error(path, f"{rows} by {COLUMNS} gray images", f"pixels {sheet.shape}")
    images = sheet.reshape(rows, SIDE, COLUMNS, SIDE).swapaxes(1, 2)
    by_class = images.reshape(CLASSES, count, SIDE, SIDE)
    alternating = by_class.swapaxes(0, 1).reshape(-1, SIDE, SIDE)
    labels = np.tile(np.arange(CLASSES, dtype=np.int32), count)
    return build(Path(SAMPLE), alternating, labels, KNOWN[SAMPLE].class_names)
