"""Processes forked from one that predicts and trains: they answer, to the same bits, and end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from tests.forks import SECONDS, Busy, Child, exit_code, in_child, in_thread, needs_fork
from tests.run.counting import Counting, fall_asleep
from tests.run.steps import engine_for, everything, make_step, rates

from isoconv import nn
from isoconv.errors import ArgumentError, TrainingError
from isoconv.graph.operation import Array
from isoconv.nn.inference import inference_graph, weights_for
from isoconv.run.evaluate import evaluate
from isoconv.run.inference import Predictor
from isoconv.run.profile import ProfiledPredictor
from isoconv.run.script import ScriptBuilder
from isoconv.run.team import Team, library_for

pytestmark = needs_fork

SHAPE = (12, 10, 2)
IMAGES = np.random.RandomState(0).standard_normal((7, *SHAPE)).astype(np.float32)
BATCHES = [IMAGES[:1], IMAGES[:2], IMAGES]
"""One image and two, on which threads work together, and some more, of which each has its own."""


def network(seed: int = 1, filters: int = 8) -> nn.Sequential:
    """A model of several kernels, with halos and with weights that are packed."""
    return nn.Sequential(
        nn.Conv2d(filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(filters, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5),
    ).build(SHAPE, seed=seed)  # fmt: skip


def answers(model: nn.Sequential, threads: int) -> list[bytes]:
    """The bits of a model's results for all batches."""
    return [model.predict(batch, threads=threads).tobytes() for batch in BATCHES]


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    """What a model of another process gave, before anything was forked."""
    return answers(network(), 1)


# Predictions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("used", [True, False], ids=["used before", "not used before"])
@pytest.mark.parametrize("place", ["main thread", "another thread"])
def test_a_child_predicts(threads: int, used: bool, place: str, expected: list[bytes]) -> None:
    """Forked by any thread, with a predictor that the parent made or made by itself."""
    model = network()
    if used:
        assert answers(model, threads) == expected

    def fork() -> list[bytes]:
        return in_child(lambda: answers(model, threads))

    assert (fork() if place == "main thread" else in_thread(fork)) == expected
    assert answers(model, threads) == expected


@pytest.mark.parametrize("rest", [0, 0.1], ids=["awake", "asleep"])
def test_whether_the_parents_threads_are_awake_is_all_one(
    rest: float, expected: list[bytes]
) -> None:
    """Right after a prediction they still wait for the next one, a moment later they sleep."""
    model = network()
    for _ in range(5):
        assert answers(model, 3) == expected
        time.sleep(rest)
        assert in_child(lambda: answers(model, 3)) == expected


def test_children_of_children(expected: list[bytes]) -> None:
    """Each predicts, before its own child is forked and after that has answered."""
    model = network()

    def below(depth: int) -> list[list[bytes]]:
        before = answers(model, 2)
        found = below_in_child(depth - 1) if depth else []
        return [before, answers(model, 2), *found]

    def below_in_child(depth: int) -> list[list[bytes]]:
        return in_child(lambda: below(depth))

    assert below(3) == [expected] * 8


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_children_of_a_parent_that_keeps_predicting(threads: int, expected: list[bytes]) -> None:
    """With one model from two threads and with another one; in children, both answer."""
    model, other = network(), network(seed=2, filters=5)
    of_other = answers(other, threads)

    def check() -> None:
        assert answers(model, threads) == expected

    def check_other() -> None:
        assert answers(other, threads) == of_other

    with Busy(check), Busy(check), Busy(check_other):
        for _ in range(25):
            found = in_child(lambda: (answers(model, threads), answers(other, threads)))
            assert found == (expected, of_other)


