"""Parquet tables of strangers: their pictures, or one error of isoconv's own, in little memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.serve.served import png

from isoconv.batch import pages
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
