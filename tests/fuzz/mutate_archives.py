"""Mutations of gzip, zip and tar: what is inside is changed, or the packing lies."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from tests.fuzz.mutate_bytes import any_bytes, integer, odd_name

__all__ = ["any_gz", "any_npz", "any_tar_gz", "lie", "zip_entry", "zip_of"]

_ZEROS = 1 << 24


@cache
def _packed_zeros(gzipped: bool) -> bytes:
    """16 MiB of zeros as deflate, or as a member of gzip, makes them small."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31 if gzipped else -15)
    return packer.compress(bytes(_ZEROS)) + packer.flush()


# gzip


def any_gz(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a gzipped file; half of them with a check sum that fits."""
    what = draw.random()
    if what < 0.4:
        return any_bytes(draw, content)
    inner = gzip.decompress(content)
    if what < 0.9:
        return gzip.compress(any_bytes(draw, inner), 1, mtime=0)
    first = gzip.compress(inner, 1, mtime=0)
    return draw.choice((
        first + first, first + b"trailing", first + bytes(9), inner,
        gzip.compress(first, 1, mtime=0),
        first[:-8] + bytes(8), first[:-1],
        _large_idx(draw, inner) + _packed_zeros(True) * draw.choice((1, 8, 60)),
        first + _packed_zeros(True) * 60,
    ))  # fmt: skip


def _large_idx(draw: random.Random, inner: bytes) -> bytes:
    """The gzipped header of an idx file that declares much."""
    sides = [draw.choice((1, 2**10, 2**12, 2**14, 2**20, 2**31)) for _ in range(inner[3])]
    return gzip.compress(inner[:4] + struct.pack(f">{len(sides)}I", *sides), 1, mtime=0)


# zip


@dataclass(frozen=True, slots=True)
class _Entry:
    """A member of a zip file as it is written, true or not."""

    name: bytes
    packed: bytes
    size: int
    crc: int
    method: int = 8
    flags: int = 0
    packed_size: int | None = None
    offset: int | None = None
    again: bytes | None = None


def zip_entry(name: str, content: bytes, stored: bool = False) -> _Entry:
    """A true member, deflated or stored."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = content if stored else packer.compress(content) + packer.flush()
    raw = name.encode("utf-8", "surrogateescape")[:65535]
    return _Entry(raw, packed, len(content), zlib.crc32(content), 0 if stored else 8)


def zip_of(entries: list[_Entry], count: int | None = None, comment: bytes = b"") -> bytes:
    """A zip file of these members; `again` is a name that the member's own header gives."""
    body, directory = bytearray(), bytearray()
    for each in entries:
        declared = len(each.packed) if each.packed_size is None else each.packed_size
        start = len(body) if each.offset is None else each.offset
        own = each.name if each.again is None else each.again
        shared = (each.method, 0, 33, each.crc, declared % 2**32, each.size % 2**32)
        body += struct.pack("<4s5H3I2H", b"PK\3\4", 20, each.flags, *shared, len(own), 0)
        body += own + each.packed
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 20, 20, each.flags, *shared, len(each.name), 0, 0, 0, 0, 0,
            start % 2**32,
        ) + each.name  # fmt: skip
    number = (len(entries) if count is None else count) % 2**16
    end = (b"PK\5\6", 0, 0, number, number, len(directory), len(body), len(comment))
    return bytes(body + directory + struct.pack("<4s4H2IH", *end) + comment)


# npz

