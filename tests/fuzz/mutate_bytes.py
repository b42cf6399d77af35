"""Mutations of bytes, whatever they mean."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

__all__ = ["INTEGERS", "Mutation", "any_bytes", "bytes_mutations", "integer", "odd_name"]

Mutation = Callable[[random.Random, bytes], bytes]

INTEGERS = (0, 1, 2, -1, 127, 128, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31,
            2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**64 - 1)  # fmt: skip
"""Numbers at which sizes and counts go wrong."""
_HEAD = 64
_LONGEST = 1 << 22
"""Bytes beyond which no mutant grows by being doubled."""


def integer(draw: random.Random, width: int, big: bool | None = None) -> bytes:
    """One of `INTEGERS`, or one near it, in so many bytes."""
    value = draw.choice(INTEGERS) + draw.choice((0, 0, 0, -1, 1))
    order = draw.random() < 0.5 if big is None else big
    return (value % (1 << 8 * width)).to_bytes(width, "big" if order else "little")


def _place(draw: random.Random, content: bytes) -> int:
    """Somewhere; half of the time in the head, where sizes are."""
    end = len(content)
    return draw.randrange(min(end, _HEAD) if draw.random() < 0.5 else end)


def _span(draw: random.Random, content: bytes) -> tuple[int, int]:
    start = _place(draw, content)
    length = draw.choice((1, 2, 4, 8, 16, 64, 512, len(content)))
    return start, min(len(content), start + draw.randint(1, length))


def _flipped(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 8, 64))):
        changed[_place(draw, content)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _set(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    changed[_place(draw, content)] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
    return bytes(changed)


def _cut(draw: random.Random, content: bytes) -> bytes:
    start, end = _span(draw, content)
    return content[:start] + content[end:]


def _doubled(draw: random.Random, content: bytes) -> bytes:
    start, end = _span(draw, content)
    times = draw.choice((1, 1, 1, 7, 100))
    if (end - start) * times > _LONGEST:
        times = 1
    return content[:end] + content[start:end] * times + content[end:]


def _filled(draw: random.Random, content: bytes) -> bytes:
    start, end = _span(draw, content)
    return content[:start] + draw.choice((b"\0", b"\xff", b" ")) * (end - start) + content[end:]


def _swapped(draw: random.Random, content: bytes) -> bytes:
    (first, second), (third, fourth) = sorted((_span(draw, content), _span(draw, content)))
    if second > third:
        return content[:first] + content[first:second][::-1] + content[second:]
    return (
        content[:first] + content[third:fourth] + content[second:third]
        + content[first:second] + content[fourth:]
    )  # fmt: skip


def _number(draw: random.Random, content: bytes) -> bytes:
    width = draw.choice((2, 4, 4, 4, 8))
    place = _place(draw, content)
    if draw.random() < 0.7:
        place -= place % width
    return content[:place] + integer(draw, width) + content[place + width :]


def _inserted(draw: random.Random, content: bytes) -> bytes:
    place = _place(draw, content)
    return content[:place] + draw.randbytes(draw.choice((1, 2, 4, 16, 300))) + content[place:]


def _ended(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content))]


def _longer(draw: random.Random, content: bytes) -> bytes:
    return content + draw.choice((b"\0", b"\n", draw.randbytes(9), content, b"\0" * 70_000))


bytes_mutations: Sequence[Mutation] = (
    _flipped, _flipped, _set, _set, _cut, _doubled, _filled, _swapped, _number, _number, _number,
    _inserted, _ended, _longer,
)  # fmt: skip


def any_bytes(draw: random.Random, content: bytes) -> bytes:
    """One to four of the mutations above."""
    for _ in range(draw.choice((1, 1, 1, 1, 2, 2, 4))):
        if not content:
            return draw.choice((b"", b"\0", draw.randbytes(30)))
        content = draw.choice(bytes_mutations)(draw, content)
    return content


def odd_name(draw: random.Random, text: str) -> str:
    """A name as strangers may choose it."""
    return draw.choice((
        "", ".", "..", "../" + text, "/" + text, "/etc/passwd", "\x1b[2J" + text,
        text + "\n" + text,
        "\u202e" + text, text + "\0", "a" * 300, "a/" * 200 + text, text.upper(), " " + text,
        "\udcff" + text, "\\" + text, "CON", text + ".npy", "ä" + text, "a" * 70_000,
    ))  # fmt: skip
