"""Pieces of work: the same results from any number of processes, which all end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.processes import gone
from tests.run.piece_work import Sums, Trouble

from isoconv import memory
from isoconv.compile.native.interpreter import Interpreter
from isoconv.errors import ArgumentError, TrainingError
from isoconv.run import piece_worker, pieces
from isoconv.run.pieces import InTurn, Processes, mapper_for, threads_for
from isoconv.wording import spoken_on_the_command_line


@pytest.mark.parametrize("shared", [True, False], ids=["in a file", "through pipes"])
def test_processes_give_what_one_gives(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results, what is told and warned, large arrays, and what is around: all as it is here."""
    if not shared:
        monkeypatch.setattr(pieces._Parcel, "_write", lambda _: None)
    rows = np.arange(80_000).reshape(8, 10_000)
    fixed = np.zeros(50_000)
    fixed.flags.writeable = False
    before = rows.copy()
    told: list[Any] = []
    monkeypatch.setattr(memory, "_limit", 3 << 33)
    work = Processes(2).map(Sums(rows, fixed), range(7), lambda *what: told.append(what))
    warned = pytest.warns(UserWarning, match="of piece 0")
    with spoken_on_the_command_line({"seed": "--seed"}), warned:
        found = dict(work)
    wanted = {piece: int(before[piece + 1].sum()) for piece in range(7)}
    assert {piece: result for piece, (result, _) in found.items()} == wanted
    assert sorted(told) == [(piece, ("begins", piece)) for piece in range(7)]
    assert (rows == before).all()
    around = [seen for _, seen in found.values()]
    assert len({seen.pop("process") for seen in around} - {os.getpid()}) == 2
    assert {str(seen) for seen in around} == {
        str(
            {
                "writeable": (True, False), "passes": True, "memory": 1 << 33, "words": "--seed 3",
            }
        )
    }  # fmt: skip
    here: list[Any] = []
    alone = InTurn().map(Sums(rows, fixed), range(7), lambda *what: here.append(what))
    with pytest.warns(UserWarning, match="of piece 0"):
        found = dict(alone)
    assert {piece: result for piece, (result, _) in found.items()} == wanted
    assert here == sorted(told)


@pytest.mark.parametrize(
    ("piece", "kind", "said"),
    [
        ("fails", ArgumentError, "rate must be below 1"),
        ("breaks", ZeroDivisionError, "raise ZeroDivisionError"),
        ("dies", TrainingError, "a process that worked on dies was ended by SIGKILL, as by a sys"),
    ],
)
def test_what_goes_wrong_is_raised_here(
    piece: str, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    """An error, a fault with its traceback, or a death; the others are asked to end, and do."""
    processes: list[Any] = []

    def told(_: str, number: int) -> None:
        processes.append(number)
        if len(processes) == 2:
            # What one says may be heard after what another said later.
            (tmp_path / "all told").touch()

    work = Processes(2).map(Trouble(tmp_path), ["stays", piece, "after"], told)
    with pytest.raises(kind, match=said) as caught:
        list(work)
    if piece == "breaks":
        assert "piece_work.py" in "".join(caught.value.__notes__)
    assert len(processes) == 2
    assert all(map(gone, processes))
    (saved,) = tmp_path.glob("saved-*")
    assert int(saved.name.partition("-")[2]) in processes


def test_pieces_are_taken_when_somebody_is_free(tmp_path: Path) -> None:
    """None is taken before the result ahead of it was looked at; closing ends all."""
    taken: list[str] = []
    processes: list[Any] = []

    def some() -> Any:
        for piece in ("a", "b", "c", "stays", "d"):
            taken.append(piece)
            yield piece

    work = Processes(1).map(Trouble(tmp_path), some(), lambda _, what: processes.append(what))
    with closing(work):
        assert next(work) == ("a", "a")
        assert taken == ["a"]
        assert next(work) == ("b", "b")
        assert taken == ["a", "b"]
    assert len(set(processes)) == 1
    assert gone(processes[0])
    assert not list(Processes(3).map(Trouble(tmp_path), []))


def test_what_cannot_be_sent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of no module, a class of the program that runs, no Python to start."""
    with pytest.raises(ArgumentError, match=r"workers must be 1 for what cannot be sent to anoth"):
        list(Processes(2).map(lambda piece, _: piece, [1]))
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        from isoconv.run.pieces import Processes
        class Own:
            def __call__(self, piece, tell):
                return piece
        print("once")
        try:
            list(Processes(2).map(Own(), [1, 2]))
        except Exception as error:
            print(error)
        """)
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(program)], env=place, capture_output=True, text=True, check=True
    )
    once, said = done.stdout.splitlines()
    assert once == "once"
    assert said.startswith("workers must be 1 for what another process cannot import (Can't get")
    assert done.stderr == ""
    with pytest.raises(ArgumentError, match="workers must be"):
        mapper_for(0)
    assert isinstance(mapper_for(1), InTurn)
    assert (threads_for(10_000, None), threads_for(2, 5)) == (1, 5)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ArgumentError, match="no other Python can be started"):
        list(Processes(2).map(Trouble(tmp_path), ["a"]))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_ctrl_c_is_not_for_them(capfd: pytest.CaptureFixture[str]) -> None:
    """Whenever it comes, from their first instruction on: they say nothing, and end when asked."""
    for pause in (0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.2):
        python = Interpreter(piece_worker.__name__)
        assert python._process is not None
        time.sleep(pause)
        python._process.send_signal(signal.SIGINT)
        python.end_input()
        assert python.wait(60) == 0
        python.close_pipes()
    assert capfd.readouterr().err == ""
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize(
    ("name", "forks"),
    [("SIGKILL", ""), ("SIGINT", ""), ("SIGKILL", "os.fork()"),
     ("SIGKILL", "ctypes.CDLL(None).fork()")],
)  # fmt: skip
def test_processes_end_with_their_parent(name: str, forks: str, tmp_path: Path) -> None:
    """Killed or interrupted: all have the time to save what they are at, and are gone.

    So it is where a child of the parent lives on, with its pipes: forked by Python or without it.
    """
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
        import ctypes, os, time
        from pathlib import Path
        from isoconv.run.pieces import Processes
        from tests.run.piece_work import Trouble
        begun = []
        def told(piece, process):
            begun.append(process)
            if len(begun) == 2:
                child = {forks or None}
                if child == 0:
                    os.close(1)
                    os.close(2)
                    time.sleep(60)
                    os._exit(0)
                print(*begun, child or 0, flush=True)
        list(Processes(2).map(Trouble(Path({str(tmp_path)!r})), ["stays", "stays"], told))
        """)
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(program)], env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        *processes, child = map(int, parent.stdout.readline().split())
        parent.send_signal(signal.Signals[name])
        _, said = parent.communicate()
    assert all(map(gone, processes))
    if child:
        os.kill(child, signal.SIGKILL)
    assert {path.name for path in tmp_path.glob("saved-*")} == {f"saved-{one}" for one in processes}
    assert said.count("KeyboardInterrupt") == (name == "SIGINT")
