"""Parquet tables of strangers: their pictures, or one error of isoconv's own, in little memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.serve.served import png

from isoconv.batch import pages
from isoconv.batch.inputs import gathered
from isoconv.batch.picture_rows import PictureRows, picture_rows
from isoconv.errors import ArgumentError, DataFileError, IsoconvError

PICTURES = [png(seed) for seed in range(20)]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"use_dictionary": False, "compression": "none"},
    "packed": {"compression": "zstd", "data_page_version": "2.0"},
    "groups": {"row_group_size": 7, "data_page_size": 500, "write_page_checksum": True},
    "large": {"column_encoding": "DELTA_BYTE_ARRAY", "use_dictionary": False},
}


def table(path: Path, **how: Any) -> Path:
    """A table of pictures, each twice."""
    rows = pa.table({"label": range(40), "image": PICTURES * 2})
    if "column_encoding" in how:
        how["column_encoding"] = {"image": how["column_encoding"]}
    parquet.write_table(rows, path, **how)
    return path


def found(source: PictureRows, start: int = 0) -> list[bytes]:
    """The bytes of the pictures from a row on."""
    return [item.content for item in source.items(start)]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_from_anywhere(kind: str, tmp_path: Path) -> None:
    """Whatever the layout of the file; rows have the numbers that they have in the table."""
    path = table(tmp_path / "a.parquet", **KINDS[kind])
    source, notes = picture_rows(path, None, None)
    assert notes == (f"{path}: pictures are taken out of column 'image'",)
    assert source.count == 40
    for start in (0, 1, 6, 7, 20, 39):
        assert found(source, start) == (PICTURES * 2)[start:]
    assert [item.name for item in source.items(37)] == [f"{path}#{row}" for row in (37, 38, 39)]


def test_groups_without_rows(tmp_path: Path) -> None:
    """A table of them is one of no pictures, and said to be; others are passed over."""
    path = tmp_path / "zero.parquet"
    empty = pa.table({"image": pa.array([], pa.binary())})
    parquet.write_table(empty, path)
    source, notes = picture_rows(path, None, None)
    assert (source.count, found(source)) == (0, [])
    assert notes[1:] == (f"{path}: it has no rows",)
    with parquet.ParquetWriter(path, empty.schema) as writer:
        for rows in (
            empty,
            pa.table({"image": PICTURES[:3]}),
            empty,
            pa.table({"image": PICTURES}),
        ):
            writer.write_table(rows)
    source, notes = picture_rows(path, None, None)
    assert source.groups == (0, 3, 0, 20)
    assert len(notes) == 1
    for start in (0, 2, 3, 22, 23):
        assert found(source, start) == (PICTURES[:3] + PICTURES)[start:]


def test_which_column(tmp_path: Path) -> None:
    """Bytes with a path before bytes alone; paths and one of several must be named."""
    path = tmp_path / "a.parquet"
    both = [{"bytes": PICTURES[0], "path": None}]
    parquet.write_table(pa.table({"x": [b""], "image": both, "other": ["a"]}), path)
    assert picture_rows(path, None, None)[0].column == "image"
    assert picture_rows(path, "other", None)[0].leaves == ("other",)
    with pytest.raises(ArgumentError, match="'x', 'image', 'other'; got 'none'"):
        picture_rows(path, "none", None)
    parquet.write_table(pa.table({"x": [b""], "y": [b""], "z": [1]}), path)
    with pytest.raises(ArgumentError, match=r"which column of .* holds pictures: 'x', 'y'"):
        picture_rows(path, None, None)
    fixed = pa.array([PICTURES[0][:10]], pa.binary(10))
    parquet.write_table(pa.table({"z": [1], "image": fixed}), path)
    for column in (None, "image"):
        with pytest.raises(
            ArgumentError, match=r"'z' \(int64\), 'image' \(fixed_size_binary\[10\]"
        ):
            picture_rows(path, column, None)
    parquet.write_table(pa.table([[b""], [1], ["a"]], names=["x", "x", "y"]), path)
    for column in (None, "x"):
        with pytest.raises(ArgumentError, match=r"must name one column of .*; 2 are called 'x'"):
            picture_rows(path, column, None)
    assert [item.file for item in picture_rows(path, "y", None)[0].items(0)] == [
        str(tmp_path / "a")
    ]
    views = {
        "image": pa.array(PICTURES, pa.binary_view()),
        "y": pa.array(["a"] * 20, pa.string_view()),
    }
    parquet.write_table(pa.table(views), path)
    assert found(picture_rows(path, None, None)[0], 1) == PICTURES[1:]
    assert [item.file for item in picture_rows(path, "y", None)[0].items(19)] == [
        str(tmp_path / "a")
    ]


@pytest.mark.slow
def test_large_pages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any memory is taken; rows of rather large ones come one by one."""
    path = tmp_path / "a.parquet"
    rows = pa.table({"image": [bytes(2**24)] * 40})
    parquet.write_table(rows, path, compression="zstd")
    assert path.stat().st_size < 2**16
    source, _ = picture_rows(path, None, None)
    assert source.at_once == 1
    before = pa.total_allocated_bytes()
    most = 0
    for item in source.items(0):
        assert len(item.content) == 2**24
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 5 * 2**24
    monkeypatch.setattr(pages, "MOST", 2**23)
    tracemalloc.start()
    with pytest.raises(DataFileError, match=r"a page must have at most 8,388,608 bytes; one says"):
        picture_rows(path, None, None)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


