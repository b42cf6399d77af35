"""Batch prediction: each row has the bits of its picture alone, and a kill loses and doubles none.

A run is killed before each thing that it does to files, and gone on with.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from tests.serve.served import model_file, png

import isoconv as ic
from isoconv.batch.inputs import Inputs, gathered
from isoconv.batch.item import Item
from isoconv.batch.part import Part, Predicting
from isoconv.batch.parts import Parts
from isoconv.batch.predicting import Written, predict_into
from isoconv.batch.table import as_text, table_for
from isoconv.cores import cores
from isoconv.data.reader import decoders
from isoconv.errors import ArgumentError, CheckpointError, IsoconvError
from isoconv.nn import Module
from isoconv.nn.images import warnings_told

SCALE = 1 / 255
NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def model(tmp_path: Path) -> Module:
    """A small classifier of gray pictures."""
    return ic.load(model_file(tmp_path))


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Pictures of all kinds of sources, in an order that is none of names."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for seed in range(20):
        (folder / ("below" if seed % 3 else ".") / f"{seed}.png").write_bytes(png(seed))
    (folder / "bad.png").write_bytes(png(1)[:70])
    Image.new("RGBA", (9, 9), (9, 90, 200, 100)).save(folder / "below" / "clear.png")
    floats = np.random.default_rng(3).random((8, 8)).astype(np.float32)
    Image.fromarray(floats).save(folder / "floats.tif")
    both: list[Any] = [{"bytes": png(seed), "path": f"{seed}.png"} for seed in range(30, 48)]
    both += [{"bytes": None, "path": "pictures/3.png"}, {"bytes": None, "path": "../3.png"}, None]
    table = pa.table({"label": range(21), "image": both})
    parquet.write_table(table, tmp_path / "both.parquet", row_group_size=8)
    rows = [png(50), b"", b"none", png(51)]
    parquet.write_table(pa.table({"rows": rows}), tmp_path / "rows.parquet")
    named = ["9.png", str(folder / "6.png"), "no.png", "a\0b"]
    parquet.write_table(pa.table({"files": named}), tmp_path / "named.parquet")
    places = (tmp_path / "both.parquet", folder, tmp_path / "rows.parquet", folder / "bad.png",
              folder / "0.png", tmp_path / "lost.png")  # fmt: skip
    return [str(place) for place in places]


def predicted(out: Path, model: Module, words: list[str], **more: Any) -> Written:
    """A table of all pictures."""
    return predict_into(out, model, NAMES, gathered(words), scale=SCALE, threads=1, **more)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of any kind."""
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    lines = csv.DictReader(io.StringIO(path.read_text(), newline=""))
    return [
        {name: json.loads(cell or ("[]" if name == "notes" else "null"))
         if name in ("probabilities", "notes") else cell or None for name, cell in row.items()}
        for row in lines
    ]  # fmt: skip


