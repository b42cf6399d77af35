"""How the scores of a classifier are shown: a table of classes, mistakes by file, JSON, CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.cli.table import print_table, say
from isoconv.printable import csv_line, printable

if TYPE_CHECKING:
    from isoconv.data import Dataset, Samples, Skipped
    from isoconv.train import Answer, Evaluation, Scores

CSV_COLUMNS = ("path", "true", "predicted", "probability", "part")
UNKNOWN = "unknown"
"""The part of an image of which nobody can tell whether the run held it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What was measured on some images, and what to call it; `of` knows of which kind it is.

    Attributes:
        title: of the part, as it begins a line.
        data: its images.
        evaluation: of these.
        scores: of these.
        names: of the classes.
        parts: for each image the part of the run that held it, "" for none, or `UNKNOWN`.
    """

    title: str
    data: Dataset
    evaluation: Evaluation
    scores: Scores
    names: Sequence[str]
    parts: Sequence[str]

    @classmethod
    def of(
        cls,
        title: str,
        data: Dataset,
        evaluation: Evaluation,
        *,
        names: Sequence[str],
        parts: Sequence[str],
        majority: int | None,
    ) -> Scored:
        """What was measured, with its scores.

        Args:
            title: of the part.
            data: its images.
            evaluation: of these.
            names: of the classes.
            parts: for each image the part of the run that held it, "" for none, or `UNKNOWN`.
            majority: the most frequent class in training, if that is known.
        """
        from isoconv.errors import DataError
        from isoconv.train import score

        made: type[Scored] = cls
        if evaluation.of_places:
            from isoconv.cli.scored_places import ScoredPlaces

            made = ScoredPlaces
            if not evaluation.confusion.any():
                raise DataError(f"{data.name}: a pixel with a label is needed to measure; got none")
        scores = score(evaluation.confusion, majority)
        return made(title, data, evaluation, scores, names, parts)

    def answers(self, *, mistakes: bool = False) -> list[Answer]:
        """What was said of each image, or of those that were mistaken."""
        from isoconv.train import answers

        return answers(self.data, self.evaluation, mistakes=mistakes)

    def print_classes(self) -> None:
        """Print a line for each class, and the means over them."""
        rows = [
            (name, f"{each.images:,}", *map(share_of, (each.precision, each.recall, each.f1)))
            for name, each in zip(self.names, self.scores.classes, strict=True)
        ]
        titles = ("class", "images", "precision", "recall", "F1")
        print_table(titles, rows, numbers=(1, 2, 3, 4), shorten=(0,))
        found = self.scores
        means = f"precision {found.precision:.1%}, recall {found.recall:.1%}, F1 {found.f1:.1%}"
        say(f"macro averages: {means}")

    def print_result(self) -> None:
        """Print accuracy and loss, the accuracy's interval and what it is worth."""
        from isoconv.cli.ending import result_lines

        for line in result_lines(self.title, self.evaluation, len(self.data)):
            say(line)
        for line in self.worth():
            say(line)

    def worth(self) -> list[str]:
        """What the accuracy is worth, a line each: its interval, the baseline, and doubts."""
        from isoconv.train.words import worth

        return worth(self.scores, printable(repr(self.names[self.scores.baseline.number])))

    def by_heart(self, row: dict[str, Any], images: int) -> str:
        """That the model knows its training images far better, if so; "".

        Args:
            row: of the history, of the epoch whose weights were measured.
            images: that were learned from.
        """
        from isoconv.train.words import by_heart

        return by_heart(self.scores, self.title, row, images)

    def print_mistakes(self, most: int) -> None:
        """Print the mistakes by file, the most certain ones first."""
        found = self.answers(mistakes=True)
        if not most or not found:
            return
        shown = found[:most]
        more = "" if len(found) <= most else f" (all: --mistakes {len(found)})"
        say(f"mistakes, the most certain first, {len(shown):,} of {len(found):,}{more}:")
        rows = [
            (
                _place(each),
                self.names[each.true],
                self.names[each.predicted],
                f"{each.probability:.1%}",
            )
            for each in shown
        ]
        titles = ("file", "class", "taken for", "probability")
        print_table(titles, rows, numbers=(3,), shorten=(0, 1, 2))

    def plain(self) -> dict[str, Any]:
        """All of it but what was said of each image, as plain values."""
        found = self.scores
        base = found.baseline
        return {
            "images": found.images,
            "accuracy": self.evaluation.top1,
            "accuracy_interval_95": list(found.accuracy_interval),
            "top5": self.evaluation.top5,
            "loss": self.evaluation.loss,
            "loss_kind": self.evaluation.judged_by.words,
            "loss_guessed": self.evaluation.guessed,
            "macro": {"precision": found.precision, "recall": found.recall, "f1": found.f1},
            "baseline": {
                "class": self.names[base.number],
                "accuracy": base.accuracy,
                "most_frequent_in": "training" if base.learned else "these images",
            },
            "better_than_baseline": found.better_than_baseline,
        }

    def plain_classes(self) -> dict[str, Any]:
        """The scores of each class by its name, as plain values."""
        return {
            name: {
                "images": each.images,
                "accuracy": each.recall,
                "precision": each.precision,
                "recall": each.recall,
                "recall_interval_95": each.recall_interval and list(each.recall_interval),
                "f1": each.f1,
            }
            for name, each in zip(self.names, self.scores.classes, strict=True)
        }

    def plain_answers(self, *, mistakes: bool = False) -> list[dict[str, Any]]:
        """What was said of each image, as plain values; see `rows` for the same as CSV."""
        return [
            {
                "path": each.path or None,
                "true": self.names[each.true],
                "predicted": self.names[each.predicted],
                "probability": each.probability,
                "part": self.parts[each.sample],
            }
            for each in self.answers(mistakes=mistakes)
        ]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """What was said of each image as rows of a table, below one with the columns' names."""
        yield CSV_COLUMNS
        for each in self.answers():
            names = self.names[each.true], self.names[each.predicted]
            yield (_place(each), *names, str(each.probability), self.parts[each.sample])


def majority_of(samples: Samples | None, names: Sequence[str]) -> int | None:
    """The class that was the most frequent one in training, the first of equals.

    Args:
        samples: of the run; None where nobody can tell.
        names: of the classes.

    Returns:
        Its number; None where nobody can tell.
    """
    rows = () if samples is None else samples.rows
    counts = Counter(row.class_name for row in rows if row.part == "train")
    most = max(names, key=counts.__getitem__, default=None)
    return None if most is None or not counts[most] else list(names).index(most)


def plain_skipped(skipped: Sequence[Skipped]) -> list[dict[str, str]]:
    """Files that could not be read, as plain values."""
    return [{"path": each.path, "reason": each.reason} for each in skipped]


def write_csv(path: Path, scored: Scored) -> None:
    """Write what was said of each image into a file, whole or not at all.

    What is there and is no regular file, such as a pipe, is written into.

    Raises:
        CheckpointError: it cannot be written.
        OSError: likewise.
    """
    from isoconv.train.files import write_bytes

    content = "".join(map(csv_line, scored.rows()))
    # Names of files need not be valid text.
    whole = content.encode("utf-8", "surrogateescape")
    place = path.resolve()
    if place.exists() and not place.is_file():
        place.write_bytes(whole)
    else:
        write_bytes(place, whole)
    say(f"each image's answer {printable(path)}")


def share_of(value: float | None) -> str:
    """A share in per cent; a dash where there is none."""
    return "-" if value is None else f"{value:.1%}"


def _place(answer: Answer) -> str:
    """The path of an image; where its source has none, its number."""
    return answer.path or str(answer.sample)
