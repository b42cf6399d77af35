"""Checks of what people give: what is taken comes out as Python's own, the rest is refused.

Whole numbers, numbers, flags and texts may be Python's or NumPy's (also as arrays without axes);
what is kept of them is Python's, so that ``repr`` and JSON say the same of both. True and False are
no numbers.
"""

from __future__ import annotations

import operator
import os
import reprlib
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isoconv.errors import ArgumentError, DTypeError, IsoconvError, ShapeError
from isoconv.wording import named

Kind = TypeVar("Kind")
Refusal = TypeVar("Refusal", bound=IsoconvError)

LARGEST = 2**31 - 1
"""Of a side, a step or a number of filters: addresses made of two of them fit into 64 bits."""
LARGEST_SINGLE = (2 - 2**-23) * 2.0**127
"""Of a number that takes part in float32 arithmetic; a greater one would be infinite there."""


class _Shown(reprlib.Repr):
    """Values as they are written, but for the middle of long ones."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = self.maxarray = 12
        self.maxstring = self.maxother = 240

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002 - reprlib's own signature
        """Python refuses to write numbers of thousands of digits."""
        digits = 128
        if abs(x) < 10**digits:
            return repr(x)
        return f"{'-' if x < 0 else ''}a number of {x.bit_length()} bits"

    def repr_instance(self, x: Any, level: int) -> str:
        """What shows itself in several lines, by the first."""
        return super().repr_instance(x, level).partition("\n")[0]

    def repr_ndarray(self, x: NDArray[Any], level: int) -> str:  # noqa: ARG002
        """An array by its kind, a small one by its elements."""
        return self.repr_instance(x, 0) if x.size <= 8 else f"{x.dtype} array of shape {x.shape}"


shown = _Shown().repr
"""A value for a message: ``repr``, shortened where it is long."""


def refusal(
    argument: str,
    rule: str,
    value: object,
    kind: type[Refusal] = ArgumentError,  # type: ignore[assignment]
    got: str | None = None,
) -> Refusal:
    """An error that states an argument, its rule and what was given, in its text and its fields.

    Args:
        argument: its name.
        rule: what stands behind "must".
        value: what was given.
        kind: of the error.
        got: the value in words; None for the value as it is written.

    Example:
        >>> refusal("rate", "be at least 0 and below 1", 2.0)
        ArgumentError('rate must be at least 0 and below 1; got 2.0')
    """
    text = f"{named(argument)} must {rule}; got {shown(value) if got is None else got}"
    return kind(text, argument=argument, value=value)


def entries(name: str, values: Iterable[Kind]) -> dict[str, Kind]:
    """The entries of an argument, each by the name that an error has for it.

    Example:
        >>> entries("paths", ["a", "b"])
        {'paths[0]': 'a', 'paths[1]': 'b'}
    """
    return {f"{name}[{place}]": value for place, value in enumerate(values)}


def as_word(path: str | Path) -> str:
    """A path as a word of a command that can be pasted into a shell.

    Example:
        >>> as_word("runs/pets"), as_word("my pets"), as_word("-pets")
        ('runs/pets', "'my pets'", './-pets')
    """
    text = str(path)
    # What begins with a dash would be taken for an option.
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def plain(value: Any) -> Any:
    """Python's own number or flag in place of NumPy's; anything else as it is.

    Example:
        >>> plain(np.int64(8)), plain(np.float32(0.5)), plain(np.array(True)), plain("8")
        (8, 0.5, True, '8')
    """
    if not isinstance(value, (np.generic, np.ndarray)) or value.shape:
        return value
    if isinstance(value, np.ma.MaskedArray):
        return value
    # Times are whole numbers to NumPy; their kinds are "m" and "M".
    own = {"b": bool, "i": int, "u": int, "f": float}.get(value.dtype.kind)
    return value if own is None else own(value)


def plain_setting(value: Any) -> Any:
    """As `plain`, also for the entries of a tuple or a list.

    What holds no number of NumPy's is given back itself, not a copy.

    Example:
        >>> plain_setting((np.int32(1), 2))
        (1, 2)
    """
    if type(value) not in (tuple, list):
        return plain(value)
    entries = [plain_setting(entry) for entry in value]
    same = all(new is old for new, old in zip(entries, value, strict=True))
    return value if same else type(value)(entries)


def settle(record: object, **values: object) -> None:
    """Put checked values into a frozen record in place of those that it was given."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


