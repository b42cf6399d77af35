"""One training at a time works in a folder, and each has one of its own."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
from tests.forks import Child, in_thread, needs_fork
from tests.train.small import make, network, noise

from isoconv.errors import ArgumentError, CheckpointError, IsoconvError
from isoconv.graph.operation import Array
from isoconv.run.training import TrainingEngine
from isoconv.train import Callback, Interrupted, Run, RunFolder, verify
from isoconv.train.hold import HELD, Hold, make_folder, wait_until_free

pytestmark = needs_fork


class AfterEpoch(Callback):
    """Does something after the first epoch."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.what = what

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Do it."""
        if row["epoch"] == 1:
            self.what()


class AtBegin(Callback):
    """Does something before the first epoch."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.what = what

    def on_train_begin(self, run: Run) -> None:  # noqa: ARG002
        """Do it."""
        self.what()


class StopsAfter(Callback):
    """Ends a training after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Run, row: Mapping[str, Any]) -> None:
        """The end."""
        if row["epoch"] == self.epoch:
            run.stop("enough")


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What several processes that begin at the same moment come to; each forked from this one."""
    start = time.monotonic() + 0.05

    def begin(number: int) -> Any:
        while time.monotonic() < start:
            pass
        return work(number)

    children = [Child(partial(begin, number)) for number in range(count)]
    return [child.answer() for child in children]


def told(train: Callable[[], Any]) -> str:
    """What came of something: its result, or why there was none."""
    try:
        return str(train())
    except IsoconvError as error:
        return str(error)


# The lock


def test_a_held_folder_is_refused_with_its_holder(tmp_path: Path) -> None:
    """The second one is told who has it; afterwards it is free, and nothing is left in it."""
    taken = Hold(tmp_path)
    with pytest.raises(CheckpointError, match="is held by this process"):
        Hold(tmp_path)
    said = Child(lambda: told(lambda: Hold(tmp_path))).answer()
    assert f"is held by process {os.getpid()} on " in said
    taken.release()
    assert not list(tmp_path.iterdir())
    Hold(tmp_path).release()


def test_a_killed_holder_keeps_nobody_out(tmp_path: Path) -> None:
    """What it leaves is taken over."""
    code = f"""
import sys, time
from pathlib import Path
from isoconv.train.hold import Hold
hold = Hold(Path({str(tmp_path)!r}))
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(CheckpointError, match=f"held by process {process.pid} on "):
            Hold(tmp_path)
        process.kill()
    assert (tmp_path / HELD).exists()
    taken = Hold(tmp_path)
    assert json.loads((tmp_path / HELD).read_text())["pid"] == os.getpid()
    taken.release()


def test_a_forked_child_keeps_no_lock(tmp_path: Path) -> None:
    """A process that was forked while the folder was held does not hold it."""
    taken = Hold(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        taken.release()
        Hold(tmp_path).release()
    finally:
        os.close(write)
        os.waitpid(child, 0)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"pid": "x"}', b'{"pid": 1e400}', b"{" * 4000]
)
def test_whatever_the_file_says_the_holder_is_told(tmp_path: Path, content: bytes) -> None:
    """A lock's file that somebody wrote to is no traceback."""
    taken = Hold(tmp_path)
    (tmp_path / HELD).write_bytes(content)
    with pytest.raises(CheckpointError, match="is held by another process"):
        Hold(tmp_path)
    taken.release()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing keeps a second training out there, and the run says so."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    run = make().fit(noise(), epochs=1, out=tmp_path / "run")
    assert [note for note in run.notes if "has no locks" in note]


def test_a_folder_that_another_took_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was cut off comes back: its lock is another's, and it writes nothing more."""
    first = Hold(tmp_path)
    with monkeypatch.context() as patch:
        # As a file server does that has given the lock away.
        patch.setattr(fcntl, "flock", lambda *_: None)
        second = Hold(tmp_path)
    with pytest.raises(CheckpointError, match=r"was taken by this process .*its lock was lost"):
        first.check()
    second.check()
    first.release()
    assert (tmp_path / HELD).exists()
    second.check()
    second.release()
    assert not (tmp_path / HELD).exists()


@pytest.mark.slow
def test_who_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    """So long at most; a folder that nobody holds, or that is not there, is free at once."""
    begin = time.monotonic()
    wait_until_free(tmp_path, 60)
    wait_until_free(tmp_path / "none", 60)
    assert time.monotonic() - begin < 30
    taken = Hold(tmp_path)
    begin = time.monotonic()
    wait_until_free(tmp_path, 0.5)
    assert 0.5 <= time.monotonic() - begin < 30
    timer = threading.Timer(0.5, taken.release)
    timer.start()
    wait_until_free(tmp_path, 60)
    assert time.monotonic() - begin < 40
    Hold(tmp_path).release()
    timer.join()


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [8, pytest.param(40, marks=pytest.mark.exhaustive)])
def test_one_of_many_gets_a_folder(tmp_path: Path, rounds: int) -> None:
    """Two and four processes at once, again and again: one holds the folder at a time."""

    def take(place: Path) -> Callable[..., Any]:
        def work(_: int) -> str:
            try:
                taken = Hold(place)
            except CheckpointError as error:
                return str(error)
            # Whoever holds it at the same time would have made this file as well.
            mark = place / "mark"
            with mark.open("x"):
                time.sleep(0.001)
            mark.unlink()
            taken.release()
            return ""

        return work

    for number in range(rounds):
        found = together(2 + 2 * (number % 2), take(tmp_path / str(number)))
        assert "" in found
        assert all("is held by " in said for said in found if said)


