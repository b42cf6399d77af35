"""Images and labels: where they come from, checked; and what changes them in training."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.data.augment import Augmentation, table
from isoconv.data.dataset import Dataset, normalisation
from isoconv.data.download import default_folder, fetch
from isoconv.data.pictures import Pictures, read_image, read_pictures
from isoconv.data.reading import Reading
from isoconv.data.samples import Samples
from isoconv.data.skipped import Skipped
from isoconv.data.sources import Source, load, load_splits
from isoconv.data.splits import Splits

__all__ = [
    "Augmentation", "Dataset", "Pictures", "Reading", "Samples", "Skipped", "Source", "Splits",
    "default_folder", "fetch", "load", "load_splits", "normalisation", "read_image",
    "read_pictures", "table",
]  # fmt: skip
# end of names

__public__ = {"isoconv": ["data"]}
