"""A server on this machine alone: a free port, a random token, an end by Ctrl-C."""

from __future__ import annotations

import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from isoconv.errors import ArgumentError, MissingExtraError
from isoconv.explain.explorer import Explorer
from isoconv.serve.page import application

__all__ = ["PORT", "bound", "ready_to_serve", "serve"]

PORT = 8377
"""The port that is tried first."""

_WISHES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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


def bound(port: int | None) -> tuple[socket.socket, str]:
    """A socket that listens on this machine alone, and a line if it is not the usual port.

    Args:
        port: which; None for the usual one or, if that is taken, another that is free.

    Raises:
        ArgumentError: the port is taken, or may not be opened.
    """
    for number in (PORT, 0) if port is None else (port,):
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", number))
        except (OSError, OverflowError) as error:
            server.close()
            if port is None and number:
                continue
            reason = getattr(error, "strerror", None) or str(error)
            raise ArgumentError(
                f"port {number} cannot be opened ({reason}): choose another with --port, or leave "
                "it out for a free one",
                argument="port",
                value=number,
            ) from None
        server.listen(64)
        own = server.getsockname()[1]
        return server, "" if number else f"port {PORT} is in use; this is {own}"
    raise ArgumentError("no port is free on this machine")


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
    import uvicorn

    listening, note = bound(port)
    number = listening.getsockname()[1]
    token = secrets.token_urlsafe(24)
    config = uvicorn.Config(
        application(explorer, title, number, token),
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    asked: list[int] = []

    def end(number: int, _: Any) -> None:
        """End when the server next looks; a signal may come before it does so itself."""
        asked.append(number)
        server.should_exit = True

    with listening, _heard(end):
        if ready is not None:
            ready(f"http://127.0.0.1:{number}/?token={token}", note)
        server.run([listening])
    # As a shell expects: a process that was asked to end says by what.
    for wish in asked[:1]:
        signal.raise_signal(wish)


@contextmanager
def _heard(end: Callable[[int, Any], None]) -> Iterator[None]:
    """Within, being asked to end calls a function; in the main thread alone, as Python has it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, end) for each in _WISHES}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
