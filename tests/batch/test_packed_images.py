"""Packed data sets are predicted as what they were packed from, in parts as everything else."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serve.served import model_file, png

import isoconv as ic
from isoconv.batch.inputs import gathered
from isoconv.batch.packed_images import packed_images
from isoconv.batch.predicting import Written, predict_into
from isoconv.data.pack_layout import PAGE
from isoconv.errors import CheckpointError, DataFileError, IsoconvError
from isoconv.nn import Module
from isoconv.nn.record import TrainedOn

SCALE = 1 / 255
NAMES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def model(tmp_path: Path) -> Module:
    """A small classifier of gray pictures."""
    return ic.load(model_file(tmp_path))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of two parts and two classes, with an odd name."""
    for number in range(40):
        folder = tmp_path / "photos" / ("test" if number % 4 else "train") / "ab"[number % 2 :][:1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02d}.png").write_bytes(png(number))
    for part in ("train", "test"):
        (tmp_path / "photos" / part / "b").mkdir(exist_ok=True)
        (tmp_path / "photos" / part / "b" / os.fsdecode(b"x\xff.png")).write_bytes(png(99))
    return tmp_path / "photos"


@pytest.fixture
def packed(source: Path, tmp_path: Path) -> Path:
    """The same, packed."""
    file = tmp_path / "photos.pack"
    reading = ic.data.Reading(size=(8, 8), channels=1)
    ic.data.pack(source, file, reading=reading, progress=False)
    return file


def predicted(out: Path, model: Module, *words: Path, **more: Any) -> Written:
    """A table of all pictures."""
    inputs = gathered([str(word) for word in words])
    return predict_into(out, model, NAMES, inputs, scale=SCALE, **more)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Stopping:
    """Does one part, the second or any other."""

    def __init__(self, number: int) -> None:
        self.number = number

    def map(self, work: Any, pieces: Iterable[Any], told: Any = None) -> Generator[Any, None, None]:
        """See `isoconv.run.pieces.Mapper`."""
        for piece in pieces:
            if piece.number == self.number:
                yield piece, work(piece, partial(told, piece))
        raise KeyboardInterrupt


@pytest.mark.slow
def test_rows_are_those_of_the_files(
    model: Module, source: Path, packed: Path, tmp_path: Path
) -> None:
    """Same names below the source, same bits, by one process and by two, and gone on with."""
    out = tmp_path / "out.jsonl"
    done = predicted(out, model, packed, threads=1)
    assert (done.rows, done.lost, done.escaped) == (42, 0, 2)
    found = rows_of(out)
    predicted(tmp_path / "files.jsonl", model, source)
    files = {row["path"].removeprefix(f"{source}/"): row for row in
             rows_of(tmp_path / "files.jsonl")}  # fmt: skip
    assert len(files) == 42
    for row in found:
        assert row == {**files[row["path"]], "path": row["path"]}
    assert [row["path"] for row in found if "udcff" in row["path"]] == [
        r"train/b/x\udcff.png", r"test/b/x\udcff.png",
    ]  # fmt: skip
    predicted(tmp_path / "two.jsonl", model, packed, workers=2)
    assert (tmp_path / "two.jsonl").read_bytes() == out.read_bytes()
    again = tmp_path / "again.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predicted(again, model, packed, mapper=Stopping(1))
    told: list[str] = []
    predicted(again, model, packed, told=told.append)
    assert told == [f"16 of 42 pictures were predicted before: {again}.parts"]
    assert again.read_bytes() == out.read_bytes()


def test_what_is_told(packed: Path) -> None:
    """How many images of which part, and that their labels are of no use here."""
    assert gathered([str(packed), str(packed)]).notes == (
        f"{packed}: 42 images (train 11, test 31); their labels are not looked at: isoconv "
        "evaluate compares with them",
    )


def test_pictures_that_were_read_otherwise(model: Module, source: Path, tmp_path: Path) -> None:
    """That a pack was made with transparency on white, and the model was not, is told."""
    file, told = tmp_path / "white.pack", list[str]()
    reading = ic.data.Reading(size=(8, 8), channels=1, opacity="white")
    ic.data.pack(source, file, reading=reading, progress=False)
    trained = ic.data.Reading((8, 8), 1, 8, opacity="dropped")
    model.trained_on = TrainedOn("uint8", 0.0, 255.0, trained)
    inputs = gathered([str(file)])
    predict_into(tmp_path / "out.jsonl", model, NAMES, inputs, told=told.append)
    (line,) = told
    assert "white.pack were packed with" in line
    assert "opacity white in place of dropped" in line


