"""Mutations of pictures that keep what a decoder checks first: chunks, entries, check sums."""

from __future__ import annotations

import random
import struct
import zlib

from tests.fuzz.mutate_bytes import INTEGERS, any_bytes, integer

__all__ = ["any_png", "any_riff", "any_tiff"]

_SIGNATURE = 8
_KINDS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP",
          b"acTL", b"fcTL", b"fdAT", b"gAMA", b"pHYs", b"cHRM", b"sRGB")  # fmt: skip


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], _SIGNATURE
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


def _png_of(signature: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    return signature + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def any_png(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a PNG file, mostly with check sums that fit."""
    chunks = _chunks(content)
    if not chunks or draw.random() < 0.3:
        return any_bytes(draw, content)
    place = draw.randrange(len(chunks))
    kind, body = chunks[place]
    what = draw.random()
    if what < 0.25:
        # The header: sizes, bits, colours.
        head = bytearray(chunks[0][1])
        if draw.random() < 0.5:
            start = draw.choice((0, 4))
            head[start : start + 4] = integer(draw, 4, big=True)
        else:
            head[draw.randrange(8, 13)] = draw.choice((0, 1, 2, 3, 4, 6, 7, 8, 16, 32, 255))
        chunks[0] = b"IHDR", bytes(head)
    elif what < 0.6:
        chunks[place] = kind, any_bytes(draw, body)
    elif what < 0.7:
        chunks[place] = draw.choice(_KINDS), body
    elif what < 0.8:
        new = draw.choice((b"", b"a\0\0" + zlib.compress(bytes(1 << 22)), b"\xff" * 40, body))
        chunks.insert(place, (draw.choice(_KINDS), new))
    elif what < 0.85:
        chunks.insert(place, (draw.choice(_KINDS), zlib.compress(draw.randbytes(99))))
    elif what < 0.95 and kind == b"IDAT":
        try:
            inner = zlib.decompress(body)
        except zlib.error:
            inner = body
        chunks[place] = kind, zlib.compress(any_bytes(draw, inner), 1)
    else:
        draw.shuffle(chunks)
    return _png_of(content[:_SIGNATURE], chunks)


def any_tiff(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a TIFF file: mostly an entry of its directory."""
    if draw.random() < 0.3:
        return any_bytes(draw, content)
    order = "<" if content[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2))):
        place = start + 2 + 12 * draw.randrange(count)
        what = draw.random()
        if what < 0.15:
            tags = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 324,
                    330, 338, 339, 347, 530, 34665, 34853, 274, 700)  # fmt: skip
            struct.pack_into(f"{order}H", changed, place, draw.choice(tags))
        elif what < 0.35:
            struct.pack_into(f"{order}H", changed, place + 2, draw.choice((*range(14), 16, 65535)))
        elif what < 0.55:
            changed[place + 4 : place + 8] = integer(draw, 4, order == ">")
        elif what < 0.9:
            small = draw.choice((*range(10), 12, 16, 32, 64, 5, 7, 50000, 34712))
            values = (struct.pack(f"{order}HH", small, 0), integer(draw, 4, order == ">"))
            changed[place + 8 : place + 12] = draw.choice(values)
        elif what < 0.95:
            struct.pack_into(f"{order}H", changed, start, draw.choice((0, 1, count + 1, 65535)))
        else:
            # The next directory: this one again, or anywhere.
            new = draw.choice((start, 8, 1, len(content) - 1, 2**32 - 1))
            end = start + 2 + 12 * count
            if end + 4 <= len(changed):
                struct.pack_into(f"{order}I", changed, end, new)
    return bytes(changed)


def any_riff(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a WebP or HEIC file: its four-byte sizes, or bytes."""
    if draw.random() < 0.5:
        return any_bytes(draw, content)
    changed = bytearray(content)
    names = [place for place in range(min(len(content), 600) - 8) if
             content[place : place + 4].isalnum()]  # fmt: skip
    place = draw.choice(names or [0])
    # A size stands behind its name in one format, before it in the other.
    side = draw.choice((-4, 4))
    start = max(0, place + side)
    small = draw.choice((0, 1, 7, 8, 9, 15, 16, draw.choice(INTEGERS) % 2**32))
    changed[start : start + 4] = small.to_bytes(4, "big" if side < 0 else "little")
    return bytes(changed)
