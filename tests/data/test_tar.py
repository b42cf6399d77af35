"""Tar archives: what others write is read, what was made to mislead is refused in little memory."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.data.classics import cifar_records
from tests.data.limits import read_within

from isoconv.data import load
from isoconv.data.tar import BLOCK, members
from isoconv.errors import DataFileError

MOST = 1 << 20
RECORDS = cifar_records(3, 2, 100, 1)[0]


def packed(files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT, **settings: Any) -> bytes:
    """A tar archive, not compressed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind, **settings) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def listed(content: bytes, read: bool = True) -> dict[str, bytes | None]:
    """Names and contents of an archive."""
    return {
        each.name: each.read().tobytes() if read else None
        for each in members(io.BytesIO(content), "x.tar", MOST)
    }


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    """One header."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


FILES = {
    "plain": b"content",
    "empty": b"",
    "block": bytes(BLOCK),
    "a/" * 70 + "long": b"x" * 513,
    "n" * 180: b"y",
    "a/" * 30 + "n" * 90: b"z",
    "K\u00e4tzchen": b"u",
}


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("read", [True, False])
def test_what_others_write_is_read(kind: int, read: bool) -> None:
    """All three kinds, with long names and without, whether contents are asked for or passed."""
    files = {name: content for name, content in FILES.items()
             if kind != tarfile.USTAR_FORMAT or len(name) < 150}  # fmt: skip
    wanted = {name: content if read else None for name, content in files.items()}
    assert listed(packed(files, kind), read) == wanted


def test_links_and_folders_are_no_files() -> None:
    """Whatever size a link, a folder, a pipe or a device has, no content follows."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
                     tarfile.CHRTYPE, tarfile.BLKTYPE):  # fmt: skip
            info = tarfile.TarInfo("train.bin")
            info.type, info.size = kind, 700
            archive.addfile(info)
        info = tarfile.TarInfo("file")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    assert listed(stream.getvalue()) == {"file": b"x"}


def test_sizes_in_other_forms() -> None:
    """GNU's large numbers, and a size in a pax header, which counts in place of the other."""
    large = bytearray(header(b"0", 3))
    large[124:136] = b"\x80" + (3).to_bytes(11, "big")
    large[148:156] = b" " * 8
    large[148:156] = b"%06o\0 " % sum(large)
    assert listed(bytes(large) + b"abc".ljust(BLOCK, b"\0")) == {"x": b"abc"}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x")
        info.size, info.pax_headers = 3, {"size": "3", "comment": "a=b\nc", "mtime": "1.5"}
        archive.addfile(info, io.BytesIO(b"abc"))
    assert listed(stream.getvalue()) == {"x": b"abc"}


CONTENT = b"x" * BLOCK
BROKEN: list[tuple[bytes | Callable[[], bytes], str]] = [
    (b"", "a tar archive with entries; found none"),
    (bytes(2 * BLOCK), "a tar archive with entries; found none"),
    (header(b"0", 5)[:300], "a header of 512 bytes; found 300: it is truncated"),
    (header(b"0", 5), "5 bytes of entry x; found 0: it is truncated"),
    (header(b"0", 512) + CONTENT[:100], "found 100: it is truncated"),
    (header(b"0", 5, "y").replace(b"y", b"z", 1), "a header with another sum"),
    (header(b"0", 5)[:124] + b"9" * 12 + header(b"0", 5)[136:], "a header with another sum"),
    (header(b"0", MOST + 1), "entries of at most 1048576 bytes; found x of 1048577 bytes"),
    (header(b"L", 1 << 40), "headers of at most 65536 bytes; found one of 1099511627776"),
    (header(b"x", 65537), "headers of at most 65536 bytes; found one of 65537"),
    (header(b"x", 512) + CONTENT, "a pax header of records"),
    (header(b"x", 9) + b"6 size=4\n".ljust(BLOCK, b"\0"), "a pax header of records"),
    (header(b"x", 9) + b"9 size=-\n".ljust(BLOCK, b"\0"), "a size in a pax header; found b'-'"),
    (header(b"x", 12) + b"99999 path=x".ljust(BLOCK, b"\0"), "a pax header of records"),
    (header(b"x", 10) + b"10 size=4\n".ljust(BLOCK, b"\0") + bytes(BLOCK), "a last one cut off"),
    (header(b"S", 5) + CONTENT, "files without holes; found x with holes"),
    (header(b"0", 5) + CONTENT + bytes(BLOCK) + b"more", "zeros behind the last entry; found more"),
    (b"".join([header(b"0", MOST) + bytes(MOST)] * 5), "at most 4194304 bytes in all"),
    (b"".join([header(b"0", 0)] * 1001), "at most 1000 entries; found more"),
    (b"no archive".ljust(BLOCK), "the number b'        ': corrupt|a header with another sum"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=range(len(BROKEN)))
def test_broken_archives_are_refused(content: bytes, message: str) -> None:
    """What is cut off, altered or too large is told."""
    with pytest.raises(DataFileError, match=f"^x.tar: expected .*{message}"):
        listed(content)


def compressed(path: Path, *parts: bytes) -> Path:
    """A gzip file of many parts."""
    with gzip.open(path, "wb", 6) as stream:
        for part in parts:
            stream.write(part)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_endless_headers_take_little(tmp_path: Path, kind: bytes) -> None:
    """A header that says it is four gigabytes long is refused, not read."""
    zeros = [bytes(1 << 20)] * 64
    path = compressed(tmp_path / "x.tar.gz", header(kind, 1 << 32), *zeros)
    assert "headers of at most 65536 bytes; found one of 4294967296" in read_within(path)


@pytest.mark.slow
def test_endless_records_take_little(tmp_path: Path) -> None:
    """Headers full of short records, each of a length that is allowed, are bounded together."""
    record = b"9 a=b c\n" + b"\n"
    content = (record * 7281)[:65529]
    part = header(b"x", len(content)) + content.ljust(-(-len(content) // BLOCK) * BLOCK, b"\0")
    path = compressed(tmp_path / "x.tar.gz", *[part] * 1001)
    assert "headers of at most 1048576 bytes in all; found more" in read_within(path)


def test_endless_zeros_behind_take_little(tmp_path: Path) -> None:
    """The end of an archive is no place for gigabytes."""
    path = compressed(tmp_path / "x.tar.gz", packed({"train.bin": RECORDS}), *[bytes(1 << 20)] * 64)
    assert "zeros behind the last entry; found more" in read_within(path)


def test_a_name_means_one_member(tmp_path: Path) -> None:
    """Two files of one name, though in different folders: nobody can say which is meant."""
    files = {"a/train.bin": RECORDS, "b/train.bin": RECORDS}
    with pytest.raises(DataFileError, match=r"one file train\.bin; found several"):
        load(compressed(tmp_path / "x.tar.gz", packed(files)))


def test_an_altered_byte_is_found(tmp_path: Path) -> None:
    """A pixel that was changed on the way fails gzip's checksum, though nothing else does."""
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(packed({"train.bin": RECORDS}), 0))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=r"x\.tar\.gz: truncated or corrupt tar\.gz file: CRC"):
        load(path)