def test_images_of_arrays(model: Module, tmp_path: Path) -> None:
    """They have their numbers, in the order in which inputs were given; also where none is kept."""
    images = np.random.default_rng(2).integers(0, 256, (20, 8, 8), np.uint8)
    file, photo = tmp_path / "arrays.pack", tmp_path / "0.png"
    ic.data.pack((images, [0] * 10 + [1] * 10), file, progress=False)
    photo.write_bytes(png(0))
    out = tmp_path / "out.jsonl"
    predicted(out, model, photo, file, photo)
    found = rows_of(out)
    wanted = model.predict(images, scale=SCALE)
    numbered = [f"train/{number}" for number in range(20)]
    assert [row["path"] for row in found] == [str(photo), *numbered, str(photo)]
    assert np.array_equal(
        np.array([row["probabilities"] for row in found[1:-1]], np.float32), wanted
    )
    images_of = packed_images(str(file))[0]
    assert [item.name for item in images_of.items(17)] == numbered[17:]
    unnamed = [*replace(images_of, names=b"").items(17)]
    assert [item.name for item in unnamed] == [f"{file}#{number}" for number in (17, 18, 19)]
    assert [item.number for item in unnamed] == [17, 18, 19]


def test_damaged_blocks(packed: Path, tmp_path: Path) -> None:
    """Their images are rows with the reason; names that are damaged are no names."""
    content = bytearray(packed.read_bytes())
    content[PAGE] ^= 1
    # Of one block are images and names, for it is as long as both.
    packed.write_bytes(content)
    with pytest.raises(DataFileError, match=r"block 0 .* is damaged"):
        gathered([str(packed)])
    images = np.random.default_rng(2).integers(0, 256, (20, 256, 256), np.uint8)
    file = tmp_path / "arrays.pack"
    ic.data.pack((images, [0, 1] * 10), file, progress=False)
    model = ic.nn.Sequential(ic.nn.Flatten(), ic.nn.Linear(4)).build((256, 256, 1), seed=1)
    content = bytearray(file.read_bytes())
    content[PAGE] ^= 1
    file.write_bytes(content)
    out = tmp_path / "out.jsonl"
    done = predicted(out, model, file)
    assert (done.rows, done.lost) == (20, 16)
    errors = [row["error"] for row in rows_of(out)]
    assert "block 0" in errors[0]
    assert errors[16:] == [None] * 4


@pytest.mark.slow
def test_what_is_refused(model: Module, packed: Path, source: Path, tmp_path: Path) -> None:
    """Images of another shape before anything is written; a pack that is another one by now."""
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predicted(out, model, packed, mapper=Stopping(0))
    inputs = gathered([str(packed)])
    packed.unlink()
    reading = ic.data.Reading(size=(8, 8), channels=1)
    ic.data.pack(source / "test", packed, reading=reading, progress=False)
    with pytest.raises(CheckpointError, match="other pictures, or pictures that have changed"):
        predicted(out, model, packed)
    with pytest.raises(DataFileError, match="is not the packed data set of SHA-256"):
        predict_into(tmp_path / "b.jsonl", model, NAMES, inputs, scale=SCALE, workers=2)
    large = tmp_path / "large.pack"
    ic.data.pack(source, large, size=9, progress=False)
    other = tmp_path / "large.jsonl"
    with pytest.raises(IsoconvError, match=r"large\.pack: .*shape \(N, 8, 8, 1\)"):
        predicted(other, model, large)
    floats = tmp_path / "floats.pack"
    images = np.random.default_rng(1).random((4, 8, 8, 1)).astype(np.float32)
    ic.data.pack((images, [0, 1, 0, 1]), floats, progress=False)
    assert predicted(tmp_path / "floats.jsonl", model, floats).lost == 0
    model.trained_on = TrainedOn("uint8", 0.0, 255.0)
    with pytest.raises(IsoconvError, match=r"floats\.pack: images must be uint8, as those that"):
        predict_into(other, model, NAMES, gathered([str(floats)]))
    assert not list(tmp_path.glob("large.jsonl*"))