def test_threads_of_a_child(expected: list[bytes]) -> None:
    """Threads of a child predict at once, with one model and with different ones."""
    model, other = network(), network(seed=2)
    of_other = answers(other, 2)

    def work() -> bool:
        def check() -> None:
            assert answers(model, 2) == expected

        def check_other() -> None:
            assert answers(other, 2) == of_other

        with Busy(check) as first, Busy(check) as second, Busy(check_other) as third:
            while min(busy.turns for busy in (first, second, third)) < 5:
                time.sleep(0.001)
        return True

    with Busy(lambda: answers(model, 2)):
        assert in_child(work)


@pytest.mark.slow
def test_many_threads_fork_at_once(expected: list[bytes]) -> None:
    """Every one gets a child that answers."""
    model = network()
    assert answers(model, 2) == expected

    def fork() -> None:
        assert in_child(lambda: answers(model, 2)) == expected

    with Busy(fork) as first, Busy(fork) as second, Busy(fork) as third:
        while min(busy.turns for busy in (first, second, third)) < 5:
            time.sleep(0.001)


def test_children_by_the_dozen(expected: list[bytes]) -> None:
    """Side by side, like the workers of a server."""
    model = network()
    assert answers(model, 2) == expected
    children = [Child(lambda: answers(model, 2)) for _ in range(12)]
    assert [child.answer() for child in children] == [expected] * 12


def test_new_weights_in_a_child(expected: list[bytes]) -> None:
    """They are the child's alone, and its predictions follow them."""
    model, other = network(), network(seed=2)
    of_other = answers(other, 2)
    assert answers(model, 2) == expected

    def work() -> list[bytes]:
        model.load_weights(other.weights)
        return answers(model, 2)

    assert in_child(work) == of_other
    assert answers(model, 2) == expected


def predictor_for(
    model: nn.Sequential, kind: type[Predictor] = Predictor, **settings: Any
) -> tuple[Predictor, dict[str, Array]]:
    """A predictor of this model on two threads, and what to give it."""
    predictor = kind(inference_graph(model, SHAPE, "float32", "softmax"), threads=2, **settings)
    return predictor, weights_for(model)


@contextmanager
def held(lock: threading.Lock) -> Iterator[None]:
    """Another thread holds a lock, as in the middle of a run, as long as the block lasts."""
    taken, over = threading.Event(), threading.Event()

    def wait() -> None:
        with lock:
            taken.set()
            over.wait()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert taken.wait(SECONDS)
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_in_the_middle_of_a_barrier() -> None:
    """The child's threads meet as many as they are, though one of the parent's had come already."""
    predictor, weights = predictor_for(network())
    data = {"images": IMAGES[:1]}
    expected = predictor.run(weights, data)["result"].tobytes()
    arrived = predictor._team._barriers["arrived"]
    with held(predictor._team.turn):
        arrived[1] += 1
        found = in_child(lambda: predictor.run(weights, data))
        arrived[1] -= 1
    assert found["result"].tobytes() == expected
    assert predictor.run(weights, data)["result"].tobytes() == expected


def test_in_the_middle_of_a_script_that_moves() -> None:
    """What another thread moved in part writes nothing where that one's results were to be."""
    predictor, weights = predictor_for(network())
    data = {"images": IMAGES}
    expected = predictor.run(weights, data)["result"].tobytes()
    elsewhere = np.zeros((7, 5), np.float32)

    def work() -> tuple[bytes, bool]:
        found = predictor.run(weights, data)["result"].tobytes()
        return found, bool(elsewhere.any())

    with held(predictor._team.turn):
        assert predictor._data_parallel is not None
        for script in predictor._data_parallel.scripts:
            script.move("output", "result", elsewhere.ctypes.data)
            # As if the child's results lay where the last ones did, to which it has not been noted.
            script.move = lambda *_: None  # type: ignore[method-assign]
        assert in_child(work) == (expected, False)


