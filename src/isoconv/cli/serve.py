"""``isoconv serve``: predictions for other programs, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli.options import (
    AsJson,
    Best,
    ClassNames,
    ModelPath,
    Normalise,
    Scale,
    TargetName,
    Threads,
)
from isoconv.cli.table import print_json, say

if TYPE_CHECKING:
    from isoconv.serve.predictions import Place


def serve(
    run: ModelPath,
    host: Annotated[
        str,
        typer.Option(
            help="Address of this machine at which requests come; any but 127.0.0.1 asks for a "
            "token."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the server; 0 for a free one.")
    ] = 8378,
    token: Annotated[
        str,
        typer.Option(
            envvar="ISOCONV_TOKEN",
            show_envvar=False,
            help="What requests must show, in the header Authorization: Bearer TOKEN; the variable "
            "ISOCONV_TOKEN will do too.  [default: none on 127.0.0.1, otherwise a new one]",
            show_default=False,
        ),
    ] = "",
    batch: Annotated[int, typer.Option(min=1, max=4096, help="Most images of a prediction.")] = 32,
    wait_ms: Annotated[
        float,
        typer.Option(
            min=0, max=60_000, help="Milliseconds for which images wait for others to join them."
        ),
    ] = 2.0,
    queue: Annotated[
        int, typer.Option(min=1, help="Requests under way at once; others are to come again.")
    ] = 64,
    max_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Bytes of a request, such as 32MiB.")
    ] = "32MiB",
    max_pixels: Annotated[int, typer.Option(min=1, max=2**26, help="Pixels of a picture.")] = 2**26,
    timeout: Annotated[
        float,
        typer.Option(min=0.001, max=86_400, help="Seconds for a request and its answer."),
    ] = 30.0,
    best: Best = False,
    scale: Scale = None,
    normalise: Normalise = None,
    class_names: ClassNames = None,
    as_json: AsJson = False,
    threads: Threads = None,
    target: TargetName = None,
) -> None:
    """Answer other programs with predictions over HTTP.

    POST /predict takes one picture, several (multipart/form-data) or JSON, and answers with the
    most probable classes, as isoconv predict does. Requests are gathered into batches, which
    changes no bit of any answer. There are /health, /metrics, /openapi.json, and a page for
    pictures at /. Ctrl-C or SIGTERM ends it when what was asked is answered.

    Examples:
      isoconv serve runs/pets
      curl -F picture=@cat.jpg http://127.0.0.1:8378/predict
      isoconv serve pets.onnx --host 0.0.0.0 --batch 64 --threads 8
      curl -H "Authorization: Bearer $TOKEN" -F picture=@cat.jpg http://server:8378/predict
    """
    from isoconv.cli.named_models import class_names_of, classifier_at
    from isoconv.memory import size_of
    from isoconv.nn import trace_model
    from isoconv.printable import printable
    from isoconv.serve.answers import Limits
    from isoconv.serve.predictions import ready_to_predict, serve_predictions

    ready_to_predict()
    limits = Limits(batch, wait_ms / 1000, queue, size_of(max_size), max_pixels, timeout)
    model = classifier_at(run, best, normalise, class_names)
    shape = trace_model(model, model.input_shape or (), training=False).output_tensor.shape
    names = class_names_of(model, shape[-1])

    def ready(place: Place) -> None:
        say(f"{printable(str(run))}, weights sha256:{place.digest}")
        say(f"open {place.address}")
        if place.token:
            say(f"token {place.token}")
        say("Ctrl-C ends it")
        if as_json:
            print_json({"address": place.address, "token": place.token, "digest": place.digest})

    serve_predictions(
        model,
        run.name,
        names,
        host=host,
        port=port,
        token=token,
        limits=limits,
        scale=scale,
        threads=threads,
        target=target,
        ready=ready,
    )
