"""What holds for all tests: passes are checked, Ctrl-C is heard, pictures are cached apart.

Tests of pages find their browser here, and what was left out for want of one is said at the end.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.browser import browser, kept, left_out, new_page, page

from isoconv.compile.native import worker
from isoconv.data import cache
from isoconv.graph.passes import check_passes

__all__ = ["browser", "kept", "new_page", "page"]


def _nothing(fd: object) -> None:
    pass


def pytest_configure() -> None:
    """Before any test is collected, as some graphs are made then."""
    check_passes(True)
    # Loss of power is what no test makes, and each file would wait for the disk.
    os.fsync = _nothing
    # All cores have tests to run: processes that help to compile would cost their start alone.
    worker._MOST = 0
    # What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_pictures(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of decoded pictures of all tests; processes that they start have the user's own."""
    folder = tmp_path_factory.getbasetemp() / "cache-of-pictures"
    monkeypatch.setattr(cache, "default_folder", lambda: folder)
    return folder


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line that says which tests had no browser, and why."""
    line = left_out(terminalreporter.stats.get("skipped", []))
    if line is not None:
        terminalreporter.write_line(line, yellow=True)
