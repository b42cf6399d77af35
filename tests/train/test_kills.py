"""A run that is killed before any single file operation is gone on with to the same folder."""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.forks import Child, exit_code, needs_fork
from tests.train.small import make, noise

from isoconv import load, nn
from isoconv.errors import CheckpointError, DataWarning, NotFiniteError
from isoconv.train import Callback, EarlyStopping, Run, RunFolder, files, session, verify
from isoconv.train.learning_rate import Constant
from isoconv.train.optim import SGD

pytestmark = needs_fork

PARTS = noise(28), noise(10, 1), noise(8, 2)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
"""Audit events of all that changes a folder, beside opening a file to write to it."""


class Stops(Callback):
    """Ends the training after its second epoch, for a reason of its own."""

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """The end."""
        if row["epoch"] == 2:
            run.stop("enough")


@pytest.fixture(autouse=True)
def each_step_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of operations is always the same, however fast the machine is."""
    monkeypatch.setattr(session, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(session, "SHARE", 0)


def trainer(given: bool = False, **options: Any) -> Any:
    """A trainer that saves after each step, and keeps all checkpoints."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm2d(), nn.Linear(2)).build((6, 6, 1), seed=3)
    if given:
        model.load_weights({name: array + 0.25 for name, array in model.weights.items()})
    settings = {"augmentation": None, "keep_checkpoints": True, "save_every": 0, "batch_size": 16}
    settings |= options
    return make(model, **settings)


CASES: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "given weights": (
        lambda out: trainer(given=True).fit(*PARTS, epochs=2, out=out),
        lambda out: trainer(given=True).resume(out, *PARTS),
    ),
    "best epoch": (
        lambda out: trainer(keep_checkpoints=False).fit(
            *PARTS, epochs=3, out=out, early_stopping=EarlyStopping(1, "val_loss")
        ),
        lambda out: trainer(keep_checkpoints=False).resume(out, *PARTS),
    ),
    "stopped by a callback": (
        lambda out: trainer(callbacks=[Stops()]).fit(*PARTS, epochs=3, out=out),
        lambda out: trainer(callbacks=[Stops()]).resume(out, *PARTS),
    ),
    "trained on": (
        lambda out: train_on(out),  # noqa: PLW0108 - it stands further below
        lambda out: trainer(keep_checkpoints=False, save_every=60).resume(out, *PARTS, epochs=3),
    ),
}


LIKE_OTHERS = ("given weights", "best epoch")
"""Most of their passages are those of a run that is trained on as well: each third is taken."""


def train_on(out: Path) -> Any:
    """A run of two epochs, and then of three."""
    seldom: dict[str, Any] = {"keep_checkpoints": False, "save_every": 60}
    trainer(**seldom).fit(*PARTS, epochs=2, out=out)
    return trainer(**seldom).resume(out, *PARTS, epochs=3)


def content(out: Path) -> dict[str, bytes]:
    """All files by name; without what the clock says."""
    found = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }
    for name in ("metrics.jsonl", "checkpoints/last.json", "receipt.json"):
        clock = rb'"(seconds|images_per_second)": [0-9.e+-]+'
        found[name] = re.sub(clock, b"", found[name])
    return found


class Killed:
    """Counts this process's operations on files below a folder and kills it before one of them.

    Args:
        out: the folder.
        at: number of the operation, from 1; 0 for none.
    """

    def __init__(self, out: Path, at: int) -> None:
        self.out, self.at = str(out), at
        self.done: list[str] = []
        os.fsync = self.sync  # type: ignore[assignment]
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What Python says before it does it."""
        if event in CHANGES or (event == "open" and self._writes(arguments)):
            place = arguments[0]
            if isinstance(place, (str, os.PathLike)) and str(place).startswith(self.out):
                self.step(f"{event} {Path(arguments[event == 'os.rename']).name}")

    @staticmethod
    def _writes(arguments: tuple[Any, ...]) -> bool:
        _, mode, flags = arguments
        return bool(flags & (os.O_WRONLY | os.O_RDWR)) or (mode is not None and "w" in mode)

    def sync(self, handle: int) -> None:
        """A kill before this may leave half of what was written; only a power cut asks for more."""
        if len(self.done) + 1 == self.at and os.fstat(handle).st_mode & 0o100000:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
        self.step("sync")

    def step(self, what: str) -> None:
        """One operation more."""
        self.done.append(what)
        if len(self.done) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def operations(out: Path, work: Callable[[Path], Any]) -> list[str]:
    """What something does when it is left alone."""

    def count() -> list[str]:
        killed = Killed(out, 0)
        work(out)
        return killed.done

    return Child(count).answer()


def kill(out: Path, work: Callable[[Path], Any], at: int) -> None:
    """Do something in a process that is killed before one of its operations, if there is such."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            Killed(out, at)
            work(out)
            code = 0
        finally:
            os._exit(code)
    assert exit_code(child) in (-signal.SIGKILL, 0)


