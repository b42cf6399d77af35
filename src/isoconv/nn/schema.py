"""What a value that is read back from a file must look like: a small language of schemas.

A schema is written once, beside what writes the value, and is all that a reader asks::

    PART = Fields({"samples": Whole(1), "sha256": SHA256})
    START = Exactly("seed", "given")
    check("receipt r/receipt.json", content, Fields({"data": Named(PART), "start": START}))

Nothing is taken that it does not name, every number has bounds, and all faults of a file are told
at once, each with its place, the rule and what was found.
"""

from __future__ import annotations

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from isoconv.checks import LARGEST, shown
from isoconv.errors import CheckpointError

MOST_TOLD = 10
"""Faults of a file that a message names; the rest it counts."""
MOST_COUNTED = 1000
LONGEST = 65536
"""Characters of a name or another short text."""


class Fault(NamedTuple):
    """Something that is not as it must be.

    Attributes:
        place: in the file, ``epochs[3].steps``; "" for the whole of it.
        rule: what must be there, behind "must".
        value: what is there; `ABSENT` for nothing.
    """

    place: str
    rule: str
    value: Any

    def __str__(self) -> str:
        found = "nothing" if self.value is ABSENT else shown(self.value)
        place = self.place if len(self.place) <= 160 else f"{self.place[:60]}…{self.place[-60:]}"
        return f"{place or 'it'} must {self.rule}; got {found}"


ABSENT = object()
"""Stands for an entry that is not there."""


class Schema(ABC):
    """What a value must look like."""

    __slots__ = ()

    @abstractmethod
    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """What is wrong with a value.

        Args:
            value: of plain kinds, as JSON has them.
            place: where it stands.
        """


def check(what: str, value: Any, schema: Schema, path: Path | None = None) -> None:
    """See that a value is as its schema says.

    Args:
        what: it is and where it was read, for the message.
        value: from JSON.
        schema: of it.
        path: of the file that it was read from, if it was.

    Raises:
        CheckpointError: it is not; the message names all faults, or the first of many.

    Example:
        >>> check("run.json", {"epochs": 0}, Fields({"epochs": Whole(1), "seed": Whole()}))
        Traceback (most recent call last):
        isoconv.errors.CheckpointError: run.json cannot be read: epochs must be a whole number \
from 1 to 4294967295; got 0 | seed must be there; got nothing
    """
    found = told_faults(schema.faults(value, ""))
    if found:
        error = CheckpointError(f"{what} cannot be read: {found}")
        raise error if path is None else error.within(path=path)


def told_faults(faults: Iterable[Fault]) -> str:
    """Faults in a line; "" for none.

    Example:
        >>> told_faults([Fault("epochs[3].steps", "be a whole number", 1.5)])
        'epochs[3].steps must be a whole number; got 1.5'
    """
    found = list(itertools.islice(faults, MOST_COUNTED))
    listed = " | ".join(map(str, found[:MOST_TOLD]))
    more = len(found) - MOST_TOLD
    least = "at least " if len(found) == MOST_COUNTED else ""
    return listed if more <= 0 else f"{listed} | and {least}{more} more"


def brief(error: Exception) -> str:
    """What an error says that came of making something of a value, within the rule of a fault."""
    text = str(error)
    return text if len(text) <= 400 else f"{text[:400]}…"


def inner(place: str, name: str | int) -> str:
    """The place of an entry.

    Example:
        >>> inner("epochs", 3), inner("epochs[3]", "steps"), inner("", "epochs")
        ('epochs[3]', 'epochs[3].steps', 'epochs')
    """
    if isinstance(name, int):
        return f"{place}[{name}]"
    name = name if len(name) <= 80 else f"{name[:79]}…"
    return f"{place}.{name}" if place else name


# One value


@dataclass(frozen=True)
class Exactly(Schema):
    """One of some values, of the same kind: True is not 1, and 1.0 is not either."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """One fault, or none."""
        if not any(type(value) is type(one) and value == one for one in self.values):
            names = ", ".join(map(repr, self.values))
            yield Fault(place, f"be {'one of ' if len(self.values) > 1 else ''}{names}", value)


@dataclass(frozen=True)
class Whole(Schema):
    """A whole number within bounds."""

    least: int = 0
    most: int = 2**32 - 1

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """One fault, or none."""
        if type(value) is not int or not self.least <= value <= self.most:
            yield Fault(place, f"be a whole number from {self.least} to {self.most}", value)


@dataclass(frozen=True)
class Number(Schema):
    """A finite number of at least, or above, some value, and at most another.

    Attributes:
        kinds: of numbers that are taken.
        least: of the values that are taken; None for no bound.
        above: likewise, itself not taken.
        most: the greatest that is taken.
    """

    kinds: tuple[type, ...] = (int, float)
    least: float | None = None
    above: float | None = None
    most: float | None = None

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """One fault, or none."""
        if (
            type(value) not in self.kinds
            or not math.isfinite(value)
            or (self.least is not None and value < self.least)
            or (self.above is not None and value <= self.above)
            or (self.most is not None and value > self.most)
        ):
            kind = "a finite number" if int in self.kinds else "a finite float"
            rule = "" if self.least is None else f" of at least {self.least:g}"
            rule += "" if self.above is None else f" above {self.above:g}"
            rule += "" if self.most is None else f" and at most {self.most:g}"
            yield Fault(place, f"be {kind}{rule}", value)


NUMBER = Number()


class Flag(Schema):
    """True or False."""

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """One fault, or none."""
        if type(value) is not bool:
            yield Fault(place, "be true or false", value)


FLAG = Flag()


@dataclass(frozen=True)
class Text(Schema):
    """A text.

    Attributes:
        pattern: that all of it matches; None for any text.
        what: it is then called.
        longest: characters that it may have.
    """

    pattern: str | None = None
    what: str = "a text"
    longest: int = LONGEST

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """One fault, or none."""
        if type(value) is not str:
            yield Fault(place, f"be {self.what}", value)
        elif len(value) > self.longest:
            yield Fault(place, f"have at most {self.longest} characters", value)
        elif self.pattern is not None and not re.fullmatch(self.pattern, value):
            yield Fault(place, f"be {self.what}", value)


SHA256 = Text("[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")


class Exact(Schema):
    """A finite number as `float.hex` writes it, so that no bit is lost."""

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """One fault, or none."""
        if type(value) is not str or not _is_exact(value):
            yield Fault(place, "be a finite number in hexadecimal, as float.hex writes it", value)


EXACT = Exact()


def _is_exact(text: str) -> bool:
    try:
        return len(text) <= 32 and float.fromhex(text).hex() == text and "n" not in text
    except (ValueError, OverflowError):
        return False


@dataclass(frozen=True)
class Maybe(Schema):
    """What another schema says, or nothing (null)."""

    schema: Schema

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of the other schema."""
        if value is not None:
            for fault in self.schema.faults(value, place):
                same = fault.place == place
                yield fault._replace(rule=f"{fault.rule}, or null") if same else fault


