"""Kinds of values that a setting takes: how one is checked, and how it stands in run.json.

What a kind works with is imported when it works: the command line reads these before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

if TYPE_CHECKING:
    from rich.console import Console

    from isoconv.data import Augmentation
    from isoconv.nn.schema import Schema
    from isoconv.run.executor import ExecutorFactory
    from isoconv.train.callbacks import Callback
    from isoconv.train.graphs import Loss

__all__ = [
    "Choice", "Flag", "Kind", "Made", "Number", "Own", "Text", "Whole", "checked_augmentation",
    "checked_callbacks", "checked_executor", "checked_loss", "checked_normalise",
    "checked_progress", "optimizers", "schedules", "stoppings", "stored_augmentation",
    "stored_loss", "stored_normalise",
]  # fmt: skip


class Kind:
    """What a setting takes.

    Attributes:
        python: the type of a value that is written as one word.
        least: the smallest value, where there is one.
    """

    python: ClassVar[type] = str
    least: float | None = None

    def check(self, name: str, value: Any) -> Any:
        """A value as it is kept.

        Raises:
            ArgumentError: it is none of this kind.
        """
        raise NotImplementedError

    def schema(self) -> Schema:
        """What a file may hold of it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number of at least one bound and below another."""

    python = int
    least: int = 1
    below: int | None = None

    def check(self, name: str, value: Any) -> int:
        """The number."""
        from isoconv.checks import check_count

        return check_count(name, value, self.least, self.below)

    def schema(self) -> Schema:
        """The number."""
        from isoconv.checks import LARGEST
        from isoconv.nn.schema import Whole as WholeSchema

        return WholeSchema(self.least, LARGEST if self.below is None else self.below - 1)


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A finite number within bounds; a single one takes part in float32 arithmetic."""

    python = float
    least: float | None = None
    above: float | None = None
    below: float | None = None
    single: bool = False

    def check(self, name: str, value: Any) -> float:
        """The number."""
        from isoconv.checks import LARGEST_SINGLE, check_number

        most = LARGEST_SINGLE if self.single else None
        return check_number(
            name, value, least=self.least, above=self.above, below=self.below, most=most
        )

    def schema(self) -> Schema:
        """The number."""
        from isoconv.checks import LARGEST_SINGLE
        from isoconv.nn.schema import Number as NumberSchema

        most = LARGEST_SINGLE if self.single else None
        return NumberSchema(least=self.least, above=self.above, most=most)


class Flag(Kind):
    """True or False."""

    python = bool

    def check(self, name: str, value: Any) -> bool:
        """The flag."""
        from isoconv.checks import check_flag

        return check_flag(name, value)


class Text(Kind):
    """A text."""

    def check(self, name: str, value: Any) -> str:
        """The text."""
        from isoconv.checks import check_text

        return check_text(name, value)


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of some names, which the command line alone takes."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Made(Kind):
    """Settings of its own, such as an optimizer.

    Attributes:
        what: it is, in words.
        kinds: gives what anyone may make, and those of the library, which alone can be kept.
    """

    what: str
    kinds: Callable[[], tuple[type, tuple[type, ...]]]

    def check(self, name: str, value: Any) -> Any:
        """The settings."""
        from isoconv.checks import check_kind

        return check_kind(name, value, self.kinds()[0], self.what)

    def schema(self) -> Schema:
        """The library's own."""
        from isoconv.train.plain_settings import Stored

        return Stored(*self.kinds()[1])


@dataclass(frozen=True, slots=True)
class Own(Kind):
    """What one setting alone takes.

    Attributes:
        taken: checks a value.
        held: gives its schema; None where no file holds it.
    """

    taken: Callable[[str, Any], Any]
    held: Callable[[], Schema] | None = None

    def check(self, name: str, value: Any) -> Any:
        """The value as it is kept."""
        return self.taken(name, value)

    def schema(self) -> Schema:
        """What a file may hold of it."""
        if self.held is None:
            raise NotImplementedError
        return self.held()


# What single settings take


def optimizers() -> tuple[type, tuple[type, ...]]:
    """What an optimizer is, and the library's own."""
    from isoconv.train.optim import OPTIMIZERS, Optimizer

    return Optimizer, OPTIMIZERS


def schedules() -> tuple[type, tuple[type, ...]]:
    """What a schedule is, and the library's own."""
    from isoconv.train.learning_rate import SCHEDULES, Schedule

    return Schedule, SCHEDULES


def stoppings() -> tuple[type, tuple[type, ...]]:
    """What early stopping is, and the library's own."""
    from isoconv.train.callbacks import EarlyStopping

    return EarlyStopping, (EarlyStopping,)


def checked_loss(name: str, value: Any) -> Loss:
    """A loss, or its name, as a loss."""
    from isoconv.errors import as_given
    from isoconv.train.graphs import Loss

    with as_given({"name": name}):
        return value if isinstance(value, Loss) else Loss(value)


def stored_loss() -> Schema:
    """A loss in a file."""
    from isoconv.train.graphs import Loss
    from isoconv.train.plain_settings import Stored

    return Stored(Loss)


def checked_augmentation(name: str, value: Any) -> Augmentation | Literal["auto"] | None:
    """Random changes, none, or "auto" for those that suit the images."""
    from isoconv.checks import refusal
    from isoconv.data import Augmentation

    if value is None or isinstance(value, Augmentation):
        return value
    if isinstance(value, str) and value == "auto":
        return "auto"
    raise refusal(name, "be an Augmentation, None or 'auto'", value)


def stored_augmentation() -> Schema:
    """Random changes in a file, or none."""
    from isoconv.data import Augmentation
    from isoconv.nn.schema import Maybe
    from isoconv.train.plain_settings import Stored

    return Maybe(Stored(Augmentation))


def checked_normalise(name: str, value: Any) -> bool | str:
    """How images are to be normalised."""
    from isoconv.checks import plain, refusal

    found = plain(value)
    if isinstance(found, bool) or (isinstance(found, str) and found in ("keep", "anew")):
        return found if isinstance(found, bool) else str(found)
    raise refusal(name, "be True, False, 'keep' or 'anew'", value)


def stored_normalise() -> Schema:
    """That in a file."""
    from isoconv.nn.schema import Exactly

    return Exactly(True, False, "keep", "anew")


def checked_callbacks(name: str, value: Any) -> tuple[Callback, ...]:
    """Callbacks as a tuple."""
    import numpy as np

    from isoconv.checks import check_kind, entries, refusal
    from isoconv.train.callbacks import Callback

    odd = (Callback, str, bytes, np.ndarray)
    if isinstance(value, odd) or not isinstance(value, Iterable):
        raise refusal(name, "be a list of them", value)
    given = entries(name, value).items()
    return tuple(check_kind(place, each, Callback, "a Callback") for place, each in given)


def checked_executor(name: str, value: Any) -> ExecutorFactory:
    """What makes the executor of a training."""
    from isoconv.checks import refusal

    if not callable(value):
        rule = "make what runs the steps when it is called, as TrainingEngine does"
        raise refusal(name, rule, value)
    return cast("ExecutorFactory", value)


def checked_progress(_: str, value: Any) -> bool | Console:
    """True, False, or a place to show the progress in."""
    from isoconv.progress import check_progress

    return check_progress(value)
