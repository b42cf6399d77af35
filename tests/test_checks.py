"""What people give: what is taken comes out as Python's own, the rest is refused in words."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoconv import nn
from isoconv.checks import (
    check_array,
    check_arrays,
    check_choice,
    check_count,
    check_flag,
    check_kind,
    check_mapping,
    check_number,
    check_path,
    check_paths,
    check_rows,
    check_shape,
    check_text,
    plain,
    plain_setting,
    shown,
    whole,
)
from isoconv.errors import ArgumentError, DataError, DTypeError, ShapeError
from isoconv.optim import SGD, Adam, AdamW
from isoconv.schedule import Cosine, OneCycle, Step, WarmUp
from isoconv.train import EarlyStopping, Loss, Trainer
from isoconv.train.plain_settings import to_plain


class Size(enum.IntEnum):
    """A whole number with a name."""

    THREE = 3


@pytest.mark.parametrize(
    "value", [3, np.int8(3), np.uint64(3), np.array(3), Size.THREE, np.array(3, ">i2")]
)
def test_whole_numbers(value: Any) -> None:
    """Whole numbers of all kinds come out as Python's."""
    assert whole(value) == check_count("size", value) == 3
    assert type(check_count("size", value)) is int


@pytest.mark.parametrize(
    "value",
    [True, np.bool_(True), 3.0, np.float64(3), "3", None, [3], np.array([3]), 3j, math.nan,
     np.timedelta64(3), np.array(3.0), np.array(True), np.ma.masked, int],
)  # fmt: skip
def test_no_whole_numbers(value: Any) -> None:
    """Flags, floats that happen to be whole, texts, times and lists are none."""
    assert whole(value) is None
    with pytest.raises(ArgumentError, match="size must be a whole number of at least 1; got "):
        check_count("size", value)


def test_bounds_of_counts() -> None:
    """Each bound is part of the rule that the message states."""
    assert check_count("n", 0, least=0) == 0
    for bounds, wrong, rule in (
        ({"least": 2}, 1, "at least 2; got 1"),
        ({"below": 5}, 5, "at least 1 and below 5; got 5"),
        ({"most": 5}, 6, "at least 1 and at most 5; got 6"),
    ):
        with pytest.raises(ArgumentError, match=f"n must be a whole number of {rule}$"):
            check_count("n", wrong, **bounds)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1, 1),
        (0.1, 0.1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(0.1), 0.1),
        (np.int16(-3), -3),
        (np.array(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (2**70, 2**70),
    ],
)
def test_numbers(value: Any, wanted: float) -> None:
    """Numbers come out as Python's; whole ones stay whole."""
    found = check_number("rate", value)
    assert found == wanted
    assert type(found) in (int, float)
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, np.float32("nan"), np.longdouble("inf"), 10**400, True,
     np.bool_(False), "0.1", None, 1j, [0.1], np.ma.masked, float],
)  # fmt: skip
def test_no_numbers(value: Any) -> None:
    """What is not finite, no flag's value and no text is a number."""
    with pytest.raises(ArgumentError, match="rate must be a finite number; got "):
        check_number("rate", value)


def test_bounds_of_numbers() -> None:
    """Each bound is part of the rule that the message states."""
    for bounds, wrong, rule in (
        ({"least": 0}, -1, "at least 0; got -1"),
        ({"above": 0, "below": 1}, 1, "above 0 and below 1; got 1"),
        ({"least": -1, "most": 1}, 1.5, r"at least -1 and at most 1; got 1\.5"),
    ):
        with pytest.raises(ArgumentError, match=f"rate must be a finite number {rule}$"):
            check_number("rate", wrong, **bounds)


def test_flags() -> None:
    """True and False of both kinds; 0 and 1 are numbers."""
    values: tuple[Any, ...] = (True, np.bool_(True), np.array(True))
    for value in values:
        assert check_flag("flip", value) is True
    values = (0, 1, None, "yes", [], np.int64(1), np.array([True]))
    for value in values:
        with pytest.raises(ArgumentError, match="flip must be True or False; got "):
            check_flag("flip", value)


