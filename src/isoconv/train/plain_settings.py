"""Settings as plain values for JSON, and back."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.checks import refusal
from isoconv.data import Augmentation
from isoconv.errors import ArgumentError, CheckpointError, turned
from isoconv.nn.plain import canonical, parse
from isoconv.nn.schema import ABSENT, Fault, Schema, brief, inner
from isoconv.nn.settings import added_settings
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.differing import differing, told
from isoconv.train.learning_rate import SCHEDULES
from isoconv.train.losses import Loss
from isoconv.train.optim import OPTIMIZERS

_TYPES: dict[str, type] = {
    kind.__name__: kind for kind in (*OPTIMIZERS, *SCHEDULES, Augmentation, EarlyStopping, Loss)
}


def to_plain(value: Any) -> Any:
    """Numbers, strings, lists and dicts that say the same; records carry their ``type``.

    Example:
        >>> to_plain(EarlyStopping(3))["type"]
        'EarlyStopping'
    """
    if is_dataclass(value) and not isinstance(value, type):
        if _TYPES.get(type(value).__name__) is not type(value):
            return {UNREADABLE: type(value).__name__}
        usual = added_settings(type(value))
        plain = {
            field.name: to_plain(found)
            for field in fields(value)
            if (found := getattr(value, field.name)) != usual.get(field.name, MISSING)
        }
        return {"type": type(value).__name__, **plain}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    # What cannot be told is named, without the address that its text may hold.
    return {UNREADABLE: type(value).__name__}


UNREADABLE = "cannot be stored"
"""Key that stands for a value of a kind that has no plain values."""


def check_stored(name: str, value: Any, kept: str) -> None:
    """See that a setting can be read back from what is kept of it.

    Args:
        name: of the setting, for the message.
        value: of the setting.
        kept: where it is to be kept, for the message.

    Raises:
        ArgumentError: it cannot.
    """
    reason = ""
    try:
        plain = to_plain(value)
        fits = to_plain(from_plain(parse(canonical(plain)))) == plain
    except (CheckpointError, ValueError, TypeError, RecursionError) as error:
        fits, reason = False, f": {error}"
    if not fits:
        rule = (
            "be made of the library's own settings, numbers, texts, lists and dicts to be kept in "
            f"{kept} and read back"
        )
        got = f"{type(value).__name__}{reason} (without a run folder any will do)"
        raise refusal(name, rule, value, got=got)


def check_facts(facts: object, kept: str = "") -> Mapping[str, Any]:
    """What a person wants kept of a run, by name.

    Args:
        facts: a dict of plain values, or None for none.
        kept: where they are to be kept, for the message; "" for nowhere.

    Raises:
        ArgumentError: it is no dict, or what is to be kept cannot be read back.
    """
    if facts is None:
        return {}
    if not isinstance(facts, Mapping):
        raise refusal("facts", "be a dict of plain values", facts, got=f"{facts!r:.80}")
    for name, value in facts.items() if kept else ():
        check_stored(f"facts[{name!r}]", value, kept)
    return facts


def from_plain(plain: Any) -> Any:
    """What `to_plain` was given.

    Raises:
        CheckpointError: a record of an unknown type, or with other fields.

    Example:
        >>> from_plain(to_plain(Loss("mse")))
        Loss(name='mse', label_smoothing=0.0, class_weights=())
    """
    if isinstance(plain, list):
        return [from_plain(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    values = {key: from_plain(item) for key, item in plain.items()}
    if UNREADABLE in values:
        raise CheckpointError(f"settings of type {told(values[UNREADABLE])} were not stored")
    if "type" not in values:
        return values
    name = values.pop("type")
    if not isinstance(name, str) or name not in _TYPES:
        raise CheckpointError(
            f"settings of type {told(name)} cannot be read back; known are "
            f"{', '.join(sorted(_TYPES))}"
        )
    try:
        return _TYPES[name](**values)
    except (TypeError, ValueError, AttributeError) as error:
        what = f"settings of type {name} cannot be read"
        raise turned(error, CheckpointError, what) from error


class Stored(Schema):
    """Settings as `to_plain` writes them: a ``type`` among some, its fields, and no others.

    What the fields may hold, the type itself says when it is made.

    Args:
        kinds: the types that are taken.
    """

    _MOST_LEVELS = 20

    def __init__(self, *kinds: type) -> None:
        self._kinds = {kind.__name__: kind for kind in kinds}

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of the type and the fields; where there are none, what making it raises."""
        yield from self._faults(value, place, 0)

    def _faults(self, value: Any, place: str, level: int) -> Iterator[Fault]:
        if type(value) is not dict or level > self._MOST_LEVELS:
            yield Fault(place, f"be an object with the type {', '.join(self._kinds)}", value)
            return
        if UNREADABLE in value:
            yield Fault(place, "be settings of a kind that can be stored", value[UNREADABLE])
            return
        name = value.get("type", ABSENT)
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            yield Fault(inner(place, "type"), f"be one of {', '.join(self._kinds)}", name)
            return
        wanted = {"type", *(field.name for field in fields(kind))}
        wrong = wanted.symmetric_difference(value) - (added_settings(kind).keys() - set(value))
        fits = not wrong
        for key in sorted(wrong):
            rule = "be there" if key in wanted else f"not be there, for a {name} has none"
            yield Fault(inner(place, key), rule, value.get(key, ABSENT))
        for key, entry in value.items():
            if isinstance(entry, dict):
                for fault in _ANY._faults(entry, inner(place, key), level + 1):
                    fits = False
                    yield fault
        if fits:
            yield from self._senseless(value, place)

    @staticmethod
    def _senseless(value: Mapping[str, Any], place: str) -> Iterator[Fault]:
        try:
            own = to_plain(from_plain(value))
        except (CheckpointError, ArgumentError) as error:
            yield Fault(place, f"be settings that make sense ({brief(error)})", value)
            return
        for where, written, found in differing(own, value, place):
            yield Fault(where, f"be written as {told(written)}", found)


_ANY = Stored(*_TYPES.values())


def versions() -> dict[str, Any]:
    """The arithmetic's version and those of the software at hand."""
    return dict(_versions())


@functools.cache
def _versions() -> Mapping[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    from isoconv import __version__

    found: dict[str, Any] = {
        "arithmetic": ARITHMETIC_VERSION,
        "python": platform.python_version(),
        # Of the code that runs: another copy than the one that was installed may come first.
        "isoconv": __version__,
    }
    for package in ("numpy", "llvmlite", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
