"""Max pooling with its places, and values put back there: by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.nn.slopes import computed

from isoconv import nn
from isoconv.errors import ArgumentError, IsoconvError, ShapeError
from isoconv.nn import Trace, functional
from isoconv.run.evaluate import evaluate

X = np.array([[1, 5, 4], [9, 2, 1], [6, 3, 2]], np.float32)[None, :, :, None]


def test_by_hand() -> None:
    """Two windows share the 9; the later one's value stays there and takes the gradient."""
    places = computed(lambda x: functional.max_pool2d_with_indices(x, 2, 1)[1], X)[0]
    assert places[0, :, :, 0].tolist() == [[3, 1], [3, 7]]

    def back(x: Any) -> Any:
        _, places = functional.max_pool2d_with_indices(x, 2, 1)
        return functional.max_unpool2d(functional.max_pool2d(x, 2, 1) * 10, places, 2, 1)

    dy = np.arange(9, dtype=np.float32).reshape(X.shape)
    y, dx = computed(back, X, dy=dy)
    assert y[0, :, :, 0].tolist() == [[0, 50, 0], [90, 0, 0], [0, 30, 0]]
    # The first window's 9 was overwritten: its share of the gradient is 0.
    assert dx[0, :, :, 0].tolist() == [[0, 10, 0], [30, 0, 0], [0, 70, 0]]


def test_layers() -> None:
    """A network of named layers: values and their places go two ways and meet again."""
    steps = (
        ("values", nn.MaxPool2d(2), "x"), ("places", nn.MaxPool2d(2, result="indices"), "x"),
        ("back", nn.MaxUnpool2d(2), "values", "places"),
    )  # fmt: skip
    x = np.random.default_rng(3).standard_normal((2, 6, 4, 3)).astype(np.float32)
    y = nn.Network(steps, ("x",), "back").build((6, 4, 3)).predict(x, finish="none")
    assert (y != 0).sum() == x.size // 4
    np.testing.assert_array_equal(y[y != 0], x[y != 0])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_there_and_back(rank: int) -> None:
    """Windows side by side: what was largest is where it was, with padding and a larger map too."""
    sides = (7, 6, 5)[:rank]
    x = np.random.default_rng(rank).standard_normal((2, *sides, 3))
    pool = getattr(functional, f"max_pool{rank}d_with_indices")
    unpool = getattr(functional, f"max_unpool{rank}d")

    def back(t: Any) -> Any:
        values, places = pool(t, 2, padding=1, ceil_mode=True)
        return unpool(values, places, 2, padding=1, output_size=sides)

    y = computed(back, x)[0]
    kept = y != 0
    np.testing.assert_array_equal(y[kept], x[kept])
    top = computed(lambda t: pool(t, 2, padding=1, ceil_mode=True)[0], x)[0]
    assert sorted(top.ravel()) == sorted(y[kept])


def test_numbers_that_are_no_place() -> None:
    """Nothing is put beyond the map, and whatever is no number leaves it alone."""
    x = np.array([1, 2, 3, 4, 5, 6], np.float32).reshape(1, 6, 1)
    places = np.array([-1, 9, np.nan, 1e30, -np.inf, 2.75], np.float32).reshape(1, 6, 1)
    trace = Trace()
    given, where = (trace.input("dataset", name, (6, 1)) for name in ("x", "places"))
    y = functional.max_unpool1d(given, where, 1, output_size=9)
    found = evaluate(trace.builder.graph([("y", y.index)]), {"x": x, "places": places}, 1)["y"]
    assert found[0, :, 0].tolist() == [0, 0, 6, 0, 0, 0, 0, 0, 0]


REFUSED: tuple[tuple[Callable[..., Any], type[IsoconvError], str], ...] = (
    (lambda x: functional.max_unpool2d(x, x, 0), ArgumentError, "kernel_size must be at least 1"),
    (lambda x: functional.max_unpool2d(x, x, 1, 1, 3), ShapeError, "padding must leave something"),
    (lambda x: functional.max_unpool2d(x, functional.max_pool2d(x, 2), 2), ShapeError,
     "x must have a place for each element"),
    (lambda x: functional.max_unpool2d(x, x, 2, padding="same"), ArgumentError, "given in numbers"),
    (lambda x: functional.max_pool1d_with_indices(x, 2), ShapeError, r"shape \(L, C\)"),
)  # fmt: skip


@pytest.mark.parametrize(("function", "kind", "text"), REFUSED)
def test_refused(function: Callable[..., Any], kind: type[IsoconvError], text: str) -> None:
    """The argument and its rule are named."""
    with pytest.raises(kind, match=text):
        function(Trace().images((4, 4, 2)))
