"""Settings of a training that nobody gave: they follow from the training images, by written rules.

The library and the command line take the same. Each rule looks at the number of training images,
at their size and at whether they are coloured, and at nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from isoconv.data import Augmentation, Dataset
    from isoconv.train.learning_rate import Schedule
    from isoconv.train.optim import Optimizer

__public__ = {"isoconv.train": ["Recipe"]}

MODEL = "small_resnet"
"""The ready model that is trained when none is named."""
MAP_MODEL = "small_unet"
"""Likewise where each place of an image has a class of its own."""

AMOUNTS = (
    (100, 8, 100),
    (300, 16, 60),
    (1_000, 16, 40),
    (3_000, 32, 25),
    (10_000, 32, 15),
    (30_000, 64, 12),
)
"""Fewer training images than the first number: batch size and epochs."""
PLENTY = 128, 10
"""Batch size and epochs from there on."""

USUAL: Mapping[str, Mapping[str, float]] = {
    "sgd": {"learning_rate": 0.05, "momentum": 0.9},
    "adam": {"learning_rate": 0.002},
    "adamw": {"learning_rate": 0.002, "weight_decay": 0.01},
}
"""Settings of an optimizer of which no more is said than its name; the last one is the usual."""

HEAD_DECAY = 5.0
"""Weight decay where the head alone learns: many numbers for each image, and few images."""
Tunes = Literal["head", "part", "all"]
"""What learns of a model that was trained before: its head, what is not frozen, or all of it."""

LEAST_PHOTOGRAPH = 24
"""Coloured images whose shorter side has so many pixels are taken for photographs."""
PHOTOGRAPH = 8
"""A photograph is moved by up to its shorter side divided by this."""
OTHERS = 16
"""Any other image likewise: what is small, or gray, tends to stand in its middle."""
LEAST_MOVED = 8
"""Images whose shorter side has so many pixels are moved by one at least."""


def _by_amount(place: int) -> str:
    """The column of `AMOUNTS` as words."""
    rows = [(row[0], row[place]) for row in AMOUNTS]
    # Of rows that say the same the last one.
    others = [*(value for _, value in rows[1:]), PLENTY[place - 1]]
    parts = [
        f"{value} below {bound:,}"
        for (bound, value), other in zip(rows, others, strict=True)
        if value != other
    ]
    return f"by the number of training images: {', '.join(parts)}, {PLENTY[place - 1]} from there"


RULES: Mapping[str, str] = {
    "model": f"`{MODEL}`, sized to the images; `{MAP_MODEL}` where their places have classes",
    "batch_size": _by_amount(1),
    "shard_size": "a quarter of the batch, at least 8 and at most 32; the batch where a layer's "
    "statistics are over that",
    "epochs": f"{_by_amount(2)}; with `start` half as many",
    "optimizer": f"`AdamW({USUAL['adamw']['learning_rate']}, "
    f"weight_decay={USUAL['adamw']['weight_decay']})`; where the head alone learns, with a weight "
    f"decay of {HEAD_DECAY:g}",
    "schedule": "`OneCycle()`",
    "freeze": "with `start` all layers but the head, or none if there is a `backbone_lr`; without "
    "it none",
    "augmentation": f"coloured images of {LEAST_PHOTOGRAPH} pixels or more: mirrored, and moved by "
    "up to an eighth of their shorter side; others: moved by up to a 16th, at least one pixel from "
    f"{LEAST_MOVED} pixels on, and not mirrored, for they may be letters. None where layers are "
    "frozen with `start`, so that what those give is computed once, and where float targets are of "
    "the places of an image, which do not move with it",
}
"""The settings that follow from the data, and how, in words."""


def shard_size_for(batch_size: int) -> int:
    """Images that one thread takes at a time.

    Example:
        >>> [shard_size_for(size) for size in (4, 16, 64, 512)]
        [4, 8, 16, 32]
    """
    return min(batch_size, max(8, min(32, batch_size // 4)))


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is taken for the settings that nobody gave.

    Attributes:
        images: training images that it is for.
        image_shape: ``(H, W, C)`` of them.
        model: name of a ready model.
        epochs: how often to go through the images.
        batch_size: images of a step.
        shard_size: images that one thread takes at a time.
        optimizer: how parameters follow their gradients.
        schedule: of the learning rate.
        augmentation: random changes to training images, or None.
        freeze: layers that stay as they are; None where nothing was learned before.

    Example:
        >>> from isoconv.data import load
        >>> recipe = Recipe.of(load("fashion-sample"))
        >>> recipe.epochs, recipe.batch_size, recipe.augmentation.crop_padding
        (12, 64, 1)
    """

    images: int
    image_shape: tuple[int, int, int]
    model: str
    epochs: int
    batch_size: int
    shard_size: int
    optimizer: Optimizer
    schedule: Schedule
    augmentation: Augmentation | None
    freeze: Literal["all", "none"] | None = None

    @classmethod
    def of(
        cls,
        train: Dataset,
        batch_size: int | None = None,
        *,
        tunes: Tunes | None = None,
    ) -> Recipe:
        """The recipe for these images.

        Args:
            train: what is to be learned from.
            batch_size: what a person gave, or None; the size of a shard follows from it.
            tunes: what learns of a model that was trained before; None for one that was not.

        Raises:
            ArgumentError: no data set, or a batch of no image.
        """
        from isoconv.checks import check_choice, check_count, check_kind
        from isoconv.data import Dataset
        from isoconv.train.learning_rate import OneCycle
        from isoconv.train.optim import AdamW

        check_kind("train", train, Dataset, "a Dataset")
        if tunes is not None:
            check_choice("tunes", tunes, get_args(Tunes))
        count = len(train)
        rows = (row[1:] for row in AMOUNTS if count < row[0])
        usual, epochs = next(rows, PLENTY)
        frozen = tunes in ("head", "part")
        decay = {"weight_decay": HEAD_DECAY} if tunes == "head" else {}
        still = train.has_maps and not train.of_places
        batch = usual if batch_size is None else check_count("batch_size", batch_size)
        return cls(
            images=count,
            image_shape=train.image_shape,
            model=MAP_MODEL if train.of_places else MODEL,
            epochs=epochs if tunes is None else epochs // 2,
            batch_size=batch,
            shard_size=shard_size_for(batch),
            optimizer=AdamW(**{**USUAL["adamw"], **decay}),
            schedule=OneCycle(),
            augmentation=None if frozen or still else _augmentation(train.image_shape),
            freeze=None if tunes is None else "all" if frozen else "none",
        )


