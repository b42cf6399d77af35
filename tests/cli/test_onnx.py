"""ONNX files on the command line, where a run is taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import fail, succeed
from tests.exchange.onnx.graphs import made, node, written

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that says which colour a picture has, and pictures in folders of their colours."""
    folder = tmp_path_factory.mktemp("onnx")
    nodes = [
        node("Conv", "x w", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f head", "y"),
    ]
    eye = np.eye(3, dtype=np.float32)
    arrays = {"w": eye.reshape(3, 3, 1, 1), "head": 4 * eye}
    written(folder, made(nodes, ("N", 3, 16, 16), arrays), "colours.onnx")
    (folder / "names.txt").write_text("\n".join(COLOURS) + "\n", "utf-8")
    for channel, name in enumerate(COLOURS):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            picture = np.full((18, 20, 3), 40 + number, np.uint8)
            picture[..., channel] = 200
            Image.fromarray(picture).save(folder / "pictures" / name / f"{number}.png")
    return folder


def test_pictures_are_classified(place: Path) -> None:
    """`predict` says the colours, tells how pictures are normalised, and takes another rule."""
    model, picture = place / "colours.onnx", place / "pictures" / "green" / "0.png"
    text = succeed("predict", model, picture, "--top", 1)
    assert "does not say how pictures are normalised: brightness from 0 to 1, less" in text
    assert "(--normalise imagenet; or half, unit, none)" in text
    names = ("--class-names", place / "names.txt")
    found = json.loads(succeed("predict", model, picture, "--normalise", "unit", *names, "--json"))
    assert found[0]["classes"][0]["name"] == "green"


def test_a_folder_is_measured(place: Path) -> None:
    """`evaluate` matches named classes by name, and says where they are matched by number."""
    model, pictures = place / "colours.onnx", place / "pictures"
    unit = ("--normalise", "unit")
    text = succeed("evaluate", model, pictures, *unit, "--class-names", place / "names.txt")
    assert "100.00% (6 of 6 images)" in text
    text = succeed("evaluate", model, pictures, *unit)
    assert "taken for those of" in text
    assert "by number, blue, green, red (--class-names names them)" in text
    assert "33.33% (2 of 6 images)" in text


def test_other_commands_take_it(place: Path) -> None:
    """`summary`, `explain` and `inspect` show its layers by their names in the file."""
    model, picture = place / "colours.onnx", place / "pictures" / "red" / "1.png"
    assert "GlobalAvgPool2d  (3,)" in succeed("summary", model)
    assert "conv of 'y' at [0]" in succeed("explain", model, "--image", picture)
    assert "nothing stands out" in succeed("inspect", model, picture)


def test_what_is_wrong_is_told(place: Path) -> None:
    """Names of another number, an unknown rule, and options of runs are refused."""
    model, picture = place / "colours.onnx", place / "pictures" / "red" / "1.png"
    short = place / "short.txt"
    short.write_text("one\ntwo\n", "utf-8")
    text = fail("predict", model, picture, "--class-names", short)
    assert "--class-names must have a line for each of 3 classes" in text
    text = fail("predict", model, picture, "--class-names", "red,green,blue")
    assert "it takes a file with a name a line" in text
    text = fail("predict", model, picture, "--normalise", "mean")
    assert "--normalise must be one of imagenet, half, unit, none; got 'mean'" in text
    assert "is an ONNX file" in fail("predict", model, picture, "--best")
    (place / "broken.onnx").write_bytes(model.read_bytes()[:-9])
    assert "cannot be read as an ONNX network" in fail("predict", place / "broken.onnx", picture)
