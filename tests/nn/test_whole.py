"""Models that are loaded while other threads use them: all of one loading, or of another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv
from isoconv import nn
from isoconv.nn import inference
from isoconv.nn.inference import weights_for
from isoconv.nn.ready import KeptPredictors, ReadyPredictor
from isoconv.nn.snapshot import changed_together
from isoconv.run.inference import Predictor
from isoconv.train import evaluate

IMAGES = np.random.RandomState(0).rand(3, 6, 6, 1).astype(np.float32)
LOADS = 150


def network(seed: int, depth: int = 12) -> nn.Sequential:
    """A model of many layers, so that there is time in the middle of a loading."""
    layers = []
    for _ in range(depth):
        layers += [nn.Conv2d(4, 1), nn.BatchNorm2d(), nn.LeakyReLU(0.5)]
    inner = nn.Sequential(*layers)
    return nn.Sequential(inner, nn.Flatten(), nn.Linear(3)).build((6, 6, 1), seed=seed)


def inside(model: nn.Sequential) -> nn.Sequential:
    """The network within the network."""
    inner = model[0]
    assert isinstance(inner, nn.Sequential)
    return inner


class Users:
    """Threads that use a model again and again while something else is done with it.

    Args:
        uses: what they do; each gives something that can be compared.
    """

    def __init__(self, *uses: Callable[[], Any]) -> None:
        self.found: list[set[Any]] = [set() for _ in uses]
        self.counts = [0 for _ in uses]
        self._over = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=use) for use in enumerate(uses)]

    def _work(self, number: int, use: Callable[[], Any]) -> None:
        try:
            while not self._over.is_set():
                self.found[number].add(use())
                self.counts[number] += 1
        except BaseException as error:  # noqa: BLE001  # told in the test's own thread
            self._errors.append(error)

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def ready(self) -> None:
        """Wait until each has been there a few times."""
        before = list(self.counts)
        while not self._errors and any(
            now < then + 2 for now, then in zip(self.counts, before, strict=True)
        ):
            threading.Event().wait(0.001)


@pytest.fixture(autouse=True)
def hasty() -> Iterator[None]:
    """Threads take turns far more often than they otherwise would."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.slow
def test_predictions_while_weights_are_loaded() -> None:
    """Each is one model's or the other's, bit for bit; so are the weights that are read."""
    model, weights = network(0), [network(seed).weights for seed in (1, 2)]
    results, digests = set(), set()
    for loaded in weights:
        model.load_weights(loaded)
        results.add(model.predict(IMAGES, threads=1).tobytes())
        digests.add(model.digest())
    assert len(results) == len(digests) == 2
    uses = [lambda: model.predict(IMAGES, threads=1).tobytes(),
            lambda: model.predict(IMAGES, threads=2, shard_size=1).tobytes(),
            lambda: nn.storage.digest(model.weights),
            lambda: nn.storage.digest(weights_for(model))]  # fmt: skip
    with Users(*uses) as users:
        for number in range(LOADS):
            model.load_weights(weights[number % 2])
            if number % 10 == 0:
                users.ready()
    assert users.found[0] | users.found[1] <= results
    assert users.found[2] | users.found[3] <= digests
    assert users.found[0] == results


def test_a_part_of_a_model_is_loaded() -> None:
    """What is loaded into a model inside of another is whole for both."""
    model, weights = network(0), [inside(network(seed)).weights for seed in (1, 2)]
    results = set()
    for loaded in weights:
        inside(model).load_weights(loaded)
        results.add(model.predict(IMAGES, threads=1).tobytes())
    assert len(results) == 2
    with Users(lambda: model.predict(IMAGES, threads=1).tobytes()) as users:
        for number in range(LOADS):
            inside(model).load_weights(weights[number % 2])
            if number % 10 == 0:
                users.ready()
    assert users.found[0] <= results