FOREIGN = {
    "float64": b"\x07" + bytes(8),
    "UUID": b"\x0d" + bytes(16),
    "set of float64": b"\x0a\x17" + bytes(8),
    "map": b"\x0b\x01\x88\x01a\x01b",
    "empty map": b"\x0b\x00",
    "struct": b"\x0c\x17" + bytes(8) + b"\x00",
    "list of bits": b"\x09\x21\x01\x02",
}
"""Fields in Thrift's compact protocol, as a later version of the format may have them."""


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_footer_may_say_more(kind: str, tmp_path: Path) -> None:
    """What is known nowhere is passed over, whatever its kind; what never ends is refused."""
    whole = table(tmp_path / "whole.parquet").read_bytes()
    size = int.from_bytes(whole[-8:-4], "little")
    path = tmp_path / "more.parquet"

    def write(field: bytes) -> None:
        # Behind its kind stands its number, 100; a zero byte ends the footer.
        footer = whole[-8 - size : -9] + field[:1] + b"\xc8\x01" + field[1:] + b"\x00"
        path.write_bytes(whole[: -8 - size] + footer + len(footer).to_bytes(4, "little") + b"PAR1")

    write(FOREIGN[kind])
    assert found(picture_rows(path, None, None)[0]) == PICTURES * 2
    write(FOREIGN[kind][:-1])
    with pytest.raises(DataFileError, match="cannot be read as a Parquet table"):
        picture_rows(path, None, None)
    write(b"\x09" + b"\x19" * 5000)
    with path.open("rb") as file, pytest.raises(ValueError, match="has too many levels"):
        pages.check_pages(file, ("image",))


def test_what_a_table_says_besides(tmp_path: Path) -> None:
    """Limits that are no numbers, and texts that are none, keep no picture away."""
    path = tmp_path / "a.parquet"
    odd = pa.array([float("nan"), float("inf"), -float("inf"), 1.5, None])
    rows = pa.table({"x": odd, "image": PICTURES[:5]})
    told = {b"\xff": b"\x00\xfe", b"pandas": b"{no JSON", b"": bytes(1000)}
    parquet.write_table(rows.replace_schema_metadata(told), path)
    assert found(picture_rows(path, None, None)[0]) == PICTURES[:5]


KEPT: dict[str, Any] = {
    "dictionary": pa.array(PICTURES).dictionary_encode(),
    "large": pa.array(PICTURES, pa.large_binary()),
    "Hugging Face": pa.array([{"bytes": each, "path": "a.png"} for each in PICTURES]),
    "both large": pa.array(
        [{"bytes": each, "path": None} for each in PICTURES],
        pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())]),
    ),
    "no paths": pa.array([{"bytes": each} for each in PICTURES]),
}


@pytest.mark.parametrize("kind", KEPT)
def test_kinds_of_columns(kind: str, tmp_path: Path) -> None:
    """Bytes are taken out of any kind; a column may have a point in its name."""
    path = tmp_path / "a.parquet"
    for name in ("image", "my.image"):
        parquet.write_table(pa.table({"n": range(20), name: KEPT[kind]}), path)
        source, _ = picture_rows(path, None, None)
        assert source.column == name
        assert found(source, 3) == PICTURES[3:]
    # One that is called as a part of another one.
    both = {"a": pa.array([{"bytes": each} for each in PICTURES]), "a.bytes": [b"x"] * 20}
    parquet.write_table(pa.table(both), path)
    assert found(picture_rows(path, None, None)[0], 1) == PICTURES[1:]


@pytest.mark.parametrize(
    "values",
    [
        [[each] for each in PICTURES],
        [[{"bytes": each, "path": "a"}] for each in PICTURES],
        [{"image": {"bytes": each, "path": "a"}} for each in PICTURES],
        [None] * 20,
        range(20),
    ],
)
def test_columns_that_are_refused(values: Any, tmp_path: Path) -> None:
    """Lists, structs within structs and numbers: the columns are told with their kinds."""
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"image": values}), path)
    for column in (None, "image"):
        with pytest.raises(ArgumentError, match=r"it has none of bytes.*'image' \("):
            picture_rows(path, column, None)