TEMPORARY = re.compile(r"\..+\.tmp")
NUMBERS = re.compile(r"[0-9]+")


def every_operation(done: list[str]) -> list[int]:
    """The numbers of all operations."""
    return list(range(1, len(done) + 1))


def each_passage(done: list[str]) -> list[int]:
    """The numbers of those operations before which the folder is as it never was before.

    A file is replaced by a temporary one: opened, written, moved to its place. What a kill leaves
    differs from one move to the next, and between them only in the temporary file, which lies there
    whole before the move and half written before it is sent to the disk: these take turns. The same
    change after the same change, with files of the same names but for their numbers, is the same
    passage: a later epoch's, unless the run was gone on with in between.
    """
    seen: set[tuple[str, ...]] = set()
    there: set[str] = set()
    numbers, before, ended = {1, len(done)}, "", 0
    for number, what in enumerate(done, 1):
        event, _, name = what.partition(" ")
        changes = name in there if event == "os.remove" else event != "sync"
        if TEMPORARY.fullmatch(name) or not changes:
            continue
        now = NUMBERS.sub("", what)
        passage = (str(ended), before, now, *sorted({NUMBERS.sub("", name) for name in there}))
        if passage not in seen:
            seen.add(passage)
            half = event == "os.rename" and len(seen) % 2 == 1
            numbers.add(number - 1 if half else number)
        there.symmetric_difference_update({name} if event == "os.remove" else {name} - there)
        before, ended = now, ended + (what == "os.remove .held")
    return sorted(numbers)


