"""What holds for all tests: the result of every pass over a graph is checked, Ctrl-C is heard."""

from __future__ import annotations

import signal

from isoconv.graph.passes import check_passes


def pytest_configure() -> None:
    """Before any test is collected, as some graphs are made then."""
    check_passes(True)
    # What a shell starts in the background ignores Ctrl-C, and so would all that is started here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
