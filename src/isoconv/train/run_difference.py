"""Where two runs part: settings, data, first weights, then epoch, step and tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.checks import check_kind
from isoconv.errors import CheckpointError, as_given
from isoconv.printable import printable_lines
from isoconv.train.compare import Difference, Side, compare_epochs, state_after
from isoconv.train.differing import differing, told
from isoconv.train.files import read_rows
from isoconv.train.layout import FROM, ROW, SKIPPED
from isoconv.train.receipt import Receipt
from isoconv.train.words import gives_places
from isoconv.wording import either

__public__ = {"isoconv.train": ["*"]}

# What decides the results, in the order in which it comes into play.
_HEAD = ("arithmetic", "settings", "data", "samples_sha256", "record", "start", "model")

# What follows from that, as a rule; and what is no difference by itself, but may be why.
_FOLLOWING = ("record", "start", "model", "samples_sha256")
_SPLIT = "split."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run so far, as its receipt tells.

    Attributes:
        epochs: how many there are.
        planned: how many it was to have.
        best_epoch: the best by the watched metric.
        images: of the training part.
        seconds: of training, as metrics.jsonl tells; None where it does not.
        weights: SHA-256 of the weights that it left, or of those after the last epoch.
        measured: accuracy, loss and mean IoU by part, "test", "validation" and "training", each
            None where it was not measured: test at the end, the others in the epoch whose weights
            are left.
        of_places: accuracies are of the places of images.
    """

    epochs: int
    planned: int
    best_epoch: int
    images: int
    seconds: float | None
    weights: str
    measured: Mapping[str, tuple[float | None, float | None, float | None]]
    of_places: bool = False

    @classmethod
    def of(cls, receipt: Receipt) -> Outcome:
        """What a receipt tells.

        Raises:
            ArgumentError: it is none.
            CheckpointError: its metrics make no sense.
        """
        check_kind("receipt", receipt, Receipt, "a Receipt")
        kept = receipt.entries[receipt.kept_epoch]
        final = receipt.content["final"] or {}
        exact = {**kept["readable"]}
        for name, value in (final.get("test") or {}).items():
            exact[f"test_{name}"] = None if value is None else float.fromhex(value)
        measured = {
            part: (
                exact.get(f"{prefix}top1"),
                exact.get(f"{prefix}loss"),
                exact.get(f"{prefix}iou"),
            )
            for part, prefix in (("test", "test_"), ("validation", "val_"), ("training", ""))
        }
        return cls(
            epochs=receipt.epochs,
            planned=receipt.planned,
            best_epoch=receipt.best_epoch if receipt.epochs else 0,
            images=receipt.content["data"]["train"]["samples"],
            seconds=_seconds(receipt),
            weights=final.get("weights_sha256", kept["weights_sha256"]),
            measured=measured,
            of_places=gives_places(receipt.content),
        )


def _seconds(receipt: Receipt) -> float | None:
    """How long the epochs took; no receipt tells, for no two machines are alike."""
    try:
        rows, _ = read_rows(receipt.folder / "metrics.jsonl", ROW)
    except CheckpointError:
        return None
    if len(rows) < receipt.epochs or not all("seconds" in row for row in rows):
        return None
    total = 0.0
    for row in rows[: receipt.epochs]:
        total += row["seconds"]
    return total


