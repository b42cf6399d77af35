"""NumPy archives that were made to mislead: refused by name, in little memory and little time."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.limits import read_within

from isoconv import memory
from isoconv.data import load
from isoconv.errors import DataFileError, NotEnoughMemoryError

IMAGES = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
LABELS = np.array([0, 1], np.uint8)


def npy(array: Any) -> bytes:
    """An array as NumPy writes it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text: str, content: bytes = b"", version: int = 1) -> bytes:
    """An array with this text as its header."""
    packed = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + packed + text.encode("latin-1") + content


def declared(descr: str, shape: str, content: bytes = b"") -> bytes:
    """An array of this type and shape, whatever its content."""
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n", content)


def archive(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file of these members."""
    with zipfile.ZipFile(path, "w", packing) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return path


def with_images(path: Path, content: bytes) -> Path:
    """An archive whose images are these bytes."""
    return archive(path, {"images.npy": content, "labels.npy": npy(LABELS)})


def with_names(path: Path, content: bytes) -> Path:
    """A whole archive with these bytes for class names."""
    members = {"images.npy": npy(IMAGES), "labels.npy": npy(LABELS), "class_names.npy": content}
    return archive(path, members)


@pytest.mark.parametrize("descr", ["'<U0'", "'|S0'", "'|V0'", "'<U1'"])
@pytest.mark.parametrize("shape", ["(1099511627776,)", "(9223372036854775807,)", "(65537,)"])
def test_endless_names_are_refused(tmp_path: Path, descr: str, shape: str) -> None:
    """Names of no bytes take none however many there are; they are counted before."""
    path = with_names(tmp_path / "x.npz", declared(descr, shape, b"\0" * 4 * 65537))
    assert "array 'class_names': expected" in read_within(path)


HEADERS = [
    "",
    "{",
    "(" * 5000,
    "{'descr': " + "[" * 3000,
    "-" * 9000 + "1",
    "{'descr': '|u1', 'fortran_order': False}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 3)",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 3)} + {}",
    "{'descr': '|u1', 'descr': '<f8', 'fortran_order': False, 'shape': (2, 4, 3)}",
    "{'descr': False, 'fortran_order': False, 'shape': (2, 4, 3)}",
    "{'descr': '|u1', 'fortran_order': '|u1', 'shape': (2, 4, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (24)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 4, -3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2,, 4, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "1," * 40 + ")}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 0, 3)}",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2, 4, 3)}",
    "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2, 4, 3)}",
    "{'descr': '<f16', 'fortran_order': False, 'shape': (2, 4, 3)}",
    "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (2, 4, 3)}",
    "{'descr': '\xe9', 'fortran_order': False, 'shape': (2, 4, 3)}",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 3)\0}",
    "'''",
    "{'descr': '|u1'\n\\",
    "\x1b[2J\x9b",
]


@pytest.mark.parametrize("text", HEADERS, ids=range(len(HEADERS)))
def test_broken_headers_are_refused(tmp_path: Path, text: str) -> None:
    """Whatever stands in a header, an error names the array, and nothing of it is evaluated."""
    for version in (1, 2):
        path = with_images(tmp_path / "x.npz", header(text, IMAGES.tobytes(), version))
        with pytest.raises(DataFileError, match=r"x\.npz, array 'images': expected") as caught:
            load(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an .npy header of version 1 or 2; found none"),
        (b"\x93NUMPY", "found version : truncated"),
        (b"\x93NUMPY\x09\x07\0\0", "found version 9.7"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff{", "at most 10000 bytes; found 4294967295"),
        (b"\x93NUMPY\x01\0\x10\0{", "a header of 16 bytes; found 1: it is truncated"),
        (npy(IMAGES)[:-1], r"152 bytes for the declared uint8 of shape \(2, 4, 3\); found 151"),
        (npy(IMAGES) + b"x", "found 153"),
    ],
)
def test_truncated_arrays_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """A header or an array that is cut off or goes on says what is missing."""
    with pytest.raises(DataFileError, match=f"array 'images': .*{message}"):
        load(with_images(tmp_path / "x.npz", content))


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("dtype", ["|u1", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_all_that_numpy_writes_is_read(
    tmp_path: Path, fortran: bool, dtype: str, version: tuple[int, int]
) -> None:
    """Both versions, both orders of axes, both orders of bytes; labels in columns."""
    stream, array = io.BytesIO(), IMAGES.astype(dtype)
    array = np.asfortranarray(array) if fortran else array
    np.lib.format.write_array(stream, array, version)
    labels = npy(np.array([[0], [1]], ">i8"))
    path = archive(tmp_path / "x.npz", {"images.npy": stream.getvalue(), "labels.npy": labels})
    data = load(path)
    assert (data.images[..., 0] == IMAGES).all()
    assert data.labels.tolist() == [0, 1]
    assert data.images.flags.c_contiguous


def test_other_writers_are_read(tmp_path: Path) -> None:
    """Entries in another order, double quotes, Python 2's long numbers, no last comma."""
    text = '{"shape": (2L,4L, 3L,), "fortran_order":False ,\t"descr" : "|u1"}'
    path = with_images(tmp_path / "x.npz", header(text, IMAGES.tobytes()))
    assert (load(path).images[..., 0] == IMAGES).all()


def test_a_name_means_one_member(tmp_path: Path) -> None:
    """``images`` beside ``images.npy`` is another member: it is not read, and told."""
    members = {"images": b"\0" * 100, "images.npy": npy(IMAGES), "labels.npy": npy(LABELS)}
    data = load(archive(tmp_path / "x.npz", members))
    assert (data.images[..., 0] == IMAGES).all()
    assert data.notes == ("left out of x.npz: images",)
    with pytest.raises(DataFileError, match="found no arrays"):
        load(archive(tmp_path / "y.npz", {"images": npy(IMAGES), "labels": npy(LABELS)}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_repeated_name_is_refused(tmp_path: Path) -> None:
    """Two members of one name: nobody can say which is meant."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as written:
        for content in (npy(IMAGES), npy(IMAGES[::-1])):
            written.writestr("images.npy", content)
        written.writestr("labels.npy", npy(LABELS))
    with pytest.raises(DataFileError, match=r"of their own; found images\.npy more than once"):
        load(path)


def test_arrays_beside_are_told(tmp_path: Path) -> None:
    """An array of no part is left out, and said to be; one of another part is none such."""
    path = tmp_path / "x.npz"
    odd: dict[str, Any] = {"w\x1b[2J": LABELS}
    np.savez(
        path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS, images=IMAGES, **odd
    )
    assert load(path).notes == ("left out of x.npz: images, w\\x1b[2J",)
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS)
    assert load(path).notes == load(path, "test").notes == ()


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_refused(tmp_path: Path, packing: int) -> None:
    """NumPy stores or deflates; other packings expand without a bound."""
    path = archive(tmp_path / "x.npz", {"images.npy": npy(IMAGES)}, packing)
    with zipfile.ZipFile(path, "a") as written:
        written.writestr("labels.npy", npy(LABELS))
    with pytest.raises(DataFileError, match="an entry that is stored or deflated; found another"):
        load(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    """Nobody is asked for a password."""
    path = with_images(tmp_path / "x.npz", npy(IMAGES))
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="stored or deflated; found an encrypted one"):
        load(path)


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """Four bytes that are no character of Unicode."""
    path = with_names(tmp_path / "x.npz", declared("'<U1'", "(2,)", b"\xff" * 8))
    with pytest.raises(DataFileError, match="characters of Unicode; found the number 0xffffffff"):
        load(path)
    path = with_names(tmp_path / "x.npz", npy(np.zeros((2, 2))))
    with pytest.raises(DataFileError, match="a list of text, of at most 65536 entries; found"):
        load(path)


@pytest.mark.slow
def test_very_many_members_take_little(tmp_path: Path) -> None:
    """A directory of a million entries is refused before it is taken apart."""
    path = with_images(tmp_path / "x.npz", npy(IMAGES))
    whole = path.read_bytes()
    place = whole.rindex(b"PK\5\6")
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 4) + bytes(16) + b"name"
    directory = entry * 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), place, 0)
    path.write_bytes(whole[:place] + directory + end)
    assert "a directory of 50000000 bytes, which must be at most 1048576" in read_within(path)
    members = {f"{number}.npy": b"" for number in range(10_001)}
    assert "expected at most 10000 entries; found 10001" in read_within(
        archive(tmp_path / "y.npz", members, zipfile.ZIP_STORED)
    )


@pytest.mark.slow
def test_a_thousandfold_expansion_is_held_to_the_memory(tmp_path: Path) -> None:
    """Zeros shrink a thousandfold: such an array is read where there is room, and else refused."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=np.zeros((100, 1024, 1024), np.uint8), labels=[0] * 100)
    assert path.stat().st_size < 200_000
    assert read_within(path, memory=1 << 28) == "read: (100, 1024, 1024, 1)"
    assert "NotEnoughMemoryError: reading" in read_within(path, memory=1 << 26)
    before = memory.set_limit(1 << 26)
    try:
        with pytest.raises(NotEnoughMemoryError, match=r"of the 64\.0 MiB that are allowed"):
            load(path)
    finally:
        memory.set_limit(before)