@pytest.mark.slow
def test_built_and_placed_anew() -> None:
    """Weights that a model is built with, or that are put in their place, come all at once."""
    model = network(0)
    others = [network(seed).weights for seed in (1, 2)]
    results = set()
    for seed in (1, 2):
        model.build((6, 6, 1), seed, fresh=True)
        results.add(model.predict(IMAGES, threads=1).tobytes())
    with Users(lambda: model.predict(IMAGES, threads=1).tobytes()) as users:
        for number in range(30):
            if number % 4 < 2:
                model.build((6, 6, 1), 1 + number % 2, fresh=True)
            else:
                model.place((6, 6, 1), others[number % 2])
            users.ready()
    assert users.found[0] == results


def described(seed: int, scale: float, finish: str) -> nn.Sequential:
    """A model that knows how its images are normalised and how its results end."""
    model = network(seed, 3)
    model.normalisation = (np.array([scale], np.float32), np.array([seed], np.float32))
    model.finish = finish
    return model


@pytest.mark.slow
def test_a_file_is_loaded_whole(tmp_path: Path) -> None:
    """Weights, normalisation and finish of one file never meet those of another."""
    files, results, digests = [], set(), set()
    model = network(0, 3)
    for seed, scale, finish in ((1, 0.5, "none"), (2, 3.0, "softmax")):
        files.append(tmp_path / f"{seed}.safetensors")
        described(seed, scale, finish).save(files[-1])
        model.load(files[-1])
        results.add(model.predict(IMAGES, threads=1).tobytes())
        digests.add(model.describe()["digest"])
    labels = np.array([0, 1, 2])

    def saved() -> str:
        path = tmp_path / "again.safetensors"
        model.save(path)
        return str(isoconv.load(path).describe()["digest"])

    def measured() -> float:
        return evaluate(model, (IMAGES, labels), threads=1).loss

    losses = set()
    for file in files:
        model.load(file)
        losses.add(measured())
    uses = [lambda: model.predict(IMAGES, threads=1).tobytes(),
            lambda: model.describe()["digest"], saved, measured]  # fmt: skip
    with Users(*uses) as users:
        for number in range(8):
            model.load(files[number % 2])
            users.ready()
    assert users.found[0] == results
    assert users.found[1] <= digests
    assert users.found[2] <= digests
    assert users.found[3] <= losses


def test_in_the_middle_of_a_change() -> None:
    """A prediction that begins then waits for its end, and takes what is there after it."""
    model, other = network(0), network(1)
    expected = other.predict(IMAGES, threads=1).tobytes()
    model.predict(IMAGES, threads=1)
    found = []
    worker = threading.Thread(target=lambda: found.append(model.predict(IMAGES, threads=1)))
    with changed_together():
        model.load_weights({**model.weights, "2.bias": other.weights["2.bias"]})
        worker.start()
        worker.join(0.2)
        assert not found
        model.load_weights(other.weights)
    worker.join()
    assert found[0].tobytes() == expected


@pytest.mark.parametrize("known", [True, False], ids=["again", "first"])
@pytest.mark.parametrize("place", ["compiling", "looking", "weights"])
def test_a_file_is_loaded_in_the_middle_of_a_prediction(
    place: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at before is looked at again: the result is that of the file alone."""
    path = tmp_path / "other.safetensors"
    other = described(2, 3.0, "softmax")
    other.save(path)
    expected = other.predict(IMAGES, threads=1).tobytes()
    model, loads = described(1, 0.5, "none"), list[Any]()
    if known:
        model.predict(IMAGES, threads=1)

    def loading(function: Callable[..., Any]) -> Callable[..., Any]:
        def load_first(*args: Any, **settings: Any) -> Any:
            if not loads:
                loads.append(model.load(path))
            return function(*args, **settings)

        return load_first

    if place == "compiling":
        monkeypatch.setattr(inference, "Predictor", loading(Predictor))
    elif place == "looking":
        monkeypatch.setattr(KeptPredictors, "get", loading(KeptPredictors.get), raising=False)
    else:
        monkeypatch.setattr(ReadyPredictor, "weights", loading(ReadyPredictor.weights))
    found = model.predict(IMAGES, threads=1).tobytes()
    if known and place == "compiling":
        # Nothing was compiled, nothing was loaded.
        assert not loads
    else:
        assert found == expected
    assert model.predict(IMAGES, threads=1).tobytes() == (expected if loads else found)
