"""The benchmark's own machinery, on work that takes no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.__main__ import main
from bench.crew import Crew, Entry, Setting, chosen
from bench.libraries import ISOCONV, Peer
from bench.libraries.isoconv_library import IsoconvLibrary
from bench.measure import step_request, steps
from bench.networks import NETWORKS, build, describe
from bench.results import read, row_of, write
from bench.timing import Pace, WorkerEndedError, WorkerError, WorkerTimeoutError, alternate
from bench.worker import SHOWN
from bench.workloads import DIRECTIONS, LAYERS, SIMPLE, Layer, Simple, Step

import isoconv as ic
from isoconv.graph.operation import Array
from isoconv.run.ceilings import Ceilings

PACE = Pace(blocks=1, repetitions=1, budget=0.0, pause=0.0)
SMALL = Layer("small", 3, (6, 5), 4, 6, (3, 3), 2, 1, 2)


def numbers(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Arrays of these shapes."""
    random = np.random.RandomState(0)
    return {name: random.randn(*shape).astype(np.float32) for name, shape in shapes.items()}


def layer(direction: str, arrays: dict[str, Array]) -> Array:
    """The result of a layer in one direction."""
    request = {**asdict(SMALL), "direction": direction, "threads": 2}
    return IsoconvLibrary().layer(request, arrays).results["result"]