def test_texts_and_choices() -> None:
    """Texts of NumPy's become Python's; a choice is one of a few."""
    for found in (check_text("name", np.str_("a")), check_choice("name", np.str_("a"), ("a",))):
        assert found == "a"
        assert type(found) is str
    with pytest.raises(ArgumentError, match=r"name must be one of a, b; got array\(\['a'\]"):
        check_choice("name", np.array(["a"]), ("a", "b"))
    with pytest.raises(ArgumentError, match="name must be a text; got b'a'"):
        check_text("name", b"a")


def test_paths() -> None:
    """Texts and paths are paths; bytes, and names that no file can have, are not, nor is none."""
    assert check_path("out", "a/b") == check_path("out", Path("a/b")) == Path("a/b")
    for value in (b"a", None, 3, "a\0b", ""):
        with pytest.raises(ArgumentError, match="out must be a path; got "):
            check_path("out", value)
    assert check_paths("files", ["a", Path("b")]) == [Path("a"), Path("b")]
    for wrong, rule in (
        ("a", "files must be a list of files; got the single path 'a'"),
        ({"a"}, "files must be a list of files; got {'a'}"),
        ((), "files must name at least one file; got none"),
        (["a", 3], r"files\[1\] must be a path; got 3"),
    ):
        with pytest.raises(ArgumentError, match=rule):
            check_paths("files", wrong)


def test_kinds() -> None:
    """An object is of its kind; the kind itself is none, and the message says why."""
    layer = nn.ReLU()
    assert check_kind("model", layer, nn.Module, "a Module") is layer
    with pytest.raises(ArgumentError, match="model must be a Module; got the class ReLU itself"):
        check_kind("model", nn.ReLU, nn.Module, "a Module")
    with pytest.raises(ArgumentError, match="model must be a Module; got 'lenet5'"):
        check_kind("model", "lenet5", nn.Module, "a Module")


def test_mappings_and_rows() -> None:
    """Names lead to values; rows are a list of such."""
    assert check_mapping("facts", {"a": 1}) == {"a": 1}
    assert check_rows("history", ({"a": 1},)) == [{"a": 1}]
    for value in ([("a", 1)], {1: 2}, None, "a"):
        with pytest.raises(ArgumentError, match="facts must map names to values; got "):
            check_mapping("facts", value)
    with pytest.raises(ArgumentError, match=r"history must be a list of rows; got \{\}"):
        check_rows("history", {})
    with pytest.raises(ArgumentError, match=r"history\[1\] must map names to values; got 3"):
        check_rows("history", [{}, 3])


def test_shapes() -> None:
    """Tuples, lists, ranges and arrays of whole numbers from 1 are shapes."""
    for value in ((4, 3), [np.int64(4), 3], np.array([4, 3]), range(4, 2, -1)):
        found = check_shape("shape", value)
        assert found == (4, 3)
        assert all(type(side) is int for side in found)
    for wrong in (4, "43", (4, 0), (4, -1), (4, 2.0), (4, True), {4, 3}, np.ones((2, 2)), 2**31):
        with pytest.raises(ShapeError, match="shape must be a shape, whole numbers from 1 to 21"):
            check_shape("shape", wrong)
    with pytest.raises(ShapeError, match=r"for 3 axes; got \(4, 3\)"):
        check_shape("shape", (4, 3), axes=3)


def test_arrays_keep_what_is_right() -> None:
    """An array of the right kind is itself; others come in this machine's byte order."""
    array = np.arange(3.0)
    assert check_array("x", array) is array
    turned = check_array("x", array.astype(array.dtype.newbyteorder()))
    assert turned.dtype.isnative
    np.testing.assert_array_equal(turned, array)
    unmasked = np.ma.masked_array(array, mask=False)
    assert type(check_array("x", unmasked)) is np.ndarray


def test_errors_of_arrays_may_be_others() -> None:
    """A room may raise its own kinds of errors."""
    with pytest.raises(DataError, match="x must be an array of real numbers; got 'a'"):
        check_array("x", "a", kind_error=DataError)
    with pytest.raises(DataError, match="lists of equal lengths"):
        check_array("x", [[1], [1, 2]], shape_error=DataError)
    with pytest.raises(DTypeError, match="real numbers; got object of shape"):
        check_array("x", [None])
    with pytest.raises(DataError, match=r"weights\['a'\] must be an array of real numbers"):
        check_arrays("weights", {"a": "b"}, DataError)


