"""Kinds of values that a setting takes: how one is checked, and how it stands in run.json.

What a kind works with is imported when it works: the command line reads these before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoconv.nn.schema import Schema


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting takes.

    Attributes:
        check: gives a value of this name as it is kept, or raises what is wrong with it.
        schema: gives what a file may hold of it; None where no file does.
        python: the type of what is written as one word.
        least: the smallest number, where there is one.
        names: of which it is one, where it is one of some.
    """

    check: Callable[[str, Any], Any]
    schema: Callable[[], Schema] | None = None
    python: type = str
    least: float | None = None
    names: tuple[str, ...] = ()


def whole(least: int = 1, below: int | None = None) -> Kind:
    """A whole number of at least one bound and below another."""

    def check(name: str, value: Any) -> int:
        from isoconv.checks import check_count

        return check_count(name, value, least, below)

    def schema() -> Schema:
        from isoconv.checks import LARGEST
        from isoconv.nn.schema import Whole

        return Whole(least, LARGEST if below is None else below - 1)

    return Kind(check, schema, int, least)


def number(
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    *,
    single: bool = False,
) -> Kind:
    """A finite number within bounds; a single one takes part in float32 arithmetic."""

    def check(name: str, value: Any) -> float:
        from isoconv.checks import LARGEST_SINGLE, check_number

        most = LARGEST_SINGLE if single else None
        return check_number(name, value, least=least, above=above, below=below, most=most)

    def schema() -> Schema:
        from isoconv.checks import LARGEST_SINGLE
        from isoconv.nn.schema import Number

        return Number(least=least, above=above, most=LARGEST_SINGLE if single else None)

    return Kind(check, schema, float, least)


def choice(*names: str) -> Kind:
    """One of some names."""

    def check(name: str, value: Any) -> str:
        from isoconv.checks import check_choice

        return check_choice(name, value, names)

    return Kind(check, names=names)


def _flag(name: str, value: Any) -> bool:
    from isoconv.checks import check_flag

    return check_flag(name, value)


def _text(name: str, value: Any) -> str:
    from isoconv.checks import check_text

    return check_text(name, value)


FLAG = Kind(_flag, python=bool)
TEXT = Kind(_text)


def _made(what: str, kinds: Callable[[], tuple[type, tuple[type, ...]]]) -> Kind:
    """Settings of its own, such as an optimizer.

    Args:
        what: it is, in words.
        kinds: gives what anyone may make, and those of the library, which alone can be kept.
    """

    def check(name: str, value: Any) -> Any:
        from isoconv.checks import check_kind

        return check_kind(name, value, kinds()[0], what)

    def schema() -> Schema:
        from isoconv.train.plain_settings import Stored

        return Stored(*kinds()[1])

    return Kind(check, schema)


# What single settings take


def _optimizers() -> tuple[type, tuple[type, ...]]:
    from isoconv.train.optim import OPTIMIZERS, Optimizer

    return Optimizer, OPTIMIZERS


def _schedules() -> tuple[type, tuple[type, ...]]:
    from isoconv.train.learning_rate import SCHEDULES, Schedule

    return Schedule, SCHEDULES


def _stoppings() -> tuple[type, tuple[type, ...]]:
    from isoconv.train.callbacks import EarlyStopping

    return EarlyStopping, (EarlyStopping,)


OPTIMIZER = _made("an optimizer such as ic.optim.Adam(0.002), or None", _optimizers)
SCHEDULE = _made("a schedule such as Cosine(), or None", _schedules)
EARLY_STOPPING = _made("an EarlyStopping", _stoppings)


def _loss(name: str, value: Any) -> Any:
    from isoconv.errors import as_given
    from isoconv.train.losses import Loss

    with as_given({"name": name}):
        return value if isinstance(value, Loss) else Loss(value)


def _stored_loss() -> Schema:
    from isoconv.train.losses import Loss
    from isoconv.train.plain_settings import Stored

    return Stored(Loss)


def _augmentation(name: str, value: Any) -> Any:
    from isoconv.checks import refusal
    from isoconv.data import Augmentation

    if value is None or isinstance(value, Augmentation):
        return value
    if isinstance(value, str) and value == "auto":
        return "auto"
    raise refusal(name, "be an Augmentation, None or 'auto'", value)


def _stored_augmentation() -> Schema:
    from isoconv.data import Augmentation
    from isoconv.nn.schema import Maybe
    from isoconv.train.plain_settings import Stored

    return Maybe(Stored(Augmentation))


def _normalise(name: str, value: Any) -> bool | str:
    from isoconv.checks import plain, refusal

    found = plain(value)
    if isinstance(found, bool) or (isinstance(found, str) and found in ("keep", "anew")):
        return found if isinstance(found, bool) else str(found)
    raise refusal(name, "be True, False, 'keep' or 'anew'", value)


def _stored_normalise() -> Schema:
    from isoconv.nn.schema import Exactly

    return Exactly(True, False, "keep", "anew")


def _start(name: str, value: Any) -> Any:
    from pathlib import Path

    from isoconv.checks import check_path, refusal
    from isoconv.nn import Module
    from isoconv.train.start import Start

    if isinstance(value, (Module, Start)):
        return value
    if not isinstance(value, (str, Path)):
        raise refusal(name, "be a Module, or the path or name of a model", value)
    check_path(name, value)
    return value


def _freeze(name: str, value: Any) -> Any:
    from isoconv.checks import check_count, check_text, entries, refusal, whole

    if isinstance(value, str) and value in _FREEZE:
        return str(value)
    if whole(value) is not None:
        return check_count(name, value)
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)) or not value or "" in value:
        raise refusal(name, "be 'all', 'none', a number of layers or names of layers", value)
    return tuple(check_text(place, each) for place, each in entries(name, value).items())


_FREEZE = ("all", "none")


def _stored_freeze() -> Schema:
    from isoconv.checks import LARGEST
    from isoconv.nn.schema import Either, Exactly, Rows, Text, Whole

    return Either(Exactly(*_FREEZE), Whole(1, LARGEST), Rows(Text(longest=4096), least=1))


def _executor(name: str, value: Any) -> Any:
    from isoconv.checks import refusal

    if not callable(value):
        rule = "make what runs the steps when it is called, as TrainingEngine does"
        raise refusal(name, rule, value)
    return value


def _callbacks(name: str, value: Any) -> tuple[Any, ...]:
    import numpy as np

    from isoconv.checks import check_kind, entries, refusal
    from isoconv.train.callbacks import Callback

    odd = (Callback, str, bytes, np.ndarray)
    if isinstance(value, odd) or not isinstance(value, Iterable):
        raise refusal(name, "be a list of them", value)
    given = entries(name, value).items()
    return tuple(check_kind(place, each, Callback, "a Callback") for place, each in given)


def _progress(_: str, value: Any) -> Any:
    from isoconv.progress import check_progress

    return check_progress(value)


LOSS = Kind(_loss, _stored_loss)
AUGMENTATION = Kind(_augmentation, _stored_augmentation)
NORMALISE = Kind(_normalise, _stored_normalise)
START = Kind(_start)
FREEZE = Kind(_freeze, _stored_freeze)
EXECUTOR = Kind(_executor)
CALLBACKS = Kind(_callbacks)
PROGRESS = Kind(_progress)
