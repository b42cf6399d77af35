"""What is known of images once they were read from the first to the last: in one pass of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np

from isoconv.data.sums import sums
from isoconv.rows import Array, chunks, rows_behind

Fact = Literal["digest", "samples", "sums", "extremes"]


class _Gathered(Protocol):
    """What comes of one part of the images after the other."""

    def __init__(self, images: Array) -> None: ...

    def add(self, part: Array) -> None: ...

    def found(self) -> Any: ...


class _Digest:
    """SHA-256 of all values, as a hash that goes on with whatever comes behind them."""

    def __init__(self, images: Array) -> None:
        self._sha = hashlib.sha256(head_of("images", images))

    def add(self, part: Array) -> None:
        self._sha.update(little(part))

    def found(self) -> Any:
        return self._sha


class _Samples:
    """SHA-256 of each image, in hexadecimal."""

    def __init__(self, images: Array) -> None:
        self._head = hashlib.sha256(head_of("image", images[0]))
        self._found: list[str] = []

    def add(self, part: Array) -> None:
        content = little(part)
        size = len(content) // len(part)
        for place in range(0, len(content), size):
            sha = self._head.copy()
            sha.update(content[place : place + size])
            self._found.append(sha.hexdigest())

    def found(self) -> list[str]:
        return self._found


class _Sums:
    """Of each channel the exact sums of the values and of their squares."""

    def __init__(self, images: Array) -> None:
        self._found = [(Fraction(0), Fraction(0))] * images.shape[-1]

    def add(self, part: Array) -> None:
        more = (sums(part[..., channel]) for channel in range(part.shape[-1]))
        pairs = zip(self._found, more, strict=True)
        self._found = [(first + one, second + other) for (first, second), (one, other) in pairs]

    def found(self) -> list[tuple[Fraction, Fraction]]:
        return self._found


class _Extremes:
    """The least and the greatest value; both are NaN if one is."""

    def __init__(self, images: Array) -> None:  # noqa: ARG002
        self._lows: list[float] = []
        self._highs: list[float] = []

    def add(self, part: Array) -> None:
        self._lows.append(float(part.min()))
        self._highs.append(float(part.max()))

    def found(self) -> tuple[float, float]:
        return float(np.min(self._lows)), float(np.max(self._highs))


_KINDS: dict[Fact, type[_Gathered]] = {
    "digest": _Digest, "samples": _Samples, "sums": _Sums, "extremes": _Extremes,
}  # fmt: skip
_OF_EACH = ("samples",)


def known_of(images: Array, fact: Fact) -> Any:
    """What one fact of some images is.

    Of images that lie in a file all facts are gathered in the pass in which the first is asked for,
    and kept: to read it again may take longer than to work them out.

    Args:
        images: ``(N, H, W, C)``, at least one.
        fact: ``"digest"``, ``"samples"``, ``"sums"`` or ``"extremes"``.

    Example:
        >>> known_of(np.arange(6, dtype=np.uint8).reshape(1, 3, 2, 1), "extremes")
        (0.0, 5.0)
    """
    rows = rows_behind(images)
    if rows is None:
        return _gathered(images, (fact,))[fact]
    kept = {**rows.known, **rows.known_of_each}
    if fact not in kept:
        found = _gathered(images, [each for each in _KINDS if each not in kept])
        for name, value in found.items():
            (rows.known_of_each if name in _OF_EACH else rows.known)[name] = value
            kept[name] = value
    return kept[fact]


def extremes(images: Array) -> tuple[float, float]:
    """The least and the greatest value of some images; NaN twice if one of them is NaN."""
    low, high = known_of(images, "extremes")
    return low, high


def head_of(title: str, array: Array) -> bytes:
    """The line by which a digest tells what an array is, before its values."""
    sides = "x".join(str(side) for side in array.shape)
    return f"{title} {array.dtype.name} {sides}\n".encode()


def little(array: Array) -> memoryview:
    """An array's values as bytes, row-major and little-endian."""
    ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(ordered).reshape(-1).view(np.uint8).data


def _gathered(images: Array, facts: Iterable[Fact]) -> dict[Fact, Any]:
    kinds = {fact: _KINDS[fact](images) for fact in facts}
    for part in chunks(images):
        for kind in kinds.values():
            kind.add(part)
    return {fact: kind.found() for fact, kind in kinds.items()}
