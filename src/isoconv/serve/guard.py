"""What a request must show before it is answered: the address, the token, a size.

The local page is for the person who started it, on the same machine. Other pages in the same
browser must not read or change it (so the Host and Origin are checked, and a token that they cannot
know), and the page itself loads nothing from anywhere else. The prediction server is for programs
too: on this machine alone the Host and Origin will do, elsewhere it asks for a token in a header,
which no other page can send.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


UNKNOWN = 401
TOO_LARGE = 413
MOST_FIELDS = 20
"""Of an address that is looked at for a token."""
MOST_READ_AWAY = 2**30
LONGEST_READ_AWAY = 30.0
"""Seconds for which a request that is refused may go on to send."""


class _Guard(ABC):
    """Answers what may not be answered with one line, and passes on the rest.

    Args:
        app: what answers the rest.
        port: where the server is; the names in an address that mean this machine go with it.
        token: what a request must know.
        most: bytes that a request may bring.
    """

    def __init__(self, app: App, port: int, token: str, most: int) -> None:
        self._app = app
        self._token = token
        self._most = most
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        fault = self._fault(scope, given)
        if fault is not None:
            if fault[0] == TOO_LARGE:
                await _read_away(receive)
            await _refuse(send, *fault, plain="text/html" in given.get("accept", ""))
            return
        answered = _with_headers(self._answered(scope, send))
        await self._app(scope, _limited(receive, self._most), answered)

    def _answered(self, scope: Scope, send: Send) -> Send:  # noqa: ARG002
        return send

    @abstractmethod
    def _unknown(self, scope: Scope, given: dict[str, str]) -> tuple[int, str] | None:
        """Why it is not known that a request may be answered."""

    def _fault(self, scope: Scope, given: dict[str, str]) -> tuple[int, str] | None:
        fault = self._unknown(scope, given)
        if fault is not None:
            return fault
        try:
            size = int(given.get("content-length", "0"))
        except ValueError:
            return 400, "the length of the request is no number"
        if size > self._most:
            return TOO_LARGE, f"a request may have {self._most:,} bytes; this one has {size:,}"
        return None

    def _from_elsewhere(self, scope: Scope, given: dict[str, str]) -> tuple[int, str] | None:
        if given.get("host", "").lower() not in self._hosts:
            return 403, "this page is for this machine alone, under the address that was printed"
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if any(each.removeprefix("http://").lower() not in self._hosts for each in origins):
            return 403, "another page asked for this; it is for its own page alone"
        return None

    def _same(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())


class PageGuard(_Guard):
    """Lets the local page's own person in: by the address that was printed, then by a cookie."""

    def __init__(self, app: App, port: int, token: str, most: int) -> None:
        super().__init__(app, port, token, most)
        self._cookie = f"isoconv-{port}"

    def _answered(self, scope: Scope, send: Send) -> Send:
        fresh = self._in_address(scope)
        return send if not fresh else _with_cookie(send, self._cookie, self._token)

    def _unknown(self, scope: Scope, given: dict[str, str]) -> tuple[int, str] | None:
        fault = self._from_elsewhere(scope, given)
        if fault is None and not (self._in_address(scope) or self._in_cookie(given)):
            return 403, (
                "the token is missing or another one: open the address that isoconv view printed"
            )
        return fault

    def _in_address(self, scope: Scope) -> bool:
        query = scope.get("query_string", b"")
        if query.count(b"&") >= MOST_FIELDS:
            return False
        return self._same(parse_qs(query.decode("latin-1")).get("token", [""])[0])

    def _in_cookie(self, given: dict[str, str]) -> bool:
        # Cookies know no ports: those of other programs on this machine come along, and what stands
        # in them is often such that a strict parser would give up all.
        for part in given.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._cookie and self._same(value):
                return True
        return False


class ServerGuard(_Guard):
    """Lets programs in: with the token in a header or, where there is none, on this machine alone.

    What stands at `OPEN` holds no secret and is for everybody, so that a page can ask for the token
    and a supervisor need not know it.
    """

    OPEN = ("/", "/health")

    def _unknown(self, scope: Scope, given: dict[str, str]) -> tuple[int, str] | None:
        if not self._token:
            return self._from_elsewhere(scope, given)
        if scope["path"] in self.OPEN or scope["path"].startswith("/web/"):
            return None
        kind, _, token = given.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not self._same(token.strip()):
            return UNKNOWN, (
                "the token is missing or another one: send the header 'Authorization: Bearer "
                "TOKEN' with the token that isoconv serve was given or printed"
            )
        return None


async def _refuse(send: Send, status: int, text: str, *, plain: bool) -> None:
    """Say why: to a person who opened an address in words, to a page's own code as JSON."""
    body = (text + "\n" if plain else json.dumps({"error": text})).encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8" if plain else b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([(b"www-authenticate", b"Bearer")] if status == UNKNOWN else []),
        *HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read_away(receive: Receive) -> None:
    """Let a request bring what it has, and keep nothing: a browser hears no answer before."""
    seen, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_READ_AWAY):
            while more and seen < MOST_READ_AWAY:
                message = await receive()
                seen += len(message.get("body", b""))
                more = message.get("more_body", False)


def _limited(receive: Receive, most: int) -> Receive:
    """A request that brings more than it said, or said nothing, ends where it is too much."""
    seen = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            if message.get("more_body", False):
                await _read_away(receive)
            return {"type": "http.disconnect"}
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS]
        await send(message)

    return guarded


def _with_cookie(send: Send, name: str, token: str) -> Send:
    async def keeping(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            cookie = f"{name}={token}; HttpOnly; SameSite=Strict; Path=/"
            message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
        await send(message)

    return keeping