# Values inside others


@dataclass(frozen=True)
class Either(Schema):
    """What one of several schemas of single values says."""

    schemas: tuple[Schema, ...]

    def __init__(self, *schemas: Schema) -> None:
        object.__setattr__(self, "schemas", schemas)

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """None if there are none by one of them, otherwise one with all rules."""
        found = [list(schema.faults(value, place)) for schema in self.schemas]
        if all(found):
            yield Fault(place, ", or ".join(faults[0].rule for faults in found), value)


class Plain(Schema):
    """Whatever JSON can hold: it is kept for a person, and nothing is computed from it."""

    def faults(self, value: Any, place: str) -> Iterator[Fault]:  # noqa: ARG002 - none
        """None."""
        yield from ()


PLAIN = Plain()


@dataclass(frozen=True)
class Rows(Schema):
    """A list.

    Attributes:
        schema: of each entry.
        least: entries that it has.
        most: entries that it may have.
    """

    schema: Schema
    least: int = 0
    most: int = 2**32 - 1

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of all entries."""
        if type(value) is not list:
            yield Fault(place, "be a list", value)
            return
        if not self.least <= len(value) <= self.most:
            span = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
            yield Fault(place, f"have {span} entries", value)
            return
        for number, entry in enumerate(value):
            yield from self.schema.faults(entry, inner(place, number))


SIDES = Rows(Whole(1, LARGEST), most=8)
"""A shape."""


@dataclass(frozen=True)
class Named(Schema):
    """An object whose names are free.

    Attributes:
        schema: of each value.
        names: of each name.
        most: entries that it may have.
    """

    schema: Schema
    names: Schema = Text()
    most: int = 2**24

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of all names and values."""
        if type(value) is not dict:
            yield Fault(place, "be an object", value)
            return
        if len(value) > self.most:
            yield Fault(place, f"have at most {self.most} entries", value)
            return
        for name, entry in value.items():
            wrong = list(self.names.faults(name, inner(place, name)))
            yield from (fault._replace(rule=f"be a name that is {fault.rule}") for fault in wrong)
            if not wrong:
                yield from self.schema.faults(entry, inner(place, name))


@dataclass(frozen=True)
class Fields(Schema):
    """An object with these entries and no others.

    Attributes:
        needed: schema by name.
        maybe: likewise, of entries that need not be there.
    """

    needed: Mapping[str, Schema]
    maybe: Mapping[str, Schema] | None = None

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of all entries, missing and unknown ones among them."""
        if type(value) is not dict:
            yield Fault(place, "be an object", value)
            return
        known = {**self.needed, **(self.maybe or {})}
        for name, schema in known.items():
            if name in value:
                yield from schema.faults(value[name], inner(place, name))
            elif name in self.needed:
                yield Fault(inner(place, name), "be there", ABSENT)
        for name in value:
            if name not in known:
                rule = f"not be there, for there are only {', '.join(sorted(known)) or 'none'}"
                yield Fault(inner(place, name), rule, value[name])


@dataclass(frozen=True)
class Checked(Schema):
    """What another schema says, and then a rule that takes several entries together.

    Attributes:
        schema: the other one.
        rule: gives the faults of a value that fits the other one: the names and numbers that lead
            to each, what it must be, and what it is.
    """

    schema: Schema
    rule: Callable[[Any], Iterable[tuple[Sequence[str | int], str, Any]]]

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of the other schema; where it has none, those of the rule."""
        fits = True
        for fault in self.schema.faults(value, place):
            fits = False
            yield fault
        if fits:
            for way, rule, found in self.rule(value):
                where = place
                for name in way:
                    where = inner(where, name)
                yield Fault(where, rule, found)


class Floats(Named):
    """Finite floats by name."""

    def __init__(self) -> None:
        super().__init__(Number((float,)), Text(longest=80), 1000)