def test_in_the_middle_of_loading_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of that moment predicts with the weights that it asks for."""
    model, other = network(), network(seed=2)
    predictor, weights = predictor_for(model)
    version, data = object(), {"images": IMAGES}
    expected = predictor.run(weights, data, version=version)["result"].tobytes()
    pack, reached, go_on = predictor._pack, threading.Event(), threading.Event()

    def wait(loaded: dict[str, Array]) -> None:
        reached.set()
        go_on.wait()
        pack(loaded)

    monkeypatch.setattr(predictor, "_pack", wait)
    thread = threading.Thread(target=predictor.run, args=(weights_for(other), data))
    thread.start()
    reached.wait()
    monkeypatch.setattr(predictor, "_pack", pack)

    def work() -> bytes:
        return predictor.run(weights, data, version=version)["result"].tobytes()

    try:
        assert in_child(work) == expected
    finally:
        go_on.set()
        thread.join()
    assert work() == expected


def test_evaluations_and_profiles_in_a_child() -> None:
    """What makes its threads for one call, and what measures, works there as here."""
    model = network()
    graph = inference_graph(model, SHAPE, "float32", "softmax")
    predictor, weights = predictor_for(model, ProfiledPredictor)
    assert isinstance(predictor, ProfiledPredictor)
    arrays = {**weights, "images": IMAGES}
    expected = evaluate(graph, arrays, 7)["result"].tobytes()
    predictor.profile(weights, {"images": IMAGES}, turns=1)

    def work() -> tuple[bytes, int]:
        profile = predictor.profile(weights, {"images": IMAGES}, turns=2)
        return evaluate(graph, arrays, 7)["result"].tobytes(), profile.threads

    with Busy(lambda: predictor.profile(weights, {"images": IMAGES}, turns=1)):
        for _ in range(3):
            assert in_child(work) == (expected, 2)


# Other ways to start a process -------------------------------------------------------------------


def send_answers(model: nn.Sequential, threads: int, pipe: Connection) -> None:
    """What a process of `multiprocessing` does."""
    pipe.send(answers(model, threads))


@pytest.mark.parametrize("place", ["main thread", "another thread"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing(method: str, place: str, expected: list[bytes]) -> None:
    """However they are started: the model that they are given gives the same bits."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot start processes by {method}")
    model = network()
    assert answers(model, 3) == expected
    context: Any = multiprocessing.get_context(method)

    def start() -> list[bytes]:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=send_answers, args=(model, 3, sender))
        process.start()
        sender.close()
        try:
            assert receiver.poll(SECONDS), "the process has not answered"
            received: list[bytes] = receiver.recv()
            return received
        finally:
            process.join(SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
                pytest.fail("the process has not ended")
            assert process.exitcode == 0

    assert (start() if place == "main thread" else in_thread(start)) == expected


# Threads ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_in_the_middle_of_a_run() -> None:
    """While the parent's threads are at work a child has threads of its own, and closes them."""
    turns = 9000
    with Team(3, library_for()) as team:
        counting = Counting(team)

        def run() -> None:
            # A count is the row of a table too, which has a few more.
            counting.counters[:] = 0
            assert counting.run(3, turns) == [turns] * 3

        def work() -> tuple[int, list[list[int]], int, int]:
            alone = threading.active_count()
            counting.counters[:] = 0
            found = [counting.run(3, 2), counting.run(2, 1), counting.run(3, 1)]
            alive = threading.active_count()
            team.close()
            return alone, found, alive, threading.active_count()

        with Busy(run):
            for _ in range(20):
                assert in_child(work) == (1, [[2, 2, 2], [1, 1, 0], [1, 1, 1]], 3, 1)


def test_a_child_disturbs_no_thread_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the parent's threads may wake up is not for the child to say."""
    limits = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda *a: limits.append(a), raising=False)
    with Team(3, library_for()) as team:
        counting = Counting(team)
        counting.run(3, 1)
        here = {thread.native_id for thread in threading.enumerate()}

        def work() -> set[Any]:
            limits.clear()
            counting.run(3, 1)
            return {thread for thread, _ in limits}

        assert not in_child(work) & here