def test_paths_that_are_no_text(tmp_path: Path) -> None:
    """They name files whose names are none; the other rows have theirs."""
    path = tmp_path / "a.parquet"
    offsets = pa.array([0, 1, 3, 4], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"ab\xffc")])
    both = pa.StructArray.from_arrays([pa.nulls(3, pa.binary()), texts], ["bytes", "path"])
    parquet.write_table(pa.table({"paths": texts, "both": both}), path)
    for column in ("paths", "both"):
        source, _ = picture_rows(path, column, None)
        assert [item.name for item in source.items(0)] == ["a", r"b\udcff", "c"]
        assert [os.fsencode(item.file) for item in source.items(1)][:1] == [
            os.fsencode(tmp_path) + b"/b\xff"
        ]


def test_encrypted_tables_are_refused(tmp_path: Path) -> None:
    """The whole of one, or its column of pictures; another column may be."""
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Keys(encryption.KmsClient):  # type: ignore[misc, name-defined]
        """Keeps none."""

        def wrap_key(self, key: bytes, _: str) -> bytes:
            """As it is."""
            return key

    rows = pa.table({"x": range(20), "image": PICTURES})
    path = tmp_path / "a.parquet"

    def write(column: str, plain: bool) -> None:
        how = encryption.EncryptionConfiguration("key", column_keys={"key": [column]},
                                                 plaintext_footer=plain)  # fmt: skip
        factory = encryption.CryptoFactory(lambda _: Keys())
        made = factory.file_encryption_properties(encryption.KmsConnectionConfig(), how)
        with parquet.ParquetWriter(path, rows.schema, encryption_properties=made) as writer:
            writer.write_table(rows)

    write("image", plain=False)
    with pytest.raises(DataFileError, match=r"a\.parquet cannot be read .* encrypted metadata"):
        picture_rows(path, None, None)
    write("image", plain=True)
    with pytest.raises(DataFileError, match="its column is encrypted"):
        picture_rows(path, None, None)
    write("x", plain=True)
    assert found(picture_rows(path, None, None)[0]) == PICTURES


def test_folders_of_tables(tmp_path: Path) -> None:
    """As programs write them by the values of a column: their files, in the order of names."""
    for number in (1, 0):
        folder = tmp_path / "set.parquet" / f"part={number}"
        folder.mkdir(parents=True)
        parquet.write_table(pa.table({"image": PICTURES[number::2]}), folder / "a.parquet")
    for name in ("_metadata.parquet", ".a.parquet.crc", "_SUCCESS"):
        (tmp_path / "set.parquet" / name).write_bytes(b"x")
    inputs = gathered([str(tmp_path / "set.parquet")])
    assert [item.content for item in inputs.items()] == PICTURES[::2] + PICTURES[1::2]
    assert inputs.notes == (
        f"{tmp_path}/set.parquet: no pictures, 2 Parquet files",
        f"{tmp_path}/set.parquet: pictures are taken out of column 'image'",
    )
    with pytest.raises(ArgumentError, match="--column must name one with bytes or paths"):
        gathered([str(tmp_path / "set.parquet")], "x")
    # A table that is made there is not finished yet.
    (tmp_path / "set.parquet" / "out.parquet.parts").mkdir()
    (tmp_path / "set.parquet" / "out.parquet.parts" / "part-00000000.parquet").write_bytes(b"x")
    assert gathered([str(tmp_path / "set.parquet")]).digest() == inputs.digest()


@pytest.mark.parametrize("kind", KINDS)
def test_spoiled_tables(kind: str, tmp_path: Path) -> None:
    """Bytes changed, cut out and cut off: rows, or one error that names the file."""
    whole = table(tmp_path / "whole.parquet", **KINDS[kind]).read_bytes()
    path = tmp_path / "spoiled.parquet"
    chance = np.random.RandomState(7)
    read, refused = 0, 0
    told: set[bool] = set()
    for _ in range(150):
        content = bytearray(whole)
        # The headers of pages stand before the pictures, the rest of what is said at the end.
        end = 40 if chance.rand() < 0.5 else len(content)
        for _ in range(chance.randint(1, 5)):
            place = chance.randint(end) if end == 40 else len(content) - chance.randint(1, 900)
            content[place] = int(chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randint(256)]))
        if chance.rand() < 0.2:
            del content[chance.randint(len(content)) :]
        path.write_bytes(content)
        try:
            rows = found(picture_rows(path, "image", None)[0])
        except IsoconvError as error:
            refused += 1
            told.add(str(path) in str(error))
        else:
            assert all(type(row) is bytes for row in rows)
            read += 1
    assert read > 10
    assert refused > 10
    assert told == {True}
