"""What a request in JSON asks about: picture files and arrays, as images of a model."""

from __future__ import annotations

import base64
import binascii
import json
import math
from itertools import chain
from typing import Any

import numpy as np

from isoconv.checks import check_number, check_shape, shown
from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array
from isoconv.nn import Module
from isoconv.nn.alone import OneImage
from isoconv.nn.images import checked_images, warnings_told

MOST_PICTURES = 256
"""Pictures of one request."""
MOST_AXES = 8
"""Of images in a request."""
MOST_ROOM = 16
"""Bytes of memory for each byte that a request may have; of `room`."""
DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}


def room(content: bytes) -> int:
    """Bytes of memory that a request in JSON takes at most until its numbers are arrays.

    Of lists within lists that are 50 times their text: `document` is for what has room.
    """
    lists, objects, items, quotes = map(content.count, (b"[", b"{", b",", b'"'))
    # A list of up to four things, and what NumPy keeps of it; an object with a field; of a number
    # its places in two lists and in arrays; half of a text; what is written at length.
    return 136 * lists + 192 * objects + 32 * items + 16 * quotes + 8 * len(content)


def document(content: bytes) -> dict[str, Any]:
    """The object of a request in JSON.

    Raises:
        ArgumentError: it is no JSON, or no object with either ``pictures`` or ``images``.
    """

    def refused(text: str) -> float:
        raise ValueError(f"{text} is no number of JSON")

    try:
        found = json.loads(content, parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"the request must be JSON; got {shown(content[:80])} ({error})"
                            ) from None  # fmt: skip
    if not isinstance(found, dict) or ("pictures" in found) == ("images" in found):
        raise ArgumentError(
            f'the request must be an object with either "pictures" or "images"; got {shown(found)}'
        )
    known = {"pictures"} if "pictures" in found else {"images", "dtype", "scale"}
    if more := sorted(found.keys() - known):
        raise ArgumentError(
            f"the request has no field {', '.join(map(repr, more))}; beside "
            f"{'pictures there is none' if 'pictures' in found else 'images are dtype and scale'}"
        )
    return found


def picture_bytes(found: object) -> list[tuple[str, bytes]]:
    """The names and contents of ``pictures``, each in base64 or an object with ``base64``.

    Raises:
        ArgumentError: they are something else.
    """
    rule = "pictures must be a list of texts in base64, or of objects with base64 and name"
    if not isinstance(found, list) or not found:
        raise ArgumentError(f"{rule}; got {shown(found)}")
    pictures = []
    for place, each in enumerate(found):
        given = each if isinstance(each, dict) else {"base64": each}
        text, name = given.get("base64"), given.get("name", f"picture {place + 1}")
        if not isinstance(text, str) or not isinstance(name, str) or given.keys() - {
            "base64", "name"
        }:  # fmt: skip
            raise ArgumentError(f"{rule}; got {shown(each)} as number {place + 1}")
        pictures.append((name, _unpacked(text, f"pictures[{place}]")))
    return pictures


def array_images(model: Module, found: dict[str, Any]) -> list[OneImage]:
    """The ``images`` of a request in JSON: nested numbers, or an object with their bytes.

    Raises:
        ArgumentError, ShapeError, DTypeError, DataError: as `Module.predict`, or they are no such
            numbers.
    """
    given, dtype = found["images"], found.get("dtype")
    if isinstance(given, dict):
        if given.keys() != {"base64", "shape", "dtype"} or dtype is not None:
            raise ArgumentError(
                "images must be nested numbers, or have base64, shape and dtype; got "
                f"{', '.join(map(repr, given))}"
            )
        images = _from_bytes(given)
    else:
        if dtype is None:
            trained = model.trained_on
            dtype = "float32" if trained is None else trained.dtype
        images = _from_numbers(given, _dtype(dtype))
    scale = found.get("scale")
    if scale is not None:
        scale = check_number("scale", scale, above=0)
    with warnings_told() as lines:
        images = checked_images(model, images, scale)
    return [OneImage(f"image {place + 1}", each, tuple(lines)) for place, each in enumerate(images)]


def _dtype(name: object) -> np.dtype[Any]:
    if not isinstance(name, str) or name not in DTYPES:
        raise ArgumentError(f"dtype must be one of {', '.join(DTYPES)}; got {shown(name)}")
    return DTYPES[name]


def _from_bytes(given: dict[str, Any]) -> Array:
    dtype, shape = _dtype(given["dtype"]), _shape(given["shape"])
    text = given["base64"]
    if not isinstance(text, str):
        raise ArgumentError(f"images.base64 must be a text; got {shown(text)}")
    content = _unpacked(text, "images.base64")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ArgumentError(
            f"images of shape {shape} and {dtype} have {math.prod(shape) * dtype.itemsize:,} bytes;"
            f" got {len(content):,}"
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _shape(given: object) -> tuple[int, ...]:
    """A shape of few axes: the product of millions of sides would take hours."""
    if isinstance(given, list) and len(given) > MOST_AXES:
        raise ArgumentError(f"a shape must have at most {MOST_AXES} axes; got {len(given):,}")
    return check_shape("shape", given)


def _from_numbers(given: object, dtype: np.dtype[Any]) -> Array:
    rule = "images must be nested lists of numbers, all of one length at each depth"
    # NumPy would give each of many texts the room of the longest.
    if not _kinds(given) <= {int, float, list}:
        raise ArgumentError(f"{rule}; got {shown(given)}")
    try:
        images = np.array(given)
    except (ValueError, OverflowError) as error:
        raise ArgumentError(f"{rule} ({error})") from None
    if images.dtype.kind not in "iuf":
        raise ArgumentError(f"{rule}; got {shown(given)}")
    if not images.size:
        raise ArgumentError("there must be an image; got none")
    whole = images.dtype.kind in "iu"
    if dtype.kind == "u" and not (whole and 0 <= images.min() <= images.max() <= 255):
        raise ArgumentError(
            "images of uint8 are whole numbers from 0 to 255; got "
            f"{images.dtype} from {images.min():g} to {images.max():g} (dtype says that they are "
            "float32)"
        )
    with np.errstate(over="ignore"):
        return images.astype(dtype)


def _kinds(given: object) -> set[type]:
    """The kinds of what nested lists hold, down to where they are not all lists."""
    level = [given]
    while level:
        kinds = set(map(type, level))
        if kinds != {list}:
            return kinds
        level = list(chain.from_iterable(level))  # type: ignore[arg-type]
    return set()


def _unpacked(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ArgumentError(f"{name} must be base64 ({error})") from None