@pytest.mark.parametrize("moment", ["before", "between", "woken", "after"])
def test_a_signal_that_forks(moment: str) -> None:
    """A handler that forks in the middle of a run: it is done here; there it is done or refused."""
    forked = []
    with Team(3, library_for()) as team:
        counting = Counting(team)
        counting.run(3, 1)
        if moment != "after":
            fall_asleep(team)
        go, wake = team._flags._go, team._others.wake

        def forks_beside_go(going: int, context: None) -> None:
            if moment == "before":
                signal.raise_signal(signal.SIGUSR1)
            go(going, context)
            if moment != "before":
                signal.raise_signal(signal.SIGUSR1)

        def forks_after_wake(numbers: Sequence[int]) -> None:
            wake(numbers)
            signal.raise_signal(signal.SIGUSR1)

        if moment == "woken":
            team._others.wake = forks_after_wake  # type: ignore[method-assign]
        else:
            team._flags._go = forks_beside_go
        previous = signal.signal(signal.SIGUSR1, lambda *_: forked.append(os.fork()))
        try:
            counted: Any = counting.run(3, 5)
        except ArgumentError as error:
            counted = str(error)
        signal.signal(signal.SIGUSR1, previous)
        team._flags._go = go
        if forked == [0]:
            # After: unless the threads had fallen asleep by then.
            good = "must not fork in the middle of a run" in counted or (
                moment == "after" and counted == [5] * 3
            )
            os._exit(0 if good and counting.run(3, 2) == [2] * 3 else 1)
        assert counted == [5, 5, 5]
        assert exit_code(forked[0]) == 0


