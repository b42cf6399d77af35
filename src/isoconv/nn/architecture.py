"""A model's architecture as plain values, and a model made of them.

What the library's own layers are made of goes into files as data, never as code: the name of a
layer and its settings. A class of a person's own has no such record; its model must be given to
whoever reads the file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from isoconv.errors import CheckpointError, IsoconvError, turned
from isoconv.nn.combining import Branches, Sequential
from isoconv.nn.module import Module
from isoconv.nn.schema import ABSENT, MOST_COUNTED, Fault, brief, inner, told_faults
from isoconv.nn.settings import added_settings

MOST_CALLS = 10_000
"""Uses of layers in a model that a file describes; more would take long to trace."""
MOST_LEVELS = 100
"""Levels of layers and lists inside each other; every reader of JSON can go so deep."""


_IN_A_ROW: tuple[type[Module], ...] = (Branches, Sequential)
"""Layers whose constructor takes what they are made of one by one."""


class _OwnError(Exception):
    """Something that has no record: a class or a function of a person's own."""


def architecture_of(model: Module) -> dict[str, Any] | None:
    """The architecture as plain values; None when a class or function of one's own takes part.

    A layer is ``{"type": name, setting: value, …}``, a function ``{"function": name}``; a layer
    that stands in a second place is ``{"same": n}``, the n-th layer of the record from 0.

    Example:
        >>> from isoconv import nn
        >>> architecture_of(nn.Sequential(nn.ReLU(), nn.functional.flatten))
        {'type': 'Sequential', 'steps': [{'type': 'ReLU'}, {'function': 'flatten'}]}
    """
    try:
        return _plain_module(model, {}, 0)
    except _OwnError:
        return None


def own_class(model: Module) -> str | None:
    """What keeps a model from having a record: its name; None when it has one.

    Example:
        >>> from isoconv import nn
        >>> own_class(nn.Sequential(nn.ReLU(), lambda x: x))
        'the function <lambda>'
    """
    try:
        _plain_module(model, {}, 0)
    except _OwnError as error:
        return str(error)
    return None


def model_of(plain: Any, where: str) -> Module:
    """The model of a record, without weights.

    Args:
        plain: from `architecture_of`, perhaps from a stranger's file.
        where: it stood, for messages.

    Raises:
        CheckpointError: the record cannot be read.

    Example:
        >>> model_of({"type": "Sequential", "steps": [{"type": "ReLU"}]}, "a file")[0]
        ReLU()
    """
    reader = _Reader()
    made, _ = reader.module(plain, "architecture", 0)
    if made is None:
        found = told_faults(reader.faults)
        raise CheckpointError(f"the architecture in {where} cannot be read: {found}")
    return made


def faults_of(plain: Any, place: str) -> list[Fault]:
    """What is wrong with a record of an architecture; see `isoconv.nn.schema`.

    Args:
        plain: from `architecture_of`, perhaps from a stranger's file.
        place: where it stands in the file.
    """
    reader = _Reader()
    reader.module(plain, place, 0)
    return reader.faults


@contextmanager
def of_a_stranger(where: str) -> Iterator[None]:
    """What goes wrong with a model of a record is the record's fault.

    Many settings of layers are looked at when the layers are used only.

    Args:
        where: the record stood, for messages.

    Raises:
        CheckpointError: in place of whatever the model raises.
    """
    try:
        yield
    except CheckpointError:
        raise
    except _SENSELESS as error:
        what = f"the architecture in {where} makes no network"
        raise turned(error, CheckpointError, what) from error


_SENSELESS = (
    IsoconvError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError, MemoryError,
    RecursionError,
)  # fmt: skip


# Writing


@functools.cache
def _types() -> dict[str, type[Module]]:
    """The library's layers by name."""
    from isoconv import nn

    return {
        kind.__name__: kind
        for name in nn.__all__
        if isinstance(kind := getattr(nn, name), type) and issubclass(kind, Module)
        and kind is not Module
    }  # fmt: skip


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    from isoconv.nn import functional

    return {name: getattr(functional, name) for name in functional.__all__}