# Numbers and flags ------------------------------------------------------------------------------


def whole(value: object) -> int | None:
    """A whole number as Python's own; None for anything else, True and False among it.

    Example:
        >>> whole(np.uint8(3)), whole(3.0), whole(True)
        (3, None, None)
    """
    found = plain(value)
    if isinstance(found, bool):
        return None
    try:
        return int(operator.index(found))
    except TypeError:
        return None


def check_count(
    name: str, value: object, least: int = 1, below: int | None = None, most: int | None = None
) -> int:
    """A setting that is a whole number of at least some size.

    Args:
        name: of the setting, for the message.
        value: what was given.
        least: the smallest allowed value.
        below: what the value must stay under.
        most: the greatest allowed value.

    Raises:
        ArgumentError: it is none.

    Example:
        >>> check_count("threads", np.int64(2))
        2
    """
    found = whole(value)
    if (
        found is None
        or found < least
        or (below is not None and found >= below)
        or (most is not None and found > most)
    ):
        end = "" if below is None else f" and below {_power(below)}"
        end += "" if most is None else f" and at most {most}"
        raise refusal(name, f"be a whole number of at least {least}{end}", value)
    return found


def _power(bound: int) -> str:
    """A bound that is a large power of two as one."""
    return (
        f"2**{bound.bit_length() - 1}"
        if bound >= 2**32 and bound & (bound - 1) == 0
        else f"{bound}"
    )


