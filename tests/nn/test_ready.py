"""Predictors that a model keeps: few of them, and none that is taken from one who uses it."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from isoconv import nn
from isoconv.graph.ir import Graph
from isoconv.nn import inference
from isoconv.nn.ready import MOST_PREDICTORS
from isoconv.run.inference import Predictor

IMAGES = np.random.RandomState(0).rand(5, 4, 4, 1).astype(np.float32)


def network() -> nn.Sequential:
    """A small model."""
    return nn.Sequential(nn.Conv2d(3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3)).build((4, 4, 1))


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> weakref.WeakSet[Predictor]:
    """The predictors that are in memory."""
    made: weakref.WeakSet[Predictor] = weakref.WeakSet()

    def make(*args: Graph, **settings: Any) -> Predictor:
        predictor = Predictor(*args, **settings)
        made.add(predictor)
        return predictor

    monkeypatch.setattr(inference, "Predictor", make)
    return made


@pytest.mark.slow
def test_a_hundred_settings(alive: weakref.WeakSet[Predictor]) -> None:
    """Threads and predictors stay few, and every result is the same."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((4, 4, 1))
    expected = model.predict(IMAGES, threads=1).tobytes()
    before = set(threading.enumerate())
    for size in range(1, 101):
        assert model.predict(IMAGES, shard_size=size, threads=2).tobytes() == expected
        assert len(set(threading.enumerate()) - before) <= MOST_PREDICTORS
        assert len(alive) <= MOST_PREDICTORS
    del model
    gc.collect()
    assert len(alive) == 0
    assert not set(threading.enumerate()) - before


@pytest.mark.slow
def test_the_one_not_used_for_longest_goes(alive: weakref.WeakSet[Predictor]) -> None:
    """Who is used stays, whatever comes and goes beside it."""
    model = network()
    model.predict(IMAGES, shard_size=1, threads=1)
    (first,) = alive
    model.predict(IMAGES, shard_size=2, threads=1)
    (second,) = set(alive) - {first}
    used, unused = weakref.ref(first), weakref.ref(second)
    del first, second
    for size in range(3, 40):
        model.predict(IMAGES, shard_size=size, threads=1)
        model.predict(IMAGES, shard_size=1, threads=1)
    assert used() is not None
    assert unused() is None
    assert len(alive) == MOST_PREDICTORS


def test_one_in_use_is_left_to_its_user(
    alive: weakref.WeakSet[Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A predictor that has to go works on until its prediction is done, and ends then."""
    model = network()
    expected = model.predict(IMAGES, threads=1, shard_size=1).tobytes()
    (predictor,) = alive
    inside, go_on, found = threading.Event(), threading.Event(), []
    run: Any = predictor._team.run

    def waits(*args: Any, **named: Any) -> None:
        inside.set()
        assert go_on.wait(30)
        run(*args, **named)

    predictor._team.run = waits  # type: ignore[method-assign]
    kept = weakref.ref(predictor)
    del predictor
    work = threading.Thread(
        target=lambda: found.append(model.predict(IMAGES, threads=1, shard_size=1).tobytes())
    )
    work.start()
    assert inside.wait(30)
    for size in range(2, 20):
        model.predict(IMAGES, shard_size=size, threads=1)
    assert kept() is not None
    assert kept() not in [ready.predictor for ready in model.__dict__["_predictors"].values()]
    go_on.set()
    work.join()
    run = None
    assert found == [expected]
    gc.collect()
    assert kept() is None


@pytest.mark.slow
def test_threads_with_different_settings(alive: weakref.WeakSet[Predictor]) -> None:
    """Each gets its results, though they take the predictors from one another all the time."""
    model = network()
    finishes = ("none", "softmax", "sigmoid")
    expected = {name: model.predict(IMAGES, finish=name, threads=1).tobytes() for name in finishes}
    wrong = []

    def work(seed: int) -> None:
        random = np.random.RandomState(seed)
        for _ in range(60):
            name = finishes[random.randint(3)]
            threads, size = int(random.randint(1, 4)), int(random.randint(1, 9))
            found = model.predict(IMAGES, finish=name, threads=threads, shard_size=size)
            if found.tobytes() != expected[name]:
                wrong.append((name, threads, size))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert len(model.__dict__["_predictors"]) <= MOST_PREDICTORS
    gc.collect()
    assert len(alive) <= MOST_PREDICTORS
