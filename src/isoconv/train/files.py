"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.errors import CheckpointError
from isoconv.nn.plain import parse
from isoconv.nn.storage import replace_file

__all__ = [
    "canonical_json",
    "check_arrays",
    "read_arrays",
    "read_json",
    "write_bytes",
    "write_json",
]

Array = NDArray[Any]


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file through a temporary one beside it.

    Raises:
        CheckpointError: it cannot be written; an earlier file of that name stays whole.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror or error}); what was saved before is whole"
        ) from error


def canonical_json(value: Any) -> bytes:
    r"""JSON with sorted keys and an end of line; the same value gives the same bytes.

    Raises:
        ValueError: a number is not finite.

    Example:
        >>> canonical_json({"b": 1, "a": 0.5})
        b'{\n  "a": 0.5,\n  "b": 1\n}\n'
    """
    text = json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "surrogatepass")


def write_json(path: Path, value: Any) -> None:
    """Replace a file by a value as canonical JSON.

    Raises:
        CheckpointError: it cannot be written; an earlier file of that name stays whole.
    """
    write_bytes(path, canonical_json(value))


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: of the file.
        what: it is, for the message.

    Raises:
        CheckpointError: the file is missing, unreadable or no JSON object; see
            `isoconv.nn.plain.parse`.
    """
    try:
        value = parse(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{what} {path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{what} {path} must hold a JSON object; it holds a {type(value).__name__}"
        )
    return value


def read_arrays(path: Path, digest: str | None = None) -> dict[str, Array]:
    """Read a safetensors file.

    Args:
        path: of the file.
        digest: SHA-256 that its bytes must have.

    Raises:
        CheckpointError: the file cannot be read, is not safetensors or has another digest.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if digest is not None and found != digest:
        raise CheckpointError(
            f"checkpoint {path} is damaged: its SHA-256 must be {digest}; it is {found}"
        )
    try:
        return dict(load(content))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path} is no safetensors file: {error}") from error


def check_arrays(
    what: str, wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, Array]
) -> None:
    """See that float32 arrays have these names and shapes.

    Raises:
        CheckpointError: they do not; the message lists every difference.
    """
    missing = sorted(set(wanted) - set(given))
    extra = sorted(set(given) - set(wanted))
    shared = sorted(set(wanted) & set(given))
    shapes = [
        f"{name} has {given[name].shape}, the model needs {tuple(wanted[name])}"
        for name in shared
        if given[name].shape != tuple(wanted[name])
    ]
    dtypes = [
        f"{name} is {given[name].dtype}" for name in shared if given[name].dtype != np.float32
    ]
    problems = []
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if extra:
        problems.append(f"not in the model: {', '.join(extra)}")
    if shapes:
        problems.append(f"other shape: {'; '.join(shapes)}")
    if dtypes:
        problems.append(f"not float32: {', '.join(dtypes)}")
    if problems:
        raise CheckpointError(f"{what} belongs to another model: {' | '.join(problems)}")
