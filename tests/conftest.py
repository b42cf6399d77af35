"""What holds for all tests: the result of every pass over a graph is checked."""

from __future__ import annotations

from isoconv.graph.passes import check_passes


def pytest_configure() -> None:
    """Before any test is collected, as some graphs are made then."""
    check_passes(True)