def test_what_is_shown_is_short() -> None:
    """Messages hold no megabytes, and the digits of no number that Python refuses to write."""
    assert shown(10**5000) == "a number of 16610 bits"
    assert shown(-(10**200)).startswith("-a number of ")
    assert len(shown(list(range(10**5)))) < 200
    assert len(shown("x" * 10**6)) < 300
    assert shown(np.zeros((1000, 1000), np.uint8)) == "uint8 array of shape (1000, 1000)"
    for value in ((28, 28, 1), "a", 2.5, None, {"a": [1]}, np.int64(3), [True]):
        assert shown(value) == repr(value)


def test_plain_settings() -> None:
    """Numbers of NumPy's become Python's, also in tuples and lists; all else stays itself."""
    assert plain(np.float32(0.5)) == 0.5
    assert type(plain(np.float64(0.5))) is float
    assert repr(plain_setting((np.int8(1), (np.int8(2), 3)))) == "(1, (2, 3))"
    for value in ([1, 2], (1, [2]), np.arange(3), "a", {"a": np.int8(1)}, np.timedelta64(1)):
        assert plain_setting(value) is value


N: Any = np
"""Its numbers are taken as settings, though no annotation promises it."""

SETTINGS = [
    SGD(N.float32(0.5), N.float64(0.25), N.bool_(True), N.int64(0)),
    Adam(N.float64(0.5), beta1=N.float32(0.5)),
    AdamW(N.int64(1), eps=N.float32(0.25)),
    Step(N.int32(2), N.float32(0.5)),
    Cosine(N.float32(0.5)),
    OneCycle(N.float64(0.5), N.float32(0.5), N.int8(0)),
    WarmUp(N.float32(0.5), Cosine(N.float64(0.25))),
    WarmUp(steps=N.uint8(3)),
    EarlyStopping(N.int64(3), N.str_("loss"), N.float32(0.5), N.bool_(False)),
    Loss(N.str_("cross_entropy"), N.float32(0.5)),
]


def own(value: Any) -> bool:
    """Whether all in plain values is Python's own."""
    if isinstance(value, dict):
        return all(map(own, value.values()))
    if isinstance(value, list):
        return all(map(own, value))
    return value is None or type(value) in (bool, int, float, str)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: type(setting).__name__)
def test_settings_are_kept_as_pythons_own(setting: Any) -> None:
    """``repr`` and JSON say of NumPy's numbers what they say of Python's."""
    assert "np." not in repr(setting)
    assert own(to_plain(setting))


def test_a_trainer_of_numpys_numbers() -> None:
    """The trainer's settings too; 64 bits of seed, and no more."""
    layers = (
        nn.Conv2d(N.int64(2), (N.uint8(3), 3), N.array(1)),
        nn.Flatten(),
        nn.Linear(N.int8(2)),
    )
    trainer = Trainer(
        nn.Sequential(*layers), batch_size=N.int64(4), shard_size=N.int32(2),
        clip_norm=N.float32(0.5), seed=N.uint64(2**63 + 7), threads=N.int64(1),
        label_smoothing=N.float64(0.25), normalise=N.bool_(True), progress=N.bool_(False),
    )  # fmt: skip
    assert "np." not in repr(trainer.settings())
    assert own(trainer.settings())
    images = np.arange(96, dtype=np.uint8).reshape(6, 4, 4, 1)
    run = trainer.fit((images, np.arange(6, dtype=np.uint8) % 2), epochs=N.int64(1))
    plain_run = Trainer(
        nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(2)), batch_size=4, shard_size=2,
        clip_norm=0.5, seed=2**63 + 7, threads=1, label_smoothing=0.25, progress=False,
    ).fit((images, [0, 1] * 3), epochs=1)  # fmt: skip
    assert run.digest == plain_run.digest
    assert run.model.predict(images, threads=N.int64(1), shard_size=N.int8(3)).shape == (6, 2)
