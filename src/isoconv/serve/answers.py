"""The prediction server's addresses: predictions, health, figures, a description, a page."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from isoconv.cores import cores
from isoconv.data.mask_pictures import found_in, mask_png
from isoconv.data.opening import PIXELS
from isoconv.errors import IsoconvError, NotEnoughMemoryError
from isoconv.explain.bundle import names, source
from isoconv.graph.operation import Array
from isoconv.memory import readable
from isoconv.nn import Module
from isoconv.nn.alone import OneImage, read_alone
from isoconv.printable import printable
from isoconv.serve.asked import (
    MOST_PICTURES,
    MOST_ROOM,
    array_images,
    document,
    picture_bytes,
    room,
)
from isoconv.serve.figures import Figures
from isoconv.serve.gathering import Gathering
from isoconv.serve.guard import ServerGuard
from isoconv.serve.openapi import openapi
from isoconv.serve.page import KINDS

PICTURE_KINDS = "a picture (image/*, application/octet-stream), multipart/form-data for several, "
PICTURE_KINDS += "or application/json"
BUSY, SLOW = 503, 408
PNG = "image/png"
COME_AGAIN = {"retry-after": "1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes, and how long it waits.

    Attributes:
        batch: images of one prediction.
        wait: seconds for which a batch that is not full waits for more.
        queue: requests that are under way at once.
        size: bytes of a request.
        pixels: of a picture.
        seconds: for a request, from its first byte to its answer.
    """

    batch: int = 32
    wait: float = 0.002
    queue: int = 64
    size: int = 32 * 2**20
    pixels: int = PIXELS
    seconds: float = 30.0


