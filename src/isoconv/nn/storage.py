"""Weights by name: checked against a model, digested, written to and read from files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from isoconv.errors import CheckpointError
from isoconv.graph.operation import Array

__all__ = ["check_input_shape", "check_names", "digest", "read", "replace_file", "write"]


def check_names(wanted: Mapping[str, Array], given: Mapping[str, Array]) -> None:
    """See that arrays fit a model by names, shapes and dtypes.

    Raises:
        CheckpointError: they do not; the message lists every difference.
    """
    if not wanted and given:
        raise CheckpointError(
            "weights can only be loaded into a built model: call model.build(input_shape) first"
        )
    problems = []
    missing = sorted(set(wanted) - set(given))
    extra = sorted(set(given) - set(wanted))
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if extra:
        problems.append(f"not in the model: {', '.join(extra)}")
    shared = sorted(set(wanted) & set(given))
    shapes = [
        f"{name} has {tuple(np.shape(given[name]))}, the model needs {wanted[name].shape}"
        for name in shared
        if np.shape(given[name]) != wanted[name].shape
    ]
    if shapes:
        problems.append(f"other shape: {'; '.join(shapes)}")
    dtypes = [
        f"{name} is {np.asarray(given[name]).dtype}"
        for name in shared
        if np.asarray(given[name]).dtype.name not in ("float32", "float64")
    ]
    if dtypes:
        problems.append(f"neither float32 nor float64: {', '.join(dtypes)}")
    if problems:
        raise CheckpointError("the weights do not fit the model: " + " | ".join(problems))


def check_input_shape(path: Path, input_shape: tuple[int, ...]) -> None:
    """See that a file names an input shape to build a model with.

    Raises:
        CheckpointError: it does not.
    """
    if not input_shape:
        raise CheckpointError(
            f"{path} does not say for which input shape its model was built: "
            "call model.build(input_shape) before model.load"
        )


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


def write(
    path: Path,
    arrays: Mapping[str, Array],
    input_shape: Sequence[int],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write arrays as safetensors through a temporary file beside the target.

    Raises:
        OSError: the file cannot be written; an earlier file of that name stays whole.
    """
    from safetensors.numpy import save

    # One entry: several would be written in an order that changes from process to process.
    facts = {**(notes or {}), "input_shape": list(input_shape)}
    metadata = {"isoconv": json.dumps(facts, sort_keys=True)}
    content = save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, metadata)
    replace_file(path, content)


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


def read(path: Path) -> tuple[dict[str, Array], tuple[int, ...], dict[str, str]]:
    """Read arrays, the input shape (empty when the file does not say) and all that it notes.

    Raises:
        CheckpointError: the file cannot be read or is not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("isoconv", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shape = tuple(int(side) for side in metadata.pop("input_shape", []))
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read as saved weights: {error}") from error
    return arrays, shape, dict(metadata)
