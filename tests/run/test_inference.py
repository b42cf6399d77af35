"""Predictions: the same bits for an image, whatever is predicted beside it and by whom."""

from __future__ import annotations

import gc
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.run.graphs import specials

from isoconv import nn
from isoconv.compile.pointwise.halo import HaloSpec
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.nn.inference import inference_graph, weights_for
from isoconv.ops import Constant, ConvGeometry, Sum
from isoconv.ops.interpret import interpret
from isoconv.run import inference
from isoconv.run.evaluate import evaluate
from isoconv.run.immutable import immutable_copy
from isoconv.run.inference import Predictor
from isoconv.run.script import Script
from isoconv.run.team import Team

SHAPE = (9, 8, 3)


Case = tuple[Graph, dict[str, Array], Array, Array]


def network() -> nn.Sequential:
    """Every kind of layer that treats an image in a way of its own."""
    return nn.Sequential(
        nn.Conv2d(7, 3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
        nn.DepthwiseConv2d(3, padding=1, stride=2), nn.Conv2d(18, 1), nn.GELU(), nn.Dropout(0.5),
        nn.Flatten(), nn.Linear(11),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    """The network with its first weights."""
    return network().build(SHAPE, seed=1)


def pictures(count: int, dtype: DType) -> Array:
    """Images: bytes, or numbers with subnormal and large ones among them."""
    draw = np.random.default_rng(0)
    if dtype == "uint8":
        return draw.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    images = draw.standard_normal((count, *SHAPE)).astype(np.float32)
    rare = specials("float32")
    chosen = draw.random(images.shape) < 0.1
    images[chosen] = draw.choice(rare[np.abs(rare) < 1e7], chosen.sum())
    return images


@pytest.fixture(scope="module", params=["uint8", "float32"])
def case(request: pytest.FixtureRequest, model: nn.Sequential) -> Case:
    """A graph, its weights, 70 images and what the references say of them."""
    graph = inference_graph(model, SHAPE, request.param, "softmax")
    weights, images = weights_for(model), pictures(70, request.param)
    expected = interpret(graph, {**weights, "images": images}, images=70)["result"]
    return graph, weights, images, expected


@pytest.mark.parametrize(
    ("threads", "shard_size"), [(1, 32), (1, 7), (2, 32), (3, 8), (3, 1), (2, 100), (7, 5)]
)
def test_cuts(case: Case, threads: int, shard_size: int) -> None:
    """Threads and shards, whole and not, give the references' bits."""
    graph, weights, images, expected = case
    with Predictor(graph, threads=threads, shard_size=shard_size) as predictor:
        found = predictor.run(weights, {"images": images})["result"]
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_native_calls_of_bounded_length(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """However its turns are cut into native calls, the bits are those; Ctrl-C is heard in between.

    Where each call takes too long it is a turn; where none does, each has twice as many as before.
    """
    graph, weights, images, expected = case
    monkeypatch.setattr(inference, "CALL_SECONDS", seconds)
    calls, real = [], Team.run

    def counted(self: Team, scripts: list[Script], turns: int, control: None = None) -> None:
        calls.append(turns)
        real(self, scripts, turns, control)

    with Predictor(graph, threads=2, shard_size=2) as predictor:
        predictor.run(weights, {"images": images[:1]})
        monkeypatch.setattr(Team, "run", counted)
        for _ in range(2):
            found = predictor.run(weights, {"images": images})["result"]
            assert found.tobytes() == expected.tobytes()
        turns = [1] * 34 if seconds == 0 else [1, 2, 4, 8, 2, 1, 16, 1, 1]
        assert calls[: len(turns)] == turns

        def interrupted(self: Team, *given: Any) -> None:
            counted(self, *given)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Team, "run", interrupted)
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            predictor.run(weights, {"images": images})
        assert len(calls) == 1
        monkeypatch.setattr(Team, "run", counted)
        found = predictor.run(weights, {"images": images})["result"]
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_company(case: Case, threads: int) -> None:
    """One image alone, in pairs, among 7 and among 33: the same bits for that image."""
    graph, weights, images, expected = case
    with Predictor(graph, threads=threads, shard_size=4) as predictor:
        for count in (1, 2, 7, 33):
            for first in (0, 5):
                batch = images[first : first + count]
                found = predictor.run(weights, {"images": batch})["result"]
                assert found.tobytes() == expected[first : first + count].tobytes()


def test_predict(model: nn.Sequential) -> None:
    """The model's own method, on bytes and on numbers, with and without its finish."""
    for dtype in ("uint8", "float32"):
        images = pictures(5, dtype)
        for finish in ("softmax", "none"):
            graph = inference_graph(model, SHAPE, dtype, finish)
            given = {**weights_for(model), "images": images}
            expected = interpret(graph, given, images=5)["result"]
            found = model.predict(images, finish=finish, threads=2)
            assert found.tobytes() == expected.tobytes()


def test_fusion(case: Case) -> None:
    """Node by node the same bits."""
    graph, weights, images, expected = case
    with Predictor(graph, threads=1, fusion=False) as predictor:
        found = predictor.run(weights, {"images": images})["result"]
        assert found.tobytes() == expected.tobytes()


def simple(**settings: Any) -> Predictor:
    """A predictor of scaled numbers, with two outputs."""
    b = GraphBuilder()
    x, p = b.input("dataset", "x", (3,)), b.input("parameter", "p", (3,))
    y = b.add("mul", x, p)
    half = b.add("scale", y, attrs=Constant(0.5))
    return Predictor(b.graph([("y", y), ("half", half), ("x", x)]), threads=2, **settings)


X, P = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([1, 10, 100], np.float32)


def test_several_outputs() -> None:
    """Every output has a row for each image; an input can be one."""
    with simple() as predictor:
        found = predictor.run({"p": P}, {"x": X})
    np.testing.assert_array_equal(found["y"], X * P)
    np.testing.assert_array_equal(found["half"], X * P / 2)
    np.testing.assert_array_equal(found["x"], X)


def test_new_weights() -> None:
    """Weights are those of the call, and results of earlier calls stay as they were."""
    with simple() as predictor:
        first = predictor.run({"p": P}, {"x": X})["y"]
        second = predictor.run({"p": -P}, {"x": X[:1]})["y"]
    np.testing.assert_array_equal(first, X * P)
    np.testing.assert_array_equal(second, -X[:1] * P)


def mixing() -> Graph:
    """A predictor whose kernels read weights packed, as they are, and squared beforehand."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3,))
    first, second = (b.input("parameter", name, (3, 3)) for name in ("first", "second"))
    bias, scale = (b.input("parameter", name, (3,)) for name in ("bias", "scale"))
    y = b.add("add", b.add("conv", x, first, attrs=POINT), bias)
    y = b.add("mul", b.add("conv", y, second, attrs=POINT), bias)
    z = b.add("mul", y, b.add("square", scale))
    return b.graph([("z", z)])


POINT = ConvGeometry((), (), (), (), 1)
MIXED = {
    "first": np.arange(9, dtype=np.float32).reshape(3, 3) - 4,
    "second": np.arange(9, dtype=np.float32).reshape(3, 3) * 2 - 5,
    "bias": np.array([1, -2, 3], np.float32),
    "scale": np.array([2, 1, -1], np.float32),
}


def mixed(weights: dict[str, Array]) -> Array:
    """What `mixing` gives: small whole numbers, so that any order is exact."""
    w = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    y = (X @ w["first"] + w["bias"]) @ w["second"] * w["bias"]
    return (y * w["scale"] ** 2).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("changed", ["first", "second", "bias", "scale"])
def test_weights_that_change(threads: int, changed: str) -> None:
    """A weight that is replaced, or changed in place where that is possible, is seen."""
    kinds: list[Callable[[Array], Any]] = [immutable_copy, np.array, np.asfortranarray, np.float64]
    for kind in kinds:
        weights = {name: kind(array) for name, array in MIXED.items()}
        with Predictor(mixing(), threads=threads) as predictor:
            for _ in range(2):
                found = predictor.run(weights, {"x": X})["z"]
                np.testing.assert_array_equal(found, mixed(weights))
            weights[changed] = kind(-weights[changed])
            for _ in range(2):
                found = predictor.run(weights, {"x": X})["z"]
                np.testing.assert_array_equal(found, mixed(weights))
            if kind is not immutable_copy:
                weights[changed][0] += 7
                found = predictor.run(weights, {"x": X})["z"]
                np.testing.assert_array_equal(found, mixed(weights))


@pytest.mark.parametrize("threads", [1, 2])
def test_filters_computed_from_weights(threads: int) -> None:
    """Filters that are computed once, before the images, are packed like any others."""
    b = GraphBuilder()
    x, p = b.input("dataset", "x", (3,)), b.input("parameter", "p", (3, 3))
    graph = b.graph([("y", b.add("conv", x, b.add("square", p), attrs=POINT))])
    with Predictor(graph, threads=threads, shard_size=1) as predictor:
        (call,) = predictor._lowered.prepare
        assert isinstance(call.spec, PointwiseSpec)
        for filters in (MIXED["first"], MIXED["second"]):
            found = predictor.run({"p": filters}, {"x": X})["y"]
            np.testing.assert_array_equal(found, X @ filters**2)


def test_read_only_views_may_change() -> None:
    """An array that only looks read-only is read in each call."""
    owner = MIXED["first"].copy()
    weights = {**MIXED, "first": owner.view()}
    weights["first"].flags.writeable = False
    with Predictor(mixing(), threads=1) as predictor:
        for _ in range(3):
            owner[1, 2] += 1
            np.testing.assert_array_equal(predictor.run(weights, {"x": X})["z"], mixed(weights))


def test_weights_known_from_another_array() -> None:
    """An array that takes a dead one's place in memory is not taken for it."""
    with Predictor(mixing(), threads=1) as predictor:
        for turn in range(50):
            weights = {name: immutable_copy(array * (turn % 5)) for name, array in MIXED.items()}
            np.testing.assert_array_equal(predictor.run(weights, {"x": X})["z"], mixed(weights))


def test_immutable_weights_read_in_another_way() -> None:
    """The same array object with another element type is another weight."""
    weights = {name: immutable_copy(array) for name, array in MIXED.items()}
    with Predictor(mixing(), threads=1) as predictor:
        predictor.run(weights, {"x": X})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            weights["first"].dtype = np.int32  # type: ignore[assignment,misc]
        weights["first"] = weights["first"]
        found = predictor.run(weights, {"x": X * 0})["z"]
        np.testing.assert_array_equal(found, mixed({**MIXED, "first": np.zeros((3, 3))}))
        assert predictor.run(weights, {"x": X})["z"].tobytes() != mixed(MIXED).tobytes()


def test_weights_after_a_refusal() -> None:
    """A call that is refused leaves nothing half done for the next one."""
    weights = {name: immutable_copy(array) for name, array in MIXED.items()}
    others = {name: immutable_copy(array * 3) for name, array in MIXED.items()}
    with Predictor(mixing(), threads=1) as predictor:
        for given in (weights, others, weights):
            with pytest.raises(ShapeError):
                predictor.run({**given, "second": np.zeros(2)}, {"x": X})
            with pytest.raises(ValueError, match="convert"):
                predictor.run({**given, "bias": np.array(["a", "b", "c"])}, {"x": X})
            np.testing.assert_array_equal(predictor.run(given, {"x": X})["z"], mixed(given))


@pytest.mark.parametrize("threads", [1, 3])
def test_large_values_share_memory(threads: int) -> None:
    """Where with_halo values take turns in memory, the zeros around each are there again."""
    model = nn.Sequential(
        nn.Conv2d(16, 3, padding=1), nn.ReLU(), nn.DepthwiseConv2d(3, padding=1), nn.Conv2d(24, 1),
        nn.Conv2d(16, 5, padding=2, stride=2), nn.BatchNorm2d(), nn.Conv2d(64, 3, padding=1),
        nn.DepthwiseConv2d(5, padding=2), nn.GlobalAvgPool2d(), nn.Linear(3),
    ).build((56, 56, 3), seed=1)  # fmt: skip
    graph = inference_graph(model, (56, 56, 3), "float32", "none")
    images = np.random.default_rng(0).standard_normal((5, 56, 56, 3)).astype(np.float32)
    expected = evaluate(graph, {**weights_for(model), "images": images}, 5)["result"]
    with Predictor(graph, threads=threads, shard_size=2) as predictor:
        assert any(isinstance(call.spec, HaloSpec) for call in predictor._lowered.shard)
        for _ in range(2):
            found = predictor.run(weights_for(model), {"images": images})["result"]
            assert found.tobytes() == expected.tobytes()


def test_no_images() -> None:
    """Of no images there are no results."""
    with simple() as predictor:
        assert predictor.run({"p": P}, {"x": X[:0]})["y"].shape == (0, 3)


def test_arrays_as_they_come() -> None:
    """Read-only and transposed arrays are taken, and none is changed."""
    turned = np.ascontiguousarray(X.T).T
    fixed = X.copy()
    fixed.setflags(write=False)
    with simple(shard_size=1) as predictor:
        for array in (turned, fixed):
            found = predictor.run({"p": P}, {"x": array})["y"]
            np.testing.assert_array_equal(found, X * P)


def test_callers_at_once() -> None:
    """Threads of a program may share one predictor: each gets its own results."""
    wrong, predictor = [], simple()

    def ask(sign: int) -> None:
        for _ in range(100):
            found = predictor.run({"p": sign * P}, {"x": X})["y"]
            if not np.array_equal(found, sign * X * P):
                wrong.append(found)

    callers = [threading.Thread(target=ask, args=(sign,), daemon=True) for sign in (1, -1, 2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
        assert not caller.is_alive(), "callers wait for one another"
    predictor.close()
    assert not wrong


def test_threads_end_with_the_predictor() -> None:
    """A predictor that nobody holds any more leaves no thread behind."""
    # Threads of others, which nobody holds either, may end meanwhile.
    gc.collect()
    before = set(threading.enumerate())
    predictor = simple()
    predictor.run({"p": P}, {"x": X})
    own = set(threading.enumerate()) - before
    assert len(own) == 1
    del predictor
    gc.collect()
    assert not own & set(threading.enumerate())


def test_what_is_refused() -> None:
    """Arrays that are missing, or of another shape, dtype or number of rows, are named."""
    with simple() as predictor:
        with pytest.raises(ShapeError, match=r"'x' must have shape \(N, 3\); got \(4, 2\)"):
            predictor.run({"p": P}, {"x": X[:, :2]})
        with pytest.raises(DTypeError, match="'x' must be float32; got float64"):
            predictor.run({"p": P}, {"x": X.astype(float)})
        with pytest.raises(ShapeError, match=r"'p' must have shape \(3,\); got \(2,\)"):
            predictor.run({"p": P[:2]}, {"x": X})
        with pytest.raises(ArgumentError, match="'p'"):
            predictor.run({}, {"x": X})
        with pytest.raises(ArgumentError, match="'x'"):
            predictor.run({"p": P}, {})


def test_rows_of_two_inputs() -> None:
    """Inputs that hold different numbers of images are refused."""
    b = GraphBuilder()
    x, z = b.input("dataset", "x", (3,)), b.input("dataset", "z", (3,))
    with (
        Predictor(b.graph([("y", b.add("add", x, z))]), threads=1) as predictor,
        pytest.raises(ShapeError, match="one row for each image"),
    ):
        predictor.run({}, {"x": X, "z": X[1:]})


def test_outputs_have_images() -> None:
    """A sum over the images depends on which are beside each other; a predictor has none."""
    b = GraphBuilder()
    total = b.add("sum", b.input("dataset", "x", (3,)), attrs=Sum(1, batched=False))
    with pytest.raises(ShapeError, match="'total' must have an image axis"):
        Predictor(b.graph([("total", total)]), threads=1)


@pytest.mark.parametrize("setting", [{"threads": -1}, {"shard_size": 0}, {"target": "avx1024"}])
def test_settings(setting: dict[str, Any]) -> None:
    """Settings outside their range are refused."""
    b = GraphBuilder()
    graph = b.graph([("y", b.add("neg", b.input("dataset", "x", (3,))))])
    with pytest.raises(ArgumentError):
        Predictor(graph, **{"threads": 1, **setting})
