"""Images and labels: where they come from, checked; and what changes them in training."""

from __future__ import annotations

from isoconv.data.augment import Augmentation, table
from isoconv.data.dataset import Dataset, normalisation
from isoconv.data.download import default_folder, fetch
from isoconv.data.pictures import read_image
from isoconv.data.sources import Source, Splits, load, load_pair

__all__ = [
    "Augmentation",
    "Dataset",
    "Source",
    "Splits",
    "default_folder",
    "fetch",
    "load",
    "load_pair",
    "normalisation",
    "read_image",
    "table",
]
