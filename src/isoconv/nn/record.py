"""What a model is beside its weights, in one record that goes into every file.

::

    {"format": 2, "architecture": …, "input_shape": [28, 28, 1],
     "trained_on": {"dtype": "uint8", "layout": "channels_last", "range": [0.0, 255.0],
                    "reading": {"size": [28, 28], "channels": 1, "depth": 8}},
     "normalisation": {"scale": ["0x…"], "offset": ["0x…"]}, "class_names": ["cat", "dog"],
     "finish": "softmax", "weights_sha256": "…", "arithmetic": 1, "digest": "…"}

``digest`` is the SHA-256 of the rest as compact JSON with sorted keys: two models with one digest
answer the same to the same pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.data.reading import Reading
from isoconv.errors import CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn.plain import canonical

__all__ = ["FINISHES", "FORMAT", "Facts", "TrainedOn", "read_record", "with_weights"]

FORMAT = 2
"""Version of the record."""
FINISHES = ("softmax", "sigmoid", "none")
MOST_CLASSES = 65536
MOST_AXES = 8


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What the images were like that a model was trained on.

    Attributes:
        dtype: ``"uint8"`` or ``"float32"``.
        low: the least value that occurred.
        high: the greatest.
        reading: how picture files became those images; None if they came from elsewhere.
    """

    dtype: Literal["uint8", "float32"]
    low: float
    high: float
    reading: Reading | None = None

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "dtype": self.dtype,
            "layout": "channels_last",
            "range": [self.low, self.high],
            "reading": None if self.reading is None else self.reading.plain(),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TrainedOn:
        """What `plain` was made of.

        Raises:
            KeyError: an entry is missing.
            TypeError: or of another kind.
            ValueError: or outside its range.
        """
        low, high = (float(value) for value in plain["range"])
        dtype = plain["dtype"]
        if dtype not in ("uint8", "float32") or plain["layout"] != "channels_last":
            raise ValueError(f"dtype {dtype!r}, layout {plain['layout']!r}")
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise ValueError(f"range {low} to {high}")
        reading = plain["reading"]
        return cls(dtype, low, high, None if reading is None else Reading.from_plain(reading))


@dataclass(frozen=True, slots=True)
class Facts:
    """All of a model that its weights do not say.

    Attributes:
        architecture: as plain values, or None for a class of a person's own.
        input_shape: of one image.
        trained_on: the kind of images, or None if the model was not trained.
        normalisation: scale and offset of each channel, ``x * scale + offset``, or None.
        class_names: of the outputs; empty when nobody named them.
        finish: what a prediction puts behind the model's result.
    """

    architecture: Mapping[str, Any] | None
    input_shape: tuple[int, ...]
    trained_on: TrainedOn | None
    normalisation: tuple[Array, Array] | None
    class_names: tuple[str, ...]
    finish: str

    def plain(self) -> dict[str, Any]:
        """The record, but for the weights."""
        constants = self.normalisation
        return {
            "format": FORMAT,
            "arithmetic": ARITHMETIC_VERSION,
            "architecture": self.architecture,
            "input_shape": list(self.input_shape),
            "trained_on": None if self.trained_on is None else self.trained_on.plain(),
            "normalisation": None
            if constants is None
            else {"scale": _hex(constants[0]), "offset": _hex(constants[1])},
            "class_names": list(self.class_names),
            "finish": self.finish,
        }


def with_weights(plain: Mapping[str, Any], weights_sha256: str) -> dict[str, Any]:
    """The whole record: `Facts.plain` with the digest of the weights and that of all.

    Example:
        >>> sorted(with_weights({"a": 1}, "b"))
        ['a', 'digest', 'weights_sha256']
    """
    record = {**plain, "weights_sha256": weights_sha256}
    return {**record, "digest": hashlib.sha256(canonical(record)).hexdigest()}


def read_record(record: Mapping[str, Any], where: str) -> Facts:
    """The facts of a record, whose digest must be right.

    Raises:
        CheckpointError: the record is of another format or arithmetic, was edited, or makes no
            sense.
    """
    for name, wanted in (("format", FORMAT), ("arithmetic", ARITHMETIC_VERSION)):
        if record.get(name) != wanted:
            raise CheckpointError(
                f"{where} must be of {name} {wanted}, which this isoconv reads; it is "
                f"{record.get(name)!r}"
            )
    try:
        rest = {name: value for name, value in record.items() if name != "digest"}
        found = hashlib.sha256(canonical(rest)).hexdigest()
        if record["digest"] != found:
            raise CheckpointError(
                f"the record of the model in {where} was edited: its digest must be "
                f"{record['digest']!r}; it is {found}"
            )
        facts = _facts(record)
        own = {**facts.plain(), "weights_sha256": record["weights_sha256"]}
        if canonical(own) != canonical(rest):
            more = ", ".join(sorted(set(rest) - set(own))) or "another form"
            raise ValueError(f"it has {more}, which isoconv does not write")
        return facts
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"the record of the model in {where} cannot be read: {error!r}"
        ) from error


def _facts(record: Mapping[str, Any]) -> Facts:
    shape = tuple(_side(side) for side in record["input_shape"])
    if len(shape) > MOST_AXES:
        raise ValueError(f"input_shape {shape}")
    trained_on, constants = record["trained_on"], record["normalisation"]
    names = record["class_names"]
    if not isinstance(names, list) or len(names) > MOST_CLASSES:
        raise TypeError("class_names")
    if record["finish"] not in FINISHES:
        raise ValueError(f"finish {record['finish']!r}")
    architecture = record["architecture"]
    if architecture is not None and not isinstance(architecture, Mapping):
        raise TypeError("architecture")
    return Facts(
        architecture=architecture,
        input_shape=shape,
        trained_on=None if trained_on is None else TrainedOn.from_plain(trained_on),
        normalisation=None if constants is None else _constants(constants, shape),
        class_names=tuple(str(name) for name in names),
        finish=record["finish"],
    )


def _side(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise ValueError(f"a side of {value!r}")
    return value


def _constants(plain: Mapping[str, Any], shape: Sequence[int]) -> tuple[Array, Array]:
    with np.errstate(over="ignore"):
        scale, offset = (
            np.array([float.fromhex(value) for value in plain[name]]).astype(np.float32)
            for name in ("scale", "offset")
        )
    if not shape or scale.shape != (shape[-1],) or offset.shape != (shape[-1],):
        raise ValueError("normalisation needs a scale and an offset for each channel")
    if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
        raise ValueError("normalisation needs finite numbers")
    return scale, offset


def _hex(values: Array) -> list[str]:
    return [float(value).hex() for value in values]
