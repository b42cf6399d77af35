"""Whole numbers that are data give what ONNX Runtime gives, where floats would give another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.exchange.onnx.graphs import Array, made, node, witness, written

from isoconv.errors import CheckpointError
from isoconv.exchange import from_onnx

KINDS = {"uint8": 2, "int8": 3, "int16": 5, "int32": 6, "int64": 7}
ENDS = {"uint8": (0, 256), "int8": (-128, 128), "int16": (-32768, 32768)}
COMPUTED = [
    ("Div", "int32"), ("Div", "int64"), ("Mod", "int32"), ("Mod", "int64"), ("Mod", "uint8"),
    ("Mod", "int8"), ("fmod", "int32"), ("fmod", "int64"), ("Add", "uint8"), ("Sub", "uint8"),
    ("Mul", "uint8"), ("Add", "int8"), ("Sub", "int8"), ("Mul", "int8"), ("Add", "int16"),
    ("Sub", "int16"), ("Add", "int32"), ("Mul", "int64"), ("Max", "int32"),
]  # fmt: skip
"""Operators and kinds; ``fmod`` is Mod with that setting."""


def on_whole(operator: str, kind: str, *, second: Any = None) -> Any:
    """A graph that makes images whole numbers and computes with an array, or themselves."""
    name, settings = ("Mod", {"fmod": 1}) if operator == "fmod" else (operator, {})
    nodes = [
        node("Cast", "x", "i", to=KINDS[kind]),
        node(name, "i i" if second is None else "i k", "d", **settings),
        node("Cast", "d", "y", to=1),
    ]
    arrays = {} if second is None else {"k": np.asarray(second, kind)}
    return made(nodes, (1, 3, 4, 5), arrays)


def whole(kind: str) -> Array:
    """Images of whole numbers that a kind holds, its ends among them."""
    low, high = ENDS.get(kind, (-3000, 3000))
    found = np.random.default_rng(1).integers(low, high, (1, 3, 4, 5))
    found.reshape(-1)[:2] = low, high - 1
    return found.astype(np.float32)


def by_numpy(operator: str, kind: str, images: Array, second: Array) -> Array:
    """What NumPy gives of that kind, where ONNX Runtime has no kernel."""
    computed = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Mod": np.mod}[operator]
    return np.asarray(computed(images.astype(kind), second.astype(kind)), np.float32)


@pytest.mark.parametrize(("operator", "kind"), COMPUTED)
def test_whole_numbers_that_are_data(operator: str, kind: str, tmp_path: Path) -> None:
    """A quotient is cut off, a remainder has its sign, and few bits wrap around."""
    second = np.array([7, -3, 5])[:, None, None]
    second = abs(second) if kind == "uint8" else second
    path = written(tmp_path, on_whole(operator, kind, second=second))
    images = whole(kind)
    try:
        wanted = witness(path, images)
    except Exception:  # noqa: BLE001 - it has classes of its own for a kernel that there is not
        wanted = by_numpy(operator, kind, images, second)
    found = from_onnx(path).predict(np.moveaxis(images, 1, -1), finish="none")
    np.testing.assert_array_equal(np.moveaxis(found, -1, 1), wanted)


@pytest.mark.parametrize(
    ("operator", "kind", "text"),
    [
        ("Mul", "int16", "products must be of floats, or of 8 or 32 bits; got int16"),
        ("Mean", "int32", "it must average floats; got int32"),
    ],
)
def test_what_is_refused(operator: str, kind: str, text: str, tmp_path: Path) -> None:
    """What floats cannot do as whole numbers do it is told, with the node."""
    with pytest.raises(CheckpointError, match=text):
        from_onnx(written(tmp_path, on_whole(operator, kind)))


def test_averages_and_remainders_of_other_kinds(tmp_path: Path) -> None:
    """An average of whole numbers is refused, and so is what is left of a quotient of floats."""
    nodes = [node("Cast", "x", "i", to=6), node("ReduceMean", "i", "y", axes=[2, 3])]
    with pytest.raises(CheckpointError, match="it must average floats; got int32"):
        from_onnx(written(tmp_path, made(nodes, (1, 3, 4, 5), {})))
    nodes = [node("Mod", "x k", "y", fmod=1)]
    model = made(nodes, (1, 3, 4, 5), {"k": np.array(0.3, np.float32)})
    with pytest.raises(CheckpointError, match="it must be of whole numbers: no layer computes"):
        from_onnx(written(tmp_path, model))


def test_kinds_are_known_through_a_graph(tmp_path: Path) -> None:
    """Of places of maxima and of what was moved: it says whether a quotient is cut off."""
    nodes = [
        node("TopK", "x k", "v p", axis=1),
        node("Transpose", "p", "t", perm=[0, 2, 3, 1]),
        node("Div", "t two", "h"),
        node("Cast", "h", "f", to=1),
        node("Where", "c f f", "w"),
        node("Div", "w half", "y"),
    ]
    arrays = {
        "k": np.array([5]), "two": np.array(2), "c": np.array(True),
        "half": np.array(3, np.float32),
    }  # fmt: skip
    model = made(nodes, (1, 6, 2, 3), arrays)
    path = written(tmp_path, model)
    images = np.random.default_rng(2).random((1, 6, 2, 3)).astype(np.float32)
    found = from_onnx(path).predict(np.moveaxis(images, 1, -1), finish="none")
    np.testing.assert_array_equal(np.moveaxis(found, -1, 1), witness(path, images))


@pytest.mark.parametrize(("step", "kind"), [(1.0, np.float32), (-2.0, np.float32), (3, np.int32)])
def test_ranges_of_whole_numbers_are_known(step: float, kind: Any, tmp_path: Path) -> None:
    """Places of a grid, as detectors make them, whatever their kind is called."""
    ends = (0, 12) if step > 0 else (9, -3)
    arrays = {
        name: np.array(number, kind) for name, number in zip("abs", (*ends, step), strict=True)
    }
    nodes = [node("Range", "a b s", "r"), node("Cast", "r", "f", to=1), node("Add", "x f", "y")]
    count = len(range(*ends, int(step)))
    path = written(tmp_path, made(nodes, (1, count), arrays))
    images = np.ones((1, count), np.float32)
    found = from_onnx(path).predict(images, finish="none")
    np.testing.assert_array_equal(found, witness(path, images))
    half = made(nodes, (1, count), arrays | {"s": np.array(0.1, np.float32)})
    with pytest.raises(CheckpointError, match="Range 'of r': no layer computes it"):
        from_onnx(written(tmp_path, half))
