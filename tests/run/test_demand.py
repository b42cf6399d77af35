"""Memory is added up before it is taken, and refused where there is too little."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.run.steps import engine_for, make_data, make_step, rates

import isoconv as ic
from isoconv import memory, nn
from isoconv.errors import NotEnoughMemoryError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.operation import Array
from isoconv.nn.inference import inference_graph, weights_for
from isoconv.nn.initial import check_memory
from isoconv.run.demand import step_demand, what_helps
from isoconv.run.evaluate import evaluate
from isoconv.run.inference import Predictor
from isoconv.run.step import StepGraph
from isoconv.run.training import TrainingEngine
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD


def total(needs: dict[str, int]) -> int:
    """All of a demand."""
    return sum(needs.values())


def test_training_within_a_limit() -> None:
    """With what was added up a step runs; with a byte less nothing is begun."""
    step, model = make_step()
    with engine_for(step, model) as engine:
        needs = step_demand(engine.plan, make_data(), samples=23, batch_size=9, threads=2)
    # 5 shards: 2 threads with 2 of them and a slot each, the last with a slot of its own.
    assert needs["gradients of shards"] == 4 * engine.plan.sums.size * 5
    assert needs["arenas of threads"] == 2 * engine.plan.memory.arena
    with engine_for(step, model, memory=total(needs)) as engine:
        engine.begin_epoch(0, np.arange(23))
        engine.steps(0, rates(2))
    with pytest.raises(NotEnoughMemoryError) as caught:
        engine_for(step, model, memory=total(needs) - 1)
    message = str(caught.value)
    assert message.startswith("training needs at least ")
    assert "gradients of shards" in message
    assert message.endswith(
        "; less is needed with a smaller shard_size, fewer threads or smaller images"
    )


def small(side: int = 24, features: int = 4) -> tuple[StepGraph, dict[str, Array]]:
    """A model whose arenas outweigh its parameters; with many features it is the other way."""
    shape = (side, side, 1)
    layers = nn.Conv2d(8, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features)
    model = nn.Sequential(*layers).build(shape)
    step = build_step(model, Preparation(shape, "uint8"), Loss(), SGD(0.1, momentum=0.9))
    data: dict[str, Array] = {
        "images": np.zeros((16, *shape), np.uint8), "labels": np.zeros(16, np.int32)
    }  # fmt: skip
    return step, data


def needs_of(
    step: StepGraph,
    data: dict[str, Array],
    threads: int = 2,
    batch_size: int = 16,
    shard_size: int = 4,
) -> dict[str, int]:
    """A step's demand."""
    with TrainingEngine(
        step, data, shard_size=shard_size, batch_size=batch_size, threads=threads
    ) as engine:
        return step_demand(engine.plan, data, samples=16, batch_size=batch_size, threads=threads)


@pytest.mark.slow
def test_less_is_needed_with_what_the_message_names() -> None:
    """Each of the things that are said to help makes the sum smaller."""
    step, data = small()
    usual = needs_of(step, data)
    assert what_helps(usual) == "a smaller shard_size, fewer threads or smaller images"
    assert total(needs_of(step, data, shard_size=2)) < total(usual)
    assert total(needs_of(step, data, threads=1)) < total(usual)
    assert total(needs_of(*small(side=12))) < total(usual)
    step, data = small(features=2000)
    usual = needs_of(step, data)
    assert what_helps(usual) == "fewer threads, a smaller batch_size or a smaller model"
    assert total(needs_of(step, data, threads=1)) < total(usual)
    assert total(needs_of(step, data, batch_size=4)) < total(usual)
    assert total(needs_of(*small(features=1000))) < total(usual)


def test_batches_beyond_the_data() -> None:
    """A batch larger than the data set needs no more than all of it."""
    step, model = make_step()
    with engine_for(step, model, batch_size=2**40) as engine:
        few, all_ = (
            step_demand(engine.plan, {}, samples=23, batch_size=size, threads=2)
            for size in (2**40, 23)
        )
        assert few == all_
        engine.begin_epoch(0, np.arange(23))
        engine.steps(0, rates(1))


