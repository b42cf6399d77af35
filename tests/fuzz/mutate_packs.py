"""Mutations of packed data sets, mostly with digests that fit, so that what is inside is read."""

from __future__ import annotations

import hashlib
import json
import random

from tests.fuzz.mutate_bytes import INTEGERS, any_bytes
from tests.fuzz.mutate_json import any_json, changed_value

from isoconv.data.pack_layout import BLOCK, MAGIC, PAGE, VERSION

__all__ = ["any_pack"]


def any_pack(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a packed data set."""
    size, length = (int.from_bytes(content[place : place + 8], "little") for place in (24, 32))
    data, text = content[PAGE : PAGE + size], content[len(content) - length :]
    blocks = content[PAGE + size : len(content) - length]
    what = draw.random()
    if what < 0.1:
        return any_bytes(draw, content)
    version = VERSION
    if what < 0.2:
        wrong = draw.choice((*INTEGERS, 2**63 - 1, size + 1, 2**40, length + 1)) % 2**64
        version, size, length = draw.choice(
            ((wrong, size, length), (version, wrong, length), (version, size, wrong))
        )
        return _signed(version, size, length, data, blocks, text)
    if what < 0.3:
        text = any_json(draw, text, compact=True)
    elif what < 0.75:
        plain = json.loads(text)
        part = draw.choice([*plain, "images", "labels", "paths", "parts"])
        if draw.random() < 0.2:
            plain = changed_value(draw, plain)
        else:
            plain[part] = changed_value(draw, plain[part])
        text = json.dumps(plain).encode()
    elif what < 0.8:
        blocks = any_bytes(draw, blocks)
    else:
        data = any_bytes(draw, data)
        size = len(data)
        starts = range(0, size, BLOCK)
        blocks = b"".join(hashlib.sha256(data[at : at + BLOCK]).digest() for at in starts)
    return _signed(version, size, len(text), data, blocks, text)


def _signed(version: int, size: int, length: int, data: bytes, blocks: bytes, text: bytes) -> bytes:
    numbers = b"".join(number.to_bytes(8, "little") for number in (version, size, length))
    page = MAGIC + numbers + hashlib.sha256(blocks + text).digest()
    return page.ljust(PAGE, b"\0") + data + blocks + text