@pytest.mark.slow
def test_rows_are_those_of_each_alone(model: Module, words: list[str], tmp_path: Path) -> None:
    """In the order of the input, in each kind of table, by one process and by several."""
    out = tmp_path / "out.parquet"
    done = predicted(out, model, words)
    found = rows_of(out)
    both = [f"{words[0]}#{row}" for row in range(18)]
    bare = sorted(map(str, Path(words[1]).rglob("*.*")), key=lambda path: Path(path).parts)
    wanted = [*both, "pictures/3.png", *(f"{words[0]}#{row}" for row in (19, 20)), *bare,
              *(f"{words[2]}#{row}" for row in range(4)), *words[3:]]  # fmt: skip
    assert [row["path"] for row in found] == wanted
    alone = tmp_path / "alone.png"
    contents = {name: png(30 + row) for row, name in enumerate(both)}
    contents |= {f"{words[2]}#0": png(50), f"{words[2]}#3": png(51)}
    lost = 0
    for row in found:
        place = tmp_path / row["path"]
        if row["path"] in contents:
            alone.write_bytes(contents[row["path"]])
            place = alone
        try:
            with warnings_told():
                shares = model.predict_files([place], scale=SCALE)[0]
        except IsoconvError:
            lost += 1
            assert row["error"], row
            assert row["class"] is row["probabilities"] is None
            continue
        assert row["error"] is None
        assert np.array_equal(np.float32(row["probabilities"]), shares)
        assert row["class"] == NAMES[int(shares.argmax())]
    errors = {row["path"].rpartition("/")[2]: row["error"] for row in found if row["error"]}
    assert errors["both.parquet#19"].startswith("'../3.png' lies outside ")
    assert errors["both.parquet#20"] == "the row holds no picture"
    assert errors["rows.parquet#1"] == "empty"
    assert {"bad.png", "lost.png", "rows.parquet#2"} < set(errors)
    notes = {Path(row["path"]).name: row["notes"] for row in found if row["notes"]}
    assert set(notes) == {"clear.png", "floats.tif"}
    assert (done.rows, done.lost, done.noted) == (len(found), lost, 2)
    assert lost == 7
    told = json.loads(parquet.read_schema(out).metadata[b"isoconv"])
    assert told["digest"] == model.describe()["digest"]
    assert told["class_names"] == list(NAMES)
    for name in ("out.csv", "out.jsonl"):
        predicted(tmp_path / name, model, words)
        assert [{**row, "probabilities": None} for row in rows_of(tmp_path / name)] == [
            {**row, "probabilities": None} for row in found
        ]
        for row, other in zip(found, rows_of(tmp_path / name), strict=True):
            assert row["probabilities"] == other["probabilities"]
    said: list[str] = []
    workers = cores() + 1
    predicted(tmp_path / "several.parquet", model, words, workers=workers, told=said.append)
    assert said == [f"{workers} processes of 1 thread each, more than the {cores()} cores here"]
    assert (tmp_path / "several.parquet").read_bytes() == out.read_bytes()
    assert not list(tmp_path.glob("*.parts"))


def test_paths_of_a_table(model: Module, words: list[str], tmp_path: Path) -> None:
    """They begin in a folder and stay in it."""
    table = str(tmp_path / "named.parquet")
    inputs = gathered([table], "files", tmp_path / "pictures")
    out = tmp_path / "out.jsonl"
    assert predict_into(out, model, NAMES, inputs, scale=SCALE).lost == 2
    errors = [row["error"] for row in rows_of(out)]
    assert errors[:2] == [None, None]
    assert errors[2] == "there is no such file"
    assert "lies outside" in errors[3]
    for column, text in ((None, "must say which column"), ("label", "must name one with bytes or")):
        with pytest.raises(ArgumentError, match=text):
            gathered([table], column)
    with pytest.raises(ArgumentError, match="--column is for Parquet files"):
        gathered([words[1]], "files")
    with pytest.raises(ArgumentError, match="cannot be gone on with"):
        gathered(["-"])


