"""A real Chromium for tests of pages: one browser a session, a fresh document for each test.

Playwright's blocking interface keeps an event loop running in the thread that uses it, in which no
other test could run one of its own. So it lives in a thread of its own, and what tests hold are
proxies: every call is made over there.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.left_out import BROWSER

WEB = Path(__file__).parents[1] / "src/isoconv/explain/web"

ORIGIN = "http://isoconv.test"
"""Where `new_page` serves the files of `explain/web`."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'"
)
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
LOOKS = [
    (1280, False),
    (400, True),
    *(pytest.param(*look, marks=pytest.mark.exhaustive) for look in ((1280, True), (400, False))),
]
"""Widths and whether colours are dark: each of either, and in the exhaustive tests all pairs."""

LOOPBACK = {"127.0.0.1", "localhost", "[::1]", "::1"}


class Remote:
    """An object of Playwright's whose attributes are read and called in the browser's thread."""

    def __init__(self, thread: ThreadPoolExecutor, target: Any) -> None:
        self._thread, self._target = thread, target

    def _back(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._back(one) for one in value]
        if type(value).__module__.startswith("playwright."):
            return Remote(self._thread, value)
        if callable(value):
            return lambda *args, **named: self._call(value, *args, **named)
        return value

    def _call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        plain = [there(one) for one in args]
        named = {name: there(one) for name, one in named.items()}
        return self._back(self._thread.submit(function, *plain, **named).result())

    def __getattr__(self, name: str) -> Any:
        return self._call(getattr, self._target, name)

    def __enter__(self) -> Any:
        return self._call(self._target.__enter__)

    def __exit__(self, *error: object) -> None:
        self._call(self._target.__exit__, *error)


def there(value: Any) -> Any:
    """What the browser's thread is given in place of a proxy."""
    return value._target if isinstance(value, Remote) else value


@pytest.fixture(scope="session")
def browser() -> Iterator[Remote]:
    """Chromium without a window; the test is left out where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip(f"{BROWSER}Python's playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip(f"{BROWSER}no chromium on PATH")
    with ThreadPoolExecutor(1, "browser") as thread, _origin() as port:
        playwright = thread.submit(sync_playwright().start).result()
        # No name but `ORIGIN` leads anywhere. Requests go their own way, as each that is looked at
        # on its way takes longer than its answer, and pages could keep no module.
        here = f"MAP {urlsplit(ORIGIN).hostname} 127.0.0.1:{port}"
        rules = f"{here}, EXCLUDE localhost, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND"
        arguments = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules={rules}"]
        try:
            remote = Remote(thread, playwright)
            chromium = remote.chromium.launch(executable_path=program, args=arguments)
            yield chromium
            chromium.close()
        finally:
            thread.submit(playwright.stop).result()


@pytest.fixture
def new_page(browser: Remote) -> Iterator[Callable[..., Remote]]:
    """Opens pages: ``new_page(width=1280, height=720, dark=False, **context)``.

    Pages of `explain/web` are at `ORIGIN`; this machine's own servers and files are let through.
    The test fails if a page asked for anything else, wrote an error to its console or threw one.
    """
    pages: list[Remote] = []
    faults: list[str] = []

    def opened(width: int = 1280, height: int = 720, *, dark: bool = False, **more: Any) -> Remote:
        colours = "dark" if dark else "light"
        size = {"width": width, "height": height}
        pages.append(_open(browser, faults, viewport=size, color_scheme=colours, **more))
        return pages[-1]

    yield opened
    for page in pages:
        page.context.close()
    assert not faults, faults


class Kept:
    """One page that tests have after each other, each with a new document in it."""

    def __init__(self, browser: Remote) -> None:
        self._browser = browser
        self._page: Remote | None = None
        self.faults: list[str] = []

    def give(self) -> Remote:
        """The page at 1280 × 720, in light colours, with an empty document of `ORIGIN`."""
        page = self._page or self._empty(_open(self._browser, self.faults))
        # Only a test that takes it back whole leaves it to the next one.
        self._page = None
        page.set_viewport_size({"width": 1280, "height": 720})
        page.emulate_media(color_scheme="light")
        page.evaluate("localStorage.clear()")
        return page

    @staticmethod
    def _empty(page: Remote) -> Remote:
        page.goto(f"{ORIGIN}/")
        return page

    def take_back(self, page: Remote) -> list[str]:
        """What was wrong with it since it was given; its document ends here."""
        self._empty(page)
        found = list(self.faults)
        self.faults.clear()
        self._page = page
        return found


@pytest.fixture(scope="session")
def kept(browser: Remote) -> Kept:
    """The page of all tests that ask for `page`; it is closed with the browser."""
    return Kept(browser)


@pytest.fixture
def page(kept: Kept) -> Iterator[Remote]:
    """One page with an empty document of `ORIGIN`, where modules can be imported; see `new_page`.

    Tests that leave nothing but a document behind take this one: a page of their own costs half a
    second.
    """
    given = kept.give()
    yield given
    faults = kept.take_back(given)
    assert not faults, faults


def _open(browser: Remote, faults: list[str], **settings: Any) -> Remote:
    """A page in a context of its own that notes its faults."""
    context = browser.new_context(**settings)
    context.set_default_timeout(20_000)
    context.on("request", lambda request: _see(request.url, faults))
    context.on("response", lambda response: _judge(response, faults))
    page: Remote = context.new_page()
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda said: _hear(said, faults))
    return page


def _hear(said: Any, faults: list[str]) -> None:
    # A test's server may end while its page still asks for more.
    if said.type in ("error", "warning") and "ERR_CONNECTION_REFUSED" not in said.text:
        faults.append(f"console: {said.text}")


def _see(url: str, faults: list[str]) -> None:
    address = urlsplit(url)
    if address.hostname in {*LOOPBACK, urlsplit(ORIGIN).hostname}:
        return
    if address.scheme not in ("file", "data", "blob", "about"):
        faults.append(f"a request left the machine: {url}")


def _judge(response: Any, faults: list[str]) -> None:
    if response.url.startswith(ORIGIN) and response.status == 404:
        faults.append(f"not there: {urlsplit(response.url).path}")


class _Files(BaseHTTPRequestHandler):
    """An empty document, and the files of `explain/web`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a file; a browser may keep it, as no file changes while tests run."""
        name = urlsplit(self.path).path.lstrip("/")
        file = WEB / name
        kind, content, status = "text/html", b"<!doctype html><title>isoconv</title>", 200
        if name == "favicon.ico":
            content, status = b"", 204
        elif name:
            there = file.is_file() and file.parent == WEB
            kind = TYPES.get(file.suffix, "application/octet-stream")
            content, status = (file.read_bytes(), 200) if there else (b"", 404)
        self.send_response(status)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.send_header("cache-control", "max-age=3600")
        if name:
            self.send_header("content-security-policy", POLICY)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


@contextmanager
def _origin() -> Iterator[int]:
    """The port at which the files of `ORIGIN` are served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


# -- accessibility ---------------------------------------------------------------------------


def accessibility_faults(page: Remote) -> list[str]:
    """What axe-core finds wrong with a page as it is: the rule, how bad it is, and where."""
    package = pytest.importorskip("axe_playwright_python", reason=f"{BROWSER}no axe-core")
    source = (Path(package.__file__).parent / "axe.min.js").read_text("utf-8")
    page.evaluate(source)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {node['html'][:120]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]
