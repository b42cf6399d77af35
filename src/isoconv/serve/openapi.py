"""The prediction server described in OpenAPI 3.1, for programs that make clients of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from isoconv import __version__
from isoconv.nn import Module, trace_model
from isoconv.serve.asked import DTYPES, MOST_PICTURES

if TYPE_CHECKING:
    from isoconv.serve.answers import Limits

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
BASE64: Schema = {"type": "string", "contentEncoding": "base64"}


def openapi(
    model: Module, title: str, class_names: Sequence[str], limits: Limits, *, asks_token: bool
) -> Schema:
    """The description of a server.

    Args:
        model: what it predicts with.
        title: what that is called.
        class_names: of all its results.
        limits: what it takes.
        asks_token: a request must show a token.
    """
    health = {"get": _operation("Whether the server answers", {"200": _json("Health")})}
    figures = {"get": _operation("Figures for Prometheus", {"200": _content("text/plain", TEXT)})}
    own = {"get": _operation("This description", {"200": _content("application/json", {})})}
    page = {"get": _operation("A page for pictures", {"200": _content("text/html", TEXT)})}
    open_paths = {"/": page, "/health": health}
    for each in (page, health):
        each["get"]["security"] = []
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Predictions of {title}",
            "version": __version__,
            "description": "An answer depends on the picture and the model alone: other pictures, "
            "batches and threads change no bit of it.",
        },
        "paths": {
            **open_paths,
            "/predict": {"post": _predict(limits, masks=_gives_masks(model))},
            "/metrics": figures,
            "/openapi.json": own,
        },
        "components": {
            "schemas": _schemas(model, class_names),
            **({"securitySchemes": schemes} if asks_token else {}),
        },
        **({"security": [{"token": []}]} if asks_token else {}),
    }


def _gives_masks(model: Module) -> bool:
    shape = model.input_shape or ()
    return len(trace_model(model, shape, training=False).output_tensor.shape) > 1


def _predict(limits: Limits, *, masks: bool) -> Schema:
    top: Schema = {"type": "integer", "minimum": 1, "default": 5}
    files: Schema = {"type": "object", "additionalProperties": {"type": "array", "items": {}}}
    faults = {
        "401": "The token is missing or another one",
        "403": "The request comes from another page or for another address",
        "408": f"The request did not arrive within {limits.seconds:g} s",
        "413": f"More than {limits.size:,} bytes, {MOST_PICTURES} pictures or images, or too "
        "many lists and numbers",
        "415": "Neither pictures nor JSON",
        "503": f"{limits.queue} requests are under way, or the answer took too long: come again",
    }
    unread = {"anyOf": [_ref("Predictions"), _ref("Fault")]}
    answer = _json("Predictions")
    if masks:
        answer["content"]["image/png"] = {
            "schema": {"description": "The mask of one picture, where no other kind is accepted."}
        }
    return _operation(
        "The classes of pictures' pixels" if masks else "The most probable classes of pictures",
        {
            "200": answer,
            "422": {
                "description": "Pictures that cannot be read; the others are answered for",
                "content": {"application/json": {"schema": unread}},
            },
            **{status: {**_json("Fault"), "description": text} for status, text in faults.items()},
        },
        parameters=[
            {
                "name": "top",
                "in": "query",
                "description": "How many classes of each picture.",
                "schema": top,
            }
        ],
        requestBody={
            "required": True,
            "content": {
                "image/*": {"schema": {}},
                "application/octet-stream": {"schema": {}},
                "multipart/form-data": {"schema": files},
                "application/json": {"schema": _ref("Question")},
            },
        },
    )


def _schemas(model: Module, class_names: Sequence[str]) -> Schema:
    name: Schema = {"enum": list(class_names)} if len(class_names) <= 100 else TEXT
    share: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    sha256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    known = _object({"name": TEXT, "digest": sha256, "weights_sha256": sha256})
    dtype: Schema = {"enum": list(DTYPES)}
    pictures: Schema = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_PICTURES,
        "items": {"anyOf": [BASE64, _object({"base64": BASE64, "name": TEXT}, ["base64"])]},
    }
    shape = {"type": "array", "items": {"type": "integer", "minimum": 1}}
    packed = _object({"base64": BASE64, "shape": shape, "dtype": dtype})
    sides = ", ".join(map(str, model.input_shape or ()))
    images: Schema = {
        "description": f"Of shape (N, {sides}), nested or as bytes, little-endian.",
        "anyOf": [{"type": "array", "minItems": 1, "maxItems": MOST_PICTURES}, packed],
    }
    scale: Schema = {"type": "number", "exclusiveMinimum": 0}
    arrays = _object({"images": images, "dtype": dtype, "scale": scale}, ["images"])
    masks = _gives_masks(model)
    figure = {"share" if masks else "probability": share}
    classes: Schema = {"type": "array", "items": _object({"name": name, **figure})}
    more = {"outside": share, "mask": BASE64} if masks else {}
    notes: Schema = {"type": "array", "items": TEXT}
    answer = _object({"name": TEXT, "classes": classes, **more, "notes": notes})
    unread = _object({"name": TEXT, "error": TEXT})
    answers: Schema = {"type": "array", "items": {"anyOf": [answer, unread]}}
    given = {"model": _ref("Model"), "predictions": answers, "error": TEXT}
    return {
        "Model": known,
        "Question": {"oneOf": [_object({"pictures": pictures}), arrays]},
        "Predictions": _object(given, ["model", "predictions"]),
        "Health": _object({"status": {"const": "ok"}, "model": _ref("Model")}),
        "Fault": _object({"error": TEXT}),
    }


def _object(properties: Schema, required: list[str] | None = None) -> Schema:
    needed = list(properties) if required is None else required
    return {
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(kind: str, schema: Schema) -> Schema:
    return {"description": "The answer", "content": {kind: {"schema": schema}}}


def _json(name: str) -> Schema:
    return _content("application/json", _ref(name))


def _operation(summary: str, responses: Schema, **more: Any) -> Schema:
    return {"summary": summary, **more, "responses": responses}
