"""The addresses of the local page: the page, its modules, a description, arrays, questions."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from isoconv.errors import IsoconvError
from isoconv.explain.bundle import names, source
from isoconv.explain.explorer import MOST_BYTES, Explorer, StaleSceneError
from isoconv.printable import printable
from isoconv.serve.guard import PageGuard

KINDS = {"js": "text/javascript", "css": "text/css"}
"""What a page loads of ``web/``, by the ending."""


def application(explorer: Explorer | None, title: str, port: int, token: str) -> Any:
    """The page as an ASGI application.

    Args:
        explorer: what it shows; None for the playground.
        title: of the page.
        port: where it is served.
        token: what a request must know.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def index(_: Request) -> Response:
        return Response(_index(title, explorer is None), media_type="text/html")

    async def web(request: Request) -> Response:
        name = request.path_params["name"]
        kind = KINDS.get(name.rpartition(".")[2])
        if kind is None or name not in names():
            return _fault(404, f"the page has no file {name!r:.80}")
        return Response(source(name), media_type=kind)

    async def description(_: Request) -> Response:
        if explorer is None:
            return _fault(404, "this page is the playground: it has no network")
        return await told(explorer.description)

    async def array(request: Request) -> Response:
        if explorer is None:
            return _fault(404, "this page is the playground: it has no network")
        given = request.path_params["scene"], request.path_params["index"]
        if not all(each.isascii() and each.isdecimal() and len(each) < 10 for each in given):
            return _fault(404, "an array has the number of its scene and its own")
        try:
            content = await run_in_threadpool(explorer.array, int(given[0]), int(given[1]))
        except IsoconvError as error:
            return _fault(409, str(error))
        return Response(content, media_type="application/octet-stream")

    async def ask(request: Request) -> Response:
        if explorer is None:
            return _fault(404, "this page is the playground: it has no network")
        try:
            arguments = json.loads(await request.body() or b"{}")
        except (ValueError, RecursionError):
            return _fault(400, "a question is written as JSON")
        except ClientDisconnect:
            return _fault(413, f"a request may have {MOST_BYTES:,} bytes")
        return await told(explorer.ask, request.path_params["what"], arguments)

    async def show(request: Request) -> Response:
        if explorer is None:
            return _fault(404, "this page is the playground: it has no network")
        try:
            content = await request.body()
        except ClientDisconnect:
            return _fault(413, f"a request may have {MOST_BYTES:,} bytes")
        return await told(explorer.show_file, content, request.query_params.get("name", "")[:200])

    async def told(function: Any, *arguments: Any) -> Response:
        try:
            found = json.dumps(await run_in_threadpool(function, *arguments), allow_nan=False)
            # In ASCII, so that a name that is no text stops nobody.
            return Response(found, media_type="application/json")
        except StaleSceneError as error:
            return _fault(409, str(error))
        except IsoconvError as error:
            return _fault(400, str(error))

    def _fault(status: int, text: str) -> Response:
        # After a fault of our own the server gives the line up; said, nobody asks on it again.
        ending = {"connection": "close"} if status == 500 else None
        return JSONResponse({"error": text}, status_code=status, headers=ending)

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/web/{name}", web),
            Route("/description", description),
            Route("/array/{scene}/{index}", array),
            Route("/ask/{what}", ask, methods=["POST"]),
            Route("/show", show, methods=["POST"]),
        ],
        exception_handlers={
            404: lambda *_: _fault(404, "the page has nothing at this address"),
            405: lambda *_: _fault(405, "this address takes another method"),
            500: lambda *_: _fault(500, "isoconv failed here; the terminal it runs in says how"),
        },
    )
    return PageGuard(app, port, token, MOST_BYTES)


def _index(title: str, playground: bool) -> str:
    """The page: a root to draw into, the style sheets, and the module that draws."""
    start = "playground-page.js" if playground else "explorer-page.js"
    own = "playground.css" if playground else "explorer.css"
    sheets = "".join(f'<link rel="stylesheet" href="/web/{name}">\n' for name in ("style.css", own))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(printable(title))}</title>\n{sheets}"
        f'<script type="module" src="/web/{start}"></script>\n</head>\n'
        '<body class="isoconv-page">\n'
        '<main id="isoconv-root" class="isoconv"></main>\n'
        "<noscript>This page draws with JavaScript, from this machine alone.</noscript>\n"
        "</body>\n</html>\n"
    )
