"""The stretches of a run: epochs that were asked for at once, each with a schedule of its own.

A run of which more epochs are asked later is another one than a run that was to have them from the
beginning: a schedule that knows its end has come to it already. So each stretch has a schedule of
its own, as long as the stretch was to be, and what was asked for when is part of the settings. It
is the same with fewer epochs: what was trained of a stretch was trained by its schedule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoconv.train.callbacks import EarlyStopping


@dataclass(frozen=True, slots=True)
class Stretch:
    """Epochs that were asked for at once.

    Attributes:
        after: the epoch after which it begins; 0 for the first one.
        until: the epoch that it was to end with.
    """

    after: int
    until: int


@dataclass(frozen=True, slots=True)
class Stretches:
    """The stretches of a run, one after the other.

    A stretch ends where the next one begins, which may be before its last epoch: early stopping
    or a callback ended the run there, and it was gone on with; or other epochs were asked for.

    Attributes:
        rows: at least one.
        epochs: how many epochs the run is to have in all: the end of the last stretch, or fewer,
            where the run was to be no longer than it was by then.
    """

    rows: tuple[Stretch, ...]
    epochs: int

    @classmethod
    def single(cls, epochs: int) -> Stretches:
        """Those of a run whose epochs were all asked for at its start."""
        return cls((Stretch(0, int(epochs)),), int(epochs))

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Stretches:
        """Those that settings name, as plain values.

        Example:
            >>> Stretches.of({"epochs": 5}) == Stretches.single(5)
            True
        """
        epochs = settings["epochs"]
        rows = settings.get("stretches", [{"after": 0, "until": epochs}])
        return cls(tuple(Stretch(row["after"], row["until"]) for row in rows), epochs)

    def plain(self) -> dict[str, Any]:
        """Settings as plain values: the epochs in all, and the stretches where they tell more.

        Example:
            >>> Stretches.single(5).plain()
            {'epochs': 5}
            >>> Stretches.single(5).extended(5, 20).plain()["stretches"]
            [{'after': 0, 'until': 5}, {'after': 5, 'until': 20}]
            >>> Stretches.single(20).extended(5, 5).plain()
            {'epochs': 5, 'stretches': [{'after': 0, 'until': 20}]}
        """
        found: dict[str, Any] = {"epochs": self.epochs}
        if self.told:
            found["stretches"] = [{"after": row.after, "until": row.until} for row in self.rows]
        return found

    @property
    def told(self) -> bool:
        """Whether settings name the stretches, for the number of epochs does not tell them."""
        return len(self.rows) > 1 or self.epochs < self.rows[-1].until

    @property
    def starts(self) -> frozenset[int]:
        """The epochs after which a stretch begins, but for the first."""
        return frozenset(row.after for row in self.rows[1:])

    def at(self, epoch: int) -> Stretch:
        """The stretch of an epoch, counted from 0."""
        return self.rows[bisect_right(self.rows, epoch, key=lambda row: row.after) - 1]

    def extended(self, done: int, epochs: int) -> Stretches:
        """The same with a further stretch.

        Args:
            done: the epoch after which it begins; stretches that were to begin there or later
                never will.
            epochs: the epoch that it is to end with; `done` for no further stretch.
        """
        begun = tuple(row for row in self.rows if row.after < done)
        further = (Stretch(done, epochs),) if done < epochs else ()
        return Stretches((*begun, *further), epochs)

    def asked(self, trained: int, epochs: int) -> Stretches:
        """The same where a run that has not ended is to have so many epochs in all.

        Args:
            trained: how many it has, the one under way among them; at least 1.
            epochs: at least `trained`.
        """
        if epochs == self.epochs:
            return self
        # A stretch that was asked for begins where it was to begin, if that is before the end.
        places = (trained, *(after for after in self.starts if trained < after), self.epochs)
        return self.extended(max(place for place in places if place <= epochs), epochs)

    def may_become(self, other: Stretches, epochs: int) -> bool:
        """Whether others may have come of these, of a run with so many epochs, by being asked for.

        One more epoch may have been under way.
        """
        if other == self or other.epochs < epochs:
            return False
        found = [self.extended(epochs, other.epochs)] if epochs else []
        found += [self.asked(each, other.epochs) for each in (max(epochs, 1), epochs + 1)
                  if each <= other.epochs]  # fmt: skip
        return other in found

    def stops(self, stopping: EarlyStopping, history: Sequence[Mapping[str, Any]]) -> bool:
        """Whether early stopping ends the run after this history.

        Its patience begins anew with each stretch, and a run that was gone on with did not end.
        """
        epochs = len(history)
        if not epochs or epochs in self.starts:
            return False
        return stopping.stops(history[self.at(epochs - 1).after :])

    @property
    def notes(self) -> list[str]:
        """What a person should know of a run of several stretches, a line each."""
        if not self.told:
            return []
        said = f"the run was to have {self.rows[0].until} epochs"
        rest = ", then after ".join(f"{row.after} up to {row.until}" for row in self.rows[1:])
        why = []
        if rest:
            said += f" and was gone on with after {rest}"
            why.append("the schedule begins anew with each stretch")
        if self.epochs < self.rows[-1].until:
            said += f", and then was to have {self.epochs}"
            why.append("the last schedule does not come to its end")
        span = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return [
            f"{said}: {' and '.join(why)}, so these are not the weights of a run of {span} from "
            "its start"
        ]