def check_number(
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """A setting that is a finite number within bounds; whole numbers stay whole.

    Args:
        name: of the setting, for the message.
        value: what was given.
        least: the smallest allowed value.
        above: what the value must exceed.
        below: what the value must stay under.
        most: the greatest allowed value.

    Raises:
        ArgumentError: it is none.

    Example:
        >>> check_number("learning_rate", np.float32(0.5), above=0)
        0.5
    """
    found = plain(value)
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        # Also a subclass, such as NumPy's float64, becomes Python's own.
        found = int(found) if isinstance(found, int) else float(found)
        # A comparison, since math.isfinite overflows on huge whole numbers.
        if (
            abs(found) <= sys.float_info.max
            and (least is None or found >= least)
            and (above is None or found > above)
            and (below is None or found < below)
            and (most is None or found <= most)
        ):
            return found
    bounds = ((least, "at least"), (above, "above"), (below, "below"), (most, "at most"))
    rule = " and".join(f" {word} {bound:g}" for bound, word in bounds if bound is not None)
    raise refusal(name, f"be a finite number{rule}", value)


def check_flag(name: str, value: object) -> bool:
    """A setting that is True or False.

    Raises:
        ArgumentError: it is neither; 0 and 1 are not.

    Example:
        >>> check_flag("flip", np.bool_(True))
        True
    """
    found = plain(value)
    if not isinstance(found, bool):
        raise refusal(name, "be True or False", value)
    return found


# Texts, paths and other kinds -------------------------------------------------------------------


def check_text(name: str, value: object) -> str:
    """A setting that is a text.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(value, str):
        raise refusal(name, "be a text", value)
    return str(value)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """A setting that is one of several texts.

    Raises:
        ArgumentError: it is none of them.

    Example:
        >>> check_choice("split", "train", ("train", "test"))
        'train'
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise refusal(name, f"be one of {', '.join(known)}", value)
    return str(value)


def check_path(name: str, value: object) -> Path:
    """A path, given as text or as a path.

    Raises:
        ArgumentError: it is neither, is empty, which would mean the current folder, or holds a null
            character, which no path can.

    Example:
        >>> check_path("folder", "runs/first").name
        'first'
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text or "\0" in text:
        raise refusal(name, "be a path", value)
    return Path(text)


def check_paths(name: str, value: object) -> list[Path]:
    """A list of at least one path.

    Raises:
        ArgumentError: it is none; a single path is no list.
    """
    if isinstance(value, (str, os.PathLike)):
        raise refusal(name, "be a list of files", value, got=f"the single path {shown(value)}")
    if not isinstance(value, (list, tuple)):
        raise refusal(name, "be a list of files", value)
    if not value:
        raise refusal(name, "name at least one file", value, got="none")
    return [check_path(place, path) for place, path in entries(name, value).items()]


def check_kind(name: str, value: object, kind: type[Kind], what: str) -> Kind:
    """An object of some kind; the kind itself, a class, is none.

    Args:
        name: of the argument, for the message.
        value: what was given.
        kind: a class, or a protocol that can be asked for at run time.
        what: the kind in words: "a Module".

    Raises:
        ArgumentError: it is of another kind.
    """
    if isinstance(value, type):
        raise refusal(name, f"be {what}", value, got=f"the class {value.__name__} itself")
    if not isinstance(value, kind):
        raise refusal(name, f"be {what}", value)
    return value


def check_mapping(name: str, value: object) -> Mapping[str, Any]:
    """A mapping from texts, such as a dict.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise refusal(name, "map names to values", value)
    return value


def check_rows(name: str, value: object) -> list[Mapping[str, Any]]:
    """A list of mappings from texts, such as the rows of a history.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(value, (list, tuple)):
        raise refusal(name, "be a list of rows", value)
    return [check_mapping(place, row) for place, row in entries(name, value).items()]


# Shapes and arrays ------------------------------------------------------------------------------


def check_shape(name: str, value: object, axes: int | None = None, of: str = "") -> tuple[int, ...]:
    """A shape: a whole number from 1 to `LARGEST` for each axis.

    Args:
        name: of the argument, for the message.
        value: a tuple, a list or an array of one axis.
        axes: how many there must be; None for any number.
        of: their names, "(H, W, C)", for the message.

    Raises:
        ShapeError: it is none.

    Example:
        >>> check_shape("input_shape", np.array([28, 28, 1]))
        (28, 28, 1)
    """
    listed = isinstance(value, np.ndarray) and value.ndim == 1
    if listed or (isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))):
        sides = [whole(side) for side in value]  # type: ignore[attr-defined]
        found = tuple(side for side in sides if side is not None and 1 <= side <= LARGEST)
        if len(found) == len(sides) and axes in (None, len(found)):
            return found
    each = "its axes" if axes is None else f"{axes} axes"
    raise ShapeError(
        f"{named(name)} {of + ' ' if of else ''}must be a shape, whole numbers from 1 to "
        f"{LARGEST} for {each}; got {shown(value)}",
        argument=name,
        value=value,
    )


def check_arrays(name: str, value: object, error: type[IsoconvError]) -> dict[str, NDArray[Any]]:
    """Arrays by name.

    Args:
        name: of the argument, for the message.
        value: a mapping from names to arrays.
        error: raised when it is none.

    Example:
        >>> check_arrays("weights", {"bias": [0.0]}, ArgumentError)["bias"].shape
        (1,)
    """
    found = check_mapping(name, value)
    return {
        key: check_array(f"{name}[{key!r}]", array, kind_error=error, shape_error=error)
        for key, array in found.items()
    }


def check_array(
    name: str,
    value: object,
    *,
    kind_error: type[IsoconvError] = DTypeError,
    shape_error: type[IsoconvError] = ShapeError,
) -> NDArray[Any]:
    """An array of numbers as NumPy makes it from what was given, in this machine's byte order.

    Lists of numbers, other libraries' arrays, subclasses of NumPy's and arrays that cannot be
    written are taken. An array of the right kind is not copied.

    Args:
        name: of the argument, for the message.
        value: what was given.
        kind_error: raised when the elements are no real numbers.
        shape_error: raised for lists of different lengths.

    Raises:
        DTypeError: objects, texts, complex numbers or times, or an array with masked elements.
        ShapeError: lists of different lengths, which are no array.

    Example:
        >>> check_array("images", [[1, 2], [3, 4]]).shape
        (2, 2)
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise kind_error(
            f"{name} must have no masked elements; fill them first (array.filled(value))",
            argument=name,
            value=value,
        )
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        rule, got = "be an array, or lists of equal lengths that make one", type(value).__name__
        raise refusal(name, rule, value, shape_error, f"{got}: {error}") from error
    if array.dtype.kind not in "biuf":
        got = shown(value) if array.ndim == 0 else f"{array.dtype} of shape {array.shape}"
        raise refusal(name, "be an array of real numbers", value, kind_error, got)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
