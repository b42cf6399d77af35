"""Mutations of PyTorch's files: the instructions of their pickles, and the archive around them."""

from __future__ import annotations

import io
import pickletools
import random
import zipfile

from tests.fuzz.mutate_archives import lie, zip_entry, zip_of
from tests.fuzz.mutate_bytes import INTEGERS, any_bytes, odd_name

__all__ = ["any_torch"]

_CODES = tuple(each.code.encode("latin-1") for each in pickletools.opcodes)
_WRITTEN = (
    b"cos\nmkdir\n", b"cbuiltins\neval\n", b"X\x01\x00\x00\x00xR", b"}", b"]", b")", b"(", b"0",
    b"2", b"t", b"R", b"b", b"Q", b"u", b"s", b"a", b"e", b"\x85", b"\x86", b"\x87", b"\x85" * 9999,
    b"]" * 9999, b"h\x00", b"q\x00", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\xff", b".", b"N",
    b"\x88",
    b"G\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\x8a\xff" + b"\x7f" * 255, b"\x8b\xff\xff\xff\x7f",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x8d\x00\x00\x00\x00\x01\x00\x00\x00",
    b"X\xff\xff\xff\xff", b"c" + b"a" * 5000 + b"\nb\n", b"c\x1b[2J\nb\n", b"ctorch\nSize\n",
    b"ctorch._utils\n_rebuild_parameter\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_tensor_v3\n", b"ctorch\nComplexFloatStorage\n", b"\x8f", b"\x91",
    b"\x81", b"\x92", b"\x94", b"\x93", b"\x95\xff\xff\xff\xff\xff\xff\xff\xff", b"I9\n", b"L9L\n",
)  # fmt: skip
"""Instructions, with what they carry, in which a pickle may go wrong."""


def _instructions(content: bytes) -> list[bytes]:
    """The instructions of the pickle that bytes begin with, one by one."""
    places = [place or 0 for _, _, place in pickletools.genops(content)]
    return [content[a:b] for a, b in zip(places, [*places[1:], places[-1] + 1], strict=True)]


def _integer(draw: random.Random) -> bytes:
    value = draw.choice(INTEGERS) + draw.choice((0, 0, -1, 1))
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def _any_pickle(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a pickle; what lies behind it stays."""
    steps = _instructions(content)
    behind = content[sum(map(len, steps)) :]
    if draw.random() < 0.2:
        return any_bytes(draw, b"".join(steps)) + behind
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        place = draw.randrange(len(steps))
        what = draw.random()
        numbers = [n for n, step in enumerate(steps) if step[:1] in (b"K", b"M", b"J", b"\x8a")]
        if what < 0.35 and numbers:
            steps[draw.choice(numbers)] = _integer(draw)
        elif what < 0.55:
            steps.insert(place, draw.choice(_WRITTEN))
        elif what < 0.65:
            steps[place] = draw.choice(_WRITTEN)
        elif what < 0.75:
            steps[place] = draw.choice(_CODES) + steps[place][1:]
        elif what < 0.85:
            del steps[place]
        elif what < 0.95:
            other = draw.randrange(len(steps))
            steps[place], steps[other] = steps[other], steps[place]
        else:
            steps.insert(place, draw.choice(steps) * draw.choice((1, 2, 500)))
        if not steps:
            break
    return b"".join(steps) + behind


def _any_legacy(draw: random.Random, content: bytes) -> bytes:
    """A mutant of the older format: five pickles in a row, and bytes."""
    starts = [0]
    for _ in range(5):
        starts.append(starts[-1] + sum(map(len, _instructions(content[starts[-1] :]))))
    place = draw.choice((0, 1, 2, 3, 3, 3, 3, 4, 5))
    before, rest = content[: starts[place]], content[starts[place] :]
    return before + (_any_pickle if place < 5 else any_bytes)(draw, rest)


def any_torch(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a file of weights of PyTorch's."""
    if draw.random() < 0.15:
        return any_bytes(draw, content)
    if not content.startswith(b"PK"):
        return _any_legacy(draw, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = draw.randrange(len(members))
    pickled = next(n for n, (name, _) in enumerate(members) if name.endswith("data.pkl"))
    what = draw.random()
    if what < 0.6:
        members[pickled] = members[pickled][0], _any_pickle(draw, members[pickled][1])
    elif what < 0.7:
        members[place] = members[place][0], any_bytes(draw, members[place][1])
    elif what < 0.8:
        members[place] = odd_name(draw, members[place][0]), members[place][1]
    entries = [zip_entry(name, data, stored=draw.random() < 0.98) for name, data in members]
    if what >= 0.8:
        ways = (
            lambda: entries.__setitem__(place, lie(draw, entries[place])),
            lambda: entries.append(entries[place]),
            lambda: entries.pop(place),
            lambda: entries.append(zip_entry("x/data.pkl", members[pickled][1], stored=True)),
        )
        draw.choice((ways[0], *ways))()
    return zip_of(entries)
