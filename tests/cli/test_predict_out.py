"""``isoconv predict --out``: what is said, exit codes, and a process that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.cli.command import call, fail
from tests.serve.served import model_file, png

PNGS = [png(seed) for seed in range(7)]


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """A model and a folder of pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03d}.png").write_bytes(PNGS[number % 7])
    return str(model_file(tmp_path)), str(folder), "--scale", "1/255"


@pytest.mark.slow
def test_what_is_said(words: tuple[str, ...], tmp_path: Path) -> None:
    """Rows, pictures that cannot be read with their reasons, and the exit code that tells so."""
    out = tmp_path / "out.csv"
    done = call("predict", *words, "--out", out)
    assert (done.exit_code, done.stdout) == (0, f"{out}: 200 rows\n")
    assert out.read_text().count("\n") == 201
    assert "out.csv is there already" in fail("predict", *words, "--out", out)
    out.unlink()
    (tmp_path / "photos" / "007.png").write_bytes(b"x")
    done = call("predict", *words, "--out", out, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"file": str(out), "rows": 200, "lost": 1, "noted": 0}
    assert "007.png: not a whole image" in done.stderr
    assert "1 of 200 pictures cannot be read: column error" in done.stderr
    bad = str(tmp_path / "photos" / "007.png")
    assert call("predict", words[0], bad, *words[2:], "--out", tmp_path / "b.csv").exit_code == 2
    for more, text in (
        (("--out", "x.txt"), "end in .parquet, .csv or .jsonl"),
        (("--out", f"{bad}/x.csv"), f"{bad}/x.csv.parts must be a folder; it is a file or"),
        (("--out", "x.csv", "--top", "2"), "--top bounds what is shown"),
        (("--out", "x.csv", "--csv"), "--csv prints what is shown"),
        (("--workers", "2"), "--workers is for a table"),
        (("--column", "x"), "--column is for a table"),
    ):
        assert text in fail("predict", *words, *more)


def test_odd_names(tmp_path: Path) -> None:
    """A note is one line, of bounded length, whatever a picture or the table is called."""
    model = str(model_file(tmp_path))
    folder = tmp_path / "line\nend"
    folder.mkdir()
    (folder / "b\n\x1b[2J.png").write_bytes(b"x")
    (folder / os.fsdecode(b"c\xff.png")).write_bytes(b"x")
    table = tmp_path / "t.parquet"
    column = "c\n" * 3000
    parquet.write_table(pa.table({column: pa.array(["", "n" * 5000, "a\nb"])}), table)
    out = tmp_path / os.fsdecode(b"out\xff\n.csv")
    done = call("predict", model, str(folder), table, "--column", column, "--out", out,
                "--scale", "1/255")  # fmt: skip
    notes = done.stderr.splitlines()
    assert len(notes) == 7, done.stderr
    assert all(line.startswith(("note: ", "error: ")) for line in notes)
    assert max(map(len, notes)) < 2500
    assert rf"{tmp_path}/line\nend/b\n\x1b[2J.png: not a whole image" in notes[0]
    assert r"/c\udcff.png: not a whole image" in notes[1]
    assert notes[2] == f"note: {table}#0: the row's path is empty"
    assert "… (5,000 characters): " in notes[3]
    assert r"note: a\nb: there is no such file" in notes[4]
    assert notes[5].startswith("note: the names of 3 pictures have escapes in column path")
    assert "5 of 5 pictures cannot be read" in notes[6]
    assert done.stdout == rf"{tmp_path}/out\udcff\n.csv: 5 rows" + "\n"
    empty = pa.table({"image": pa.array([], pa.binary())})
    parquet.write_table(empty, table)
    for name in ("none.parquet", "none.csv", "none.jsonl"):
        done = call("predict", model, table, "--out", tmp_path / name)
        assert (done.exit_code, done.stdout) == (0, f"{tmp_path / name}: 0 rows\n")
        assert f"{table}: it has no rows" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_ended(number: int, words: tuple[str, ...], tmp_path: Path) -> None:
    """With two workers, while they are at it: the same command ends in the same table."""
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    assert call("predict", *words, "--out", whole).exit_code == 0
    command = [sys.executable, "-m", "isoconv", "predict", *words, "--out", str(out),
               "--workers", "2"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    parts = tmp_path / "out.parquet.parts"
    while not list(parts.glob("part-*.json")) and process.poll() is None:
        time.sleep(0.002)
    os.kill(process.pid, number)
    said = process.communicate(timeout=60)[0].decode()
    assert process.returncode != 0
    way = re.search(r"note: [1-9]\d* of 200 pictures are done, and the same command goes on", said)
    assert (way is not None) == (number == signal.SIGTERM), said
    assert parts.exists()
    assert not out.exists()
    # Workers of a process that is killed end by themselves.
    for _ in range(500):
        done = call("predict", *words, "--out", out)
        if "is held by" not in done.stderr:
            break
        time.sleep(0.02)
    assert done.exit_code == 0, done.stderr
    assert "of 200 pictures were predicted before" in done.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert not parts.exists()
