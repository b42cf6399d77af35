"""`run.model` while a training goes on: what another thread puts there, and until when."""

from __future__ import annotations

import copy
import pickle
import threading
from functools import partial

import numpy as np
import pytest

from isoconv import nn
from isoconv.graph.operation import Array
from isoconv.train.run import Run


@pytest.fixture
def model() -> nn.Sequential:
    """A small model."""
    return nn.Sequential(nn.Flatten(), nn.Linear(2)).build((2, 2, 1), seed=0)


def test_nothing_is_put_after_the_end(model: nn.Sequential) -> None:
    """Who began to take the weights of a moment does not overwrite those that the training leaves.

    The end waits until they are in the model.
    """
    run = Run(model, {})
    moment = {name: array + 1 for name, array in model.weights.items()}
    last = {name: array + 2 for name, array in model.weights.items()}
    taking, go_on, steps = threading.Event(), threading.Event(), []

    def weights() -> dict[str, Array]:
        taking.set()
        assert go_on.wait(30)
        return moment

    def end() -> None:
        run.follow(None)
        steps.append(model.digest())
        model.load_weights(last)

    run.follow(weights)
    reader = threading.Thread(target=lambda: run.model)
    reader.start()
    assert taking.wait(30)
    ending = threading.Thread(target=end)
    ending.start()
    ending.join(0.2)
    assert not steps
    go_on.set()
    reader.join()
    ending.join()
    assert steps == [nn.storage.digest(moment)]
    assert run.model.digest() == nn.storage.digest(last)


def test_predictions_during_a_training(model: nn.Sequential) -> None:
    """What other threads predict is of one moment, though a third one keeps taking the weights."""
    run = Run(model, {})
    images = np.ones((1, 2, 2, 1), np.float32)
    first = model.weights
    moments = [{name: array * k for name, array in first.items()} for k in range(1, 6)]
    results = {model.predict(images, finish="none", threads=1).tobytes()}
    for moment in moments:
        model.load_weights(moment)
        results.add(model.predict(images, finish="none", threads=1).tobytes())
    assert len(results) > 3
    over, found, number = threading.Event(), set(), iter(range(10**9))
    run.follow(lambda: moments[next(number) % 5])

    def take() -> None:
        while not over.is_set():
            run.model.digest()

    def predict() -> None:
        while not over.is_set():
            found.add(model.predict(images, finish="none", threads=1).tobytes())

    threads = [threading.Thread(target=work) for work in (take, take, predict, predict)]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.5)
    over.set()
    for thread in threads:
        thread.join()
    assert found <= results
    assert len(found) > 1


def test_runs_are_copied(model: nn.Sequential) -> None:
    """A run goes into a file and comes back, and a copy is a run of its own."""
    run = Run(model, {"epochs": 3})
    for other in (pickle.loads(pickle.dumps(run)), copy.deepcopy(run)):  # noqa: S301
        assert other.description == run.description
        assert other.model.digest() == run.model.digest()
        weights = {name: array + 1 for name, array in model.weights.items()}
        other.follow(partial(dict, weights))
        assert other.model.digest() == nn.storage.digest(weights) != run.model.digest()
