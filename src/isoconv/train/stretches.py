"""The stretches of a run: epochs that were asked for at once, each with a schedule of its own.

A run of which more epochs are asked later is another one than a run that was to have them from the
beginning: a schedule that knows its end has come to it already. So each stretch has a schedule of
its own, as long as the stretch was to be, and what was asked for when is part of the settings.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoconv.train.callbacks import EarlyStopping

__all__ = ["Stretch", "Stretches"]


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
    or a callback ended the run there, and it was gone on with.

    Attributes:
        rows: at least one.
    """

    rows: tuple[Stretch, ...]

    @classmethod
    def single(cls, epochs: int) -> Stretches:
        """Those of a run whose epochs were all asked for at its start."""
        return cls((Stretch(0, int(epochs)),))

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Stretches:
        """Those that settings name, as plain values.

        Example:
            >>> Stretches.of({"epochs": 5}) == Stretches.single(5)
            True
        """
        rows = settings.get("stretches", [{"after": 0, "until": settings["epochs"]}])
        return cls(tuple(Stretch(row["after"], row["until"]) for row in rows))

    def plain(self) -> dict[str, Any]:
        """Settings as plain values: the epochs in all, and the stretches where there are several.

        Example:
            >>> Stretches.single(5).plain()
            {'epochs': 5}
            >>> Stretches.single(5).extended(5, 20).plain()["stretches"]
            [{'after': 0, 'until': 5}, {'after': 5, 'until': 20}]
        """
        found: dict[str, Any] = {"epochs": self.epochs}
        if len(self.rows) > 1:
            found["stretches"] = [{"after": row.after, "until": row.until} for row in self.rows]
        return found

    @property
    def epochs(self) -> int:
        """How many epochs the run is to have in all."""
        return self.rows[-1].until

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
            epochs: the epoch that it is to end with.
        """
        begun = tuple(row for row in self.rows if row.after < done)
        return Stretches((*begun, Stretch(done, epochs)))

    def may_become(self, other: Stretches, epochs: int) -> bool:
        """Whether these are others without their last stretch, of a run with so many epochs."""
        places = (self.epochs, epochs)
        return any(self.extended(done, other.epochs) == other for done in places if done)

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
        if len(self.rows) == 1:
            return []
        rest = ", then after ".join(f"{row.after} up to {row.until}" for row in self.rows[1:])
        return [
            f"the run was to have {self.rows[0].until} epochs and was gone on with after {rest}: "
            "the schedule begins anew with each stretch, so these are not the weights of a run of "
            f"{self.epochs} epochs from its start"
        ]
