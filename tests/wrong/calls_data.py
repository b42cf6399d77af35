"""Valid calls of data sets and what reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from tests.wrong.calls import Call, Table

from isoconv import data
from isoconv.data import Augmentation, Dataset

__all__ = ["CALLS"]

IMAGES = np.arange(96, dtype=np.uint8).reshape(6, 4, 4, 1)
LABELS = np.arange(6, dtype=np.int32) % 2


def dataset() -> Dataset:
    """Six images of two classes."""
    return Dataset.from_arrays(IMAGES, LABELS)


def pictures(place: Any) -> Any:
    """A folder of image files, one for each of two classes; returns one of them."""
    for name in ("one", "two"):
        folder = place.path / "pictures" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[0, ..., 0]).save(folder / "first.png")
    return place.path / "pictures/one/first.png"


def new_pack(place: Any) -> Any:
    """A file that is not there yet."""
    path = place.path / "new.pack"
    path.unlink(missing_ok=True)
    return path


def packed(place: Any) -> Any:
    """A packed data set."""
    path = place.path / "six.pack"
    if not path.exists():
        data.pack(dataset(), path, progress=False)
    return path


def samples() -> data.Samples:
    """The list of those six as the samples of a run."""
    return data.Samples.of({"train": dataset()})


CALLS: Table = {
    "data.Augmentation": lambda _: Call(
        Augmentation, _then=lambda made: data.table(made, 0, 0, [1], 8, 8)
    ),
    "data.Dataset": lambda _: Call(Dataset, images=IMAGES, labels=LABELS, class_names=("a", "b")),
    "data.Dataset.class_counts": lambda _: Call(dataset().class_counts),
    "data.Dataset.digest": lambda _: Call(dataset().digest),
    "data.Dataset.from_arrays": lambda _: Call(
        Dataset.from_arrays, images=IMAGES, labels=LABELS, class_names=["a", "b"], name="six",
        _then=lambda made: made.digest(),
    ),
    "data.Dataset.split": lambda _: Call(dataset().split, fraction=0.5, seed=0),
    "data.Dataset.statistics": lambda _: Call(dataset().statistics),
    "data.Dataset.subset": lambda _: Call(dataset().subset, indices=[0, 2]),
    "data.Pictures": lambda _: Call(data.Pictures, images=IMAGES, notes=()),
    "data.Reading": lambda place: Call(
        data.Reading, size=(4, 4), channels=1, depth=8, dtype="uint8",
        _then=lambda made: (made.plain(), data.read_pictures([pictures(place)], made)),
    ),
    "data.Reading.from_plain": lambda _: Call(
        data.Reading.from_plain, plain=data.Reading((4, 4), 1, 8).plain()
    ),
    "data.Reading.plain": lambda _: Call(data.Reading((4, 4), 1, 8).plain),
    "data.Samples": lambda _: Call(
        data.Samples, rows=samples().rows, _then=lambda made: made.content()
    ),
    "data.Samples.changes": lambda _: Call(samples().changes, data=dataset()),
    "data.Samples.content": lambda _: Call(samples().content),
    "data.Samples.membership": lambda _: Call(samples().membership, data=dataset()),
    "data.Samples.of": lambda _: Call(data.Samples.of, parts={"train": dataset()}),
    "data.Samples.read": lambda _: Call(
        data.Samples.read, content=samples().content(), where="samples.csv"
    ),
    "data.Samples.select": lambda _: Call(samples().select, data=dataset()),
    "data.Samples.shared": lambda _: Call(samples().shared, part="train", other="test"),
    "data.Skipped": lambda _: Call(data.Skipped, path="a.png", reason="truncated"),
    "data.Folds": lambda _: Call(
        data.Folds, data=dataset(), folds=2, seed=0, validation=0.3, _then=lambda made: made[-1]
    ),
    "data.Splits": lambda _: Call(
        data.Splits, train=dataset(), validation=dataset(), test=dataset(),
        _then=lambda made: made.warnings(),
    ),
    "data.Splits.warnings": lambda _: Call(
        data.Splits(dataset(), test=dataset()).warnings, samples=samples()
    ),
    "data.check": lambda place: Call(data.check, path=packed(place), progress=False),
    "data.default_folder": lambda _: Call(data.default_folder),
    "data.fetch": lambda place: Call(data.fetch, name="mnist", folder=place.path, progress=False),
    "data.load": lambda place: Call(
        data.load, source=pictures(place).parents[1], split="train", size=4, skip_bad=True,
        folder=place.path,
    ),
    "data.load_splits": lambda place: Call(
        data.load_splits, source=(IMAGES, LABELS), validation=0.3, test=0.3, seed=0,
        folder=place.path,
    ),
    "data.normalisation": lambda _: Call(data.normalisation, dataset=dataset()),
    "data.pack": lambda place: Call(
        data.pack, source=pictures(place).parents[1], out=new_pack(place), size=4, depth=8,
        skip_bad=True, progress=False,
    ),
    "data.read_image": lambda place: Call(
        data.read_image, path=pictures(place), size=(4, 4), channels=1
    ),
    "data.read_pictures": lambda place: Call(
        data.read_pictures, paths=[pictures(place)], reading=data.Reading((4, 4), 1, 8),
        skip_bad=True,
    ),
    "data.table": lambda _: Call(
        data.table, augmentation=Augmentation(shift=1, rotation=3.0, cutout=2), seed=0, epoch=0,
        samples=[0, 1], height=4, width=4,
    ),
}  # fmt: skip
