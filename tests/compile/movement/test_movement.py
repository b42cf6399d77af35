"""Transposed, taken and resampled values: the kernels against the references, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.compile.places import same_bits, targets
from tests.run.graphs import check, dtype_of, random_arrays

import isoconv.ops as ops
from isoconv.compile.movement.pieces import pieces
from isoconv.compile.target import Target
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.ops.interpret import interpret
from isoconv.ops.resample import transposed
from isoconv.run.inference import Predictor

DTYPES: tuple[DType, ...] = ("float32", "float64", "uint8", "int32", "int64")

ORDERS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((5, 7, 3), (2, 0, 1)),  # to channels first, and back
    ((3, 5, 7), (1, 2, 0)),
    ((2, 9, 16), (0, 2, 1)),
    ((33, 47), (1, 0)),
    ((4, 3, 2, 20), (2, 0, 1, 3)),  # the last axis stays
    ((4, 1, 37, 1), (2, 3, 0, 1)),
    ((2, 3, 4, 5, 6), (4, 2, 0, 3, 1)),
    ((16, 16), (1, 0)),
    ((1, 1), (1, 0)),
    ((17, 1, 19), (2, 1, 0)),
)


@pytest.mark.parametrize("target", targets())
def test_transposed(target: Target) -> None:
    """Any order of axes, of every dtype, of images and of weights; sizes around a tile's."""
    for number, (shape, axes) in enumerate(ORDERS):
        b = GraphBuilder()
        kind: Any = ("dataset", "parameter")[number % 2]
        x = b.input(kind, "x", shape, DTYPES[number % len(DTYPES)])
        y = b.add("transpose", x, attrs=ops.Permutation(axes))
        graph = b.graph([("y", y), ("z", b.add("transpose", y, attrs=ops.Permutation(axes)))])
        check(graph, random_arrays(graph, 3), 3, target=target.name)


def test_transposed_within_other_memory() -> None:
    """A slice with gaps is read where it lies, a padded result written where it is wanted."""
    b = GraphBuilder()
    x = b.add("neg", b.input("dataset", "x", (18, 7, 9)))
    part = b.add("slice_channels", x, attrs=ops.Slice(2, 8))
    crop = b.add("crop", x, attrs=ops.Padding(((1, 2), (0, 3))))
    one = b.add("slice_channels", x, attrs=ops.Slice(4, 5))
    moved = [b.add("transpose", v, attrs=ops.Permutation((2, 1, 0))) for v in (part, crop, one)]
    w = b.input("parameter", "w", (3, 3, 18, 4))
    geometry = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    outputs = [("part", moved[0]), ("crop", moved[1]), ("one", moved[2]),
               ("conv", b.add("conv", moved[0], w, attrs=geometry))]  # fmt: skip
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 2), 2)


PLACES = (
    (2, 1, 0, 1, 2, 3, 4, 5, 4, 3),  # reflected
    (0, 0, 0, 1, 2, 3, 4, 5, 5),  # repeated at the ends
    (4, 5, 0, 1, 2, 3, 4, 5, 0),  # round and round
    (5, 4, 3, 2, 1, 0),
    (0, 2, 4),
    (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5),
    (-1, -1, 2, 3, -1),
    (3,),
    (0, 1, 1, 0, 5, 2, 2, -1, 4, 3, 3, 0),  # as it comes
    (0, 3, 1, 4, 2, 5),  # groups of channels mixed
)


SHAPES = {-1: (3, 5, 6), -2: (2, 6, 35), -3: (6, 2, 33)}
"""With six places on an axis."""


@pytest.mark.parametrize(("turn", "target"), [*enumerate(targets())])
def test_taken(turn: int, target: Target) -> None:
    """Along the first, a middle and the last axis, of every dtype."""
    for number, places in enumerate(PLACES):
        axis = -1 - (number + turn) % 3
        b, dtype = GraphBuilder(), DTYPES[number % len(DTYPES)]
        kind: Any = ("dataset", "parameter")[number % 2]
        x = b.input(kind, "x", SHAPES[axis], dtype)
        graph = b.graph([("y", b.add("take", x, attrs=ops.Take(axis, places)))])
        check(graph, random_arrays(graph, 3), 3, target=target.name)