class _Refusal(Exception):  # noqa: N818  # an answer
    """An answer with a reason in place of results."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


def application(
    model: Module,
    title: str,
    class_names: Sequence[str],
    predict: Callable[[Array], Array],
    *,
    port: int,
    token: str,
    limits: Limits,
    scale: float | None = None,
) -> Any:
    """The prediction server as an ASGI application.

    Args:
        model: a built classifier.
        title: what it is called.
        class_names: of all its results.
        predict: its results for images that `asked` made, a row for each; of a model that gives
            each pixel a class, the classes.
        port: where it is served.
        token: what a request must show; "" for none, on this machine alone.
        limits: what is taken.
        scale: what the brightness of pictures is multiplied with; see `Module.predict_files`.
    """
    from anyio import CapacityLimiter, to_thread
    from starlette.applications import Starlette
    from starlette.datastructures import UploadFile
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    record = model.describe()
    own = {"name": title, "digest": record["digest"], "weights_sha256": record["weights_sha256"]}
    figures = Figures(record["digest"], limits.batch)
    gathering = Gathering(predict, limits.batch, limits.wait, figures.batch)
    # A large picture takes much memory until it is scaled, and a text in JSON until its numbers are
    # an array: as many at once as there are cores.
    readers = CapacityLimiter(cores())
    under_way = 0

    async def thread(function: Any, *arguments: Any) -> Any:
        return await to_thread.run_sync(partial(function, *arguments), limiter=readers)

    async def answered(request: Request) -> Response:
        nonlocal under_way
        if under_way >= limits.queue:
            raise _Refusal(BUSY, f"{limits.queue} requests are under way: come again", COME_AGAIN)
        under_way += 1
        figures.under_way.inc()
        stage = SLOW, "the request did not arrive"
        try:
            async with asyncio.timeout(limits.seconds):
                top = _top(request.query_params.get("top"), len(class_names))
                with ExitStack() as stack:
                    asked = await _asked(request, stack)
                stage = BUSY, "the answer was not there"
                images = [each.image for each in asked if each.image is not None]
                results = iter(await gathering.results(images))
                told = []
                for each in asked:
                    if each.image is None:
                        told.append({"name": each.name, "error": each.error})
                        continue
                    found = next(results)
                    if found.ndim == 1:
                        told.append(_told(each, found, class_names, top))
                    else:
                        told.append(await thread(_told_pixels, each, found, class_names, top))
        except TimeoutError:
            status, what = stage
            headers = COME_AGAIN if status == BUSY else {"connection": "close"}
            text = f"{what} within {limits.seconds:g} s"
            raise _Refusal(status, text, headers) from None
        finally:
            under_way -= 1
            figures.under_way.dec()
        figures.pictures(len(images), len(asked) - len(images))
        lost = [each for each in asked if each.image is None]
        if "mask" in told[0] and len(told) == 1 and request.headers.get("accept") == PNG:
            return Response(base64.b64decode(told[0]["mask"]), media_type=PNG)
        answer: dict[str, Any] = {"model": own, "predictions": told}
        if lost:
            answer["error"] = _lost(lost, len(asked))
        return _json(answer, 422 if lost else 200)

    async def _asked(request: Request, stack: ExitStack) -> list[OneImage]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = kind == "application/json"
        images: list[OneImage] = []
        if kind == "multipart/form-data":
            named = await _parts(request, _folder(stack))
        elif is_json or kind in ("", "application/octet-stream") or kind.startswith("image/"):
            file = _folder(stack) / "request"
            with file.open("wb") as out:
                async for piece in request.stream():
                    out.write(piece)
            named = [("picture", file)]
            if is_json:
                images, named = await thread(_in_json, model, file, limits.size)
        else:
            raise _Refusal(
                415, f"a request is {PICTURE_KINDS}; got {kind!r:.80} (curl sends a picture with "
                "-F picture=@photo.jpg)"
            )  # fmt: skip
        reads = (thread(read_alone, model, f, name, scale, limits.pixels) for name, f in named)
        return [*images, *await asyncio.gather(*reads)]

    async def _parts(request: Request, folder: Path) -> list[tuple[str, Path]]:
        named = []
        try:
            form = await request.form(max_files=MOST_PICTURES, max_fields=1)
        except HTTPException as error:
            # That there are too many is not told apart from a form that is none.
            raise _Refusal(413 if "Too many" in error.detail else 400, error.detail) from None
        async with _closing(form):
            found = form.multi_items()
            _check_count(len(found))
            for place, (field, part) in enumerate(found):
                if not isinstance(part, UploadFile):
                    raise _Refusal(422, f"part {field!r:.80} is no file")
                file = folder / str(place)
                with file.open("wb") as out:
                    while piece := await part.read(2**20):
                        out.write(piece)
                named.append((part.filename or field, file))
        return named

    def _folder(stack: ExitStack) -> Path:
        return Path(stack.enter_context(TemporaryDirectory(prefix="isoconv-")))

    async def predictions(request: Request) -> Response:
        with figures.timed():
            try:
                return await answered(request)
            except _Refusal as error:
                return fault(error.status, error.reason, error.headers)
            except NotEnoughMemoryError as error:
                return fault(BUSY, str(error), COME_AGAIN)
            except IsoconvError as error:
                return fault(422, str(error))
            except ClientDisconnect:
                return fault(413, f"a request may have {limits.size:,} bytes")

    async def health(_: Request) -> Response:
        return _json({"status": "ok", "model": own})

    async def metrics(_: Request) -> Response:
        return Response(figures.text(), media_type=figures.kind)

    async def described(_: Request) -> Response:
        return _json(openapi(model, title, class_names, limits, asks_token=bool(token)))

    async def index(_: Request) -> Response:
        return Response(_index(title), media_type="text/html")

    async def web(request: Request) -> Response:
        name = request.path_params["name"]
        kind = KINDS.get(name.rpartition(".")[2])
        if kind is None or name not in names():
            return fault(404, f"the page has no file {name!r:.80}")
        return Response(source(name), media_type=kind)

    def fault(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"error": text}, status_code=status, headers=headers)

    def _json(found: Any, status: int = 200) -> Response:
        text = json.dumps(found, allow_nan=False)
        return Response(text, status_code=status, media_type="application/json")

    async def told(_: Request, error: Any) -> Response:
        """Answer what Starlette itself refuses: no such address, or another method."""
        return fault(error.status_code, error.detail.lower(), error.headers)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        work = asyncio.create_task(gathering.work())
        yield
        work.cancel()

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/web/{name}", web),
            Route("/predict", predictions, methods=["POST"]),
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/openapi.json", described),
        ],
        exception_handlers={
            HTTPException: told,
            500: lambda *_: fault(
                500, "isoconv failed here; the terminal it runs in says how",
                {"connection": "close"},
            ),
        },
        lifespan=lifespan,
    )  # fmt: skip
    return figures.counted(ServerGuard(app, port, token, limits.size))


@asynccontextmanager
async def _closing(form: Any) -> AsyncIterator[None]:
    """Within, the files of a form are there."""
    try:
        yield
    finally:
        await form.close()


def _top(text: str | None, classes: int) -> int:
    if text is None:
        return min(5, classes)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise _Refusal(422, f"top must be a whole number of at least 1; got {text!r:.80}")
    return min(int(text), classes)


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_PICTURES:
        text = f"a request must have 1 to {MOST_PICTURES} pictures; got {count}"
        raise _Refusal(413 if count else 422, text)


def _in_json(model: Module, file: Path, size: int) -> tuple[list[OneImage], list[tuple[str, Path]]]:
    """What a request in JSON asks about: images, or the names of pictures and files beside it."""
    content = file.read_bytes()
    if room(content) > MOST_ROOM * size:
        raise _Refusal(
            413, f"lists and numbers of a request may take {readable(MOST_ROOM * size)} of memory; "
            f"these take {readable(room(content))} (base64 takes less)"
        )  # fmt: skip
    found = document(content)
    del content
    if "images" in found:
        images = array_images(model, found)
        _check_count(len(images))
        return images, []
    pictures = picture_bytes(found["pictures"])
    _check_count(len(pictures))
    named = []
    for place, (name, content) in enumerate(pictures):
        (picture_file := file.with_name(str(place))).write_bytes(content)
        named.append((name, picture_file))
    return [], named


def _told(each: OneImage, found: Array, class_names: Sequence[str], top: int) -> dict[str, Any]:
    """An image's part of an answer: its classes, of equals the first."""
    order = (-found).argsort(kind="stable")[:top]
    classes = [{"name": class_names[place], "probability": float(found[place])} for place in order]
    return {"name": each.name, "classes": classes, "notes": list(each.notes)}


