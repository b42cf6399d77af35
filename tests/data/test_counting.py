"""How far reading has come: a bar on a terminal, a line elsewhere, and nothing of short work."""

from __future__ import annotations

import io
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console
from tests.data.photographs import write_photographs

from isoconv.data import counting, load, load_splits
from isoconv.data.counting import Counting
from isoconv.data.messages import native_caught
from isoconv.errors import ArgumentError


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    """A place to show things in, and what is shown there."""
    shown = io.StringIO()
    return Console(file=shown, force_terminal=terminal, width=100), shown


def test_a_bar_with_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and pictures are counted, with rate and time left, and the bar goes away."""
    write_photographs(tmp_path, 40, (50, 70))
    monkeypatch.setattr(counting, "_PATIENCE", 0)
    monkeypatch.setattr(counting, "_REDRAW", 0)
    for call in (load, load_splits):
        where, shown = console(terminal=True)
        call(tmp_path, size=20, cache=False, progress=where)
        said = shown.getvalue()
        for what in ("looking at pictures", "reading pictures", "7/40", "40/40", "/s", "0:00 left"):
            assert what in said
        # The cursor is back, and the line is empty.
        assert said.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


@pytest.mark.parametrize("terminal", [True, False])
def test_short_work_is_not_told(tmp_path: Path, terminal: bool) -> None:
    """Nor is any with progress=False."""
    write_photographs(tmp_path, 4, (50, 70))
    where, shown = console(terminal)
    load(tmp_path, progress=where)
    assert not shown.getvalue()


def test_long_work_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gets one line in the end; silence stays silence, and what was broken off is not told."""
    monkeypatch.setattr(counting, "_LONG", 0)
    monkeypatch.setattr(counting, "_PATIENCE", 0)
    where, shown = console(terminal=False)
    for progress in (where, False):
        with Counting(progress).of("reading", 1200) as step:
            for _ in range(1200):
                step()
    with suppress(KeyError), Counting(where).of("reading", 3) as step:
        step()
        raise KeyError
    assert shown.getvalue() == "reading 1,200 pictures took 0 s\n"
    assert capsys.readouterr() == ("", "")


def test_the_bar_does_not_get_into_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """While standard error is listened to for a decoder, nothing is drawn."""
    monkeypatch.setattr(counting, "_PATIENCE", 0)
    monkeypatch.setattr(counting, "_REDRAW", 0)
    where, shown = console(terminal=True)
    listening, drawn = threading.Event(), threading.Event()

    def decode() -> None:
        with native_caught():
            listening.set()
            drawn.wait(30)

    decoder = threading.Thread(target=decode)
    decoder.start()
    listening.wait(30)
    with Counting(where).of("reading", 3) as step:
        step()
        assert not shown.getvalue()
        drawn.set()
        decoder.join()
        time.sleep(0.01)
        step()
        assert "2/3" in shown.getvalue()


@pytest.mark.parametrize("progress", [1, None, "yes"])
def test_other_values_are_refused(tmp_path: Path, progress: object) -> None:
    """True, False or a Console."""
    with pytest.raises(ArgumentError, match="progress must be True or False; got"):
        load(tmp_path, progress=progress)  # type: ignore[arg-type]
