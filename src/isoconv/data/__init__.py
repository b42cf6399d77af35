"""Images and labels: where they come from, checked; and what changes them in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoconv.onward import late_names

# begin of names that `python -m scripts.public_names` writes
if TYPE_CHECKING:
    from isoconv.data.augment import Augmentation, table
    from isoconv.data.dataset import Dataset, normalisation
    from isoconv.data.download import default_folder, fetch
    from isoconv.data.folding import Folds
    from isoconv.data.packed import check
    from isoconv.data.packing import pack
    from isoconv.data.pictures import Pictures, read_image, read_pictures
    from isoconv.data.reading import Reading
    from isoconv.data.samples import Samples
    from isoconv.data.skipped import Skipped
    from isoconv.data.sources import Source, load, load_splits
    from isoconv.data.splits import Splits

__all__ = [
    "Augmentation", "Dataset", "Folds", "Pictures", "Reading", "Samples", "Skipped", "Source",
    "Splits", "check", "default_folder", "fetch", "load", "load_splits", "normalisation", "pack",
    "read_image", "read_pictures", "table",
]  # fmt: skip

_PLACES: dict[str, tuple[str, ...]] = {
    "isoconv.data.augment": ("Augmentation", "table"),
    "isoconv.data.dataset": ("Dataset", "normalisation"),
    "isoconv.data.download": ("default_folder", "fetch"),
    "isoconv.data.folding": ("Folds",),
    "isoconv.data.packed": ("check",),
    "isoconv.data.packing": ("pack",),
    "isoconv.data.pictures": ("Pictures", "read_image", "read_pictures"),
    "isoconv.data.reading": ("Reading",),
    "isoconv.data.samples": ("Samples",),
    "isoconv.data.skipped": ("Skipped",),
    "isoconv.data.sources": ("Source", "load", "load_splits"),
    "isoconv.data.splits": ("Splits",),
}  # fmt: skip
# end of names

__public__ = {"isoconv": ["data"]}

if not TYPE_CHECKING:
    # To a type checker this would say that any name is there.
    __getattr__, __dir__ = late_names(__name__, _PLACES)
