"""How the scores of a model that gives each pixel a class are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from isoconv.cli.scored import Scored, share_of
from isoconv.cli.table import print_table, say
from isoconv.printable import printable

if TYPE_CHECKING:
    from isoconv.train.place_scores import PlaceAnswer


class ScoredPlaces(Scored):
    """What was measured on images whose places have classes, and what to call it."""

    __slots__ = ()

    def places(self) -> list[PlaceAnswer]:
        """What was said of the pixels of each image."""
        from isoconv.train.place_scores import place_answers

        return place_answers(self.data, self.evaluation)

    def print_classes(self) -> None:
        """Print a line for each class, and the means over them."""
        total = self.scores.images
        rows = [
            (
                name,
                f"{each.images / total:.1%}",
                *map(share_of, (each.iou, each.precision, each.recall, each.f1)),
            )
            for name, each in zip(self.names, self.scores.classes, strict=True)
        ]
        titles = ("class", "of pixels", "IoU", "precision", "recall", "Dice")
        print_table(titles, rows, numbers=(1, 2, 3, 4, 5), shorten=(0,))

    def worth(self) -> list[str]:
        """What the scores are worth, a line each: a baseline, and doubts.

        Pixels of an image are alike, so there is no interval by them.
        """
        from isoconv.train.words import accuracy, few

        base, found = self.scores.baseline, self.scores
        there = [each for each in found.classes if each.images]
        alone = base.accuracy / max(len(there), 1)
        name = printable(repr(self.names[base.number]))
        lines = [
            f"calling every pixel {name}, the most frequent class of these images, would give a "
            f"mean IoU of {alone:.2%} and a {accuracy(True)} of {base.accuracy:.2%}",
            "" if found.iou > alone else "the model is no better than that",
            few(len(self.data)),
        ]
        return [line for line in lines if line]

    def by_heart(self, row: dict[str, Any], images: int) -> str:  # noqa: ARG002
        """Nothing: there is no interval that would tell."""
        return ""

    def print_mistakes(self, most: int) -> None:
        """Print the images that were recognised least."""
        from isoconv.train.words import accuracy

        known = [each for each in self.places() if each.iou is not None and each.hits < each.places]
        shown = sorted(known, key=lambda each: each.iou or 0.0)[:most]
        if not shown:
            return
        more = "" if len(known) <= most else f" (all: --mistakes {len(known)})"
        say(f"least recognised first, {len(shown):,} of {len(known):,}{more}:")
        rows = [
            (
                each.path or str(each.sample),
                share_of(each.iou),
                f"{each.hits / each.places:.1%}",
            )
            for each in shown
        ]
        print_table(("file", "mean IoU", accuracy(True)), rows, numbers=(1, 2), shorten=(0,))

    def plain(self) -> dict[str, Any]:
        """All of it but what was said of each image, as plain values."""
        found = self.scores
        base = found.baseline
        return {
            "images": len(self.data),
            "pixels": found.images,
            "mean_iou": found.iou,
            "accuracy": found.accuracy,
            "accuracy_of_images": self.evaluation.top1,
            "loss": self.evaluation.loss,
            "loss_kind": self.evaluation.judged_by.words,
            "loss_guessed": self.evaluation.guessed,
            "macro": {"precision": found.precision, "recall": found.recall, "dice": found.f1},
            "baseline": {"class": self.names[base.number], "accuracy": base.accuracy},
        }

    def plain_classes(self) -> dict[str, Any]:
        """The scores of each class by its name, as plain values."""
        return {
            name: {
                "pixels": each.images,
                "predicted": each.predicted,
                "hits": each.hits,
                "iou": each.iou,
                "precision": each.precision,
                "recall": each.recall,
                "dice": each.f1,
            }
            for name, each in zip(self.names, self.scores.classes, strict=True)
        }

    def plain_answers(self, *, mistakes: bool = False) -> list[dict[str, Any]]:
        """What was said of each image, as plain values."""
        return [
            {
                "path": each.path or None,
                "mean_iou": each.iou,
                "pixels": each.places,
                "hits": each.hits,
                "true": dict(zip(self.names, each.true, strict=True)),
                "predicted": dict(zip(self.names, each.predicted, strict=True)),
                "part": self.parts[each.sample],
            }
            for each in self.places()
            if not mistakes or each.hits < each.places
        ]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """What was said of each image as rows of a table, below one with the columns' names."""
        yield ("path", "mean_iou", "pixels", "hits", "part")
        for each in self.places():
            iou = "" if each.iou is None else str(each.iou)
            place = each.path or str(each.sample)
            yield (place, iou, str(each.places), str(each.hits), self.parts[each.sample])
