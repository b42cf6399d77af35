"""The prediction server as a process: the same answers however they are asked for, and its limits.

What is refused is refused with a reason, and stops nobody else; asked to end, it answers first.
"""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from tests.browser import LOOKS, accessibility_faults
from tests.cli.command import fail
from tests.serve.served import SCALE, Server, form, model_file, png, start

from isoconv.train import load

PICTURES = {f"picture-{seed}.png": png(seed) for seed in range(12)}
TOP = "/predict?top=4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    return model_file(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    """A server that gathers up to five images, for a while that requests at once fit in."""
    found = start(model, "--scale", SCALE, "--batch", "5", "--wait-ms", "20", "--max-size", "1MiB",
                  "--max-pixels", "10000")  # fmt: skip
    yield found
    assert "Traceback" not in found.end()


@pytest.fixture(scope="module")
def known(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """What `Module.predict_files` gives for each picture alone."""
    folder, loaded = tmp_path_factory.mktemp("pictures"), load(model)
    found = {}
    for name, content in PICTURES.items():
        (folder / name).write_bytes(content)
        row = loaded.predict_files([folder / name], scale=1 / 255)[0]
        found[name] = dict(zip(loaded.class_names, map(float, row), strict=True))
    # Such that a wrong bit would show.
    assert len({str(each) for each in found.values()}) == len(PICTURES)
    assert all(0 < share < 1 for each in found.values() for share in each.values())
    return found


def shares(answer: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The probabilities of an answer by picture and class."""
    return {
        each["name"]: {one["name"]: one["probability"] for one in each["classes"]}
        for each in answer["predictions"]
    }


def test_answers_are_the_same_bits(
    server: Server, model: Path, known: dict[str, dict[str, float]]
) -> None:
    """One alone, several in a form, in base64, and many requests at once: exactly those known."""
    for name, content in list(PICTURES.items())[:2]:
        status, _, answer = server.ask(TOP, content, "image/png")
        assert status == 200
        assert shares(answer) == {"picture": known[name]}
        assert answer["model"]["digest"] == load(model).describe()["digest"]
        assert answer["model"]["weights_sha256"] == load(model).digest()
        order = [each["probability"] for each in answer["predictions"][0]["classes"]]
        assert order == sorted(order, reverse=True)
    assert shares(server.ask(TOP, *form(**PICTURES))[2]) == known
    listed = [{"name": name, "base64": base64.b64encode(content).decode()}
              for name, content in PICTURES.items()]  # fmt: skip
    asked = json.dumps({"pictures": listed}).encode()
    assert shares(server.ask(TOP, asked, "application/json")[2]) == known
    before = batches(server)
    with ThreadPoolExecutor(12) as pool:
        answers = [
            pool.submit(server.ask, TOP, *form(**{name: content}))
            for _ in range(3)
            for name, content in PICTURES.items()
        ]
        for name, answer in zip([*PICTURES] * 3, answers, strict=True):
            assert shares(answer.result()[2]) == {name: known[name]}
    images, runs = (after - old for after, old in zip(batches(server), before, strict=True))
    assert images == 3 * len(PICTURES)
    assert runs < images, "no request met another"


def batches(server: Server) -> tuple[float, float]:
    """How many images were predicted, in how many batches."""
    text = server.ask("/metrics")[2]
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    return float(values["isoconv_batch_images_sum"]), float(values["isoconv_batch_images_count"])