@dataclass(frozen=True, slots=True)
class RunDifference:
    """How two runs differ.

    Attributes:
        a: folder of the first run.
        b: folder of the second run.
        head: what went in and differs, a line each.
        place: the first epoch, step and tensor that differ, or None.
        epochs: how many epochs were compared.
        notes: what else there is to say.
        outcomes: what came of the first run and of the second one.
    """

    a: Path
    b: Path
    head: tuple[str, ...]
    place: Difference | None
    epochs: int
    notes: tuple[str, ...] = ()
    outcomes: tuple[Outcome, Outcome] | None = None

    @property
    def identical(self) -> bool:
        """Whether both receipts say the same, and nothing is to be said besides."""
        return not self.different and not self.notes

    @property
    def different(self) -> bool:
        """Whether the receipts differ in what they say of the runs."""
        return bool(self.head) or self.place is not None

    def __str__(self) -> str:
        return printable_lines("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        notes = [f"note: {note}" for note in self.notes]
        if not self.different:
            said = "identical" if self.identical else "no difference found"
            return [f"{said}: {self.a} and {self.b}, {_epochs(self.epochs)}", *notes]
        split = [note for note in self.notes if note.startswith(_SPLIT)]
        notes = [f"note: {note}" for note in self.notes if note not in split]
        lines = [f"different: A is {self.a}, B is {self.b}", *_folded(self.head, split)]
        if self.place is None:
            lines.append(f"no difference in {_epochs(self.epochs)} that both have")
        else:
            lines += self.place.lines("A", "B")
        return [*lines, *notes]


def _folded(head: Sequence[str], split: Sequence[str]) -> list[str]:
    """What differs: what a person set, a line each, and how much there is that follows from it.

    Args:
        head: what went in and differs.
        split: how the parts were made and read, likewise.
    """

    def is_set(line: str) -> bool:
        if line.startswith("model.layers"):
            # They tell of a model that has no name, and follow from the name and the size.
            return not (split or any(each.startswith("model.name:") for each in head))
        if line.startswith("data.") and ".sha256:" in line:
            return not split
        return line.startswith("model.name:") or not line.startswith(_FOLLOWING)

    told = [line for line in head if is_set(line)]
    more = len(head) - len(told)
    if more < 2 or not (told or split):
        return [*split, *head]
    how = either("`head` has them", "--json lists them")
    settings = [line for line in told if line.startswith("settings.")]
    others = [line for line in told if line not in settings]
    return [*settings, *split, *others, f"and {more} more places that follow as a rule; {how}"]


def diff(a: str | Path, b: str | Path) -> RunDifference:
    """Compare two run folders by their receipts; nothing is computed anew.

    Args:
        a: a run folder.
        b: another one.

    Raises:
        CheckpointError: a receipt is missing, truncated, edited or of another format.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from isoconv import nn
        >>> from isoconv.train import Trainer
        >>> data = np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1), [0, 1, 0, 1]
        >>> folder = Path(tempfile.mkdtemp())
        >>> for seed in (0, 1):
        ...     model = nn.Sequential(nn.Flatten(), nn.Linear(2))
        ...     trainer = Trainer(model, seed=seed, batch_size=2, progress=False)
        ...     run = trainer.fit(data, epochs=1, out=folder / str(seed))
        >>> found = diff(folder / "0", folder / "1")
        >>> found.head, found.place.where, found.place.tensor
        (('settings.seed: A 0, B 1',), 'the state before the first step', '1.weight')
    """
    with as_given({"folder": "a"}):
        first = Receipt.read(a)
    with as_given({"folder": "b"}):
        second = Receipt.read(b)
    notes = [*first.problems, *first.altered, *second.problems, *second.altered]
    begun = [{FROM: each.content.get(FROM, {})} for each in (first, second)]
    head = [line for name in _HEAD for line in _lines(name, first.content, second.content)]
    head += [line for line in _lines(FROM, *begun) if line.startswith(f"{FROM}.weights")]
    shared = min(first.epochs, second.epochs)
    place = None
    for epoch in range(shared + 1):
        place = compare_epochs(_side(first, epoch), _side(second, epoch))
        if place is not None:
            break
    if place is None and first.epochs != second.epochs:
        head.append(f"epochs so far: A {first.epochs}, B {second.epochs}")
    elif place is None and first.finished != second.finished:
        head.append(f"{'B' if first.finished else 'A'} has not ended")
    elif place is None:
        head += _lines("final", first.content, second.content)
    # The parts that came of it are compared by their digests.
    notes += _lines("split", first.content, second.content)
    left_out = [{SKIPPED: each.content.get(SKIPPED, [])} for each in (first, second)]
    notes += _lines(SKIPPED, *left_out)
    if first.content["isoconv"] != second.content["isoconv"]:
        notes.append(f"isoconv {first.content['isoconv']} and {second.content['isoconv']}")
    outcomes = Outcome.of(first), Outcome.of(second)
    return RunDifference(Path(a), Path(b), tuple(head), place, shared, tuple(notes), outcomes)


def _lines(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Where two receipts differ below an entry, a line each."""
    return [
        f"{place}: A {told(one)}, B {told(other)}"
        for place, one, other in differing(a[name], b[name], name)
    ]


def _side(receipt: Receipt, epoch: int) -> Side:
    return Side(
        receipt.entries[epoch],
        receipt.details.get(epoch),
        lambda: state_after(receipt, epoch),
    )


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"
