"""Settings as plain values for JSON, and back."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.data import Augmentation
from isoconv.errors import CheckpointError
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.optim import SGD, Adam, AdamW
from isoconv.train.schedule import Constant, Cosine, OneCycle, Step, WarmUp
from isoconv.train.step import Loss

__all__ = ["differences", "from_plain", "to_plain", "versions"]

_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        SGD, Adam, AdamW, Augmentation, Constant, Cosine, EarlyStopping, Loss, OneCycle, Step,
        WarmUp,
    )
}  # fmt: skip


def to_plain(value: Any) -> Any:
    """Numbers, strings, lists and dicts that say the same; records carry their ``type``.

    Example:
        >>> to_plain(SGD(0.1))["type"]
        'SGD'
    """
    if is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
        return {"type": type(value).__name__, **plain}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def from_plain(plain: Any) -> Any:
    """What `to_plain` was given.

    Raises:
        CheckpointError: a record of an unknown type, or with other fields.

    Example:
        >>> from_plain(to_plain(WarmUp(2, Cosine())))
        WarmUp(epochs=2, then=Cosine(final=0.0), steps=None)
    """
    if isinstance(plain, list):
        return [from_plain(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    values = {key: from_plain(item) for key, item in plain.items()}
    if "type" not in values:
        return values
    name = values.pop("type")
    if name not in _TYPES:
        raise CheckpointError(
            f"settings of type {name!r} cannot be read back; known are {', '.join(sorted(_TYPES))}"
        )
    try:
        return _TYPES[name](**values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"settings of type {name!r} cannot be read: {error}") from error


def differences(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Where two plain records differ, a line each.

    Example:
        >>> differences({"seed": 0}, {"seed": 1})
        ['seed: the run has 0, given is 1']
    """
    return [
        f"{name}: the run has {recorded.get(name)!r}, given is {given.get(name)!r}"
        for name in sorted({*recorded, *given})
        if recorded.get(name) != given.get(name)
    ]


def versions() -> dict[str, Any]:
    """The arithmetic's version and those of the software at hand."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, Any] = {"arithmetic": ARITHMETIC_VERSION, "python": platform.python_version()}
    for package in ("isoconv", "numpy", "llvmlite", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
