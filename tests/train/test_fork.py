"""Forks beside a training: the child predicts and trains, the parent's run keeps its bits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.forks import SECONDS, Busy, Child, exit_code, in_child, needs_fork
from tests.train.small import make, network, noise

from isoconv.nn import Sequential
from isoconv.train.callbacks import Callback
from isoconv.train.interrupt import InterruptWatch
from isoconv.train.metrics import evaluate
from isoconv.train.optim import _Power

pytestmark = needs_fork

DATA, EPOCHS = noise(), 6


def predicted(model: Sequential) -> bytes:
    """The bits of a model's results."""
    return model.predict(DATA.images, threads=2).tobytes()


def trained(epochs: int = 2, seed: int = 1) -> tuple[str, bytes]:
    """Digest and predictions of a model that was trained from the start."""
    model = network()
    make(model, seed=seed).fit(DATA, epochs=epochs)
    return model.digest(), predicted(model)


@pytest.fixture(scope="module")
def expected() -> tuple[str, bytes]:
    """What training gives that nothing is forked beside."""
    return trained()


class Watcher(Callback):
    """Does something after each epoch."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work

    def on_epoch_end(self, *_: object) -> None:
        """Work."""
        self.work()


def other_model() -> tuple[Sequential, tuple[bytes, float | None]]:
    """A trained model, what it predicts and how accurate it is."""
    model = network()
    make(model, seed=5).fit(DATA, epochs=1)
    return model, (predicted(model), evaluate(model, DATA).top1)


# More threads than cores wait long for each other, so that fewer images do.
@pytest.mark.slow
@pytest.mark.parametrize(("threads", "images"), [(1, 4000), (2, 4000), (3, 100)])
def test_children_while_another_thread_trains(
    threads: int, images: int, expected: tuple[str, bytes]
) -> None:
    """They predict with a model of the parent, measure it, and train one of their own."""
    whole, model, many = network(), network(), noise(images)
    make(whole, seed=2, threads=threads).fit(many, epochs=EPOCHS)
    other, of_other = other_model()
    children: list[Child[Any]] = []
    begun = threading.Event()

    def work() -> tuple[tuple[bytes, float | None], tuple[str, bytes]]:
        return (predicted(other), evaluate(other, DATA).top1), trained()

    def train() -> None:
        calls = [Watcher(begun.set)]
        make(model, seed=2, threads=threads, callbacks=calls).fit(many, epochs=EPOCHS)

    thread = threading.Thread(target=train)
    thread.start()
    assert begun.wait(SECONDS)
    while thread.is_alive() and len(children) < 4:
        children.append(Child(work))
        time.sleep(0.01)
    assert children, "the training was over before the first fork"
    for child in children:
        assert child.answer() == (of_other, expected)
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert model.digest() == whole.digest()


@pytest.mark.slow
def test_a_callback_that_forks(expected: tuple[str, bytes]) -> None:
    """Its child predicts and trains; the run goes on to the same bits."""
    whole, model = network(), network()
    make(whole, seed=2).fit(DATA, epochs=EPOCHS)
    other, of_other = other_model()
    answers = []

    def work() -> tuple[tuple[bytes, float | None], tuple[str, bytes]]:
        return (predicted(other), evaluate(other, DATA).top1), trained()

    calls = [Watcher(lambda: answers.append(in_child(work)))]
    make(model, seed=2, callbacks=calls).fit(DATA, epochs=EPOCHS)
    assert answers == [(of_other, expected)] * EPOCHS
    assert model.digest() == whole.digest()


def test_a_run_goes_on_in_two_processes() -> None:
    """A child that comes back from the callback ends the run too, to the same bits."""
    whole, model = network(), network()
    make(whole, seed=2).fit(DATA, epochs=EPOCHS)
    forked: list[int] = []

    def work() -> None:
        if not forked:
            forked.append(os.fork())

    try:
        make(model, seed=2, callbacks=[Watcher(work)]).fit(DATA, epochs=EPOCHS)
    finally:
        if forked == [0]:
            os._exit(0 if model.digest() == whole.digest() else 1)
    assert model.digest() == whole.digest()
    assert exit_code(forked[0]) == 0


@pytest.mark.slow
def test_powers_in_the_middle() -> None:
    """A power that another thread is working out is the right one in a child."""
    power = _Power(0.9)
    expected = [power.at(exponent) for exponent in range(40)]
    with Busy(lambda: [power.at(exponent) for exponent in range(40)]):
        for _ in range(10):
            assert in_child(lambda: [power.at(exponent) for exponent in range(40)]) == expected


def test_ctrl_c_in_a_child_of_a_training() -> None:
    """The first one already: nobody in the child asks whether one came."""

    def interrupted() -> bool:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return True
        return False

    with InterruptWatch() as watch:
        assert in_child(interrupted)
        assert not interrupted()
        assert watch.asked