def test_arrays(server: Server, model: Path) -> None:
    """Nested numbers and bytes are predicted as `Module.predict` does, to the bit."""
    images = np.random.default_rng(5).random((3, 8, 8, 1)).astype(np.float32)
    wanted = load(model).predict(images).tolist()
    packed = {"base64": base64.b64encode(images.tobytes()).decode(), "dtype": "float32",
              "shape": images.shape}  # fmt: skip
    for given in ({"images": images.tolist()}, {"images": packed}):
        status, _, answer = server.ask(TOP, json.dumps(given).encode(), "application/json")
        assert status == 200, answer
        assert [list(map(each.get, ("ant", "bee", "cat", "dog")))
                for each in shares(answer).values()] == wanted  # fmt: skip
    whole = (255 * images).astype(np.uint8)
    given = {"images": whole[..., 0].tolist(), "dtype": "uint8", "scale": 1 / 255}
    answer = server.ask(TOP, json.dumps(given).encode(), "application/json")[2]
    assert [each["ant"] for each in shares(answer).values()] == load(model).predict(
        whole, scale=1 / 255
    )[:, 0].tolist()


def bomb() -> bytes:
    """A small file that declares many pixels."""
    stream = io.BytesIO()
    Image.new("1", (4000, 4000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("body", "kind", "status", "text"),
    [
        (b"no picture", "image/png", 422, "picture: not a whole image"),
        (b"", "", 422, "picture: empty"),
        (png(1)[:60], "image/png", 422, "picture: not a whole image"),
        (bomb(), "image/png", 422, "a picture may have 10,000 pixels; this one has 16,000,000"),
        (b"x" * 2**21, "image/png", 413, "1,048,576 bytes"),
        (png(1), "text/plain", 415, "got 'text/plain'"),
        (*form(), 422, "1 to 256 pictures; got 0"),
        (*form(**{str(n): b"x" for n in range(257)}), 413, "too many files"),
        (b"--edge", "multipart/form-data", 400, "boundary"),
        (b'--edge\r\nContent-Disposition: form-data; name="top"\r\n\r\n3\r\n--edge--\r\n',
         "multipart/form-data; boundary=edge", 422, "part 'top' is no file"),
        (b"{", "application/json", 422, "must be JSON"),
        (b"[" * 100_000, "application/json", 422, "must be JSON"),
        (b'{"images": [NaN]}', "application/json", 422, "NaN is no number of JSON"),
        (b"{}", "application/json", 422, 'either "pictures" or "images"'),
        (b'{"images": [], "pictures": []}', "application/json", 422, 'either "pictures" or'),
        (b'{"images": [1], "top": 3}', "application/json", 422, "no field 'top'"),
        (b'{"images": [[1], [1, 2]]}', "application/json", 422, "all of one length"),
        (b'{"images": ["x"]}', "application/json", 422, "nested lists of numbers"),
        (b'{"images": []}', "application/json", 422, "there must be an image"),
        (b'{"images": [1]}', "application/json", 422, "must have shape (N, 8, 8, 1)"),
        (b'{"images": [300], "dtype": "uint8"}', "application/json", 422, "from 0 to 255"),
        (b'{"images": [1], "dtype": "int8"}', "application/json", 422, "dtype must be one of"),
        (json.dumps({"images": [[[0] * 8] * 8] * 257}).encode(), "application/json", 413,
         "1 to 256 pictures; got 257"),
        (b'{"images": [' + b"[[[[0]]]]," * 60_000 + b"0]}", "application/json", 413,
         "numbers of a request may take 16.0 MiB of memory; these take 37.5 MiB"),
        (b'{"images": {"shape": [1]}}', "application/json", 422, "base64, shape and dtype"),
        (b'{"images": {"shape": [99999999], "dtype": "uint8", "base64": "AA=="}}',
         "application/json", 422, "have 99,999,999 bytes; got 1"),
        (b'{"images": {"shape": [1], "dtype": "uint8", "base64": "?"}}', "application/json", 422,
         "must be base64"),
        (b'{"pictures": []}', "application/json", 422, "list of texts in base64"),
        (b'{"pictures": [3]}', "application/json", 422, "got 3 as number 1"),
        (b'{"pictures": ["AA=="]}', "application/json", 422, "picture 1: not a whole image"),
    ],
)  # fmt: skip
def test_bad_requests(server: Server, body: bytes, kind: str, status: int, text: str) -> None:
    """Each is refused with one line that names no file of the machine; the next is answered."""
    found, sent, answer = server.ask("/predict", body, kind)
    assert found == status, answer
    assert sent["content-type"] == "application/json"
    assert text.lower() in answer["error"].lower()
    assert "\n" not in answer["error"]
    assert tempfile.gettempdir() not in json.dumps(answer)
    assert "isoconv-" not in json.dumps(answer)
    assert server.ask("/predict", png(1), "image/png")[0] == 200


def test_strangers_and_addresses(server: Server) -> None:
    """Another Host, another page's request, no such address, another method, a wrong top."""
    for headers in {"Host": "evil.example"}, {"Origin": "http://evil.example"}:
        assert server.ask("/predict", png(1), "image/png", headers)[0] == 403
    for path in ("/nothing", "/web/../answers.py", "/web/%2e%2e/answers.py"):
        assert server.ask(path)[0] == 404
    assert server.ask("/predict")[0] == 405
    for top in ("0", "-1", "x", "9" * 5000, "%D9%A3"):
        status, _, answer = server.ask(f"/predict?top={top}", png(1), "image/png")
        assert status == 422
        assert "top must be a whole number" in answer["error"]


def test_one_bad_picture_among_others(server: Server, known: dict[str, dict[str, float]]) -> None:
    """The status says that not all is well, and the others are answered for all the same."""
    name, content = next(iter(PICTURES.items()))
    status, _, answer = server.ask(TOP, *form(bad=b"x", **{name: content}))
    assert status == 422
    assert answer["error"] == "1 of 2 pictures cannot be read; the others are answered for"
    bad, good = answer["predictions"]
    assert bad["name"] == "bad"
    assert "not a whole image" in bad["error"]
    assert shares({"predictions": [good]}) == {name: known[name]}


def test_the_description_is_true(server: Server) -> None:
    """Its schemas are schemas, every address is answered, and answers are what it says."""
    told = server.ask("/openapi.json")[2]
    assert told["openapi"] == "3.1.0"
    schemas = told["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)

    def check(name: str, answer: Any) -> None:
        whole = {"$ref": f"#/components/schemas/{name}", "components": told["components"]}
        jsonschema.validate(answer, whole, jsonschema.Draft202012Validator)

    for path, methods in told["paths"].items():
        if "get" in methods:
            status, sent, _ = server.ask(path)
            kinds = methods["get"]["responses"]["200"]["content"]
            assert status == 200
            assert sent["content-type"].partition(";")[0] in kinds
    check("Health", server.ask("/health")[2])
    check("Predictions", server.ask("/predict", *form(**PICTURES))[2])
    check("Predictions", server.ask("/predict", *form(good=png(1), bad=b"x"))[2])
    check("Fault", server.ask("/predict", b"{", "application/json")[2])
    responses = told["paths"]["/predict"]["post"]["responses"]
    assert {"200", "401", "403", "408", "413", "415", "422", "503"} <= responses.keys()


@pytest.mark.slow
def test_limits_of_queue_and_time(model: Path) -> None:
    """One too many is told to come again; what does not arrive, or waits too long, is given up."""
    server = start(model, "--scale", SCALE, "--queue", "1", "--wait-ms", "3000", "--timeout", "1",
                   "--token", "secret")  # fmt: skip
    assert "secret" not in "\n".join(server.said)
    proof = {"Authorization": "Bearer secret"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.ask, "/predict", png(1), "image/png", proof)
        while "isoconv_requests_under_way 1.0" not in server.ask("/metrics", headers=proof)[2]:
            time.sleep(0.01)
        status, sent, answer = server.ask("/predict", png(2), "image/png", proof)
        assert (status, sent["retry-after"]) == (503, "1")
        assert answer["error"] == "1 requests are under way: come again"
        status, sent, answer = first.result()
        assert (status, sent["retry-after"]) == (503, "1")
        assert answer["error"] == "the answer was not there within 1 s"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as line:
        line.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
            b"Content-Length: 9\r\n\r\nx"
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 408")
    for wrong in ("", "Bearer other", "Basic secret"):
        headers = {"Authorization": wrong}
        status, sent, answer = server.ask("/predict", png(1), "image/png", headers)
        assert (status, sent["www-authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer" in answer["error"]
        assert server.ask("/metrics", headers=headers)[0] == 401
    assert server.ask("/health")[0] == 200
    assert "Traceback" not in server.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered(
    model: Path, known: dict[str, dict[str, float]], number: int
) -> None:
    """Asked to end in the middle, it answers what waits, and takes nothing new."""
    server = start(model, "--scale", SCALE, "--wait-ms", "1500")
    names = list(PICTURES)[:3]
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(server.ask, TOP, *form(**{each: PICTURES[each]})) for each in names]
        while "isoconv_requests_under_way 3.0" not in server.ask("/metrics")[2]:
            time.sleep(0.01)
        server.process.send_signal(number)
        for name, each in zip(names, asked, strict=True):
            status, _, answer = each.result()
            assert status == 200
            assert shares(answer) == {name: known[name]}
    rest, _ = server.process.communicate(timeout=60)
    assert "Traceback" not in rest
    assert server.process.returncode in (-number, 128 + number)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


@pytest.mark.slow
def test_others_need_a_token(model: Path) -> None:
    """Where others can reach it, a token is made and shown; with it they are answered."""
    server = start(model, "--scale", SCALE, "--host", "0.0.0.0")  # noqa: S104
    token = next(each for each in server.said if each.startswith("token ")).split()[1]
    assert any(each.endswith(f"/#token={token}") for each in server.said)
    assert len(token) >= 32
    assert server.ask("/predict", png(1), "image/png")[0] == 401
    proof = {"Authorization": f"Bearer {token}"}
    assert server.ask("/predict", png(1), "image/png", {"Host": "a.example", **proof})[0] == 200
    server.end()


def test_bad_words(model: Path) -> None:
    """A wrong host, a port in use, a token that no header holds: one line each."""
    assert "--host must be an address of this machine" in fail(
        "serve", model, "--scale", SCALE, "--host", "no.such.invalid"
    )
    assert "printable ASCII" in fail("serve", model, "--scale", SCALE, "--token", "a b")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = fail("serve", model, "--scale", SCALE, "--port", port)
    assert f"port {port} cannot be opened" in error
    assert "there is no run and no saved model" in fail("serve", "nowhere")


@pytest.mark.parametrize("missing", ["prometheus_client", "python_multipart", "uvicorn"])
def test_a_missing_package(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before a model is read, with what installs it."""
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    assert "pip install 'isoconv[serve]'" in fail("serve", "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_page(model: Path, new_page: Any, tmp_path: Path, width: int, dark: bool) -> None:
    """It takes the token from its address, and shows a picture's classes as they are answered."""
    server = start(model, "--scale", SCALE, "--token", "secret")
    (tmp_path / "noise.png").write_bytes(png(1, 200))
    page = new_page(width, 800, dark=dark)
    page.goto(f"http://127.0.0.1:{server.port}/#token=secret")
    page.get_by_text("model.safetensors, model sha256:").wait_for()
    page.set_input_files("#pictures", [tmp_path / "noise.png"])
    page.locator(".card[aria-busy=false] .classes").wait_for()
    assert not page.locator("#token").is_visible()
    shown = dict(zip(page.locator(".name").all_inner_texts(),
                     page.locator(".share").all_inner_texts(), strict=True))  # fmt: skip
    answer = shares(
        server.ask(TOP, png(1, 200), "image/png", {"Authorization": "Bearer secret"})[2]
    )
    assert shown == {name: f"{100 * share:.2f} %" for name, share in answer["picture"].items()}
    assert accessibility_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    server.end()
