"""Predictions for files, folders and standard input: all that can be read is answered for."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, start, succeed
from tests.cli.terminal import on_a_terminal, plain
from tests.data.spoiled import HEIC, bad_files, fill, picture, spoil
from typer.testing import CliRunner

import isoconv as ic
from isoconv import nn
from isoconv.cli import app
from isoconv.data.pictures import PictureFiles
from isoconv.graph.operation import Array
from isoconv.nn.each import predict_each

ODD = os.fsdecode(b'odd, "one"\xff\x1b[2J.png')
"""A name that CSV must quote, JSON and terminals must escape, and that is no text."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on gray pictures of 24 by 24."""
    place = tmp_path_factory.mktemp("run")
    fill(place / "pets", "png", 12)
    words = ("--model", "lenet5", "--epochs", 1, "--size", 24, "--no-report")
    succeed("train", place / "pets", *words, "--out", place / "run")
    return place / "run"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path], list[Path]]:
    """A messy folder: formats, sizes, folders within, hidden ones, a bad file of each kind."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    for ending in ("png", "jpg", "bmp", "tif", "webp", "gif", "pgm", "jp2"):
        picture(folder / "cat" / f"a.{ending}", size=(31, 25))
        picture(folder / "dog" / "deep" / f"b.{ending}", "L" if ending == "pgm" else "RGB")
    picture(folder / ODD)
    picture(folder / ".hidden" / "x.png")
    (folder / "notes.txt").write_text("x")
    bad = sorted(bad_files(folder))
    good = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".txt" and ".hidden" not in path.parts
        if path.relative_to(folder).as_posix() not in bad
    )
    assert len(good) == 17
    return folder, good, [folder / path for path in bad]


def rows_of(text: str) -> tuple[list[str], list[list[str]]]:
    """CSV as a reader gives it, without the titles, and those."""
    titles, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return titles, rows


def test_a_folder(run: Path, photos: tuple[Path, list[Path], list[Path]]) -> None:
    """All pictures below it in the order of their paths; the bad ones in the end, each once."""
    folder, good, bad = photos
    result = call("predict", run, folder, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [each["image"] for each in found] == sorted(map(str, [*good, *bad]), key=path_key)
    errors = {each["image"]: each["error"] for each in found if "error" in each}
    assert set(errors) == set(map(str, bad))
    answers = [each for each in found if "classes" in each]
    model = ic.load(run)
    wanted = model.predict_files(good)
    for answer, row in zip(answers, wanted, strict=True):
        shares = {each["name"]: each["probability"] for each in answer["classes"]}
        assert shares == dict(zip(model.class_names, map(float, row), strict=True))
    notes, error = result.stderr.split("error: ")
    assert f"note: {folder}: skipped: " in notes
    assert "1 hidden" in notes
    assert "1 .txt" in notes
    lines = error.splitlines()
    assert lines[0] == "7 of 24 files cannot be read; the others were answered for:"
    assert len(lines) == 8
    assert "\u202e" not in error


def path_key(name: str) -> list[str]:
    """Paths are in the order of their parts."""
    return name.split("/")


def test_a_table(run: Path, photos: tuple[Path, list[Path], list[Path]]) -> None:
    """The same for people: answers on standard output, what is wrong on standard error."""
    folder, good, bad = photos
    result = call("predict", run, folder, "--top", 1)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    assert len(lines) == 1 + len(good)
    assert "\x1b" not in result.output
    for path in bad:
        assert str(path.parent) in result.stderr
        assert f"{path.name} " not in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("top", "columns"), [(1, 3), (2, 5), (9, 5)])
def test_csv(
    run: Path, photos: tuple[Path, list[Path], list[Path]], top: int, columns: int
) -> None:
    """A row for each image that was read, names whole, numbers those of JSON."""
    folder, good, _ = photos
    process = start("predict", run, folder, "--csv", "--top", top)
    with process:
        assert isinstance(process.stdout, io.TextIOWrapper)
        assert process.stderr is not None
        out = process.stdout.buffer.read().decode("utf-8", "surrogateescape")
        said = process.stderr.read()
    assert process.returncode == 1
    assert "7 of 24 files cannot be read" in said
    titles, rows = rows_of(out)
    assert titles == ["image", "class", "probability", "class_2", "probability_2"][:columns]
    assert "\r" not in out
    found = json.loads(call("predict", run, folder, "--json", "--top", top).stdout)
    answers = [each for each in found if "classes" in each]
    for row, path, answer in zip(rows, good, answers, strict=True):
        cells = [str(path)]
        for each in answer["classes"]:
            cells += [each["name"], repr(each["probability"])]
        assert row == cells


def test_csv_comes_as_it_goes(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the first batch are there before the second one is read; batches change no bit."""
    files = [picture(tmp_path / f"{number}.png", seed=number) for number in range(7)]
    whole = succeed("predict", run, *files, "--csv")
    monkeypatch.setattr("isoconv.nn.each.BATCH", 3)
    assert succeed("predict", run, *files, "--csv") == whole
    seen = []
    read = PictureFiles.read

    def watched(self: PictureFiles, batch: list[Path]) -> tuple[list[Path], Array]:
        seen.append(len(batch))
        return read(self, batch)

    monkeypatch.setattr("isoconv.data.pictures.PictureFiles.read", watched)
    results = predict_each(ic.load(run), files)
    for number in range(7):
        assert next(results).path == files[number]
        assert len(seen) == number // 3 + 1
    assert seen == [3, 3, 1]