CHANGES = ("os.link", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def killed_at(moment: int, out: Path, model: Module, words: list[str]) -> bool:
    """Predict in a process that kills itself before a change of files; whether it came to that."""
    child = os.fork()
    if child == 0:
        left = moment

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (
                os.O_WRONLY | os.O_RDWR)  # fmt: skip
            if (writes or event in CHANGES) and out.name in str(arguments[0]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            predicted(out, model, words)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.slow
def test_kills(model: Module, words: list[str], tmp_path: Path) -> None:
    """Killed before each change of a file: the table is the same, or it was whole already."""
    whole = tmp_path / "whole.jsonl"
    predicted(whole, model, words)
    moment, finished = 0, 0
    out = tmp_path / "out.jsonl"
    while killed_at(moment, out, model, words):
        if out.exists():
            assert out.read_bytes() == whole.read_bytes()
            finished += 1
        # Where the table was whole already, that is what is said.
        refused = (
            pytest.raises(ArgumentError, match="is there already")
            if (out.exists() and not (tmp_path / "out.jsonl.parts" / "record.json").exists())
            else nullcontext()
        )
        with refused:
            predicted(out, model, words)
        assert out.read_bytes() == whole.read_bytes()
        assert not out.with_name("out.jsonl.parts").exists()
        out.unlink()
        moment += 1
    assert moment > 30
    assert 0 < finished < moment


def test_parts_that_are_there_are_kept(model: Module, words: list[str], tmp_path: Path) -> None:
    """In any order; the table follows from them, and other facts are refused by name."""
    out, parts = tmp_path / "out.csv", tmp_path / "out.csv.parts"
    model_at = out.with_name("model.safetensors")
    predicted(tmp_path / "whole.csv", model, words)

    class Some:
        """Does the parts from the second on, and then no more."""

        def map(
            self, work: Any, pieces: Iterable[Any], told: Any = None
        ) -> Generator[Any, None, None]:
            for piece in pieces:
                if piece.number:
                    yield piece, work(piece, partial(told, piece))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predicted(out, model, words, mapper=Some())
    assert len(list(parts.glob("part-*.csv"))) == 3
    (left,) = parts.glob("part-00000000-*.pictures")
    other = ic.load(model_at)
    other.class_names = ("a", "b", "c", "d")
    for change, text in (
        ({"model": other}, r"begun with another model \([0-9a-f]{64}, now [0-9a-f]{64}\)"),
        ({"names": ("a", "b", "c", "d")}, "begun with other names of classes"),
        ({"inputs": gathered(words[1:])}, "other pictures, .*; another number of pictures"),
        ({"scale": 0.5}, r"begun with another --scale \(0\.0039.*, now 0\.5\): remove it, or choo"),
    ):
        given: dict[str, Any] = {
            "model": model, "names": NAMES, "inputs": gathered(words), "scale": SCALE, **change,
        }  # fmt: skip
        with pytest.raises(CheckpointError, match=text):
            predict_into(out, **given)
    # What a killed process has left to a worker writes no more once another run has begun.
    items = tuple(Item("x", str(file)) for file in left.iterdir())
    late = Part(0, 0, items, str(left), str(tmp_path / "late.csv"))
    work = Predicting(model, NAMES, SCALE, 1, None, table_for(out, {}), decoders() or "unknown")
    told: list[str] = []
    predicted(out, model, words, told=told.append)
    with pytest.raises(CheckpointError, match="was removed while it was read"):
        work(late, lambda _: None)
    assert not Path(late.file).exists()
    assert told == [f"{out.read_text().count(chr(10)) - 17} of 51 pictures were predicted before: "
                    f"{parts}"]  # fmt: skip
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(ArgumentError, match=r"out\.csv is there already"):
        predicted(out, model, words)
    out.unlink()
    parts.mkdir()
    (parts / "mine.txt").write_text("x")
    with pytest.raises(ArgumentError, match=r"holds mine\.txt, which no prediction wrote"):
        predicted(out, model, words)
    with pytest.raises(ArgumentError, match=r"end in \.parquet, \.csv or \.jsonl"):
        predicted(tmp_path / "out.txt", model, words)


@pytest.mark.parametrize("links", [True, False])
def test_what_came_to_the_place_of_a_table_stays(
    model: Module, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Whenever it came, also where files have one name only; the parts stay and are of use."""
    if not links:

        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "link", refuse)
    predicted(tmp_path / "whole.csv", model, words)
    out = tmp_path / "out.csv"

    class First:
        """Does the parts before one of a number, and then another writes a file."""

        def __init__(self, end: int) -> None:
            self.end = end

        def map(
            self, work: Any, pieces: Iterable[Any], told: Any = None
        ) -> Generator[Any, None, None]:
            for piece in pieces:
                if piece.number == self.end:
                    break
                yield piece, work(piece, partial(told, piece))
            out.write_text("mine")
            if self.end < 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predicted(out, model, words, mapper=First(2))
    text = r"out\.csv is there already: move it away, and the same .* in .*out\.csv\.parts, or"
    for mapper in (None, First(99)):
        with pytest.raises(ArgumentError, match=text):
            predicted(out, model, words, mapper=mapper)
        assert out.read_text() == "mine"
        assert not list((tmp_path / "out.csv.parts").glob(".*.tmp"))
        out.unlink()
    out.symlink_to(tmp_path / "nothing")
    with pytest.raises(ArgumentError, match=text):
        predicted(out, model, words)
    out.unlink()
    told: list[str] = []
    predicted(out, model, words, told=told.append)
    assert told[0].startswith("51 of 51 pictures were predicted before")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob("*.parts"))


def test_an_altered_part_is_made_again(
    model: Module, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its rows or its figures, also of those that say no digest; also of those made just now."""
    out, parts = tmp_path / "out.jsonl", tmp_path / "out.jsonl.parts"
    predicted(tmp_path / "whole.jsonl", model, words)
    wanted = (tmp_path / "whole.jsonl").read_bytes()

    alterations = (
        ("part-00000000.jsonl", '"error": null', '"error": "x"'),
        ("part-00000001.json", '"lost": ', '"lost": 1'),
        ("part-00000002.json", '"sha256"', '"sha1"'),
    )

    def stop(*_: object) -> None:
        for name, old, new in alterations:
            text = (parts / name).read_text()
            assert old in text
            (parts / name).write_text(text.replace(old, new, 1))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Parts, "join", stop)
        with pytest.raises(KeyboardInterrupt):
            predicted(out, model, words)
    told: list[str] = []
    assert predicted(out, model, words, told=told.append).lost == 7
    assert told[0].startswith("51 of 51 pictures were predicted before")
    for (name, *_), line in zip(alterations, told[1:], strict=True):
        assert line.startswith("made again: ")
        assert name.partition(".")[0] in line
    assert out.read_bytes() == wanted
    out.unlink()
    join, again = Parts.join, [True, False]

    def alter(of: Parts) -> Any:
        if again.pop(0):
            name = parts / "part-00000001.jsonl"
            name.write_text(name.read_text().replace('"error": null', '"error": "x"', 1))
        return join(of)

    told.clear()
    with monkeypatch.context() as patched:
        patched.setattr(Parts, "join", alter)
        predicted(out, model, words, told=told.append)
        assert out.read_bytes() == wanted
        assert len(told) == 1
        out.unlink()
        # What is altered as soon as it was written is no table.
        again = [True, True]
        with pytest.raises(
            CheckpointError, match=r"00001\.jsonl or its figures were altered after"
        ):
            predicted(out, model, words)
    assert not out.exists()
    predicted(out, model, words, told=told.append)
    assert out.read_bytes() == wanted


def test_parts_are_read_once(
    model: Module, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And digested once, also those that were there before."""
    out, read = tmp_path / "out.parquet", list[int]()
    reading = Parts.read

    def counted(of: Parts, number: int) -> Any:
        read.append(number)
        return reading(of, number)

    class Two:
        """Does two parts."""

        def map(
            self, work: Any, pieces: Iterable[Any], told: Any = None
        ) -> Generator[Any, None, None]:
            for piece in pieces:
                if piece.number == 2:
                    raise KeyboardInterrupt
                yield piece, work(piece, partial(told, piece))

    monkeypatch.setattr(Parts, "read", counted)
    with pytest.raises(KeyboardInterrupt):
        predicted(out, model, words, mapper=Two())
    predicted(out, model, words)
    assert read == [0, 1, 2, 3]


ODD = [
    b"a\\n.png", b"a\n.png", b"a\r\n.png", b"a\\\\n.png", b"\xff.png", b"\\xff.png", b"\\udcff.png",
    "\xff.png".encode(), b"\x85.png", "\x85.png".encode(), b'c,"d".png', b"'e'.png", b"=1+1.png",
    b"+f.png", b"-f.png", b"@f.png", b"\\x3d1+1.png", b"\x1b[2J.png",
    b"\t.png", b" g .png", "\u2028.png".encode(), "\u202e.png".encode(), "\u202f.png".encode(),
    "caf\xe9.png".encode(), "cafe\u0301.png".encode(), "\U0001f63a.png".encode(), b"#1.png",
]  # fmt: skip
"""Names of files that are not the same."""


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_odd_names_come_back(
    ending: str, model: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a line of readable text, no two are the same, and each leads to its file."""
    for number, name in enumerate(ODD):
        (tmp_path / os.fsdecode(name)).write_bytes(png(number))
    monkeypatch.chdir(tmp_path)
    classes = ("=1+1", "b\n", os.fsdecode(b"c\xff"), "-d")
    out = tmp_path / f"out.{ending}"
    names = [os.fsdecode(name) for name in ODD]
    done = predict_into(out, model, classes, gathered(names), scale=SCALE, threads=1)
    rows = rows_of(out)
    assert len(rows) == len(ODD) == done.rows
    assert done.escaped == len([name for name in names if as_text(name) != name]) == 13
    for number, (name, row) in enumerate(zip(ODD, rows, strict=True)):
        path = row["path"]
        assert not {*path} & {*"\n\r\t\x1b\x85\u2028"}
        assert path.encode("utf-8")
        back = path.encode("latin-1", "backslashreplace").decode("unicode_escape")
        assert os.fsencode(back) == name
        assert Path(back).read_bytes() == png(number)
        # A table of text has a name that no program works out.
        formula = ending == "csv" and name[:1] in (b"=", b"+", b"-", b"@")
        assert (path != as_text(os.fsdecode(name))) == formula
        there = row["class"].encode("latin-1", "backslashreplace").decode("unicode_escape")
        assert there == classes[int(np.argmax(row["probabilities"]))]
    assert len({row["path"] for row in rows}) == len(ODD)
    if ending != "parquet":
        lines = out.read_text(encoding="utf-8").split("\n")
        assert len(lines) == len(ODD) + 1 + (ending == "csv")
        assert not any(line.startswith((*"=+-@",)) for line in lines)


def test_a_changed_picture_is_another(model: Module, words: list[str], tmp_path: Path) -> None:
    """By its size or its time, also within a folder."""
    before = gathered(words).digest()
    assert gathered(words).digest() == before
    os.utime(Path(words[1]) / "0.png", ns=(1, 1))
    assert gathered(words).digest() != before


class _Endless:
    """A million pictures, of which is known how many were asked for."""

    count = 1_000_000

    def __init__(self) -> None:
        self.asked = 0

    def states(self) -> Iterator[bytes]:
        yield b"endless"

    def items(self, start: int) -> Iterator[Item]:
        for number in range(start, self.count):
            self.asked += 1
            yield Item(str(number), content=b"none")


def test_pictures_are_taken_as_they_are_needed(model: Module, tmp_path: Path) -> None:
    """Of a million no more than a part lies on the disk."""
    source = _Endless()
    asked: list[tuple[int, int]] = []

    class Two:
        """Does two parts."""

        def map(
            self, work: Any, pieces: Iterable[Any], told: Any = None
        ) -> Generator[Any, None, None]:
            for piece in pieces:
                asked.append((source.asked, len(list(Path(piece.scratch).iterdir()))))
                small = replace(piece, items=piece.items[:3])
                yield piece, work(small, partial(told, piece))
                if len(asked) == 2:
                    break
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_into(
            tmp_path / "out.jsonl", model, NAMES, Inputs((source,), ()), scale=SCALE, mapper=Two()
        )
    assert asked == [(1024, 1024), (2048, 1024)]
    assert not list((tmp_path / "out.jsonl.parts").glob("*.pictures"))
