"""What figures are called and what they are worth, in sentences: the same in every place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isoconv.train.callbacks import best_epoch, more_is_better
from isoconv.train.scores import Scores, wilson_interval

FEW = 30
"""Of fewer images even the interval says little: its ends lie 35 points apart at 50% of 29."""
APART = 0.05
"""So far apart lie the intervals of training and of other images where the model has learned by
heart; of many images they lie apart for differences that mean nothing."""


def accuracy(places: bool) -> str:
    """What the share of right answers is called: of images, or of the places of images.

    Example:
        >>> accuracy(True)
        'pixel accuracy'
    """
    return "pixel accuracy" if places else "accuracy"


def gives_places(described: Mapping[str, Any]) -> bool:
    """Whether the model of a run gives each place of an image a result of its own.

    Args:
        described: what run.json or the receipt says of the run.

    Example:
        >>> gives_places({"model": {"output_shape": [16, 16, 3]}}), gives_places({})
        (True, False)
    """
    return len(described.get("model", {}).get("output_shape", ())) > 1


def metric(column: str, places: bool = False) -> str:
    """A column of the history in words.

    Args:
        column: its name.
        places: the accuracies are of the places of images.

    Example:
        >>> metric("val_top1"), metric("loss"), metric("top1", places=True)
        ('validation accuracy', 'training loss', 'training pixel accuracy')
    """
    names = {"loss": "loss", "top1": accuracy(places), "top5": f"top-5 {accuracy(places)}",
             "iou": "mean IoU"}  # fmt: skip
    plain = column.removeprefix("val_")
    part = "training" if plain == column else "validation"
    return f"{part} {names[plain]}" if plain in names else column


def called_best(watched: str, places: bool = False) -> str:
    """What the best epoch is the best by, in words.

    Args:
        watched: the metric.
        places: as of `metric`.

    Example:
        >>> called_best("val_loss"), called_best("val_top1")
        ('lowest validation loss', 'highest validation accuracy')
    """
    return f"{'highest' if more_is_better(watched) else 'lowest'} {metric(watched, places)}"


def verdict(scores: Scores, name: str) -> str:
    """How a model stands beside always saying one class, where it is not shown to be better; "".

    Args:
        scores: of the model.
        name: of the baseline's class, as it is to be printed.

    Example:
        >>> from isoconv.train import score
        >>> verdict(score([[4, 1], [2, 3]]), "'cat'")
        "the model is not shown to be better than always saying 'cat', on these 10 images"
    """
    if scores.better_than_baseline:
        return ""
    base = scores.baseline.accuracy
    if scores.accuracy > base:
        stands = "not shown to be better than"
    else:
        stands = "worse than" if scores.accuracy_interval[1] < base else "no better than"
    images = f"these {scores.images:,} images" if scores.images > 1 else "this one image"
    return f"the model is {stands} always saying {name}, on {images}"


def few(images: int) -> str:
    """That so few images tell little, where they are few; "".

    Example:
        >>> few(15), few(300)
        ('15 images are few to measure with: they tell little of other images', '')
    """
    if images >= FEW:
        return ""
    are, they = ("1 image is", "it tells") if images == 1 else (f"{images} images are", "they tell")
    return f"{are} few to measure with: {they} little of other images"


def worth(scores: Scores, name: str) -> list[str]:
    """What an accuracy is worth, a line each: its interval, the baseline, and doubts.

    Args:
        scores: of the model.
        name: of the baseline's class, as it is to be printed.
    """
    low, high = scores.accuracy_interval
    where = "in training" if scores.baseline.learned else "of these images"
    base = f"{scores.baseline.accuracy:.2%}"
    lines = [
        f"95% interval of the accuracy: {low:.2%} to {high:.2%}",
        f"always saying {name}, the most frequent class {where}, would give {base}",
        verdict(scores, name),
        few(scores.images),
    ]
    return [line for line in lines if line]


def by_heart(scores: Scores, part: str, row: Mapping[str, Any], images: int) -> str:
    """That a model knows its training images far better than others, if so; "".

    Far better: the 95% intervals of both accuracies lie more than five percentage points apart.
    The accuracy in training is the mean over an epoch, of images as they were changed at random.

    Args:
        scores: on other images.
        part: what those are, such as ``"test"``.
        row: of the history, of the epoch whose weights were measured.
        images: that were learned from.

    Example:
        >>> from isoconv.train import score
        >>> by_heart(score([[3, 5], [5, 2]]), "test", {"top1": 0.86}, 120)
        'learned by heart: training accuracy 86.0%, test 33.3%; more pictures would help'
    """
    learned = row.get("top1")
    if learned is None or not images:
        return ""
    low, _ = wilson_interval(round(float(learned) * images), images)
    if low - scores.accuracy_interval[1] <= APART:
        return ""
    return (
        f"learned by heart: training accuracy {learned:.1%}, {part} {scores.accuracy:.1%}; more "
        "pictures would help"
    )


def doubt_of_best(
    history: Sequence[Mapping[str, Any]], watched: str, images: int, places: bool = False
) -> str:
    """That the best epoch recognises clearly less than the last one, if so; "".

    Clearly: at least two validation images and five percentage points less.

    Args:
        history: a row for each epoch.
        watched: the metric that tells the best epoch.
        images: of the validation part.
        places: as of `metric`.

    Example:
        >>> rows = [{"val_loss": 1.0, "val_top1": 0.2}, {"val_loss": 1.5, "val_top1": 0.6}]
        >>> doubt_of_best(rows, "val_loss", 15).partition("; ")[2]
        'its validation accuracy is 20.00%, that of the last epoch, 2, is 60.00%'
    """
    if not history or any(row.get(watched) is None for row in history):
        return ""
    epoch = best_epoch(history, watched)
    best, last = (row.get("val_top1") for row in (history[epoch - 1], history[-1]))
    if best is None or last is None:
        return ""
    if round((last - best) * images) < 2 or last - best < APART:
        return ""
    return (
        f"the best epoch, {epoch}, is that of the {called_best(watched, places)}; its "
        f"{metric('val_top1', places)} "
        f"is {best:.2%}, that of the last epoch, {len(history)}, is {last:.2%}"
    )
