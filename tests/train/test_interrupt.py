"""Ctrl-C, once and more often: what is said at once, what is saved, and who hears of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.forks import in_child
from tests.train.small import make, noise

from isoconv.signals import Ended, Uninterrupted, check_not_ended, ended_by_exception
from isoconv.train import Interrupted, RunFolder
from isoconv.train.interrupt import InterruptWatch
from isoconv.train.session import Session


def wait_for(told: list[tuple[int, int]], count: int) -> None:
    """Until so many are told, in another thread."""
    end = time.monotonic() + 10
    while len(told) < count and time.monotonic() < end:
        time.sleep(0.001)


def test_two_are_noted_and_the_third_comes_through() -> None:
    """Each is told at once with its number; before and after, handlers are as they were."""
    told: list[tuple[int, int]] = []
    before = signal.getsignal(signal.SIGTERM)
    with InterruptWatch(lambda number, count: told.append((number, count))) as watch:
        assert watch.asked == 0
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert watch.asked == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        wait_for(told, 3)
    assert told == [(signal.SIGTERM, 1), (signal.SIGINT, 2), (signal.SIGINT, 3)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1
    assert not [each for each in threading.enumerate() if each.name == "isoconv-interrupts"]


def test_what_is_not_torn_apart_comes_to_its_end() -> None:
    """An interrupt waits for it, and then comes through as ever; of many, the first."""
    before, done = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Uninterrupted():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append(1)
        done.append(2)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is before
    # In another thread, which hears of no signal, nothing is changed.
    thread = threading.Thread(target=lambda: Uninterrupted().__enter__())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_what_was_lost_is_raised_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception raised while an object is deleted is lost there: no training begins after it."""

    class Ends:
        """An object in whose end the process is asked to end."""

        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    before, lost = signal.getsignal(signal.SIGTERM), list[Any]()
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    with ended_by_exception():
        check_not_ended()
        Ends()
        assert isinstance(lost[0].exc_value, Ended)
        with pytest.raises(Ended, match="SIGTERM"):
            check_not_ended()
        with pytest.raises(Interrupted, match="before a step was kept") as caught:
            make().fit(noise(), epochs=1, out=tmp_path / "run")
    assert caught.value.signal == signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before
    check_not_ended()


def test_who_listened_before_hears_of_other_signals() -> None:
    """An event loop gets its own signals, and is in its place again afterwards."""
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    old = signal.signal(signal.SIGUSR1, lambda *_: None)
    outer = signal.set_wakeup_fd(mouth)
    try:
        told: list[tuple[int, int]] = []
        with InterruptWatch(lambda number, count: told.append((number, count))):
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGINT)
            wait_for(told, 1)
        assert os.read(ear, 16) == bytes([signal.SIGUSR1])
    finally:
        assert signal.set_wakeup_fd(outer) == mouth
        signal.signal(signal.SIGUSR1, old)
        os.close(ear)
        os.close(mouth)


def test_a_child_tells_its_parent_nothing() -> None:
    """A forked process is interrupted as ever, and its signals are not taken for the parent's."""

    def interrupted() -> bool:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return True
        return False

    told: list[tuple[int, int]] = []
    with InterruptWatch(lambda number, count: told.append((number, count))) as watch:
        assert in_child(interrupted)
        time.sleep(0.05)
        assert told == []
        assert watch.asked == 0


def test_nobody_to_tell_is_no_fault() -> None:
    """An interrupt counts though its message cannot be written."""

    def tell(number: int, count: int) -> None:
        raise BrokenPipeError(number, count)

    with InterruptWatch(tell) as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.asked == signal.SIGINT


@pytest.mark.parametrize("error", [OSError("no more files"), RuntimeError("no more threads")])
def test_without_threads_interrupts_are_noted(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Nothing is told then, and handlers are as they were afterwards."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(threading.Thread, "start", fails)
    with InterruptWatch(lambda *_: None) as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.asked == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("folder", [None, "run"])
def test_what_is_said(folder: str | None) -> None:
    """Without a folder nobody speaks of saving."""
    said: list[str] = []
    session = Session.__new__(Session)
    session._folder = None if folder is None else RunFolder(folder)
    session._reporter = SimpleNamespace(say=said.append)  # type: ignore[assignment]
    session._begin("step 1 of 2 in epoch 3")
    for count in (1, 2, 3):
        session._told(signal.SIGTERM, count)
    after = "saving" if folder else "ending"
    assert said == [
        f"SIGTERM: finishing step 1 of 2 in epoch 3, then {after}",
        f"SIGTERM: finishing step 1 of 2 in epoch 3 (for 0 s now), then {after}; a third one ends "
        + ("without it" if folder else "as soon as that can be"),
        "SIGTERM: leaving step 1 of 2 in epoch 3 as soon as that can be"
        + (", without saving" if folder else ""),
    ]


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[2])
import numpy as np
from isoconv import Trainer, nn
from isoconv.run.training import TrainingEngine
from isoconv.optim import SGD
from isoconv.train import Interrupted
real = TrainingEngine.steps

def steps(self, first, hyper):
    print("native", flush=True)
    return real(self, first, hyper)

TrainingEngine.steps = steps
layers = [nn.Conv2d(64, 3, padding=1) for _ in range(3)]
model = nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Linear(2))
images = np.arange(200 * 32 * 32, dtype=np.uint32).astype(np.uint8).reshape(200, 32, 32, 1)
try:
    Trainer(model, optimizer=SGD(0.001), batch_size=100, threads=1).fit(
        (images, np.arange(200) % 2), epochs=50, out=sys.argv[1])
except Interrupted as error:
    print(f"{error} ({error.signal})", flush=True)
"""
"""A training whose steps take a second or more each, all of it in native code."""


@pytest.mark.parametrize("presses", [1, 2, 3])
@pytest.mark.slow
def test_within_a_long_step(tmp_path: Path, presses: int) -> None:
    """Each Ctrl-C is answered while the step goes on; two save, a third does not."""
    out, root = tmp_path / "run", str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(out), root], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert next(line for line in lines if line == "native\n")
        time.sleep(0.1)
        for count in range(1, presses + 1):
            process.send_signal(signal.SIGINT)
            said = next(lines)
            after = {1: "then saving", 2: "s now), then saving; a third", 3: "without saving"}
            assert said.startswith("Ctrl-C: "), said
            assert "step 1 of 2 in epoch 1" in said
            assert after[count] in said
        last = [*lines][-1]
        assert process.wait() == 0
    if presses < 3:
        assert last.startswith("interrupted in epoch 1 of 50 after step 1 of 2; go on with: ")
        stand = json.loads((out / "checkpoints" / "last.json").read_text())
        assert (stand["epoch"], stand["step"]) == (0, 1)
    else:
        assert last == (
            f"interrupted before a step was kept, and nothing of it is left in {out} (2)\n"
        )
        assert list(tmp_path.iterdir()) == []


def test_at_the_end_the_way_on_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the test part is measured costs nothing that was trained."""
    out = tmp_path / "run"
    whole = make().fit(noise(), epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(
            "isoconv.train.conduct.record_of", lambda *_: signal.raise_signal(signal.SIGINT)
        )
        with pytest.raises(Interrupted, match="at the end; go on with: isoconv resume"):
            make().fit(noise(), epochs=2, out=out)
    assert make().resume(out, noise()).digest == whole.digest