@pytest.mark.parametrize(("turn", "target"), [*enumerate(targets())])
def test_resampled(turn: int, target: Target) -> None:
    """Chains of few lengths and of many, of ones and of any weights, and back."""
    draw = np.random.default_rng(1)
    rows: list[list[tuple[tuple[int, float], ...]]] = [
        [((i * 3 // 5, 1.0),) for i in range(10)],
        [((i // 2, 0.25), (min(i // 2 + 1, 5), 0.75)) for i in range(11)],
        [tuple((int(draw.integers(6)), draw.normal()) for _ in range(i % 7)) for i in range(9)],
        [tuple((i, 0.1) for i in range(6)) * 2],
    ]
    for number, taps in enumerate(rows):
        axis = -1 - (number + turn) % 3
        b, dtype = GraphBuilder(), DTYPES[turn % 2]
        kind: Any = ("dataset", "parameter")[number % 2]
        x = b.input(kind, "x", SHAPES[axis], dtype)
        y = b.add("resample", x, attrs=ops.Resample(axis, tuple(taps)))
        back = ops.Resample(axis, transposed(tuple(taps), 6))
        graph = b.graph([("y", y), ("back", b.add("resample", y, attrs=back))])
        check(graph, random_arrays(graph, 3), 3, target=target.name)


def test_a_gap_behind_the_axis() -> None:
    """Rows that do not lie one behind the other are gone through one by one."""
    b = GraphBuilder()
    x = b.add("neg", b.input("dataset", "x", (6, 7, 9)))
    crop = b.add("crop", x, attrs=ops.Padding(((1, 2), (0, 3))))
    places = (0, 1, 1, 0, 2, 2, -1, 0, 2, 0, 1)
    taps = tuple(((i % 3, 0.5), (1, 0.3)) for i in range(4))
    y = b.add("take", crop, attrs=ops.Take(-3, places))
    z = b.add("resample", crop, attrs=ops.Resample(-3, taps))
    graph = b.graph([("y", y), ("z", z)])
    check(graph, random_arrays(graph, 2), 2)


@pytest.mark.slow
def test_pieces() -> None:
    """Every place is in one piece, and the pieces say what it takes."""
    for places in PLACES:
        found: dict[int, int] = {}
        for piece in pieces(places):
            for i in range(piece.counts[0]):
                for j in range(piece.counts[1]):
                    at = piece.first + i * piece.counts[1] + j
                    assert at not in found
                    steps = piece.steps
                    found[at] = -1 if steps is None else piece.start + i * steps[0] + j * steps[1]
        assert tuple(found[at] for at in range(len(places))) == places
    assert [len(pieces(places)) for places in PLACES] == [3, 3, 3, 1, 1, 1, 3, 1, 7, 1]
    # Looked at once: a copy of the rest for each piece would take minutes.
    assert len(pieces([0, 2, 1] * 200_000)) == 200_001


def test_rows_of_a_data_set() -> None:
    """What is moved first is picked from the data set, not gathered before."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (6, 5, 3), "uint8")
    outputs = [("t", b.add("transpose", x, attrs=ops.Permutation((2, 0, 1)))),
               ("k", b.add("take", x, attrs=ops.Take(-3, PLACES[8]))),
               ("f", b.add("take", x, attrs=ops.Take(-2, (4, 3, 2, 1, 0))))]  # fmt: skip
    graph = b.graph(outputs)
    arrays = random_arrays(graph, 4)
    assert dtype_of(arrays["x"]) == "uint8"
    check(graph, arrays, 4)


@pytest.mark.parametrize("threads", [2, 3])
def test_a_team_shares_the_work(threads: int) -> None:
    """Tiles, places of the axis and channels fall into disjoint shares, of one image too."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (6, 19, 5))
    wide = b.input("parameter", "w", (6, 19, 5))
    half = ops.Resample(-3, tuple(((i % 6, 0.5), (1, 0.3)) for i in range(11)))
    outputs = {"t": b.add("transpose", x, attrs=ops.Permutation((2, 0, 1))),
               "w": b.add("transpose", b.add("add", x, wide), attrs=ops.Permutation((1, 2, 0))),
               "k": b.add("take", x, attrs=ops.Take(-3, PLACES[8])),
               "f": b.add("take", x, attrs=ops.Take(-2, (4, 3, 2, 1, 0))),
               "r": b.add("resample", x, attrs=half),
               "u": b.add("max_unpool", x, x, attrs=ops.Unpool((2, 2)))}  # fmt: skip
    graph = b.graph([*outputs.items()])
    for images in (1, 4):
        arrays = random_arrays(graph, images)
        expected = interpret(graph, arrays, images=images)
        with Predictor(graph, shard_size=4, threads=threads) as predictor:
            found = predictor.run({"w": arrays["w"]}, {"x": arrays["x"]})
        for name, array in expected.items():
            same_bits(found[name], array)
