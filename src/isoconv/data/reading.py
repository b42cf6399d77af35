"""How picture files become arrays: the same way in training and for every later picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from isoconv.checks import check_choice, check_count, check_mapping, check_shape, settle, shown
from isoconv.errors import ArgumentError

__all__ = ["DTYPES", "PixelType", "Reading"]

PixelType = Literal["uint8", "float32"]
DTYPES: tuple[PixelType, PixelType] = ("uint8", "float32")


@dataclass(frozen=True, slots=True)
class Reading:
    """How picture files become arrays. What is None follows from the files.

    Attributes:
        size: height and width to which pictures are scaled and cropped.
        channels: 1 for gray, 3 for colour.
        depth: bits of the numbers in files that are deeper than 8 bits: ``2**depth - 1`` becomes
            255, full brightness. 8 says that there were no such files.
        dtype: ``"uint8"``, or ``"float32"`` for files of floats, whose values stay as they are.

    Raises:
        ArgumentError: a setting that is none of those.

    Example:
        >>> Reading((64, 64), 3, 8, "uint8").plain()
        {'size': [64, 64], 'channels': 3, 'depth': 8, 'dtype': 'uint8'}
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    depth: int | None = None
    dtype: PixelType | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            settle(self, size=check_shape("size", self.size, axes=2))
        if self.channels is not None:
            settle(self, channels=_channels(self.channels))
        if self.depth is not None:
            settle(self, depth=check_count("depth", self.depth, most=32))
        if self.dtype is not None:
            settle(self, dtype=check_choice("dtype", self.dtype, DTYPES))

    @property
    def resolved(self) -> bool:
        """Whether nothing is left to guess from files.

        Example:
            >>> Reading((64, 64), 3, 8).resolved, Reading((64, 64)).resolved
            (True, False)
        """
        depth_known = self.depth is not None or self.dtype == "float32"
        return self.size is not None and self.channels is not None and depth_known

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "size": None if self.size is None else list(self.size),
            "channels": self.channels,
            "depth": self.depth,
            "dtype": self.dtype,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Reading:
        """What `plain` was made of.

        Raises:
            ArgumentError: a setting is missing or none that there is.
        """
        found = check_mapping("a reading", plain)
        missing = [field.name for field in fields(cls) if field.name not in found]
        if missing:
            raise ArgumentError(f"a reading must say its {', '.join(missing)}; got {shown(plain)}")
        return cls(found["size"], found["channels"], found["depth"], found["dtype"])


def _channels(value: object) -> int:
    found = check_count("channels", value)
    if found not in (1, 3):
        raise ArgumentError(f"channels must be 1 or 3; got {found}")
    return found
