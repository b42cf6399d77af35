"""What a model is beside its weights, in one record that goes into every file.

::

    {"format": 2, "architecture": …, "input_shape": [28, 28, 1],
     "trained_on": {"dtype": "uint8", "layout": "channels_last", "range": [0.0, 255.0],
                    "reading": {"size": [28, 28], "channels": 1, "depth": 8, "dtype": "uint8",
                                "reduced": true, "opacity": "white"}},
     "normalisation": {"scale": ["0x…"], "offset": ["0x…"]}, "class_names": ["cat", "dog"],
     "finish": "softmax", "weights_sha256": "…", "arithmetic": 1, "digest": "…"}

``digest`` is the SHA-256 of the rest as compact JSON with sorted keys: two models with one digest
answer the same to the same pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.checks import LARGEST, shown
from isoconv.data.reading import DTYPES, Reading
from isoconv.errors import CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn.plain import canonical
from isoconv.nn.schema import (
    NUMBER,
    SHA256,
    SIDES,
    Checked,
    Exact,
    Exactly,
    Fault,
    Fields,
    Maybe,
    Rows,
    Schema,
    Text,
    Whole,
    check,
)

FORMAT = 2
"""Version of the record."""
FINISHES = ("softmax", "sigmoid", "none")
MOST_CLASSES = 65536

# What a record must look like


class _Architecture(Schema):
    """What `isoconv.nn.architecture` writes; it stands above this module."""

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """Those of all layers."""
        from isoconv.nn.architecture import faults_of

        yield from faults_of(value, place)


class _Single(Exact):
    """A float32 number, exact."""

    def faults(self, value: Any, place: str) -> Iterator[Fault]:
        """One fault, or none."""
        fits = not any(super().faults(value, place))
        if fits:
            with np.errstate(over="ignore"):
                fits = float(np.float32(float.fromhex(value))).hex() == value
        if not fits:
            rule = "be a finite float32 number in hexadecimal, as float.hex writes it"
            yield Fault(place, rule, value)


def _range(found: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
    if found["range"][0] > found["range"][1]:
        yield ("range",), "have its least value first", found["range"]


def _channels(found: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
    constants, channels = found["normalisation"], found["input_shape"][-1:]
    for name in () if constants is None else ("scale", "offset"):
        if [len(constants[name])] != channels:
            rule = "have a number for each channel of input_shape"
            yield ("normalisation", name), rule, len(constants[name])


_READING = Fields(
    {
        "size": Maybe(Rows(Whole(1, LARGEST), least=2, most=2)),
        "channels": Maybe(Exactly(1, 3)),
        "depth": Maybe(Whole(1, 32)),
        "dtype": Maybe(Exactly(*DTYPES)),
    },
    # Not in the records of readings that were made before there were these.
    {"reduced": Exactly(True), "opacity": Exactly("white")},
)
_TRAINED_ON = Checked(
    Fields(
        {
            "dtype": Exactly("uint8", "float32"),
            "layout": Exactly("channels_last"),
            "range": Rows(NUMBER, least=2, most=2),
            "reading": Maybe(_READING),
        }
    ),
    _range,
)
_DESCRIBED: dict[str, Schema] = {
    "format": Exactly(FORMAT),
    "arithmetic": Whole(1),
    "architecture": Maybe(_Architecture()),
    "input_shape": SIDES,
    "trained_on": Maybe(_TRAINED_ON),
    "normalisation": Maybe(Fields({"scale": Rows(_Single()), "offset": Rows(_Single())})),
    "class_names": Rows(Text(longest=2**20), most=MOST_CLASSES),
    "finish": Exactly(*FINISHES),
}
DESCRIBED = Checked(Fields(_DESCRIBED), _channels)
"""The record without its weights, as run.json and a receipt have it."""
RECORD = Checked(Fields({**_DESCRIBED, "weights_sha256": SHA256, "digest": SHA256}), _channels)
"""All of it, as every file of weights has it."""


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
        """What `plain` was made of."""
        low, high = (float(value) for value in plain["range"])
        reading = plain["reading"]
        own = None if reading is None else Reading.from_plain(reading)
        return cls(plain["dtype"], low, high, own)


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
                f"{shown(record.get(name))}"
            )
    title = f"the record of the model in {where}"
    rest = {name: value for name, value in record.items() if name != "digest"}
    found = hashlib.sha256(canonical(rest)).hexdigest()
    if record.get("digest") != found:
        raise CheckpointError(
            f"{title} was edited: its digest must be {shown(record.get('digest'))}; it is {found}"
        )
    check(title, record, RECORD)
    facts = _facts(record)
    own = {**facts.plain(), "weights_sha256": record["weights_sha256"]}
    if canonical(own) != canonical(rest):
        raise CheckpointError(f"{title} cannot be read: isoconv writes it in another form")
    return facts


def _facts(record: Mapping[str, Any]) -> Facts:
    trained_on, constants = record["trained_on"], record["normalisation"]
    return Facts(
        architecture=record["architecture"],
        input_shape=tuple(record["input_shape"]),
        trained_on=None if trained_on is None else TrainedOn.from_plain(trained_on),
        normalisation=None
        if constants is None
        else (_constants(constants["scale"]), _constants(constants["offset"])),
        class_names=tuple(record["class_names"]),
        finish=record["finish"],
    )


def _constants(plain: list[str]) -> Array:
    return np.array([float.fromhex(value) for value in plain], np.float32)


def _hex(values: Array) -> list[str]:
    return [float(value).hex() for value in values]
