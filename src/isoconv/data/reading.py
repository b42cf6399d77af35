"""How picture files become arrays: the same way in training and for every later picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from isoconv.checks import (
    check_choice,
    check_count,
    check_flag,
    check_mapping,
    check_shape,
    refusal,
    settle,
    shown,
)
from isoconv.errors import ArgumentError, about

__public__ = {"isoconv.data": ["Reading"]}

PixelType = Literal["uint8", "float32"]
DTYPES: tuple[PixelType, PixelType] = ("uint8", "float32")
Opacity = Literal["white", "dropped"]
OPACITIES: tuple[Opacity, Opacity] = ("white", "dropped")


@dataclass(frozen=True, slots=True)
class Reading:
    """How picture files become arrays. What is None follows from the files.

    Attributes:
        size: height and width to which pictures are scaled and cropped.
        channels: 1 for gray, 3 for colour.
        depth: bits of the numbers in files that are deeper than 8 bits: ``2**depth - 1`` becomes
            255, full brightness. 8 says that there were no such files.
        dtype: ``"uint8"``, or ``"float32"`` for files of floats, whose values stay as they are.
        reduced: a JPEG that is much larger than `size` is decoded reduced by 8, 4 or 2, whichever
            is the largest that leaves twice the size, and scaled from there; False for the readings
            that were made before there was this.
        opacity: ``"white"``: what is not opaque is shown on white; ``"dropped"``: the colours
            beneath are taken as they are, in the readings that were made before there was this.

    Raises:
        ArgumentError: a setting that is none of those.

    Example:
        >>> Reading((64, 64), 3, 8, "uint8").plain()
        {'size': [64, 64], 'channels': 3, 'depth': 8, 'dtype': 'uint8', 'reduced': True, \
'opacity': 'white'}
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    depth: int | None = None
    dtype: PixelType | None = None
    reduced: bool = True
    opacity: Opacity = "white"

    def __post_init__(self) -> None:
        if self.size is not None:
            settle(self, size=check_shape("size", self.size, axes=2))
        if self.channels is not None:
            settle(self, channels=_channels(self.channels))
        if self.depth is not None:
            settle(self, depth=check_count("depth", self.depth, most=32))
        if self.dtype is not None:
            settle(self, dtype=check_choice("dtype", self.dtype, DTYPES))
        settle(self, reduced=check_flag("reduced", self.reduced))
        settle(self, opacity=check_choice("opacity", self.opacity, OPACITIES))

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
        """The same for JSON; ``reduced`` and ``opacity`` stand there only if true and white."""
        return {
            "size": None if self.size is None else list(self.size),
            "channels": self.channels,
            "depth": self.depth,
            "dtype": self.dtype,
            # So that the records of older readings, and their digests, stay as they are.
            **({"reduced": True} if self.reduced else {}),
            **({"opacity": "white"} if self.opacity == "white" else {}),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Reading:
        """What `plain` was made of.

        Raises:
            ArgumentError: a setting is missing or none that there is.
        """
        with about("plain", plain):
            found = check_mapping("a reading", plain)
        later = ("reduced", "opacity")
        names = [field.name for field in fields(cls) if field.name not in later]
        missing = [name for name in names if name not in found]
        if missing:
            text = f"a reading must say its {', '.join(missing)}; got {shown(plain)}"
            raise ArgumentError(text, argument="plain", value=plain)
        # Readings that were made before there were these do not say them.
        more = found.get("reduced", False), found.get("opacity", "dropped")
        return cls(found["size"], found["channels"], found["depth"], found["dtype"], *more)


def _channels(value: object) -> int:
    found = check_count("channels", value)
    if found not in (1, 3):
        raise refusal("channels", "be 1 or 3", found)
    return found
