"""The guard by itself: a request that is refused is not waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from isoconv.serve import guard


def test_who_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it has much, sends a little, and stays: it is told so all the same."""
    monkeypatch.setattr(guard, "LONGEST_READ_AWAY", 0.05)
    pieces = [{"type": "http.request", "body": b"x", "more_body": True}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if not pieces:
            await asyncio.sleep(60)
        return pieces.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def app(*_: Any) -> None:
        pytest.fail("it was let through")

    headers = [(b"host", b"localhost:80"), (b"content-length", b"1000")]
    scope = {"type": "http", "path": "/predict", "headers": headers}
    asked = guard.ServerGuard(app, 80, "", 100)(scope, receive, send)
    asyncio.run(asyncio.wait_for(asked, 10))
    assert sent[0]["status"] == 413
    assert not pieces