def _settings(kind: type[Module]) -> tuple[str, ...]:
    """The attributes that a layer's constructor takes."""
    if kind in _IN_A_ROW:
        return ("steps",)
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _plain_module(module: Module, seen: dict[int, int], level: int) -> dict[str, Any]:
    if id(module) in seen:
        return {"same": seen[id(module)]}
    if level > MOST_LEVELS:
        raise _OwnError(f"layers inside each other on more than {MOST_LEVELS} levels")
    seen[id(module)] = len(seen)
    kind = type(module)
    if _types().get(kind.__name__) is not kind:
        raise _OwnError(f"the class {kind.__name__}")
    names = _settings(kind)
    more = [name for name in vars(module) if not name.startswith("_") and name not in names]
    if more:
        raise _OwnError(f"the attribute {more[0]!r} of a {kind.__name__}")
    usual = added_settings(kind).items()
    told = [name for name in names if (name, getattr(module, name)) not in usual]
    return {
        "type": kind.__name__,
        **{name: _plain(getattr(module, name), seen, level + 1) for name in told},
    }


def _plain(value: Any, seen: dict[int, int], level: int) -> Any:
    if isinstance(value, Module):
        return _plain_module(value, seen, level)
    if isinstance(value, (tuple, list)):
        return [_plain(item, seen, level + 1) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    name = getattr(value, "__name__", type(value).__name__)
    if _functions().get(name) is value:
        return {"function": name}
    raise _OwnError(f"the function {name}" if callable(value) else f"a setting {value!r}")


# Reading

_TOO_MANY = f"use layers at most {MOST_CALLS:,} times"


class _Reader:
    """Makes layers of a record.

    Attributes:
        faults: what is wrong with it; a layer with a fault, or around one, is not made.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._made: list[tuple[Module | None, int]] = []

    def module(self, plain: Any, place: str, level: int) -> tuple[Module | None, int]:
        """A layer, and how many uses of layers it stands for."""
        if not isinstance(plain, Mapping) or level > MOST_LEVELS:
            deep = f", on at most {MOST_LEVELS} levels" if level > MOST_LEVELS else ""
            return self._fault(place, f"be a layer{deep}", plain)
        if set(plain) == {"same"}:
            return self._same(plain["same"], inner(place, "same"))
        name = plain.get("type", ABSENT)
        kind = _types().get(name) if isinstance(name, str) else None
        if kind is None:
            return self._fault(inner(place, "type"), "be the name of a layer", name)
        if len(self._made) == MOST_CALLS:
            return self._fault(place, _TOO_MANY, "more")
        number, known, before = len(self._made), _settings(kind), len(self.faults)
        self._made.append((None, 0))
        wrong = {"type", *known}.symmetric_difference(plain) - {*added_settings(kind)}
        for key in sorted(wrong):
            rule = "be there" if key in known else f"not be there, for a {name} has none"
            self._fault(inner(place, key), rule, plain.get(key, ABSENT))
        values: dict[str, Any] = {}
        calls = 1
        for key in known:
            if key in plain:
                values[key], more = self._value(plain[key], inner(place, key), level + 1)
                calls += more
        if calls > MOST_CALLS:
            return self._fault(place, _TOO_MANY, calls)
        if len(self.faults) > before:
            return None, calls
        try:
            made = kind(*values["steps"]) if kind in _IN_A_ROW else kind(**values)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            return self._fault(place, f"be a {name} that can be made ({brief(error)})", plain)
        self._made[number] = made, calls
        return made, calls

    def _same(self, number: Any, place: str) -> tuple[Module | None, int]:
        if type(number) is int and 0 <= number < len(self._made):
            made, calls = self._made[number]
            # A layer that is not ready yet would hold itself.
            if made is not None:
                return made, calls
        return self._fault(place, "be the number of a layer before this one", number)

    def _value(self, plain: Any, place: str, level: int) -> tuple[Any, int]:
        if isinstance(plain, Mapping):
            if set(plain) == {"function"}:
                function = plain["function"]
                if not isinstance(function, str) or function not in _functions():
                    rule = "be the name of a function of isoconv.nn.functional"
                    return self._fault(inner(place, "function"), rule, function)
                return _functions()[function], 1
            return self.module(plain, place, level)
        if isinstance(plain, list):
            if level > MOST_LEVELS:
                return self._fault(place, f"have at most {MOST_LEVELS} levels", plain)
            items = [
                self._value(item, inner(place, number), level + 1)
                for number, item in enumerate(plain)
            ]
            calls = 0
            for _, more in items:
                calls += more
            return tuple(item for item, _ in items), calls
        return plain, 0

    def _fault(self, place: str, rule: str, value: Any) -> tuple[None, int]:
        # Of more nobody is told, and of too many layers once.
        told = rule == _TOO_MANY and any(fault.rule == rule for fault in self.faults)
        if not told and len(self.faults) < MOST_COUNTED:
            self.faults.append(Fault(place, rule, value))
        return None, 0