def test_data_that_must_be_copied() -> None:
    """Images that native code cannot read as they lie are there twice."""
    step, model = make_step()
    data = make_data()
    strided = {**data, "images": np.repeat(data["images"], 2, axis=0)[::2]}
    with engine_for(step, model) as engine:
        settings = {"samples": 23, "batch_size": 9, "threads": 2}
        copied = step_demand(engine.plan, strided, **settings)["the order of the data"]
        assert copied == 16 * 23 + data["images"].nbytes


SHAPE = (16, 16, 3)


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    """A built network."""
    return nn.Sequential(
        nn.Conv2d(8, 3), nn.BatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Linear(500)
    ).build(SHAPE)


def test_predictions_within_a_limit(network: nn.Sequential) -> None:
    """Each batch larger than those before is asked for; what fits still runs after a refusal."""
    graph = inference_graph(network, SHAPE, "float32", "softmax")
    weights, images = weights_for(network), np.ones((64, *SHAPE), np.float32)
    with Predictor(graph, threads=2, shard_size=8, memory=4_000_000) as predictor:
        few = predictor.run(weights, {"images": images[:2]})["result"]
        many = np.broadcast_to(images[:1], (10_000, *SHAPE))
        with pytest.raises(NotEnoughMemoryError, match="predicting 10,000 images at a time needs"):
            predictor.run(weights, {"images": many})
        again = predictor.run(weights, {"images": images[:2]})["result"]
        assert again.tobytes() == few.tobytes()


def test_fewer_images_at_a_time_where_memory_is_short(network: nn.Sequential) -> None:
    """A size that nobody asked for refuses nothing: shards are smaller, the results the same."""
    graph = inference_graph(network, network.input_shape or (), "float32", "none")
    images = np.ones((64, *(network.input_shape or ())), np.float32)
    weights = dict(weights_for(network))
    with Predictor(graph, threads=2) as usual:
        wanted = usual.run(weights, {"images": images})
        usual_size = usual._demand.at_once
        usual._demand.at_once = 1
        least = total(usual._demand._needs(64))
    assert usual_size > 1
    with Predictor(graph, threads=2, memory=least) as short:
        found = short.run(weights, {"images": images})
        assert short._demand.at_once == 1
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)
    with (
        Predictor(graph, threads=2, memory=least, shard_size=usual_size) as asked,
        pytest.raises(NotEnoughMemoryError),
    ):
        asked.run(weights, {"images": images})


def test_a_graph_too_large_for_an_image(network: nn.Sequential) -> None:
    """Weights alone may be too much: that is said before kernels are compiled."""
    graph = inference_graph(network, SHAPE, "float32", "softmax")
    with pytest.raises(NotEnoughMemoryError, match=r"predicting an image needs .*packed weights"):
        Predictor(graph, threads=2, memory=1_000_000)


def test_evaluating_within_a_limit() -> None:
    """One graph on arrays: its arrays, results and what lies between."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (100, 10))
    graph = b.graph([("y", b.add("softmax", b.add("exp", x)))])
    array = np.zeros((50, 100, 10), np.float32)
    evaluate(graph, {"x": array}, 50, memory=1_000_000)
    with pytest.raises(NotEnoughMemoryError, match="evaluating 50 images needs"):
        evaluate(graph, {"x": array}, 50, memory=400_000)


def test_models_within_a_limit() -> None:
    """A model's parameters are there twice for a moment, the largest of them at most."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1000), nn.Linear(10))
    traced = nn.trace_model(model, (10, 10, 1), training=True)
    # 4 bytes for each of 100 000 weights, as they are drawn and as they are kept.
    check_memory(traced.trace, limit=8 * (100_000 + 1000 + 10_000))
    with pytest.raises(
        NotEnoughMemoryError, match=r"111,010 parameters .*'1\.weight', \(100, 1000"
    ):
        check_memory(traced.trace, limit=8 * 100_000 - 1)
    with pytest.raises(NotEnoughMemoryError, match=r"training a model needs .*gradients"):
        check_memory(traced.trace, vectors=4, limit=4 * 4 * 111_010 - 1)


