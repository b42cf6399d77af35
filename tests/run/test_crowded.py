"""More threads than cores, and more programs than cores: the same bits, in reasonable time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.run.steps import digest, engine_for, make_step, rates

from isoconv import nn
from isoconv.graph.operation import Array
from isoconv.run import team
from isoconv.run.training import TrainingEngine

# The programs find their kernels where this process leaves them.
pytestmark = pytest.mark.shipped

PROGRAM = """
import os, sys
threads, core = int(sys.argv[1]), int(sys.argv[2])
if core >= 0:
    os.sched_setaffinity(0, {core})
from tests.run.test_crowded import trained
print(trained(threads))
"""


def trained(threads: int) -> str:
    """Digest of what 30 steps lead to."""
    step, model = make_step()
    with engine_for(step, model, threads=threads) as engine:
        rows = []
        for epoch in range(10):
            engine.begin_epoch(epoch, np.random.default_rng(epoch).permutation(23))
            rows.append(engine.steps(0, rates(3)))
        return digest(engine, np.concatenate(rows))


def program(threads: int, core: int = -1) -> subprocess.Popen[str]:
    """A process that trains with so many threads, on one core if it is said which."""
    folders = [str(Path.cwd()), *(path for path in sys.path if path)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(threads), str(core)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> str:
    """What a process printed."""
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out.strip()


@pytest.fixture(scope="module")
def alone() -> str:
    """What one thread comes to."""
    return trained(1)


@pytest.fixture(autouse=True)
def as_many_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads without end, which a team is kept from otherwise."""
    monkeypatch.setattr(team, "PER_CORE", 1024)


@pytest.mark.parametrize("threads", [3, 16, 64])
def test_more_threads_than_cores(threads: int, alone: str) -> None:
    """A training with as many threads as anybody likes ends, with the bits of one thread."""
    assert trained(threads) == alone


@pytest.mark.parametrize("count", [1, 2, 64, 65])
def test_predictions(count: int) -> None:
    """So do predictions of images that threads share, and of those that each has for itself."""
    model = nn.Sequential(
        nn.Conv2d(8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5)
    ).build((12, 12, 2), seed=1)
    images = np.random.RandomState(0).rand(count, 12, 12, 2).astype(np.float32)
    expected = model.predict(images, threads=1).tobytes()
    for threads in (3, 16, 64):
        assert all(model.predict(images, threads=threads).tobytes() == expected for _ in range(5))


@pytest.mark.slow
def test_programs_side_by_side(alone: str) -> None:
    """Programs that each have a thread for every core do not wait for each other for ever."""
    programs = [program(2) for _ in range(3)]
    assert [told(one) for one in programs] == [alone] * 3


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no cores to be bound to")
def test_bound_to_one_core(alone: str) -> None:
    """A team on a single core takes turns."""
    core = min(os.sched_getaffinity(0))
    assert told(program(2, core)) == alone
    assert told(program(5, core)) == alone


def test_weights_are_of_one_moment() -> None:
    """Weights that are read during a training are those after some step, all of them."""
    step, model = make_step()
    moments = set()

    def moment(weights: dict[str, Array]) -> str:
        return nn.storage.digest(weights)

    def train(after: Callable[[TrainingEngine], object]) -> None:
        with engine_for(step, model, threads=1) as engine:
            after(engine)
            for epoch in range(20):
                engine.begin_epoch(epoch, np.random.default_rng(epoch).permutation(23))
                for number in range(3):
                    engine.steps(number, rates(1))
                    after(engine)

    train(lambda engine: moments.add(moment(engine.weights())))
    assert len(moments) == 61
    found: set[str] = set()
    over = threading.Event()
    engines: list[TrainingEngine] = []

    def read() -> None:
        while not over.is_set():
            if engines:
                found.add(moment(engines[0].weights()))

    reader = threading.Thread(target=read)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    reader.start()
    try:
        for _ in range(3):
            engines.clear()
            train(lambda engine: engines.append(engine) if not engines else None)
    finally:
        over.set()
        reader.join()
        sys.setswitchinterval(usual)
    assert found <= moments
    assert len(found) > 1
