"""Rows of an array: what is read of them, and what engines do with them without a copy."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from tests.run.steps import BATCH, SAMPLES, SHAPE, digest, engine_for, make_data, make_step, rates

from isoconv.errors import NotEnoughMemoryError
from isoconv.graph.operation import Array
from isoconv.memory import set_limit
from isoconv.nn.inference import inference_graph, weights_for
from isoconv.rows import CHUNK, Rows, behind_each_other, chunks, taken
from isoconv.run.inference import Predictor

NUMBERS = np.random.default_rng(1).permutation(2 * SAMPLES + 5)[:SAMPLES]


KEYS: list[Any] = [
    0, -1, -6, np.int64(3), np.uint8(2), np.array(4), slice(1, 4), slice(None, None, -2),
    slice(4, 1), slice(-3, 99), [3, 0], [-1, -6], [], np.array([], np.int8),
    np.array([3, 0], np.uint8), np.array([True, False] * 3), [True, False] * 3, [False] * 6, True,
    False, np.True_, (), (2, 1),
    (2, 1, 2), (2, slice(None), [1, 0]), (-1, ...), (slice(0, 3), 1), ([0, 4], ..., 2),
    ([0, 4], [1, 0]), ([0, 4], 1), ([0, 4], slice(None), [2, 1]), ([[0], [4]], [1, 0]),
    (np.array([True, False] * 3), [1, 0, 1]), (slice(None, None, 3), [1, 0], [2, 2]), (..., 1), ...,
    None, (None, 1), (1, None), np.array([[0, 1], [2, 3]]), (np.array([[0, 1], [2, 3]]), 1),
    np.ones((6, 2), bool), (slice(None), np.array([True, False])),
]  # fmt: skip
NO_KEYS: list[Any] = [6, -7, [0, 6], np.int64(6), [True] * 5, 1.5, "a", (0, 2), (0, 0, 0, 0), [1.0]]


class Watched(Rows):
    """Rows that note what is expected of them."""

    def __init__(self, base: Array, numbers: Array) -> None:
        super().__init__(base, numbers)
        self.expected: list[int] = []
        self.asked = self.most = 0

    def ready(self) -> None:
        """Counts."""
        self.asked += 1

    def expect(self, numbers: Array) -> None:
        """Notes."""
        self.most = max(self.most, len(numbers))
        self.expected += numbers.tolist()

    @property
    def at_once(self) -> int:
        """A batch, of which one call would do several."""
        return BATCH


def scattered(array: Array) -> Watched:
    """An array as rows of a larger one, whose other rows are of other values."""
    base = np.full((2 * SAMPLES + 5, *array.shape[1:]), 77, array.dtype)
    base[NUMBERS] = array
    return Watched(base, NUMBERS)


def test_rows_read_as_arrays_do() -> None:
    """Every way of asking gives what the array would; rows of rows are read from the first base."""
    whole = np.arange(2 * 3 * 40).reshape(40, 2, 3)
    numbers = np.array([5, 6, 7, 30, 2, 2])
    rows, plain = Rows(whole, numbers), whole[numbers]
    for key in KEYS:
        found, wanted = rows[key], plain[key]
        assert (type(found), found.shape, found.dtype) == (type(wanted), wanted.shape, plain.dtype)
        assert np.array_equal(found, wanted), key
        assert not (isinstance(found, np.ndarray) and found.flags.writeable), key
    for key in NO_KEYS:
        with pytest.raises(IndexError):
            plain[key]
        with pytest.raises(IndexError):
            rows[key]
    assert (rows.shape, rows.dtype, rows.nbytes, len(rows)) == (
        plain.shape, plain.dtype, plain.nbytes, len(plain),
    )  # fmt: skip
    assert int(rows.max()) == int(plain.max())
    assert np.array_equal([*rows], plain)
    assert rows[:3].base is whole.base
    assert np.shares_memory(rows[:3], whole)
    inner = rows_of(taken(cast(Array, rows), [3, 1]))
    assert inner.base is whole
    assert np.array_equal(inner, plain[[3, 1]])
    together = inner.joined([rows])
    assert together is not None
    assert np.array_equal(together, [*plain[[3, 1]], *plain])
    assert inner.joined([Rows(whole.copy(), numbers)]) is None
    assert np.array_equal(taken(plain, [3, 1]), plain[[3, 1]])
    with pytest.raises(AttributeError):
        rows.no_such_name  # noqa: B018


def test_rows_become_arrays_and_compare_as_arrays_do() -> None:
    """Operators and functions give what the array would; a copy is made, or refused, as asked."""
    whole = np.arange(2 * 3 * 40, dtype=np.uint8).reshape(40, 2, 3)
    numbers = np.array([5, 6, 7, 30, 2, 2])
    rows, plain = Rows(whole, numbers), whole[numbers]
    for found, wanted in (
        (rows == plain, plain == plain), (plain == rows, plain == plain),
        (rows == rows, plain >= 0),
        (rows != 31, plain != 31), (rows > 30, plain > 30), (rows + rows, plain + plain),
        (255 - rows, 255 - plain), (rows / np.float32(2), plain / np.float32(2)), (~rows, ~plain),
        (np.maximum(rows, 40), np.maximum(plain, 40)), (np.add.reduce(rows), np.add.reduce(plain)),
        (np.concatenate([rows, plain]), np.concatenate([plain, plain])),
    ):  # fmt: skip
        assert type(found) is np.ndarray
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)
    assert 31 in rows
    assert 251 not in rows
    assert rows[:0].shape == (0, 2, 3)
    assert bool(Rows(whole[:, :1, :1], np.array([4])))
    with pytest.raises(ValueError, match="more than one element is ambiguous"):
        bool(rows)
    for copy in (None, True):
        assert np.array_equal(np.array(rows, copy=copy), plain)
        assert np.array(rows, np.float32, copy=copy).dtype == np.float32
    mine = np.array(rows)
    mine[:] = 0
    assert np.array_equal(rows, plain)
    with pytest.raises(ValueError, match="copy=False forbids it"):
        np.array(rows, copy=False)
    neighbours = Rows(whole, np.arange(3, 9))
    assert np.shares_memory(np.array(neighbours, copy=False), whole)
    assert not np.shares_memory(np.array(neighbours, copy=True), whole)
    with pytest.raises(ValueError, match="copy=False forbids it"):
        np.array(neighbours, np.float32, copy=False)
    for write in (lambda: rows.__setitem__(0, 1), lambda: rows.__iadd__(1),
                  lambda: np.add(rows, 1, out=cast(Any, rows))):  # fmt: skip
        with pytest.raises(ValueError, match="read-only"):
            write()
    with pytest.raises(TypeError, match="unhashable"):
        hash(rows)


def test_what_lies_behind_each_other_is_joined_without_a_copy() -> None:
    """Neighbours of one array alone, in their order."""
    whole = np.arange(24).reshape(12, 2)
    joined = behind_each_other([whole[1:3], whole[3:4], whole[4:9]])
    assert joined is not None
    assert np.shares_memory(joined, whole)
    assert np.array_equal(joined, whole[1:9])
    with pytest.raises(ValueError, match="read-only"):
        joined[0] = 0
    for parts in ([whole[1:3], whole[4:5]], [whole[3:4], whole[1:3]], [whole[:2], whole[2:].copy()],
                  [whole[:2], whole[2:].view(np.float64)], [whole[:2, :1], whole[2:, :1]],
                  [whole[:2], whole[2:].reshape(-1)], [whole.copy(), whole]):  # fmt: skip
        assert behind_each_other(parts) is None


def rows_of(array: Any) -> Rows:
    """What was handed on as an array."""
    assert isinstance(array, Rows)
    return array


def test_rows_are_copied_where_there_is_memory_alone() -> None:
    """All of them at once ask for it; a few at a time go through all the same."""
    base = np.zeros((64, CHUNK // 16), np.uint8)
    rows = Rows(base, np.arange(64)[::-1])
    before = set_limit(1)
    try:
        with pytest.raises(NotEnoughMemoryError, match="64 rows"):
            np.asarray(rows)
    finally:
        set_limit(before)
    assert [len(part) for part in chunks(cast(Array, rows))] == [16] * 4
    assert [len(part) for part in chunks(base)] == [16] * 4


@pytest.mark.parametrize("threads", [1, 2])
def test_training_reads_rows_where_they_lie(threads: int) -> None:
    """The same bits as from arrays, for images, labels or both, in any order of the samples."""
    step, model = make_step()
    data = make_data()
    order = np.random.default_rng(2).permutation(SAMPLES)

    def trained(given: dict[str, Any]) -> str:
        with engine_for(step, model, given, threads=threads) as engine:
            engine.begin_epoch(4, order)
            return digest(engine, engine.steps(0, rates(3)))

    wanted = trained(data)
    for names in (["images"], ["labels"], ["images", "labels"]):
        rows = {name: scattered(data[name]) for name in names}
        assert trained({**data, **rows}) == wanted
        for each in rows.values():
            assert each.asked
            assert each.expected == NUMBERS[order].tolist()
            assert each.most == BATCH


def test_predictions_read_rows_where_they_lie() -> None:
    """One by one, by all threads together and each on its own."""
    _, model = make_step()
    images = make_data()["images"]
    graph = inference_graph(model, SHAPE, "uint8", "softmax")
    rows = scattered(images)
    for threads, size in ((1, None), (2, 3), (3, 50)):
        with Predictor(graph, threads=threads, shard_size=size) as predictor:
            plain = predictor.run(weights_for(model), {"images": images})
            found = predictor.run(weights_for(model), {"images": cast(Array, rows)})
        assert plain.keys() == found.keys()
        assert rows.asked
        assert all(np.array_equal(plain[name], found[name]) for name in plain)
        assert sorted(rows.expected) == sorted(NUMBERS.tolist())
        rows.expected.clear()