_DTYPES = (
    "'<U0'", "'|V0'", "'|S0'", "'|O'", "'<M8[ns]'", "'<m8'", "'<f2'", "'>u2'", "'|b1'", "'<c16'",
    "'<U1000000'", "'<U536870912'", "'<f16'", "'|u1'", "'<i8'", "'>f8'", "'|S5'", "'|V3'", "'<u8'",
    "[('a', '<f4')]", "[('a', '|u1'), ('a', '|u1')]", "[('', '|O')]", "('|u1', (2,))", "None", "1",
    "'|u1, |u1'", "[]", "''", "'\\x1b[2J'", "'<i8' * 9**9", "{'names': [], 'formats': []}",
    "('<U0', (2, 3))", "[('a', '<U0')]", "'object'", "('|u1', (2147483647,))",
)  # fmt: skip
_SHAPES = (
    "()", "(0,)", "(1,)", "(-1,)", "(6, 4, 5)", "(6,)", "(120,)", "(2147483648,)", "(4294967296,)",
    "(1000000000000,)", "(9223372036854775807,)", "(9223372036854775808,)", "(0, 10**9)", "None",
    "(0, 1000000000000)", "(4294967296, 4294967296)", "(1,) * 99", "(True,)", "(6.0,)", "'a'",
    "[6]", "(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, "
    "1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, "
    "1, 1, 1, 1, 1, 1,)", "(6, -4, -5)", "(-9223372036854775808, 2)", "(1e9,)", "(6, 0)",
)  # fmt: skip
_HEADERS = (
    b"{", b"{'descr': ", b"(" * 90, b"(" * 5000, b"", b"\xff\xfe", b"{}", b"[]", b"1",
    b"'\n", b"\0",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (6,), 'more': 1}", b"{[]: 1}", b"{'a'",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (0x7fffffffL,)}", b"-" * 5000 + b"1",
    b"{'descr': '|u1', 'fortran_order': 1, 'shape': (6,)}", b'"""', b"{" + b" " * 65000, b"\\",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b",)}",
    b"__import__('os')", b"  {'descr': 1}\n\t x", b"{'descr': b'|u1'}", b"1 if 1 else 2",
)  # fmt: skip


def _npy(version: tuple[int, int], header: bytes, data: bytes, length: int | None = None) -> bytes:
    declared = len(header) if length is None else length
    width = 2 if version[0] == 1 else 4
    size = (declared % (1 << 8 * width)).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes(version) + size + header + data


