"""The local page's server: on this machine alone, with a random token."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from isoconv.errors import MissingExtraError
from isoconv.explain.explorer import Explorer
from isoconv.serve.listening import bound, until_asked
from isoconv.serve.page import application

PORT = 8377
"""The port that is tried first."""


def ready_to_serve() -> None:
    """Complain before anything long begins.

    Raises:
        MissingExtraError: Starlette or uvicorn is not installed.
    """
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(
            "the local page needs Starlette and uvicorn: pip install 'isoconv[view]'; --save FILE "
            "writes a page that needs neither"
        ) from error
    del starlette, uvicorn


def serve(
    explorer: Explorer | None,
    title: str,
    *,
    port: int | None = None,
    ready: Callable[[str, str], Any] | None = None,
) -> None:
    """Serve a page until the process is asked to end.

    Args:
        explorer: what it shows; None for the playground.
        title: of the page.
        port: where; None for a free one.
        ready: called with the address and a note when the page can be opened.

    Raises:
        ArgumentError: the port cannot be opened.
        MissingExtraError: Starlette or uvicorn is not installed.
    """
    ready_to_serve()
    listening = bound("127.0.0.1", port or PORT, free=port is None)
    number = listening.getsockname()[1]
    note = "" if port or number == PORT else f"port {PORT} is in use; this is {number}"
    token = secrets.token_urlsafe(24)
    app = application(explorer, title, number, token)

    def opened() -> None:
        if ready is not None:
            ready(f"http://127.0.0.1:{number}/?token={token}", note)

    until_asked(app, listening, opened, seconds=2)