def make_name(parent: Path, _: int) -> str:
    """The name of a new folder."""
    return make_folder(parent, "pets-lenet5").name


def fitted(out: Path, _: int) -> str:
    """What comes of a training into a folder."""
    return told(lambda: make().fit(noise(), epochs=2, out=out).digest)


def resumed(out: Path, _: int) -> str:
    """What comes of going on with a run."""
    return told(lambda: make().resume(out, noise()).digest)


def replaced(out: Path) -> Hold:
    """Another folder takes the place of a run's, and is held."""
    shutil.rmtree(out)
    out.mkdir()
    return Hold(out)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [5, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_each_of_many_gets_a_name_of_its_own(tmp_path: Path, rounds: int) -> None:
    """Processes that ask for a free name at the same moment get as many names."""
    for number in range(rounds):
        parent = tmp_path / str(number)
        found = together(4, partial(make_name, parent))
        assert sorted(found) == [f"pets-lenet5-{n}" for n in range(1, 5)]


def test_a_place_that_can_never_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No endless tries, whether for a name or for the lock."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for take in (lambda: make_folder(Path("runs"), "pets"), lambda: Hold(Path("run"))):
        with pytest.raises(CheckpointError, match="cannot be written"):
            take()


@pytest.mark.parametrize(
    "make_it", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/null")]
)
def test_what_is_no_lock_stays(tmp_path: Path, make_it: Callable[[Path], object]) -> None:
    """A pipe, a folder or a link in the lock's place is refused and not removed."""
    make_it(tmp_path / HELD)
    with pytest.raises(CheckpointError):
        Hold(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [HELD]


def test_a_place_for_runs_that_is_a_file_is_told(tmp_path: Path) -> None:
    """No endless search for a number."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(CheckpointError, match="must be a folder"):
        make_folder(tmp_path / "runs", "pets")


# Trainings


@pytest.mark.parametrize("rounds", [2, pytest.param(6, marks=pytest.mark.exhaustive)])
def test_of_trainings_into_one_folder_one_succeeds(tmp_path: Path, rounds: int) -> None:
    """Of processes that fit into the same folder at once one leaves a run, the rest say why."""
    make().fit(noise(), epochs=1)
    wanted = make().fit(noise(), epochs=2).digest
    for number in range(rounds):
        out = tmp_path / str(number)
        found = together(
            2 + 2 * (number % 2),
            partial(fitted, out),
        )
        others = sorted(found)
        others.remove(wanted)
        assert all("is held by" in said or "holds a run already" in said for said in others), others
        assert RunFolder(out).description()["result"]["weights_sha256"] == wanted
        assert not (out / HELD).exists()


@pytest.mark.parametrize("rounds", [2, pytest.param(4, marks=pytest.mark.exhaustive)])
def test_of_two_resumes_one_goes_on(tmp_path: Path, rounds: int) -> None:
    """Both end at the same run: one trains, the other is refused or finds it finished."""
    wanted = make().fit(noise(), epochs=3, out=tmp_path / "whole").digest
    for number in range(rounds):
        out = tmp_path / str(number)
        with pytest.raises(RuntimeError, match="power cut"):
            make(callbacks=[AfterEpoch(power_cut)]).fit(noise(), epochs=3, out=out)
        found = together(2, partial(resumed, out))
        assert wanted in found
        assert all(said == wanted or "is held by" in said for said in found), found
        assert (out / "weights.safetensors").read_bytes() == (
            tmp_path / "whole" / "weights.safetensors"
        ).read_bytes()


def power_cut() -> None:
    """Ends everything."""
    raise RuntimeError("power cut")


def test_a_resume_while_the_run_is_trained_is_refused(tmp_path: Path) -> None:
    """Whoever trains goes on; a second fit into the same folder is refused as well."""
    out, said = tmp_path / "run", []

    def intrude() -> None:
        trainings: tuple[Callable[[], Any], ...] = (
            lambda: make().resume(out, noise()),
            lambda: make().fit(noise(), epochs=1, out=out),
        )
        for train in trainings:
            with pytest.raises((CheckpointError, ArgumentError)) as caught:
                train()
            said.append(str(caught.value))

    run = make(callbacks=[AfterEpoch(intrude)]).fit(noise(), epochs=2, out=out)
    assert ["is held by this process" in line for line in said] == [True, True]
    assert run.digest == make().fit(noise(), epochs=2).digest


def test_one_folder_object_in_two_threads_is_held_by_one(tmp_path: Path) -> None:
    """Within a thread a folder may be begun again, in another one it is refused."""
    folder = RunFolder(tmp_path / "run")

    def begin() -> None:
        with folder.begun():
            pass

    with folder.begun():
        begin()
        assert "is held by this process" in in_thread(lambda: told(begin))


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        (shutil.rmtree, "was removed, moved or replaced"),
        (lambda out: out.rename(out.with_name("elsewhere")), "was removed, moved or replaced"),
        (lambda out: shutil.rmtree(out / "checkpoints"), "checkpoints was removed"),
        (lambda out: (out / "run.json").unlink(), "run.json was removed"),
        (lambda out: (out / "samples.csv").unlink(), "samples.csv was removed"),
        (
            replaced,
            "was removed, moved or replaced",
        ),
    ],
    ids=["removed", "moved", "checkpoints", "run.json", "samples.csv", "replaced"],
)
def test_a_folder_removed_under_a_training_stops_it(
    tmp_path: Path, remove: Callable[[Path], object], words: str
) -> None:
    """It ends with an error and makes no new folder; the model keeps what it has learned."""
    out = tmp_path / "run"
    model = network()
    trainer = make(model, callbacks=[AfterEpoch(lambda: remove(out))])
    with pytest.raises(CheckpointError, match=words):
        trainer.fit(noise(), epochs=3, out=out)
    if words.startswith("was"):
        assert not out.exists() or [path.name for path in out.iterdir()] == [HELD]
    # The second epoch was learned before there was something to write.
    plain = make(callbacks=[StopsAfter(2)]).fit(noise(), epochs=3)
    assert model.digest() == plain.model.digest()


def test_a_person_s_file_in_a_held_folder_stays(tmp_path: Path) -> None:
    """A start that fails removes what it made and nothing else."""
    out = tmp_path / "a" / "run"

    def write() -> None:
        (out / "notes.txt").write_text("mine")
        power_cut()

    with pytest.raises(RuntimeError):
        make(callbacks=[AtBegin(write)]).fit(noise(), epochs=1, out=out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    shutil.rmtree(out.parent)
    with pytest.raises(RuntimeError):
        make(callbacks=[AtBegin(power_cut)]).fit(noise(), epochs=1, out=out)
    assert not out.parent.exists()


# Being asked to end

ASKED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from isoconv.train import Callback, Interrupted
from tests.train.small import make, network, noise

class Says(Callback):
    def on_epoch_end(self, run, row):
        print("epoch", row["epoch"], flush=True)

try:
    make(callbacks=[Says()]).fit(noise(2000), epochs=10_000, out=sys.argv[1])
except Interrupted as error:
    print(error, error.signal, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_being_asked_to_end_saves(tmp_path: Path, number: Signals) -> None:
    """SIGTERM and a closed terminal save as Ctrl-C does, and the run goes on from there."""
    out = tmp_path / "run"
    root = str(Path(__file__).parents[2])
    # What a test run ignores, as in the background or under nohup, its processes would ignore too.
    usual = "signal.default_int_handler" if number == signal.SIGINT else "signal.SIG_DFL"
    code = f"import signal; signal.signal({int(number)}, {usual})" + ASKED
    with subprocess.Popen(
        [sys.executable, "-c", code, str(out), root], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "epoch 1\n"
        process.send_signal(number)
        try:
            *_, last = process.communicate(timeout=300)[0].splitlines()
        finally:
            process.kill()
        assert process.returncode == 0
    assert last.endswith(f"isoconv resume {out} {int(number)}")
    assert not (out / HELD).exists()
    stand = json.loads((out / "checkpoints" / "last.json").read_text())
    receipt = json.loads((out / "receipt.json").read_text())
    assert f"in epoch {stand['epoch'] + 1} of" in last or f"after epoch {stand['epoch']} of" in last
    assert bool(stand["step"]) == (
        "within" in receipt and receipt["epochs"][-1]["epoch"] == stand["epoch"]
    )


def test_a_verification_that_is_asked_to_end_says_by_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal is told, as of a training."""
    make().fit(noise(), epochs=2, out=tmp_path / "run")
    real = TrainingEngine.steps

    def steps(self: TrainingEngine, first: int, hyper: Array) -> Array:
        signal.raise_signal(signal.SIGTERM)
        return real(self, first, hyper)

    monkeypatch.setattr(TrainingEngine, "steps", steps)
    with pytest.raises(Interrupted, match="no difference up to there") as caught:
        verify(tmp_path / "run", None, noise())
    assert caught.value.signal == signal.SIGTERM