def _told_pixels(
    each: OneImage, said: Array, class_names: Sequence[str], top: int
) -> dict[str, Any]:
    """An image's part of an answer of a model that gives each pixel a class: shares and a mask."""
    size = each.size or (said.shape[0], said.shape[1])
    found = found_in(said, size, len(class_names))
    order = sorted(range(len(class_names)), key=lambda place: -found.shares[place])[:top]
    classes = [{"name": class_names[place], "share": found.shares[place]} for place in order]
    return {
        "name": each.name,
        "classes": classes,
        "outside": found.outside,
        "mask": base64.b64encode(mask_png(found.mask, len(class_names))).decode(),
        "notes": list(each.notes),
    }


def _lost(lost: Sequence[OneImage], total: int) -> str:
    if total == 1:
        return f"{lost[0].name}: {lost[0].error}"
    rest = "; the others are answered for" if len(lost) < total else ""
    return f"{len(lost)} of {total} pictures cannot be read{rest}"


def _index(title: str) -> str:
    """The page: a place for pictures, and the module that sends them."""
    sheets = "".join(
        f'<link rel="stylesheet" href="/web/{name}">\n' for name in ("style.css", "predictions.css")
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(printable(title))}</title>\n{sheets}"
        '<script type="module" src="/web/predictions-page.js"></script>\n</head>\n'
        '<body class="isoconv-page">\n'
        '<main id="isoconv-root" class="isoconv"></main>\n'
        "<noscript>This page sends pictures with JavaScript, to this server alone.</noscript>\n"
        "</body>\n</html>\n"
    )