def in_words(recipe: Recipe, chosen: Collection[str]) -> str:
    """What is taken for the settings that nobody gave; "" for none.

    Args:
        recipe: for the images.
        chosen: names of the settings that nobody gave.

    Example:
        >>> from isoconv.data import load
        >>> in_words(Recipe.of(load("fashion-sample")), ["epochs", "batch_size"])
        'chosen by the 10,000 training images of 28x28x1: 12 epochs, batches of 64'
    """
    words = {
        "model": recipe.model,
        "epochs": f"{recipe.epochs} epochs",
        "batch_size": f"batches of {recipe.batch_size}",
        "shard_size": f"shards of {recipe.shard_size}",
        "optimizer": in_short(recipe.optimizer),
        "schedule": in_short(recipe.schedule),
        "freeze": {"all": "all layers frozen but the head", "none": "no layer frozen"}.get(
            recipe.freeze or ""
        ),
        "augmentation": _changes(recipe.augmentation),
    }
    found = [text for name, text in words.items() if name in chosen and text]
    height, width, channels = recipe.image_shape
    images = f"{recipe.images:,} training images of {height}x{width}x{channels}"
    return f"chosen by the {images}: {', '.join(found)}" if found else ""


def _augmentation(shape: tuple[int, int, int]) -> Augmentation | None:
    from isoconv.data import Augmentation

    height, width, channels = shape
    side = min(height, width)
    if channels > 1 and side >= LEAST_PHOTOGRAPH:
        return Augmentation(crop_padding=side // PHOTOGRAPH, flip=True)
    moved = max(side // OTHERS, 1 if side >= LEAST_MOVED else 0)
    return Augmentation(crop_padding=moved) if moved else None


def in_short(settings: object) -> str:
    """Settings without those that are as usual; another value as it is.

    Example:
        >>> from isoconv.schedule import OneCycle, WarmUp
        >>> in_short(WarmUp(2, OneCycle())), in_short(0.0001), in_short(None)
        ('WarmUp(2, then=OneCycle())', '0.0001', 'None')
    """
    if not is_dataclass(settings):
        number = isinstance(settings, (int, float)) and not isinstance(settings, bool)
        return f"{settings:g}" if number else repr(settings)
    usual = {field.name: field.default for field in fields(settings)}
    given = [
        f"{'' if place == 0 else f'{name}='}{in_short(getattr(settings, name))}"
        for place, name in enumerate(usual)
        if getattr(settings, name) != usual[name]
    ]
    return f"{type(settings).__name__}({', '.join(given)})"


def _changes(augmentation: Augmentation | None) -> str:
    if augmentation is None:
        return "images as they are"
    pixels = augmentation.crop_padding
    moved = f"moved by up to {pixels} pixel{'' if pixels == 1 else 's'}"
    return f"images {'mirrored and ' if augmentation.flip else ''}{moved}"
