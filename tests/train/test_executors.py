"""Trainings whose shards several processes run end in the bits of one engine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.run.process_executor import Job, ProcessExecutor, evenly
from tests.train.small import make, network, noise, without_times

from isoconv.errors import ArgumentError, NotFiniteError, TrainingError
from isoconv.graph.operation import Array
from isoconv.run.training import TrainingEngine
from isoconv.train import Interrupted, Run, session, verify
from isoconv.train.optim import SGD

EPOCHS = 3
SHARDS: dict[str, Any] = {"batch_size": 20, "shard_size": 3, "threads": 1}
"""Seven shards for a step, the last one short; two for the last step, which has four images."""


def fit(out: Path | None = None, **settings: Any) -> Run:
    """A training with batch statistics, dropout, augmentation and clipping."""
    data = noise(44), noise(20, 1)
    return make(**{**SHARDS, **settings}).fit(*data, epochs=EPOCHS, out=out)


@pytest.fixture(scope="module")
def alone() -> Run:
    """The same with one engine."""
    return fit()


def lopsided(shards: int, workers: int) -> Iterator[Job]:
    """The last process gets all shards but one for each other."""
    for worker in range(min(workers - 1, shards - 1)):
        yield worker, range(worker, worker + 1)
    yield workers - 1, range(min(workers - 1, shards - 1), shards)


def backwards(shards: int, workers: int) -> Iterator[Job]:
    """Shard by shard from the last on, to one process after the other."""
    for number, shard in enumerate(reversed(range(shards))):
        yield number % workers, range(shard, shard + 1)


@pytest.mark.parametrize(
    "given",
    [
        {"workers": 1},
        {"workers": 2},
        {"workers": 3},
        {"workers": 2, "delays": (0.03,)},
        {"workers": 3, "deal": lopsided},
        {"workers": 2, "deal": backwards, "delays": (0.0, 0.02)},
    ],
    ids=["one", "two", "three", "the first is slower", "uneven", "backwards, one slower"],
)
def test_whole_trainings_end_in_the_same_bits(alone: Run, given: dict[str, Any]) -> None:
    """However many processes there are, whichever is slower, whatever each of them gets."""
    other = fit(executor=partial(ProcessExecutor, **given))
    assert other.digest == alone.digest
    assert without_times(other.history) == without_times(alone.history)


def test_threads_within_processes_change_no_bit(alone: Run) -> None:
    """Shards that a process was given are dealt to its threads, or shared by them."""
    assert fit(executor=partial(ProcessExecutor, workers=2), threads=2).digest == alone.digest


def test_a_run_goes_on_with_other_executors(
    alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted within an epoch, gone on with by another number of processes, and verified."""
    calls = []

    class Interrupting(ProcessExecutor):
        """Ctrl-C comes with the fifth call."""

        def steps(self, first: int, hyper: Array) -> Array:
            calls.append(first)
            if len(calls) == 5:
                signal.raise_signal(signal.SIGINT)
            return super().steps(first, hyper)

    monkeypatch.setattr(session, "CALL_SECONDS", 0.0)
    out, data = tmp_path / "run", (noise(44), noise(20, 1))
    with pytest.raises(Interrupted, match="in epoch 2 of 3 after step 2 of 3"):
        fit(out, executor=Interrupting)
    three = make(**SHARDS, executor=partial(ProcessExecutor, workers=3))
    assert three.resume(out, *data).digest == alone.digest
    assert verify(out, None, *data, progress=False).identical


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    """With the same words, and nothing of that step in the weights."""
    ended = []
    for executor in (TrainingEngine, partial(ProcessExecutor, workers=2)):
        model = network()
        trainer = make(model, **SHARDS, optimizer=SGD(1e30), clip_norm=None, executor=executor)
        with pytest.raises(NotFiniteError) as caught:
            trainer.fit(noise(44), epochs=EPOCHS)
        ended.append((str(caught.value), model.digest()))
    assert ended[0] == ended[1]


def test_what_a_process_refuses_is_said_here() -> None:
    """An error of a worker is raised where it was asked."""
    with pytest.raises(ArgumentError, match="shards must be neighbours from 0 to 6"):
        fit(executor=partial(ProcessExecutor, deal=lambda shards, _: [(1, range(shards + 1))]))
    with pytest.raises(ArgumentError, match="nodes must cover each of 7 shards once; got 6"):
        fit(executor=partial(ProcessExecutor, deal=lambda shards, _: evenly(shards - 1, 2)))


@pytest.mark.parametrize("wrong", [2, "processes", ()])
def test_an_executor_is_made_by_a_call(wrong: Any) -> None:
    """What cannot be called is refused before anything is done."""
    with pytest.raises(ArgumentError, match="executor must make what runs the steps"):
        make(executor=wrong)


@pytest.mark.parametrize(
    ("what", "change", "told"),
    [
        ("steps", lambda rows: rows[:-1], "steps must give"),
        ("steps", lambda rows: np.concatenate([rows, rows]), "steps must give"),
        ("steps", lambda rows: rows[:, :1], "steps must give"),
        ("steps", lambda rows: rows.astype(np.float64), "steps must give"),
        ("steps", lambda _: None, "steps must give"),
        ("parameters", lambda _: {}, "parameters must give arrays of"),
        (
            "parameters",
            lambda found: {**found, "more": np.zeros(1, np.float32)},
            "must give arrays",
        ),
        ("states", lambda _: None, "states must give arrays of"),
        ("slots", lambda _: {}, "slots must give a dictionary"),
        (
            "weights",
            lambda found: {name: x[..., None] for name, x in found.items()},
            "float32 array",
        ),
    ],
)
def test_answers_of_another_form_are_refused(what: str, change: Any, told: str) -> None:
    """Nothing of them comes into a run, and none is waited for for ever."""

    class Changed(TrainingEngine):
        pass

    real = getattr(TrainingEngine, what)
    setattr(Changed, what, lambda self, *given: change(real(self, *given)))
    trainer = make(network(), **SHARDS, executor=Changed)
    with pytest.raises(TrainingError, match=told) as caught:
        trainer.fit(noise(44), noise(20, 1), epochs=EPOCHS)
    assert caught.value.argument == "executor"


def test_what_is_no_executor_is_refused() -> None:
    """What a factory makes has all that a training asks for."""
    made: Any
    for made in (None, 3, {}):
        trainer = make(network(), **SHARDS, executor=lambda *_, made=made, **__: made)
        with pytest.raises(ArgumentError, match=r"executor must make what can .*steps"):
            trainer.fit(noise(44), epochs=EPOCHS)
