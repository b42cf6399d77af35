"""Values of a wrong kind: one list for every argument of everything that is public."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

__all__ = ["WRONG"]


def some_function(*_: object) -> None:
    """A function that knows nothing of tensors, and gives nothing back."""


class SomeClass:
    """A class that has nothing to do with the library."""


WRONG = {
    "None": None,
    "a text": "x",
    "bytes": b"x",
    "a fraction": 1.5,
    "minus one": -1,
    "zero": 0,
    "huge": 2**70,
    "minus huge": -(2**70),
    "too huge for a float": 10**400,
    "True": True,
    "NaN": math.nan,
    "infinity": math.inf,
    "complex": 1j,
    "no items": [],
    "no tuple items": (),
    "ragged": [1, [2]],
    "texts": ["a", "b"],
    "a dict": {"a": 1},
    "a set": {1},
    "a range": range(3),
    "an object": object(),
    "a function": some_function,
    "a class": SomeClass,
    "a path": Path("x"),
    "int64": np.int64(3),
    "float32": np.float32(0.25),
    "bool_": np.bool_(True),
    "float NaN": np.float64("nan"),
    "array of objects": np.array([None, "x"], object),
    "array of texts": np.array(["x", "y"]),
    "array of complex": np.zeros((2, 3), complex),
    "array of times": np.zeros((2, 3), "M8[s]"),
    "array of halves": np.zeros((2, 3), np.float16),
    "array without axes": np.zeros(()),
    "array without rows": np.zeros((0, 3), np.float32),
    "array without columns": np.zeros((2, 0), np.float32),
    "array of many axes": np.zeros((2,) * 6, np.float32),
    "array of another byte order": np.zeros((2, 3), ">f8"),
    "array of NaN": np.full((2, 3), np.nan, np.float32),
    "array of whole numbers": np.arange(6).reshape(2, 3),
    "array of flags": np.zeros((2, 3), bool),
    "masked array": np.ma.masked_array([[1.0, 2.0]], [[True, False]]),
    "records": np.zeros(2, [("a", "f4")]),
}