def test_ctrl_c_in_a_child() -> None:
    """A child of a moment in which the parent's main thread defers Ctrl-C is stopped by it."""
    with Team(2, library_for()) as team:
        found = []
        wake = team._others.wake

        def interrupted() -> str:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                return "interrupted"
            return "went on"

        def fork_elsewhere(numbers: Sequence[int]) -> None:
            found.append(in_thread(lambda: in_child(interrupted)))
            wake(numbers)

        team._others.wake = fork_elsewhere  # type: ignore[method-assign]
        team.run([ScriptBuilder().build() for _ in range(2)], 1)
        assert found == ["interrupted"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_system_without_further_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says so, leaves none behind, and does the next run when it has them."""
    with Team(3, library_for()) as team:
        counting = Counting(team)
        before = threading.active_count()
        start = threading.Thread.start

        def refuse(thread: Thread) -> None:
            if thread.name == "isoconv-2":
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)
        message = "threads must be as many as the system starts; of 3 it started 2: can't start"
        for _ in range(2):
            with pytest.raises(ArgumentError, match=message):
                counting.run(3, 1)
            assert threading.active_count() == before
        monkeypatch.setattr(threading.Thread, "start", start)
        assert counting.run(3, 2) == [2, 2, 2]


# Training -----------------------------------------------------------------------------------------


def test_an_engine_goes_on_in_a_child() -> None:
    """Between two calls a run may be cut: parent and child go on to the same bits."""
    step, model = make_step()
    with engine_for(step, model) as whole:
        whole.begin_epoch(0, np.arange(23))
        whole.steps(0, rates(3))
        expected = everything(whole)
    with engine_for(step, model) as engine:
        engine.begin_epoch(0, np.arange(23))
        engine.steps(0, rates(3)[:1])

        def rest() -> list[tuple[str, bytes]]:
            engine.steps(1, rates(3)[1:])
            return everything(engine)

        for found in (in_child(rest), in_thread(lambda: in_child(rest)), rest()):
            assert found == expected


def test_half_a_step_is_not_taken_for_a_whole_one() -> None:
    """An engine at work in another thread says in the child that it is of no use there."""
    step, model = make_step()
    with engine_for(step, model) as engine:
        uses = (
            lambda: engine.load(model.parameters(), model.states()),
            lambda: engine.begin_epoch(0, np.arange(23)),
            lambda: engine.steps(0, rates(1)),
            engine.parameters,
            engine.states,
            engine.slots,
        )

        def refusals() -> int:
            for use in uses:
                with pytest.raises(TrainingError, match="a process that was forked while another"):
                    use()
            return len(uses)

        def work() -> list[Any]:
            found = [refusals(), in_child(refusals)]
            engine.close()
            with engine_for(step, model) as other:
                other.begin_epoch(0, np.arange(23))
                return [*found, everything(other), len(other.steps(0, rates(1)))]

        expected = [len(uses), len(uses), everything(engine), 1]
        with held(engine._team.turn):
            assert in_child(work) == expected
        engine.begin_epoch(0, np.arange(23))
        assert len(engine.steps(0, rates(1))) == 1


# The end of a process -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", ["close", "collect", "leave"])
def test_a_child_ends_as_ever(way: str, tmp_path: Path) -> None:
    """With what runs at the end of Python: whether all is closed, collected or left as it is."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import atexit, gc, os, sys, threading, time, warnings
        warnings.filterwarnings("ignore", "This process .* is multi-threaded")
        import numpy as np
        from isoconv import nn
        model = nn.Sequential(nn.Conv2d(4, 3), nn.Flatten(), nn.Linear(3)).build((8, 8, 1))
        images = np.ones((5, 8, 8, 1), np.float32)
        expected = model.predict(images, threads=3).tobytes()
        stop = threading.Event()
        def keep():
            while not stop.is_set():
                assert model.predict(images, threads=3).tobytes() == expected
        thread = threading.Thread(target=keep)
        thread.start()
        time.sleep(0.05)
        atexit.register(lambda: print("end of", "parent" if child else "child", flush=True))
        child = os.fork()
        if child == 0:
            assert model.predict(images, threads=3).tobytes() == expected
            predictor, = (ready.predictor for ready in model.__dict__["_predictors"].values())
            if {way!r} == "close":
                predictor.close()
            del predictor
            if {way!r} == "collect":
                del model
                gc.collect()
            sys.exit(3)
        ended, status = os.waitpid(child, 0)
        stop.set()
        thread.join()
        print(os.waitstatus_to_exitcode(status))
        """)
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout.split("\n") == ["end of child", "3", "end of parent", ""]
    assert done.stderr == ""


@pytest.mark.slow
def test_python_ends_while_a_thread_predicts(tmp_path: Path) -> None:
    """What a daemon thread is in the middle of is done first, and nothing hangs."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import threading, time
        import numpy as np
        from isoconv import nn
        model = nn.Sequential(nn.Conv2d(4, 3), nn.Flatten(), nn.Linear(3)).build((8, 8, 1))
        images = np.ones((5, 8, 8, 1), np.float32)
        model.predict(images, threads=3)
        (ready,) = model.__dict__["_predictors"].values()
        others = ready.predictor._team._others
        wake, waking = others.wake, threading.Event()
        def slowly(numbers):
            for number in numbers:
                wake([number])
                waking.set()
                time.sleep(0.3)
        others.wake = slowly
        time.sleep(0.1)
        def predict():
            model.predict(images, threads=3)
            print("done", flush=True)
        threading.Thread(target=predict, daemon=True).start()
        waking.wait()
        """)
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_a_predictor_that_is_forgotten_in_a_child() -> None:
    """Its threads end with it there; the parent's stay."""
    predictor, weights = predictor_for(network())
    held = [predictor]
    del predictor
    expected = held[0].run(weights, {"images": IMAGES})["result"].tobytes()

    def work() -> tuple[bytes, int, int]:
        used = held[0].run(weights, {"images": IMAGES})["result"].tobytes()
        before = threading.active_count()
        held.clear()
        gc.collect()
        return used, before, threading.active_count()

    assert in_child(work) == (expected, 2, 1)
    assert held[0].run(weights, {"images": IMAGES})["result"].tobytes() == expected