def convolved(x: Array, w: Array) -> Array:
    """SMALL by its definition, in float64."""
    x = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    result = np.zeros((3, *SMALL.outputs, 6))
    for i, j, o in np.ndindex(*SMALL.outputs, 6):
        group = slice(2 * (o // 3), 2 * (o // 3) + 2)
        window = x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, group]
        result[:, i, j, o] = (window * w[..., o]).sum(axis=(1, 2, 3))
    return result


def test_layer_in_all_directions() -> None:
    """Forward by its definition; the gradients by <dy, x*w> = <dx, x> = <dw, w>."""
    arrays = numbers(SMALL.arrays)
    forward, by_input, by_weight = (layer(direction, arrays) for direction in DIRECTIONS)
    np.testing.assert_allclose(forward, convolved(arrays["x"], arrays["w"]), atol=1e-4)
    product = (forward.astype(np.float64) * arrays["dy"]).sum()
    np.testing.assert_allclose((by_input.astype(np.float64) * arrays["x"]).sum(), product, 1e-4)
    np.testing.assert_allclose((by_weight.astype(np.float64) * arrays["w"]).sum(), product, 1e-4)


def test_work_can_be_repeated() -> None:
    """Repetitions find their inputs as the first one did."""
    arrays = numbers(SMALL.arrays)
    request = {**asdict(SMALL), "direction": "forward", "threads": 2}
    prepared = IsoconvLibrary().layer(request, arrays)
    prepared.work()
    again = IsoconvLibrary().layer(request, arrays)
    np.testing.assert_array_equal(prepared.results["result"], again.results["result"])
    assert prepared.inner >= 1
    assert prepared.facts["packing_ms"] >= 0


@pytest.mark.parametrize("op", ["max_pool", "avg_pool", "global_avg_pool", "relu_add"])
def test_simple_operations(op: str) -> None:
    """A quick look at each: the values of the result, and the shape of the gradient."""
    settings = {"kernel": 2, "stride": 2, "padding": 0} if op in ("max_pool", "avg_pool") else {}
    forward = Simple("small", op, 4, (4, 6), 3, settings)
    arrays = numbers(forward.arrays)
    request = {**asdict(forward), "threads": 2, "shards": 2}
    found = IsoconvLibrary().simple(request, arrays).results["result"]
    x = arrays["x"]
    windows = x.reshape(4, 2, 2, 3, 2, 3)
    expected = {
        "max_pool": lambda: windows.max(axis=(2, 4)),
        "avg_pool": lambda: windows.mean(axis=(2, 4)),
        "global_avg_pool": lambda: x.mean(axis=(1, 2)),
        "relu_add": lambda: np.maximum(x + arrays["other"], 0),
    }[op]()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    backward = Simple("small", op, 4, (4, 6), 3, settings, backward=True)
    request = {**asdict(backward), "threads": 2, "shards": 2}
    gradient = IsoconvLibrary().simple(request, numbers(backward.arrays)).results["dx"]
    assert gradient.shape == x.shape


def test_batch_norm_per_shard() -> None:
    """Each thread's images are normalised by themselves."""
    simple = Simple("small", "batch_norm", 4, (4, 4), 3)
    arrays = numbers(simple.arrays) | {"gamma": np.ones(3, np.float32)}
    request = {**asdict(simple), "threads": 2, "shards": 2}
    found = IsoconvLibrary().simple(request, arrays).results["result"] - arrays["beta"]
    for shard in (found[:2], found[2:]):
        np.testing.assert_allclose(shard.mean(axis=(0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(shard.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_named_shapes() -> None:
    """Sixteen layers, each with a positive size and a name of its own."""
    assert len(LAYERS) == len({layer.name for layer in LAYERS}) == 16
    assert all(layer.flops > 0 and min(layer.outputs) > 0 for layer in LAYERS)
    assert len({simple.name for simple in SIMPLE}) == len(SIMPLE)


@pytest.mark.slow
def test_imported_networks(tmp_path: Path) -> None:
    """A file of a network gives every library the scores of the network."""
    onnx_model = pytest.importorskip("bench.libraries.onnx_model")
    onnxruntime = pytest.importorskip("bench.libraries.onnxruntime_library")
    model = build("resnet20", 10, (32, 32, 3))
    images = numbers({"images": (2, 32, 32, 3)})["images"]
    content = onnx_model.onnx_bytes(describe(model), model.weights, images.shape)
    arrays = {"network": np.frombuffer(content, np.uint8), "images": images}
    request = {"folder": str(tmp_path), "threads": 1}
    expected = model.predict(images, finish="none")
    for library in (IsoconvLibrary(), onnxruntime.OnnxRuntimeLibrary()):
        prepared = library.imported(request, arrays)
        prepared.work()
        np.testing.assert_allclose(prepared.results["scores"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["tiny", "lenet", "resnet20", "mobilenetv2", "unet", "efficientnet_lite0_tuned"]
)
def test_descriptions_carry_all_weights(name: str) -> None:
    """Every weight belongs to a step of the description, with the size that it says."""
    shape = (28, 28, 1) if name in ("tiny", "lenet") else (32, 32, 3)
    model = build(name, 10, shape)
    sizes: dict[str, tuple[int, ...]] = {}

    def gather(steps: list[dict[str, Any]]) -> None:
        for step in steps:
            gather(step.get("body", []))
            gather(step.get("shortcut", []))
            for body in step.get("bodies", []):
                gather(body)
            if step["op"] == "conv_transpose":
                kernel = (step["kernel"], step["kernel"])
                sizes[f"{step['name']}.weight"] = (*kernel, step["filters"], step["channels"])
            elif step["op"] == "conv":
                kernel = (step["kernel"], step["kernel"])
                inputs = step["channels"] // step["groups"]
                sizes[f"{step['name']}.weight"] = (*kernel, inputs, step["filters"])
            elif step["op"] == "linear":
                sizes[f"{step['name']}.weight"] = (step["inputs"], step["outputs"])
                if "flattened" in step:
                    assert prod(step["flattened"]) == step["inputs"]
            elif step["op"] == "batch_norm":
                sizes[f"{step['name']}.weight"] = (step["channels"],)

    gather(describe(model))
    weights = {key: a.shape for key, a in model.weights.items() if key.endswith(".weight")}
    assert sizes == weights


@pytest.mark.slow
def test_tuned_begins_from_what_was_published() -> None:
    """All but the head is as published, and a step changes every weight but no statistics."""
    shape = (32, 32, 3)
    model = build("efficientnet_lite0_tuned", 3, shape)
    published = ic.load("efficientnet-lite0").weights
    other = [name for name, a in model.weights.items() if not np.array_equal(a, published[name])]
    assert other == ["24.weight", "24.bias"]
    arrays = numbers({"images": (4, *shape)}) | dict(model.weights)
    arrays["labels"] = np.zeros(4, np.int32)
    request = {"network": "efficientnet_lite0_tuned", "classes": 3, "batch": 4, "shard": 2,
               "threads": 1, "weights": True}  # fmt: skip
    found = IsoconvLibrary().step(request, arrays).results[SHOWN]
    learned = [array for name, array in model.weights.items() if "running" not in name]
    assert found.size == sum(array.size for array in learned)
    changed = np.split(found, np.cumsum([array.size for array in learned])[:-1])
    same = [np.array_equal(a.ravel(), b) for a, b in zip(learned, changed, strict=True)]
    assert not any(same)
    assert all(step.get("frozen", True) for step in describe(model))


def test_labels_of_every_pixel() -> None:
    """A network with a result for each pixel learns from a label for each, of its own classes."""
    step = Step("small", "unet", 2, (16, 32, 3), classes=2, shard=1, batches=1)
    _, arrays = step_request(step)
    assert arrays["labels"].shape == (2, 16, 32)
    assert set(arrays["labels"].ravel()) == {0, 1}


def test_resnet50_has_its_parameters() -> None:
    """As published: 25,557,032 parameters for 1,000 classes."""
    model = NETWORKS["resnet50"](1000, (224, 224, 3))
    assert model.summary((224, 224, 3)).parameters == 25_557_032


@pytest.mark.slow
def test_crew_measures_and_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker in its own process measures a step without peers, and the file can be read."""
    crew = Crew(Setting(threads=1, pace=PACE, peers=()))
    model = build("tiny", 10, (28, 28, 1))
    arrays = numbers({"images": (64, 28, 28, 1)}) | dict(model.weights)
    arrays["labels"] = np.zeros(64, np.int32)
    request = {"name": "tiny", "network": "tiny", "batch": 32, "shard": 32, "classes": 10,
               "description": describe(model)}  # fmt: skip
    try:
        sides = crew.compare("step", request, arrays)
    finally:
        crew.close()
    assert sides["isoconv"].timing.median > 0
    assert sides["isoconv"].difference == 0
    row = row_of("tiny [32]", sides, 1.5)
    assert row["ratio"] is None
    write("steps", [row], crew, Ceilings(1, 100.0, 10.0, 50.0), tmp_path)
    assert read(tmp_path) == {}
    assert read(tmp_path, quick=True)["steps"]["rows"][0]["work"] == "tiny [32]"


def test_missing_peer_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the peers' environment a run goes on, with a note."""
    monkeypatch.setattr("bench.crew.PEERS_PYTHON", tmp_path / "python")
    crew = Crew(Setting(threads=1, pace=PACE, peers=("jax",)))
    (jax,) = crew.chosen()
    assert crew._worker(jax, 1) is None
    assert crew.notes == ["jax is left out: the peers' environment is missing (run `make bench`)"]


def test_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown work and unknown peers are refused before anything starts."""
    with pytest.raises(SystemExit) as ended:
        main(["layres"])
    assert ended.value.code == 2
    assert main(["steps", "--peers", "tensorflow"]) == 2
    assert "no peer is called tensorflow" in capsys.readouterr().err
    assert main(["steps", "order", "--only", "tiny,alexnet"]) == 2
    assert "no row of steps is called 'alexnet'; there are tiny; " in capsys.readouterr().err
    assert main(["memory", "--only", "tiny"]) == 2
    assert "memory is measured whole" in capsys.readouterr().err


def test_chosen_rows() -> None:
    """Rows go by the name of the network or by their own, however it is written."""
    setting = Setting(only=("resnet20", "MobileNetV2 depthwise"))
    assert setting.wants("ResNet-20", "resnet20")
    assert setting.wants("MobileNetV2 depthwise, 144, 56²")
    assert not setting.wants("ResNet-18, 64²", "resnet18")
    assert Setting(only=("winograd",)).wants("VGG-11, Winograd", "vgg11_winograd")
    assert not Setting(only=("lenet",)).wants("MobileNetV2", "mobilenetv2")
    assert Setting().wants("anything")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("tiny, vgg11", ("tiny", "vgg11")),
        ("VGG-11, Winograd", ("VGG-11, Winograd",)),
        ("winograd,VGG-11", ("winograd", "VGG-11")),
        ("tiny,VGG-11,winograd,,lenet", ("tiny", "VGG-11, winograd", "lenet")),
        ("depthwise, 144, tiny", ("depthwise, 144", "tiny")),
    ],
)
def test_names_with_commas(text: str, expected: tuple[str, ...]) -> None:
    """What is a row's name with its commas is one name."""
    works = [("VGG-11, Winograd", "vgg11_winograd"), ("VGG-11", "vgg11"), ("tiny",),
             ("LeNet-5-sized", "lenet5"), ("MobileNetV2 depthwise, 144, 56²",)]  # fmt: skip
    assert chosen(text, works) == expected


class _Told:
    """A worker whose repetitions take what they are told to."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        return {"seconds": [self.seconds] * request["repeat"]}


def test_slow_libraries_take_fewer_turns() -> None:
    """Three at least, and as many as fit into the time that one library may take."""
    workers = {"fast": _Told(0.01), "slow": _Told(10.0), "slowest": _Told(100.0)}
    pace = Pace(blocks=7, repetitions=20, budget=0.5, pause=0.0, longest=60)
    works: dict[str, tuple[Any, str]] = {name: (worker, name) for name, worker in workers.items()}
    found = alternate(works, pace, lambda name, error: pytest.fail(f"{name}: {error}"))
    # One more in which each warms up.
    assert [worker.asked - 1 for worker in workers.values()] == [7, 6, 3]
    assert [len(timing.seconds) for timing in found.values()] == [7 * 20, 6, 3]


@pytest.mark.slow
def test_who_is_too_slow_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that gives no answer in time does not hold up the rows that follow."""
    asked = []

    class Slow:
        def ask(self, request: dict[str, Any]) -> None:
            asked.append(request)
            raise WorkerTimeoutError("no answer within 240 s")

        def close(self) -> None:
            pass

    crew = Crew(Setting(threads=1, pace=PACE, peers=("tinygrad",)))
    start = Crew.start

    def started(crew: Crew, peer: Peer, threads: int) -> Any:
        return Slow() if peer.name == "tinygrad" else start(crew, peer, threads)

    monkeypatch.setattr(Crew, "start", started)
    arrays = numbers(SMALL.arrays)
    try:
        for name in ("first", "second"):
            request = {**asdict(SMALL), "name": name, "direction": "forward"}
            entries = [Entry(peer.name, peer, "", 1) for peer in (ISOCONV, *crew.chosen())]
            assert set(crew.measure("layer", entries, request, arrays)) == {"isoconv"}
    finally:
        crew.close()
    assert len([request for request in asked if "prepare" in request]) == 1
    assert crew.notes[0] == "tinygrad is left out of first: no answer within 240 s"
    assert len(crew.notes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith("_winograd")])
def test_algorithms_share_description_and_weights(name: str) -> None:
    """Other libraries, and the arrays of a measurement, serve a network with both algorithms."""
    winograd = build(name, 10, (32, 32, 3))
    direct = build(name.removesuffix("_winograd"), 10, (32, 32, 3))
    assert describe(winograd) == describe(direct)
    assert list(winograd.weights) == list(direct.weights)
    for key, array in direct.weights.items():
        np.testing.assert_array_equal(winograd.weights[key], array)


class _Answering:
    """A worker that writes down what it is asked and needs a time of its own for each network.

    A result is 1, or by label what `results` says; the time is 1 s, or 0.5 s with Winograd.
    """

    def __init__(self, turns: list[str], results: dict[str, float]) -> None:
        self.turns = turns
        self.results = results
        self.seconds: dict[str, float] = {}

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if "prepare" in request:
            label = request["as"]
            self.seconds[label] = 0.5 if request["network"].endswith("winograd") else 1.0
            losses = np.array([self.results.get(label, 1.0)])
            np.savez(f"{request['folder']}/{label}.npz", losses=losses)
        elif "repeat" in request:
            self.turns.append(request["as"])
            return {"seconds": [self.seconds[request["as"]]] * request["repeat"]}
        return {}

    def close(self) -> None:
        pass


PAIR = (
    Step("small", "resnet20", 2, (8, 8, 3), goal=2.0),
    Step("other", "tiny", 2, (8, 8, 3)),
    Step("small, Winograd", "resnet20_winograd", 2, (8, 8, 3), goal=3.0),
)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Measures steps of a network with both algorithms: rows, notes, and who took turns."""

    def measured(
        only: tuple[str, ...] = (),
        results: dict[str, float] | None = None,
        peers: tuple[str, ...] = ("jax", "tinygrad"),
    ) -> tuple[list[dict[str, Any]], list[str], list[str]]:
        turns: list[str] = []
        monkeypatch.setattr("bench.measure.STEPS", PAIR)
        monkeypatch.setattr(Crew, "start", lambda *_: _Answering(turns, results or {}))
        crew = Crew(Setting(threads=1, pace=PACE, peers=peers, only=only))
        return list(steps(crew)), crew.notes, turns

    return measured


def test_algorithms_share_their_turns(pair: Callable[..., Any]) -> None:
    """One row for each algorithm, with its own time and goal and the others' common ones."""
    rows, notes, turns = pair(only=("small",))
    assert [row["work"] for row in rows] == ["small [2]", "small, Winograd [2]"]
    assert [row["values"]["isoconv"] for row in rows] == [1000.0, 500.0]
    assert [row["goal"] for row in rows] == [2.0, 3.0]
    assert [row["ratio"] for row in rows] == [1.0, 2.0]
    for row in rows:
        assert list(row["values"]) == ["isoconv", "jax", "tinygrad"]
        assert list(row["values"].values())[1:] == [1000.0, 1000.0]
    # Once to warm up and once for the figures.
    assert turns == 2 * ["isoconv resnet20", "isoconv resnet20_winograd", "jax", "tinygrad"]
    assert not notes


def test_one_algorithm_alone(pair: Callable[..., Any]) -> None:
    """Only the chosen algorithm is measured, beside all others."""
    rows, _, turns = pair(only=("resnet20 winograd",))
    assert [row["work"] for row in rows] == ["small, Winograd [2]"]
    assert set(turns) == {"isoconv resnet20_winograd", "jax", "tinygrad"}


def test_networks_are_measured_apart(pair: Callable[..., Any]) -> None:
    """Only what is the same work to the others shares its turns."""
    rows, _, turns = pair()
    assert [row["work"] for row in rows] == ["small [2]", "small, Winograd [2]", "other [2]"]
    assert turns[-3:] == ["isoconv tiny", "jax", "tinygrad"]


def test_wrong_peer_is_left_out_of_both_rows(pair: Callable[..., Any]) -> None:
    """One note says so."""
    rows, notes, _ = pair(only=("small",), results={"jax": 1.01})
    assert [list(row["values"]) for row in rows] == 2 * [["isoconv", "tinygrad"]]
    assert notes == ["jax is left out of small: its result differs by 1.0e-02"]


@pytest.mark.parametrize("result", [1.01, np.nan])
def test_isoconv_must_agree_with_itself(pair: Callable[..., Any], result: float) -> None:
    """A wrong result with Winograd's algorithm ends the run."""
    text = "isoconv resnet20_winograd cannot be left out of small: its result differs by"
    with pytest.raises(WorkerError, match=text):
        pair(results={"isoconv resnet20_winograd": result})


def test_isoconv_may_not_fail(pair: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither may it fail with the second algorithm; the error says with which, and why."""
    ask = _Answering.ask

    def failing(worker: _Answering, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("network") == "resnet20_winograd":
            raise WorkerError("ValueError: no")
        return ask(worker, request)

    monkeypatch.setattr(_Answering, "ask", failing)
    text = "isoconv resnet20_winograd cannot be left out of small: ValueError: no"
    with pytest.raises(WorkerError, match=text):
        pair()


@pytest.mark.parametrize("kind", ["prepare", "repeat"])
@pytest.mark.parametrize("error", [WorkerError, WorkerEndedError, WorkerTimeoutError])
def test_failing_variant(
    pair: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kind: str, error: type[WorkerError]
) -> None:
    """One variant fails: the other one stays, and so do the rows that follow."""
    ask = _Answering.ask

    def failing(worker: _Answering, request: dict[str, Any]) -> dict[str, list[float]]:
        if kind in request and request["as"] == "torch channels first":
            raise error("no")
        return ask(worker, request)

    monkeypatch.setattr(_Answering, "ask", failing)
    rows, notes, _ = pair(only=("small", "other"), peers=("torch",))
    assert notes[0] == "torch channels first is left out of small: no"
    assert [list(row["values"]) for row in rows[:2]] == 2 * [["isoconv", "torch channels last"]]
    # What takes too long is not asked again; what has ended is started again.
    asked_again = error is not WorkerTimeoutError
    assert list(rows[2]["values"]) == list(rows[0]["values"])[: 1 + asked_again]
    assert ("torch channels first is left out of other: no" in notes) == asked_again
