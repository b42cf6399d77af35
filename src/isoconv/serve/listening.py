"""A socket that listens, and a server on it until the process is asked to end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from isoconv.errors import ArgumentError

_WISHES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def bound(host: str, port: int, *, free: bool = False) -> socket.socket:
    """A socket that listens.

    Args:
        host: the address or the name of one of this machine's networks.
        port: which; 0 for any that is free.
        free: another that is free if the port is taken.

    Raises:
        ArgumentError: there is no such address here, or the port is taken or may not be opened.
    """
    try:
        kind = socket.SOCK_STREAM
        family, _, _, _, place = socket.getaddrinfo(host, port, type=kind)[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ArgumentError(
            f"--host must be an address of this machine; got {host!r} ({reason})",
            argument="host",
            value=host,
        ) from None
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(place)
    except OSError as error:
        server.close()
        if free and port:
            return bound(host, 0)
        reason = error.strerror or str(error)
        raise ArgumentError(
            f"port {port} cannot be opened ({reason}): choose another with --port",
            argument="port",
            value=port,
        ) from None
    server.listen(64)
    return server


def until_asked(
    app: Any,
    listening: socket.socket,
    ready: Callable[[], None],
    *,
    seconds: float,
    connections: int | None = None,
) -> None:
    """Serve an ASGI application until the process is asked to end; then what is under way ends.

    Args:
        app: the application.
        listening: from `bound`; closed in the end.
        ready: called when requests can come.
        seconds: for which the end waits for requests that are under way.
        connections: at most; None for any number.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="auto",
        timeout_graceful_shutdown=seconds,
        limit_concurrency=connections,
    )
    server = uvicorn.Server(config)
    asked: list[int] = []

    def end(number: int, _: Any) -> None:
        """End when the server next looks; a signal may come before it does so itself."""
        asked.append(number)
        server.should_exit = True

    with listening, _heard(end):
        ready()
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