@pytest.mark.slow
def test_standard_input(run: Path, tmp_path: Path) -> None:
    """A picture from a pipe is that of its file, beside other files too."""
    file = picture(tmp_path / "x.png")
    program = [sys.executable, "-c", "from isoconv.cli import main; main()"]
    for words in (["-"], [str(file), "-"], ["-", str(file)]):
        with file.open("rb") as stream:
            done = subprocess.run(
                [*program, "predict", str(run), *words, "--json"],
                stdin=stream, capture_output=True, check=True,
            )  # fmt: skip
        found = json.loads(done.stdout)
        assert [each["image"] for each in found] == words
        assert all(each["classes"] == found[0]["classes"] for each in found)
        assert str(tmp_path) not in done.stderr.decode()
    with file.open("rb") as stream:
        done = subprocess.run([*program, "predict", str(run), "-", "-"], stdin=stream,
                              capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert b"can be read but once" in done.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"no picture", "not a whole image"),
        (HEIC, "not a whole image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), "it is longer than 4,096 bytes"),
    ],
)
def test_standard_input_that_is_no_picture(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    """It is told under its name, and is bounded; other files are answered for."""
    monkeypatch.setattr("isoconv.cli.inputs.MOST", 4096)
    file = picture(tmp_path / "x.png")
    result = CliRunner().invoke(app, ["predict", str(run), "-"], input=content)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: -: {reason}") or f": {reason}" in result.stderr
    result = CliRunner().invoke(app, ["predict", str(run), "-", str(file)], input=content)
    assert result.exit_code == 1
    assert str(file) in result.stdout
    assert "1 of 2 files cannot be read; the others were answered for:\n  -: " in result.stderr


@pytest.mark.slow
def test_a_terminal_is_no_picture(run: Path) -> None:
    """Nobody waits for a person to type a picture."""
    import pty

    ours, its = pty.openpty()
    try:
        process = start("predict", run, "-", stdin=its)
        said = process.communicate(timeout=120)[1]
    finally:
        os.close(ours)
        os.close(its)
    assert process.returncode == 2
    assert "isoconv predict RUN - < photo.jpg" in said


def test_nothing_that_can_be_read(run: Path, tmp_path: Path) -> None:
    """Where nothing is answered the code is 2, and each count is told once."""
    (tmp_path / "empty").mkdir()
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    said = fail("predict", run, bad)
    assert said.startswith(f"{bad}: empty (0 bytes)")
    said = fail("predict", run, bad, tmp_path / "gone.png", tmp_path / "empty")
    assert said.splitlines()[0] == "3 of 3 files cannot be read:"
    assert f"\n  {tmp_path / 'gone.png'}: there is no such file" in said
    assert f"\n  {tmp_path / 'empty'}: there is no picture in this folder or below it" in said
    assert "pictures:" not in said
    assert fail("predict", run, tmp_path / "empty").startswith(f"{tmp_path / 'empty'}: there is no")
    result = call("predict", run, bad, "--csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "take one of them" in fail("predict", run, bad, "--csv", "--json")
    assert "File name too long" in fail("predict", run, "a" * 5000)


@pytest.mark.slow
def test_on_a_terminal(run: Path, photos: tuple[Path, list[Path], list[Path]]) -> None:
    """Nothing of a name moves a cursor, at 80 and at 40 columns, in CSV neither."""
    folder, *_ = photos
    for columns in (80, 40):
        for words in ((), ("--csv",)):
            code, sent = on_a_terminal("predict", run, folder, *words, columns=columns)
            assert code == 1
            assert "\x1b[2J" not in sent
            assert "\u202e" not in sent
            name = r"\udcff\x1b[2J.png" if words else "…"
            assert name in plain(sent)
            assert "7 of 24 files cannot be read; the others were answered for:" in plain(sent)
            table = [line for line in plain(sent).splitlines() if line.rstrip().endswith("%")]
            assert len(table) == (0 if words else 17 * 2)
            assert all(len(line) <= columns for line in table)


@pytest.mark.parametrize("words", [(), ("--json",), ("--csv",)])
def test_a_bar_counts_them(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Long work shows a bar on standard error, which is gone in the end; a pipe gets none."""
    monkeypatch.setattr("isoconv.data.counting._PATIENCE", 0.0)
    monkeypatch.setattr("isoconv.data.counting._REDRAW", 0.0)
    files = [picture(tmp_path / f"{number}.png") for number in range(9)]
    drawn = []

    def advance(_: object, done: int, __: object, total: int) -> None:
        drawn.append((done, total))

    monkeypatch.setattr("isoconv.progress.Bar.advance", advance)
    assert "predicting" not in call("predict", run, *files, *words).output
    assert drawn == []
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    assert call("predict", run, *files, *words).exit_code == 0
    assert drawn[-1] == (9, 9)


@pytest.mark.slow
def test_of_many_bad_ones_all_are_told(run: Path, tmp_path: Path) -> None:
    """On a terminal the first 50 and how to get the others, elsewhere all."""
    for number in range(60):
        (tmp_path / f"{number:02}.png").write_bytes(b"")
    good = picture(tmp_path / "good.png")
    code, sent = on_a_terminal("predict", run, tmp_path, shown="stderr")
    assert code == 1
    # On a slow machine a bar comes before it.
    *_, told = plain(sent).partition("error:")
    assert len(told.splitlines()) == 53
    assert "  and 10 more (2> FILE takes all into a file)" in plain(sent)
    result = call("predict", run, tmp_path)
    assert len(result.stderr.splitlines()) == 62
    assert str(good) in result.stdout


# The library


@pytest.fixture
def some(tmp_path: Path) -> list[Path]:
    """Two good files with a bad one between them."""
    files = [picture(tmp_path / "a.png", seed=1), tmp_path / "bad.png", picture(tmp_path / "c.png")]
    spoil(picture(files[1]))
    return files


def test_predict_files_raises(run: Path, some: list[Path]) -> None:
    """By default a file that cannot be read is an error, which has them all."""
    with pytest.raises(ic.errors.DataFileError, match=r"^\S*bad\.png: ") as caught:
        ic.load(run).predict_files(some)
    assert [each.path for each in caught.value.files] == [str(some[1])]


def test_predict_files_skips(run: Path, some: list[Path]) -> None:
    """With `skip_bad` its row is NaN and a warning names it; the bits of the others stay."""
    model = ic.load(run)
    with pytest.warns(ic.errors.DataWarning, match=r"bad\.png: .* \(its results are NaN\)"):
        rows = model.predict_files(some, skip_bad=True)
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False]
    wanted = model.predict_files([some[0], some[2]])
    assert rows[[0, 2]].tobytes() == wanted.tobytes()
    assert model.predict_files(some[:1], skip_bad=True).tobytes() == wanted[:1].tobytes()
    with pytest.raises(ic.errors.DataFileError, match=r"bad\.png: not a whole"):
        model.predict_files(some[1:2], skip_bad=True)


def test_read_pictures_skips(some: list[Path]) -> None:
    """Images with the files that they are of, and those that are left out."""
    reading = ic.data.Reading((24, 24), 1, 8)
    found = ic.data.read_pictures(some, reading, skip_bad=True)
    assert found.paths == (some[0], some[2])
    assert [each.path for each in found.skipped] == [str(some[1])]
    assert found.images.tobytes() == ic.data.read_pictures(found.paths, reading).images.tobytes()


def test_a_model_of_arrays_guesses_from_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a model leaves the depth open, it is that of all files, whatever the batches."""
    images = np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2))
    ic.Trainer(model, batch_size=2, progress=False).fit((images, [0, 1, 0, 1]), epochs=1)
    files = []
    for number, most in enumerate((100, 4000, 60000)):
        values = np.full((4, 4), most, np.uint16)
        files.append(tmp_path / f"{number}.tif")
        Image.fromarray(values).save(files[-1])
    with pytest.warns(ic.errors.DataWarning, match="16 bits are taken for full brightness"):
        wanted = model.predict_files(files)
    monkeypatch.setattr("isoconv.nn.each.BATCH", 1)
    told: list[str] = []
    found: list[Any] = [each.result for each in predict_each(model, files, told=told.append)]
    assert np.stack(found).tobytes() == wanted.tobytes()
    assert "16 bits are taken for full brightness" in told[0]
