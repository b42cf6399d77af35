"""Weights by name: checked against a model, digested, written to and read from files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.checks import check_arrays
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn.plain import parse

__all__ = ["check_names", "content_of", "digest", "read", "replace_file", "write"]

MOST_HEADER = 100_000_000
"""Bytes of a header; the format's own bound."""
MOST_RECORD = 4_000_000
"""Characters of a record in a file's header; those of 65536 classes with long names."""


def check_names(wanted: Mapping[str, tuple[int, ...]], weights: object) -> dict[str, Array]:
    """See that arrays fit a model by names, shapes and dtypes.

    Args:
        wanted: shape by name.
        weights: what was given: arrays by name, or lists that make arrays.

    Returns:
        The arrays by name.

    Raises:
        ArgumentError: no mapping from names.
        CheckpointError: they do not fit; the message lists every difference.
    """
    given = check_arrays("weights", weights, CheckpointError)
    problems = []
    missing = sorted(set(wanted) - set(given))
    extra = sorted(set(given) - set(wanted))
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if extra:
        problems.append(f"not in the model: {', '.join(extra)}")
    shared = sorted(set(wanted) & set(given))
    shapes = [
        f"{name} has {given[name].shape}, the model needs {tuple(wanted[name])}"
        for name in shared
        if given[name].shape != tuple(wanted[name])
    ]
    if shapes:
        problems.append(f"other shape: {'; '.join(shapes)}")
    dtypes = [
        f"{name} is {given[name].dtype}"
        for name in shared
        if given[name].dtype.name not in ("float32", "float64")
    ]
    if dtypes:
        problems.append(f"neither float32 nor float64: {', '.join(dtypes)}")
    if problems:
        raise CheckpointError("the weights do not fit the model: " + " | ".join(problems))
    return given


def digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over the names in sorted order: name, shape, dtype, little-endian bytes.

    Example:
        >>> import numpy as np
        >>> digest({"a": np.zeros(1, np.float32)}) == digest({"a": np.zeros(2, np.float32)})
        False
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        shape = ",".join(str(side) for side in array.shape)
        total.update(f"{name}\n{shape}\n{array.dtype.name}\n".encode())
        total.update(little.tobytes())
    return total.hexdigest()


def content_of(arrays: Mapping[str, Array], record: Mapping[str, Any]) -> bytes:
    """A safetensors file of arrays, with a record of what they are in its header.

    Raises:
        ArgumentError: a record that is too long to be read back.
    """
    from safetensors.numpy import save

    text = json.dumps(record, sort_keys=True)
    if len(text) > MOST_RECORD:
        raise ArgumentError(
            f"what a file says of its model (layers, class names) must have at most "
            f"{MOST_RECORD:,} characters; it has {len(text):,}"
        )
    # One entry: several would be written in an order that changes from process to process.
    metadata = {"isoconv": text}
    return save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, metadata)


def write(path: Path, arrays: Mapping[str, Array], record: Mapping[str, Any]) -> None:
    """Write arrays as safetensors through a temporary file beside the target.

    Args:
        path: of the file.
        arrays: by name.
        record: what they are, see `isoconv.nn.record`.

    Raises:
        ArgumentError: a record that is too long to be read back.
        OSError: the file cannot be written; an earlier file of that name stays whole.
    """
    replace_file(path, content_of(arrays, record))


def replace_file(path: Path, content: bytes) -> None:
    """Give a file new content, whole or not at all, through a temporary file beside it.

    Raises:
        OSError: it cannot be written; an earlier file of that name stays whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a loss of power, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _check_header(path: Path) -> None:
    """See that a header has nothing that goes by unread.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has.
    """
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if size > MOST_HEADER:
            raise ValueError(f"a header of {size:,} bytes")
        header = parse(file.read(size))
    if not isinstance(header, dict):
        raise TypeError("the header must be an object")
    for name, entry in header.items():
        if name != "__metadata__" and set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"the header says of {name[:80]!r}: {', '.join(sorted(entry))[:80]}")


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read arrays, and the record in the header (empty when there is none).

    Raises:
        CheckpointError: the file cannot be read, is not a safetensors file, or says more in its
            header than what it is read for.
    """
    from safetensors import SafetensorError, safe_open

    try:
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            notes = file.metadata() or {}
            text = notes.get("isoconv", "{}")
            if len(text) > MOST_RECORD:
                raise ValueError(f"its record has {len(text):,} characters")
            record = parse(text)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read as saved weights: {error}") from error
    if "isoconv" in notes and len(notes) > 1:
        more = ", ".join(sorted(set(notes) - {"isoconv"}))
        raise CheckpointError(f"{path} was altered: its header has more than its record: {more}")
    if not isinstance(record, dict):
        raise CheckpointError(f"the record of the model in {path} cannot be read: it is no object")
    return arrays, record