@pytest.mark.slow
def test_weights_that_are_kept_need_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that has its weights is built again where there is no room for others."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4096)).build((64, 64, 1))
    monkeypatch.setattr(memory, "available_memory", lambda: 2**20)
    model.build((64, 64, 1))
    with pytest.raises(NotEnoughMemoryError, match="a model needs at least 128"):
        model.build((64, 64, 1), fresh=True)


def test_a_model_is_never_there_twice() -> None:
    """While it is built, one parameter at a time is held as it is drawn and as it is kept."""
    model = nn.Sequential(*(nn.Linear(256) for _ in range(60)))
    tracemalloc.start()
    try:
        model.build((256,))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 1.6 * 4 * 60 * 256 * 257


X, W = np.ones((1, 9, 9, 1), np.float32), np.ones((3, 3, 1, 1), np.float32)
HUGE: dict[str, Callable[[], Any]] = {
    "filters": lambda: nn.Conv2d(10**9, 3).build((28, 28, 1)),
    "pixels": lambda: nn.models.lenet5(10, (40_000, 40_000, 1)).build((40_000, 40_000, 1)),
    "features": lambda: nn.Linear(2**30).build((2**30,)),
    "images": lambda: ic.relu(np.broadcast_to(np.float32(1), (10**5, 10**8))),
    "padding": lambda: ic.conv2d(X, W, padding=10**6),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_requests(name: str) -> None:
    """What no machine has is refused at once, by what it would need and what there is."""
    with pytest.raises(NotEnoughMemoryError, match=r"at least .* of memory, and there are .*iB:"):
        HUGE[name]()


def test_a_training_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before the model is made: by then memory for the model alone may be gone."""
    monkeypatch.setattr(memory, "available_memory", lambda: 100 * 2**20)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2048), nn.Linear(2))
    trainer = ic.Trainer(model, optimizer=SGD(0.1, momentum=0.9), batch_size=2, progress=False)
    with pytest.raises(NotEnoughMemoryError, match="training a model needs at least 128"):
        trainer.fit((np.zeros((2, 64, 64, 1), np.uint8), [0, 1]), epochs=1)
    assert model.input_shape is None
    model.build((64, 64, 1))


MEASURED = """
import gc
import numpy as np
from isoconv import nn
from isoconv.run.demand import step_demand
from isoconv.run.training import TrainingEngine
from isoconv.train.optim import Adam
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss

def held():
    gc.collect()
    with open("/proc/self/statm") as file:
        return 4096 * int(file.read().split()[1])

def grown(side, features):
    shape = (side, side, 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(features), nn.ReLU(), nn.Linear(4)).build(shape)
    step = build_step(model, Preparation(shape, "uint8"), Loss(), Adam())
    data = {"images": np.zeros((12, *shape), np.uint8), "labels": np.zeros(12, np.int32)}
    before = held()
    settings = {"batch_size": 12, "threads": 2}
    with TrainingEngine(step, data, shard_size=2, **settings) as engine:
        engine.load(model.parameters(), model.states())
        engine.begin_epoch(0, np.arange(12))
        engine.steps(0, np.full((1, 3), 0.1, np.float32))
        kept = engine.parameters(), engine.states(), engine.slots()
        needs = step_demand(engine.plan, data, samples=12, **settings)
        return held() - before, sum(needs.values())

grown(8, 8)
print(*grown(64, 512))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's own count")
def test_what_is_added_up_is_what_is_taken() -> None:
    """A step's memory is the sum to within a few per cent, and the sum is not above it."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True
    )
    taken, needed = map(int, done.stdout.split())
    assert needed > 100_000_000
    assert needed <= taken + 2**20
    assert taken < 1.1 * needed
