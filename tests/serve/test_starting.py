"""What `isoconv view` needs before it serves: its packages, a port, a place to show a page."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.cli.command import fail
from tests.explain.explorers import served

from isoconv import nn
from isoconv.cli import view
from isoconv.explain.explorer import Explorer


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_package(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before a run is read, with what installs it and what needs it not."""
    monkeypatch.setitem(sys.modules, missing, None)
    error = fail("view", "nowhere", "--no-open")
    assert "pip install 'isoconv[view]'" in error
    assert "--save FILE" in error


def test_a_browser_is_opened_where_there_is_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one the address is opened; without, nothing is, and not the terminal's own browser."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("BROWSER", raising=False)
    assert not view._open("http://127.0.0.1:1/")
    assert opened == []
    for name in ("WAYLAND_DISPLAY", "DISPLAY", "BROWSER"):
        monkeypatch.setenv(name, "one")
        assert view._open("http://127.0.0.1:1/")
        monkeypatch.delenv(name)
    assert opened == ["http://127.0.0.1:1/"] * 3


def explorer() -> Explorer:
    """A small one."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((5, 5, 1))
    return Explorer(model, np.ones((5, 5, 1), np.float32), 0, title="small")


@pytest.mark.slow
def test_two_browsers_and_a_reload(new_page: Any) -> None:
    """The token leaves the address and stays in a cookie: a reload works, another browser needs it.

    What one browser shows next is what the other sees when it is opened again.
    """
    with served(explorer()) as address:
        first, second = new_page(), new_page()
        first.goto(address)
        first.locator(".cell[aria-busy=false]").wait_for()
        assert "token" not in first.url
        first.reload()
        first.locator(".cell[aria-busy=false]").wait_for()
        told = second.request.get(first.url.partition("#")[0])
        assert told.status == 403
        second.goto(address)
        second.locator(".cell[aria-busy=false]").wait_for()
        assert first.locator(".cell > h2").inner_text() == second.locator(".cell > h2").inner_text()


def test_a_failure_of_our_own_is_told(new_page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A page hears in a line that something failed; the terminal says how."""

    def failing(_: Mapping[str, Any]) -> None:
        raise ZeroDivisionError("a fault of our own")

    shown = explorer()
    shown.add_action("failing", failing)
    with served(shown) as address:
        page = new_page()
        page.goto(address)
        answer = page.request.post(address.replace("/?", "/ask/failing?"), data="{}")
        assert answer.status == 500
        assert answer.json()["error"] == "isoconv failed here; the terminal it runs in says how"
        assert page.request.get(address.replace("/?", "/description?")).status == 200
