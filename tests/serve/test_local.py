"""The local page as a process: its address, its guards, its answers, its end."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import fail

from isoconv import nn
from isoconv.explain.explorer import MOST_BYTES
from isoconv.serve.local import PORT


@dataclass
class Served:
    """A page that is served, and how to ask it."""

    process: subprocess.Popen[str]
    port: int
    token: str
    said: list[str]

    def end(self) -> None:
        """Ask the process to end, and wait for it."""
        self.process.terminate()
        self.process.communicate(timeout=20)

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request with the right token in a cookie, unless headers say otherwise."""
        given = {"Cookie": f"isoconv-{self.port}={self.token}", "Host": f"127.0.0.1:{self.port}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if body is not None:
            given.setdefault("Content-Length", str(len(body)))
        for name, value in given.items():
            if value:
                line.putheader(name, value)
        line.endheaders()
        if body is not None:
            line.send(body)
        answer = line.getresponse()
        content = answer.read()
        line.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content


def start(*words: str) -> Served:
    """Start `isoconv view` and wait for its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "isoconv", "view", *words, "--no-open"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.strip())
        found = re.fullmatch(r"open http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)", line.strip())
        if found:
            return Served(process, int(found[1]), found[2], said)
    raise AssertionError("\n".join(said))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    file = tmp_path_factory.mktemp("view") / "model.safetensors"
    built = nn.Sequential(
        nn.Conv2d(3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4)
    )
    built.build((8, 8, 1), seed=3).save(file)
    return file


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Served]:
    """A page of that model."""
    found = start(str(model))
    yield found
    found.end()


def test_the_page_and_what_it_loads(served: Served) -> None:
    """Page, modules and style sheets; nothing of it names an address elsewhere."""
    status, headers, content = served.ask(f"/?token={served.token}", Cookie="")
    assert status == 200
    assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    for name in re.findall(rb'(?:src|href)="(/web/[^"]+)"', content):
        status, headers, text = served.ask(name.decode())
        assert status == 200
        kind = "css" if name.endswith(b".css") else "javascript"
        assert kind in headers["content-type"]
        for imported in re.findall(rb'from "\./([\w-]+\.js)"', text):
            assert served.ask(f"/web/{imported.decode()}")[0] == 200


def test_arrays_are_the_model_s(served: Served, model: Path) -> None:
    """A weight comes as its bytes, whatever the scene."""
    told = json.loads(served.ask("/description")[2])
    assert told["format"] == "isoconv-scene"
    assert told["version"] == 1
    index = told["parameters"]["0.weight"]
    status, _, content = served.ask(f"/array/{told['scene']}/{index}")
    from isoconv.train import load

    assert status == 200
    assert content == load(model).weights["0.weight"].tobytes()
    status, _, content = served.ask(f"/array/{told['scene'] + 7}/{index}")
    assert status == 409
    assert b"no longer shown" in content


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Cookie": ""}, "open the address that isoconv view printed"),
        ({"Cookie": "isoconv-1=x"}, "open the address that isoconv view printed"),
        ({"Host": "evil.example"}, "for this machine alone"),
        ({"Host": "127.0.0.1:1"}, "for this machine alone"),
        ({"Origin": "http://evil.example"}, "another page asked for this"),
        ({"Origin": "null"}, "another page asked for this"),
    ],
)
def test_strangers_are_refused(served: Served, headers: dict[str, str], text: str) -> None:
    """A wrong token, another Host, another page's request: one line, and nothing else."""
    for path in ("/", "/description", "/web/style.css", "/array/1/1"):
        status, sent, content = served.ask(path, "GET", None, **headers)
        assert status == 403
        assert text in json.loads(content)["error"]
        assert "set-cookie" not in sent


@pytest.mark.parametrize(
    "path",
    [
        "/web/../explorer.py", "/web/%2e%2e/explorer.py", "/web/..%2fexplorer.py", "/web/%00",
        "/web//etc/passwd", "/array/1/" + "9" * 5000, "/array/1/-1", "/array/1/%D9%A3",
        "/web/float32.js/..", "/../../etc/passwd", "/array/x/y", "/nothing",
        "/array/1/99999999999999999999999999", "/web/playground.html",
    ],
)  # fmt: skip
def test_paths_lead_nowhere_else(served: Served, path: str) -> None:
    """No path of a request opens a file of the machine."""
    status, _, content = served.ask(path)
    assert status in (404, 409)
    assert "error" in json.loads(content)


def test_a_refusal_is_read_by_people_too(served: Served) -> None:
    """Who opens an address without its token reads a line of text, not JSON."""
    status, headers, content = served.ask("/", Cookie="", Accept="text/html,*/*")
    assert status == 403
    assert headers["content-type"].startswith("text/plain")
    assert content.decode().startswith("the token is missing or another one: open the address")


def test_cookies_of_other_programs(served: Served) -> None:
    """Cookies know no ports: those that others on this machine set may hold anything."""
    own = f"isoconv-{served.port}={served.token}"
    for other in ('seen={"a": [1, 2]}', '_xsrf=2|5|x; name="2|1:0|10:1"', "=; ;;", "a b=ü"):
        for cookie in (f"{other}; {own}", f"{own};{other}"):
            assert served.ask("/description", Cookie=cookie)[0] == 200, cookie
    for wrong in (f"x{own}", f"{own}x", f"isoconv-{served.port}=", f"isoconv-{served.port}"):
        assert served.ask("/description", Cookie=wrong)[0] == 403, wrong


def test_methods(served: Served) -> None:
    """Only what an address is for: no question by GET, which any link would ask."""
    for path, method in (("/ask/label", "GET"), ("/show", "GET"), ("/", "POST"), ("/", "PUT"),
                         ("/description", "DELETE"), ("/array/1/1", "POST")):  # fmt: skip
        status, _, content = served.ask(path, method)
        assert status == 405, (path, method)
        assert "another method" in json.loads(content)["error"]


def test_two_at_once(served: Served) -> None:
    """While one asks for much, another's page loads; each gets what it asked for."""
    with ThreadPoolExecutor(12) as pool:
        told = [pool.submit(served.ask, "/show?name=a", "POST", png()) for _ in range(6)]
        files = [pool.submit(served.ask, "/web/style.css") for _ in range(24)]
        scenes = [json.loads(each.result()[2])["scene"] for each in told]
        texts = {each.result()[2] for each in files}
    assert len(set(scenes)) == 6
    assert len(texts) == 1


def png(side: int = 8, mode: str = "L") -> bytes:
    """A small picture."""
    pixels = np.arange(side * side, dtype=np.uint8).reshape(side, side)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.slow
def test_uploads(served: Served) -> None:
    """A picture is shown; what is none, or too large, is refused in a line, and nothing is lost."""
    status, _, content = served.ask("/show?name=five.png", "POST", png())
    told = json.loads(content)
    assert status == 200, told
    assert told["image"]["name"] == "five.png"
    huge = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(huge, "PNG")
    assert len(huge.getvalue()) < 2**18
    for body, status, text in (
        (b"no picture at all", 400, "x.png: not a whole image"),
        (b"", 400, "x.png: empty (0 bytes)"),
        (png()[:40], 400, "x.png: not a whole image"),
        (huge.getvalue(), 400, "x.png: not a whole image: Image size (900000000 pixels)"),
        (b"x" * (MOST_BYTES + 5000), 413, f"{MOST_BYTES:,} bytes"),
    ):
        found, _, content = served.ask("/show?name=x.png", "POST", body)
        assert found == status, content
        assert b"/tmp" not in content
        error = json.loads(content)["error"]
        assert text in error
        assert "\n" not in error
    assert json.loads(served.ask("/description")[2])["scene"] == told["scene"]


def test_an_upload_that_hides_its_length(served: Served) -> None:
    """Without a length nothing is kept beyond what is too much, and it hears so at its end."""
    line = socket.create_connection(("127.0.0.1", served.port), timeout=60)
    head = (
        f"POST /show HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"Cookie: isoconv-{served.port}={served.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    line.sendall(head.encode())
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    for _ in range(40):
        line.sendall(piece)
    line.sendall(b"0\r\n\r\n")
    assert line.recv(4096).startswith(b"HTTP/1.1 413")
    line.close()
    assert served.ask("/description")[0] == 200


@pytest.mark.parametrize(
    ("what", "body", "text"),
    [
        ("nothing", b"{}", "a page may ask for"),
        ("label", b"[1]", "named arguments"),
        ("label", b"{", "JSON"),
        ("label", b"[" * 100_000, "JSON"),
        ("label", b'{"label": 99}', "a class lies in 0"),
        ("label", b'{"label": "x"}', "a class lies in 0"),
        ("label", b'{"label": true}', "a class lies in 0"),
        ("explain", b'{"layer": "nope", "place": []}', "no layer is called"),
        ("explain", b'{"layer": "0", "place": [0, 99, 0]}', "lies? inside|lie inside"),
        ("explain", b'{"layer": 3}', "a layer's name"),
        ("terms", b'{"node": -1, "place": []}', "a node lies in 0"),
        ("terms", b'{"node": 4, "place": [1e99]}', "a place|given, not computed"),
        ("draw", b'{"pixels": "????"}', "base64"),
        ("draw", b'{"pixels": "AAAA"}', "a drawing has a byte for each"),
    ],
)
def test_bad_questions(served: Served, what: str, body: bytes, text: str) -> None:
    """Each bad argument is told in a line."""
    status, _, content = served.ask(f"/ask/{what}", "POST", body)
    assert status == 400
    error = json.loads(content)["error"]
    assert re.search(text, error), error
    assert "\n" not in error


@pytest.mark.slow
def test_a_port_in_use(model: Path) -> None:
    """Asked for, it is told; not asked for, another is taken and said."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "isoconv", "view", str(model), "--no-open", "--port", str(port)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"port {port} cannot be opened" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked(model: Path, number: int) -> None:
    """Ctrl-C and SIGTERM end it within seconds, without a traceback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # A port that no other page takes when this one has left it.
    found = start(str(model), "--port", port)
    os.kill(found.process.pid, number)
    rest, _ = found.process.communicate(timeout=20)
    assert "Traceback" not in rest
    assert "never awaited" not in rest
    assert found.process.returncode in (0, 130, 143, -number)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", found.port), timeout=5)


@pytest.mark.slow
def test_the_usual_port_in_use(model: Path) -> None:
    """Another one is taken, and that is said."""
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # in use already is as good
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        found = start(str(model))
    found.end()
    assert found.port != PORT
    assert f"port {PORT} is in use; this is {found.port}" in found.said


@pytest.mark.slow
def test_the_playground_needs_no_model() -> None:
    """Without a run there is the playground, and no network to ask for."""
    found = start()
    try:
        assert found.ask("/")[0] == 200
        status, _, content = found.ask("/description")
        assert status == 404
        assert "playground" in json.loads(content)["error"]
        # Its own looks and no others: two style sheets have rules for the same names.
        sheets = re.findall(r'href="/web/([\w.]+css)"', found.ask("/")[2].decode())
        assert sheets == ["style.css", "playground.css"]
    finally:
        found.end()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nowhere",), "there is no run and no saved model"),
        (("MODEL", "--image", "nowhere.png"), "nowhere.png"),
        (("MODEL", "--label", "cat"), "no class is called 'cat'"),
        (("--image", "x.png"), "name a run folder or a model"),
        (("MODEL", "--port", "99999"), "--port"),
    ],
)
def test_bad_words(model: Path, words: tuple[str, ...], text: str) -> None:
    """A wrong path, picture, class or port: one line, exit code 2."""
    given = [str(model) if word == "MODEL" else word for word in words]
    assert text in fail("view", "--no-open", *given)
