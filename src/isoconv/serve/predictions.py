"""A server of predictions: a model, a host and a port, a token where others can reach it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import numpy as np

from isoconv.checks import refusal
from isoconv.errors import MissingExtraError
from isoconv.graph.operation import Array
from isoconv.nn import Module, trace_model
from isoconv.serve.answers import Limits, application
from isoconv.serve.listening import bound, until_asked

PORT = 8378
CONNECTIONS = 1000
"""That are open at once, beyond which requests are refused before they are read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, and what it asks for.

    Attributes:
        address: with a token that was made behind ``#``, which a browser keeps to itself.
        token: the one that was made; "" if none was. One that was given is shown nowhere.
        digest: of the weights.
    """

    address: str
    token: str
    digest: str


def ready_to_predict() -> None:
    """Complain before anything long begins.

    Raises:
        MissingExtraError: one of the packages is not installed.
    """
    try:
        import prometheus_client
        import python_multipart
        import starlette
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(
            "the prediction server needs Starlette, uvicorn, python-multipart and "
            "prometheus-client: pip install 'isoconv[serve]'"
        ) from error
    del prometheus_client, python_multipart, starlette, uvicorn


def serve_predictions(
    model: Module,
    title: str,
    class_names: tuple[str, ...],
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str = "",
    limits: Limits | None = None,
    scale: float | None = None,
    threads: int | None = None,
    target: str | None = None,
    ready: Callable[[Place], Any] | None = None,
) -> None:
    """Answer with predictions until the process is asked to end, and then what is under way.

    Args:
        model: a built classifier, of pictures or of their pixels.
        title: what it is called.
        class_names: of all its results.
        host: an address of this machine.
        port: which; 0 for any that is free.
        token: what requests must show; where others can reach the server, one is made if it is "".
        limits: what is taken; None for the usual.
        scale: what the brightness of pictures is multiplied with; see `Module.predict_files`.
        threads: as for `Module.predict`.
        target: likewise.
        ready: called when requests can come.

    Raises:
        ArgumentError: the host is none of this machine, or the port cannot be opened.
        MissingExtraError: one of the packages is not installed.
    """
    ready_to_predict()
    limits = limits or Limits()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise refusal("token", "be of printable ASCII characters without blanks", token)

    maps = len(trace_model(model, model.input_shape or (), training=False).output_tensor.shape) > 1

    def predict(images: Array) -> Array:
        # They are what the model takes, whatever it was trained on.
        if not maps:
            return model.predict(images, scale=1, threads=threads, target=target)
        found = model.predict(images, finish="none", scale=1, threads=threads, target=target)
        # Of maps the class of each pixel is wanted, a small part of all that.
        classes: Array = found.argmax(axis=-1).astype(np.uint16)
        return classes

    # Before anybody asks: kernels are compiled, and what cannot be predicted is told.
    trained = model.trained_on
    dtype = "uint8" if trained is None else trained.dtype
    predict(np.zeros((1, *(model.input_shape or ())), dtype))
    listening = bound(host, port)
    where, number = listening.getsockname()[:2]
    made = ""
    if not token and not ip_address(where).is_loopback:
        token = made = secrets.token_urlsafe(24)
    app = application(
        model, title, class_names, predict, port=number, token=token, limits=limits, scale=scale
    )
    name = f"[{where}]" if ":" in where else where
    address = f"http://{name}:{number}/" + (f"#token={made}" if made else "")

    def opened() -> None:
        if ready is not None:
            ready(Place(address, made, model.digest()))

    until_asked(app, listening, opened, seconds=limits.seconds + 5, connections=CONNECTIONS)