def _any_npy(draw: random.Random, content: bytes) -> bytes:
    """A mutant of an array with its header."""
    if draw.random() < 0.25:
        return any_bytes(draw, content)
    length = int.from_bytes(content[8:10], "little")
    header, data = content[10 : 10 + length], content[10 + length :]
    text = header.decode("latin-1")
    dtype = text[text.index("'descr': ") + 9 : text.index(", 'fortran")]
    shape = text[text.index("'shape': ") + 9 : text.index(", }")]
    version = draw.choice(((1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (9, 9), (0, 0)))
    what = draw.random()
    if what < 0.15:
        return _npy(version, any_bytes(draw, header), data)
    if what < 0.3:
        return _npy(version, draw.choice(_HEADERS), data)
    if what < 0.35:
        return _npy(version, header, data, draw.choice((0, 1, 9, 65535, 2**31, 2**32 - 1)))
    if what < 0.8:
        dtype = draw.choice(_DTYPES)
    if what > 0.6:
        shape = draw.choice(_SHAPES)
    order = draw.choice(("False", "False", "True"))
    new = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"
    data = draw.choice((data, data, b"", b"", data[:1], bytes(4 * len(data))))
    return _npy(version, new.encode() + b"\n", data)


def _many(draw: random.Random, entries: list[_Entry]) -> list[_Entry]:
    count = draw.choice((300, 300, 3000, 20_000))
    empty = zip_entry("a", b"", stored=True)
    return [*entries, *(replace(empty, name=b"%d.npy" % number) for number in range(count))]


def _bomb(draw: random.Random, entry: _Entry) -> _Entry:
    """An array of 16 MiB and more, of which a zip file is a thousandth."""
    times = draw.choice((1, 1, 1, 8, 40))
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 4, 4), }\n"
    start = _npy((1, 0), header % (times * _ZEROS // 16), b"")
    head = zlib.compressobj(1, zlib.DEFLATED, -15)
    first = head.compress(start) + head.flush(zlib.Z_FULL_FLUSH)
    # Zeros end their stream; within another one they need their blocks open.
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    block = _open_zeros()
    packed = first + block * times + packer.flush()
    return replace(entry, packed=packed, size=len(start) + times * _ZEROS, crc=0, method=8)


@cache
def _open_zeros() -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(bytes(_ZEROS)) + packer.flush(zlib.Z_FULL_FLUSH)


def lie(draw: random.Random, entry: _Entry) -> _Entry:
    """A member that is told of otherwise than it is."""
    number = int.from_bytes(integer(draw, 4), "little")
    return draw.choice((
        replace(entry, size=number),
        replace(entry, packed_size=number),
        replace(entry, offset=number),
        replace(entry, crc=number),
        replace(entry, method=draw.choice((0, 1, 9, 12, 14, 93, 95, 99, 65535))),
        replace(entry, flags=draw.choice((1, 8, 0x20, 0x40, 0x800, 0x2000, 0xFFFF))),
        replace(entry, again=odd_name(draw, "x").encode("utf-8", "surrogateescape")[:9000]),
        replace(entry, name=b"\xff\xfe" + entry.name, flags=0x800),
    ))  # fmt: skip


def any_npz(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a NumPy archive."""
    if draw.random() < 0.15:
        return any_bytes(draw, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        stored = archive.infolist()[0].compress_type == zipfile.ZIP_STORED
    place = draw.randrange(len(members))
    name, array = members[place]
    what = draw.random()
    if what < 0.55:
        members[place] = name, _any_npy(draw, array)
        return zip_of([zip_entry(*member, stored) for member in members])
    entries = [zip_entry(*member, stored) for member in members]
    if what < 0.73:
        entries[place] = lie(draw, entries[place])
        return zip_of(entries)
    if what < 0.76:
        entries[place] = _bomb(draw, entries[place])
        return zip_of(entries)
    bare = name.removesuffix(".npy")
    again = _any_npy(draw, array)
    ways = (
        lambda: zip_of([*entries, zip_entry(bare, again)]),
        lambda: zip_of([zip_entry(bare, again), *entries]),
        lambda: zip_of([*entries, zip_entry(name, again)]),
        lambda: zip_of([*entries, entries[place]]),
        lambda: zip_of([*entries, zip_entry("class_names.npy", again)]),
        lambda: zip_of([zip_entry(odd_name(draw, each), data) for each, data in members]),
        lambda: zip_of(_many(draw, entries)),
        lambda: zip_of(entries, count=draw.choice((0, 1, 65535))),
        lambda: zip_of(entries, comment=b"a" * 65535),
        lambda: zip_of(entries[:place] + entries[place + 1 :]),
        lambda: b"prefix" * draw.choice((1, 999)) + zip_of(entries),
        lambda: zip_of([]),
    )
    return draw.choice(ways)()


# tar


def _pax(draw: random.Random) -> bytes:
    """An extended header, and what it may claim."""
    key = draw.choice(("path", "size", "linkpath", "mtime", "GNU.sparse.map", "hdrcharset", "x",
                       "GNU.sparse.size", "GNU.sparse.major", "GNU.sparse.numblocks"))  # fmt: skip
    value = draw.choice(("data_batch_1.bin", "-1", "99999999999999999999", "nan", "1e99", "0,1,2",
                         "\ud800", "\x1b[2J.bin", "a" * 300_000, "", "0"))  # fmt: skip
    body = f" {key}={value}\n".encode(
        "utf-8", "surrogateescape" if "\udc80" in value else "replace"
    )
    length = len(body) + len(str(len(body) + 4))
    return draw.choice((b"%d" % length, b"%d" % length, b"0", b"-1", b"9" * 30, b"x", b"1")) + body


def _tar_of(draw: random.Random, members: list[tuple[str, bytes]]) -> bytes:
    """A tar file of which one member's header lies."""
    out, place = bytearray(), draw.randrange(len(members))
    for number, (name, content) in enumerate(members):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        if number == place:
            out += _before(draw)
            what = draw.random()
            if what < 0.3:
                info.type = draw.choice((b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"D", b"Z",
                                         b"L", b"K", b"x", b"g", b"X", b"\0", b"A"))  # fmt: skip
                info.linkname = draw.choice(("data_batch_1.bin", "../../x", "/etc/passwd", name))
            elif what < 0.5:
                info.name = odd_name(draw, name)[:2000]
            elif what < 0.8:
                info.size = draw.choice((0, 1, len(content) - 1, len(content) + 1, 2**29, 2**29 + 1,
                                         8**11 - 1, 2**40, 2**62))  # fmt: skip
            elif what < 0.9:
                content = any_bytes(draw, content)
                info.size = len(content)
        formats: tuple[Literal[1], Literal[2]] = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
        head = info.tobuf(draw.choice(formats), "utf-8", "surrogateescape")
        if number == place and draw.random() < 0.2:
            head = _summed(any_bytes(draw, head).ljust(512, b"\0")[:512])
        out += head + content + bytes(-len(content) % 512)
    return bytes(out) + bytes(1024)


def _before(draw: random.Random) -> bytes:
    """What may stand before a member: a long name, an extended header, many members."""
    what = draw.random()
    if what > 0.4:
        return b""
    info = tarfile.TarInfo("x")
    if what < 0.1:
        body = _pax(draw) * draw.choice((1, 1, 50))
        info.type = draw.choice((b"x", b"g"))
    elif what < 0.2:
        body = odd_name(draw, "data_batch_1.bin").encode("utf-8", "surrogateescape")
        body = body * draw.choice((1, 40))
        info.type = draw.choice((b"L", b"K"))
    elif what < 0.25:
        body, info.type = bytes(5_000_000), draw.choice((b"x", b"L", b"g"))
    else:
        return info.tobuf() * draw.choice((1, 999, 1001, 5000))
    info.size = len(body)
    # A size that lies comes before a body that is as long as it is.
    head = info.tobuf(tarfile.GNU_FORMAT)
    return head + body + bytes(-len(body) % 512)


@cache
def _long_names() -> bytes:
    """A member of gzip that holds one of tar with a name of 4 MiB."""
    info = tarfile.TarInfo("a" * (4 << 20))
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT), 1, mtime=0)


def _summed(head: bytes) -> bytes:
    """A header with the check sum that it needs."""
    total = sum(head[:148]) + sum(head[156:]) + 8 * 32
    return head[:148] + b"%06o\0 " % (total % 8**6) + head[156:]


def any_tar_gz(draw: random.Random, content: bytes) -> bytes:
    """A mutant of a gzipped tar file."""
    what = draw.random()
    if what < 0.15:
        return any_bytes(draw, content)
    inner = gzip.decompress(content)
    if what < 0.3:
        # The middle of pixels is of no interest: headers are every few blocks.
        block = 512 * draw.randrange(len(inner) // 512)
        changed = any_bytes(draw, inner[block : block + 512])
        inner = inner[:block] + changed + inner[block + 512 :]
        return gzip.compress(inner, 1, mtime=0)
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        members = []
        for info in archive:
            stream = archive.extractfile(info)
            members.append((info.name, b"" if stream is None else stream.read()))
    if what < 0.4:
        draw.shuffle(members)
        members += members[: draw.randint(0, 2)]
    elif what < 0.42:
        return _long_names() * draw.choice((2, 150))
    elif what < 0.45:
        first = gzip.compress(inner[:-1024], 1, mtime=0)
        return first + _packed_zeros(True) * draw.choice((1, 20))
    return gzip.compress(_tar_of(draw, members), 1, mtime=0)
