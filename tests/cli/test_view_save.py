"""`isoconv view --save`: the page as one file, of the playground and of a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from tests.cli.command import call, fail, succeed

from isoconv import nn


def model_file(folder: Path) -> Path:
    """A small model that was never trained, saved."""
    layers = [nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3)]
    model = nn.Sequential(*layers).build((6, 6, 1))
    file = folder / "model.safetensors"
    model.save(file)
    return file


def test_the_playground_is_written(tmp_path: Path) -> None:
    """One file, whole; what is printed says where it is and how large."""
    file = tmp_path / "playground.html"
    said = succeed("view", "--save", file)
    text = file.read_text("utf-8")
    assert f"wrote {file}, {file.stat().st_size:,} bytes" in said
    assert text.endswith("</html>\n")
    assert "mountPlayground(root)" in text
    printed = json.loads(call("view", "--save", file, "--json").stdout)
    assert printed == {"file": str(file), "bytes": len(text.encode()), "left_out": []}


def test_a_network_is_written(tmp_path: Path) -> None:
    """A model with a picture: the page holds its numbers."""
    picture = tmp_path / "picture.png"
    Image.fromarray(np.arange(36, dtype=np.uint8).reshape(6, 6)).save(picture)
    file = tmp_path / "network.html"
    said = succeed("view", model_file(tmp_path), "--image", picture, "--save", file)
    assert f"wrote {file}" in said
    assert 'id="isoconv-description"' in file.read_text("utf-8")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """One line that names the file; nothing is served."""
    file = tmp_path / "nowhere" / "page.html"
    assert f"the page cannot be written to {file}" in fail("view", "--save", file)
    assert not file.exists()