def test_passages_are_taken_once() -> None:
    """Whole files and half ones take turns, and what a later epoch does again is left out."""

    def replace(name: str) -> list[str]:
        return ["open .x.1.2.tmp", "sync", f"os.rename {name}", "os.remove .x.1.2.tmp", "sync"]

    done = ["open .held", "os.remove c", *replace("a"), *replace("b-1"), *replace("a"),
            *replace("b-2"), *replace("a"), "os.remove b-2", *replace("c"), *replace("a"),
            "os.remove .held"]  # fmt: skip
    assert [(number, done[number - 1]) for number in each_passage(done)] == [
        (1, "open .held"), (5, "os.rename a"), (9, "sync"), (15, "os.rename a"), (19, "sync"),
        (28, "os.remove b-2"), (30, "sync"), (36, "os.rename a"), (39, "os.remove .held"),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen", [each_passage, pytest.param(every_operation, marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize("case", CASES)
def test_a_kill_before_any_operation_changes_nothing(
    tmp_path: Path, case: str, chosen: Callable[[list[str]], list[int]]
) -> None:
    """Wherever it is killed, and killed again while it goes on, it comes to the same folder."""
    fit, resume = CASES[case]
    fit(tmp_path / "whole")
    wanted = content(tmp_path / "whole")
    done = operations(tmp_path / "counted", fit)
    assert len(done) > 80
    assert content(tmp_path / "counted") == wanted
    # What a callback wishes is known when it is written: with run.json, at the end.
    first = 1
    if "callback" in case:
        announced = [number for number, what in enumerate(done, 1) if what == "os.rename run.json"]
        first = announced[-2] + 1

    # The whole run, and the one that it was before it was gone on with.
    ends = {load(tmp_path / "whole").digest()}
    first_end = len(done)
    if case == "trained on":
        ends.add(load(tmp_path / "whole", epoch=2).digest())
        first_end = done.index("os.rename weights.safetensors") + 1

    # What each of the processes below would compile or load for itself is there before them.
    verify(tmp_path / "whole", None, *PARTS)
    resume(tmp_path / "whole")

    def go_on(out: Path) -> None:
        (resume if (out / "run.json").exists() else fit)(out)

    def live_through(number: int) -> dict[str, bytes]:
        """A run that is killed before an operation, and what it comes to in the end."""
        out = tmp_path / f"{number}"
        kill(out, fit, number)
        if places.index(number) % 3 == 0:
            # Once more, somewhere in the rest.
            kill(out, go_on, 1 + number * 7 % 40)
        os.fsync = lambda _: None  # type: ignore[assignment]
        if (out / "receipt.json").exists():
            # As far as it came.
            assert verify(out, None, *PARTS).difference is None
        if case == "trained on" and number > first_end:
            # A run that has ended has a model from then on, whatever more is asked of it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)
                assert load(out).digest() in ends
        go_on(out)
        return content(out)

    places = [number for number in chosen(done) if number >= first]
    assert len(places) > (4 if "callback" in case else 20)
    if case in LIKE_OTHERS and chosen is each_passage:
        places = places[::3]
    numbers = iter(places)
    for number in numbers:
        pair = [number, *itertools.islice(numbers, 1)]
        lives = [Child(partial(live_through, number)) for number in pair]
        assert [life.answer() == wanted for life in lives] == [True for _ in pair], pair


@pytest.mark.slow
def test_a_full_disk_at_any_write_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written ends the training; what was learned is gone on with."""
    fit, resume = CASES["given weights"]
    monkeypatch.setattr(os, "fsync", lambda _: None)
    fit(tmp_path / "whole")
    wanted = content(tmp_path / "whole")
    real: Callable[..., None] = vars(files)["replace_file"]
    written: list[Path] = []

    def replace(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == full:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(files, "replace_file", replace)
    full = 0
    fit(tmp_path / "counted")
    count = len(written)
    assert count > 20
    for number in range(1, count + 1):
        out = tmp_path / str(number)
        full = number
        written.clear()
        with pytest.raises(CheckpointError, match="No space left on device"):
            fit(out)
        full = 0
        # Before anything was learned there is no run.
        (resume if out.exists() else fit)(out)
        assert content(out) == wanted, number


# Within an epoch


class Clock:
    """A clock that an epoch's steps move on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Ten seconds for each look at it."""
        self.now += 10
        return self.now


def within(out: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[tuple[int, int]]:
    """Where the checkpoints of a run stood."""
    places = []
    save = RunFolder.save

    def note(folder: RunFolder, checkpoint: Any) -> None:
        places.append((checkpoint.epoch, checkpoint.step))
        save(folder, checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", note)
        patch.setattr(time, "monotonic", Clock())
        make(batch_size=2, shard_size=2, **options).fit(noise(40), epochs=1, out=out)
    return places


def test_a_long_epoch_is_saved_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By time: each minute, unless another time is said."""
    minute = within(tmp_path / "a", monkeypatch)
    # Twenty steps of ten seconds each, and some for the saves themselves.
    assert minute[0] == (0, 0)
    assert minute[-1] == (1, 0)
    steps = [step for epoch, step in minute if step]
    assert 2 <= len(steps) <= 3
    assert all(4 <= after - before <= 8 for before, after in itertools.pairwise([0, *steps]))
    assert len(within(tmp_path / "b", monkeypatch, save_every=25)) > len(minute)
    assert within(tmp_path / "c", monkeypatch, save_every=10_000) == [(0, 0), (1, 0)]


def test_slow_saves_take_a_small_part_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a save that took ten seconds none follows for two hundred."""
    monkeypatch.setattr(session, "SHARE", 20)
    places = within(tmp_path / "run", monkeypatch, save_every=0)
    assert [place for place in places if place[1]] == [(0, 1)]


def test_what_diverges_again_says_that_the_checkpoint_stays(tmp_path: Path) -> None:
    """Also when it was saved before this process began."""
    out, data = tmp_path / "run", noise(10)

    def diverging() -> Any:
        return make(
            nn.Sequential(nn.Flatten(), nn.Linear(2)), optimizer=SGD(1e38), augmentation=None,
            batch_size=4, schedule=Constant(), clip_norm=None,
        )  # fmt: skip

    trainings: tuple[Callable[[], Any], ...] = (
        lambda: diverging().fit(data, epochs=2, out=out),
        lambda: diverging().resume(out, data),
    )
    for train in trainings:
        with pytest.raises(NotFiniteError, match="The last good checkpoint stays"):
            train()
